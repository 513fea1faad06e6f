"""The credential of a channel: given with the command, then in the server's variables, then in the stores."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, Credential, check_token
from keelback.credentials.lookup import find, require
from keelback.errors import UsageError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.channels.base import Session
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
) -> Access:
    """The credential with which *url* is spoken to, where a token given by hand is of *kind*.

    Args:
        session: what was given, and where to look.
        url: the server's.
        server: what a person calls it.
        kind: what a token from an option or a variable becomes.
        usable: the kinds from a store that will do.
        variable: the server's own variable.

    Raises:
        UsageError: a user name or a password was given.
        CredentialError: there is none, or none that will do.
    """
    given = given_token(session, url, kind, variable, server=server)
    return given or stored_access(session, url, server=server, usable=usable, flag="--api-key", variable=variable)


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
