"""The bytes and hashes of an archive are those of the file that was checked."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from keelback.archive import inspect
from keelback.errors import SourceChanged
from making import make_big_conda, make_conda


@pytest.fixture
def archive(tmp_path):
    """A package of five blocks of 2000 bytes and a bit."""
    return inspect(make_conda(tmp_path, payload=10_000))


def test_hashes_are_those_of_the_file(archive):
    """SHA-256 and MD5, in lower-case hexadecimal."""
    data = archive.path.read_bytes()
    assert archive.sha256 == hashlib.sha256(data).hexdigest()
    assert archive.md5 == hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_hashes_are_computed_once_however_many_threads_ask(archive, monkeypatch):
    """Eight threads that ask at the same time read the file once, and once more for the other hash."""
    made = []
    new = hashlib.new
    monkeypatch.setattr(hashlib, "new", lambda name, **options: made.append(name) or new(name, **options))
    start = Barrier(8)

    def ask(number):
        start.wait()
        return archive.sha256 if number % 2 else archive.md5

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(8)))
    assert answers == {archive.sha256, archive.md5}
    assert sorted(made) == ["md5", "sha256"]


@pytest.mark.parametrize("size", [1, 999, 1 << 20])
def test_blocks_are_the_file(archive, size):
    """Put together they are the file, none is larger than asked for, and each keeps its bytes."""
    blocks = list(archive.blocks(size))
    assert b"".join(blocks) == archive.path.read_bytes()
    assert all(len(block) == size for block in blocks[:-1])
    assert sum(map(len, blocks)) == archive.size


def test_blocks_can_be_read_again(archive):
    """A retry sends the same body from the start."""
    assert b"".join(archive.blocks()) == b"".join(archive.blocks())


def test_a_block_has_at_least_one_byte(archive):
    """A size of nothing would never end."""
    with pytest.raises(ValueError, match="at least one"):
        next(archive.blocks(0))


def delete(path):
    """It is gone."""
    path.unlink()


def grow(path):
    """A build is still writing it."""
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path):
    """It is written again from the start."""
    os.truncate(path, 7_000)


def replace(path):
    """Another file with the same size and time: only the inode tells."""
    status = path.stat()
    other = path.with_suffix(".new")
    other.write_bytes(bytes(status.st_size))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def touch(path):
    """The same size, later: it was written again in place."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def become_a_folder(path):
    """Something else has its name."""
    path.unlink()
    path.mkdir()


CHANGES = pytest.mark.parametrize("change", [delete, grow, shrink, replace, touch, become_a_folder])


@CHANGES
def test_a_change_before_sending_is_noticed(archive, change):
    """Not one byte of a changed file is handed out."""
    change(archive.path)
    with pytest.raises(SourceChanged, match=archive.filename):
        next(archive.blocks())


@CHANGES
def test_a_change_while_sending_is_noticed_before_the_last_block(archive, change):
    """The body that a server got stays incomplete, so that it cannot take it for the package."""
    sent = 0
    blocks = archive.blocks(2_000)
    sent += len(next(blocks))
    change(archive.path)

    def rest():
        nonlocal sent
        for block in blocks:
            sent += len(block)

    with pytest.raises(SourceChanged, match=archive.filename):
        rest()
    assert sent < archive.size


@CHANGES
def test_a_change_before_hashing_is_noticed(archive, change):
    """A hash is never that of other bytes than those that were checked."""
    change(archive.path)
    with pytest.raises(SourceChanged):
        _ = archive.sha256


def test_a_file_that_can_no_longer_be_read(archive, monkeypatch):
    """A disk that fails ends the upload with the system's reason."""

    def fail(*_args, **_options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(archive.path), "open", fail)
    with pytest.raises(SourceChanged, match="Input/output error"):
        next(archive.blocks())


def test_renaming_the_folder_of_a_link_does_not_matter(tmp_path):
    """What is compared is the file: reading it, or linking to it, changes nothing."""
    archive = inspect(make_conda(tmp_path))
    os.link(archive.path, tmp_path / "other-name")
    assert b"".join(archive.blocks()) == archive.path.read_bytes()


def test_memory_does_not_grow_with_the_package(tmp_path):
    """Checking, hashing and reading 64 MB takes a few blocks of memory."""
    tracemalloc = pytest.importorskip("tracemalloc")
    path = make_big_conda(tmp_path / "big-1.0-0.conda", 64_000_000)
    tracemalloc.start()
    try:
        archive = inspect(path)
        _ = archive.sha256, archive.md5
        for _block in archive.blocks():
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


def test_it_shows_itself_in_one_line(archive):
    """For logs and debuggers: what it is, not all that it holds."""
    assert repr(archive) == f"<PackageArchive noarch/{archive.filename}, {archive.size} bytes>"
