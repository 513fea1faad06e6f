"""Work on many archives side by side, which Ctrl-C ends in order."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from keelback.stopping import start_afresh, stop_everything

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.transport import Client

T = TypeVar("T")

_TICK: Final = 0.5
"""How long the main thread waits at a time, in seconds: on Windows, Ctrl-C waits for its end."""


class Workers:
    """Does work on threads of its own, because Ctrl-C may strike the main one between any two instructions.

    Args:
        client: whose requests are broken off when the user stops the work.

    Attributes:
        stop: set when the user wants it to end.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.stop = threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether the user has stopped it."""
        return self.stop.is_set()

    def carry_out(self, work: Callable[[], T]) -> T:
        """Do *work*, wait for its end, and return or raise what it does.

        Ctrl-C sets :attr:`stop`, breaks off what is being sent, and ends what else is waited for, such as helpers and
        locks (:mod:`keelback.stopping`); *work* then has to end by itself.
        """
        result: Future[T] = Future()
        done = threading.Event()  # Thread.join, interrupted, takes a running thread for one that has ended

        begun = threading.Lock()  # whoever gets it says whether the work is done at all

        def work_and_tell() -> None:
            if not begun.acquire(blocking=False):
                return
            try:
                result.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                result.set_exception(error)
            finally:
                done.set()

        interrupted = False
        try:
            threading.Thread(target=work_and_tell, name="run").start()
        except KeyboardInterrupt:
            if begun.acquire(blocking=False):
                raise
            interrupted = True
        while True:
            try:
                if interrupted:  # again and again: it may be interrupted itself, and something may have begun since
                    self._break_off()
                if done.wait(_TICK):
                    break
            except KeyboardInterrupt:
                interrupted = True
        if interrupted:
            start_afresh()
        return result.result()

    def _break_off(self) -> None:
        self.stop.set()
        self._client.stop()
        stop_everything()

    def each(self, work: Callable[[T], None], items: Sequence[T], most: int) -> None:
        """Do *work* for each of *items*, *most* at once; what it raises is raised when all are done."""
        if items:
            with ThreadPoolExecutor(min(most, len(items)), thread_name_prefix="work") as pool:
                futures = [pool.submit(work, item) for item in items]
            for done in futures:  # all of them are: waiting for one at a time would wake this thread for each
                done.result()
