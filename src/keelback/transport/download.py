"""Downloads that are verified before the file gets its name, and resumed where they broke off."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpcore2

from keelback.errors import ChannelError
from keelback.transport.client import read_answer
from keelback.transport.incoming import Incoming
from keelback.transport.messages import Answer
from keelback.transport.partial import Partial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import httpx2

    from keelback.transport.client import Client
    from keelback.transport.messages import Request
    from keelback.transport.partial import Expected

_CONTENT_RANGE: Final = re.compile(r"bytes +([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_LONGEST_VALIDATOR: Final = 256
_ROUNDS: Final = 2


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that is there.

    Attributes:
        attempts: how many requests it took, redirects not counted; 0 where what an earlier run left was all of it.
        size: in bytes.
        sha256: in hexadecimal digits.
    """

    attempts: int
    size: int
    sha256: str


def download(
    client: Client,
    request: Request,
    to: Path,
    *,
    expected: Expected,
    told: Callable[[int], None] | None = None,
) -> Downloaded | Answer:
    """Send *request*, and have what comes in the file *to*, once it is all there and right.

    Redirects are followed, and the request is sent again, as :class:`Client` does both; a transfer that broke off goes
    on where it ended (RFC 9110, section 14: ``Range`` and ``If-Range``), also that of an earlier process. Other bytes
    than *expected* are asked for once more from the start, past all caches. What *to* was before stays until then.

    Args:
        client: sends the requests; its ``stop()`` ends the download.
        request: a GET.
        to: the file; its folder is there. Beside it, files with names like ``.NAME.MARK.part`` come and go.
        expected: what is known of the file.
        told: told how many bytes have come since the last time; the sum is what there is of the file. What an earlier
            run left comes first, and what is thrown away is taken back.

    Returns:
        what there is now; or the server's answer, where that is not the file: of any status but 200 and 206.

    Raises:
        ChannelError: what came is not what is expected (``bad-download``), or cannot be written (``disk``).
        TransportError: no answer came, or none to its end, in spite of all attempts.
        Interrupted: the client was stopped. What has come of a large file is kept, here and where no answer came.
    """
    with contextlib.closing(Partial(to, expected)) as partial, client.turns.taken():
        return _Download(client, request, partial, expected, told or _nobody).run()


class _WrongBytesError(Exception):
    """What the server sends is not what is expected; the text says in which way."""


class _Download:
    """One :func:`download` on its way: what is known of the file at the server, and what has come of it."""

    def __init__(
        self, client: Client, request: Request, partial: Partial, expected: Expected, told: Callable[[int], None]
    ) -> None:
        self._client = client
        self._request = dataclasses.replace(request, headers={**request.headers, "accept-encoding": "identity"})
        self._partial = partial
        self._expected = expected
        self._told = told
        self._validator: str | None = None
        self._total = expected.size
        self._attempts = 0
        self._resumable = expected.digest
        self._page = False

    def run(self) -> Downloaded | Answer:
        """See :func:`download`."""
        if self._partial.size:
            self._told(self._partial.size)
        if self._partial.size and self._partial.size == self._expected.size:
            if self._partial.digests.mismatch() is None:
                return self._finish()
            self._start_over()
        problem = ""
        for _ in range(_ROUNDS):
            try:
                answer = self._client.persist(self._request, self._once)
                if answer.status not in (200, 206):
                    return answer
                self._verify()
                return self._finish()
            except _WrongBytesError as error:
                problem = str(error)
                self._start_over()
                self._request = _past_caches(self._request)
        raise self._bad(problem)

    def _once(self) -> Answer:
        """One attempt: what is missing is asked for, or all of it, where the server does not go on."""
        if self._partial.size and self._resumable:
            answer = self._go_on()
            if answer is not None:
                return answer
        with self._ask(self._request) as response:
            if response.status_code == 206:
                raise _WrongBytesError("a part of it came, and all of it was asked for")
            return self._whole(response)

    def _go_on(self) -> Answer | None:
        """Ask for what is missing; ``None`` where what comes does not fit to what is there."""
        start = self._partial.size
        headers = {**self._request.headers, "range": f"bytes={start}-"}
        if self._validator is not None:
            headers["if-range"] = self._validator
        with self._ask(dataclasses.replace(self._request, headers=headers)) as response:
            if response.status_code == 416:
                return None
            if response.status_code != 206:
                return self._whole(response)
            incoming = Incoming(response, self._client.turns)
            if incoming.encoded or not self._fits(response.headers, start):
                return None
            self._receive(incoming)
            return _done(response)

    def _whole(self, response: httpx2.Response) -> Answer:
        """Take all of the file from *response*; any status but 200 is an answer, and leaves what is there alone."""
        if response.status_code != 200:
            place = str(response.url.copy_with(raw_path=b"/"))  # where it came from; what is behind it may be secret
            return dataclasses.replace(read_answer(response, self._request), url=place)
        self._start_over()
        incoming = Incoming(response, self._client.turns)
        self._validator = None if incoming.encoded else _validator(response.headers)
        self._resumable = not incoming.encoded and (self._validator is not None or self._expected.digest)
        self._page = "html" in response.headers.get("content-type", "")
        if not incoming.encoded:
            announced, size = incoming.length, self._expected.size
            if None not in (announced, size) and announced != size:
                raise _WrongBytesError(f"it has {announced} bytes, and not {size}")
            self._total = announced if size is None else size
        self._receive(incoming)
        return _done(response)

    def _receive(self, incoming: Incoming) -> None:
        missing = None if self._total is None else self._total - self._partial.size
        self._partial.take(incoming.readinto, size=missing, told=self._told)
        if not incoming.encoded and self._total is not None and self._partial.size < self._total:
            raise httpcore2.RemoteProtocolError("the body ended early")

    def _fits(self, headers: Mapping[str, str], start: int) -> bool:
        """Whether an answer with *headers* is all from *start* on, of the same file."""
        given = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
        if given is None or int(given[1]) != start:
            return False
        total = int(given[2]) + 1
        if given[3] not in ("*", str(total)) or self._total not in (None, total):
            return False
        changed = _are_different(self._validator, _validator(headers))
        return not changed and headers.get("content-length", str(total - start)) == str(total - start)

    def _verify(self) -> None:
        problem = self._partial.digests.mismatch()
        if problem is not None:
            raise _WrongBytesError(problem)

    def _finish(self) -> Downloaded:
        with self._client.turns.waiting():  # for the disk
            self._partial.finish()
        return Downloaded(self._attempts, self._partial.size, self._partial.digests.sha256)

    def _start_over(self) -> None:
        if self._partial.size:
            self._told(-self._partial.size)
            self._partial.clear()
        self._validator = None
        self._total = self._expected.size

    def _ask(self, request: Request) -> contextlib.AbstractContextManager[httpx2.Response]:
        self._attempts += 1
        return self._client.receiving(request)

    def _bad(self, problem: str) -> ChannelError:
        hint = "Its channel may be about to change: try again later, or tell those who run it."
        if self._page:
            hint = "The server sent a web page: is this the URL of a channel, or of a log-in page?"
        error = ChannelError(
            f"{self._request.url}: what came is not what the index names: {problem}", hint=hint, code="bad-download"
        )
        error.attempts = self._attempts
        return error


def _past_caches(request: Request) -> Request:
    return dataclasses.replace(request, headers={**request.headers, "cache-control": "no-cache"})


def _done(response: httpx2.Response) -> Answer:
    return Answer(response.status_code, response.headers, b"", str(response.url))


def _validator(headers: Mapping[str, str]) -> str | None:
    """What ``If-Range`` may name: a strong ``ETag``, or else a date (RFC 9110, section 13.1.5)."""
    found = headers.get("etag")
    if found is None:
        found = headers.get("last-modified", "")
    elif not found.startswith('"'):
        return None
    return found if found and found.isascii() and len(found) <= _LONGEST_VALIDATOR else None


def _are_different(one: str | None, other: str | None) -> bool:
    """Whether two validators are of the same kind, and say that something has changed."""
    if one is None or other is None or one.startswith('"') != other.startswith('"'):
        return False
    return one != other


def _nobody(_count: int) -> None:
    pass
