"""What a server gave for an identity, for a time: in memory only, and renewed before its time is over."""

from __future__ import annotations

import copy
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
_SHORT: Final = 30.0
"""Seconds of which one that is new and is said to have fewer left is not believed, unless it was made for so few."""


class Expiring(Protocol):
    """What is good for a time."""

    @property
    def expires_at(self) -> float | None:
        """When it expires, in Unix seconds; ``None`` where nobody says."""

    @property
    def lasts(self) -> float | None:
        """For how many seconds it was made; ``None`` where nobody says."""


T = TypeVar("T", bound=Expiring)


class Renewed(Generic[T]):
    """Something that expires, and is got anew before it does; safe to use from several threads at once.

    One thread renews it, while the others wait. Where that fails, what there is is used to its end, and whoever needs a
    new one within the next minute gets the same error: a server that takes an identity once is not shown it again, and
    one that does not answer is waited for once.

    A new one that seems to have expired has not: the clock of this machine is fast. It is used for as long as it was
    made, or for ten minutes, unless the server says no before that.

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
        self._failure: KeelbackError | None = None
        self._failed_at = 0.0
        self._doubted = False

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
        """A new one, in use from now on; or the error of the last try, if that was a moment ago."""
        if self._failure is not None and 0 <= self._clock() - self._failed_at < _PAUSE:
            raise copy.copy(self._failure)  # each thread adds its own traceback
        try:
            new = self._get()
        except KeelbackError as error:
            self._failure, self._failed_at = copy.copy(error), self._clock()
            raise
        self._failure = None
        lives = self._date(new)
        self._held = new
        self._renewed_from = self._clock() + lives - min(self._ahead, lives / 5)
        self._generation += 1
        return new

    def _date(self, new: T) -> float:
        """The seconds for which *new* lives; sets when it ends, where that can be believed."""
        lasts = new.lasts
        self._ends_at = new.expires_at
        if new.expires_at is not None:
            left = new.expires_at - self._clock()
            if left >= (_SHORT if lasts is None else lasts / 2):
                return left
            self._ends_at = None
            self._doubt(left)
        return _ASSUMED_SECONDS if lasts is None else max(lasts, _SHORT)

    def _doubt(self, left: float) -> None:
        """Say once that the clock of this machine and that of the server differ."""
        if not self._doubted:
            self._doubted = True
            said = f"{left:.0f} s are left" if left > 0 else "it has expired"
            _log.warning("%s is new, and by the clock of this machine %s: check that clock", self._name, said)
