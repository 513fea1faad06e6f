"""keelback fills an nginx with WebDAV and basic auth, in place of Artifactory, and py-rattler reads it.

nginx makes no index, as Artifactory does after an upload; py-rattler's own indexer does that for it here.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from cli_runner import run_keelback
from making import make_conda, make_tar_bz2
from peers import nginx, rattler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli_runner import Completed

pytestmark = pytest.mark.peer("nginx")

REPOSITORY = "artifactory/conda-local"


@pytest.fixture
def password() -> str:
    """Ann's."""
    return leaks.new_secret("password", special=True)


@pytest.fixture
def server(tmp_path: Path, password: str, require_peer: Callable[[str, bool, str], None]) -> Iterator[nginx.Nginx]:
    """An nginx that lets ann in, and nobody else."""
    require_peer("nginx", not nginx.WHY_NOT, nginx.WHY_NOT)
    with nginx.serving(tmp_path / "nginx", username="ann", password=password) as running:
        yield running


@pytest.fixture
def auth(tmp_path: Path, password: str) -> Path:
    """The auth file of the rattler family, with ann's credential in it."""
    return auth_file(tmp_path, password)


def publish(server: nginx.Nginx, auth: Path, *arguments: str | Path) -> Completed:
    """``keelback publish --json`` to the repository, with the credential from *auth*."""
    target = f"artifactory+{server.url}/{REPOSITORY}"
    env = {"RATTLER_AUTH_FILE": str(auth)}
    return run_keelback(["publish", "--json", "--to", target, *map(str, arguments)], env=env)


def statuses(done: Completed) -> dict[str, str]:
    """What became of each package, by its name."""
    (channel,) = done.json()["channels"]
    return {one["name"]: one["status"] for one in channel["outcomes"]}


def stored(server: nginx.Nginx) -> dict[str, str]:
    """The hash of every file in the repository, by its path there."""
    root = server.www / REPOSITORY
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def auth_file(folder: Path, password: str) -> Path:
    """An auth file that holds *password* for ann on loopback."""
    path = folder / "auth.json"
    credential = {"BasicHTTP": {"username": "ann", "password": password}}
    path.write_text(json.dumps({"127.0.0.1": credential}), encoding="utf-8")
    return leaks.holds_secrets(path)


def test_one_auth_file_serves_keelbacks_upload_and_py_rattlers_install(
    server: nginx.Nginx, auth: Path, tmp_path: Path
) -> None:
    """Every byte arrives under SUBDIR/FILE, and py-rattler installs from there with the same credential."""
    make_conda(tmp_path / "dist", "hull")
    make_conda(tmp_path / "dist", "boat", depends=["hull"], subdir="linux-64")
    make_tar_bz2(tmp_path / "dist", "oars")

    done = publish(server, auth, tmp_path / "dist")

    assert done.returncode == 0, done.stderr
    assert statuses(done) == {"hull": "uploaded", "boat": "uploaded", "oars": "uploaded"}
    sent = {f"{one['subdir']}/{one['file'].rpartition('/')[2]}": one["sha256"] for one in outcomes(done)}
    assert stored(server) == sent

    rattler.index(server.www / REPOSITORY, tmp_path / "indexer")
    url, subdirs = f"{server.url}/{REPOSITORY}", ("linux-64", "noarch")
    prefix, chosen = rattler.install(url, "boat", tmp_path / "install", subdirs=subdirs, auth=auth)
    assert sorted(record["name"] for record in chosen.values()) == ["boat", "hull"]
    assert (prefix / "share/hull/hello.txt").is_file()
    with pytest.raises(rattler.RattlerError, match="401"):
        rattler.records(url, tmp_path / "stranger")


def test_publishing_again_sends_nothing(server: nginx.Nginx, auth: Path, tmp_path: Path) -> None:
    """The bytes that are there are compared, found identical, and not written again."""
    make_conda(tmp_path / "dist", "hull")
    make_conda(tmp_path / "dist", "oars", payload=3_000_000)
    assert publish(server, auth, tmp_path / "dist").returncode == 0
    written = {path: path.stat().st_mtime_ns for path in server.www.rglob("*.conda")}

    done = publish(server, auth, tmp_path / "dist")

    assert done.returncode == 0, done.stderr
    assert statuses(done) == {"hull": "identical", "oars": "identical"}
    assert {path: path.stat().st_mtime_ns for path in server.www.rglob("*.conda")} == written


def test_a_put_that_would_replace_other_bytes_is_not_made_without_force(
    server: nginx.Nginx, auth: Path, tmp_path: Path
) -> None:
    """This server replaces without a word; keelback asks first, and replaces only where it was told to."""
    make_conda(tmp_path / "old", "hull", payload={"share/hull": b"old"})
    assert publish(server, auth, tmp_path / "old").returncode == 0
    old = stored(server)
    make_conda(tmp_path / "new", "hull", payload={"share/hull": b"new"})
    make_conda(tmp_path / "new", "oars")

    done = publish(server, auth, tmp_path / "new")
    assert done.returncode == 1
    assert statuses(done) == {"hull": "failed", "oars": "uploaded"}
    assert [one["error"]["code"] for one in outcomes(done) if one["error"]] == ["conflict"]
    assert stored(server).items() >= old.items()

    done = publish(server, auth, "--force", tmp_path / "new")
    assert done.returncode == 0
    assert statuses(done) == {"hull": "replaced", "oars": "identical"}
    assert stored(server) == {f"noarch/{name}-1.0-h0_0.conda": hashed for name, hashed in sha256_of(done).items()}


def test_a_wrong_password_writes_nothing(server: nginx.Nginx, tmp_path: Path) -> None:
    """The run ends with the status for credentials, and names the file and key it had the credential from."""
    make_conda(tmp_path / "dist", "hull")
    auth = auth_file(tmp_path, leaks.new_secret("wrong-password"))

    done = publish(server, auth, tmp_path / "dist")

    assert done.returncode == 3
    assert str(auth) in done.stdout + done.stderr
    assert stored(server) == {}


def test_rattler_builds_own_command_line_reaches_the_repository(
    server: nginx.Nginx, password: str, tmp_path: Path
) -> None:
    """``upload artifactory -u -c --username --password FILES`` means what it means in ``rattler-build upload``."""
    hull = make_conda(tmp_path, "hull")
    base, _, repository = REPOSITORY.partition("/")
    server_options = ["-u", f"{server.url}/{base}", "-c", repository, "--username", "ann", "--password", password]

    done = run_keelback(["upload", "artifactory", *server_options, str(hull)])

    assert done.returncode == 0, done.stderr
    assert list(stored(server)) == ["noarch/hull-1.0-h0_0.conda"]


def outcomes(done: Completed) -> list[dict[str, Any]]:
    """The outcomes of the one channel of a run."""
    (channel,) = done.json()["channels"]
    found = channel["outcomes"]
    assert isinstance(found, list)
    return found


def sha256_of(done: Completed) -> dict[str, str]:
    """The hash of what was sent, by package name."""
    return {one["name"]: one["sha256"] for one in outcomes(done)}
