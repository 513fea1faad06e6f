"""The body of an answer, read into buffers: straight from the socket where it is large.

On its way through the HTTP libraries every byte is copied several times, which for a package of 1 GB takes longer than
all else. A body of known length needs no parser: the library is asked for the first piece, with which its own buffer
is empty, and the rest is read from the connection, which cannot be used again afterwards.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Final

import httpcore2

if TYPE_CHECKING:
    import httpx2

    from keelback.transport.turns import Turns

_LARGE: Final = 16 << 20
"""Bytes from where on it is worth a connection to read straight from the socket."""


class Incoming:
    """The body of *response*, decoded where the server encoded it.

    Attributes:
        encoded: whether the body comes in another form than it has (RFC 9110, section 8.4), so that neither its
            length nor a range of it can be known beforehand.
        length: how many bytes the server announced, if it did.
    """

    def __init__(self, response: httpx2.Response, turns: Turns) -> None:
        self._turns = turns
        self.encoded = response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
        self.length = _length(response)
        self._pieces = response.iter_bytes()
        self._piece = memoryview(b"")
        self._left = 0
        self._socket = None
        if not self.encoded and (self.length or 0) >= _LARGE:
            self._left = self.length or 0
            self._socket = _socket_of(response)
            self._timeout = response.request.extensions["timeout"]["read"]

    def readinto(self, buffer: memoryview) -> int:
        """Fill *buffer* with what has come in, waiting for the first of it; how much that is, 0 at the end.

        Raises:
            httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, httpx2.DecodingError: there
                will be no more, although this is not the end.
        """
        if not self._piece and (self._socket is None or self._left == self.length):
            self._piece = memoryview(next(self._pieces, b""))
        if self._piece:
            count = min(len(self._piece), len(buffer))
            buffer[:count] = self._piece[:count]
            self._piece = self._piece[count:]
        elif self._socket is not None and self._left:
            with self._turns.waiting():
                count = _receive(self._socket, buffer[: self._left], self._timeout)
        else:
            return 0
        self._left -= count
        return count


def _length(response: httpx2.Response) -> int | None:
    length = response.headers.get("content-length", "")
    chunked = "transfer-encoding" in response.headers  # which then rules (RFC 9112, section 6.3)
    return int(length) if length.isascii() and length.isdigit() and not chunked else None


def _socket_of(response: httpx2.Response) -> socket.socket | None:
    """The socket that *response* comes from, unless what it gives is still to be decrypted: TLS within TLS."""
    stream = response.extensions.get("network_stream")
    if stream is None or isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject):
        return None
    found = stream.get_extra_info("socket")
    return found if isinstance(found, socket.socket) else None


def _receive(sock: socket.socket, buffer: memoryview, timeout: float | None) -> int:
    """As much of *buffer* as has come in, at least one byte, for which *timeout* seconds are waited."""
    try:
        sock.settimeout(timeout)
        count = sock.recv_into(buffer)
    except TimeoutError as error:
        raise httpcore2.ReadTimeout(str(error)) from error
    except OSError as error:
        raise httpcore2.ReadError(str(error)) from error
    if not count:
        raise httpcore2.RemoteProtocolError("the connection ended before the body did")
    with contextlib.suppress(OSError):  # nothing more yet; or an error, which comes again
        sock.settimeout(0)
        while count < len(buffer) and (more := sock.recv_into(buffer[count:])):
            count += more
    return count
