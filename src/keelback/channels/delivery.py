"""One archive on its way into a channel: when it has arrived, and how the channel refuses it."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from keelback.errors import Interrupted

if TYPE_CHECKING:
    import threading

    from keelback.archive import PackageArchive
    from keelback.report import Reporter


class Arrival(Enum):
    """When an archive that was sent to a channel has arrived there.

    Attributes:
        SENT: once it is sent.
        INDEXED: once the channel's ``finish`` has written the index: until then, no reader finds it. Whether it may
            replace another one shows there, too, and is told only then.
        DECIDED: once ``finish`` has shown what the server makes of it, which is told only then.
    """

    SENT = auto()
    INDEXED = auto()
    DECIDED = auto()


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


class NotBegun(Exception):
    """The user has stopped the run before anything of an archive was sent."""


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

    def begin(self) -> None:
        """It is about to be sent; raises :class:`NotBegun` where the run was stopped."""
        if self._stop is not None and self._stop.is_set():
            raise NotBegun

    def sent(self, count: int) -> None:
        """*count* more bytes are sent; raises :class:`~keelback.errors.Interrupted` where the run was stopped."""
        if self._stop is not None and self._stop.is_set():
            raise Interrupted("stopped while it was being sent")
        if not self._begun:
            self._begun = True
            self._reporter.started(self.archive)
        self._reporter.sent(self.archive, count)

    def retried(self, seconds: float, why: str) -> None:
        """The archive is sent again in *seconds*, because of *why*."""
        self._begun = False
        self._reporter.waiting(self.archive, seconds, why)
