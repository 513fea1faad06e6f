"""keelback fills an nginx with WebDAV as a plain server that takes PUT, and py-rattler installs from there."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

import leaks
from cli_runner import run_keelback
from making import make_conda
from peers import nginx, rattler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli_runner import Completed

pytestmark = pytest.mark.peer("nginx")

CHANNEL = "some/where/channel"


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


def publish(server: nginx.Nginx, password: str, *arguments: str | Path) -> Completed:
    """``keelback publish --json`` as ann."""
    target = f"put+{server.url}/{CHANNEL}"
    as_ann = ["--username", "ann", "--password", "-"]
    return run_keelback(["publish", "--json", "--to", target, *as_ann, *arguments], input=password)


def statuses(done: Completed) -> dict[str, str]:
    """What became of each package, by its name."""
    (channel,) = done.json()["channels"]
    return {one["name"]: one["status"] for one in channel["outcomes"]}


def hashes(server: nginx.Nginx) -> dict[str, str]:
    """The hash of every package in the channel, by its path there."""
    root = server.www / CHANNEL
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*.conda")
    }


def test_what_is_put_there_can_be_installed(server: nginx.Nginx, password: str, tmp_path: Path) -> None:
    """Every file is where conda looks for it; nginx makes no index, so that py-rattler's own indexer does."""
    make_conda(tmp_path / "dist", "hull")
    make_conda(tmp_path / "dist", "boat", depends=["hull"], subdir="linux-64", payload=3_000_000)
    done = publish(server, password, tmp_path / "dist")
    assert statuses(done) == {"hull": "uploaded", "boat": "uploaded"}, done.stderr
    assert sorted(hashes(server)) == ["linux-64/boat-1.0-h0_0.conda", "noarch/hull-1.0-h0_0.conda"]

    auth = leaks.holds_secrets(tmp_path / "auth.json")
    rattler_auth = {"127.0.0.1": {"BasicHTTP": {"username": "ann", "password": password}}}
    auth.write_text(json.dumps(rattler_auth), encoding="utf-8")
    rattler.index(server.www / CHANNEL, tmp_path / "indexer")
    url, subdirs = f"{server.url}/{CHANNEL}", ("linux-64", "noarch")
    _, chosen = rattler.install(url, "boat", tmp_path / "install", subdirs=subdirs, auth=auth)
    assert sorted(record["name"] for record in chosen.values()) == ["boat", "hull"]


def test_what_is_there_stays_unless_told_otherwise(server: nginx.Nginx, password: str, tmp_path: Path) -> None:
    """This server replaces whatever the condition says; keelback asks it first."""
    make_conda(tmp_path / "old", "hull", payload={"share/hull": b"old"})
    assert statuses(publish(server, password, tmp_path / "old")) == {"hull": "uploaded"}
    assert statuses(publish(server, password, tmp_path / "old")) == {"hull": "identical"}
    old = hashes(server)
    make_conda(tmp_path / "new", "hull", payload={"share/hull": b"new"})
    assert statuses(publish(server, password, tmp_path / "new")) == {"hull": "failed"}
    assert hashes(server) == old
    assert statuses(publish(server, password, "--force", tmp_path / "new")) == {"hull": "replaced"}
    assert hashes(server) != old
