"""The index of a channel: records, and the files that hold them.

What is written here is what CEP 36 (``repodata.json``) and CEP 16 (sharded repodata) describe, in the form that
rattler, conda and mamba read. Equal records give equal bytes, whatever the order in which they came.

A stranger's index is read for the names that are asked for, and passed over otherwise: one of millions of records
costs no more memory than its own bytes (:class:`Lookup`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar

import msgspec
import zstandard

from keelback.errors import ChannelError, KeelbackError
from keelback.secret import redact

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Iterator, Mapping

    from keelback.archive import PackageArchive

REPODATA: Final = "repodata.json"
REPODATA_ZST: Final = "repodata.json.zst"
SHARD_INDEX: Final = "repodata_shards.msgpack.zst"
SHARDS_FOLDER: Final = "shards"

REPODATA_LIMIT: Final = 512 << 20
"""How many bytes a server's ``repodata.json`` may have: conda-forge's largest has some two thirds of it."""

SHARD_INDEX_LIMIT: Final = 128 << 20
"""How many bytes a shard index may have without its compression: as many as conda reads of one."""

SHARD_LIMIT: Final = 16 << 20
"""How many bytes a shard may have without its compression: some ten thousand records."""

_ENTRY_LIMIT: Final = 1 << 20
"""How many bytes one record, or what an index says of itself, may have."""

_RATIO: Final = 100
"""How many times its size an index may unpack to: the hashes alone, in each record, keep honest ones far below."""
_UNQUESTIONED: Final = 16 << 20
"""Up to so many bytes, no matter how well they were packed."""

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
class Shard:
    """Where a shard is, and which bytes it has.

    Attributes:
        folder: its URL, absolute or relative to the index.
        sha256: of the shard as it is served, in hex; also its name.
    """

    folder: str
    sha256: str


def decode_shard_index(content: bytes, names: Collection[str]) -> dict[str, Shard]:
    """What ``repodata_shards.msgpack.zst`` says of the packages *names*; ``ChannelError`` where it is malformed."""
    parts = [("info", msgspec.Raw), ("shards", _only(names))]
    document: Any = _unpack(content, msgspec.defstruct("_ShardIndex", parts), SHARD_INDEX, SHARD_INDEX_LIMIT)
    folder = _decode_entry(document.info, _ShardInfo, SHARD_INDEX).shards_base_url
    return {
        name: Shard(folder, _decode_entry(entry, _Digest, SHARD_INDEX).hex())
        for name, entry in _taken(document.shards, names)
    }


def decode_shard_hashes(content: bytes) -> set[str]:
    """The hashes, in hex, of all shards that a channel's own index names; ``ChannelError`` where it is malformed."""
    return {digest.hex() for digest in _unpack(content, _AllShards, SHARD_INDEX, SHARD_INDEX_LIMIT).shards.values()}


def decode_shard(content: bytes, filenames: Collection[str]) -> dict[str, Listed]:
    """What a shard says of *filenames*, where it has them; ``ChannelError`` where it is malformed."""
    what = "a shard of repodata"
    document = _unpack(content, _listing(filenames), what, SHARD_LIMIT)
    entries = {filename: _decode_entry(entry, _BinaryEntry, what) for filename, entry in _records(document, filenames)}
    return {
        filename: Listed(
            None if entry.sha256 is None else entry.sha256.hex(),
            None if entry.md5 is None else entry.md5.hex(),
            entry.size,
        )
        for filename, entry in entries.items()
    }


def decode_listing(content: bytes | bytearray, filenames: Collection[str]) -> dict[str, Listed]:
    """What a ``repodata.json`` says of the hashes and sizes of *filenames*, leaving everything else unread.

    Raises:
        ChannelError: it is malformed.
    """
    found = {}
    for filename, record in _records(_decode(content, _listing(filenames)), filenames):
        entry = _decode(_small(record, REPODATA), _Entry)
        found[filename] = Listed(entry.sha256, entry.md5, entry.size)
    return found


class Lookup(Generic[T]):
    """What a document says of names: read for those that are asked for, all that are waiting at once.

    Of a document that may be hostile, or just large, nothing stays in memory but the answers.

    Args:
        read: gives what the document says of some names, those left out that it has not; may take time and memory.
        lock: held by whoever reads; shared by all documents of which only one is to be in memory at a time.
    """

    def __init__(self, read: Callable[[Collection[str]], Mapping[str, T]], lock: threading.Lock) -> None:
        self._read = read
        self._lock = lock
        self._asked: set[str] = set()
        self._answers: dict[str, T | None] = {}
        self._broken: KeelbackError | None = None

    def get(self, name: str) -> T | None:
        """What the document says of *name*; ``None`` where it has no such name.

        Raises:
            KeelbackError: it cannot be read; it is not tried again.
        """
        self._asked.add(name)
        with self._lock:
            if self._broken is not None:
                raise self._broken
            if name not in self._answers:
                self._answer(self._asked - self._answers.keys())
            return self._answers[name]

    def _answer(self, names: Collection[str]) -> None:
        try:
            found = self._read(names)
        except KeelbackError as error:
            self._broken = error
            raise
        self._answers.update({name: found.get(name) for name in names})


def compress_index(content: bytes) -> bytes:
    """An index to be kept for a while, packed quickly rather than well."""
    return zstandard.ZstdCompressor(level=1).compress(content)


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
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(content) as reader:
            while len(plain) <= most and (block := reader.read(_BLOCK)):
                plain += block
    except zstandard.ZstdError as error:
        raise ChannelError(f"malformed {what}: {error}", code="bad-index") from error
    if len(plain) > most:
        raise ChannelError(f"{what}, unpacked, is larger than {most} bytes", code="bad-index")
    return plain


def unpack(content: bytes, what: str, most: int) -> bytearray:
    """As :func:`decompress`, of an index from a server, which may be a bomb.

    Raises:
        ChannelError: also where it has more bytes than any honest index that was packed into so few.
    """
    return decompress(content, what, min(most, max(_UNQUESTIONED, _RATIO * len(content))))


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


def _decode(content: bytes | bytearray | memoryview, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        hint = (
            "make it anew with the tool that wrote it, or move it away: it is then made from the files that are there"
        )
        raise ChannelError(f"malformed {REPODATA}: {error}", hint=hint, code="bad-index") from error


def _unpack(content: bytes, kind: type[T], what: str, most: int) -> T:
    return _from_msgpack(unpack(content, what, most), kind, what)


def _from_msgpack(content: bytearray | memoryview, kind: type[T], what: str) -> T:
    try:
        return msgspec.msgpack.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ChannelError(f"malformed {what}: {error}", code="bad-index") from error


def _decode_entry(entry: msgspec.Raw, kind: type[T], what: str) -> T:
    return _from_msgpack(_small(entry, what), kind, what)


def _small(entry: msgspec.Raw, what: str) -> memoryview:
    """*entry*, if it is not so large that a string in it, decoded, could fill the memory."""
    view = memoryview(entry)
    if len(view) > _ENTRY_LIMIT:
        raise ChannelError(f"malformed {what}: an entry of {len(view)} bytes", code="bad-index")
    return view


_ABSENT: Final = msgspec.Raw()


def _only(names: Collection[str]) -> type[msgspec.Struct]:
    """A type that takes from a map what stands there under *names*, as it is, and passes over all else.

    A decoder makes nothing of the fields that a type has not: this is what keeps a hostile index small.
    """
    fields = [
        (f"field_{number}", msgspec.Raw, msgspec.field(name=name, default=_ABSENT)) for number, name in enumerate(names)
    ]
    return msgspec.defstruct("_Only", fields)


def _taken(found: msgspec.Struct, names: Collection[str]) -> Iterator[tuple[str, msgspec.Raw]]:
    """What is there of *names*, in what has been decoded by their type."""
    for name, entry in zip(names, msgspec.structs.astuple(found), strict=True):
        if entry is not _ABSENT:
            yield name, entry


def _listing(filenames: Collection[str]) -> type[msgspec.Struct]:
    """The type of a ``repodata.json`` or a shard that takes the records of *filenames* only."""
    part = _only(filenames)
    packages = msgspec.field(default_factory=part)
    conda = msgspec.field(name="packages.conda", default_factory=part)
    return msgspec.defstruct("_Listing", [("packages", part, packages), ("conda", part, conda)])


def _records(document: Any, filenames: Collection[str]) -> Iterator[tuple[str, msgspec.Raw]]:
    """The records in a document of the type :func:`_listing`."""
    yield from _taken(document.packages, filenames)
    yield from _taken(document.conda, filenames)


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


class _BinaryEntry(msgspec.Struct):
    sha256: bytes | None = None
    md5: bytes | None = None
    size: int | None = None


class _ShardInfo(msgspec.Struct):
    shards_base_url: str = "./shards/"


class _AllShards(msgspec.Struct):
    shards: dict[str, bytes]


_Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
