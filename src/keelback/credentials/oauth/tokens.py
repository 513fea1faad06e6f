"""Asks a token endpoint for tokens (RFC 6749, section 5)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keelback.credentials.kinds import check_token
from keelback.credentials.oauth.endpoints import FAILED, error_words, object_in, one_line, post_form
from keelback.errors import CredentialError
from keelback.hosts import host_of
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.oauth.settings import Application
    from keelback.transport import Client

SECONDS: Final = 30.0
"""How long an answer is waited for."""

_LONGEST_LIFE: Final = 100 * 365 * 86_400
"""Seconds; rattler keeps times in 64 bits, and refuses a whole file for one that does not fit."""


class TokenRefused(CredentialError):
    """The token endpoint gave an error in place of tokens.

    Attributes:
        error: which, in the words of the RFCs: ``invalid_grant``, ``authorization_pending``.
    """

    code = FAILED

    def __init__(self, message: str, error: str) -> None:
        super().__init__(message)
        self.error = error


class TokenEndpointBusy(CredentialError):
    """The token endpoint did not get as far as an answer: HTTP 429, or 5xx.

    Attributes:
        status: which.
    """

    code = FAILED

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Tokens:
    """What a token endpoint gave.

    Attributes:
        access_token: goes onto requests.
        refresh_token: gets the next one; ``None`` where the server gave none.
        expires_at: when the access token ends, in Unix seconds; ``None`` where the server did not say.
        id_token: says who logged in; ``None`` where the server gave none.
    """

    access_token: Secret
    refresh_token: Secret | None = None
    expires_at: int | None = None
    id_token: Secret | None = None


def request_tokens(
    client: Client,
    endpoint: str,
    grant: Mapping[str, str],
    application: Application,
    *,
    now: Callable[[], float] = time.time,
) -> Tokens:
    """The tokens for *grant*, asked for once.

    Args:
        client: sends the request.
        endpoint: the token endpoint.
        grant: the form, without the application.
        application: who asks.
        now: the clock, in Unix seconds.

    Raises:
        TokenRefused: the server said no.
        TokenEndpointBusy: the server had no time for it.
        CredentialError: code ``login-failed``: what it gave cannot be used; ``bad-token``: it gave a token that can be
            none.
        TransportError: no answer came; the server may have acted on the request nevertheless.
    """
    asked = now()
    answer = post_form(client, endpoint, grant, application, seconds=SECONDS)
    what = f"the token endpoint of {host_of(endpoint)}"
    if answer.status == 429 or answer.status >= 500:
        raise TokenEndpointBusy(f"{what} answered HTTP {answer.status}", answer.status)
    members = object_in(answer, what)
    error = members.get("error")
    if error or not answer.ok:
        words = error_words(members) or f"HTTP {answer.status}"
        raise TokenRefused(f"{what} answered: {words}", one_line(str(error)))
    return _tokens(members, what, asked)


def _tokens(members: Mapping[str, Any], what: str, asked: float) -> Tokens:
    def token(name: str) -> Secret | None:
        value = members.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise CredentialError(f"{what}: {name} is not a string.", code=FAILED)
        return check_token(Secret(value), f"{what} ({name})")

    access_token = token("access_token")
    if access_token is None:
        raise CredentialError(f"{what} gave no access_token.", code=FAILED)
    kind = str(members.get("token_type"))
    if kind.lower() != "bearer":
        raise CredentialError(f"{what} gave a token of the type {one_line(kind)!r}, not 'Bearer'.", code=FAILED)
    life = _seconds(members.get("expires_in"))
    expires_at = None if life is None else int(asked + life)
    return Tokens(access_token, token("refresh_token"), expires_at, token("id_token"))


def _seconds(value: object) -> float | None:
    """A life in seconds, which some servers write as a string; nothing where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_LIFE) if seconds == seconds else None  # noqa: PLR0124 - NaN is not itself
