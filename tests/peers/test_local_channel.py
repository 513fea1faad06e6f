"""A folder that keelback fills is a channel to py-rattler: installed from, and compared with its own indexer."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from cli_runner import run_keelback
from keelback.archive import inspect
from keelback.errors import ArchiveError
from making import make_conda, make_tar_bz2
from peers import rattler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.peer("py-rattler")

SUBDIRS = ("noarch", "linux-64", "osx-64")

REWRITTEN = {"foo ==3*": "foo 3.*"}
"""Dependencies that only a lenient reader takes: py-rattler's indexer mends them, keelback leaves them as they are."""


class Web:
    """A plain web server on a folder.

    Attributes:
        url: where it is, without a slash at the end.
        asked: the paths that were asked for with GET, in order.
    """

    def __init__(self, url: str, asked: list[str]) -> None:
        self.url = url
        self.asked = asked


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Web]:
    """Serve *folder* over HTTP until the block ends."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Web(f"http://127.0.0.1:{server.server_port}", asked)
        finally:
            server.shutdown()
            thread.join()


def publish(channel: Path, *arguments: str | Path) -> None:
    """``keelback publish`` into *channel*; it has to work."""
    done = run_keelback(["publish", "--to", str(channel), *map(str, arguments)])
    assert done.returncode == 0, done.stderr


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    """A channel with packages of both formats, in two subdirs, published in two runs."""
    first, second, channel = tmp_path / "first", tmp_path / "second", tmp_path / "channel"
    make_tar_bz2(first, "hull", "1.0")
    make_conda(first, "boat", "1.0", depends=["hull"], subdir="linux-64")
    publish(channel, first)
    make_conda(second, "hull", "1.1")
    make_conda(second, "boat", "1.1", depends=["hull 1.0.*"], subdir="linux-64")
    publish(channel, second)
    return channel


@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "repodata"])
@pytest.mark.parametrize("scheme", ["file", "http"])
def test_py_rattler_solves_and_installs_from_it(channel: Path, tmp_path: Path, scheme: str, *, sharded: bool) -> None:
    """Whichever way it is reached and whichever index is read: the newest package and the dependency it asks for."""
    with serving(channel) as web:
        url = web.url if scheme == "http" else channel.as_uri()
        prefix, chosen = rattler.install(
            url, "boat", tmp_path / "install", subdirs=("linux-64", "noarch"), sharded=sharded
        )

    assert sorted(chosen) == ["linux-64/boat-1.1-h0_0.conda", "noarch/hull-1.0-h0_0.tar.bz2"]
    assert (prefix / "share/hull/hello.txt").read_text(encoding="utf-8") == "hello from hull 1.0 h0_0\n"
    assert (prefix / "share/boat/hello.txt").is_file()


def test_a_reader_of_shards_needs_nothing_else(channel: Path, tmp_path: Path) -> None:
    """Over HTTP py-rattler finds the shards and never asks for the whole index."""
    with serving(channel) as web:
        found = rattler.records(web.url, tmp_path / "read", subdirs=("linux-64", "noarch"))

    assert len(found) == 4
    assert any("/shards/" in path for path in web.asked)
    assert not [path for path in web.asked if "repodata.json" in path]


def test_every_form_of_the_index_tells_the_same(channel: Path, tmp_path: Path) -> None:
    """Shards, ``repodata.json.zst`` and ``repodata.json`` hold the same records."""
    with serving(channel) as web:
        shards = rattler.records(web.url, tmp_path / "shards", subdirs=SUBDIRS)
        compressed = rattler.records(web.url, tmp_path / "zst", subdirs=SUBDIRS, sharded=False)
        assert any(path.endswith("repodata.json.zst") for path in web.asked)
        for path in channel.rglob("*.zst"):
            path.unlink()
        plain = rattler.records(web.url, tmp_path / "json", subdirs=SUBDIRS, sharded=False)

    assert shards == compressed == plain


@pytest.fixture(scope="module")
def made_by_others(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel with packages that conda-build and rattler-build made, as far as keelback takes them."""
    dist, channel = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("others") / "channel"
    for path in packages.rglob("*"):
        if path.name.endswith((".conda", ".tar.bz2")):
            with contextlib.suppress(ArchiveError):
                archive = inspect(path)
                if "subdir" in archive.index:  # without one py-rattler's indexer says "unknown"
                    (dist / archive.subdir).mkdir(exist_ok=True)
                    shutil.copy(path, dist / archive.relative_path)
    publish(channel, dist)
    return channel


@pytest.fixture(scope="module")
def indexed_by_rattler(made_by_others: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same packages in another folder, with the index that py-rattler's own indexer makes."""
    channel = tmp_path_factory.mktemp("rattler") / "channel"
    for path in made_by_others.glob("*/*"):
        if path.name.endswith((".conda", ".tar.bz2")):
            (channel / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, channel / path.parent.name)
    rattler.index(channel, tmp_path_factory.mktemp("indexer"))
    return channel


@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "repodata"])
def test_py_rattler_sees_what_it_would_have_indexed_itself(
    made_by_others: Path, indexed_by_rattler: Path, tmp_path: Path, *, sharded: bool
) -> None:
    """To a reader the two indexes of the same packages are the same."""
    seen = []
    for channel in (made_by_others, indexed_by_rattler):
        with serving(channel) as web:
            found = rattler.records(web.url, tmp_path / channel.parent.name, subdirs=SUBDIRS, sharded=sharded)
        for record in found.values():
            record["url"] = record["url"].removeprefix(web.url)
            mend(record)
        seen.append(found)

    assert seen[0] == seen[1]
    assert seen[0]


def test_the_records_hold_what_py_rattlers_indexer_writes(made_by_others: Path, indexed_by_rattler: Path) -> None:
    """Field by field; keelback keeps further fields of index.json, and has no ``indexed_timestamp``."""
    for subdir in SUBDIRS:
        ours, theirs = (raw_records(channel / subdir) for channel in (made_by_others, indexed_by_rattler))
        assert ours.keys() == theirs.keys()
        for name, record in theirs.items():
            mend(ours[name])
            record.pop("indexed_timestamp", None)
            assert {field: ours[name].get(field) for field in record} == record, name


def raw_records(folder: Path) -> dict[str, Any]:
    """The records of ``repodata.json`` as they stand there."""
    document = json.loads((folder / "repodata.json").read_bytes())
    return {**document["packages"], **document["packages.conda"]}


def mend(record: dict[str, Any]) -> None:
    """Put the dependencies of *record* as py-rattler's indexer does."""
    record["depends"] = [REWRITTEN.get(spec, spec) for spec in record["depends"]]
