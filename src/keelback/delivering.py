"""What becomes of one archive: is it there already, is it sent, and was that a success."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from keelback.channels.delivery import Delivery, NotBegun, Refusal
from keelback.errors import ConflictError, CredentialRefused, ExchangeError, IdentityError, Interrupted, KeelbackError
from keelback.listing import Listed
from keelback.report import Outcome, Problem, Status

if TYPE_CHECKING:
    import threading

    from keelback.archive import PackageArchive
    from keelback.attesting import Attestations
    from keelback.channels.base import Channel
    from keelback.errors import CredentialError
    from keelback.options import Options
    from keelback.report import Reporter

logger = logging.getLogger(__name__)

_PATIENCE: Final = 15.0
"""Seconds to wait for a lagging index to show whether the file that is there is ours."""


class Route(Protocol):
    """How archives get into a channel: as the methods of :class:`~keelback.channels.base.Channel` of the same names."""

    def find(self, archive: PackageArchive) -> Listed | None:
        """What the channel has under the name of *archive*."""

    def announce(self, archive: PackageArchive) -> None:
        """Do what has to be done before *archive* is sent."""

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """Put *archive* into the channel."""


class Deliverer:
    """Takes archives to one channel; safe to use from several threads at once.

    Args:
        channel: opened.
        options: what to do about conflicts.
        reporter: who is told.
        stop: set when the user wants the run to end.
        attestations: what goes with the archives, where they are attested.
        route: how they get there; by default, the channel's own.

    Attributes:
        refused: the error with which the server refused the credential; with that, nothing more need be tried.
    """

    def __init__(
        self,
        channel: Channel,
        options: Options,
        reporter: Reporter,
        stop: threading.Event,
        attestations: Attestations | None = None,
        route: Route | None = None,
    ) -> None:
        self._channel = channel
        self._route = route or channel
        self._options = options
        self._reporter = reporter
        self._stop = stop
        self._attestations = attestations
        self._found: dict[str, Listed | None] = {}
        self.refused: CredentialError | None = None

    def asks_first(self, archive: PackageArchive) -> bool:
        """Whether :meth:`ask` is to be called for *archive*.

        Each attestation is in a public log for ever: none is made for what the channel has already.
        """
        attests = self._attestations is not None
        return attests or self._options.dry_run or self._options.force or self._channel.asks_first(archive)

    def ask(self, archive: PackageArchive) -> Outcome | None:
        """Find what the channel has, and announce what it has not; an outcome where the archive gets no further.

        Raises:
            NotBegun: the user has stopped the run.
        """
        try:
            there = self._found[archive.relative_path] = self._route.find(archive)
            if not self._options.dry_run and not self._stays(archive, there):
                self._route.announce(archive)
        except Interrupted:
            raise NotBegun from None
        except KeelbackError as error:
            if self._options.dry_run or self._options.force or self._channel.overwrites:
                return self._failure(archive, error)
            if isinstance(error, CredentialRefused) and (refused := self._refused_for_all()) is not None:
                return self._failure(archive, refused)
            # the server itself refuses a file of a name that it has: nothing is lost by going on
            self._reporter.note(f"{archive.filename}: sent without knowing what the channel has: {error}")
        except Exception as error:  # noqa: BLE001 - one archive that goes wrong must not take the others with it
            return self._mistake(archive, error)
        return None

    def _refused_for_all(self) -> KeelbackError | None:
        """Why the server refuses the credential for whatever it is used for; some take it for uploads alone."""
        try:
            self._channel.check_credential()
        except CredentialRefused as error:
            return error
        except KeelbackError:
            return None
        return None

    def deliver(self, archive: PackageArchive) -> Outcome:
        """Send *archive*, unless the channel has something of that name that is to stay; raises as :meth:`ask`."""
        began = time.monotonic()
        try:
            outcome = self._decide(archive)
        except NotBegun:
            raise
        except KeelbackError as error:
            outcome = self._failure(archive, error)
        except Exception as error:  # noqa: BLE001 - see ask
            outcome = self._mistake(archive, error)
        return replace(outcome, seconds=time.monotonic() - began)

    def _decide(self, archive: PackageArchive) -> Outcome:
        there = self._found.get(archive.relative_path)
        if there is not None and self._stays(archive, there):
            return self._compare(archive, there)
        status = Status.UPLOADED if there is None else Status.REPLACED
        if self._options.dry_run:
            return self._there(archive, status)
        if archive.relative_path not in self._found:
            self._route.announce(archive)
        attestation = None if self._attestations is None else self._attestations.of(archive)
        attached = attestation.bundle if attestation is not None and self._channel.takes_attestations else None
        delivery = Delivery(archive, self._reporter, self._stop, attached)
        try:
            attempts = self._route.send(archive, overwrite=self._options.force, delivery=delivery)
        except Refusal as refusal:
            return self._after_refusal(archive, refusal)
        return replace(
            self._there(archive, status, attempts), attested_by=None if attestation is None else attestation.identity
        )

    def _stays(self, archive: PackageArchive, there: Listed | None) -> bool:
        """Whether what the channel has under the name of *archive* is kept."""
        return there is not None and (not self._options.force or there.same_bytes(archive) is True)

    def _after_refusal(self, archive: PackageArchive, refusal: Refusal) -> Outcome:
        """Compare hashes after a conflict; after an uncertain attempt, a match is our own upload."""
        there = self._look(archive, patient=refusal.uncertain)
        if refusal.uncertain and there.same_bytes(archive):
            return self._there(archive, Status.UPLOADED, refusal.attempts)
        return self._compare(archive, there, refusal.attempts)

    def _compare(self, archive: PackageArchive, there: Listed, attempts: int = 0) -> Outcome:
        """The outcome for an archive where the channel keeps what it has under that name."""
        same = there.same_bytes(archive)
        if same:
            if not self._options.dry_run:
                self._channel.keep(archive)
            if self._attestations is not None:
                self._reporter.note(
                    f"{archive.filename}: the channel has it already, so that it was neither sent nor attested again"
                )
            return self._there(archive, Status.IDENTICAL, attempts)
        if self._options.skip_existing:
            return self._there(archive, Status.SKIPPED, attempts)
        other = "with other bytes" if same is False else "and does not say whether with the same bytes"
        conflict = ConflictError(
            f"{self._channel.url} has {archive.relative_path} already, {other}",
            hint="Raise the build number; or keep theirs with --skip-existing, or replace it with --force.",
        )
        return Outcome.of(archive, Status.FAILED, attempts=attempts, error=Problem.of(conflict))

    def _look(self, archive: PackageArchive, *, patient: bool) -> Listed:
        """What the server has, as far as it says so; with *patient*, its index may lag behind for a while."""
        deadline = time.monotonic() + (_PATIENCE if patient else 0)
        pause = 0.0
        try:
            while (found := self._route.find(archive)) is None:
                if pause and time.monotonic() + pause > deadline:
                    return Listed()
                self._rest(pause)
                pause = min(pause * 2, 4.0) or 0.25
                self._channel.refresh()
        except Interrupted:
            raise
        except KeelbackError as error:  # a credential refused here, too: the server took it a moment ago
            self._reporter.note(f"{archive.filename}: what the channel has could not be read: {error}")
            return Listed()
        return found

    def _rest(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Interrupted("stopped before it was known whether it arrived")

    def _there(self, archive: PackageArchive, status: Status, attempts: int = 0) -> Outcome:
        return Outcome.of(archive, status, url=self._channel.url_of(archive), attempts=attempts)

    def _failure(self, archive: PackageArchive, error: KeelbackError) -> Outcome:
        if isinstance(error, CredentialRefused | IdentityError | ExchangeError):
            self.refused = error
        return Outcome.of(archive, Status.FAILED, attempts=error.attempts, error=Problem.of(error))

    def _mistake(self, archive: PackageArchive, error: Exception) -> Outcome:
        logger.debug("%s", archive.filename, exc_info=error)
        return Outcome.of(archive, Status.FAILED, attempts=1, error=Problem.of_bug(error))
