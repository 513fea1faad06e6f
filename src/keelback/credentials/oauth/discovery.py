"""Finds out where a server takes logins (OpenID Connect Discovery 1.0; RFC 8414)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.credentials.oauth.endpoints import FAILED, checked_endpoint, get, object_in, one_line
from keelback.errors import CredentialError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from keelback.transport import Client

_SECONDS: Final = 30.0
_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_OTHER_WAYS: Final = "Log in with a token, or name the server that logs people in with --oauth-issuer-url."


@dataclass(frozen=True)
class Provider:
    """A server that logs people in.

    Attributes:
        issuer: its own URL.
        authorization_endpoint: where the browser goes.
        token_endpoint: where tokens are given.
        device_authorization_endpoint: where a device code is given, if it is (RFC 8628).
        revocation_endpoint: where tokens are revoked, if they are (RFC 7009).
        names_itself: whether it puts its name into what the browser brings back (RFC 9207).
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    device_authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    names_itself: bool = False

    @property
    def host(self) -> str:
        """What a person calls it."""
        return host_of(self.issuer)


def discover(client: Client, issuer: str) -> Provider:
    """What the server at *issuer* says of itself.

    Raises:
        CredentialError: code ``no-oauth``: it takes no logins; or ``login-failed``: what it says of itself cannot be
            used, such as another issuer (OpenID Connect Discovery 1.0, section 4.3) or an endpoint over plain HTTP.
        TransportError: no answer came.
    """
    host = host_of(issuer)
    if not host or "?" in issuer or "#" in issuer:
        raise CredentialError(
            f"{one_line(issuer)!r} is no issuer: that is a URL without a query, such as https://prefix.dev.",
            hint="Give it with --oauth-issuer-url.",
            code=FAILED,
        )
    answer = get(client, issuer.rstrip("/") + _WELL_KNOWN, seconds=_SECONDS)
    if answer.status in {401, 403, 404, 405, 410}:
        raise CredentialError(
            f"{host} does not offer OAuth logins: it answered HTTP {answer.status} to the question where.",
            hint=_OTHER_WAYS,
            code="no-oauth",
        )
    try:
        members = object_in(answer, host)
    except CredentialError as error:  # a page, most likely: what any web server answers to whatever it is asked
        raise CredentialError(
            f"{host} does not offer OAuth logins. {error}", hint=_OTHER_WAYS, code="no-oauth"
        ) from None
    if not answer.ok:
        raise CredentialError(f"{host} answered HTTP {answer.status} when asked where to log in.", code=FAILED)
    return _provider(members, issuer)


def _provider(members: Mapping[str, Any], issuer: str) -> Provider:
    named = members.get("issuer")
    if named != issuer:
        near = isinstance(named, str) and named.rstrip("/") == issuer.rstrip("/")
        raise CredentialError(
            f"{host_of(issuer)} is not the issuer that it was asked for: it calls itself {one_line(str(named))!r}.",
            hint=f"Write it exactly so: --oauth-issuer-url {named}." if near else "Is --oauth-issuer-url right?",
            code=FAILED,
        )

    def endpoint(name: str) -> str:
        return checked_endpoint(members.get(name), name, issuer)

    def optional(name: str) -> str | None:
        return None if members.get(name) is None else endpoint(name)

    return Provider(
        issuer,
        authorization_endpoint=endpoint("authorization_endpoint"),
        token_endpoint=endpoint("token_endpoint"),
        device_authorization_endpoint=optional("device_authorization_endpoint"),
        revocation_endpoint=optional("revocation_endpoint"),
        names_itself=members.get("authorization_response_iss_parameter_supported") is True,
    )
