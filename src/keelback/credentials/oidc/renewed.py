"""What a server gave for an identity, for a time: in memory only, and renewed before its time is over."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from keelback.errors import KeelbackError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("keelback.credentials")

_ASSUMED_SECONDS: Final = 600.0
"""How long that is used which does not say when it expires (PyPI's tokens live 15 minutes)."""
_PAUSE: Final = 60.0
"""Seconds until the next try, where a renewal has failed."""


class Expiring(Protocol):
    """What is good for a time."""

    @property
    def expires_at(self) -> float | None:
        """When it expires, in Unix seconds; ``None`` where nobody says."""


T = TypeVar("T", bound=Expiring)


class Renewed(Generic[T]):
    """Something that expires, and is got anew before it does; safe to use from several threads at once.

    One thread renews it, while the others wait. Where that fails, what there is is used to its end.

    Args:
        get: gets a new one; raises ``IdentityError`` or ``ExchangeError``.
        name: what a person calls it: ``the keys of the role``.
        ahead: the seconds before its end at which it is renewed; of a short life, the last fifth.
        clock: the time, in Unix seconds.
    """

    def __init__(
        self, get: Callable[[], T], *, name: str, ahead: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._get = get
        self._name = name
        self._ahead = ahead
        self._clock = clock
        self._lock = threading.Lock()
        self._generation = 0
        self._held: T | None = None
        self._renewed_from = 0.0
        self._ends_at: float | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name})"

    @property
    def generation(self) -> int:
        """Which one is in use; another number after each renewal."""
        return self._generation

    def current(self) -> T:
        """The one to use now: a new one where there is none yet, or where it is about to expire.

        Raises:
            IdentityError, ExchangeError: there is none that is still good, and none could be had.
        """
        with self._lock:
            held = self._held
            if held is None:
                return self._renew()
            if self._clock() < self._renewed_from:
                return held
            try:
                return self._renew()
            except KeelbackError as error:
                now = self._clock()
                if self._ends_at is not None and now >= self._ends_at:
                    raise
                _log.warning("%s: not renewed: %s", self._name, error)
                self._renewed_from = now + _PAUSE if self._ends_at is None else min(now + _PAUSE, self._ends_at)
                return held

    def renew(self, generation: int) -> None:
        """Get a new one, unless that of *generation* has been replaced meanwhile; raises as :meth:`current`."""
        with self._lock:
            if self._generation == generation:
                self._renew()

    def _renew(self) -> T:
        self._held = held = self._get()
        now, expires_at = self._clock(), held.expires_at
        lives = _ASSUMED_SECONDS if expires_at is None else max(expires_at - now, 0.0)
        self._renewed_from = now + lives - min(self._ahead, lives / 5)
        # what has expired when it comes has not: the clock of this machine is fast, and the server has the last word
        self._ends_at = expires_at if lives else None
        self._generation += 1
        return held
