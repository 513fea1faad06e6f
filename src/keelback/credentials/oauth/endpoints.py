"""Requests to the endpoints of an OAuth server: never over plain HTTP, sent once where once is all that is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus, urlencode

import httpx2

from keelback.credentials.confidential import LARGEST_ANSWER, Confidential, in_time
from keelback.credentials.kinds import BasicHTTP
from keelback.errors import CredentialError, TransportError
from keelback.hosts import host_of
from keelback.secret import Secret, redact
from keelback.transport import Answer, Request, is_loopback, servers_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.credentials.oauth.settings import Application
    from keelback.transport import Client

_LONGEST_URL: Final = 2048
_LONGEST_WORDS: Final = 300
_THREAD: Final = "keelback-oauth"

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
    auth = Confidential(seconds, _basic(application))
    request = Request("POST", url, auth=auth, headers=headers, body=urlencode(identified).encode())

    def send() -> Answer:
        content = bytearray()
        with client.stream(request) as (status, answer_headers, pieces):
            for piece in pieces:
                content += piece
                if len(content) > LARGEST_ANSWER:
                    raise TransportError(f"the answer of {url} is larger than {LARGEST_ANSWER} bytes")
        return Answer(status, answer_headers, bytes(content), url)

    return in_time(seconds, url, send, _THREAD)


def get(client: Client, url: str, *, seconds: float) -> Answer:
    """GET *url*, again where that may help; no redirect is followed.

    Raises:
        TransportError: no answer came within *seconds*, all attempts together, or it would come over plain HTTP from
            another machine, so that anybody on the way could put endpoints of their own into it.
    """
    request = Request("GET", url, auth=Confidential(seconds), limit=LARGEST_ANSWER)
    return in_time(seconds, url, lambda: client.send(request), _THREAD)


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


def _basic(application: Application) -> BasicHTTP | None:
    """The password of *application*, if it has one; both parts are form-encoded first (RFC 6749, section 2.3.1)."""
    if application.client_secret is None:
        return None
    return BasicHTTP(quote_plus(application.client_id), Secret(quote_plus(application.client_secret.reveal())))
