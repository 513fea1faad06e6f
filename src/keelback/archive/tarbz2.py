"""A ``.tar.bz2`` (CEP 35): one tar of everything, of which only as much is read as ``info/`` needs."""

from __future__ import annotations

import bz2
from typing import BinaryIO, Final

from keelback.archive.findings import BUILD_AGAIN, Findings, Unreadable
from keelback.archive.formats import MAX_INFO
from keelback.archive.info import InfoFiles, read_info
from keelback.archive.streams import BoundedReader
from keelback.archive.tar import TarReader

MAX_RATIO: Final = 100
"""What a ``.tar.bz2`` may unpack to beyond :data:`MAX_INFO`, as a multiple of its size, on the way to its ``info/``.
bzip2 shrinks programs and data by a factor of 3 to 20, and a file of zeros by one of 20 000."""

MAX_SHORT_STREAMS: Final = 1000
"""Streams that may hold less than a block of bzip2 does; starting one costs as much as unpacking some kilobytes."""

_BZ2_SMALLEST_BLOCK: Final = 100_000
_BZ2_CHUNK: Final = 1 << 16
_BZ2_END: Final = 0x177245385090
_BZ2_END_BITS: Final = 48 + 32
"""The mark and the checksum of the whole stream, followed by up to seven bits that fill the last byte."""


def read_tar_bz2(file: BinaryIO, size: int, findings: Findings) -> InfoFiles:
    """The ``info/`` folder of a ``.tar.bz2``.

    Args:
        file: the archive.
        size: its size.
        findings: takes what is wrong.

    Raises:
        Unreadable: it cannot be read any further.
    """
    _check_bz2_end(file, size)
    file.seek(0)
    stream = BoundedReader(_Bz2Reader(file), MAX_INFO + MAX_RATIO * size, "its tar")
    return read_info(TarReader(stream, "its tar"), findings)


def _check_bz2_end(file: BinaryIO, size: int) -> None:
    """Whether a file ends as bzip2 streams do, which tells a truncated one without unpacking it.

    The streams end with a mark, a checksum and up to seven bits of padding; nothing in them is aligned to bytes.
    """
    length = min(size, _BZ2_END_BITS // 8 + 1)
    file.seek(size - length)
    tail = int.from_bytes(file.read(length), "big")
    mask = (1 << 48) - 1
    if not any((tail >> padding + 32) & mask == _BZ2_END for padding in range(8)):
        raise Unreadable(
            "truncated",
            "does not end as bzip2 data does: the file is incomplete, or something was appended to it",
            hint=BUILD_AGAIN,
        )


class _Bz2Reader:
    """Unpacks bzip2, which may be several streams one after the other, as parallel compressors write it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream = bz2.BZ2Decompressor()
        self._streams = 1
        self._unpacked = 0

    def read(self, size: int, /) -> bytes:
        """Up to *size* bytes; none at the end."""
        while True:
            packed = b""
            if self._stream.eof:
                packed = self._stream.unused_data or self._file.read(_BZ2_CHUNK)
                if not packed:
                    return b""
                self._next_stream()
            elif self._stream.needs_input:
                packed = self._file.read(_BZ2_CHUNK)
                if not packed:
                    raise Unreadable("truncated", "is incomplete: its bzip2 data ends in the middle", hint=BUILD_AGAIN)
            try:
                data = self._stream.decompress(packed, size)
            except OSError as error:
                raise Unreadable(
                    "damaged", f"is damaged: its bzip2 data does not unpack ({error})", hint=BUILD_AGAIN
                ) from None
            if data:
                self._unpacked += len(data)
                return data

    def _next_stream(self) -> None:
        """Parallel compressors give each stream a block or more; many that hold less are made to cost time."""
        self._streams += 1
        if self._streams > MAX_SHORT_STREAMS + 2 * self._unpacked // _BZ2_SMALLEST_BLOCK:
            raise Unreadable("too-large", f"has {self._streams} bzip2 streams that hold next to nothing")
        self._stream = bz2.BZ2Decompressor()
