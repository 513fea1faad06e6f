"""The one HTTP client: a pool of connections, retries, no secret on the wrong wire, and answers that stay small."""

from __future__ import annotations

import contextlib
import json
import logging
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urljoin

import httpcore2
import httpx2

from keelback._version import __version__
from keelback.errors import Interrupted, TransportError
from keelback.secret import redact
from keelback.transport.logs import redact_logs
from keelback.transport.pools import Pools, is_loopback
from keelback.transport.retry import Retry, is_temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from keelback.transport.body import Body

logger = logging.getLogger(__name__)

ANSWER_LIMIT: Final = 1 << 20
"""How much of an answer is read where nobody asked for more: enough for any API, too little to be a weapon."""

_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
"""What OpenSSL calls an answer that is no TLS: https was said to a port that speaks http."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5

_NEVER_SENT: Final = (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.ProxyError)
_BROKEN: Final = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpx2.DecodingError,
)
"""What can happen instead of an answer; the last one where an answer is not encoded as it says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        status: the HTTP status.
        headers: the answer's headers; names in any case.
        content: its body, decoded, of at most the bytes that were asked for.
        url: where it came from.
        attempts: how often the request was sent, this answer's included.
        uncertain: whether an earlier attempt may have been carried out although no success was heard of it.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str
    attempts: int = 1
    uncertain: bool = False

    @property
    def ok(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status <= 299

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 in it is replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON, or ``None`` where it is none."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be sent more than once.

    Attributes:
        method: the HTTP method.
        url: absolute.
        auth: puts the credential on it, or ``None``.
        headers: more headers.
        body: bytes, or a replayable :class:`~keelback.transport.body.Body`; ``None`` for none.
        limit: how many bytes of the answer are read at most; more is an error.
        retried: told the wait in seconds and the reason whenever it is about to be sent again.
    """

    method: str
    url: str
    auth: httpx2.Auth | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Body | None = None
    limit: int = ANSWER_LIMIT
    retried: Callable[[float, str], None] | None = None


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
        connect_timeout: float = 20.0,
        insecure_hosts: Collection[str] = (),
        connections: int = 64,
    ) -> None:
        redact_logs()
        self.retry = retry or Retry()
        self._insecure = frozenset(host.lower() for host in insecure_hosts)
        self._pools = Pools(connections=connections, insecure_hosts=self._insecure)
        self._stopped = threading.Event()
        self._http = httpx2.Client(
            transport=self._pools,
            trust_env=False,  # proxies and certificates are the pools' business, netrc is the credential stores'
            follow_redirects=False,
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
            except _BROKEN as error:
                if self._stopped.is_set():
                    raise Interrupted("stopped while it was being sent") from None
                problem = _describe(error)
                wait = None if _hopeless(error) else self.retry.wait_before(attempt + 1)
                if wait is None:
                    raise _no_answer(request, problem, attempt) from error
                uncertain = uncertain or not isinstance(error, _NEVER_SENT)
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
        try:
            response = self._http.send(self._build(request), stream=True, auth=request.auth or _NO_AUTH)
            try:
                yield response.status_code, response.headers, response.iter_bytes()
            finally:
                response.close()
        except _BROKEN as error:
            raise _no_answer(request, _describe(error), 1) from error

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
        return self._http.build_request(request.method, request.url, headers=headers, content=iter_body(request.body))

    def _refuse_plaintext(self, request: Request) -> None:
        """No secret over plain HTTP, unless it stays on this machine or the user said so."""
        try:
            url = httpx2.URL(request.url)
        except httpx2.InvalidURL as error:  # a server may have made it
            raise TransportError(f"{redact(request.url)!r} is no URL: {error}") from error
        if not url.host:
            raise TransportError(f"{redact(request.url)!r} names no host")
        if url.scheme == "https" or request.auth is None or is_loopback(url.host) or url.host in self._insecure:
            return
        raise TransportError(
            f"a credential would go to {url.host} over plain HTTP, where anyone on the way can read it",
            hint=f"use https, or name the host in --allow-insecure-host {url.host}",
            code="plain-http",
        )

    def _wait(self, request: Request, seconds: float, problem: str) -> None:
        logger.info("%s %s: %s; trying again in %.1f s", request.method, redact(request.url), problem, seconds)
        if request.retried is not None:
            request.retried(seconds, problem)
        if self._stopped.wait(seconds):
            raise Interrupted("stopped while waiting to try again")


class _NoAuth(httpx2.Auth):
    """Sends the request as it is; httpx2 would otherwise look for a password in its URL."""


_NO_AUTH: Final = _NoAuth()


def iter_body(body: Body) -> Iterator[bytes]:
    """The body's bytes once more from the start."""
    yield from body


def _read(response: httpx2.Response, request: Request) -> bytes:
    pieces = []
    length = 0
    for piece in response.iter_bytes():
        pieces.append(piece)
        length += len(piece)
        if length > request.limit:
            if response.is_success:
                raise TransportError(f"the answer of {redact(request.url)} is larger than {request.limit} bytes")
            break
    return b"".join(pieces)


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


def _hopeless(error: Exception) -> bool:
    """Whether a connection error would be the same a moment later: a certificate that is not trusted, mostly."""
    if isinstance(error, httpcore2.ProxyError):
        return not str(error).startswith("5")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError | httpcore2.LocalProtocolError):
            return True
        if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _describe(error: Exception) -> str:
    kinds = {
        httpcore2.ConnectTimeout: "no connection in time",
        httpcore2.ReadTimeout: "the server did not answer in time",
        httpcore2.WriteTimeout: "the server stopped reading",
    }
    for kind, text in kinds.items():
        if isinstance(error, kind):
            return text
    if isinstance(error, httpcore2.ProxyError):
        return redact(f"the proxy answered {error}")
    return redact(str(error)) or type(error).__name__


def _no_answer(request: Request, problem: str, attempts: int) -> TransportError:
    url = httpx2.URL(request.url)
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    hint = "check the URL, the network and the proxy variables"
    if "certificate" in problem.lower():
        hint = "if this server uses a certificate of your own authority, name its bundle in SSL_CERT_FILE"
    error = TransportError(f"{url.scheme}://{url.netloc.decode()}: {problem} ({tries})", hint=hint)
    error.attempts = attempts
    return error
