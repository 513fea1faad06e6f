"""One channel's part of a run: what is asked, what is sent, what became of it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from keelback.channels.base import Delivery, Refusal
from keelback.errors import ConflictError, CredentialRefused, Interrupted, KeelbackError, UsageError
from keelback.repodata import Listed
from keelback.report import INTERRUPTED, ChannelReport, Outcome, Problem, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.base import Channel
    from keelback.report import Reporter
    from keelback.transport import Client

JOBS: Final = 8
"""How many archives are sent at once, unless told otherwise."""

ASKING: Final = 32
"""How many questions are open at once; they are small."""

_TICK: Final = 0.5
"""How long a wait lasts at most, in seconds: on Windows, Ctrl-C waits for its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is done; see :func:`keelback.publish`.

    Attributes:
        patience: how long to look, in seconds, whether a file that the server says it has is the one that was just sent
            to it, where its index lags behind.
    """

    force: bool = False
    skip_existing: bool = False
    dry_run: bool = False
    verify: float | None = None
    jobs: int = JOBS
    patience: float = 15.0

    def __post_init__(self) -> None:
        if self.force and self.skip_existing:
            raise UsageError("force and skip-existing contradict each other", hint="choose one of them")
        if self.jobs < 1:
            raise UsageError("jobs is at least 1")


class Run:
    """One channel's part of a run.

    Args:
        channel: opened.
        archives: hashed.
        options: how.
        client: the channel's, to be stopped on Ctrl-C.
        reporter: who is told.
    """

    def __init__(
        self,
        channel: Channel,
        archives: Sequence[PackageArchive],
        options: Options,
        client: Client,
        reporter: Reporter,
    ) -> None:
        self._channel = channel
        self._archives = archives
        self._options = options
        self._client = client
        self._reporter = reporter
        self._refused: CredentialRefused | None = None
        self._found: dict[str, Listed | None] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._stop = threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether the user has stopped it."""
        return self._stop.is_set()

    def carry_out(self) -> ChannelReport:
        """Do it; what failed is in the report."""
        self._reporter.channel(self._channel.url, self._archives)
        problem: Problem | None = None
        try:
            try:
                self._deliver_all()
                if not self._options.dry_run and not self.stopped:
                    self._finish()
                    self._verify()
            finally:
                self._channel.close()
        except CredentialRefused as error:
            self._refused = error
        except KeelbackError as error:
            problem = Problem.of(error)
        except KeyboardInterrupt:
            self._end()
        if self.stopped:
            problem = INTERRUPTED
        elif self._refused is not None:
            problem = Problem.of(self._refused)
        return self.report(problem or INTERRUPTED, problem)

    def report(self, why: Problem, problem: Problem | None = None) -> ChannelReport:
        """The report, where whatever has no outcome was not attempted because of *why*."""
        why = replace(why, code="not-attempted")
        outcomes = [
            self._outcomes.get(archive.relative_path) or outcome_of(archive, Status.NOT_ATTEMPTED, error=why)
            for archive in self._archives
        ]
        return ChannelReport(self._channel.url, outcomes, problem)

    # --- side by side -----------------------------------------------------------------------------------------------

    def _deliver_all(self) -> None:
        if self._options.dry_run:
            self._channel.check_credential()
        else:
            self._channel.begin(self._archives)
        self._on_threads(self._ask, [archive for archive in self._archives if self._asks(archive)], ASKING)
        self._on_threads(self._deliver, self._archives, self._options.jobs)

    def _on_threads(
        self, work: Callable[[PackageArchive], None], archives: Sequence[PackageArchive], most: int
    ) -> None:
        """Do *work* for each archive, *most* at once, until the credential is refused or the user stops it."""
        if not archives or self._ended:
            return
        with ThreadPoolExecutor(min(most, len(archives)), thread_name_prefix="upload") as pool:
            pending: set[Future[None]] = {pool.submit(self._unless_ended, work, archive) for archive in archives}
            try:
                while pending:
                    done, pending = wait(pending, timeout=_TICK)
                    for future in done:
                        future.result()
            except KeyboardInterrupt:
                self._end()

    @property
    def _ended(self) -> bool:
        return self._refused is not None or self.stopped

    def _unless_ended(self, work: Callable[[PackageArchive], None], archive: PackageArchive) -> None:
        if not self._ended:
            work(archive)

    def _end(self) -> None:
        """The user wants it to end: begin nothing more, and break off what is under way."""
        self._stop.set()
        self._client.stop()

    # --- one archive ------------------------------------------------------------------------------------------------

    def _asks(self, archive: PackageArchive) -> bool:
        return self._options.dry_run or self._options.force or self._channel.asks_first(archive)

    def _ask(self, archive: PackageArchive) -> None:
        """Find what the channel has, and announce what it has not; an archive for which that fails has its outcome."""
        try:
            there = self._found[archive.relative_path] = self._channel.find(archive)
            if not self._options.dry_run and not self._stays(archive, there):
                self._channel.announce(archive)
        except KeelbackError as error:
            fatal = isinstance(error, CredentialRefused | Interrupted)
            if fatal or self._options.dry_run or not self._channel.find_may_fail:
                self._settle(self._failure(archive, error))
            else:
                self._reporter.note(f"{archive.filename}: sent without knowing what the channel has: {error}")

    def _deliver(self, archive: PackageArchive) -> None:
        if archive.relative_path in self._outcomes:
            return
        began = time.monotonic()
        try:
            outcome = self._decide(archive)
        except KeelbackError as error:
            outcome = self._failure(archive, error)
        self._settle(replace(outcome, seconds=time.monotonic() - began))

    def _failure(self, archive: PackageArchive, error: KeelbackError) -> Outcome:
        if isinstance(error, CredentialRefused):
            self._refused = error
        return outcome_of(archive, Status.FAILED, attempts=error.attempts, error=Problem.of(error))

    def _settle(self, outcome: Outcome) -> None:
        self._outcomes[outcome.relative_path] = outcome
        self._reporter.finished(outcome)

    def _decide(self, archive: PackageArchive) -> Outcome:
        """Send *archive*, unless the channel has something of that name that is to stay."""
        there = self._found.get(archive.relative_path)
        if archive.relative_path not in self._found and not self._options.dry_run:
            self._channel.announce(archive)
        if there is not None and self._stays(archive, there):
            return self._compare(archive, there)
        status = Status.UPLOADED if there is None else Status.REPLACED
        if self._options.dry_run:
            return self._there(archive, status)
        delivery = Delivery(archive, self._reporter, self._stop)
        try:
            attempts = self._channel.send(archive, overwrite=self._options.force, delivery=delivery)
        except Refusal as refusal:
            return self._after_refusal(archive, refusal)
        return self._there(archive, status, attempts)

    def _there(self, archive: PackageArchive, status: Status, attempts: int = 0) -> Outcome:
        return outcome_of(archive, status, url=self._channel.url_of(archive), attempts=attempts)

    def _stays(self, archive: PackageArchive, there: Listed | None) -> bool:
        """Whether what the channel has under the name of *archive* is kept."""
        return there is not None and (not self._options.force or there.same_bytes(archive) is True)

    def _after_refusal(self, archive: PackageArchive, refusal: Refusal) -> Outcome:
        """The server has a file of that name: the same one? Perhaps an answer got lost, and it is the one just sent."""
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
            return self._there(archive, Status.IDENTICAL, attempts)
        if self._options.skip_existing:
            return self._there(archive, Status.SKIPPED, attempts)
        other = "with other bytes" if same is False else "and does not say whether with the same bytes"
        conflict = ConflictError(
            f"{self._channel.url} has {archive.relative_path} already, {other}",
            hint="raise the build number; or keep theirs with --skip-existing, or replace it with --force",
        )
        return outcome_of(archive, Status.FAILED, attempts=attempts, error=Problem.of(conflict))

    def _look(self, archive: PackageArchive, *, patient: bool) -> Listed:
        """What the server has, as far as it says so; with *patient*, its index may lag behind for a while."""
        deadline = time.monotonic() + (self._options.patience if patient else 0)
        pause = 0.0
        try:
            while (found := self._channel.find(archive)) is None:
                if pause and time.monotonic() + pause > deadline:
                    return Listed()
                self._rest(pause)
                pause = min(pause * 2, 4.0) or 0.25
                self._channel.refresh()
        except (CredentialRefused, Interrupted):
            raise
        except KeelbackError as error:
            self._reporter.note(f"{archive.filename}: what the channel has could not be read: {error}")
            return Listed()
        return found

    def _rest(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Interrupted("stopped before it was known whether it arrived")

    def _finish(self) -> None:
        """Let the channel finish; where it cannot, nothing that was sent has really arrived for its readers."""
        try:
            self._channel.finish()
        except KeelbackError as error:
            for path, outcome in self._outcomes.items():
                if outcome.status in (Status.UPLOADED, Status.REPLACED):
                    self._outcomes[path] = replace(outcome, status=Status.FAILED, error=Problem.of(error))
            raise

    # --- verifying --------------------------------------------------------------------------------------------------

    def _verify(self) -> None:
        """Wait until the channel's own index serves what it is said to have, or the deadline passes."""
        if self._options.verify is None:
            return
        arrived = {Status.UPLOADED, Status.IDENTICAL, Status.REPLACED}
        waiting = [
            archive
            for archive in self._archives
            if (outcome := self._outcomes.get(archive.relative_path)) is not None and outcome.status in arrived
        ]
        deadline = time.monotonic() + self._options.verify
        pause = 0.25
        while waiting:
            self._channel.refresh()
            self._on_threads(self._look_whether_visible, waiting, ASKING)
            waiting = [archive for archive in waiting if not self._outcomes[archive.relative_path].visible]
            if time.monotonic() + pause > deadline or (waiting and self._stop.wait(pause)):
                break
            pause = min(pause * 2, 10.0)
        for archive in waiting:
            self._mark(archive, visible=False)

    def _look_whether_visible(self, archive: PackageArchive) -> None:
        try:
            listed = self._channel.listed(archive)
        except KeelbackError as error:
            self._reporter.note(f"{archive.filename}: the index could not be read: {error}")
            return
        if listed is not None and listed.same_bytes(archive):
            self._mark(archive, visible=True)

    def _mark(self, archive: PackageArchive, *, visible: bool) -> None:
        outcome = self._outcomes[archive.relative_path]
        self._outcomes[archive.relative_path] = replace(outcome, visible=visible)


def outcome_of(
    archive: PackageArchive,
    status: Status,
    *,
    hashed: bool = True,
    url: str | None = None,
    attempts: int = 0,
    error: Problem | None = None,
) -> Outcome:
    """The outcome *status* of *archive*; with *hashed* false, without a hash that nobody has computed yet."""
    return Outcome(
        file=archive.path,
        name=archive.name,
        version=archive.version,
        build=archive.build,
        subdir=archive.subdir,
        size=archive.size,
        sha256=archive.sha256 if hashed else None,
        status=status,
        url=url,
        attempts=attempts,
        error=error,
    )
