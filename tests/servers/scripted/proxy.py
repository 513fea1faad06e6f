"""The way to hosts that are known by name: a proxy that leads to the server that goes by the name, or to nobody.

Programs get the real names, so that keys, audiences and messages are those that a user sees, and nothing leaves this
machine. Whatever they asked for is on record, also where it led nowhere.
"""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import ssl
import threading
from typing import TYPE_CHECKING, Self

import trustme

from .engine import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .exchange import Exchange


class NamedServer(ScriptedServer):
    """A server that goes by names of its own, over TLS, and not by its address."""

    names: tuple[str, ...] = ()

    def arrived(self, exchange: Exchange) -> None:
        """Look for one of the names where the address is expected."""
        headers = exchange.recorded.headers
        own = f"127.0.0.1:{self.port}"
        known = {*self.names, *(f"{name}:443" for name in self.names)}
        headers[:] = [(name, own if name.lower() == "host" and value in known else value) for name, value in headers]
        super().arrived(exchange)


class CertificateAuthority:
    """Has the names of servers believed, by programs that are told of it.

    Args:
        folder: where its certificate is put.
    """

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def tls(self, *names: str) -> ssl.SSLContext:
        """For a server that goes by *names*."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*names).configure_cert(context)
        return context


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy that knows a few hosts, and refuses all others; a context.

    Args:
        hosts: the server for each host.

    Attributes:
        asked: what was asked for, in order: ``CONNECT prefix.dev:443``, ``POST http://prefix.dev/...``.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hosts: Mapping[str, ScriptedServer]) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.hosts = hosts
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Tunnel(socketserver.StreamRequestHandler):
    """One connection through the proxy."""

    server: Proxy
    rbufsize = 0

    def handle(self) -> None:
        head = b"".join(iter(self.rfile.readline, b"\r\n")).decode("latin-1")
        method, target, *_ = head.split(" ", 2)
        self.server.asked.append(f"{method} {target}")
        name, _, port = target.rpartition(":")
        if method != "CONNECT" or name not in self.server.hosts or port != "443":
            self.wfile.write(b"HTTP/1.1 502 No such host\r\nContent-Length: 0\r\n\r\n")
            return
        address = ("127.0.0.1", self.server.hosts[name].port)
        with contextlib.suppress(OSError), socket.create_connection(address) as behind:
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            _splice(self.connection, behind)


def _splice(front: socket.socket, behind: socket.socket) -> None:
    """Copy both ways until either end closes."""
    while True:
        for one in select.select([front, behind], [], [])[0]:
            data = one.recv(65536)
            if not data:
                return
            (behind if one is front else front).sendall(data)
