"""The credential of a channel: given with the command, in the server's variables, exchanged, or stored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from keelback.channels.answers import exchanged_source
from keelback.channels.exchange import exchanged_token, how_to_permit, not_exchanged
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, Credential, check_token
from keelback.credentials.lookup import find, require
from keelback.errors import CredentialError, ExchangeError, IdentityError, UsageError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.channels.base import Channel
    from keelback.channels.exchange import Exchange
    from keelback.channels.session import Given, Session
    from keelback.credentials.lookup import Match
    from keelback.secret import Secret

_log = logging.getLogger("keelback.credentials")


@dataclass(frozen=True, slots=True)
class Access:
    """A credential, and where it came from.

    Attributes:
        credential: what is sent.
        source: where it came from, for messages.
        scope: the path of the server under which it counts.
    """

    credential: Credential
    source: str
    scope: str = "/"

    @classmethod
    def of(cls, match: Match, scope: str = "/") -> Self:
        """What was found in a store."""
        return cls(match.credential, match.source, scope)


def find_access(channel: Channel, session: Session, url: str, *, server: str, flags: str) -> Access:
    """The credential with which *channel* speaks to its server: given, exchanged, or stored.

    Args:
        channel: says what it takes, and which variables hold it.
        session: what was given, and where to look.
        url: the server's.
        server: what a person calls it.
        flags: the options that would give a credential directly.

    Raises:
        UsageError: what was given does not go together, or is not for this server.
        CredentialError: there is none, or none that the server takes.
    """
    variable = next(iter(channel.variables), "")
    return in_order(
        session,
        url,
        given=partial(channel.given_access, session),
        exchange=channel.exchange(session),
        stored=partial(
            _stored_access, session, url, server=server, usable=channel.takes, flag=flags, variable=variable
        ),
    )


def in_order(
    session: Session,
    url: str,
    *,
    given: Callable[[], Access | None],
    exchange: Exchange | None,
    stored: Callable[[], Access],
) -> Access:
    """The credential for *url*: the one that was *given*, one by *exchange*, or the one that is *stored*.

    Raises:
        CredentialError: there is none; where an exchange failed, the error says why.
    """
    access = None if session.trusted.insists else given()
    if access is not None:
        return access
    try:
        access = exchanged_access(session, exchange)
    except (IdentityError, ExchangeError) as error:
        if session.trusted.insists:
            raise
        return _stored_instead(error, stored)
    if access is None and session.trusted.insists:
        raise not_exchanged(session, url, exchange)
    return access or _stored_or_advice(session, exchange, stored)


def exchanged_access(session: Session, exchange: Exchange | None) -> Access | None:
    """What trusted publishing gives, as :func:`~keelback.channels.exchange.exchanged_token`; raises as that does."""
    token = None if exchange is None else exchanged_token(session, exchange)
    return None if token is None else Access(token, exchanged_source(session.identities.offered_by))


def _stored_or_advice(session: Session, exchange: Exchange | None, stored: Callable[[], Access]) -> Access:
    """What is *stored*; where nothing is, the hint of the error says how to permit trusted publishing."""
    try:
        return stored()
    except CredentialError as error:
        if error.code == CredentialError.code:
            error.hint = f"{error.hint} {how_to_permit(session, exchange)}".strip()
        raise


def _stored_instead(failure: CredentialError, stored: Callable[[], Access]) -> Access:
    """What is *stored*, after trusted publishing failed; where nothing is, raises its *failure*."""
    try:
        access = stored()
    except CredentialError:
        failure.hint = f"{failure.hint} No store has a credential to use instead.".lstrip()
        raise failure from None
    # a job that is not set up for it has a credential instead; an exchange that fails is a mistake in the set-up
    level = logging.INFO if isinstance(failure, IdentityError) else logging.WARNING
    _log.log(level, "trusted publishing failed, and %s is used: %s", access.source, failure)
    return access


def given_token(
    session: Session, url: str, kind: type[BearerToken | CondaToken], variable: str, *, server: str | None = None
) -> Access | None:
    """The token given by option or by *variable*, as *kind*; ``None`` where there is neither.

    Raises:
        UsageError: a user name or a password was given for a *server* that takes neither.
        CredentialError: what was given cannot be a token.
    """
    if server is not None and (session.given.username is not None or session.given.password is not None):
        raise UsageError(f"{server} takes a token, not a user name and a password", hint="Give the token alone.")
    token = session.given.api_key or session.variable(variable, url)
    if token is None:
        return None
    source = token.source or "the given token"
    credential = kind(check_token(token, source))
    _log.info("%s: a token from %s", host_of(url), source)
    return Access(credential, source)


def _stored_access(
    session: Session, url: str, *, server: str, usable: Sequence[type[Credential]], flag: str, variable: str
) -> Access:
    """The credential that the stores have for *url*; raises ``CredentialError`` where they have none of *usable*."""
    stores = session.stores
    match = require(find(url, stores), url, usable, server=server, looked=stores, flag=flag, env=variable)
    return Access.of(match)


def given_login(given: Given) -> Access | None:
    """What was *given* for a server that takes a user name with a password, or a token as ``Bearer``.

    Raises:
        UsageError: both were given, or half of a pair.
        CredentialError: the token cannot be one.
    """
    if given.username is None and given.password is None:
        return (
            None
            if given.api_key is None
            else Access(BearerToken(check_token(given.api_key, given.source)), given.source)
        )
    if given.api_key is not None:
        raise UsageError("both a token, and a user name with a password, were given", hint="Give one of them.")
    return given_pair(given.username, given.password, given.source)


def given_pair(username: str | None, password: Secret | None, source: str) -> Access:
    """A user name and a password that were given, as ``BasicHTTP``.

    Raises:
        UsageError: one of them is missing, or the name cannot be sent.
    """
    if username and not username.isprintable():
        raise UsageError("the user name has a character in it that no server could read")
    if not username or password is None:
        raise UsageError(
            "a user name and a password belong together",
            hint="Give both --username and --password, or set both variables.",
        )
    return Access(BasicHTTP(username, password), source)
