"""The one HTTP client: a pool of connections, retries, no secret on the wrong wire, and answers that stay small."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import threading
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urljoin

import httpx2

from keelback._version import __version__
from keelback.errors import Interrupted, TransportError, UsageError
from keelback.hosts import host_of
from keelback.secret import redact
from keelback.transport.failures import BROKEN, NEVER_SENT, describe, is_hopeless, no_answer
from keelback.transport.logs import redact_logs
from keelback.transport.messages import Answer, Request, origin_of
from keelback.transport.pools import Pools, is_loopback
from keelback.transport.renewable import RenewableAuth
from keelback.transport.retry import Retry, is_temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping


logger = logging.getLogger(__name__)

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_HEADERS: Final = {"user-agent": f"keelback/{__version__}", "accept": "*/*", "accept-encoding": "gzip, deflate"}
_NO_SECRETS: Final = frozenset(
    {"accept", "accept-encoding", "cache-control", "if-modified-since", "if-none-match", "if-range", "range"}
)
"""Header fields that go on to another origin."""


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
        self.turns = self._pools.turns
        self._stopped = threading.Event()
        self._extensions = {"timeout": httpx2.Timeout(timeout, connect=connect_timeout, pool=None).as_dict()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._pools.close()

    def may_be_insecure(self, url: str) -> bool:
        """Whether the user has named the host of *url* as one that secrets may go to over plain HTTP."""
        return host_of(url) in self._insecure

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
        return self.persist(request, lambda: self.send_once(request))

    def persist(self, request: Request, once: Callable[[], Answer]) -> Answer:
        """Call *once*, which sends *request* once, until it returns an answer that will last, or attempts run out.

        A credential that the server does not take any more (401) is renewed, once, where it can be.

        Returns:
            the last answer, with the number of attempts, and whether an earlier one may have been carried out.

        Raises:
            TransportError: no answer came, in spite of all attempts.
            Interrupted: :meth:`stop` was called.
            KeelbackError: the credential could not be renewed.
        """
        uncertain = False
        attempt = 0
        renewable = request.auth if isinstance(request.auth, RenewableAuth) else None
        while True:
            attempt += 1
            generation = 0 if renewable is None else renewable.generation
            try:
                answer = once()
            except BROKEN as error:
                if self._stopped.is_set():
                    raise Interrupted("stopped while it was under way") from None
                problem = describe(error)
                wait = None if is_hopeless(error) else self.retry.wait_before(attempt + 1)
                if wait is None:
                    raise no_answer(request, error, attempt) from error
                maybe_done = not isinstance(error, NEVER_SENT)
            else:
                problem = f"HTTP {answer.status}"
                if answer.status == 401 and renewable is not None:
                    renewable.renew(generation)
                    renewable = None
                    self._wait(request, 0.0, "the credential had expired, and was renewed")
                    continue
                wait = None
                if is_temporary(answer.status):
                    wait = self.retry.wait_before(attempt + 1, answer.headers.get("retry-after"))
                if wait is None:
                    return dataclasses.replace(answer, attempts=attempt, uncertain=uncertain)
                maybe_done = answer.status >= 500
            uncertain = uncertain or maybe_done
            self._wait(request, wait, problem)

    def get(self, request: Request) -> Answer:
        """As :meth:`send`, but follow up to five redirects; the credential goes to the first origin only.

        Raises:
            TransportError: as :meth:`send`, and for a redirect from https to http, or too many of them.
        """
        origin = request
        answer = self.send(request)
        for _ in range(_MOST_REDIRECTS):
            if not _is_redirect(answer.status, answer.headers):
                return answer
            request = _redirected(request, origin, answer.headers["location"])
            answer = self.send(request)
        raise TransportError(f"{redact(request.url)} redirects too often")

    @contextlib.contextmanager
    def receiving(self, request: Request) -> Iterator[httpx2.Response]:
        """Send *request* once, follow redirects as :meth:`get` does, and give the answer with its body still to come.

        What breaks meanwhile is raised as it is, for :meth:`persist` to judge.

        Raises:
            TransportError: a redirect that is not followed, or too many of them.
            Interrupted: :meth:`stop` was called.
        """
        with contextlib.closing(self._follow(request)) as response:
            yield response

    @contextlib.contextmanager
    def stream(self, request: Request) -> Iterator[tuple[int, Mapping[str, str], Iterator[bytes]]]:
        """Send *request* once, follow no redirect, and give status, headers and the body in pieces.

        Raises:
            TransportError: no answer came, or it broke off.
        """
        try:
            with contextlib.closing(self._respond(request)) as response:
                yield response.status_code, response.headers, response.iter_bytes()
        except BROKEN as error:
            if self._stopped.is_set():
                raise Interrupted("stopped while it was being read") from None
            raise no_answer(request, error, 1) from error

    def send_once(self, request: Request) -> Answer:
        """Send *request* once, follow no redirect, and return the answer.

        What breaks meanwhile is raised as it is, for :meth:`persist` to judge.

        Raises:
            TransportError: the answer is larger than allowed, or a secret would go over plain HTTP.
            Interrupted: :meth:`stop` was called.
        """
        with contextlib.closing(self._respond(request)) as response:
            return read_answer(response, request)

    def _follow(self, request: Request) -> httpx2.Response:
        origin = request
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._respond(request)
            if not _is_redirect(response.status_code, response.headers):
                return response
            with contextlib.closing(response):
                read_answer(response, request)  # to its end, so that its connection can be used again
            request = _redirected(request, origin, response.headers["location"])
        raise TransportError(f"{redact(request.url)} redirects too often")

    def _respond(self, request: Request) -> httpx2.Response:
        """The answer to *request*, of which the head has come; the caller closes it."""
        url = self._checked_url(request)
        if self._stopped.is_set():
            raise Interrupted("stopped before it was sent")
        response = self._exchange(self._build(request, url), request.auth or _NO_AUTH)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s %s -> %s", request.method, redact(request.url), response.status_code)
        return response

    def _exchange(self, request: httpx2.Request, auth: httpx2.Auth) -> httpx2.Response:
        """Send what *auth* makes of *request*, and return the last answer.

        An ``httpx2.Client`` would do this, and cookies, redirects and log lines besides, which nobody wants here and
        which take as long as all the rest of a small request.
        """
        flow = auth.sync_auth_flow(request)
        request = next(flow)
        while True:
            response = self._pools.handle_request(request)
            response.request = request
            try:
                request = flow.send(response)
            except StopIteration:
                return response
            except BaseException:
                response.close()
                raise
            response.close()

    def _build(self, request: Request, url: httpx2.URL) -> httpx2.Request:
        headers = {**_HEADERS, **request.headers}
        body = request.body
        content: bytes | Iterator[bytes] | None
        if body is None or isinstance(body, bytes):
            content = body
        else:
            headers["content-length"] = str(body.length)
            if body.content_type is not None:
                headers["content-type"] = body.content_type
            content = iter(body)
        return httpx2.Request(request.method, url, headers=headers, content=content, extensions=self._extensions)

    def _checked_url(self, request: Request) -> httpx2.URL:
        """Where *request* goes: no secret over plain HTTP, unless it stays on this machine or the user said so."""
        try:
            url = httpx2.URL(request.url)
        except (httpx2.InvalidURL, ValueError) as error:  # a server may have made it
            raise TransportError(f"{redact(request.url)!r} is not a URL: {error}") from error
        if not url.host or url.scheme not in ("http", "https"):
            raise TransportError(f"{request.url!r} is no http(s) URL with a host")
        if url.scheme == "https" or request.auth is None or is_loopback(url.host) or self.may_be_insecure(request.url):
            return url
        raise TransportError(
            f"a credential would go to {url.host} over plain HTTP, where anyone on the way can read it",
            hint=f"Use https, or name the host in --allow-insecure-host {url.host}.",
            code="plain-http",
        )

    def _wait(self, request: Request, seconds: float, problem: str) -> None:
        logger.info("%s %s: %s; trying again in %.1f s", request.method, redact(request.url), problem, seconds)
        if request.retried is not None:
            request.retried(seconds, problem)
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Wait before something is tried again; raises ``Interrupted`` once :meth:`stop` is called."""
        with self.turns.waiting():
            stopped = self._stopped.wait(seconds)
        if stopped:
            raise Interrupted("stopped while waiting to try again")


def _insecure_host(name: str) -> str:
    """*name* as hosts are compared; a port is of no account.

    Raises:
        UsageError: it is no host.
    """
    host = "" if "/" in name else host_of(f"https://{name}")
    if not host:
        raise UsageError(
            f"{name!r} is not a host name", hint="Name the host alone, as in --allow-insecure-host example.com."
        )
    return host


class _NoAuth(httpx2.Auth):
    """Sends the request as it is; httpx2 would otherwise look for a password in its URL."""


_NO_AUTH: Final = _NoAuth()


def read_answer(response: httpx2.Response, request: Request) -> Answer:
    """The rest of *response*, as far as *request* allows.

    Raises:
        TransportError: it is a success, and larger than that.
    """
    content = io.BytesIO()
    for piece in response.iter_bytes():
        content.write(piece)
        if content.tell() > request.limit:
            if response.is_success:
                raise TransportError(f"the answer of {request.url} is larger than {request.limit} bytes")
            break
    return Answer(response.status_code, response.headers, content.getvalue(), request.url)  # shares its memory


def _is_redirect(status: int, headers: Mapping[str, str]) -> bool:
    return status in _REDIRECTS and bool(headers.get("location"))


def _redirected(request: Request, first: Request, location: str) -> Request:
    """*request*, of which *first* was the first, as it goes on to *location*.

    Raises:
        TransportError: there is nothing at such a place, or the way there is less safe than the first was.
    """
    try:
        target = httpx2.URL(urljoin(request.url, location))
    except (ValueError, httpx2.InvalidURL) as error:
        raise TransportError(f"{redact(request.url)} redirects to something that is not a URL") from error
    origin = httpx2.URL(first.url)
    if target.scheme not in ("http", "https") or (origin.scheme == "https" and target.scheme != "https"):
        raise TransportError(f"{redact(request.url)} redirects to {redact(str(target.copy_with(query=None)))}: refused")
    same = origin_of(target) == origin_of(origin) and f"{target.path}/".startswith(f"{first.scope.rstrip('/')}/")
    return dataclasses.replace(
        request,
        url=str(target),
        auth=request.auth if same else None,
        headers=request.headers if same else _without_secrets(request.headers),
    )


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of *headers* that may go to another origin: what is asked for, and not by whom."""
    return {name: value for name, value in headers.items() if name.lower() in _NO_SECRETS}
