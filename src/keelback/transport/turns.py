"""Turns: of many threads, one at a time does what takes the processor; whoever waits for the network lets others go on.

Threads that all want Python's interpreter lock hand it to each other so often that, for fifty small downloads at once,
it takes longer than the work itself.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Turns:
    """Who of some threads has its turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = threading.local()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for this thread's turn, and keep it until the end, except while :meth:`waiting`."""
        if self._mine:
            yield
            return
        self._take()
        try:
            yield
        finally:
            self._give()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let others have their turn meanwhile; nothing where this thread has none."""
        if not self._mine:
            yield
            return
        self._give()
        try:
            yield
        finally:
            self._take()

    @property
    def _mine(self) -> bool:
        return getattr(self._thread, "mine", False)

    def _take(self) -> None:
        self._lock.acquire()
        self._thread.mine = True

    def _give(self) -> None:
        self._thread.mine = False
        self._lock.release()
