"""A strict reader of multipart/form-data streams (RFC 7578, RFC 2046): no preamble, no epilogue, CRLF only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_HEAD = 16 << 10
_DISPOSITION = re.compile(r'form-data; name="(?P<name>[^"\r\n]*)"(?:; filename="(?P<filename>[^"\r\n]*)")?')


class MultipartError(Exception):
    """The body is not the multipart/form-data that its Content-Type announced; the text says how."""


@dataclass
class Part:
    """One part; its data must be taken before the next part is asked for."""

    headers: list[tuple[str, str]]
    """Field names in lower case, in order."""
    name: str
    filename: str | None
    data: Iterator[bytes]

    def header(self, name: str) -> str | None:
        """The value of a header field, or None."""
        return dict(self.headers).get(name)

    def read(self) -> bytes:
        """All of the data, for parts that are small by nature."""
        return b"".join(self.data)


def boundary_of(content_type: str | None) -> str:
    """The boundary that a Content-Type names.

    Raises:
        MultipartError: it names none, or another media type.
    """
    match = re.fullmatch(r'multipart/form-data; ?boundary="?([0-9A-Za-z\'()+_,./:=? -]{1,70})"?', content_type or "")
    if not match or match[1].endswith(" "):
        raise MultipartError("the Content-Type is not multipart/form-data with a boundary")
    return match[1]


def parts(chunks: Iterator[bytes], boundary: str) -> Iterator[Part]:
    """The parts of a body, one after the other, as it streams in.

    Raises:
        MultipartError: the body is malformed.
    """
    source = _Source(chunks)
    delimiter = b"\r\n--" + boundary.encode()
    source.unread(b"\r\n")
    if b"".join(source.until(delimiter)):
        raise MultipartError("there is something before the first boundary")
    while (after := source.take(2)) == b"\r\n":
        part = _part(source, delimiter)
        yield part
        if next(part.data, None) is not None:
            raise MultipartError(f"the data of {part.name!r} was not taken")
    if after != b"--":
        raise MultipartError("a boundary is followed by something else than CRLF or --")
    if source.rest() not in {b"", b"\r\n"}:
        raise MultipartError("there is something after the last boundary")


def _part(source: _Source, delimiter: bytes) -> Part:
    head = b"".join(source.until(b"\r\n\r\n", limit=_LONGEST_HEAD)).decode()
    headers = []
    for line in head.split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise MultipartError("a part's header field is malformed")
        headers.append((name.lower(), value.strip()))
    if len(dict(headers)) != len(headers):
        raise MultipartError("a part has a header field twice")
    disposition = _DISPOSITION.fullmatch(dict(headers).get("content-disposition", ""))
    if not disposition:
        raise MultipartError('a part has no Content-Disposition of the form form-data; name="..."')
    return Part(headers, disposition["name"], disposition["filename"], source.until(delimiter))


class _Source:
    """A stream of chunks that can be read up to a mark."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""

    def unread(self, data: bytes) -> None:
        self._held = data + self._held

    def until(self, mark: bytes, limit: int | None = None) -> Iterator[bytes]:
        """What comes before *mark*, which is taken as well."""
        given = 0
        while True:
            at = self._held.find(mark)
            if at >= 0:
                before, self._held = self._held[:at], self._held[at + len(mark) :]
                if before:
                    yield before
                return
            safe = len(self._held) - len(mark) + 1
            if safe > 0:
                before, self._held = self._held[:safe], self._held[safe:]
                given += len(before)
                if limit is not None and given > limit:
                    raise MultipartError("a part's header is too long")
                yield before
            self._more()

    def take(self, size: int) -> bytes:
        while len(self._held) < size:
            self._more()
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def rest(self) -> bytes:
        return self._held + b"".join(self._chunks)

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise MultipartError("the body ends before the last boundary")
        self._held += chunk
