"""Listens on this machine for the browser that comes back from a login (RFC 8252, section 7.3)."""

from __future__ import annotations

import html
import os
import queue
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, ClassVar, Final, Self, cast
from urllib.parse import parse_qsl, urlsplit

from keelback._version import __version__
from keelback.credentials.oauth.endpoints import error_words, one_line
from keelback.credentials.oauth.idtoken import same
from keelback.errors import CredentialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_TARGET: Final = 16 << 10
_MOST_PARAMETERS: Final = 20
_REQUEST_SECONDS: Final = 5.0
_LOOK_AGAIN_SECONDS: Final = 0.5
"""How long Ctrl-C may go unnoticed where waiting for a lock cannot be interrupted (Windows)."""
_POLL_SECONDS: Final = 0.05
_ADDRESSES: Final = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "::1"}


class RedirectListener:
    """Takes the one request with which the browser brings the answer; a context manager, which listens inside.

    Args:
        state: what the answer has to bring along (RFC 6749, section 10.12). A request without it is refused and
            forgotten: whoever sent it, the right one may still come.
        redirect_uri: where to listen; on 127.0.0.1 and a free port without it.

    Attributes:
        redirect_uri: where the browser has to come to.

    Raises:
        UsageError: *redirect_uri* is not one of this machine with a port.
        CredentialError: code ``login-failed``: its port is taken.
    """

    def __init__(self, state: str, redirect_uri: str | None = None) -> None:
        host, port, path = ("127.0.0.1", 0, "/") if redirect_uri is None else _parsed(redirect_uri)
        try:
            self._server = _Server(_ADDRESSES[host], port, path, state)
        except OSError as error:
            raise CredentialError(
                f"Cannot listen on port {port} of this machine for the browser: {error.strerror or error}.",
                hint="See what else uses it, or log in with --oauth-flow device-code.",
                code="login-failed",
            ) from error
        self.redirect_uri = redirect_uri or f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, seconds: float) -> Mapping[str, str] | None:
        """What the browser brought: the parameters of its request; nothing where it did not come in time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                return self._server.answers.get(timeout=min(left, _LOOK_AGAIN_SECONDS))
            except queue.Empty:
                continue
        return None


def _parsed(redirect_uri: str) -> tuple[str, int, str]:
    """Host, port and path of a redirect URI on this machine."""
    try:
        parts = urlsplit(redirect_uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme != "http" or host not in _ADDRESSES or not port or parts.query or parts.fragment or "@" in parts[1]:
        raise UsageError(
            f"{one_line(redirect_uri)!r} is no address on this machine with a port.",
            hint="Give one such as --oauth-redirect-uri http://127.0.0.1:8765/callback.",
        )
    return host, port, parts.path or "/"


class _Server(socketserver.ThreadingTCPServer):
    """A thread for each connection: a browser opens some in advance on which nothing ever comes."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = os.name == "posix"  # elsewhere it would let others listen on the same port

    def __init__(self, address: str, port: int, path: str, state: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.path = path
        self.state = state
        self.answers: queue.SimpleQueue[Mapping[str, str]] = queue.SimpleQueue()
        super().__init__((address, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away is nothing to print a traceback for."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_SECONDS
    server_version = f"keelback/{__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        """Take the answer, or say why this is none."""
        server = cast("_Server", self.server)
        path, _, query = self.path.partition("?")
        if path != server.path:
            self._page(404, "There is nothing here.")
            return
        parameters = _parameters(query) if len(query) <= _LONGEST_TARGET else None
        if parameters is None or not same(parameters.get("state"), server.state):
            self._page(400, "This is not the answer to the login that keelback waits for.")
            return
        try:
            if "error" in parameters:
                self._page(200, f"The login failed: {error_words(parameters)}")
            else:
                self._page(200, "keelback has got the answer. You can close this window and go back to the terminal.")
        finally:
            server.answers.put(parameters)

    def _page(self, status: int, text: str) -> None:
        body = _PAGE.format(text=html.escape(text)).encode()
        self.send_response(status)
        for name, value in {**self._HEADERS, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing: the code is in the path."""

    _HEADERS: ClassVar[Mapping[str, str]] = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'",
        "Referrer-Policy": "no-referrer",
        "Connection": "close",
    }


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>keelback</title></head>
<body><h1>keelback</h1><p>{text}</p></body></html>
"""


def _parameters(query: str) -> dict[str, str] | None:
    """The parameters of *query*; nothing where one is there twice (RFC 6749, section 3.1), or they are too many."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        return None
    parameters = dict(pairs)
    return parameters if len(parameters) == len(pairs) else None
