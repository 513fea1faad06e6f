"""Files with patches, whose author may mean harm: no more of them is read than patches have."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from keelback.channels import patchfiles
from keelback.channels.patchfiles import read_patches
from keelback.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that small files pass."""
    monkeypatch.setattr(patchfiles, "LARGEST", 1 << 20)
    monkeypatch.setattr(patchfiles, "_LARGEST_PACKAGE", 4 << 20)


@pytest.mark.parametrize("name", ["patch.json", "noarch/patch_instructions.json"])
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, name: str) -> None:
    """Neither by itself, nor in a folder: it may have more than there is memory for."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(16 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match="has instructions of more than"):
            read_patches(path if name == "patch.json" else tmp_path, ["noarch"])
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
        path.unlink()


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [
        ("x" * (2 << 20), 0, "header of"),
        ("other", 8 << 20, "unpacks to more than"),
        ("noarch/patch_instructions.json", 2 << 20, "more than"),
    ],
    ids=["name", "unpacked", "instructions"],
)
def test_a_package_that_unpacks_without_end_is_refused(tmp_path: Path, name: str, size: int, why: str) -> None:
    """However small it is as a file; not even a name in it is taken as it is."""
    path = tmp_path / "patches-1-0.tar.bz2"
    with tarfile.open(path, "w:bz2", format=tarfile.GNU_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.size = size
        tar.addfile(member, io.BytesIO(bytes(size)))
    with pytest.raises(UsageError, match=why) as caught:
        read_patches(path, [])
    assert caught.value.message.startswith(str(path))
    assert len(caught.value.message) < 500
