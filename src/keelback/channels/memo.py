"""Work that is done once, whoever asks for it first; the others wait for what comes of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class Memo(Generic[T]):
    """What came of pieces of work, by key; safe to ask from several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Hashable, _Entry[T]] = {}

    def get(self, key: Hashable, work: Callable[[], T]) -> T:
        """What *work* gives, which is run unless that was done for *key*; raises what it raised, for all that ask."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
        with entry.lock:
            if not entry.outcome and entry.error is None:
                try:
                    entry.outcome.append(work())
                except Exception as error:
                    entry.error = error
                    raise
            if entry.error is not None:
                raise entry.error
            return entry.outcome[0]

    def forget(self) -> None:
        """Run everything anew from now on."""
        with self._lock:
            self._entries = {}


class _Entry(Generic[T]):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.outcome: list[T] = []
        self.error: Exception | None = None
