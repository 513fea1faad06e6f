"""Logs in with the browser of this machine: authorization code (RFC 6749) with PKCE (RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from keelback.credentials.oauth.endpoints import FAILED, error_words
from keelback.credentials.oauth.idtoken import same
from keelback.credentials.oauth.loopback import RedirectListener
from keelback.credentials.oauth.settings import Prompt
from keelback.credentials.oauth.tokens import request_tokens
from keelback.errors import CredentialError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.oauth.discovery import Provider
    from keelback.credentials.oauth.settings import Interaction, Settings
    from keelback.credentials.oauth.tokens import Tokens
    from keelback.transport import Client


class NoBrowserError(Exception):
    """There is no browser on this machine that could be opened."""


@dataclass(frozen=True)
class Handshake:
    """What ties the answer of a login to its question; new for each.

    Attributes:
        state: comes back with the browser (RFC 6749, section 10.12).
        nonce: comes back in the ID token (OpenID Connect Core 1.0, section 3.1.2.1).
        verifier: is shown when the code is turned into tokens (RFC 7636, section 4.1).
    """

    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: Secret = field(default_factory=lambda: Secret(secrets.token_urlsafe(64)))

    @property
    def challenge(self) -> str:
        """What is said of the verifier beforehand (RFC 7636, section 4.2, S256)."""
        digest = hashlib.sha256(self.verifier.reveal().encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def code_tokens(
    client: Client,
    provider: Provider,
    settings: Settings,
    person: Interaction,
    now: Callable[[], float],
    handshake: Handshake,
    *,
    browser_needed: bool,
) -> Tokens:
    """The tokens of a person who logs in with the browser of this machine.

    Args:
        client: sends what does not go through the browser.
        provider: the server.
        settings: with what the login is asked for.
        person: how the person is talked to.
        now: the clock, in Unix seconds.
        handshake: new, and used for this login alone.
        browser_needed: give up where no browser can be opened; otherwise the person is shown what to open.

    Raises:
        NoBrowserError: no browser can be opened.
        CredentialError: code ``login-failed``: the person said no, or did nothing in time, or the server gave what
            cannot be used.
        TransportError: the token endpoint could not be reached.
        UsageError: the redirect URI is not one of this machine with a port.
    """
    with RedirectListener(handshake.state, settings.redirect_uri) as listener:
        url = _authorization_url(provider, settings, handshake, listener.redirect_uri)
        opened = person.open_browser(url)
        if browser_needed and not opened:
            raise NoBrowserError
        person.show(Prompt(url, opened=opened))
        answer = listener.wait(person.browser_seconds)
    code = _code_in(answer, provider, person.browser_seconds)
    grant = {
        "grant_type": "authorization_code",
        "code": code.reveal(),
        "redirect_uri": listener.redirect_uri,
        "code_verifier": handshake.verifier.reveal(),
    }
    return request_tokens(client, provider.token_endpoint, grant, settings.application, now=now)


def _authorization_url(provider: Provider, settings: Settings, handshake: Handshake, redirect_uri: str) -> str:
    parameters = {
        "response_type": "code",
        "client_id": settings.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(settings.scopes),
        "state": handshake.state,
        "nonce": handshake.nonce,
        "code_challenge": handshake.challenge,
        "code_challenge_method": "S256",
    }
    if "offline_access" in settings.scopes:
        parameters["prompt"] = "consent"  # without it there is no refresh token (OpenID Connect Core 1.0, section 11)
    separator = "&" if "?" in provider.authorization_endpoint else "?"
    return provider.authorization_endpoint + separator + urlencode(parameters)


def _code_in(answer: Mapping[str, str] | None, provider: Provider, seconds: float) -> Secret:
    """The code that the browser brought, which has the right state already."""
    if answer is None:
        raise CredentialError(
            f"{provider.host}: no answer came from the browser within {seconds:.0f} seconds.",
            hint="Log in again; without a browser on this machine, with --oauth-flow device-code.",
            code=FAILED,
        )
    issuer = answer.get("iss")
    if not (same(issuer, provider.issuer) or (issuer is None and not provider.names_itself)):
        # RFC 9207, section 2.4: another server's answer, which was brought here to have its code sent to this one
        raise CredentialError(f"{provider.host}: the browser brought the answer of another server.", code=FAILED)
    if "error" in answer:
        raise CredentialError(f"{provider.host} did not log you in: {error_words(answer)}", code=FAILED)
    if not answer.get("code"):
        raise CredentialError(f"{provider.host}: the browser brought neither a code nor an error.", code=FAILED)
    return Secret(answer["code"])
