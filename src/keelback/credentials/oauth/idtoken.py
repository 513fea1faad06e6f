"""Reads an ID token: who logged in, and whether the token is the answer to what was asked (OpenID Connect Core 1.0)."""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any, Final

from keelback.credentials.oauth.endpoints import FAILED, one_line
from keelback.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.secret import Secret

_NAMES: Final = ("email", "preferred_username", "name", "sub")
"""Where the name of a person stands, the best first (rattler, oauth.rs)."""
_CLOCKS_DIFFER: Final = 300
"""Seconds."""


def read_claims(
    token: Secret, *, issuer: str, client_id: str, nonce: str | None = None, now: float
) -> Mapping[str, Any]:
    """The claims of *token*, which came straight from the token endpoint.

    That it came over TLS from there takes the place of its signature (OpenID Connect Core 1.0, section 3.1.3.7,
    point 6).

    Args:
        token: the ID token.
        issuer: who has to have made it.
        client_id: for whom.
        nonce: what was sent along with the question; ``None`` where nothing was.
        now: the time, in Unix seconds.

    Raises:
        CredentialError: code ``login-failed``: it cannot be read, is not meant for this login, or has expired.
    """
    claims = _claims(token)
    audience = claims.get("aud")
    for_whom = audience if isinstance(audience, list) else [audience]
    problems = (
        (claims.get("iss") != issuer, "was made by somebody else (iss)"),
        (client_id not in for_whom, "is meant for another application (aud)"),
        (claims.get("azp", client_id) != client_id, "was given to another application (azp)"),
        (not _is_in_time(claims.get("exp"), now), "has expired (exp); is the clock of this machine right?"),
        (nonce is not None and not same(claims.get("nonce"), nonce), "belongs to another login (nonce)"),
    )
    for wrong, what in problems:
        if wrong:
            raise CredentialError(f"{issuer} gave an ID token that {what}", hint="Log in again.", code=FAILED)
    return claims


def name_in(claims: Mapping[str, Any]) -> str | None:
    """The name of the person, as the server gives it; nothing where it gives none."""
    return next((one_line(claims[name]) for name in _NAMES if isinstance(claims.get(name), str) and claims[name]), None)


def same(given: object, expected: str) -> bool:
    """Whether *given* is the string *expected*, in a time that does not tell how much of it is."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _claims(token: Secret) -> Mapping[str, Any]:
    """The middle part of a signed token (RFC 7519; RFC 7515, section 3.1)."""
    parts = token.reveal().split(".")
    if len(parts) == 3:
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (ValueError, RecursionError):
            claims = None
        if isinstance(claims, dict):
            return claims
    raise CredentialError("the server gave an ID token that cannot be read", code=FAILED)


def _is_in_time(expiry: object, now: float) -> bool:
    return isinstance(expiry, int | float) and not isinstance(expiry, bool) and expiry > now - _CLOCKS_DIFFER
