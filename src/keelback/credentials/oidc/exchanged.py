"""A short-lived token that a server gave for an identity: in memory only, and renewed when it expires."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from keelback.credentials.kinds import Credential, HeaderAuth, check_token
from keelback.errors import CredentialError, ExchangeError, KeelbackError
from keelback.secret import announce
from keelback.transport import RenewableAuth

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import httpx2

    from keelback.secret import Secret

_log = logging.getLogger("keelback.credentials")

_ASSUMED_SECONDS: Final = 600.0
"""How long a token is used that does not say when it expires (PyPI's live 15 minutes)."""
_AHEAD: Final = 60.0
"""Seconds before its end at which a token is renewed; of a short-lived one, a fifth of its life."""


@dataclass(frozen=True)
class Exchanged:
    """What a server gave for an identity.

    Attributes:
        token: the token.
        expires_at: when it expires, in Unix seconds; ``None`` where the server does not say.
    """

    token: Secret
    expires_at: float | None = None


class ExchangedToken(Credential, RenewableAuth):
    """A short-lived token, sent as ``Authorization: Bearer TOKEN``; safe to use from several threads at once.

    It is exchanged anew shortly before it expires, and when a server does not take it any more; by one thread, while
    the others wait. It is kept nowhere but in memory.

    Args:
        exchange: gets a new identity, and exchanges it. Raises ``IdentityError``, ``ExchangeError`` or
            ``TransportError``.
        clock: the time, in Unix seconds.
    """

    kind: ClassVar[str] = "ExchangedToken"

    def __init__(self, exchange: Callable[[], Exchanged], *, clock: Callable[[], float] = time.time) -> None:
        self._exchange = exchange
        self._clock = clock
        self._lock = threading.Lock()
        self._generation = 0
        self._token: Secret | None = None
        self._usable_until = 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def generation(self) -> int:
        """See :class:`RenewableAuth`."""
        return self._generation

    def current(self) -> Secret:
        """The token as it is now, exchanged if there is none yet, or if it is about to expire.

        Raises:
            IdentityError, ExchangeError, TransportError: there is none, and none could be had.
        """
        with self._lock:
            if self._token is None:
                return self._renew()
            if self._clock() < self._usable_until:
                return self._token
            try:
                return self._renew()
            except KeelbackError as error:  # the server has the last word on whether the old one is still good
                _log.warning("the token of trusted publishing was not renewed: %s", error)
                self._usable_until = self._clock() + _AHEAD
                return self._token

    def renew(self, generation: int) -> None:
        """See :class:`RenewableAuth`; raises as :meth:`current`."""
        with self._lock:
            if self._generation == generation:
                self._renew()

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Put the token onto *request* unless it has an ``Authorization`` already, and send it once."""
        yield from HeaderAuth("Authorization", self.current(), "Bearer ").auth_flow(request)

    def _renew(self) -> Secret:
        new = self._exchange()
        try:
            self._token = check_token(new.token, new.token.source or "the exchange")
        except CredentialError as error:
            raise ExchangeError(str(error)) from None
        announce(self._token)
        now = self._clock()
        lives = _ASSUMED_SECONDS if new.expires_at is None else max(new.expires_at - now, 0.0)
        self._usable_until = now + lives - min(_AHEAD, lives / 5)
        self._generation += 1
        return self._token
