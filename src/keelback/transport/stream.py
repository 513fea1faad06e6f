"""Sockets that notice when the server answers before it has heard everything, and that can be stopped.

A server that refuses an upload often says so at once and stops reading. A client that only writes then hangs in a full
socket buffer, or meets a reset that throws the answer away. So before each piece goes out, the socket is looked at:
what has come in is kept for the reader, and the writing ends there.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

import httpcore2

from keelback.transport.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PIECE: Final = 1 << 20
_WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Sockets(httpcore2.NetworkBackend):
    """Opens connections, and can break all of them at once."""

    def __init__(self) -> None:
        self._backend = httpcore2.SyncBackend()
        self._open: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._stopped = False
        self.turns = Turns()
        """Whose turn it is of the threads that use these connections."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Open a TCP connection; raises httpcore2's connection errors."""
        with self.turns.waiting():
            inner = self._backend.connect_tcp(host, port, timeout, local_address, socket_options or ())
        return self._adopt(inner)

    def _adopt(self, inner: httpcore2.NetworkStream) -> Stream:
        stream = Stream(inner, self._adopt, self.turns)
        with self._lock:
            self._open.add(stream)
            stopped = self._stopped
        if stopped:
            stream.shutdown()
        return stream

    def stop(self) -> None:
        """Break every connection, now and in the future, so that no thread stays blocked in one."""
        with self._lock:
            self._stopped = True
            streams = list(self._open)
        for stream in streams:
            stream.shutdown()


class Stream(httpcore2.NetworkStream):
    """One connection; see the module for what it does beyond httpcore2's own."""

    def __init__(
        self, inner: httpcore2.NetworkStream, adopt: Callable[[httpcore2.NetworkStream], Stream], turns: Turns
    ) -> None:
        self._inner = inner
        self._adopt = adopt
        self._turns = turns
        self._socket: socket.socket = inner.get_extra_info("socket")
        # within a TLS proxy: the socket's own TLS ends there, and what goes past *inner* is in the clear for the proxy
        self._nested = isinstance(inner.get_extra_info("ssl_object"), ssl.SSLObject)
        self._early = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Up to *max_bytes* of what has come in, waiting *timeout* seconds for the first of them."""
        if self._early:
            data, self._early = self._early[:max_bytes], self._early[max_bytes:]
            return data
        with self._turns.waiting():
            return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of *buffer*; raises ``WriteError`` when the server has answered or gone before that.

        *timeout* is the time without any progress, not that for the whole.
        """
        if self._nested:
            with self._turns.waiting():
                self._inner.write(buffer, timeout)
            return
        view = memoryview(buffer)
        sock = self._socket
        try:
            while view:
                if self._answered():
                    raise httpcore2.WriteError(
                        "the server answered, or closed the connection, before it had everything"
                    )
                sock.settimeout(0)
                try:
                    view = view[sock.send(view[:_PIECE]) :]
                except _WOULD_BLOCK:
                    with self._turns.waiting():
                        ready = _wait(sock, timeout, write=True)
                    if not ready:
                        raise httpcore2.WriteTimeout(f"nothing could be sent for {timeout:g} seconds") from None
        except (OSError, ValueError) as error:
            raise httpcore2.WriteError(str(error)) from error

    def _answered(self) -> bool:
        """Whether anything has come in; it is kept for :meth:`read`.

        A TLS session ticket makes the socket readable as well, so what is there is really read.
        """
        sock = self._socket
        if not self._early and not _wait(sock, 0, write=False):
            return False
        sock.settimeout(0)
        try:
            data = sock.recv(65536)
        except _WOULD_BLOCK:
            return bool(self._early)
        self._early += data
        return True

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def shutdown(self) -> None:
        """Break the connection under whoever is blocked in it."""
        with contextlib.suppress(OSError):
            # not SSLSocket's own, which drops TLS first: a thread about to write would write in the clear
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """The same connection with TLS on it."""
        with self._turns.waiting():
            inner = self._inner.start_tls(ssl_context, server_hostname, timeout)
        stream: httpcore2.NetworkStream = self._adopt(inner)
        return stream

    def get_extra_info(self, info: str) -> Any:
        """What httpcore2 wants to know of the connection."""
        if info == "is_readable" and self._early:
            return True
        return self._inner.get_extra_info(info)


def _wait(sock: socket.socket, timeout: float | None, *, write: bool) -> bool:
    """Whether *sock* becomes readable (with *write*: or writable) within *timeout* seconds."""
    if sock.fileno() < 0:
        raise httpcore2.WriteError("the connection is closed")
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if write else 0))
        return bool(poll.poll(None if timeout is None else timeout * 1000))
    readable, writable, _ = select.select([sock], [sock] if write else [], [], timeout)
    return bool(readable or writable)
