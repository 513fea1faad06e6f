"""Reads the index of a channel in a folder without any code of keelback, so that it can tell whether that is right."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
import zstandard

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

INDEX: Final = ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst")
ARCHIVES: Final = (".conda", ".tar.bz2")

Record = dict[str, Any]


def files(channel: Path, subdir: str) -> set[str]:
    """The names of the archives in *subdir*."""
    return {path.name for path in (channel / subdir).iterdir() if path.name.endswith(ARCHIVES)}


def subdirs(channel: Path) -> list[str]:
    """The subdirs that are there."""
    return sorted(path.name for path in channel.iterdir() if path.is_dir() and not path.name.startswith("."))


def records(channel: Path, subdir: str = "noarch", form: str = "repodata.json") -> dict[str, Record]:
    """From file name to record, as one *form* of the index has it; hashes in hex."""
    content = (channel / subdir / form).read_bytes()
    if form == "repodata_shards.msgpack.zst":
        return from_shards(channel / subdir, content)
    return from_document(json.loads(unpacked(content) if form.endswith(".zst") else content), subdir)


def from_document(document: Record, subdir: str) -> dict[str, Record]:
    """The records of a ``repodata.json``, which has to be a valid one (CEP 36)."""
    assert document["info"]["subdir"] == subdir
    assert document["repodata_version"] in (1, 2)
    assert isinstance(document.get("removed", []), list)
    return joined(document)


def from_shards(folder: Path, content: bytes) -> dict[str, Record]:
    """The records of all shards that a shard index names, which has to be a valid one (CEP 16)."""
    document = msgspec.msgpack.decode(unpacked(content))
    assert document["info"] == {"subdir": folder.name, "base_url": "./", "shards_base_url": "./shards/"}
    assert document["version"] == 1
    found = {}
    for name, digest in document["shards"].items():
        assert isinstance(digest, bytes)
        compressed = (folder / "shards" / f"{digest.hex()}.msgpack.zst").read_bytes()
        assert hashlib.sha256(compressed).digest() == digest
        shard = msgspec.msgpack.decode(unpacked(compressed))
        assert shard.keys() == {"packages", "packages.conda", "removed"}
        for filename, record in joined(shard).items():
            assert record["name"].lower() == name
            for algorithm, length in (("md5", 16), ("sha256", 32)):
                if record.get(algorithm) is not None:
                    assert isinstance(record[algorithm], bytes)
                    assert len(record[algorithm]) == length
                    record[algorithm] = record[algorithm].hex()
            found[filename] = record
    return found


def joined(document: Record) -> dict[str, Record]:
    """``packages`` and ``packages.conda`` of *document*, with each file in the right one of them."""
    assert all(name.endswith(".tar.bz2") for name in document["packages"])
    assert all(name.endswith(".conda") for name in document["packages.conda"])
    return {**document["packages"], **document["packages.conda"]}


def shard_names(channel: Path, subdir: str = "noarch") -> set[str]:
    """The package names that the shard index has."""
    return set(msgspec.msgpack.decode(unpacked((channel / subdir / INDEX[-1]).read_bytes()))["shards"])


def unpacked(content: bytes) -> bytes:
    """*content* without its Zstandard compression."""
    return zstandard.ZstdDecompressor().stream_reader(content).read()


def wrong_records(channel: Path) -> set[str]:
    """``SUBDIR/FILE`` of every record, in any form of the index that is there, with which a download would fail."""
    return {
        f"{subdir}/{name}"
        for subdir in subdirs(channel)
        for form in INDEX
        if (channel / subdir / form).exists()
        for name, record in records(channel, subdir, form).items()
        if not agrees(channel / subdir / name, record)
    }


def agrees(path: Path, record: Record) -> bool:
    """Whether the file is there, with the size and the hashes of *record*."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    hashes = (hashlib.md5(content, usedforsecurity=False).hexdigest(), hashlib.sha256(content).hexdigest())
    return (len(content), *hashes) == (record["size"], record["md5"], record["sha256"])


def assert_complete(channel: Path, expected: Collection[str] | None = None) -> None:
    """All forms of all indexes list exactly the files that are there, with their hashes; there is nothing else.

    Args:
        channel: the folder.
        expected: ``SUBDIR/FILE`` of all files there should be.
    """
    found = {f"{subdir}/{name}" for subdir in subdirs(channel) for name in files(channel, subdir)}
    if expected is not None:
        assert found == set(expected)
    assert "noarch" in subdirs(channel)
    assert wrong_records(channel) == set()
    for subdir in subdirs(channel):
        plain, compressed, sharded = (records(channel, subdir, form) for form in INDEX)
        assert plain == compressed == sharded
        assert plain.keys() == files(channel, subdir)
        others = {path.name for path in (channel / subdir).iterdir()} - files(channel, subdir)
        assert others == {*INDEX, "shards"}
    assert [path.name for path in (channel / ".keelback").iterdir()] == ["channel.lock"]


def index_bytes(channel: Path) -> dict[str, bytes]:
    """The bytes of every form of every index, and so, by their hashes, of the shards."""
    return {f"{subdir}/{form}": (channel / subdir / form).read_bytes() for subdir in subdirs(channel) for form in INDEX}


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below *folder*: when it was changed, and what is in it."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }
