"""Requests to the endpoints of an OAuth server: never over plain HTTP, sent once where once is all that is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus, urlencode

import httpx2

from keelback.credentials.deadlines import DeadlinePassed, within
from keelback.credentials.kinds import BasicHTTP
from keelback.errors import CredentialError, TransportError
from keelback.hosts import host_of
from keelback.secret import Secret, redact
from keelback.transport import Answer, Request, is_loopback, servers_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from keelback.credentials.oauth.settings import Application
    from keelback.transport import Client

_LARGEST_ANSWER: Final = 64 << 10
_LONGEST_URL: Final = 2048
_LONGEST_WORDS: Final = 300
_CONNECT_SECONDS: Final = 10.0

FAILED: Final = "login-failed"
"""The code of an error that ends a login."""


def post_form(client: Client, url: str, form: Mapping[str, str], application: Application, *, seconds: float) -> Answer:
    """POST *form* to *url* as *application*, once: codes and refresh tokens are good for one use only.

    Raises:
        TransportError: no answer came within *seconds*, or it is too large, or the form would go over plain HTTP to
            another machine. Nothing says whether the server has acted on it.
    """
    public = application.client_secret is None
    identified = {**form, "client_id": application.client_id} if public else form
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    auth = _Confidential(seconds, application)
    request = Request("POST", url, auth=auth, headers=headers, body=urlencode(identified).encode())

    def send() -> Answer:
        content = bytearray()
        with client.stream(request) as (status, answer_headers, pieces):
            for piece in pieces:
                content += piece
                if len(content) > _LARGEST_ANSWER:
                    raise TransportError(f"the answer of {url} is larger than {_LARGEST_ANSWER} bytes")
        return Answer(status, answer_headers, bytes(content), url)

    return _within(seconds, url, send)


def get(client: Client, url: str, *, seconds: float) -> Answer:
    """GET *url*, again where that may help; no redirect is followed.

    Raises:
        TransportError: no answer came within *seconds*, all attempts together, or it would come over plain HTTP from
            another machine, so that anybody on the way could put endpoints of their own into it.
    """
    request = Request("GET", url, auth=_Confidential(seconds), limit=_LARGEST_ANSWER)
    return _within(seconds, url, lambda: client.send(request))


def _within(seconds: float, url: str, send: Callable[[], Answer]) -> Answer:
    """What *send* returns within *seconds*, which no time-out between two bytes can promise."""
    try:
        return within(seconds, send, "keelback-oauth")
    except DeadlinePassed:
        raise TransportError(
            f"{host_of(url)}: the server did not answer in time ({seconds:g} seconds)",
            hint="Check the network, or try again later.",
        ) from None


def object_in(answer: Answer, what: str) -> Mapping[str, Any]:
    """The JSON object that *answer* is.

    Args:
        answer: what came from the server.
        what: what gave it, for messages: ``the token endpoint of prefix.dev``.

    Raises:
        CredentialError: code ``login-failed``: it is something else.
    """
    if 300 <= answer.status <= 399:
        raise CredentialError(f"{what} sends the request elsewhere (HTTP {answer.status}): refused.", code=FAILED)
    document = answer.json()
    if not isinstance(document, dict):
        words = servers_words(answer)
        raise CredentialError(
            f"{what} answered HTTP {answer.status}, and no JSON object{f': {words}' if words else '.'}", code=FAILED
        )
    return document


def checked_endpoint(value: object, what: str, issuer: str) -> str:
    """*value*, if it is a URL that a login may go to: https, or http on this machine or on the issuer's own host.

    (RFC 6749, sections 3.1 and 3.2: TLS, no fragment.) Where the issuer itself is an http URL, its own answer was
    allowed by the user, and so are its neighbours on that host.

    Args:
        value: what the server gave.
        what: its name, for messages.
        issuer: the server's own URL.

    Raises:
        CredentialError: code ``login-failed``.
    """
    problem = _problem_with(value, issuer)
    if problem or not isinstance(value, str):
        raise CredentialError(f"The {what} of {host_of(issuer)} {problem}.", code=FAILED)
    return value


def _problem_with(value: object, issuer: str) -> str:
    if not isinstance(value, str) or not value:
        return "is not a string"
    if len(value) > _LONGEST_URL or not (value.isascii() and value.isprintable()) or " " in value or "\\" in value:
        return "is no URL"
    try:
        url = httpx2.URL(value)
    except (httpx2.InvalidURL, ValueError):
        return "is no URL"
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or "#" in value:
        return "is no https URL without a name, a password and a fragment"
    own = issuer.startswith("http:") and host_of(value) == host_of(issuer)
    if url.scheme == "http" and not is_loopback(url.host) and not own:
        return "is not https, so that anyone on the way could read what goes there"
    return ""


def one_line(text: str) -> str:
    """*text*, which somebody else wrote, in one short line, without secrets and without control characters."""
    text = " ".join(redact(text).split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= _LONGEST_WORDS else text[: _LONGEST_WORDS - 1] + "…"


def error_words(members: Mapping[str, Any]) -> str:
    """What an OAuth error says: ``invalid_grant: the token was revoked`` (RFC 6749, sections 4.1.2.1 and 5.2)."""
    return one_line(": ".join(str(members[name]) for name in ("error", "error_description") if members.get(name)))


class _Confidential(httpx2.Auth):
    """Marks a request as one with secrets in it or for them, so that the client keeps it off plain HTTP.

    It also gives the request its own time-outs, and the password of an application that has one.
    """

    def __init__(self, seconds: float, application: Application | None = None) -> None:
        self._seconds = seconds
        self._application = application

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        connect = min(self._seconds, _CONNECT_SECONDS)
        request.extensions["timeout"] = httpx2.Timeout(self._seconds, connect=connect, pool=None).as_dict()
        if self._application is None or self._application.client_secret is None:
            yield request
        else:
            yield from _basic(self._application.client_id, self._application.client_secret).auth_flow(request)


def _basic(client_id: str, client_secret: Secret) -> BasicHTTP:
    """Both parts are form-encoded before they are put together (RFC 6749, section 2.3.1)."""
    return BasicHTTP(quote_plus(client_id), Secret(quote_plus(client_secret.reveal())))
