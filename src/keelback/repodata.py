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
from keelback.indexed import package_name
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from keelback.archive import PackageArchive


REPODATA: Final = "repodata.json"

REPODATA_ZST: Final = "repodata.json.zst"

SHARD_INDEX: Final = "repodata_shards.msgpack.zst"

SHARDS_FOLDER: Final = "shards"

OUTDATED: Final = (
    "current_repodata.json",
    "current_repodata.json.bz2",
    "current_repodata.json.zst",
    "repodata.json.bz2",
    "repodata.jlap",
    "repodata_from_packages.json.bz2",
    "repodata_from_packages.json.zst",
)
"""What other indexers write beside the index; once it has changed, a reader that took one of them would miss files."""

SHARD_INDEX_LIMIT: Final = 128 << 20
"""How many bytes a shard index may have without its compression: as many as conda reads of one."""

_PACKED_AT_ONCE: Final = 1 << 10
"""How many bytes are unpacked at a time: of so few, a bomb makes some thirty megabytes."""

_LEVEL: Final = 9
"""Of compression: the levels above it take ten times as long for a tenth of the size."""

_LATEST_VERSION: Final = 2
"""Of ``repodata.json``: with ``info.base_url`` (CEP 15)."""

Record = dict[str, Any]

T = TypeVar("T")


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

    @property
    def removed(self) -> list[str]:
        """The names of files that were listed once, and are not to be any more."""
        names: list[str] = self.others.get("removed", [])
        return names

    def put(self, filename: str, record: Record) -> None:
        """Have *record* as that of *filename*, which is not among the removed ones any more."""
        self.records[filename] = record
        self.relist([filename])

    def relist(self, filenames: Collection[str]) -> None:
        """Have *filenames* not among the removed ones any more."""
        if not set(filenames).isdisjoint(self.removed):
            self.others["removed"] = [name for name in self.removed if name not in filenames]


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


def check_repodata(content: bytes, what: str = REPODATA) -> None:
    """See that keelback can add to this ``repodata.json``, without building what is in it.

    Args:
        content: the document.
        what: what to call it in errors.

    Raises:
        ChannelError: it is malformed, has its files elsewhere (``info.base_url``, CEP 15), or records of a kind that
            keelback does not write yet (``v3``, CEP 48).
    """
    document = decode_json(content, _Repodata, what)
    if document.info.base_url not in (None, "", ".", "./"):
        raise ChannelError(
            f"{what} says that its files are at {redact(str(document.info.base_url))}",
            hint="Publish to where that is, or take base_url out of it.",
            code="bad-index",
        )
    if document.v3 or document.repodata_version > _LATEST_VERSION:
        raise ChannelError(
            f"{what} has records of a kind that keelback does not write yet",
            hint="Publish with the tool that wrote it.",
            code="bad-index",
        )


def decode_repodata(content: bytes, what: str = REPODATA) -> Repodata:
    """All that a ``repodata.json`` says; an empty file says nothing (CEP 36).

    Args:
        content: the document.
        what: what to call it in errors.

    Raises:
        ChannelError: as for :func:`check_repodata`.
    """
    check_repodata(content, what)
    others = decode_json(content, dict[str, Any], what)
    records = others.pop("packages", {}) | others.pop("packages.conda", {})
    return Repodata(records, others)


def compress_repodata(content: bytes) -> bytes:
    """``repodata.json.zst`` from ``repodata.json``."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(content)


def encode_shards(records: Mapping[str, Record], removed: Iterable[str] = ()) -> dict[str, tuple[str, bytes]]:
    """The shard of each package name: ``{name: (hex sha256 of the shard, the shard)}`` (CEP 16, shard format).

    Clients look for names in lower case, whatever the record says.

    Args:
        records: all that the index has, by file name.
        removed: the names of files that it does not list any more; told where there are others of the same package.

    Raises:
        ChannelError: a record cannot be written.
    """
    by_name: dict[str, dict[str, Record]] = {}
    for filename, record in records.items():
        by_name.setdefault(record["name"].lower(), {})[filename] = record
    gone: dict[str, list[str]] = {}
    for filename in sorted(removed):
        gone.setdefault(package_name(filename).lower(), []).append(filename)
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    shards = {}
    for name, members in by_name.items():
        packages, conda = _by_format({filename: _binary(record) for filename, record in members.items()})
        document = {"packages": packages, "packages.conda": conda, "removed": gone.get(name, [])}
        content = compressor.compress(_pack(document, f"the shard of {name}"))
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


def decode_shard_hashes(content: bytes) -> set[str]:
    """The hashes, in hex, of all shards that a channel's own index names; ``ChannelError`` where it is malformed."""
    plain = decompress(content, SHARD_INDEX, SHARD_INDEX_LIMIT)
    return {digest.hex() for digest in decode_msgpack(plain, _AllShards, SHARD_INDEX).shards.values()}


def decompress(content: bytes, what: str, most: int) -> bytearray:
    """*content* without its Zstandard compression.

    Args:
        content: what was read.
        what: what to call it in errors.
        most: how many bytes it may have.

    Raises:
        ChannelError: it is malformed, or has more than *most* bytes.
    """
    plain = bytearray()
    for piece in decompressed([content], what):
        plain += piece
        if len(plain) > most:
            raise ChannelError(f"{what}, unpacked, is larger than {most} bytes", code="bad-index")
    return plain


def decompressed(pieces: Iterable[bytes], what: str) -> Iterator[bytes]:
    """*pieces*, which are one Zstandard frame together, without their compression.

    Of each, only so little is unpacked at a time that what comes of it has its place in memory.

    Raises:
        ChannelError: it is malformed, ends too early, or something comes after its end.
    """
    frame = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    try:
        for piece in pieces:
            for start in range(0, len(piece), _PACKED_AT_ONCE):
                if frame.eof:
                    raise ChannelError(f"malformed {what}: something comes after its end", code="bad-index")
                yield frame.decompress(piece[start : start + _PACKED_AT_ONCE])
    except zstandard.ZstdError as error:
        raise ChannelError(f"malformed {what}: {error}", code="bad-index") from error
    if not frame.eof:
        raise ChannelError(f"malformed {what}: it ends too early", code="bad-index")
    if frame.unused_data:
        raise ChannelError(f"malformed {what}: something comes after its end", code="bad-index")


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


def decode_json(content: bytes | bytearray, kind: type[T], what: str = REPODATA) -> T:
    """A ``repodata.json``, or a part of one, as *kind*; ``ChannelError``, which names *what*, where it is malformed."""
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise malformed(error, what) from error


def malformed(why: object, what: str = REPODATA) -> ChannelError:
    """The error for *what*, a ``repodata.json``, with *why* in it."""
    hint = "Make it anew with the tool that wrote it, or move it away: it is then made from the files that are there."
    return ChannelError(f"malformed {what}: {why}", hint=hint, code="bad-index")


def decode_msgpack(content: bytearray | memoryview, kind: type[T], what: str) -> T:
    """MessagePack as *kind*; ``ChannelError``, which calls it *what*, where it is malformed."""
    try:
        return msgspec.msgpack.decode(content, type=kind)
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


class _AllShards(msgspec.Struct):
    shards: dict[str, bytes]
