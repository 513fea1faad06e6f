"""The entries of a zip, from its directory.

The standard library reads the whole directory, of whatever size, and does not look at what the directory points to.
Here the directory is bounded, and every entry has to lie where it should: inside the file, before the directory, apart
from the others, and with a local header that says the same - installers that stream a package read only that one.
(APPNOTE.TXT, .ZIP File Format Specification, 4.3 and 4.5.3.)
"""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from typing import BinaryIO, Final, NamedTuple

from keelback.archive.findings import BUILD_AGAIN, Unreadable, quoted

MAX_DIRECTORY: Final = 1 << 20
"""Bytes of the directory. A package has three entries and some 300 bytes; this leaves room for whatever is to come."""

STORED: Final = 0
DEFLATED: Final = 8

_END: Final = struct.Struct("<4s4H2LH")
_END_MAGIC: Final = b"PK\x05\x06"
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_END64_MAGIC: Final = b"PK\x06\x06"
_LOCATOR64: Final = struct.Struct("<4sLQL")
_LOCATOR64_MAGIC: Final = b"PK\x06\x07"
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_ENTRY_MAGIC: Final = b"PK\x01\x02"
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_LONGEST_COMMENT: Final = 0xFFFF
_IN_ZIP64: Final = 0xFFFFFFFF
_ZIP64_EXTRA: Final = 1

_ENCRYPTED: Final = 1 << 0
_LENGTH_BEHIND: Final = 1 << 3
_UTF8: Final = 1 << 11


class ZipEntry(NamedTuple):
    """One entry of a zip."""

    name: str
    method: int
    flags: int
    crc: int
    packed: int
    """Bytes in the file."""
    size: int
    """Bytes when unpacked."""
    header: int
    """Where its local header starts."""
    start: int = 0
    """Where its bytes start."""

    @property
    def encrypted(self) -> bool:
        """Whether a password is needed."""
        return bool(self.flags & _ENCRYPTED)

    @property
    def length_behind(self) -> bool:
        """Whether its length stands behind its bytes only, where a streaming reader finds it too late."""
        return bool(self.flags & _LENGTH_BEHIND)


def read_directory(file: BinaryIO, size: int) -> list[ZipEntry]:
    """The entries of the zip *file* of *size* bytes, in the order in which they lie in it.

    Raises:
        Unreadable: the directory is missing (the file is truncated), too large, or contradicts the file.
    """
    directory_at, directory_size, count, directory_end = _find_directory(file, size)
    if directory_size > MAX_DIRECTORY:
        raise Unreadable("too-large", f"has a zip directory of {directory_size} bytes")
    if directory_at + directory_size > directory_end:
        raise _damaged("its zip directory lies outside the file")
    directory = _read_at(file, directory_at, directory_size)
    entries: list[ZipEntry] = []
    end = 0
    for listed in sorted(_parse_directory(directory, count), key=lambda entry: entry.header):
        if listed.header < end:  # before any more is read: thousands of entries must not share one local header
            raise _damaged(f"its entry {quoted(entries[-1].name)} runs into what follows it")
        entry = _check_local(file, listed, directory_at)
        entries.append(entry)
        end = entry.start + entry.packed
    if end > directory_at:
        raise _damaged(f"its entry {quoted(entries[-1].name)} runs into what follows it")
    names = sorted(entry.name for entry in entries)
    for one, other in pairwise(names):
        if one == other:
            raise Unreadable("duplicate-entry", f"has two entries {quoted(one)}; readers differ in which one they take")
    return entries


class EntryReader:
    """The unpacked bytes of one entry; at their end they have to be what the directory promised.

    Args:
        file: the zip.
        entry: one of its entries, stored or deflated.
    """

    def __init__(self, file: BinaryIO, entry: ZipEntry) -> None:
        if entry.encrypted or entry.method not in (STORED, DEFLATED):
            raise Unreadable(
                "zip-method",
                f"its entry {quoted(entry.name)} is encrypted or compressed in a way that package readers do not know",
                field=entry.name,
                hint="Entries of a .conda are stored uncompressed (CEP 35).",
            )
        self._file = file
        self._entry = entry
        self._at = entry.start
        self._packed_left = entry.packed
        self._size_left = entry.size
        self._crc = 0
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == DEFLATED else None

    def read(self, size: int = -1, /) -> bytes:
        """Up to *size* bytes; none at the end.

        Raises:
            Unreadable: the bytes do not unpack, or are not those that the directory promised.
        """
        size = self._size_left if size < 0 else min(size, self._size_left)
        data = self._packed(size) if self._inflate is None else self._unpacked(size)
        self._crc = zlib.crc32(data, self._crc)
        self._size_left -= len(data)
        if not data and (self._size_left or self._crc != self._entry.crc):
            raise _damaged(f"the checksum of its entry {quoted(self._entry.name)} is wrong")
        return data

    def read_all(self) -> bytes:
        """All of it, for an entry whose size is known to be small; raises as :meth:`read` does."""
        return b"".join(iter(self.read, b""))

    def _packed(self, size: int) -> bytes:
        self._file.seek(self._at)
        data = self._file.read(min(size, self._packed_left))
        self._at += len(data)
        self._packed_left -= len(data)
        return data

    def _unpacked(self, size: int) -> bytes:
        inflate = self._inflate
        data = b""
        while size and not data and inflate is not None and not inflate.eof:
            packed = inflate.unconsumed_tail or self._packed(1 << 16)
            try:
                data = inflate.decompress(packed, size)
            except zlib.error as error:
                raise _damaged(f"its entry {quoted(self._entry.name)} does not unpack ({error})") from None
            if not packed and not data:
                break
        return data


def _find_directory(file: BinaryIO, size: int) -> tuple[int, int, int, int]:
    """Where the directory starts, its size, its number of entries, and the first byte that cannot belong to it."""
    tail_at = max(0, size - _END.size - _LONGEST_COMMENT)
    tail = _read_at(file, tail_at, size - tail_at)
    found = _find_end(tail)
    _, _, _, _, count, length, start, _ = _END.unpack_from(tail, found)
    end_at = tail_at + found
    locator_at = end_at - _LOCATOR64.size
    if locator_at >= 0:
        magic, _, end64_at, _ = _LOCATOR64.unpack(_read_at(file, locator_at, _LOCATOR64.size))
        if magic == _LOCATOR64_MAGIC:
            if end64_at + _END64.size > locator_at:
                raise _damaged("its zip64 directory lies outside the file")
            end64 = _END64.unpack(_read_at(file, end64_at, _END64.size))
            if end64[0] != _END64_MAGIC:
                raise _damaged("its zip64 directory is not where it should be")
            return end64[9], end64[8], end64[7], end64_at
    return start, length, count, end_at


def _find_end(tail: bytes) -> int:
    """Where in the *tail* of a zip its end record is: with its comment, it reaches to the last byte."""
    found = tail.rfind(_END_MAGIC)
    while found >= 0:
        rest = len(tail) - found
        if rest >= _END.size and rest == _END.size + _END.unpack_from(tail, found)[-1]:
            return found
        found = tail.rfind(_END_MAGIC, 0, found)
    raise Unreadable(
        "truncated",
        "has no zip directory at its end: the file is incomplete, or something was appended to it",
        hint=BUILD_AGAIN,
    )


def _parse_directory(directory: bytes, count: int) -> list[ZipEntry]:
    entries = []
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > len(directory) or not directory.startswith(_ENTRY_MAGIC, at):
            raise _damaged("its zip directory is cut short")
        fields = _ENTRY.unpack_from(directory, at)
        _, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length = fields[:13]
        name_end = at + _ENTRY.size + name_length
        name = _name(directory[at + _ENTRY.size : name_end], flags)
        sizes = _with_zip64([size, packed, fields[16]], directory[name_end : name_end + extra_length])
        entries.append(ZipEntry(name, method, flags, crc, packed=sizes[1], size=sizes[0], header=sizes[2]))
        at = name_end + extra_length + comment_length
    return entries


def _check_local(file: BinaryIO, entry: ZipEntry, end: int) -> ZipEntry:
    """*entry* with the place of its bytes, after its local header was found before *end* and to agree with it."""
    if entry.header >= end:
        raise _damaged(f"its entry {quoted(entry.name)} lies outside the file")
    header = _read_at(file, entry.header, _LOCAL.size)
    if not header.startswith(_LOCAL_MAGIC):
        raise _damaged(f"its entry {quoted(entry.name)} is not where the directory says")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(header)
    rest = _read_at(file, entry.header + _LOCAL.size, name_length + extra_length)
    size, packed = _with_zip64([size, packed], rest[name_length:])
    agrees = (_name(rest[:name_length], flags), method) == (entry.name, entry.method)
    if agrees and not entry.length_behind:
        agrees = (crc, packed, size) == (entry.crc, entry.packed, entry.size)
    if not agrees:
        raise _damaged(f"the header of its entry {quoted(entry.name)} contradicts the zip directory")
    return entry._replace(start=entry.header + _LOCAL.size + len(rest))


def _with_zip64(values: list[int], extra: bytes) -> list[int]:
    """*values* with those that did not fit into 32 bits taken from the zip64 field of *extra*, in its fixed order."""
    if _IN_ZIP64 not in values:
        return values
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64_EXTRA:
            large = iter(struct.unpack_from(f"<{length // 8}Q", extra[at + 4 : at + 4 + length].ljust(length, b"\0")))
            return [next(large, value) if value == _IN_ZIP64 else value for value in values]
        at += 4 + length
    return values


def _name(raw: bytes, flags: int) -> str:
    """Package names are ASCII, for which both encodings are the same."""
    return raw.decode("utf-8" if flags & _UTF8 else "cp437", "backslashreplace")


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise _damaged("its zip directory points outside the file")
    return data


def _damaged(why: str) -> Unreadable:
    return Unreadable("damaged", f"is damaged: {why}", hint=BUILD_AGAIN)
