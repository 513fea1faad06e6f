"""Reading with bounds: what an archive unpacks to is its author's choice, what is read of it is ours."""

from __future__ import annotations

from typing import Final, Protocol

from keelback.archive.findings import BUILD_AGAIN, Unreadable

_CHUNK: Final = 1 << 18


class Readable(Protocol):
    """Anything with ``read``."""

    def read(self, size: int, /) -> bytes:
        """Up to *size* bytes; none at the end."""
        ...


class BoundedReader:
    """Reads at most *limit* bytes of *stream*, in pieces of the size that the reader of a tar wants.

    Args:
        stream: what to read; usually a decompressor.
        limit: how many bytes may come out of it.
        what: what it is, for messages.
    """

    def __init__(self, stream: Readable, limit: int, what: str) -> None:
        self._stream = stream
        self._left = limit
        self._what = what
        self._buffer = bytearray()

    def exactly(self, size: int, *, or_end: bool = False) -> bytes:
        """The next *size* bytes.

        Args:
            size: how many.
            or_end: give none where the stream ends, instead of failing.

        Raises:
            Unreadable: the stream ends before, or the limit is passed.
        """
        while len(self._buffer) < size:
            chunk = self._next_chunk()
            if not chunk:
                if or_end and not self._buffer:
                    return b""
                raise Unreadable("truncated", f"{self._what} ends in the middle", hint=BUILD_AGAIN)
            self._buffer += chunk
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def skip(self, size: int) -> None:
        """Go *size* bytes on; raises as :meth:`exactly` does."""
        while size > 0:
            step = min(size, _CHUNK)
            self.exactly(step)
            size -= step

    def drain(self) -> None:
        """Read to the end, for the checksums that stand there."""
        while self._next_chunk():
            pass

    def _next_chunk(self) -> bytes:
        chunk = self._stream.read(_CHUNK)
        self._left -= len(chunk)
        if self._left < 0:
            raise Unreadable(
                "too-large",
                f"{self._what} unpacks to more than keelback reads for a package's metadata",
                hint="If this is no mistake, take large files out of the package's info folder (its recipe and tests).",
            )
        return chunk
