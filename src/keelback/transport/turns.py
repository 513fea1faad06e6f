"""Turns: of many threads, one at a time does what takes the processor; whoever waits for the network lets others go on.

Threads that all want Python's interpreter lock hand it to each other so often that, for fifty small downloads at once,
it takes longer than the work itself.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Turns:
    """Who of some threads has its turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._taken = _Change(self, mine=True)
        self._waiting = _Change(self, mine=False)
        self._nothing = _Nothing()

    def taken(self) -> AbstractContextManager[None]:
        """Wait for this thread's turn, and keep it until the end, except while :meth:`waiting`."""
        return self._nothing if self._mine else self._taken

    def waiting(self) -> AbstractContextManager[None]:
        """Let others have their turn meanwhile; nothing where this thread has none."""
        return self._waiting if self._mine else self._nothing

    @property
    def _mine(self) -> bool:
        return getattr(self._thread, "mine", False)

    def change(self, *, mine: bool) -> None:
        """Take this thread's turn, or give it up."""
        if mine:
            self._lock.acquire()
            self._thread.mine = True
        else:
            self._thread.mine = False
            self._lock.release()


class _Change:
    """Takes the turn, or gives it up, until the end; without the cost of a generator, as it is used all the time."""

    def __init__(self, turns: Turns, *, mine: bool) -> None:
        self._turns = turns
        self._mine = mine

    def __enter__(self) -> None:
        self._turns.change(mine=self._mine)

    def __exit__(self, *exception: object) -> None:
        self._turns.change(mine=not self._mine)


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass
