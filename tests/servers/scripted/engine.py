"""A scripted HTTP server: real sockets on loopback, one thread a connection, an account of everything that came.

A protocol is a subclass whose methods are marked with :func:`route`. Whatever a client does that the protocol does not
allow goes into :attr:`ScriptedServer.protocol_errors`, whether or not a lenient real server would have let it pass;
tests end with :meth:`ScriptedServer.assert_clean`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from .exchange import Exchange, Recorded, decoded, json_answer
from .faults import Fault, Plan, Strike
from .wire import Answer, ClientGoneError, NotHTTPError, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    import h11

_MARK = "_scripted_routes"
_JOIN_SECONDS = 5


@dataclass(frozen=True)
class Route:
    """Which requests a method handles, and what that step is called."""

    methods: frozenset[str]
    pattern: re.Pattern[str]
    step: str
    handler: Callable[..., Answer]


def route(methods: str, pattern: str, step: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Have a method handle the requests of *methods* (space-separated) whose whole path matches *pattern*.

    Named groups of the pattern, percent-decoded once, become keyword arguments.
    """

    def mark(function: Callable[..., Answer]) -> Callable[..., Answer]:
        marked = Route(frozenset(methods.split()), re.compile(pattern), step, function)
        setattr(function, _MARK, [*getattr(function, _MARK, []), marked])
        return function

    return mark


class ScriptedServer:
    """The server under every protocol; ``with QuetzServer(...) as server:`` starts and stops it.

    Args:
        faults: how it misbehaves; more can be added later with :meth:`plan`.
        latency: seconds to wait before each answer.
        tls: speak HTTPS with this context.
    """

    def __init__(
        self, *, faults: Iterable[Fault] = (), latency: float = 0.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.requests: list[Recorded] = []
        """Every request in order of arrival."""
        self.protocol_errors: list[str] = []
        """Everything a client did that the protocol does not allow. Never holds a secret."""
        self.crashes: list[str] = []
        """Tracebacks of this server's own mistakes."""
        self.connections = 0
        """How many connections were accepted."""
        self.lock = threading.RLock()
        self._arrival = threading.Condition(self.lock)
        self.port = 0
        self._plan = Plan(faults)
        self._latency = latency
        self._tls = tls
        self._stopping = threading.Event()
        self._wires: set[Wire] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, port: int = 0) -> Self:
        """Listen on loopback; port 0 takes a free one."""
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._spawn(self._accept, self._listener)
        return self

    def stop(self) -> None:
        """Close every connection, also those that are stalled on purpose, and forget none of the records."""
        self._stopping.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass  # wakes accept(), which closing the socket does not
        with self.lock:
            for wire in self._wires:
                wire.wake()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    @property
    def url(self) -> str:
        """The origin."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def plan(self, *faults: Fault) -> None:
        """Have *faults* strike as well, from the next request on."""
        self._plan.add(*faults)

    def behave(self) -> None:
        """Forget every fault."""
        self._plan.clear()

    def steps(self) -> list[str]:
        """The names of all requests' steps, in order of arrival."""
        return [request.step for request in self.requests]

    def of_step(self, step: str) -> list[Recorded]:
        """The requests of one step, in order of arrival."""
        return [request for request in self.requests if request.step == step]

    def wait_for(self, step: str, count: int = 1, seconds: float = 30) -> None:
        """Wait until *count* requests of a step have arrived (not until they are answered).

        Raises:
            AssertionError: they have not, after so many seconds.
        """
        with self._arrival:
            if not self._arrival.wait_for(lambda: len(self.of_step(step)) >= count, seconds):
                raise AssertionError(f"no {count} requests of the step {step!r} arrived, but {self.requests}")

    def flag(self, exchange: Exchange, error: str) -> None:
        """Put on record that *exchange* broke the protocol; *error* says how, without any secret."""
        request = exchange.recorded
        with self.lock:
            self.protocol_errors.append(f"{request.method} ({request.step}, {request.filename or 'no file'}): {error}")

    def expect(self, exchange: Exchange, holds: bool, error: str) -> bool:  # noqa: FBT001 - reads like an assertion
        """:meth:`flag` *error* unless it *holds*; whether it does."""
        if not holds:
            self.flag(exchange, error)
        return holds

    def assert_clean(self) -> None:
        """Fail where a client broke the protocol, or this server broke itself."""
        if self.protocol_errors or self.crashes:
            raise AssertionError("\n".join(["the scripted server objects:", *self.protocol_errors, *self.crashes]))

    # What protocols put in place.

    def arrived(self, exchange: Exchange) -> None:
        """Look at a request before it is routed; may change ``exchange.path``."""

    def filename_of(self, _exchange: Exchange, groups: dict[str, str]) -> str | None:
        """The archive that a request is about; by default what its route calls ``filename``."""
        return groups.get("filename")

    def refusal(self, status: int, message: str) -> Answer:
        """An error in the shape of the protocol."""
        return json_answer(status, {"error": message})

    def dress(self, answer: Answer) -> Answer:
        """Add what every answer of this server has, also the answer of a fault."""
        return answer

    def not_found(self, exchange: Exchange) -> Answer:
        """What to answer where no route matches; asking for it breaks the protocol."""
        self.flag(exchange, "there is no such route in this protocol")
        return self.refusal(404, "not found")

    # The machinery.

    def respond(self, exchange: Exchange) -> Answer:
        """Do what was asked, read what is left of the body, and return the answer."""
        found, groups = self._find(exchange)
        try:
            answer = found.handler(self, exchange, **groups) if found else self.not_found(exchange)
        except ClientGoneError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the test must hear of it
            self.crashes.append(traceback.format_exc())
            answer = self.refusal(500, "the scripted server broke; see its crashes")
        exchange.discard()
        return answer

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while not self._stopping.is_set():
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                if self._stopping.is_set():
                    sock.close()
                    return
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wire = Wire(sock, self._stopping, self._latency)
                with self.lock:
                    self.connections += 1
                    self._wires.add(wire)
                    self._spawn(self._serve, wire, self.connections)

    def _spawn(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True, name=f"{type(self).__name__}")
        self._threads.append(thread)
        thread.start()

    def _serve(self, wire: Wire, number: int) -> None:
        try:
            if self._tls:
                wire.secure(self._tls)
            while head := wire.next_request():
                self._serve_one(wire, number, head)
        except ClientGoneError:
            pass
        except NotHTTPError as error:
            with self.lock:
                self.protocol_errors.append(f"connection {number}: no HTTP/1.1: {error}")
        except Exception:  # noqa: BLE001 - whatever it is, the test must hear of it
            self.crashes.append(traceback.format_exc())
        finally:
            with self.lock:
                self._wires.discard(wire)
            wire.close()

    def _serve_one(self, wire: Wire, number: int, head: h11.Request) -> None:
        exchange = Exchange(_record(head, number), wire)
        request = exchange.recorded
        self.arrived(exchange)
        found, groups = self._find(exchange)
        request.step = found.step if found else "unknown"
        request.filename = self.filename_of(exchange, groups)
        with self._arrival:
            self.requests.append(request)
            self._arrival.notify_all()
        self._check_head(exchange)
        if wire.cut_next_request:
            request.fault = "keepalive-cut"
            wire.reset()
            raise ClientGoneError
        fault = self._plan.pick(request)
        if fault:
            request.fault = fault.kind
            Strike(fault, wire, exchange, self).strike()
        else:
            answer = self.respond(exchange)
            request.status = answer.status
            wire.send(self.dress(answer))

    def _find(self, exchange: Exchange) -> tuple[Route | None, dict[str, str]]:
        for candidate in self._routes():
            match = candidate.pattern.fullmatch(exchange.path)
            if match and exchange.recorded.method in candidate.methods:
                return candidate, {name: decoded(value or "") for name, value in match.groupdict().items()}
        return None, {}

    @classmethod
    def _routes(cls) -> list[Route]:
        members = [member for base in cls.__mro__ for member in vars(base).values()]
        return [found for member in members for found in getattr(member, _MARK, ())]

    def _check_head(self, exchange: Exchange) -> None:
        request = exchange.recorded
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        self.expect(exchange, request.header("host") in hosts, "the Host field is not this server's")
        for name in ("authorization", "x-api-key", "content-length", "content-type"):
            self.expect(exchange, len(request.all(name)) <= 1, f"{name} was sent more than once")
        self.expect(exchange, request.target.startswith("/"), "the target is not a path")
        self.expect(exchange, "#" not in request.target, "the target holds a fragment")


def _record(head: h11.Request, connection: int) -> Recorded:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers.raw_items()]
    return Recorded(connection, head.method.decode(), head.target.decode("latin-1"), headers)


class Trap(ScriptedServer):
    """Another origin: takes anything, answers 200, and tells afterwards what it heard."""

    @route("GET HEAD POST PUT PATCH DELETE OPTIONS", r".*", step="trap")
    def swallow(self, exchange: Exchange) -> Answer:
        """Take whatever comes."""
        exchange.discard()
        return json_answer(200, {})

    def heard(self) -> str:
        """Everything that was received, as text to search for what should not have come here."""
        lines = []
        for request in self.requests:
            lines += [request.target, *(f"{name}: {value}" for name, value in request.headers)]
            lines.append((request.body or b"").decode("latin-1"))
        return "\n".join(lines)
