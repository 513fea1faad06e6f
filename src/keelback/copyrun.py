"""One run of a copy, from the question to the report."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from keelback.channels.indexable import Indexable
from keelback.channels.indexfiles import IndexFiles
from keelback.channels.naming import is_same_channel
from keelback.channels.relay.records import read_records, unpatched
from keelback.channels.relay.relay import Relay
from keelback.channels.relay.sides import sides_for
from keelback.channels.relay.supply import Supply
from keelback.channels.target import path_of
from keelback.errors import RUN_AGAIN, Interrupted, KeelbackError, UsageError
from keelback.options import ASKING
from keelback.report import ChannelReport, Outcome, Problem, Report, Status
from keelback.resolving import resolve
from keelback.running import Run
from keelback.secret import redact
from keelback.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.base import Channel
    from keelback.channels.reader import Reader
    from keelback.channels.relay.servercopy import ServerCopy
    from keelback.channels.relay.sides import Side
    from keelback.channels.session import Session
    from keelback.errors import ChannelError
    from keelback.indexed import IndexedArchive
    from keelback.options import Options
    from keelback.repodata import Record
    from keelback.report import Reporter
    from keelback.requiring import Requirement
    from keelback.resolving import Question
    from keelback.transport import Client

_AHEAD: Final = 3
"""For each archive that is sent, how many are under way: the others are asked for, and the first block of each read."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What is to be copied, and how it is read.

    Attributes:
        source: where.
        archives: what is to be copied, in order.
        supply: from each of them to what can be sent.
        server_copy: has the server copy them, where it can.
    """

    source: Side
    archives: Sequence[IndexedArchive]
    supply: Supply
    server_copy: ServerCopy | None


class CopyRun:
    """One run of a copy, from the question to the report.

    Args:
        source: the channel to copy from, as a person writes it.
        channel: the one to copy to.
        options: how.
        question: what is asked of *source*.
        others: more channels, for dependencies; nothing is copied from them.
        indexes: the folder that keeps indexes between runs.
        requirement: what every archive has to have.
        reporter: who is told.

    Attributes:
        channel: see above.
    """

    def __init__(
        self,
        source: str,
        channel: Channel,
        options: Options,
        question: Question,
        *,
        others: Sequence[str],
        indexes: Path,
        requirement: Requirement | None,
        reporter: Reporter,
    ) -> None:
        self.channel = channel
        self._source = source
        self._options = options
        self._question = question
        self._others = others
        self._indexes = indexes
        self._requirement = requirement
        self._reporter = reporter
        self._attested_by: dict[str, str] = {}

    @property
    def connections(self) -> int:
        """How many a client needs, so that whoever holds one to read can always get another to send."""
        return ASKING + (1 + _AHEAD) * self._options.jobs

    def carry_out(self, session: Session) -> Report:
        """Find what there is to copy, and copy it; failures of archives are in the report, not raised.

        Args:
            session: of the target.

        Raises:
            UsageError: no such channel, spec or subdir; or both channels are the same.
            Interrupted: stopped before anything was copied.
            KeelbackError: one of the channels cannot be read, or not be written.
        """
        workers = Workers(session.client)
        with tempfile.TemporaryDirectory(prefix="keelback-") as workdir:
            found = workers.carry_out(lambda: self._find(session, Path(workdir)))
            ready, failed = workers.carry_out(lambda: self._prepare(found, workers))
            if workers.stopped:
                raise Interrupted("stopped before anything was copied", hint=RUN_AGAIN)
            report = self._send(found, ready, failed, session.client)
        return Report([self._in_order(report, failed, found)], self._options.dry_run)

    # --- what there is ----------------------------------------------------------------------------------------------

    def _find(self, session: Session, workdir: Path) -> _Found:
        if self._requirement is not None:
            self._requirement.prepare(self._reporter.note)
        sides = sides_for([self._source, *self._others], session)
        server_copy = self.channel.server_copy(sides[0].channel)
        reader, *others = [side.reader for side in sides]
        self._refuse_same(reader, session)
        self.channel.open(session)
        files = IndexFiles(self._indexes)
        subdirs = {}
        if self._question.everywhere:
            subdirs = {side.reader: there for side in sides if (there := side.subdirs) is not None}
        archives = [
            archive
            for archive in resolve([reader, *others], self._question, files, workdir, subdirs)
            if not any(other.has(archive.url) for other in others) or reader.has(archive.url)
        ]
        if not archives and not self._question.specs:
            where = f" in {' or '.join(self._question.subdirs)}" if self._question.subdirs else ""
            self._reporter.note(f"{redact(reader.name)} lists no packages{where}")
        supply = Supply(
            reader,
            self._records(sides[0], archives, files, workdir),
            workdir,
            needs_md5=self.channel.needs_md5,
            trusts_index=self._requirement is None,
            reporter=self._reporter,
        )
        return _Found(sides[0], archives, supply, server_copy)

    def _records(
        self, source: Side, archives: Sequence[IndexedArchive], files: IndexFiles, workdir: Path
    ) -> Mapping[str, Record | ChannelError]:
        """What is said of each archive; what *source* has patched goes along as a patch, if the target keeps any."""
        reader = source.reader
        records = read_records(reader, archives, files, workdir)
        if not isinstance(source.channel, Indexable):
            return records
        records, patches = unpatched(reader, archives, records, files)
        if isinstance(self.channel, Indexable):
            self.channel.take_patches(patches)
        elif patches:
            count = sum(len(patch.names()) for patch in patches.values())
            self._reporter.note(
                f"{count} of the records are patched in {reader.name}: {self.channel.url} gets what the packages say"
            )
        return records

    def _refuse_same(self, reader: Reader, session: Session) -> None:
        reading = self.channel.reading_access(session)
        source = {self._source, reader.url, reader.name}
        target = {self.channel.url, self.channel.reading_url, *([] if reading is None else [reading[0]])}
        if any(is_same_channel(_real(one), _real(other)) for one in source for other in target):
            raise UsageError(
                f"{redact(self._source)} and {self.channel.url} are the same channel", hint="Name another to copy to."
            )

    # --- from the index to what can be sent -------------------------------------------------------------------------

    def _prepare(self, found: _Found, workers: Workers) -> tuple[list[PackageArchive], dict[str, Outcome]]:
        """What can be sent; and the outcomes of what cannot, by relative path."""
        ready: dict[str, PackageArchive] = {}
        failed: dict[str, Outcome] = {}

        def work(archive: IndexedArchive) -> None:
            try:
                if not workers.stopped:
                    ready[archive.relative_path] = self._archive(found, archive)
            except KeelbackError as error:
                failed[archive.relative_path] = _failed(archive, error)

        workers.each(work, found.archives, ASKING)
        return [ready[path] for path in (each.relative_path for each in found.archives) if path in ready], failed

    def _archive(self, found: _Found, archive: IndexedArchive) -> PackageArchive:
        if self._requirement is not None:
            attested = self._requirement.attested(archive, found.source.reader, archive.sha256)
            archive = replace(archive, sha256=attested.statement.sha256)
            self._attested_by[archive.relative_path] = attested.identity
        return found.supply.archive(archive)

    # --- the run itself ---------------------------------------------------------------------------------------------

    def _send(
        self, found: _Found, ready: Sequence[PackageArchive], failed: dict[str, Outcome], client: Client
    ) -> ChannelReport:
        if not ready:
            self.channel.close()
            self._reporter.channel(self.channel.url, ())
            for outcome in failed.values():
                self._reporter.finished(outcome)
            return ChannelReport(self.channel.url)
        relay = Relay(
            self.channel,
            found.supply,
            at_once=self._options.jobs,
            needs_file=self.channel.needs_file or (self._requirement is not None and self._writes_records),
            attestations=self._attestations(found),
            server_copy=found.server_copy,
            reporter=self._reporter,
        )
        options = replace(self._options, jobs=self._options.jobs * _AHEAD)
        known = tuple(failed.values())
        return Run(self.channel, ready, options, client, self._reporter, route=relay, known=known).carry_out()

    @property
    def _writes_records(self) -> bool:
        """Whether what the target's index says is written here, so that it has to be what the packages say."""
        return isinstance(self.channel, Indexable)

    def _attestations(self, found: _Found) -> Literal["pinned", "all"] | None:
        """Which attestations go along: to channels that keep whatever is beside an archive."""
        channel = found.source.channel
        unnamed = channel is not None and channel.serves_attestations
        if not self.channel.takes_attestations:
            return None
        if isinstance(self.channel, Indexable):
            return "all" if unnamed else "pinned"
        if unnamed or any(archive.attestations_sha256 for archive in found.archives):
            self._reporter.note(
                f"attestations do not go along: {self.channel.url} takes only those that name it as their channel"
            )
        return None

    def _in_order(self, report: ChannelReport, failed: dict[str, Outcome], found: _Found) -> ChannelReport:
        """*report* with everything that was to be copied, each with its source."""
        outcomes = failed | {outcome.relative_path: outcome for outcome in report.outcomes}
        report.outcomes = [
            replace(
                outcomes[archive.relative_path],
                source=found.source.reader.named(archive.url),
                attested_by=self._attested_by.get(archive.relative_path),
            )
            for archive in found.archives
        ]
        return report


def _failed(archive: IndexedArchive, error: KeelbackError) -> Outcome:
    file = Path(archive.subdir) / archive.filename
    return Outcome.of_indexed(archive, Status.FAILED, file=file, attempts=error.attempts, error=Problem.of(error))


def _real(channel: str) -> str:
    """*channel*; where it is in a folder, the URL of where that really is."""
    if "://" not in channel:
        return Path(channel).expanduser().resolve().as_uri()
    return path_of(channel).resolve().as_uri() if channel.startswith("file:") else channel
