"""Connections: which proxy, which certificates, for which host."""

from __future__ import annotations

import ipaddress
import os
import ssl
import threading
import urllib.request
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpcore2
import httpx2

from keelback.errors import UsageError
from keelback.hosts import host_of
from keelback.secret import Secret
from keelback.transport.stream import Sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from keelback.transport.turns import Turns

_BUNDLE_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_KEEP_IDLE_SECONDS: Final = 30.0


class Pools(httpx2.BaseTransport):
    """The transport under :class:`keelback.transport.Client`: connections by where they lead.

    Each connection is in a pool of its own, which one request at a time has: httpcore2 looks at all connections of a
    pool twice in each request, and for many small files that takes longer than anything else that a request does.

    Args:
        connections: how many are used at once at most.
        insecure_hosts: hosts whose certificates are not verified.
    """

    def __init__(self, *, connections: int, insecure_hosts: Collection[str] = ()) -> None:
        self._free = threading.BoundedSemaphore(connections)
        self._insecure = frozenset(insecure_hosts)
        self._sockets = Sockets()
        self.turns = self._sockets.turns
        self._routes: dict[tuple[str, str, int | None], _Route] = {}
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send *request*; raises httpcore2's errors, which the client knows."""
        url = request.url
        lease = _Lease(self._route_to(url), self._free, self.turns)
        try:
            answer = lease.pool.handle_request(
                httpcore2.Request(
                    method=request.method,
                    url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except BaseException:
            lease.end()
            raise
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=_AnswerStream(answer, lease), extensions=answer.extensions
        )

    def stop(self) -> None:
        """Break every connection."""
        self._sockets.stop()

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for route in self._routes.values():
                route.close()
            self._routes.clear()

    def _route_to(self, url: httpx2.URL) -> _Route:
        origin = (url.scheme, url.host, url.port)
        with self._lock:
            if origin not in self._routes:
                self._routes[origin] = _Route(partial(self._make, url))
            return self._routes[origin]

    def _make(self, url: httpx2.URL) -> httpcore2.ConnectionPool:
        """A pool of one connection to where *url* is."""
        proxy = proxy_for(url)
        return httpcore2.ConnectionPool(
            ssl_context=self._context(host_of(str(url)) in self._insecure) if url.scheme == "https" else None,
            proxy=None if proxy is None else _proxy(proxy),
            max_connections=1,
            keepalive_expiry=_KEEP_IDLE_SECONDS,
            network_backend=self._sockets,
        )

    def _context(self, insecure: bool) -> ssl.SSLContext:  # noqa: FBT001 - a key
        with self._lock:
            if insecure not in self._contexts:
                self._contexts[insecure] = tls_context(verify=not insecure)
            return self._contexts[insecure]


class _Route:
    """The connections to one origin that nobody uses at the moment, and how to *make* another."""

    def __init__(self, make: Callable[[], httpcore2.ConnectionPool]) -> None:
        self._make = make
        self._idle: deque[httpcore2.ConnectionPool] = deque()
        self._closed = False

    def take(self) -> httpcore2.ConnectionPool:
        """The one that was used last, which the server is least likely to have closed; or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def put_back(self, pool: httpcore2.ConnectionPool) -> None:
        """Have the next request use *pool*."""
        self._idle.append(pool)
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close the connections that nobody uses, and from now on those that are put back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


class _Lease:
    """A connection of *route*, as long as one request and its answer take."""

    def __init__(self, route: _Route, free: threading.BoundedSemaphore, turns: Turns) -> None:
        self._route = route
        self._free = free
        self._ended = False
        with turns.waiting():
            free.acquire()
        try:
            self.pool = route.take()
        except BaseException:
            free.release()
            raise

    def end(self) -> None:
        """Let others have it; once is enough, and more does no harm."""
        if not self._ended:
            self._ended = True
            self._route.put_back(self.pool)
            self._free.release()


class _AnswerStream(httpx2.SyncByteStream):
    def __init__(self, answer: httpcore2.Response, lease: _Lease) -> None:
        self._answer = answer
        self._lease = lease

    def __iter__(self) -> Iterator[bytes]:
        pieces: Iterable[bytes] = self._answer.iter_stream()
        yield from pieces

    def close(self) -> None:
        try:
            self._answer.close()
        finally:
            self._lease.end()


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine by its name: ``localhost`` (RFC 6761, section 6.3) or a loopback address."""
    host = host.strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: httpx2.URL) -> str | None:
    """The proxy that the environment names for *url*: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``.

    None for this machine itself: what may go there in the clear may not leave it.
    """
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or is_loopback(url.host) or any(map(urllib.request.proxy_bypass, _spellings(url))):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _spellings(url: httpx2.URL) -> tuple[str, str]:
    """The host of *url* as ``NO_PROXY`` may have it: by itself, and with its port."""
    return url.host, f"{url.host}:{url.port or {'http': 80, 'https': 443}.get(url.scheme)}"


def _proxy(address: str) -> httpcore2.Proxy:
    try:
        url = httpx2.URL(address)
    except (httpx2.InvalidURL, ValueError):
        url = httpx2.URL("")
    if url.scheme not in ("http", "https") or not host_of(address):  # whatever it is, a password may be in it
        raise UsageError(
            "the proxy that the environment names (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) is not an http(s) URL",
            hint="Write it like http://HOST:PORT, with special characters of a password percent-encoded.",
        ) from None
    auth = None
    if url.username or url.password:
        auth = (url.username.encode(), Secret(url.password).reveal().encode())
    bare = url.copy_with(username=None, password=None)
    return httpcore2.Proxy(str(bare), auth=auth, ssl_context=tls_context() if url.scheme == "https" else None)


def tls_context(*, verify: bool = True) -> ssl.SSLContext:
    """The system's trust store, or the bundle that the usual variables name.

    ``SSL_CERT_FILE``, ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE`` (the first that is set) and ``SSL_CERT_DIR``.

    Raises:
        UsageError: a variable names a file that is no bundle.
    """
    if not verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    for variable in _BUNDLE_VARIABLES:
        bundle = os.environ.get(variable)
        if bundle:
            return _with_bundle(variable, Path(bundle))
    return httpcore2.default_ssl_context()


def _with_bundle(variable: str, bundle: Path) -> ssl.SSLContext:
    try:
        if bundle.is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{variable} names {bundle}, which is not a certificate bundle: {reason}") from error
