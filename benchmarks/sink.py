"""A server that takes every upload and keeps nothing, so that a benchmark times the client and not the server.

It answers as Quetz, Artifactory, prefix.dev and anaconda.org do when every file is new to them, all four from one
table (:func:`respond`): their paths do not overlap. It remembers nothing from one request to the next but counts,
so every run of a benchmark meets the same server. Bodies are received into one buffer per connection and dropped.

Run by itself it prints its port and serves until it is stopped::

    python benchmarks/sink.py --latency 50
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUFFER_SIZE: Final = 1 << 18
"""Small enough to stay in a core's cache, so that what is dropped is never written to memory."""
BACKLOG: Final = 512
CONTROL: Final = "-"
"""First path segment of the requests that are the benchmark's own: never counted, never delayed."""


@dataclass(slots=True)
class Counts:
    """What the clients of one run did."""

    connections: int = 0
    """Connections on which at least one request came."""
    requests: int = 0
    delivered: int = 0
    """Packages that a real server would now hold."""
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the sink; *delivers* when a package has arrived with the request it answers."""

    status: int
    body: object = None
    delivers: bool = False
    headers: tuple[str, ...] = ()

    def encode(self, *, with_body: bool) -> bytes:
        """The answer as bytes for the wire; an answer to HEAD goes without its body."""
        body = json.dumps(self.body).encode()
        head = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *self.headers,
        ]
        return "\r\n".join([*head, "", ""]).encode() + (body if with_body else b"")


NOT_FOUND: Final = Answer(404, {"detail": "Not Found"})


def respond(method: str, segments: Sequence[str], headers: Mapping[str, str], *, checksum_deploy: bool) -> Answer:
    """The answer of whichever server it is that has this path.

    Args:
        method: the request's method.
        segments: its path, split at the slashes.
        headers: its headers, their names in lower case.
        checksum_deploy: answer PUT and HEAD as a real Artifactory that does not hold the content yet; without it, as
            something that merely takes PUT.
    """
    match method, segments:
        case "GET", ["api", "channels", channel]:  # Quetz
            return Answer(200, {"name": channel, "description": "", "private": True})
        case "POST", ["api", "channels", _, "upload", _]:  # Quetz
            return Answer(201, delivers=True)
        case "POST", ["api", "v1", "upload", *_]:  # prefix.dev
            return Answer(200, {}, delivers=True)
        case (("PUT" | "HEAD"), _):
            return _artifactory(method, segments, headers, checksum_deploy=checksum_deploy)
        case (("POST" | "PATCH"), _):
            return _anaconda(segments, headers)
    return NOT_FOUND  # whatever is asked for was never published here


def _anaconda(segments: Sequence[str], headers: Mapping[str, str]) -> Answer:
    match segments:
        case [("package" | "release"), *_]:
            return Answer(200, {})
        case ["stage", *_]:
            form = {"key": "staged", "policy": "any"}
            return Answer(200, {"post_url": f"http://{headers['host']}/store", "form_data": form, "dist_id": "1"})
        case ["store"]:  # the object store behind it
            return Answer(201, {})
        case ["commit", *_]:
            return Answer(200, {}, delivers=True)
    return NOT_FOUND


def _artifactory(method: str, segments: Sequence[str], headers: Mapping[str, str], *, checksum_deploy: bool) -> Answer:
    extra = ("Server: Artifactory/7.0", "X-Artifactory-Id: sink") if checksum_deploy else ()
    if method == "HEAD" or headers.get("x-checksum-deploy") == "true":
        return Answer(404, {"errors": [{"status": 404, "message": "Not Found"}]}, headers=extra)
    checksums = {kind: headers[name] for kind in ("sha1", "md5", "sha256") if (name := f"x-checksum-{kind}") in headers}
    body = {
        "repo": segments[1] if len(segments) > 1 else "",
        "path": "/" + "/".join(segments[2:]),
        "downloadUri": f"http://{headers['host']}/{'/'.join(segments)}",
        "size": headers.get("content-length", "0"),
        "checksums": checksums,  # as the client gave them: hashing here would slow the client down
    }
    return Answer(201, body, delivers=True, headers=extra)


class Connection:
    """One client's connection: reads requests off it and drops their bodies as they come."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray(BUFFER_SIZE)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0

    def read_head(self) -> bytes:
        """The next request's line and headers, without the empty line that ends them; empty when the client is gone."""
        try:
            return self._read_until(b"\r\n\r\n")
        except EOFError:
            return b""

    def drop_body(self, headers: Mapping[str, str]) -> int:
        """Receive the body that *headers* announce, and return its size."""
        if headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._drop_chunks()
        size = int(headers.get("content-length", "0"))
        self._drop(size)
        return size

    def send(self, data: bytes) -> None:
        """Send all of *data*."""
        self._socket.sendall(data)

    def _drop_chunks(self) -> int:
        total = 0
        while size := int(self._read_until(b"\r\n").partition(b";")[0], 16):
            self._drop(size + len(b"\r\n"))
            total += size
        while self._read_until(b"\r\n"):
            pass  # a trailer
        return total

    def _drop(self, size: int) -> None:
        buffered = self._end - self._start
        if size <= buffered:
            self._start += size
            return
        self._start = self._end = 0
        missing = size - buffered
        while missing:
            received = self._socket.recv_into(self._view, min(missing, BUFFER_SIZE))
            if not received:
                raise EOFError
            missing -= received

    def _read_until(self, mark: bytes) -> bytes:
        while (found := self._buffer.find(mark, self._start, self._end)) < 0:
            self._fill()
        text = bytes(self._view[self._start : found])
        self._start = found + len(mark)
        return text

    def _fill(self) -> None:
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == BUFFER_SIZE:
            rest = bytes(self._view[self._start : self._end])
            self._view[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        received = self._socket.recv_into(self._view[self._end :])
        if not received:
            raise EOFError
        self._end += received


class Sink:
    """Serves on a free loopback port, one thread a connection.

    Args:
        latency: seconds to wait before each answer.
        checksum_deploy: see :func:`respond`.
    """

    def __init__(self, *, latency: float = 0.0, checksum_deploy: bool = False) -> None:
        self._latency = latency
        self._checksum_deploy = checksum_deploy
        self._counts = Counts()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]

    def serve_forever(self) -> None:
        """Accept connections until the process ends."""
        while True:
            sock, _ = self._listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                self._answer_all(Connection(sock))
            except (EOFError, ConnectionError):
                return  # the client's run then shows fewer packages than it should

    def _answer_all(self, connection: Connection) -> None:
        first = True
        while head := connection.read_head():
            method, segments, headers = _parse(head)
            size = connection.drop_body(headers)
            if segments[0] == CONTROL:
                answer = self._control(segments)
            else:
                answer = respond(method, segments, headers, checksum_deploy=self._checksum_deploy)
                self._count(answer, size, first=first)
                first = False
                time.sleep(self._latency)
            connection.send(answer.encode(with_body=method != "HEAD"))
            if headers.get("connection", "").lower() == "close":
                return

    def _count(self, answer: Answer, size: int, *, first: bool) -> None:
        with self._lock:
            self._counts.connections += first
            self._counts.requests += 1
            self._counts.delivered += answer.delivers
            self._counts.body_bytes += size

    def _control(self, segments: Sequence[str]) -> Answer:
        """``/-/take`` gives the counts and begins new ones."""
        if segments[1:] != ["take"]:
            return NOT_FOUND
        with self._lock:
            counts, self._counts = self._counts, Counts()
        return Answer(200, asdict(counts))


def _parse(head: bytes) -> tuple[str, list[str], dict[str, str]]:
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = request_line.split(" ")
    segments = target.partition("?")[0].strip("/").split("/")
    fields = (line.partition(":") for line in lines)
    return method, segments, {name.lower(): value.strip() for name, _, value in fields}


def main() -> None:
    """Print the port, then serve."""
    parser = argparse.ArgumentParser(description="take uploads on loopback and keep nothing")
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS", help="milliseconds before each answer")
    parser.add_argument(
        "--checksum-deploy", action="store_true", help="answer as a real Artifactory that lacks the content"
    )
    options = parser.parse_args()
    sink = Sink(latency=options.latency / 1000, checksum_deploy=options.checksum_deploy)
    print(sink.port, flush=True)
    sink.serve_forever()


if __name__ == "__main__":
    main()
