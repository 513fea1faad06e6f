"""Asks the HTTP endpoints at which CI systems and clouds give identities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.credentials.confidential import in_time
from keelback.credentials.kinds import check_token
from keelback.errors import CredentialError, IdentityError, TransportError
from keelback.hosts import host_of
from keelback.secret import Secret
from keelback.transport import servers_words

if TYPE_CHECKING:
    from keelback.transport import Answer, Client, Request

SECONDS: Final = 30.0
"""How long one attempt may take."""
SECONDS_IN_ALL: Final = 120.0
"""How long all attempts together may take."""


def ask(client: Client, request: Request, *, provider: str, hint: str, seconds: float) -> Answer:
    """The answer to *request*, which is a success. No redirect is followed.

    Args:
        client: sends it, again where that may help.
        request: for an identity, or for what one can be had with.
        provider: who is asked, as a person would say it.
        hint: what to do where the answer is that this job may not have it.
        seconds: for all attempts together.

    Raises:
        IdentityError: no answer came, or another one than 200; the message has the server's own words.
    """
    try:
        answer = in_time(seconds, request.url, lambda: client.send(request), "keelback-identity")
    except TransportError as error:
        raise IdentityError(
            f"{provider} gave no identity: {error}", hint=error.hint or "Check the network, or try again later."
        ) from error
    if answer.status == 200:
        return answer
    if 300 <= answer.status <= 399:
        raise IdentityError(
            f"{provider} gave no identity: {host_of(answer.url)} redirects the request elsewhere ({answer.status})",
            hint="Nothing that has to do with an identity follows a redirect; look for a proxy that makes one.",
        )
    words = servers_words(answer)
    is_trouble = answer.status == 429 or answer.status >= 500
    raise IdentityError(
        f"{provider} gave no identity ({answer.status}){f': {words}' if words else ''}",
        hint="Try again later." if is_trouble else hint,
    )


def token_in(answer: Answer, member: str, *, provider: str) -> Secret:
    """The token that is the *member* of the JSON object in *answer*.

    Raises:
        IdentityError: there is none. The message shows nothing of the answer, which may hold a token elsewhere.
    """
    document = answer.json()
    value = document.get(member) if isinstance(document, dict) else None
    if not isinstance(value, str) or not value.strip():
        what = f"JSON that has no {member!r}" if isinstance(document, dict) else "what is not a JSON object"
        raise no_token(answer, what, provider=provider)
    token = Secret(value, provider)
    try:
        return check_token(token, provider)
    except CredentialError as error:
        raise IdentityError(str(error), hint=error.hint) from None


def no_token(answer: Answer, what: str, *, provider: str) -> IdentityError:
    """The error for an *answer* that is a success, and yet *what* holds no token."""
    page = answer.content.lstrip()[:1] == b"<"
    return IdentityError(
        f"{provider} gave no identity: {host_of(answer.url)} answered 200 with {'a web page' if page else what}",
        hint="Look for a proxy that answers in its place, or try again later.",
    )
