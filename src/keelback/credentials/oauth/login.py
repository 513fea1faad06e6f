"""Logs a person in by OAuth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelback.credentials.kinds import OAuth
from keelback.credentials.oauth.authcode import Handshake, NoBrowserError, code_tokens
from keelback.credentials.oauth.device import device_tokens
from keelback.credentials.oauth.discovery import discover
from keelback.credentials.oauth.idtoken import name_in, read_claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.credentials.oauth.discovery import Provider
    from keelback.credentials.oauth.settings import Interaction, Settings
    from keelback.credentials.oauth.tokens import Tokens
    from keelback.transport import Client

__all__ = ["Login", "log_in"]


@dataclass(frozen=True)
class Login:
    """A login that succeeded.

    Attributes:
        credential: what is to be stored.
        name: who logged in, as the server says; ``None`` where it does not.
    """

    credential: OAuth
    name: str | None


def log_in(client: Client, settings: Settings, person: Interaction, *, now: Callable[[], float] = time.time) -> Login:
    """Log in, and wait until the person has done their part.

    Args:
        client: sends the requests.
        settings: with what the login is asked for; see :func:`keelback.credentials.oauth.settings.defaults_for`.
        person: how the person is talked to.
        now: the clock, in Unix seconds.

    Raises:
        CredentialError: code ``no-oauth``: the server takes no such logins; ``login-failed``: the person said no or did
            nothing in time, or the server gave what cannot be used; ``bad-token``: it gave a token that can be none.
        TransportError: the server cannot be reached, or only over plain HTTP.
        UsageError: the redirect URI is not one of this machine with a port.
    """
    provider = discover(client, settings.issuer)
    handshake = Handshake()
    nonce = None if settings.flow == "device-code" else handshake.nonce
    if settings.flow == "device-code":
        tokens = device_tokens(client, provider, settings, person, now)
    else:
        fall_back = settings.flow == "auto" and provider.device_authorization_endpoint is not None
        try:
            tokens = code_tokens(client, provider, settings, person, now, handshake, browser_needed=fall_back)
        except NoBrowserError:
            nonce = None
            tokens = device_tokens(client, provider, settings, person, now)
    return Login(_credential(tokens, provider, settings), _name(tokens, provider, settings, nonce, now()))


def _credential(tokens: Tokens, provider: Provider, settings: Settings) -> OAuth:
    return OAuth(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_at=tokens.expires_at,
        token_endpoint=provider.token_endpoint,
        revocation_endpoint=provider.revocation_endpoint,
        client_id=settings.client_id,
    )


def _name(tokens: Tokens, provider: Provider, settings: Settings, nonce: str | None, now: float) -> str | None:
    """Who logged in; a server that knows OAuth and not OpenID Connect does not say."""
    if tokens.id_token is None:
        return None
    claims = read_claims(tokens.id_token, issuer=provider.issuer, client_id=settings.client_id, nonce=nonce, now=now)
    return name_in(claims)
