"""One accepted connection: h11's reading of it, and the rude things that can be done to a socket."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from threading import Event

_READ = 1 << 18
_LOOK_AGAIN = 0.02
"""Seconds between two looks at whether a held client has given up."""
_HANG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class ClientGoneError(Exception):
    """The client closed or broke the connection before it had sent what it announced, or had read its answer."""


class NotHTTPError(Exception):
    """The client sent what is no HTTP/1.1; the text says how."""


@dataclass
class Answer:
    """What a server says: status, header fields in order, body."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunked: bool = False
    """Send the body without a Content-Length."""


class Wire:
    """The server's end of one connection.

    Args:
        sock: the accepted socket; the wire owns it from here on.
        stopping: set when the server goes away; every wait on this wire ends then.
        latency: seconds to wait before each answer.
    """

    def __init__(self, sock: socket.socket, stopping: Event, latency: float) -> None:
        self._sock = sock
        self._stopping = stopping
        self._latency = latency
        self._http = h11.Connection(h11.SERVER)
        self._body_over = True
        self._wants_body = True
        self.cut_next_request = False
        """Whether the next request on this connection is to meet a reset instead of an answer."""

    def next_request(self) -> h11.Request | None:
        """The next request's head, or None where there will be none on this connection."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        try:
            event = self._event()
        except ClientGoneError:
            return None
        if isinstance(event, h11.Request):
            self._body_over = False
            self._wants_body = event.method != b"HEAD"
            return event
        return None

    def body(self) -> Iterator[bytes]:
        """The request's body as it comes in; can be taken up again where it was left.

        Raises:
            ClientGoneError: it ended before it was complete.
        """
        if not self._body_over and self._http.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[]))
        while not self._body_over:
            event = self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                self._body_over = True

    def send(self, answer: Answer) -> None:
        """Send *answer*, after the server's latency."""
        self.pause(self._latency)
        headers = list(answer.headers)
        names = {name.lower() for name, _ in headers}
        if not answer.chunked and answer.status not in {204, 304} and "content-length" not in names:
            headers.append(("Content-Length", str(len(answer.body))))
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._send(h11.Response(status_code=answer.status, headers=encoded))
        if answer.body and self._wants_body and answer.status not in {204, 304}:
            self._send(h11.Data(data=answer.body))
        self._send(h11.EndOfMessage())

    def send_raw(self, data: bytes) -> None:
        """Put *data* on the connection as it is, HTTP or not."""
        self.pause(self._latency)
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise ClientGoneError from error

    def pause(self, seconds: float) -> None:
        """Wait, unless the server goes away."""
        if seconds > 0:
            self._stopping.wait(seconds)

    def hold(self) -> None:
        """Do nothing, reading nothing, until the client gives up or the server goes away."""
        watch = select.poll()
        watch.register(self._sock, _HANG_UP)
        while not self._stopping.wait(_LOOK_AGAIN):
            if watch.poll(0):
                return

    def drain(self) -> None:
        """Read what still comes, without looking at it, until the client closes."""
        with contextlib.suppress(OSError):
            while self._sock.recv(_READ):
                pass

    def finish(self) -> None:
        """Say that nothing more will be sent, as a polite server does before it closes."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection: the client's next read or write fails with ECONNRESET."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        """Close the connection without a word."""
        self._sock.close()

    def wake(self) -> None:
        """End every wait on this connection; called from another thread."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from here on.

        Raises:
            ClientGoneError: the client does not want to.
        """
        try:
            self._sock = context.wrap_socket(self._sock, server_side=True)
        except OSError as error:
            raise ClientGoneError from error

    def _event(self) -> h11.Event:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                if self._http.trailing_data[1] or self._stopping.is_set():
                    raise ClientGoneError from error
                raise NotHTTPError(str(error)) from error
            if isinstance(event, h11.ConnectionClosed):
                raise ClientGoneError
            if event is not h11.NEED_DATA:
                return event
            try:
                data = self._sock.recv(_READ)
            except OSError as error:
                raise ClientGoneError from error
            self._http.receive_data(data)

    def _send(self, event: h11.Event) -> None:
        try:
            data = self._http.send(event)
            if data:
                self._sock.sendall(data)
        except (OSError, h11.LocalProtocolError) as error:
            raise ClientGoneError from error
