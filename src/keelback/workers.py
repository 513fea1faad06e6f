"""Work on many archives side by side, which Ctrl-C ends in order."""

from __future__ import annotations

import contextlib
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, TypeVar

from keelback.stopping import start_afresh, stop_everything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from keelback.transport import Client

T = TypeVar("T")

_TICK: Final = 0.2
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
        told: SimpleQueue[bool] = SimpleQueue()  # into which a handler of signals, too, may put something at any moment

        def work_and_tell() -> None:
            try:
                result.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                result.set_exception(error)
            finally:
                told.put(True)

        with _interrupts(lambda: told.put(False)):
            threading.Thread(target=work_and_tell, name="run").start()
            while not self._is_done(told):
                self._break_off()  # again and again: something may have begun since
            if self.stopped:
                start_afresh()
        return result.result()

    def _is_done(self, told: SimpleQueue[bool]) -> bool:
        """Wait for the end, which is told as true, or for Ctrl-C; where that has come already, for a moment."""
        while True:
            try:
                return told.get(timeout=_TICK)
            except Empty:
                if self.stopped:
                    return False

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


@contextlib.contextmanager
def _interrupts(pressed: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C, and a signal that stands for it, call *pressed*, which may be at any moment.

    As an exception it could strike anywhere, also where an earlier one is being dealt with. A handler that does not
    raise ``KeyboardInterrupt`` does what it always does.
    """

    def calling(handler: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except KeyboardInterrupt:
                pressed()

        return handle

    with contextlib.ExitStack() as until_done:
        if threading.current_thread() is threading.main_thread():  # no other has signals
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):
                    until_done.callback(signal.signal, number, handler)
                    signal.signal(number, calling(handler))
        yield
