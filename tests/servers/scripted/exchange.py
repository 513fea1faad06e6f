"""One request on its way through a scripted server, and what is kept of it for the tests to look at."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from .wire import Answer, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = 8 << 20
"""Bodies up to this many bytes are kept whole; of bigger ones, size and checksums."""

_PATH_TOKEN = re.compile(r"/t/[^/]+")


@dataclass(repr=False)
class Recorded:
    """What a client sent, in its own bytes, and what it was told.

    Its repr shows neither header values nor a ``/t/<token>`` in the path, so that no failing test prints a secret.
    """

    connection: int
    """Which connection it came on, counted from 1."""
    method: str
    target: str
    """The request target exactly as sent."""
    headers: list[tuple[str, str]]
    """Header fields in the order and spelling in which they were sent."""
    step: str = "unknown"
    """What the request is in its protocol: ``upload``, ``commit``, ``index``, ..."""
    filename: str | None = None
    """The archive it is about, where that can be told from its head."""
    body_size: int = 0
    complete: bool = False
    """Whether the whole body arrived."""
    status: int | None = None
    """What was answered; None where the connection was broken instead, or never answered."""
    fault: str | None = None
    """The fault that struck it."""
    _hash: Any = field(default_factory=hashlib.sha256)
    _pieces: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes | None:
        """What arrived of the body, or None where that was more than :data:`KEPT`."""
        return b"".join(self._pieces) if self.body_size <= KEPT else None

    @property
    def body_sha256(self) -> str:
        """The SHA-256 of what arrived of the body."""
        return self._hash.hexdigest()

    @property
    def path(self) -> str:
        """The path as sent, without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's fields in order, decoded; a ``+`` in a value is a space, as forms have it."""
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    def all(self, name: str) -> list[str]:
        """Every value of the header *name*."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of the header *name*, or None; the first where there are several."""
        return next(iter(self.all(name)), None)

    def json(self) -> Any:
        """The body, which must be kept and be JSON."""
        return json.loads(self.body or b"")

    def account(self, chunk: bytes) -> None:
        """Put a piece of the body on record."""
        self.body_size += len(chunk)
        self._hash.update(chunk)
        self._pieces.append(chunk)
        if self.body_size > KEPT:
            self._pieces.clear()

    def __repr__(self) -> str:
        path = _PATH_TOKEN.sub("/t/****", self.path)
        return f"<{self.step}: {self.method} {path} on #{self.connection} -> {self.fault or self.status}>"


class Exchange:
    """A request being handled: its record, its path as the routes see it, and its body as a stream."""

    def __init__(self, recorded: Recorded, wire: Wire) -> None:
        self.recorded = recorded
        self.path = recorded.path
        """The path for the routes, still percent-encoded; a server may take a prefix off it."""
        self.path_token: str | None = None
        """The credential that stood in the path, where the server took one off."""
        self.lying = False
        """Whether checksums in the answer are to be wrong."""
        self._wire = wire
        self._ahead = b""

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes in; what was taken is on record, and is not given again."""
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            yield ahead
        for chunk in self._wire.body():
            self.recorded.account(chunk)
            yield chunk
        self.recorded.complete = True

    def read(self) -> bytes:
        """The whole body, for requests whose body is small by nature."""
        return b"".join(self.chunks())

    def discard(self) -> None:
        """Read the rest of the body, to keep the connection usable and the record whole."""
        for _ in self.chunks():
            pass

    def peek(self, size: int) -> bytes:
        """The first *size* bytes of the body, or all of it, without taking them from :meth:`chunks`."""
        for chunk in self._wire.body():
            self.recorded.account(chunk)
            self._ahead += chunk
            if len(self._ahead) >= size:
                break
        return self._ahead


def decoded(segment: str) -> str:
    """A piece of a path, percent-decoded once; ``+`` is itself, as it is in paths."""
    return unquote(segment)


def json_answer(status: int, value: Any, headers: list[tuple[str, str]] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(value).encode(), [("Content-Type", "application/json"), *(headers or [])])
