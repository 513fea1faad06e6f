"""How a scripted server misbehaves, and at which requests.

A :class:`Fault` names a kind of misbehaviour (the functions at the end of this file, one each) and chooses its
requests::

    Fault("status", status=503, retry_after=1)              # the first upload
    Fault("reset-body", nth=3)                              # the third upload
    Fault("status", status=500, times=None)                 # every upload, always
    Fault("lost-answer", when="commit")                     # a step of the protocol, by its name
    Fault("status", status=422, file="bad-1.0-0.conda", times=None)
    Fault("stall", when=lambda request: request.method == "HEAD")
    Fault("status", status=500, per_file=True)              # once for each file
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from .wire import Answer, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .exchange import Exchange, Recorded

MEDIA_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8", "text": "text/plain; charset=utf-8"}


@dataclass(eq=False)
class Fault:
    """One misbehaviour, and the requests that meet it.

    Args:
        kind: which; see :data:`KINDS`.
        when: the step's name, ``"any"``, or a predicate on the request.
        nth: strike first at the n-th such request, counted from 1.
        times: how many requests to strike; None for every one.
        file: strike only requests about this archive, by its file name.
        per_file: count *nth* and *times* for each file by itself.
        status: what to answer (``status``, ``early``, ``echo``, ``redirect``).
        body: the body to answer with; None for one in the protocol's own shape.
        media: the body's type: ``json``, ``html``, ``text``, or a media type; ``empty`` for no body at all.
        headers: more header fields for the answer.
        retry_after: the value of a ``Retry-After`` field.
        after_bytes: how much of the body to read before a ``reset-body``.
        seconds: how long to ``delay``.
        to: the origin that a ``redirect`` goes to, path and query being kept.
        then: what follows an ``early`` answer: ``close`` the connection with the body unread, ``hold`` it open
            without reading, or ``drain`` what still comes.
    """

    kind: str
    when: str | Callable[[Recorded], bool] = "upload"
    nth: int = 1
    times: int | None = 1
    file: str | None = None
    per_file: bool = False
    status: int = 500
    body: str | None = None
    media: str = "json"
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: int | str | None = None
    after_bytes: int = 1
    seconds: float = 0.0
    to: str = ""
    then: str = "close"
    _met: Counter[str | None] = field(default_factory=Counter, repr=False)
    _struck: Counter[str | None] = field(default_factory=Counter, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault of the kind {self.kind!r}; there are {', '.join(sorted(KINDS))}")

    @property
    def struck(self) -> int:
        """How many requests it has struck."""
        return self._struck.total()

    @property
    def asks_for_file(self) -> bool:
        """Whether the file name must be known before the request is handled."""
        return self.per_file or self.file is not None

    def meets(self, request: Recorded) -> bool:
        """Whether it strikes *request*; counts it."""
        if not self._chooses(request):
            return False
        key = request.filename if self.per_file else None
        self._met[key] += 1
        if self._met[key] < self.nth or (self.times is not None and self._struck[key] >= self.times):
            return False
        self._struck[key] += 1
        return True

    def _chooses(self, request: Recorded) -> bool:
        if self.file is not None and request.filename != self.file:
            return False
        if callable(self.when):
            return self.when(request)
        return self.when in {"any", request.step}


class Plan:
    """The faults of a server, in the order in which they are asked whether they strike."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = list(faults)
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        """Have *faults* strike as well, from the next request on."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Behave from the next request on."""
        with self._lock:
            self._faults.clear()

    def asks_for_file(self) -> bool:
        """Whether some fault must know the file name beforehand."""
        with self._lock:
            return any(fault.asks_for_file for fault in self._faults)

    def pick(self, request: Recorded) -> Fault | None:
        """The first fault that strikes *request*, or None."""
        with self._lock:
            return next((fault for fault in self._faults if fault.meets(request)), None)


class Server(Protocol):
    """What a misbehaviour needs of the server that it happens at."""

    def respond(self, exchange: Exchange) -> Answer:
        """What the server would answer if it behaved; does what was asked."""

    def refusal(self, status: int, message: str) -> Answer:
        """An error in the shape of the server's protocol."""

    def dress(self, answer: Answer) -> Answer:
        """Add what every answer of the server has."""


@dataclass
class Strike:
    """A fault at the moment at which it happens."""

    fault: Fault
    wire: Wire
    exchange: Exchange
    server: Server

    def strike(self) -> None:
        """Misbehave."""
        KINDS[self.fault.kind](self)

    def send(self, answer: Answer) -> None:
        """Put *answer* on the wire and on record."""
        self.exchange.recorded.status = answer.status
        self.wire.send(self.server.dress(answer))

    def behave(self) -> Answer:
        """What the server would answer."""
        return self.server.respond(self.exchange)

    def refusal(self) -> Answer:
        """The answer that the fault describes."""
        fault = self.fault
        if fault.media == "empty":
            answer = Answer(fault.status)
        elif fault.body is None and fault.media == "json":
            answer = self.server.refusal(fault.status, f"scripted {fault.status}")
        else:
            body = fault.body if fault.body is not None else f"<html><h1>scripted {fault.status}</h1></html>"
            media = MEDIA_TYPES.get(fault.media, fault.media)
            answer = Answer(fault.status, body.encode(), [("Content-Type", media)])
        answer.headers += fault.headers
        if fault.retry_after is not None:
            answer.headers.append(("Retry-After", str(fault.retry_after)))
        return answer


KINDS: dict[str, Callable[[Strike], None]] = {}
"""Every kind of misbehaviour by its name."""


def _kind(name: str) -> Callable[[Callable[[Strike], None]], Callable[[Strike], None]]:
    def register(function: Callable[[Strike], None]) -> Callable[[Strike], None]:
        KINDS[name] = function
        return function

    return register


@_kind("status")
def _status(strike: Strike) -> None:
    """Read everything, do nothing of it, and answer with a status."""
    strike.exchange.discard()
    strike.send(strike.refusal())


@_kind("early")
def _early(strike: Strike) -> None:
    """Answer right after the head, without reading the body."""
    answer = strike.refusal()
    answer.headers.append(("Connection", "close"))
    strike.send(answer)
    if strike.fault.then == "hold":
        strike.wire.hold()
    elif strike.fault.then == "drain":
        strike.wire.finish()
        strike.wire.drain()
    strike.wire.close()


@_kind("echo")
def _echo(strike: Strike) -> None:
    """Refuse, with the credential that came in the body and in a header, as careless servers and proxies do."""
    strike.exchange.discard()
    request = strike.exchange.recorded
    came = [request.target, *request.all("authorization"), *request.all("x-api-key")]
    answer = strike.server.refusal(strike.fault.status, f"rejected credential: {' '.join(came)}")
    answer.headers += [("X-Rejected", value) for value in came]
    strike.send(answer)


@_kind("redirect")
def _redirect(strike: Strike) -> None:
    """Read everything, and send the client to another origin."""
    strike.exchange.discard()
    location = strike.fault.to + strike.exchange.recorded.target
    strike.send(Answer(strike.fault.status, headers=[("Location", location), *strike.fault.headers]))


@_kind("reset")
def _reset(strike: Strike) -> None:
    """Break the connection before any of the body is read."""
    strike.wire.reset()


@_kind("reset-body")
def _reset_body(strike: Strike) -> None:
    """Break the connection in the middle of the body."""
    for _ in strike.exchange.chunks():
        if strike.exchange.recorded.body_size >= strike.fault.after_bytes:
            break
    strike.wire.reset()


@_kind("stall")
def _stall(strike: Strike) -> None:
    """Read nothing of the body and never answer."""
    strike.wire.hold()
    strike.wire.close()


@_kind("stall-answer")
def _stall_answer(strike: Strike) -> None:
    """Read everything, do nothing of it, and never answer."""
    strike.exchange.discard()
    strike.wire.hold()
    strike.wire.close()


@_kind("lost-answer")
def _lost_answer(strike: Strike) -> None:
    """Do all that was asked, then break the connection instead of saying so."""
    strike.behave()
    strike.wire.reset()


@_kind("keepalive-closed")
def _keepalive_closed(strike: Strike) -> None:
    """Answer as if the connection could be used again, then close it."""
    strike.send(strike.behave())
    strike.wire.close()


@_kind("keepalive-cut")
def _keepalive_cut(strike: Strike) -> None:
    """Answer well, and break the connection when the next request on it arrives."""
    strike.send(strike.behave())
    strike.wire.cut_next_request = True


@_kind("lie")
def _lie(strike: Strike) -> None:
    """Answer with checksums that are not those of the files."""
    strike.exchange.lying = True
    strike.send(strike.behave())


@_kind("delay")
def _delay(strike: Strike) -> None:
    """Answer well, but late."""
    answer = strike.behave()
    strike.wire.pause(strike.fault.seconds)
    strike.send(answer)


@_kind("twice")
def _twice(strike: Strike) -> None:
    """Answer well, with an answer that nobody asked for right behind."""
    strike.send(strike.behave())
    strike.wire.send_raw(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")


@_kind("garbage")
def _garbage(strike: Strike) -> None:
    """Do all that was asked, and answer with what is no HTTP."""
    strike.behave()
    strike.wire.send_raw(b"\x00\x01 this is not HTTP \xff\r\n\r\n")
    strike.wire.close()


@_kind("truncated")
def _truncated(strike: Strike) -> None:
    """Do all that was asked, and break off in the middle of the answer's body."""
    answer = strike.behave()
    announced = f"HTTP/1.1 {answer.status} Cut\r\nContent-Length: {len(answer.body) + 100}\r\n\r\n".encode()
    strike.wire.send_raw(announced + answer.body)
    strike.wire.close()
