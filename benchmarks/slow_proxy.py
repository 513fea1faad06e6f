"""A proxy that has one server be as far away as a real one is, and counts what goes through it.

It stands before one HTTP server on loopback. Requests and answers pass unchanged, ``Host`` included, so that signatures
stay valid; each answer waits. ``Expect: 100-continue`` is answered by the proxy itself, at once: clients that send it
are measured without the trip that it costs them elsewhere. Neither are there those that connections and TLS cost.

Run by itself it prints its port and serves until it is stopped::

    python benchmarks/slow_proxy.py 8333 --latency 50
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from sink import BACKLOG, BUFFER_SIZE

if TYPE_CHECKING:
    import io
    from collections.abc import Mapping

CONTROL: Final = b"/-/take"
"""The path of the request that is the benchmark's own: it gives the counts, and begins new ones."""
_LONGEST_LINE: Final = 1 << 16
_WITHOUT_BODY: Final = frozenset({204, 304})


@dataclass(slots=True)
class Traffic:
    """What went through.

    Attributes:
        connections: on which at least one request came.
        requests: how many, by method.
        sent: bytes of requests.
        received: bytes of answers.
    """

    connections: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    received: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        """All of both."""
        methods = sorted(self.requests.keys() | other.requests.keys())
        return Traffic(
            self.connections + other.connections,
            {method: self.requests.get(method, 0) + other.requests.get(method, 0) for method in methods},
            self.sent + other.sent,
            self.received + other.received,
        )


@dataclass(frozen=True, slots=True)
class Head:
    """The lines before a body.

    Attributes:
        words: of the first line.
        lines: all of them, with their ends; the empty one, too.
    """

    words: tuple[bytes, ...]
    lines: tuple[bytes, ...]

    @property
    def fields(self) -> Mapping[bytes, bytes]:
        """The header fields, their names in lower case."""
        split = (line.partition(b":") for line in self.lines[1:-1])
        return {name.lower(): value.strip() for name, _, value in split}

    def without(self, name: bytes) -> bytes:
        """It as bytes for the wire, without the header field *name*."""
        kept = [line for line in self.lines[1:] if line.partition(b":")[0].lower() != name]
        return b"".join([self.lines[0], *kept])


class Side:
    """One end of a connection, to read from."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._file: io.BufferedReader = sock.makefile("rb", BUFFER_SIZE)
        self._view = memoryview(bytearray(BUFFER_SIZE))

    def read_head(self) -> Head:
        """The next head; ``EOFError`` where none comes."""
        lines = []
        while not lines or lines[-1] != b"\r\n":
            lines.append(self._line())
        return Head(tuple(lines[0].split()), tuple(lines))

    def pass_body(self, fields: Mapping[bytes, bytes], to: socket.socket) -> int:
        """Send on the body that *fields* announce; how many bytes it was."""
        if fields.get(b"transfer-encoding", b"").lower() != b"chunked":
            return self._pass(int(fields.get(b"content-length", b"0")), to)
        total = 0
        while True:
            line = self._line()
            to.sendall(line)
            size = int(line.partition(b";")[0], 16)
            total += len(line) + self._pass(size + len(b"\r\n"), to)  # no server here sends trailers
            if not size:
                return total

    def _pass(self, size: int, to: socket.socket) -> int:
        missing = size
        while missing:
            received = self._file.readinto1(self._view[: min(missing, BUFFER_SIZE)])
            if not received:
                raise EOFError
            to.sendall(self._view[:received])
            missing -= received
        return size

    def _line(self) -> bytes:
        line = self._file.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise EOFError
        return line


class Proxy:
    """Serves on a free loopback port, one thread a connection, each with a connection of its own to the server.

    Args:
        port: the server's.
        latency: seconds to wait before each answer.
    """

    def __init__(self, port: int, latency: float) -> None:
        self._server = ("127.0.0.1", port)
        self._latency = latency
        self._traffic = Traffic()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]

    def serve_forever(self) -> None:
        """Accept connections until the process ends."""
        while True:
            sock, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with sock, socket.create_connection(self._server) as server:
                for each in (sock, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client, beyond = Side(sock), Side(server)
                first = True
                while self._exchange(client, beyond, first=first):
                    first = False
        except (EOFError, OSError):
            return  # one of them is gone; the other is to learn of it

    def _exchange(self, client: Side, beyond: Side, *, first: bool) -> bool:
        """Let one request and its answer pass; whether more may come on these connections."""
        request = client.read_head()
        method, target = request.words[0], request.words[1]
        if target == CONTROL:
            client.socket.sendall(self._take())
            return True
        fields = request.fields
        if fields.get(b"expect", b"").lower() == b"100-continue":
            client.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = request.without(b"expect")
        beyond.socket.sendall(head)
        sent = len(head) + client.pass_body(fields, beyond.socket)
        answer = beyond.read_head()
        time.sleep(self._latency)
        head = b"".join(answer.lines)
        client.socket.sendall(head)
        received = len(head)
        if method != b"HEAD" and int(answer.words[1]) not in _WITHOUT_BODY:
            received += beyond.pass_body(answer.fields, client.socket)
        self._count(method.decode(), sent, received, first=first)
        return b"close" not in (fields.get(b"connection"), answer.fields.get(b"connection"))

    def _count(self, method: str, sent: int, received: int, *, first: bool) -> None:
        with self._lock:
            traffic = self._traffic
            traffic.connections += first
            traffic.requests[method] = traffic.requests.get(method, 0) + 1
            traffic.sent += sent
            traffic.received += received

    def _take(self) -> bytes:
        with self._lock:
            traffic, self._traffic = self._traffic, Traffic()
        body = json.dumps(asdict(traffic)).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def main() -> None:
    """Print the port, then serve."""
    parser = argparse.ArgumentParser(description="stand before a server on loopback, as if it were far away")
    parser.add_argument("port", type=int, help="the server's")
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS", help="milliseconds before each answer")
    options = parser.parse_args()
    proxy = Proxy(options.port, options.latency / 1000)
    print(proxy.port, flush=True)
    proxy.serve_forever()


if __name__ == "__main__":
    main()
