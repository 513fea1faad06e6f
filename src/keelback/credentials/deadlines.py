"""Questions whose answer is not waited for without end."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Final, TypeVar

from keelback.errors import Interrupted
from keelback.stopping import on_stop, stopped

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

_GRACE: Final = 1.0
"""Seconds that an answer still has when the user stops the run: some, such as new tokens, are lost if nobody takes
them."""


class DeadlinePassed(Exception):
    """No answer came in time."""


def within(seconds: float, ask: Callable[[], _T], name: str) -> _T:
    """What *ask* returns, or raises, within so many *seconds*.

    It is called in a thread of its own, called *name*, which nothing can end: it goes on where no answer came, and does
    not keep the interpreter from ending.

    Raises:
        DeadlinePassed: it takes longer.
        Interrupted: the user has stopped the run.
    """
    answer: Future[_T] = Future()
    over = threading.Event()

    def ask_and_tell() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is taken
            answer.set_exception(error)
        finally:
            over.set()

    threading.Thread(target=ask_and_tell, name=name, daemon=True).start()
    with on_stop(over.set):
        over.wait(seconds)
    if stopped() and not wait([answer], _GRACE).done:
        raise Interrupted("stopped while an answer was waited for")
    if not answer.done():
        raise DeadlinePassed
    return answer.result()
