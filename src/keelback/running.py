"""One channel's part of a run: many archives side by side, then the index, then whether readers see it all."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from keelback.channels.delivery import Arrival, NotBegun
from keelback.channels.indexable import Indexable
from keelback.delivering import Deliverer
from keelback.errors import RUN_AGAIN, KeelbackError
from keelback.options import ASKING
from keelback.report import INTERRUPTED, ChannelReport, Outcome, Problem, Status
from keelback.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.archive import PackageArchive
    from keelback.attesting import Attestations
    from keelback.channels.base import Channel
    from keelback.delivering import Route
    from keelback.options import Options
    from keelback.report import Reporter
    from keelback.transport import Client

_SENT: Final = frozenset({Status.UPLOADED, Status.REPLACED})
_DECIDED_LATE: Final = {
    Arrival.SENT: frozenset[Status](),
    Arrival.INDEXED: frozenset({Status.REPLACED}),
    Arrival.DECIDED: _SENT,
}
"""What may still fail once it was sent, by when an archive has arrived."""


class Run:
    """One channel's part of a run.

    Args:
        channel: opened.
        archives: hashed.
        options: how.
        client: the channel's, to be stopped on Ctrl-C.
        reporter: who is told.
        attestations: what goes with the archives, where they are attested.
        route: how they get there; by default, the channel's own. Where it is given, each archive is asked for right
            before it is sent, so that nothing is waited for twice.
        known: what became of some of them before.
    """

    def __init__(
        self,
        channel: Channel,
        archives: Sequence[PackageArchive],
        options: Options,
        client: Client,
        reporter: Reporter,
        attestations: Attestations | None = None,
        *,
        route: Route | None = None,
        known: Sequence[Outcome] = (),
    ) -> None:
        self._channel = channel
        self._archives = archives
        self._options = options
        self._reporter = reporter
        self._outcomes: dict[str, Outcome] = {}
        self._problem: Problem | None = None
        self._is_finished = False
        self._listed: set[str] = set()
        self._untold: set[str] = set()
        self._workers = Workers(client)
        self._deliverer = Deliverer(channel, options, reporter, self._workers.stop, attestations, route)
        self._asks_late = route is not None
        self._known = known

    @property
    def stopped(self) -> bool:
        """Whether the user has stopped it."""
        return self._workers.stopped

    def carry_out(self) -> ChannelReport:
        """Run; failures are in the report, not raised."""
        self._reporter.channel(self._channel.url, self._archives)
        for outcome in self._known:
            self._settle(outcome)
        self._workers.carry_out(self._work)
        problem = self._problem
        if self.stopped:
            problem = INTERRUPTED
        elif self._deliverer.refused is not None:
            problem = Problem.of(self._deliverer.refused)
        if problem is not None:
            problem = self._take_back(problem)
        self._workers.carry_out(self._tell_rest)  # where Ctrl-C strikes nothing
        return self.report(problem or INTERRUPTED, problem)

    def _work(self) -> None:
        try:
            try:
                self._deliver_all()
                self._finish()
                self._verify()
            finally:
                self._channel.close()
        except KeelbackError as error:
            self._problem = Problem.of(error)
        except Exception as error:  # noqa: BLE001 - what arrived has to be told, whatever went wrong
            self._problem = Problem.of_bug(error)
        if self._problem is not None and not self._is_finished and self._channel.arrival is not Arrival.SENT:
            self._see_what_is_listed()

    def report(self, why: Problem, problem: Problem | None = None) -> ChannelReport:
        """The report, where whatever has no outcome was not attempted because of *why*."""
        why = replace(why, code="not-attempted")
        outcomes = [
            self._outcomes.get(archive.relative_path) or Outcome.of(archive, Status.NOT_ATTEMPTED, error=why)
            for archive in self._archives
        ]
        return ChannelReport(self._channel.url, outcomes, problem)

    # --- side by side -----------------------------------------------------------------------------------------------

    def _deliver_all(self) -> None:
        self._channel.examine(self._archives)
        if self._options.dry_run:
            self._channel.check_credential()
        else:
            self._channel.begin(self._archives)
        if not self._asks_late:
            asked = [archive for archive in self._archives if self._deliverer.asks_first(archive)]
            self._on_threads(self._ask, asked, ASKING)
        self._on_threads(self._deliver, self._archives, self._options.jobs)

    def _ask(self, archive: PackageArchive) -> None:
        outcome = self._deliverer.ask(archive)
        if outcome is not None:
            self._settle(outcome)

    def _deliver(self, archive: PackageArchive) -> None:
        if archive.relative_path in self._outcomes:
            return
        outcome = self._deliverer.ask(archive) if self._asks_late else None
        self._settle(outcome or self._deliverer.deliver(archive))

    def _settle(self, outcome: Outcome) -> None:
        self._outcomes[outcome.relative_path] = outcome
        if self._may_change(outcome):
            self._untold.add(outcome.relative_path)
        else:
            self._untold.discard(outcome.relative_path)
            self._reporter.finished(outcome)

    def _may_change(self, outcome: Outcome) -> bool:
        """Whether the channel has yet to say what becomes of an archive that it took, which is then told once."""
        is_over = self._is_finished or self._options.dry_run
        return outcome.status in _DECIDED_LATE[self._channel.arrival] and not is_over

    def _tell_rest(self) -> None:
        """Tell what was not told yet, because it could have changed, and what has changed since it was told."""
        for path in sorted(self._untold):
            self._reporter.finished(self._outcomes[path])
        self._untold.clear()

    def _on_threads(
        self, work: Callable[[PackageArchive], None], archives: Sequence[PackageArchive], most: int
    ) -> None:
        """Do *work* for each archive, *most* at once, until the credential is refused or the user stops it."""
        self._workers.each(partial(self._unless_ended, work), archives, most)

    @property
    def _ended(self) -> bool:
        return self._deliverer.refused is not None or self.stopped

    def _unless_ended(self, work: Callable[[PackageArchive], None], archive: PackageArchive) -> None:
        if not self._ended:
            with suppress(NotBegun):
                work(archive)

    # --- afterwards -------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Let the channel finish, unless the user stopped the run: readers are not to see half of it."""
        if self.stopped:
            return
        if self._options.dry_run:
            would_be_sent = [archive for archive in self._archives if self._has_status(archive, _SENT)]
            for line in self._channel.foreseen(would_be_sent):
                self._reporter.note(line)
            return
        self._channel.finish()
        self._is_finished = True
        self._tell_rejected()
        self._tell_rest()

    def _tell_rejected(self) -> None:
        """What the server has taken, and found wanting since, has failed."""
        for path, error in self._channel.rejected().items():
            if self._outcomes[path].status is not Status.FAILED:
                self._settle(replace(self._outcomes[path], status=Status.FAILED, error=Problem.of(error)))

    def _see_what_is_listed(self) -> None:
        """Find which of the archives that were there already have been in the index before this run, too."""
        there = [archive for archive in self._archives if self._has_status(archive, frozenset({Status.IDENTICAL}))]
        self._channel.refresh()
        self._on_threads(self._see_whether_listed, there, ASKING)

    def _see_whether_listed(self, archive: PackageArchive) -> None:
        try:
            listed = self._channel.listed(archive)
        except Exception:  # noqa: BLE001 - whatever it is, the archive is not known to be there
            return
        if listed is not None and listed.same_bytes(archive):
            self._listed.add(archive.relative_path)

    def _take_back(self, problem: Problem) -> Problem:
        """What a channel has that did not get as far as its index has not arrived for its readers: *problem* is why.

        After Ctrl-C, when nothing can be asked any more, what was there already is believed to be in the index.

        Returns:
            The problem, with what to do about that.
        """
        if self._is_finished or self._channel.arrival is Arrival.SENT:
            return problem
        taken_back = _SENT if self.stopped or self._options.dry_run else _SENT | {Status.IDENTICAL}
        lost = [
            outcome
            for path, outcome in self._outcomes.items()
            if outcome.status in taken_back and path not in self._listed
        ]
        if lost and "again" not in problem.hint:
            problem = replace(problem, hint=f"{problem.hint} {RUN_AGAIN}".lstrip())
        for outcome in lost:
            failed = replace(outcome, status=Status.FAILED, error=problem)
            self._outcomes[failed.relative_path] = failed
            self._untold.add(failed.relative_path)
        return problem

    def _verify(self) -> None:
        """Wait until the channel's own index serves what it is said to have, or the deadline passes."""
        if self._options.verify is None or self._options.dry_run or self.stopped:
            return
        deadline = time.monotonic() + self._options.verify
        pause = 0.25
        while waiting := list(filter(self._is_awaited, self._archives)):
            self._channel.refresh()
            self._on_threads(self._look_whether_visible, waiting, ASKING)
            self._tell_rejected()
            if not any(map(self._is_awaited, waiting)):
                break
            if time.monotonic() + pause > deadline or self._workers.stop.wait(pause):
                break
            pause = min(pause * 2, 10.0)
        for archive in filter(self._is_awaited, self._archives):
            self._mark(archive, visible=False)

    def _is_awaited(self, archive: PackageArchive) -> bool:
        if not self._has_status(archive, _SENT | {Status.IDENTICAL}):
            return False
        is_left_out = isinstance(self._channel, Indexable) and self._channel.leaves_out(archive)
        return not is_left_out and not self._outcomes[archive.relative_path].visible

    def _has_status(self, archive: PackageArchive, statuses: frozenset[Status]) -> bool:
        outcome = self._outcomes.get(archive.relative_path)
        return outcome is not None and outcome.status in statuses

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
