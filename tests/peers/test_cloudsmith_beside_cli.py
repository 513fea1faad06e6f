"""keelback and Cloudsmith's own client, each publishing to the same server: the same requests.

What differs on purpose is listed here, and nothing else may.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

import leaks
from keelback import Report, Retry, publish
from keelback.channels.cloudsmith import CloudsmithChannel
from making import make_conda
from peers import cloudsmith_cli
from servers.scripted import Fault, Trap
from servers.scripted.cloudsmith import CloudsmithServer
from servers.scripted.multipart import boundary_of, parts

if TYPE_CHECKING:
    from pathlib import Path

    from servers.scripted.exchange import Recorded

pytestmark = pytest.mark.peer("cloudsmith-cli")

PART: Final = 50_000
THEIRS_ALONE: Final = {"validate", "status"}
"""Requests that their client sends besides: it has parameters validated, which ``files/`` and the upload do again, and
waits until the package is processed, which is ``--verify`` here."""
OURS_ALONE: Final = {"repo", "list"}
"""Requests that keelback sends besides: whether the repository is there, and whether it has the file already."""


@pytest.fixture(autouse=True)
def _peer(require_peer, tmp_path, monkeypatch):
    require_peer("cloudsmith-cli", not cloudsmith_cli.WHY_NOT, cloudsmith_cli.WHY_NOT)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))


def theirs(server: CloudsmithServer, key: str, file: Path, *options: str) -> cloudsmith_cli.Finished:
    """What their client makes of *file*."""
    return cloudsmith_cli.push(server, key, file, *options, home=file.parent, part_size=PART)


def ours(server: CloudsmithServer, key: str, file: Path, **options: Any) -> Report:
    """What keelback makes of it."""
    channel = CloudsmithChannel(
        server.owner,
        server.channel,
        url=server.api_url,
        reading_host=server.url,
        part_size=PART,
        tags=options.pop("tags", ()),
    )
    return publish(file, channel, api_key=key, retry=Retry(attempts=2, base=0.01), **options)


def seen(server: CloudsmithServer, without: set[str]) -> list[tuple[Any, ...]]:
    """The requests but those of the steps *without*: method, path, query, who asks, and body; parts in their order."""
    described = [_described(request, server) for request in server.requests if request.step not in without]
    return sorted(described, key=lambda each: each[:3] if each[0] == "PUT" else ("",))


def _described(request: Recorded, server: CloudsmithServer) -> tuple[Any, ...]:
    def neutral(text: str) -> str:
        for identifier in server.slots:
            text = text.replace(identifier, "IDENTIFIER")
        return text

    body: Any = None
    if request.step in {"upload", "part"}:
        body = _form(request) if request.step == "upload" else request.body_sha256
    elif request.body:
        body = json.loads(neutral(request.body.decode()))
    query = [(name, neutral(value)) for name, value in request.query]
    return request.method, neutral(request.path), query, request.header("x-api-key") is not None, body


def _form(request: Recorded) -> list[tuple[str, str | None, str]]:
    """Names, file names and hashes of the fields of a form, in their order; what is different each time is left out."""
    found = parts(iter([request.body or b""]), boundary_of(request.header("content-type")))
    return [
        (part.name, part.filename, hashlib.sha256(part.read()).hexdigest() if part.name == "file" else _emptied(part))
        for part in found
    ]


def _emptied(part: Any) -> str:
    part.read()
    return ""


@pytest.mark.parametrize("size", [100, 4 * PART + 5000])
def test_a_package_takes_the_same_requests(tmp_path: Path, size: int) -> None:
    """In a form or in parts: the same methods, paths, JSON, fields, order and bytes, and the key in the same places.

    But for ``republish``: their client leaves it to the settings of the repository whether a package is replaced.
    """
    key, file = leaks.new_secret("key"), make_conda(tmp_path / "dist", payload=size)
    with CloudsmithServer(key) as server_of_theirs, CloudsmithServer(key) as server_of_ours:
        assert theirs(server_of_theirs, key, file).returncode == 0
        assert ours(server_of_ours, key, file).ok
    expected = seen(server_of_theirs, THEIRS_ALONE)
    created = expected[[each[1].endswith("/upload/conda/") for each in expected].index(True)]
    created[-1]["republish"] = False
    assert seen(server_of_ours, OURS_ALONE) == expected
    assert len(server_of_ours.of_step("part")) == (5 if size > PART else 0)
    server_of_theirs.assert_clean()
    server_of_ours.assert_clean()


def test_republishing_with_tags_takes_the_same_requests(tmp_path: Path) -> None:
    """What is said of the package, too: ``--republish --tags a,b`` is ``--force`` with two tags."""
    key, file = leaks.new_secret("key"), make_conda(tmp_path / "dist")
    other = make_conda(tmp_path / "other", payload=7).read_bytes()
    with CloudsmithServer(key) as server_of_theirs, CloudsmithServer(key) as server_of_ours:
        for server in (server_of_theirs, server_of_ours):
            server.put("noarch/demo-1.0-h0_0.conda", other)
        assert theirs(server_of_theirs, key, file, "--republish", "--tags", "a,b").returncode == 0
        assert ours(server_of_ours, key, file, force=True, tags=["a", "b"]).ok
    assert seen(server_of_ours, OURS_ALONE) == seen(server_of_theirs, THEIRS_ALONE)


def test_publishing_again(tmp_path: Path) -> None:
    """Theirs sends it again, and leaves a failed package; ours finds that it is there."""
    key, file = leaks.new_secret("key"), make_conda(tmp_path / "dist")
    with CloudsmithServer(key) as server:
        assert theirs(server, key, file).returncode == 0
        again = theirs(server, key, file, "--sync-attempts", "1")
        failed = [package for package in server.packages if package.failure]
        assert (again.returncode, len(failed)) == (1, 1), again.output
        assert [outcome.status for outcome in ours(server, key, file).outcomes] == ["identical"]
        assert len(server.packages) == 2


@pytest.mark.parametrize("size", [100, 2 * PART])
def test_who_hears_of_the_key(tmp_path: Path, size: int) -> None:
    """A server that has parts sent to somebody else gives the key of their client to them; not that of ours."""
    key, file = leaks.new_secret("key"), make_conda(tmp_path / "dist", payload=size)
    heard = []
    for push in (theirs, ours):
        with Trap() as trap, CloudsmithServer(key, place={"upload_url": f"{trap.url}/there"}) as server:
            push(server, key, file)
            heard.append(key in trap.heard())
    assert heard == [size > PART, False]


def test_parts_that_come_to_nothing(tmp_path: Path) -> None:
    """Theirs leaves them at the server; ours has them removed."""
    key, file = leaks.new_secret("key"), make_conda(tmp_path / "dist", payload=2 * PART)
    aborted = []
    for push in (theirs, ours):
        with CloudsmithServer(key, faults=[Fault("status", when="part", nth=2, status=422, times=None)]) as server:
            push(server, key, file)
            aborted.append([slot.aborted for slot in server.slots.values()])
    assert aborted == [[False], [True]]
