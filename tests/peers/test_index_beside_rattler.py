"""``keelback index`` beside py-rattler's own indexer: the same folder, the same patches, what a reader sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cli_runner import run_keelback
from making import make_conda, make_tar_bz2
from peers import rattler
from reading_channels import records, wrong_records

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.peer("py-rattler")

SUBDIRS = ("noarch", "linux-64")
PATCHES = {
    "noarch": {
        "patch_instructions_version": 1,
        "packages": {"oar-1.0-h0_0.tar.bz2": {"depends": ["raft >=2"], "license": None}},
        "packages.conda": {"hull-1.1-h0_0.conda": {"constrains": ["boat <2"], "license_family": "BSD"}},
        "remove": [],
        "revoke": [],
    },
    "linux-64": {"packages": {"boat-1.0-h0_0.tar.bz2": {"depends": []}}},
}
INDEX_WITH_PATCH = """
import asyncio, os, sys
from rattler.index import index_fs
asyncio.run(index_fs(sys.argv[1], repodata_patch=sys.argv[2]))
os._exit(0)
"""
"""As a process of its own: py-rattler can crash while the interpreter shuts down."""


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    """Packages of both formats in the folders of two subdirs, one of them of patches, without any index."""
    folder = tmp_path / "ours"
    make_conda(folder / "noarch", "hull", "1.0")
    make_conda(folder / "noarch", "hull", "1.1", depends=["oar"])
    make_tar_bz2(folder / "noarch", "oar", "1.0")
    make_conda(folder / "noarch", "oar", "1.0")
    make_conda(folder / "linux-64", "boat", "1.0", subdir="linux-64", depends=["hull", "oar"])
    patches = {f"{subdir}/patch_instructions.json": json.dumps(each).encode() for subdir, each in PATCHES.items()}
    make_conda(folder / "noarch", "repodata-patches", payload=patches)
    return folder


def index(channel: Path, *options: str | Path) -> None:
    """``keelback index``; it has to work."""
    done = run_keelback(["index", str(channel), *map(str, options)])
    assert done.returncode == 0, done.stderr


def seen(channel: Path, tmp_path: Path, *, sharded: bool) -> dict[str, Any]:
    """What py-rattler sees in *channel*, wherever that is."""
    workdir = tmp_path / f"read-{channel.name}-{sharded}"
    found = rattler.records(channel.as_uri(), workdir, subdirs=SUBDIRS, sharded=sharded)
    for record in found.values():
        record["url"] = record["url"].removeprefix(channel.as_uri())
    return found


@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "repodata"])
def test_its_own_indexer_makes_the_same_of_the_same_folder(channel: Path, tmp_path: Path, *, sharded: bool) -> None:
    """To a reader there is no difference."""
    theirs = shutil.copytree(channel, tmp_path / "theirs")
    rattler.index(theirs, tmp_path / "indexer")
    index(channel)
    assert seen(channel, tmp_path, sharded=sharded) == seen(theirs, tmp_path, sharded=sharded)


@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "repodata"])
def test_the_same_package_of_patches_gives_the_same_records(channel: Path, tmp_path: Path, *, sharded: bool) -> None:
    """A ``.tar.bz2`` stands for the ``.conda`` of its name, and null takes a member away, to both."""
    name = "repodata-patches-1.0-h0_0.conda"
    theirs = shutil.copytree(channel, tmp_path / "theirs")
    subprocess.run(
        [sys.executable, "-c", INDEX_WITH_PATCH, theirs, name],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        check=True,
        timeout=120,
    )
    index(channel, "--patch", channel / "noarch" / name)
    ours = seen(channel, tmp_path, sharded=sharded)
    assert ours == seen(theirs, tmp_path, sharded=sharded)
    assert ours["noarch/oar-1.0-h0_0.conda"]["depends"] == ["raft >=2"]
    assert ours["linux-64/boat-1.0-h0_0.conda"]["depends"] == []
    assert wrong_records(channel) == set()


@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "repodata"])
def test_what_is_removed_is_neither_seen_nor_installed(channel: Path, tmp_path: Path, *, sharded: bool) -> None:
    """The newest one that is left is chosen; restored, the newest of all."""
    index(channel)
    index(channel, "--remove", "hull >=1.1")
    assert "noarch/hull-1.1-h0_0.conda" not in seen(channel, tmp_path, sharded=sharded)
    _, chosen = rattler.install(channel.as_uri(), "hull", tmp_path / "one", subdirs=SUBDIRS, sharded=sharded)
    assert list(chosen) == ["noarch/hull-1.0-h0_0.conda"]
    index(channel, "--restore", "hull")
    _, chosen = rattler.install(channel.as_uri(), "hull", tmp_path / "other", subdirs=SUBDIRS, sharded=sharded)
    assert "noarch/hull-1.1-h0_0.conda" in chosen


def test_a_channel_that_its_indexer_has_patched_keeps_its_records(channel: Path) -> None:
    """What is in its index stays as it is there, until ``--rebuild``: nobody but it knows what it has changed."""
    subprocess.run(
        [sys.executable, "-c", INDEX_WITH_PATCH, channel, "repodata-patches-1.0-h0_0.conda"],
        env={"PATH": os.environ["PATH"], "HOME": str(channel.parent)},
        check=True,
        timeout=120,
    )
    before = records(channel)
    index(channel)
    assert records(channel) == before
    index(channel, "--rebuild")
    assert records(channel)["oar-1.0-h0_0.conda"]["depends"] == []
