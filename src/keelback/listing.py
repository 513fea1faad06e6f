"""What the index of somebody else's channel says of some files.

It may be very large, or malicious. So one of shards is read for the names that are asked for, and passed over otherwise
(:class:`Lookup`); and of ``repodata.json``, a piece at a time, fifty bytes a record stay (:class:`Listing`).
"""

from __future__ import annotations

import re
import struct
import traceback
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Generic, TypeVar

import msgspec

from keelback.errors import ChannelError, KeelbackError
from keelback.repodata import (
    REPODATA,
    SHARD_INDEX,
    SHARD_INDEX_LIMIT,
    decode_json,
    decode_msgpack,
    decompress,
    malformed,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Iterator, Mapping

    from keelback.archive import PackageArchive

T = TypeVar("T")


REPODATA_LIMIT: Final = 512 << 20
"""How many bytes a server's ``repodata.json`` may have: conda-forge's largest has some two thirds of it."""

SHARD_LIMIT: Final = 16 << 20
"""How many bytes a shard may have without its compression: some ten thousand records."""

SHARDS_LIMIT: Final = 500_000
"""How many packages an index of shards may have where all of them are kept: ten times conda-forge's."""

RECORDS_LIMIT: Final = 3_000_000
"""How many records a server's ``repodata.json`` may have: several times those of conda-forge's largest."""

_ENTRY_LIMIT: Final = 1 << 20
"""How many bytes one record, or what an index says of itself, may have."""

_RATIO: Final = 100
"""How many times its size an index may unpack to: the hashes alone, in each record, keep honest ones far below."""

_UNQUESTIONED: Final = 16 << 20
"""Up to so many bytes, no matter how well they were packed."""

_PIECE: Final = 1 << 20
"""How many bytes of ``repodata.json`` are made into objects at a time."""

_RECORD_LIMIT: Final = 4 << 20
"""How many bytes of it may pass without a record that ends."""

_GUESSES: Final = 8
"""How many braces are tried, from the last one on, as the end of a record."""

_COMMA: Final = re.compile(rb"[ \t\r\n]*,")


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


@dataclass(frozen=True, slots=True)
class Shard:
    """Where a shard is, and which bytes it has.

    Attributes:
        folder: its URL, absolute or relative to the index.
        sha256: of the shard as it is served, in hex; also its name.
    """

    folder: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """What an index of shards says.

    Attributes:
        base_url: where the packages are, absolute or relative to the index.
        folder: where the shards are, likewise.
        digests: from the name of a package to the SHA-256 of its shard.
    """

    base_url: str
    folder: str
    digests: Mapping[str, bytes]

    def get(self, name: str) -> Shard | None:
        """The shard of the package *name*; ``None`` where there is none."""
        digest = self.digests.get(name)
        return None if digest is None else Shard(self.folder, digest.hex())


def decode_shard_index(content: bytes, names: Collection[str]) -> dict[str, Shard]:
    """What ``repodata_shards.msgpack.zst`` says of the packages *names*; ``ChannelError`` where it is malformed."""
    parts = [("info", msgspec.Raw), ("shards", _only(names))]
    document: Any = _unpack(content, msgspec.defstruct("_ShardIndex", parts), SHARD_INDEX, SHARD_INDEX_LIMIT)
    folder = _decode_entry(document.info, _ShardInfo, SHARD_INDEX).shards_base_url
    return {
        name: Shard(folder, _decode_entry(entry, _Digest, SHARD_INDEX).hex())
        for name, entry in _taken(document.shards, names)
    }


def decode_whole_shard_index(content: bytes, what: str) -> ShardIndex:
    """All that ``repodata_shards.msgpack.zst`` says, which is called *what* in errors; ``ChannelError`` as above."""
    document = _unpack(content, _WholeShardIndex, what, SHARD_INDEX_LIMIT)
    info = _decode_entry(document.info, _ShardInfo, what)
    return ShardIndex(info.base_url, info.shards_base_url, document.shards)


def decode_shard(content: bytes, filenames: Collection[str]) -> dict[str, Listed]:
    """What a shard says of *filenames*, where it has them; ``ChannelError`` where it is malformed."""
    what = "a shard of repodata"
    document = _unpack(content, _shard(filenames), what, SHARD_LIMIT)
    entries = {filename: _decode_entry(entry, _BinaryEntry, what) for filename, entry in _records(document, filenames)}
    return {
        filename: Listed(
            None if entry.sha256 is None else entry.sha256.hex(),
            None if entry.md5 is None else entry.md5.hex(),
            entry.size,
        )
        for filename, entry in entries.items()
    }


class Listing:
    """What a ``repodata.json`` says of hashes and sizes, in a fiftieth of the memory that its records would take.

    Args:
        content: the document.

    Raises:
        ChannelError: it is malformed, or has more than :data:`RECORDS_LIMIT` records.
    """

    _ROW: ClassVar[struct.Struct] = struct.Struct("<b32sq")
    """How many bytes the hash has, which tells its kind; the hash; the size, or -1."""

    def __init__(self, content: bytes | bytearray) -> None:
        self._parts: list[tuple[array[int], bytes]] = []
        """Keys, in order, and their rows."""
        count = 0
        sections = decode_json(content, _Sections)
        for section in (sections.packages, sections.conda):
            for members in _pieces(memoryview(section)):
                count += len(members)
                if count > RECORDS_LIMIT:
                    raise ChannelError(f"{REPODATA} has more than {RECORDS_LIMIT} records", code="bad-index")
                self._add(members)

    def get(self, filename: str) -> Listed | None:
        """What it says of *filename*; ``None`` where it has no such file."""
        key = hash(filename)
        for keys, rows in self._parts:
            place = bisect_left(keys, key)
            if place < len(keys) and keys[place] == key:
                return self._listed(*self._ROW.unpack_from(rows, place * self._ROW.size))
        return None

    def _add(self, members: Mapping[str, _Entry]) -> None:
        by_key = {hash(filename): entry for filename, entry in members.items()}
        keys = array("q", sorted(by_key))
        self._parts.append((keys, b"".join(self._row(by_key[key]) for key in keys)))

    def _row(self, entry: _Entry) -> bytes:
        try:
            digest = bytes.fromhex(entry.sha256 or entry.md5 or "")
        except ValueError:
            raise malformed("a hash that is not in hex") from None
        if len(digest) != (32 if entry.sha256 else 16 if entry.md5 else 0):
            raise malformed(f"a hash of {len(digest)} bytes")
        return self._ROW.pack(len(digest), digest, -1 if entry.size is None else entry.size)

    @staticmethod
    def _listed(length: int, digest: bytes, size: int) -> Listed:
        return Listed(
            sha256=digest.hex() if length == 32 else None,
            md5=digest[:length].hex() if length == 16 else None,
            size=None if size < 0 else size,
        )


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
            forget_frames(error)
            self._broken = error
            raise
        self._answers.update({name: found.get(name) for name in names})


def forget_frames(error: BaseException | None) -> None:
    """Have *error*, which is to be kept, not keep what the functions that failed were working on: a whole index."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def unpack(content: bytes, what: str, most: int) -> bytearray:
    """As :func:`decompress`, of an index from a server, which may be a bomb.

    Raises:
        ChannelError: also where it has more bytes than any honest index that was packed into so few.
    """
    return decompress(content, what, most_unpacked(len(content), most))


def most_unpacked(packed: int, most: int) -> int:
    """How many bytes an index of *packed* bytes may unpack to, of *most* that any index may have."""
    return min(most, max(_UNQUESTIONED, _RATIO * packed))


def _pieces(section: memoryview) -> Iterator[dict[str, _Entry]]:
    """The records of *section*, a well-formed JSON value, some at a time."""
    if bytes(section[:1]) != b"{":
        raise malformed("records that are no object")
    start, end, size = 1, len(section) - 1, _PIECE
    while end - start > size:
        found = _whole_records(bytes(section[start : start + size]))
        if found is not None:
            records, length = found
            yield records
            start, size = start + length, _PIECE
        elif size < _RECORD_LIMIT:
            size *= 2
        else:
            raise malformed(f"a record of more than {size} bytes")
    yield decode_json(b"{%b}" % bytes(section[start:end]), dict[str, _Entry])


def _whole_records(window: bytes) -> tuple[dict[str, _Entry], int] | None:
    """The records with which *window* begins, and the length of their text; ``None`` where no end of one is found.

    Where a record ends is a guess, but a sure one once it works: had the text up to there ended within a record, or
    within a string, it would not be whole with one more brace.
    """
    stop = len(window)
    for _ in range(_GUESSES):
        stop = window.rfind(b"}", 0, stop)
        if stop < 0:
            break
        comma = _COMMA.match(window, stop + 1)
        if comma is None:
            continue
        try:
            return msgspec.json.decode(b"{%b}" % window[: stop + 1], type=dict[str, _Entry]), comma.end()
        except msgspec.ValidationError as error:
            raise malformed(error) from error
        except (msgspec.MsgspecError, RecursionError):
            continue
    return None


def _unpack(content: bytes, kind: type[T], what: str, most: int) -> T:
    return decode_msgpack(unpack(content, what, most), kind, what)


def _decode_entry(entry: msgspec.Raw, kind: type[T], what: str) -> T:
    return decode_msgpack(_small(entry, what), kind, what)


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


def _shard(filenames: Collection[str]) -> type[msgspec.Struct]:
    """The type of a shard that takes the records of *filenames* only."""
    part = _only(filenames)
    packages = msgspec.field(default_factory=part)
    conda = msgspec.field(name="packages.conda", default_factory=part)
    return msgspec.defstruct("_Shard", [("packages", part, packages), ("conda", part, conda)])


def _records(document: Any, filenames: Collection[str]) -> Iterator[tuple[str, msgspec.Raw]]:
    """The records in a shard of the type :func:`_shard`."""
    yield from _taken(document.packages, filenames)
    yield from _taken(document.conda, filenames)


class _Entry(msgspec.Struct, gc=False):
    sha256: str | None = None
    md5: str | None = None
    size: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None


class _Sections(msgspec.Struct):
    packages: msgspec.Raw = msgspec.Raw(b"{}")
    conda: msgspec.Raw = msgspec.field(name="packages.conda", default=msgspec.Raw(b"{}"))


class _BinaryEntry(msgspec.Struct):
    sha256: bytes | None = None
    md5: bytes | None = None
    size: int | None = None


class _ShardInfo(msgspec.Struct):
    base_url: str = "./"
    shards_base_url: str = "./shards/"


_Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class _WholeShardIndex(msgspec.Struct):
    info: msgspec.Raw
    shards: Annotated[dict[str, _Digest], msgspec.Meta(max_length=SHARDS_LIMIT)]
