"""The one HTTP client: a pool of connections, retries, no secret on the wrong wire, and answers that stay small."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urljoin

import httpx2

from keelback._version import __version__
from keelback.errors import Interrupted, TransportError, UsageError
from keelback.hosts import host_of
from keelback.secret import redact
from keelback.transport.failures import BROKEN, NEVER_SENT, describe, is_hopeless, no_answer
from keelback.transport.logs import redact_logs
from keelback.transport.messages import Answer, Request
from keelback.transport.pools import Pools, is_loopback
from keelback.transport.retry import Retry, is_temporary

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


logger = logging.getLogger(__name__)

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5


class Client:
    """Sends requests.

    Args:
        retry: how often and how patiently.
        timeout: seconds without any progress (no byte out, no byte in) after which a try has failed.
        connect_timeout: seconds to wait for a connection.
        insecure_hosts: hosts to which secrets may go over plain HTTP, and whose TLS certificates are not verified.
        connections: how many connections are open at most.
    """

    def __init__(
        self,
        *,
        retry: Retry | None = None,
        timeout: float = 120.0,
        connect_timeout: float = 10.0,
        insecure_hosts: Collection[str] = (),
        connections: int = 64,
    ) -> None:
        redact_logs()
        self.retry = retry or Retry()
        self._insecure = frozenset(_insecure_host(host) for host in insecure_hosts)
        self._pools = Pools(connections=connections, insecure_hosts=self._insecure)
        self._stopped = threading.Event()
        self._http = httpx2.Client(
            transport=self._pools,
            trust_env=False,  # proxies and certificates are the pools' business, netrc is the credential stores'
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # a cookie is a secret that knows no ports
            timeout=httpx2.Timeout(timeout, connect=connect_timeout, pool=None),
            headers={"user-agent": f"keelback/{__version__}", "accept": "*/*", "accept-encoding": "gzip, deflate"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def stop(self) -> None:
        """End whatever is under way, in every thread, with :class:`~keelback.errors.Interrupted`."""
        self._stopped.set()
        self._pools.stop()

    def send(self, request: Request) -> Answer:
        """Send *request*, again where that may help, and return the last answer, whatever its status.

        No redirect is followed: an upload that is sent elsewhere is a mistake in the URL, or an attack.

        Raises:
            TransportError: no answer came, in spite of all attempts; or the answer is larger than allowed.
            Interrupted: :meth:`stop` was called.
        """
        self._refuse_plaintext(request)
        uncertain = False
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._send_once(request, attempt, uncertain=uncertain)
            except BROKEN as error:
                if self._stopped.is_set():
                    raise Interrupted("stopped while it was being sent") from None
                problem = describe(error)
                wait = None if is_hopeless(error) else self.retry.wait_before(attempt + 1)
                if wait is None:
                    raise no_answer(request, error, attempt) from error
                uncertain = uncertain or not isinstance(error, NEVER_SENT)
            else:
                if not is_temporary(answer.status):
                    return answer
                problem = f"HTTP {answer.status}"
                wait = self.retry.wait_before(attempt + 1, answer.headers.get("retry-after"))
                if wait is None:
                    return answer
                uncertain = uncertain or answer.status >= 500
            self._wait(request, wait, problem)

    def get(self, request: Request) -> Answer:
        """As :meth:`send`, but follow up to five redirects; the credential goes to the first origin only.

        Raises:
            TransportError: as :meth:`send`, and for a redirect from https to http, or too many of them.
        """
        origin = httpx2.URL(request.url)
        answer = self.send(request)
        for _ in range(_MOST_REDIRECTS):
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            request = _redirected(request, origin, location)
            answer = self.send(request)
        raise TransportError(f"{redact(request.url)} redirects too often")

    @contextlib.contextmanager
    def stream(self, request: Request) -> Iterator[tuple[int, Mapping[str, str], Iterator[bytes]]]:
        """Send *request* once, follow no redirect, and give status, headers and the body in pieces.

        Raises:
            TransportError: no answer came, or it broke off.
        """
        self._refuse_plaintext(request)
        if self._stopped.is_set():
            raise Interrupted("stopped before it was sent")
        try:
            response = self._http.send(self._build(request), stream=True, auth=request.auth or _NO_AUTH)
            try:
                yield response.status_code, response.headers, response.iter_bytes()
            finally:
                response.close()
        except BROKEN as error:
            if self._stopped.is_set():
                raise Interrupted("stopped while it was being read") from None
            raise no_answer(request, error, 1) from error

    def _send_once(self, request: Request, attempt: int, *, uncertain: bool) -> Answer:
        if self._stopped.is_set():
            raise Interrupted("stopped before it was sent")
        response = self._http.send(self._build(request), stream=True, auth=request.auth or _NO_AUTH)
        try:
            content = _read(response, request)
        finally:
            response.close()
        logger.debug("%s %s -> %s", request.method, redact(request.url), response.status_code)
        return Answer(response.status_code, response.headers, content, request.url, attempt, uncertain)

    def _build(self, request: Request) -> httpx2.Request:
        headers = dict(request.headers)
        if request.body is None or isinstance(request.body, bytes):
            return self._http.build_request(request.method, request.url, headers=headers, content=request.body)
        headers["content-length"] = str(request.body.length)
        if request.body.content_type is not None:
            headers["content-type"] = request.body.content_type
        return self._http.build_request(request.method, request.url, headers=headers, content=iter(request.body))

    def _refuse_plaintext(self, request: Request) -> None:
        """No secret over plain HTTP, unless it stays on this machine or the user said so."""
        try:
            url = httpx2.URL(request.url)
        except (httpx2.InvalidURL, ValueError) as error:  # a server may have made it
            raise TransportError(f"{redact(request.url)!r} is no URL: {error}") from error
        if not url.host or url.scheme not in ("http", "https"):
            raise TransportError(f"{request.url!r} is no http(s) URL with a host")
        if (
            url.scheme == "https"
            or request.auth is None
            or is_loopback(url.host)
            or host_of(request.url) in self._insecure
        ):
            return
        raise TransportError(
            f"a credential would go to {url.host} over plain HTTP, where anyone on the way can read it",
            hint=f"Use https, or name the host in --allow-insecure-host {url.host}.",
            code="plain-http",
        )

    def _wait(self, request: Request, seconds: float, problem: str) -> None:
        logger.info("%s %s: %s; trying again in %.1f s", request.method, redact(request.url), problem, seconds)
        if request.retried is not None:
            request.retried(seconds, problem)
        if self._stopped.wait(seconds):
            raise Interrupted("stopped while waiting to try again")


def _insecure_host(name: str) -> str:
    """*name* as hosts are compared; a port is of no account.

    Raises:
        UsageError: it is no host.
    """
    host = "" if "/" in name else host_of(f"https://{name}")
    if not host:
        raise UsageError(f"{name!r} is no host", hint="Name the host alone, as in --allow-insecure-host example.com.")
    return host


class _NoAuth(httpx2.Auth):
    """Sends the request as it is; httpx2 would otherwise look for a password in its URL."""


_NO_AUTH: Final = _NoAuth()


def _read(response: httpx2.Response, request: Request) -> bytes:
    content = io.BytesIO()
    for piece in response.iter_bytes():
        content.write(piece)
        if content.tell() > request.limit:
            if response.is_success:
                raise TransportError(f"the answer of {request.url} is larger than {request.limit} bytes")
            break
    return content.getvalue()  # shares its memory


def _redirected(request: Request, origin: httpx2.URL, location: str) -> Request:
    try:
        target = httpx2.URL(urljoin(request.url, location))
    except (ValueError, httpx2.InvalidURL) as error:
        raise TransportError(f"{redact(request.url)} redirects to what is no URL") from error
    if target.scheme not in ("http", "https") or (origin.scheme == "https" and target.scheme != "https"):
        raise TransportError(f"{redact(request.url)} redirects to {redact(str(target.copy_with(query=None)))}: refused")
    same = (target.scheme, target.host, target.port) == (origin.scheme, origin.host, origin.port)
    return Request(
        request.method,
        str(target),
        auth=request.auth if same else None,
        headers=request.headers if same else {},
        limit=request.limit,
    )
