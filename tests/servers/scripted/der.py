"""DER (X.690), as far as timestamps and certificates need it; no library, so that no mistake is shared with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

BOOLEAN = 0x01
INTEGER = 0x02
OCTET_STRING = 0x04
OID = 0x06
SEQUENCE = 0x30
NULL = b"\x05\x00"
TRUE = b"\x01\x01\xff"


def tlv(tag: int, content: bytes) -> bytes:
    """One value: *tag*, the length, and *content*."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*members: bytes) -> bytes:
    """A SEQUENCE."""
    return tlv(SEQUENCE, b"".join(members))


def set_of(*members: bytes) -> bytes:
    """A SET OF; DER sorts it."""
    return tlv(0x31, b"".join(sorted(members)))


def integer(value: int) -> bytes:
    """An INTEGER that is not negative."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    """An OCTET STRING."""
    return tlv(OCTET_STRING, content)


def utf8(text: str) -> bytes:
    """A UTF8String."""
    return tlv(0x0C, text.encode())


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *others = map(int, dotted.split("."))
    return tlv(OID, b"".join(_base128(arc) for arc in (first * 40 + second, *others)))


def generalized_time(moment: datetime) -> bytes:
    """A GeneralizedTime in whole seconds; *moment* is UTC."""
    return tlv(0x18, f"{moment:%Y%m%d%H%M%SZ}".encode())


def tagged(number: int, content: bytes) -> bytes:
    """A constructed value with the context tag *number*: explicit around a value, implicit around its content."""
    return tlv(0xA0 | number, content)


def read(data: bytes) -> list[tuple[int, bytes]]:
    """The values that *data* is made of, one after the other: tag and content.

    Raises:
        ValueError: *data* ends in the middle of one.
    """
    values = []
    while data:
        tag, content, data = _first(data)
        values.append((tag, content))
    return values


def _first(data: bytes) -> tuple[int, bytes, bytes]:
    if len(data) < 2:
        raise ValueError("a value is cut off")
    start, size = 2, data[1]
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        raise ValueError("a value is shorter than it says")
    return data[0], data[start : start + size], data[start + size :]


def _base128(arc: int) -> bytes:
    groups = [arc & 0x7F]
    while arc := arc >> 7:
        groups.append(0x80 | arc & 0x7F)
    return bytes(reversed(groups))
