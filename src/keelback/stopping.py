"""Whether the user has stopped this process, for whatever waits on something that nobody else would end.

Ctrl-C reaches the main thread alone. A child process, a lock that somebody else holds or a server that does not answer
would keep the other threads, and with them the process, waiting until their own deadlines.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_stopped: Final = threading.Event()
_callbacks: Final[dict[object, Callable[[], None]]] = {}
_guard: Final = threading.RLock()
"""Ctrl-C may strike the thread that holds it."""


def stopped() -> bool:
    """Whether the user has stopped the run that is under way."""
    return _stopped.is_set()


@contextlib.contextmanager
def on_stop(callback: Callable[[], None]) -> Iterator[None]:
    """Have *callback* called when the user stops the run; at once, where that has happened.

    It is called in another thread, perhaps more than once, and must neither wait nor raise.
    """
    token = object()
    with _guard:
        _callbacks[token] = callback
    try:
        if stopped():
            callback()
        yield
    finally:
        with _guard:
            del _callbacks[token]


def stop_everything() -> None:
    """Say that the user has stopped the run, and end what its threads wait for; calling it again does no harm."""
    _stopped.set()
    with _guard:
        callbacks = list(_callbacks.values())
    for callback in callbacks:
        callback()


def start_afresh() -> None:
    """Say that the run which the user stopped has ended, so that the process can go on to another."""
    _stopped.clear()
