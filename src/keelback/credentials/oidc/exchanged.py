"""A short-lived token that a server gave for an identity: in memory only, and renewed when it expires."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self

from keelback.credentials.kinds import Credential, HeaderAuth, check_token
from keelback.credentials.oidc.idtoken import claims_of, expiry, lifetime
from keelback.credentials.oidc.renewed import Renewed
from keelback.errors import CredentialError, ExchangeError
from keelback.secret import announce
from keelback.transport import RenewableAuth

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import httpx2

    from keelback.secret import Secret

_AHEAD: Final = 60.0
"""Seconds before its end at which a token is renewed."""


@dataclass(frozen=True)
class Exchanged:
    """What a server gave for an identity.

    Attributes:
        token: the token.
        expires_at: when it expires, in Unix seconds; ``None`` where the server does not say.
        lasts: for how many seconds it was made; ``None`` where the server does not say.
    """

    token: Secret
    expires_at: float | None = None
    lasts: float | None = None

    @classmethod
    def dated_by_itself(cls, token: Secret) -> Self:
        """*token*, of which nothing else is known: a JWT has both times in its claims."""
        claims = claims_of(token) or {}
        return cls(token, expiry(claims), lifetime(claims))


class ExchangedToken(Credential, RenewableAuth):
    """A short-lived token, sent as ``Authorization: Bearer TOKEN``; safe to use from several threads at once.

    It is exchanged anew as :class:`Renewed` says, and when a server does not take it any more. It is kept nowhere but
    in memory.

    Args:
        exchange: gets a new identity, and exchanges it. Raises ``IdentityError`` or ``ExchangeError``.
        clock: the time, in Unix seconds.
    """

    kind: ClassVar[str] = "ExchangedToken"
    noun: ClassVar[str] = "short-lived token"

    def __init__(self, exchange: Callable[[], Exchanged], *, clock: Callable[[], float] = time.time) -> None:
        self._renewed = Renewed(
            lambda: _checked(exchange()), name="the token of trusted publishing", ahead=_AHEAD, clock=clock
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def generation(self) -> int:
        """See :class:`RenewableAuth`."""
        return self._renewed.generation

    def current(self) -> Secret:
        """The token as it is now, exchanged if there is none yet, or if it is about to expire.

        Raises:
            IdentityError, ExchangeError: there is none that is still good, and none could be had.
        """
        return self._renewed.current().token

    def renew(self, generation: int) -> None:
        """See :class:`RenewableAuth`; raises as :meth:`current`."""
        self._renewed.renew(generation)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Put the token onto *request* unless it has an ``Authorization`` already, and send it once."""
        yield from HeaderAuth("Authorization", self.current(), "Bearer ").auth_flow(request)


def _checked(new: Exchanged) -> Exchanged:
    """*new*, with a token that can be sent, and of which those know who keep secrets out of logs."""
    try:
        announce(check_token(new.token, new.token.source or "the exchange"))
    except CredentialError as error:
        raise ExchangeError(error.message) from None
    return new
