"""Trusted publishing with one server: whether it may have an identity, and the token that it gives for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import httpx2

from keelback.credentials.oidc.exchanged import ExchangedToken
from keelback.credentials.oidc.trusted import Mode
from keelback.errors import ExchangeError, IdentityError
from keelback.hosts import host_of, scheme_and_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.channels.session import Session
    from keelback.credentials.oidc.exchanged import Exchanged
    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.errors import CredentialError

_log = logging.getLogger("keelback.credentials")


@dataclass(frozen=True, slots=True)
class Exchange:
    """How a server exchanges identities.

    Attributes:
        server: its URL.
        audience: for whom the identities are made.
        by: exchanges an identity, which the function that it is given makes.
        known: whether the server is known to take identities; any other has to be named by the user.
    """

    server: str
    audience: str
    by: Callable[[Callable[[], IdToken]], Exchanged]
    known: bool


class Standing(StrEnum):
    """Whether a server may have an identity, and why."""

    KNOWN = "known"
    """It may: it is known to take identities."""
    NAMED = "named"
    """It may: the user named it."""
    NOT_NAMED = "not-named"
    """It may not: it is not known to take any, and was not named."""
    PLAIN_HTTP = "plain-http"
    """It may not: anyone on the way could read the identity."""
    NO_EXCHANGE = "no-exchange"
    """It may not: as far as keelback knows, it exchanges none."""
    UNKNOWN_KIND = "unknown-kind"
    """It may not: the URL does not show which kind of server it is."""

    @property
    def permits(self) -> bool:
        """Whether it may."""
        return self in {Standing.KNOWN, Standing.NAMED}


def standing_of(session: Session, exchange: Exchange | None) -> Standing:
    """Whether the server of *exchange* may have an identity in this run; ``None`` is one that exchanges none."""
    if exchange is None:
        return Standing.NO_EXCHANGE
    if not (exchange.known or host_of(exchange.server) in session.trusted.hosts):
        return Standing.NOT_NAMED
    if not (scheme_and_host(exchange.server)[0] == "https" or session.client.may_be_insecure(exchange.server)):
        return Standing.PLAIN_HTTP
    return Standing.KNOWN if exchange.known else Standing.NAMED


def exchanged_token(session: Session, exchange: Exchange) -> ExchangedToken | None:
    """The token that a server gives for the identity of the CI system, exchanged at once.

    Returns:
        The token, one for all channels of the server; ``None`` where it is not to be used (``--trusted-publishing
        never``), no CI system offers an identity, or the server may not have one.

    Raises:
        IdentityError: the CI system is not set up for it.
        ExchangeError: the server gave no token.
    """
    host = host_of(exchange.server)
    standing = standing_of(session, exchange)
    offered_by = None if session.trusted.mode is Mode.NEVER else session.identities.offered_by
    if standing is Standing.NOT_NAMED or offered_by is None:
        return None
    if not standing.permits:
        raise ExchangeError(
            f"no identity goes to {host} over plain HTTP, where anyone on the way can read it",
            hint="Use https.",
            code="plain-http",
        )
    first = session.audiences.setdefault(exchange.audience, host)
    if first != host and not exchange.known:
        raise ExchangeError(
            f"identities for {exchange.audience!r} would go to {first} and to {host}, and either could use them at the "
            "other",
            hint="Publish to them in two runs, or give each an audience of its own.",
        )
    origin = _origin(exchange.server)
    token = session.exchanged.get(origin)
    if token is None:
        token = ExchangedToken(lambda: exchange.by(lambda: _identity(session, exchange.audience)))
        token.current()
        session.exchanged[origin] = token
        _log.info("%s: a token for the identity from %s", host, offered_by)
    return token


def _origin(server: str) -> str:
    """*server* without its path, normalised."""
    scheme, host = scheme_and_host(server)
    port = httpx2.URL(server).port  # None for the scheme's own
    return f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}"


def how_to_permit(session: Session, exchange: Exchange | None) -> str:
    """A hint on how to permit the exchange of the identity that is offered, where the server has to be named for it.

    Empty where that is not what is missing.
    """
    if exchange is None or session.trusted.mode is Mode.NEVER or session.identities.offered_by is None:
        return ""
    if standing_of(session, exchange) is not Standing.NOT_NAMED:
        return ""
    return (
        f"Or, if the server is yours and takes the identity from {session.identities.offered_by}, give "
        f"--trusted-publishing-host {host_of(exchange.server)}."
    )


def _identity(session: Session, audience: str) -> IdToken:
    identity = session.identities.identity(audience)
    if identity is None:
        raise IdentityError("no CI system offers an identity any more")
    return identity


def not_exchanged(session: Session, url: str, exchange: Exchange | None) -> CredentialError:
    """Why trusted publishing, which the user insists on, gives nothing for the server at *url*."""
    host = host_of(url)
    standing = standing_of(session, exchange)
    if standing is Standing.NO_EXCHANGE:
        return ExchangeError(
            f"{host} does not support trusted publishing",
            hint=f"Give a token, and leave out {session.trusted.by_option}.",
        )
    if standing is Standing.NOT_NAMED:
        return ExchangeError(
            f"{host} is not known to take identities, and none is sent to a server that was not named",
            hint=f"If it is yours, name it: --trusted-publishing-host {host}.",
        )
    return IdentityError(
        "no CI system offers an identity here",
        hint="Trusted publishing works in GitHub Actions, GitLab CI, Buildkite, CircleCI and Google Cloud, or with "
        "--oidc-token - and an ID token on standard input.",
    )
