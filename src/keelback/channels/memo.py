"""Work that is done once; others who ask meanwhile wait for its result."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class Memo(Generic[T]):
    """Results by key; safe to ask from several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[Hashable, Future[T]] = {}

    def get(self, key: Hashable, work: Callable[[], T]) -> T:
        """The result of *work*, which runs once per *key*; what it raises is raised for all that ask."""
        with self._lock:
            first = key not in self._results
            result = self._results.setdefault(key, Future())
        if first:
            try:
                result.set_result(work())
            except BaseException as error:
                result.set_exception(error)
                raise
        return result.result()

    def forget(self) -> None:
        """Forget all results, so that the work is done again."""
        with self._lock:
            self._results = {}
