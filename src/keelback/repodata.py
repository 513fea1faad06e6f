"""The index of a channel: records, and the files that hold them.

What is written here is what CEP 36 (``repodata.json``) and CEP 16 (sharded repodata) describe, in the form that
rattler, conda and mamba read. Equal records give equal bytes, whatever the order in which they came.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
import zstandard

from keelback.errors import ChannelError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.archive import PackageArchive

REPODATA: Final = "repodata.json"
REPODATA_ZST: Final = "repodata.json.zst"
SHARD_INDEX: Final = "repodata_shards.msgpack.zst"
SHARDS_FOLDER: Final = "shards"

LARGEST: Final = 1 << 30
"""No index is unpacked beyond this many bytes: conda-forge's largest has a third of it."""

_BLOCK: Final = 1 << 20
_LEVEL: Final = 9
"""Of compression: the levels above it take ten times as long for a tenth of the size."""

_LATEST_VERSION: Final = 2
"""Of ``repodata.json``: with ``info.base_url`` (CEP 15)."""

Record = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listed:
    """What a channel says of a file it has; ``None`` for what it does not say.

    Attributes:
        sha256, md5: hex.
        size: in bytes.
    """

    sha256: str | None = None
    md5: str | None = None
    size: int | None = None

    def same_bytes(self, archive: PackageArchive) -> bool | None:
        """Whether *archive* has the same bytes, by the best that is known; ``None`` where nothing decides it."""
        if self.size is not None and self.size != archive.size:
            return False
        if self.sha256 is not None:
            return self.sha256.lower() == archive.sha256
        if self.md5 is not None:
            return self.md5.lower() == archive.md5
        return None


def record_of(archive: PackageArchive) -> Record:
    """The record of *archive*: its index.json, with subdir, size and hashes (CEP 36, package records)."""
    return {
        "depends": [],
        **archive.index,
        "subdir": archive.subdir,
        "size": archive.size,
        "md5": archive.md5,
        "sha256": archive.sha256,
    }


def same_file(one: Record, other: Record) -> bool:
    """Whether two records are of the same bytes: by the SHA-256, or by the MD5 where old records have no other."""
    algorithm = next((name for name in ("sha256", "md5") if one.get(name) and other.get(name)), None)
    return algorithm is not None and str(one[algorithm]).lower() == str(other[algorithm]).lower()


@dataclass(slots=True)
class Repodata:
    """What the index of a subdir says.

    Attributes:
        records: from file name to record.
        others: what else is in the document, as somebody else wrote it: signatures, names of removed files.
    """

    records: dict[str, Record] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)

    def put(self, filename: str, record: Record) -> None:
        """Have *record* as that of *filename*, which is not among the removed ones any more."""
        self.records[filename] = record
        if filename in self.others.get("removed", ()):
            self.others["removed"] = [name for name in self.others["removed"] if name != filename]


def encode_repodata(subdir: str, repodata: Repodata) -> bytes:
    """``repodata.json`` of *subdir*; ``ChannelError`` where a record cannot be written."""
    packages, conda = _by_format(repodata.records)
    document = {
        "removed": [],
        "repodata_version": 1,
        **repodata.others,
        "info": {**repodata.others.get("info", {}), "subdir": subdir},
        "packages": packages,
        "packages.conda": conda,
    }
    try:
        return msgspec.json.encode(document, order="sorted")
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise ChannelError(f"{REPODATA} cannot be written: {error}", code="bad-index") from error


def check_repodata(content: bytes) -> None:
    """See that keelback can add to this ``repodata.json``, without building what is in it.

    Raises:
        ChannelError: it is malformed, has its files elsewhere (``info.base_url``, CEP 15), or records of a kind that
            keelback does not write yet (``v3``, CEP 48).
    """
    document = _decode(content, _Repodata)
    if document.info.base_url not in (None, "", ".", "./"):
        raise ChannelError(
            f"{REPODATA} says that its files are at {redact(str(document.info.base_url))}",
            hint="publish to where that is, or take base_url out of it",
            code="bad-index",
        )
    if document.v3 or document.repodata_version > _LATEST_VERSION:
        raise ChannelError(
            f"{REPODATA} has records of a kind that keelback does not write yet",
            hint="publish with the tool that wrote it",
            code="bad-index",
        )


def decode_repodata(content: bytes) -> Repodata:
    """All that a ``repodata.json`` says; an empty file says nothing (CEP 36).

    Raises:
        ChannelError: as for :func:`check_repodata`.
    """
    check_repodata(content)
    others = _decode(content, dict[str, Any])
    records = others.pop("packages", {}) | others.pop("packages.conda", {})
    return Repodata(records, others)


def compress_repodata(content: bytes) -> bytes:
    """``repodata.json.zst`` from ``repodata.json``."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(content)


def encode_shards(records: Mapping[str, Record]) -> dict[str, tuple[str, bytes]]:
    """The shard of each package name: ``{name: (hex sha256 of the shard, the shard)}`` (CEP 16, shard format).

    Clients look for names in lower case, whatever the record says.

    Raises:
        ChannelError: a record cannot be written.
    """
    by_name: dict[str, dict[str, Record]] = {}
    for filename, record in records.items():
        by_name.setdefault(record["name"].lower(), {})[filename] = record
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    shards = {}
    for name, members in by_name.items():
        packages, conda = _by_format({filename: _binary(record) for filename, record in members.items()})
        content = compressor.compress(
            _pack({"packages": packages, "packages.conda": conda, "removed": []}, f"the shard of {name}")
        )
        shards[name] = (hashlib.sha256(content).hexdigest(), content)
    return shards


def encode_shard_index(subdir: str, hashes: Mapping[str, str]) -> bytes:
    """``repodata_shards.msgpack.zst``: from package name to the hex hash of its shard (CEP 16, index format)."""
    document = {
        "info": {"subdir": subdir, "base_url": "./", "shards_base_url": f"./{SHARDS_FOLDER}/"},
        "version": 1,
        "shards": {name: bytes.fromhex(digest) for name, digest in hashes.items()},
    }
    return zstandard.ZstdCompressor(level=_LEVEL).compress(_pack(document, SHARD_INDEX))


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Where the shards of a subdir are.

    Attributes:
        base_url: where the shards are, absolute or relative to the index.
        shards: from package name to the hex hash of its shard.
    """

    base_url: str
    shards: Mapping[str, str]


def decode_shard_index(content: bytes) -> ShardIndex:
    """What ``repodata_shards.msgpack.zst`` says; ``ChannelError`` where it is malformed."""
    document = _unpack(content, _ShardIndex, SHARD_INDEX)
    return ShardIndex(document.info.shards_base_url, {name: digest.hex() for name, digest in document.shards.items()})


def decode_shard(content: bytes) -> dict[str, Listed]:
    """What a shard says, from file name; ``ChannelError`` where it is malformed."""
    shard = _unpack(content, _Shard, "a shard of repodata")
    return {
        filename: Listed(
            None if entry.sha256 is None else entry.sha256.hex(),
            None if entry.md5 is None else entry.md5.hex(),
            entry.size,
        )
        for filename, entry in (shard.packages | shard.conda).items()
    }


def decode_listing(content: bytes) -> dict[str, Listed]:
    """What a ``repodata.json`` says of hashes and sizes, from file name, leaving everything else unread."""
    document = _decode(content, _Listing)
    return {
        filename: Listed(entry.sha256, entry.md5, entry.size)
        for filename, entry in (document.packages | document.conda).items()
    }


def decompress(content: bytes, what: str) -> bytes:
    """*content* without its Zstandard compression, of at most :data:`LARGEST` bytes; ``ChannelError`` otherwise."""
    plain = bytearray()
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(content) as reader:
            while len(plain) <= LARGEST and (block := reader.read(_BLOCK)):
                plain += block
    except zstandard.ZstdError as error:
        raise ChannelError(f"malformed {what}: {error}", code="bad-index") from error
    if len(plain) > LARGEST:
        raise ChannelError(f"{what} is larger than {LARGEST} bytes", code="bad-index")
    return bytes(plain)


def _by_format(records: Mapping[str, Record]) -> tuple[dict[str, Record], dict[str, Record]]:
    packages = {name: record for name, record in records.items() if not name.endswith(".conda")}
    conda = {name: record for name, record in records.items() if name.endswith(".conda")}
    return packages, conda


def _binary(record: Record) -> Record:
    """A record as shards hold it: hashes as bytes."""
    hashes = {key: bytes.fromhex(record[key]) for key in ("md5", "sha256") if record.get(key)}
    return {**record, **hashes}


def _pack(document: object, what: str) -> bytes:
    try:
        return msgspec.msgpack.encode(document, order="sorted")
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise ChannelError(f"{what} cannot be written: {error}", code="bad-index") from error


def _decode(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        hint = (
            "make it anew with the tool that wrote it, or move it away: it is then made from the files that are there"
        )
        raise ChannelError(f"malformed {REPODATA}: {error}", hint=hint, code="bad-index") from error


def _unpack(content: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.msgpack.decode(decompress(content, what), type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ChannelError(f"malformed {what}: {error}", code="bad-index") from error


class _Checked(msgspec.Struct):
    name: str
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f]{64}$")] | None = None
    md5: Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f]{32}$")] | None = None
    size: int | None = None


class _Info(msgspec.Struct):
    base_url: str | None = None


class _Repodata(msgspec.Struct):
    info: _Info = msgspec.field(default_factory=_Info)
    packages: dict[str, _Checked] = {}
    conda: dict[str, _Checked] = msgspec.field(name="packages.conda", default_factory=dict)
    removed: list[str] = []
    repodata_version: int = 1
    v3: dict[str, Any] = {}


class _Entry(msgspec.Struct):
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None


class _Listing(msgspec.Struct):
    packages: dict[str, _Entry] = {}
    conda: dict[str, _Entry] = msgspec.field(name="packages.conda", default_factory=dict)


class _BinaryEntry(msgspec.Struct):
    sha256: bytes | None = None
    md5: bytes | None = None
    size: int | None = None


class _Shard(msgspec.Struct):
    packages: dict[str, _BinaryEntry] = {}
    conda: dict[str, _BinaryEntry] = msgspec.field(name="packages.conda", default_factory=dict)


class _ShardInfo(msgspec.Struct):
    shards_base_url: str = "./shards/"


class _ShardIndex(msgspec.Struct):
    info: _ShardInfo
    shards: dict[str, bytes]
