"""One archive on its way into a channel, and how the channel refuses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.errors import Interrupted

if TYPE_CHECKING:
    import threading

    from keelback.archive import PackageArchive
    from keelback.report import Reporter


class Refusal(Exception):
    """The channel has a file of that name already, and keeps it.

    Attributes:
        attempts: how often the bytes were sent until the channel said so.
        uncertain: whether one of these attempts may itself have put the file there.
    """

    def __init__(self, attempts: int = 1, *, uncertain: bool = False) -> None:
        super().__init__("the channel has a file of that name")
        self.attempts = attempts
        self.uncertain = uncertain


class Delivery:
    """One archive on its way: what a channel tells about it while it goes out.

    Args:
        archive: what is sent.
        reporter: who is told.
        stop: set when the user has stopped the run.
        attestation: the bundle that goes with it, in JSON; only to channels that take one.
    """

    def __init__(
        self,
        archive: PackageArchive,
        reporter: Reporter,
        stop: threading.Event | None = None,
        attestation: bytes | None = None,
    ) -> None:
        self.archive = archive
        self.attestation = attestation
        self._reporter = reporter
        self._stop = stop
        self._begun = False

    def sent(self, count: int) -> None:
        """*count* more bytes are out; raises :class:`~keelback.errors.Interrupted` where that is enough."""
        if self._stop is not None and self._stop.is_set():
            raise Interrupted("stopped while it was being sent")
        if not self._begun:
            self._begun = True
            self._reporter.started(self.archive)
        self._reporter.sent(self.archive, count)

    def retried(self, seconds: float, why: str) -> None:
        """It is tried again in *seconds*, because of *why*."""
        self._begun = False
        self._reporter.waiting(self.archive, seconds, why)
