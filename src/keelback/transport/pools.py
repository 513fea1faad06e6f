"""Connections: which proxy, which certificates, for which host."""

from __future__ import annotations

import ipaddress
import os
import ssl
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpcore2
import httpx2

from keelback.errors import UsageError
from keelback.hosts import host_of
from keelback.secret import Secret
from keelback.transport.stream import Sockets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_BUNDLE_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_KEEP_IDLE_SECONDS: Final = 30.0


class Pools(httpx2.BaseTransport):
    """The transport under :class:`keelback.transport.Client`: one pool per proxy and TLS verification.

    Args:
        connections: how many connections a pool opens at most.
        insecure_hosts: hosts whose certificates are not verified.
    """

    def __init__(self, *, connections: int, insecure_hosts: Collection[str] = ()) -> None:
        self._connections = connections
        self._insecure = frozenset(insecure_hosts)
        self._sockets = Sockets()
        self._pools: dict[tuple[str | None, bool, bool], httpcore2.ConnectionPool] = {}
        self._of_origin: dict[tuple[bytes, bytes, int | None], httpcore2.ConnectionPool] = {}
        """What was found out about an origin: reading the environment takes longer than the rest of a request."""
        self._lock = threading.Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send *request*; raises httpcore2's errors, which the client knows."""
        url = request.url
        answer = self._pool_for(url).handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=_AnswerStream(answer), extensions=answer.extensions
        )

    def stop(self) -> None:
        """Break every connection."""
        self._sockets.stop()

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()
            self._of_origin.clear()

    def _pool_for(self, url: httpx2.URL) -> httpcore2.ConnectionPool:
        origin = (url.raw_scheme, url.raw_host, url.port)
        pool = self._of_origin.get(origin)
        if pool is None:
            key = (proxy_for(url), url.scheme == "https", host_of(str(url)) in self._insecure)
            with self._lock:
                if key not in self._pools:
                    self._pools[key] = self._make(*key)
                pool = self._of_origin[origin] = self._pools[key]
        return pool

    def _make(self, proxy: str | None, tls: bool, insecure: bool) -> httpcore2.ConnectionPool:  # noqa: FBT001 - a key
        return httpcore2.ConnectionPool(
            ssl_context=tls_context(verify=not insecure) if tls else None,
            proxy=None if proxy is None else _proxy(proxy),
            max_connections=self._connections,
            max_keepalive_connections=self._connections,
            keepalive_expiry=_KEEP_IDLE_SECONDS,
            network_backend=self._sockets,
        )


class _AnswerStream(httpx2.SyncByteStream):
    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        pieces: Iterable[bytes] = self._answer.iter_stream()
        yield from pieces

    def close(self) -> None:
        self._answer.close()


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
            "the proxy that the environment names (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) is no http(s) URL",
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
        raise UsageError(f"{variable} names {bundle}, which is no certificate bundle: {reason}") from error
