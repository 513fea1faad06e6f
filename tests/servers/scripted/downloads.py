"""A server of files that knows ranges, and tricks that it can play with its answers."""

from __future__ import annotations

import gzip
import hashlib
import re
from typing import TYPE_CHECKING, Any

from .engine import ScriptedServer, route
from .exchange import json_answer
from .wire import Answer, ClientGoneError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from .exchange import Exchange

    Trick = Callable[[Exchange, Answer], Answer]
    """Gets the answer that would be right, and returns another one; or answers by itself and ends the connection."""


class DownloadServer(ScriptedServer):
    """Files by their paths below the root, with strong ETags and ranges (RFC 9110, section 14).

    Args:
        files: what there is, by path; may change.
        tricks: what to do with the first answers, one each; ``None`` is none.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, files: dict[str, bytes], *tricks: Trick | None, **options: Any) -> None:
        super().__init__(**options)
        self.files = files
        self.tricks = list(tricks)

    @property
    def ranges(self) -> list[str | None]:
        """What each request had as its ``Range``."""
        return [request.header("range") for request in self.requests]

    @route("GET", r"/(?P<filename>.+)", step="get")
    def get(self, exchange: Exchange, filename: str) -> Answer:
        """A file, or the end of it."""
        with self.lock:
            trick = self.tricks.pop(0) if self.tricks else None
        content = self.files.get(filename)
        answer = self.refusal(404, "not found") if content is None else _answer(exchange, content)
        return trick(exchange, answer) if trick else answer


def _answer(exchange: Exchange, content: bytes) -> Answer:
    etag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
    request = exchange.recorded
    wanted = re.fullmatch(r"bytes=([0-9]+)-", request.header("range") or "")
    if wanted is None or request.header("if-range") not in (None, etag):
        return Answer(200, content, [("ETag", etag)])
    start = int(wanted[1])
    if start >= len(content):
        return Answer(416, headers=[("Content-Range", f"bytes */{len(content)}")])
    place = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Answer(206, content[start:], [("ETag", etag), ("Content-Range", place)])


def with_status(status: int, *headers: tuple[str, str]) -> Trick:
    """Another answer altogether."""
    return lambda _exchange, _answer: Answer(
        status, json_answer(status, {"error": f"scripted {status}"}).body, [*headers]
    )


def with_headers(**changes: str | None) -> Trick:
    """Other header fields, ``_`` being a hyphen; ``None`` takes one away."""
    new = {name.replace("_", "-"): value for name, value in changes.items()}

    def trick(_exchange: Exchange, answer: Answer) -> Answer:
        kept = [(name, value) for name, value in answer.headers if name.lower() not in new]
        added = [(name, value) for name, value in new.items() if value is not None]
        return Answer(answer.status, answer.body, kept + added)

    return trick


def with_body(body: bytes, *headers: tuple[str, str], chunked: bool = False) -> Trick:
    """The right status, and other bytes."""
    return lambda _exchange, answer: Answer(answer.status, body, [*answer.headers, *headers], chunked)


def as_a_whole(content: bytes) -> Trick:
    """All of the file, as a server sends it that has never heard of a range."""
    return lambda _exchange, _answer: Answer(200, content)


def zipped(_exchange: Exchange, answer: Answer) -> Answer:
    """Compressed on the way, whatever the client accepts."""
    return Answer(answer.status, gzip.compress(answer.body, 1), [*answer.headers, ("Content-Encoding", "gzip")])


def chunked(_exchange: Exchange, answer: Answer) -> Answer:
    """Without saying how much it is."""
    return Answer(answer.status, answer.body, answer.headers, chunked=True)


def ends_after(count: int, then: Trick | None = None) -> Trick:
    """The connection ends in the middle of the body; *then* may change the answer first."""

    def trick(exchange: Exchange, answer: Answer) -> Answer:
        answer = then(exchange, answer) if then else answer
        exchange._wire.send_raw(_head(answer, len(answer.body)) + answer.body[:count])
        raise ClientGoneError

    return trick


def never_ends(exchange: Exchange, answer: Answer) -> Answer:
    """All that was asked for, and more and more of the same, until the client has enough."""
    exchange._wire.send_raw(_head(answer, None))
    while True:
        exchange._wire.send_raw(_chunk(answer.body))


def ends_at_the_end(exchange: Exchange, answer: Answer) -> Answer:
    """All of the body, but not the sign that it is all."""
    exchange._wire.send_raw(_head(answer, None) + _chunk(answer.body))
    raise ClientGoneError


def stalls_after(count: int) -> Trick:
    """Nothing more comes after so many bytes."""

    def trick(exchange: Exchange, answer: Answer) -> Answer:
        exchange._wire.send_raw(_head(answer, len(answer.body)) + answer.body[:count])
        exchange._wire.hold()
        raise ClientGoneError

    return trick


def waits_after(count: int, event: Event) -> Trick:
    """The body pauses until *event* is set."""

    def trick(exchange: Exchange, answer: Answer) -> Answer:
        exchange._wire.send_raw(_head(answer, len(answer.body)) + answer.body[:count])
        event.wait(30)
        exchange._wire.send_raw(answer.body[count:])
        raise ClientGoneError

    return trick


def _head(answer: Answer, length: int | None) -> bytes:
    size = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
    lines = [f"HTTP/1.1 {answer.status} Scripted", *(f"{name}: {value}" for name, value in [*answer.headers, size])]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
