"""The members of a tar, one after the other, from a stream.

The standard library's reader holds the headers of *all* members, and a member's long name or extended header whole,
whatever its size; a package of a gigabyte with ``info/`` at its end, or a hostile one, must cost neither memory nor
time. This one knows what package builders write: ustar, GNU and pax (POSIX.1-2001, "pax Interchange Format").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.archive.findings import BUILD_AGAIN, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.archive.streams import BoundedReader

MAX_MEMBERS: Final = 500_000
"""Several times the files of the largest packages; each costs some microseconds."""
MAX_HEADER: Final = 1 << 20
"""For an extended header; extended attributes, the largest thing in there, end at 64 KiB."""
MAX_RECORDS: Final = 4 * MAX_MEMBERS
"""Of all extended headers together; a member has one to four (its times, a long name, a long link)."""
MAX_PATH: Final = 1 << 15
"""Bytes of a name or a link: the most that any system takes (Windows; elsewhere it is 4096)."""

_BLOCK: Final = 512
_REGULAR: Final = frozenset({b"0", b"\0", b"7", b"S"})
_NO_DATA: Final = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
_HARDLINK: Final = b"1"
_SYMLINK: Final = b"2"
_GNU_LONG_NAME: Final = b"L"
_GNU_LONG_LINK: Final = b"K"
_GNU_SPARSE: Final = b"S"
_PAX: Final = frozenset({b"x", b"X"})
_PAX_GLOBAL: Final = b"g"
_UNDERSTOOD: Final = frozenset({b"path", b"linkpath", b"size"})
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


@dataclass(slots=True)
class Member:
    """One member of a tar.

    Attributes:
        name: its path, as the tar has it.
        kind: the type of the header, one byte.
        size: the bytes of its content, as they follow in the tar.
        link: where a link points.
    """

    name: str
    kind: bytes
    size: int
    link: str

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file, all of whose bytes are in the tar."""
        return self.kind in _REGULAR and self.kind != _GNU_SPARSE

    @property
    def is_symlink(self) -> bool:
        """Whether :attr:`link` is relative to the member's own folder."""
        return self.kind == _SYMLINK

    @property
    def is_hardlink(self) -> bool:
        """Whether :attr:`link` is relative to the root of the archive."""
        return self.kind == _HARDLINK


class TarReader:
    """Goes through a tar once.

    Args:
        stream: the tar, unpacked.
        what: what it is, for messages.
    """

    def __init__(self, stream: BoundedReader, what: str) -> None:
        self._stream = stream
        self._what = what
        self._unread = 0
        self._records = 0

    def members(self) -> Iterator[Member]:
        """Every member; :meth:`content` gives the bytes of the one that came last.

        Raises:
            Unreadable: this is no tar, it ends in the middle, or it passes a bound.
        """
        extended: dict[str, str] = {}
        count = 0
        while (header := self._next_header()) is not None:
            count += 1
            if count > MAX_MEMBERS:
                raise Unreadable("too-large", f"{self._what} has more than {MAX_MEMBERS} members")
            if header.kind in _PAX:
                extended |= self._pax(header.size)
            elif header.kind == _PAX_GLOBAL:
                if self._pax(header.size):
                    raise self._damaged("a header gives all members one name or size")
            elif header.kind == _GNU_LONG_NAME:
                extended["path"] = self._long_name(header.size)
            elif header.kind == _GNU_LONG_LINK:
                extended["linkpath"] = self._long_name(header.size)
            else:
                self._apply(header, extended)
                extended = {}
                yield header
                self._finish_member()

    def content(self) -> bytes:
        """The content of the member at hand; ask only for those whose size is small."""
        data = self._stream.exactly(self._unread - self._unread % _BLOCK)
        rest = self._unread - len(data)
        self._unread = 0
        if rest:
            data += self._stream.exactly(_BLOCK)[:rest]
        return data

    def _next_header(self) -> Member | None:
        block = self._stream.exactly(_BLOCK, or_end=True)
        if not block.strip(b"\0"):
            return None
        if not _checksum_agrees(block):
            raise self._damaged("a header's checksum is wrong")
        kind = block[156:157]
        if kind == _GNU_SPARSE:
            self._skip_sparse_map(block)
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and block[345] != 0:
            name = f"{_text(block[345:500])}/{name}"
        return Member(name, kind, self._number(block[124:136]), _text(block[157:257]))

    def _apply(self, member: Member, extended: dict[str, str]) -> None:
        member.name = extended.get("path", member.name)
        member.link = extended.get("linkpath", member.link)
        if "size" in extended:
            if not _NUMBER.fullmatch(extended["size"]):
                raise self._damaged("a size is no number")
            member.size = int(extended["size"])
        self._unread = 0 if member.kind in _NO_DATA else member.size

    def _finish_member(self) -> None:
        self._stream.skip(self._unread + -self._unread % _BLOCK)
        self._unread = 0

    def _skip_sparse_map(self, block: bytes) -> None:
        more = block[482]
        while more:
            more = self._stream.exactly(_BLOCK)[504]

    def _header_data(self, size: int) -> bytes:
        if size > MAX_HEADER:
            raise Unreadable("too-large", f"{self._what} has a header of {size} bytes")
        return self._stream.exactly(size + -size % _BLOCK)[:size]

    def _long_name(self, size: int) -> str:
        return self._path(self._header_data(size).split(b"\0", 1)[0])

    def _path(self, name: bytes) -> str:
        if len(name) > MAX_PATH:
            raise Unreadable("too-large", f"{self._what} has a name of {len(name)} bytes")
        return _decoded(name)

    def _pax(self, size: int) -> dict[str, str]:
        """What an extended header says of place and size: records ``<length> <key>=<value>``, each a line.

        Raises:
            Unreadable: it is malformed, or passes a bound.
        """
        data = self._header_data(size)
        records: dict[str, str] = {}
        at = 0
        while at < len(data) and data[at]:
            digits, space, _ = data[at : at + 8].partition(b" ")
            length = int(digits) if space and digits.isdigit() else 0
            record = data[at : at + length]
            key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
            if not equals or len(record) != length or not record.endswith(b"\n"):
                raise self._damaged("an extended header is malformed")
            if key in _UNDERSTOOD:
                records[key.decode()] = self._path(value)
            self._records += 1
            if self._records > MAX_RECORDS:
                raise Unreadable("too-large", f"{self._what} has more than {MAX_RECORDS} records in extended headers")
            at += length
        return records

    def _number(self, field: bytes) -> int:
        """Octal digits, or with the highest bit set a big-endian number (GNU)."""
        if field[0] == 0x80:
            return int.from_bytes(field[1:], "big")
        digits = field.split(b"\0", 1)[0].strip()
        if digits.strip(b"01234567"):
            raise self._damaged("a size is no number")
        return int(digits or b"0", 8)

    def _damaged(self, why: str) -> Unreadable:
        return Unreadable("damaged", f"{self._what} is no readable tar: {why}", hint=BUILD_AGAIN)


def _checksum_agrees(block: bytes) -> bool:
    digits = block[148:156].split(b"\0", 1)[0].strip()
    if not digits or digits.strip(b"01234567"):
        return False
    rest = block[:148] + b" " * 8 + block[156:]
    wanted, unsigned = int(digits, 8), sum(rest)
    return wanted == unsigned or wanted == unsigned - 256 * sum(byte > 127 for byte in rest)  # as historic tars counted


def _text(field: bytes) -> str:
    return _decoded(field.split(b"\0", 1)[0])


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
