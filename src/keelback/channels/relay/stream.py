"""The bytes of an archive in a channel, in order, over as many connections as that takes."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import httpcore2

from keelback.errors import SourceChanged
from keelback.transport.client import read_answer
from keelback.transport.failures import BROKEN, no_answer
from keelback.transport.incoming import Incoming
from keelback.transport.messages import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx2

    from keelback.channels.reader import Reader
    from keelback.transport import Request

_CONTENT_RANGE: Final = re.compile(r"bytes +([0-9]{1,18})-[0-9]{1,18}/(?:[0-9]{1,18}|\*)", re.IGNORECASE)
_LONGEST_VALIDATOR: Final = 256
_SKIPPED_AT_ONCE: Final = 1 << 20


class ArchiveStream:
    """Reads what is at *url* once; a transfer that breaks off goes on where it ended (RFC 9110, section 14).

    Args:
        reader: of the channel.
        url: of the archive.
        size: in bytes, as far as known.
        retried: told the wait in seconds and the reason whenever it is asked for again.
    """

    def __init__(
        self, reader: Reader, url: str, size: int | None = None, retried: Callable[[float, str], None] | None = None
    ) -> None:
        self._reader = reader
        self._url = url
        self._size = size
        self._retried = retried
        self._position = 0
        self._validator: str | None = None
        self._breaks = 0
        self._open = contextlib.ExitStack()
        self._incoming: Incoming | None = None

    def fill(self, buffer: memoryview) -> int:
        """Fill *buffer*; how many bytes that were, which is less only at the end.

        Raises:
            SourceChanged: what comes is not the rest of what came before, or has another size.
            CredentialError, ChannelError: it cannot be read.
            TransportError: no answer came, or none to its end, in spite of all attempts.
            Interrupted: the client was stopped.
        """
        filled = 0
        while filled < len(buffer):
            try:
                count = self._read(buffer[filled:])
            except BROKEN as error:
                self._go_on(error)
                continue
            if not count:
                break
            filled += count
        return filled

    def end(self) -> None:
        """Check that nothing follows, so that the connection can be used again; raises ``SourceChanged`` otherwise.

        Whether the connection ends well is of no account any more.
        """
        with contextlib.suppress(*BROKEN):
            if self._incoming is not None and self._incoming.readinto(memoryview(bytearray(1))):
                raise changed(self._url, f"it has more than {self._position} bytes")
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._incoming = None
        with contextlib.suppress(*BROKEN):
            self._open.close()

    def _read(self, view: memoryview) -> int:
        incoming = self._incoming or self._begin()
        count = incoming.readinto(view)
        if not count and self._size is not None and self._position < self._size:
            raise httpcore2.RemoteProtocolError("the body ended early")
        self._position += count
        return count

    def _go_on(self, error: Exception) -> None:
        """Open it again after *error*, which broke it off."""
        self.close()
        self._breaks += 1
        if self._reader.client.retry.wait_before(self._breaks + 1) is None:
            raise no_answer(self._request(), error, self._breaks) from error
        self._begin(error)

    def _begin(self, after: Exception | None = None) -> Incoming:
        """Ask for what is missing; with *after*, that is the attempt which has already failed."""
        failed = [] if after is None else [after]

        def once() -> Answer:
            if failed:
                raise failed.pop()
            return self._ask()

        while True:
            request = self._request()
            answer = self._reader.client.persist(request, once)
            if answer.status in (200, 206):
                assert self._incoming is not None  # noqa: S101 - what such an answer comes with
                return self._incoming
            if not self._reader.may_ask_again(request, answer):
                raise self._error(answer)

    def _request(self) -> Request:
        headers = {"accept-encoding": "identity"}
        if self._position:
            headers["range"] = f"bytes={self._position}-"
            if self._validator is not None:
                headers["if-range"] = self._validator
        return replace(self._reader.request(self._url, headers), retried=self._retried)

    def _ask(self) -> Answer:
        """One attempt, which leaves the body of a success open."""
        request = self._request()
        with contextlib.ExitStack() as stack:
            response = stack.enter_context(self._reader.client.receiving(request))
            if response.status_code not in (200, 206):
                return read_answer(response, request)
            self._incoming = self._checked(response)
            self._open = stack.pop_all()
        return Answer(response.status_code, response.headers, b"", str(response.url))

    def _checked(self, response: httpx2.Response) -> Incoming:
        """The body of *response* from where the last one broke off.

        What cannot be told here - whether it is the rest of the same bytes - the hash of all of them tells in the end.
        """
        incoming = Incoming(response, self._reader.client.turns)
        validator = _validator(response.headers)
        if self._position and None not in (validator, self._validator) and validator != self._validator:
            raise changed(self._url, "it was replaced while it was read")
        self._validator = None if incoming.encoded else validator
        if response.status_code == 206:
            given = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
            if given is None or int(given[1]) != self._position or incoming.encoded:
                raise changed(self._url, "another part of it came than was asked for")
            return incoming
        if not incoming.encoded and None not in (incoming.length, self._size) and incoming.length != self._size:
            raise changed(self._url, f"it has {incoming.length} bytes, and not {self._size}")
        self._skip(incoming)
        return incoming

    def _skip(self, incoming: Incoming) -> None:
        """Skip what has been read already, where the server sends everything again."""
        left = self._position
        buffer = memoryview(bytearray(min(left, _SKIPPED_AT_ONCE)))
        while left:
            count = incoming.readinto(buffer[:left])
            if not count:
                raise httpcore2.RemoteProtocolError("the body ended early")
            left -= count

    def _error(self, answer: Answer) -> Exception:
        if self._position and answer.status in (404, 410, 416):
            return changed(self._url, f"it was removed or replaced while it was read ({answer.status})")
        return self._reader.error(answer, self._url)


def changed(url: str, why: str) -> SourceChanged:
    """The error for an archive at *url* that is not what the index of its channel names, because of *why*."""
    return SourceChanged(
        f"{url} is not what the index of its channel names: {why}",
        hint="The channel may be about to change: run the same command again later, or tell those who run it.",
    )


def _validator(headers: Mapping[str, str]) -> str | None:
    """What identifies a state of a file: a strong ``ETag`` (RFC 9110, section 8.8.3)."""
    found = headers.get("etag", "")
    return found if found.startswith('"') and found.isascii() and len(found) <= _LONGEST_VALIDATOR else None
