"""The credential of a channel: given with the command, in the server's variables, exchanged, or stored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelback.channels.answers import exchanged_source
from keelback.channels.exchange import exchanged_token, how_to_permit, not_exchanged
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, Credential, check_token
from keelback.credentials.lookup import find, require
from keelback.errors import CredentialError, ExchangeError, IdentityError, UsageError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.channels.exchange import Exchange
    from keelback.channels.session import Session
    from keelback.secret import Secret

_log = logging.getLogger("keelback.credentials")


@dataclass(frozen=True, slots=True)
class Access:
    """A credential, and where it came from as a person would say it.

    Attributes:
        credential: what is sent.
        source: where it came from.
        scope: the path of the server under which it counts.
    """

    credential: Credential
    source: str
    scope: str = "/"


def token_access(
    session: Session,
    url: str,
    *,
    server: str,
    kind: type[BearerToken | CondaToken],
    usable: Sequence[type[Credential]],
    variable: str,
    exchange: Exchange | None = None,
) -> Access:
    """The credential with which *url* is spoken to, where a token given by hand is of *kind*.

    Args:
        session: what was given, and where to look.
        url: the server's.
        server: what a person calls it.
        kind: what a token from an option or a variable becomes.
        usable: the kinds from a store that will do.
        variable: the server's own variable.
        exchange: how it exchanges identities, where it does.

    Raises:
        UsageError: a user name or a password was given.
        CredentialError: there is none, or none that will do.
    """
    return in_order(
        session,
        url,
        given=lambda: given_token(session, url, kind, variable, server=server),
        exchange=exchange,
        stored=lambda: stored_access(session, url, server=server, usable=usable, flag="--api-key", variable=variable),
    )


def in_order(
    session: Session,
    url: str,
    *,
    given: Callable[[], Access | None],
    exchange: Exchange | None,
    stored: Callable[[], Access],
) -> Access:
    """The credential for *url*: the one that was *given*, or by *exchange*, or the one that is *stored*.

    Raises:
        CredentialError: there is none; where an exchange had failed before, the error says why that did.
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
    """What is *stored*; where nothing is, the error has what would have trusted publishing tried."""
    try:
        return stored()
    except CredentialError as error:
        if error.code == CredentialError.code:
            error.hint = f"{error.hint} {how_to_permit(session, exchange)}".strip()
        raise


def _stored_instead(failure: CredentialError, stored: Callable[[], Access]) -> Access:
    """What is *stored*, where trusted publishing ended in a *failure*, which is the error where nothing is."""
    try:
        access = stored()
    except CredentialError:
        failure.hint = f"{failure.hint} No store has a credential to use instead.".lstrip()
        raise failure from None
    # a job that is not set up for it has a credential for that reason; an exchange that fails is somebody's mistake
    level = logging.INFO if isinstance(failure, IdentityError) else logging.WARNING
    _log.log(level, "trusted publishing failed, and %s is used: %s", access.source, failure)
    return access


def given_token(
    session: Session, url: str, kind: type[BearerToken | CondaToken], variable: str, *, server: str | None = None
) -> Access | None:
    """The token given by option or by *variable*, as *kind*; ``None`` where there is neither.

    Raises:
        UsageError: a user name or a password was given for a *server* that takes neither.
        CredentialError: what was given can be no token.
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


def stored_access(
    session: Session, url: str, *, server: str, usable: Sequence[type[Credential]], flag: str, variable: str
) -> Access:
    """The credential that the stores have for *url*; raises as :func:`token_access`."""
    match = require(
        find(url, session.stores), url, usable, server=server, looked=session.stores, flag=flag, env=variable
    )
    return Access(match.credential, f"key {match.key!r} of {match.store.name}")


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
