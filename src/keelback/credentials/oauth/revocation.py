"""Ends a login at the server (RFC 7009)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.credentials.oauth.endpoints import error_words, post_form
from keelback.credentials.oauth.settings import Application
from keelback.errors import KeelbackError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from keelback.credentials.kinds import OAuth
    from keelback.secret import Secret
    from keelback.transport import Answer, Client

_SECONDS: Final = 10.0


def revoke(client: Client, credential: OAuth) -> list[str]:
    """Have the server forget the tokens of *credential*, the refresh token first.

    Args:
        client: sends the requests; each has ten seconds.
        credential: what is no longer wanted.

    Returns:
        what did not work, a sentence each, without secrets; empty where all did, and where the server takes no
        revocations.
    """
    if credential.revocation_endpoint is None:
        return []
    tokens = (("refresh_token", credential.refresh_token), ("access_token", credential.access_token))
    failures = [_revoke(client, credential, hint, token) for hint, token in tokens if token is not None]
    return [failure for failure in failures if failure]


def _revoke(client: Client, credential: OAuth, hint: str, token: Secret) -> str:
    endpoint = credential.revocation_endpoint or ""
    form = {"token": token.reveal(), "token_type_hint": hint}
    named = f"{host_of(endpoint)} did not revoke the {hint.replace('_', ' ')}"
    try:
        answer = post_form(client, endpoint, form, Application(credential.client_id), seconds=_SECONDS)
    except KeelbackError as error:
        return f"{named}: {error}"
    return "" if answer.ok else f"{named}: {_words(answer)}"


def _words(answer: Answer) -> str:
    members = answer.json()
    return (error_words(members) if isinstance(members, dict) else "") or f"HTTP {answer.status}"
