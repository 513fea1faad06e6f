"""Request bodies that are never whole in memory, and can be sent again from the start."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final, Protocol, Self

from keelback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keelback.archive import PackageArchive

BLOCK: Final = 1 << 20
"""How much is read and sent at a time: 1 MiB, from where on a larger block gains nothing."""


class Body(Protocol):
    """A request body of known length; every iteration starts from its first byte."""

    length: int
    content_type: str | None

    def __iter__(self) -> Iterator[bytes]:
        """The bytes, in blocks."""


class ArchiveBody:
    """The bytes of an archive, as they are.

    Args:
        archive: what is sent.
        progress: told the size of each block once it has been handed to the connection.
    """

    content_type: str | None = None

    def __init__(self, archive: PackageArchive, progress: Callable[[int], None] | None = None) -> None:
        self._archive = archive
        self._progress = progress
        self.length = archive.size

    def __iter__(self) -> Iterator[bytes]:
        for block in self._archive.blocks(BLOCK):
            # h11 joins what it is given, and joining is what makes bytes of a view: no copy is made here
            yield block  # type: ignore[misc]  # a memoryview is as good as bytes to h11 and to a socket
            if self._progress is not None:
                self._progress(len(block))


class PartBody:
    """Some of the bytes of an archive, for requests that each take a part of it.

    Args:
        content: gives the bytes in blocks, each time anew.
        length: how many they are.
        progress: told how many more are out; what goes out again is not told again.
    """

    content_type: str | None = None

    def __init__(
        self, content: Callable[[], Iterator[memoryview]], length: int, progress: Callable[[int], None]
    ) -> None:
        self.length = length
        self._content = content
        self._progress = progress
        self._told = 0

    @classmethod
    def of(cls, archive: PackageArchive, start: int, length: int, progress: Callable[[int], None]) -> Self:
        """*length* bytes of *archive* from *start* on."""
        return cls(lambda: archive.blocks(BLOCK, start, length), length, progress)

    def hexdigest(self, algorithm: str) -> str:
        """Their hash in hexadecimal; reads all of them."""
        digest = hashlib.new(algorithm, usedforsecurity=False)
        for block in self._content():
            digest.update(block)
        return digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        out = 0
        for block in self._content():
            yield block  # type: ignore[misc]  # a memoryview is as good as bytes to h11 and to a socket
            out += len(block)
            new, self._told = max(0, out - self._told), max(out, self._told)
            self._progress(new)


class MultipartBody:
    """A ``multipart/form-data`` body with one archive in it (RFC 7578), in exactly the order given.

    Storage services read the fields in front of the file and ignore what follows it; prefix.dev wants the file first,
    with headers of its own. So order and part headers are the caller's.

    Args:
        parts: ``(headers, content)`` in order, headers as ``(name, value)``; content is text, or the archive's body.
    """

    def __init__(self, parts: Sequence[tuple[Sequence[tuple[str, str]], str | ArchiveBody]]) -> None:
        boundary = f"keelback-{secrets.token_hex(16)}"
        self.content_type: str | None = f"multipart/form-data; boundary={boundary}"
        self._pieces: list[bytes | ArchiveBody] = []
        text = ""
        for headers, content in parts:
            text += f"--{boundary}\r\n" + "".join(f"{name}: {_clean(value)}\r\n" for name, value in headers) + "\r\n"
            if isinstance(content, str):
                text += content
            else:
                self._pieces += [text.encode(), content]
                text = ""
            text += "\r\n"
        self._pieces.append((text + f"--{boundary}--\r\n").encode())
        self.length = sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in self._pieces)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from piece


def disposition(name: str, filename: str | None = None) -> tuple[str, str]:
    """The ``content-disposition`` header of a part called *name* (RFC 7578, section 4.2)."""
    value = f'form-data; name="{_quote(name)}"'
    if filename is not None:
        value += f'; filename="{_quote(filename)}"'
    return ("content-disposition", value)


def _quote(value: str) -> str:
    """As browsers do it (WHATWG HTML, multipart/form-data encoding algorithm)."""
    return value.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _clean(value: str) -> str:
    if "\r" in value or "\n" in value:
        raise UsageError(f"a part header may not hold a line break: {value!r}")
    return value
