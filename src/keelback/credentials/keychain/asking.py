"""A keychain is asked with a deadline, and not again once it has failed.

A session bus whose service hangs, or a dialog that nobody sees, would otherwise hold up a program for ever, even one
that only wants to end.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, TypeVar

from keelback.credentials.deadlines import DeadlinePassed, within
from keelback.credentials.keychain.backends import KeychainUnavailable, backend_here
from keelback.errors import KeelbackError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.credentials.keychain.backends import Backend

_T = TypeVar("_T")


class Keychain:
    """A keychain, and what became of asking it.

    Attributes:
        backend: the keychain itself; what is asked of it goes through :meth:`ask`.
        failure: why it is not asked any more; ``None`` as long as it answers.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.failure: KeychainUnavailable | None = None
        self._turn = threading.Lock()
        self._told = False

    def ask(self, question: Callable[[Backend], _T], deadline: float) -> _T:
        """The answer of *question*; one is asked at a time.

        Raises:
            KeychainUnavailable: no answer came within *deadline* seconds, or it was an error; now or earlier.
            KeelbackError: the keychain works, and says why it will not do this; or the user has stopped the run.
        """
        with self._turn:
            if self.failure is not None:
                raise self.failure
            try:
                return self._within(deadline, question)
            except KeychainUnavailable as failure:
                self.failure = failure
                raise

    def tell_once(self) -> bool:
        """Whether this is the first call: what is wrong need not be said twice."""
        with self._turn:
            told, self._told = self._told, True
        return not told

    def _within(self, deadline: float, question: Callable[[Backend], _T]) -> _T:
        try:
            return within(deadline, lambda: question(self.backend), "keelback-keychain")
        except DeadlinePassed:
            raise self._too_late(deadline) from None
        except (KeychainUnavailable, KeelbackError):
            raise
        except Exception as error:
            what = redact(f"{type(error).__name__}: {error}")
            raise KeychainUnavailable(f"it failed with {what}") from error

    def _too_late(self, deadline: float) -> KeychainUnavailable:
        seconds = f"{deadline:g} second{'' if deadline == 1 else 's'}"
        if self.backend.waits_for_unlocking:
            return KeychainUnavailable(f"it is locked, and nobody unlocked it within {seconds}")
        return KeychainUnavailable(f"it did not answer within {seconds}")


@functools.cache
def of_this_system() -> Keychain:
    """The keychain of this system, the same one for the whole process: what has failed once is not tried again."""
    return Keychain(backend_here())
