"""One run of a fetch, from the question to the report."""

from __future__ import annotations

import uuid
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from keelback.durable import disk_full, is_full, rename, write_synced
from keelback.errors import RUN_AGAIN, Interrupted, UsageError
from keelback.lockfile import lock_text
from keelback.report import INTERRUPTED, ChannelReport, Outcome, Problem, Report, Status
from keelback.retrieving import Retriever
from keelback.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from keelback.channels.reader import Reader
    from keelback.channels.session import Session
    from keelback.indexed import IndexedArchive
    from keelback.options import Options
    from keelback.report import Reporter
    from keelback.requiring import Requirement


class FetchRun:
    """One run of a fetch, from the question to the report.

    Args:
        folder: where archives go, in ``SUBDIR/FILE``.
        options: how.
        requirement: what every archive has to have.
        reporter: who is told.
    """

    def __init__(self, folder: Path, options: Options, requirement: Requirement | None, reporter: Reporter) -> None:
        self._folder = folder.absolute()
        self._options = options
        self._requirement = requirement
        self._reporter = reporter

    def carry_out(
        self,
        session: Session,
        find: Callable[[], tuple[Sequence[Reader], Sequence[IndexedArchive]]],
        lock: Path | None = None,
    ) -> Report:
        """Find what to fetch, and fetch it; failures of archives are in the report, not raised.

        Args:
            session: of the channels.
            find: what to fetch, and the readers of the channels that it is from.
            lock: a lock file to write if everything was fetched.

        Raises:
            UsageError: *lock* cannot be written; ``ChannelError`` where the disk is full.
            Interrupted: stopped before it was known what to fetch.
            KeelbackError: what *find* raises, and :meth:`keelback.requiring.Requirement.prepare`.
        """
        workers = Workers(session.client)
        if self._requirement is not None:
            workers.carry_out(partial(self._requirement.prepare, self._reporter.note))
        readers, archives = workers.carry_out(find)
        if workers.stopped:
            raise Interrupted("stopped before anything was fetched", hint=RUN_AGAIN)
        groups = _Groups.of(archives, readers)
        retriever = Retriever(
            groups.reader_of, self._folder, self._options, self._reporter, workers.stop, self._requirement
        )
        report = Report(
            [self._fetch_all(retriever, reader, group, workers) for reader, group in groups.items()],
            self._options.dry_run,
        )
        if lock is not None and report.ok and not self._options.dry_run:
            _write_lock(lock, [replace(each, url=groups.reader_of(each).named(each.url)) for each in archives])
        return report

    def _fetch_all(
        self, retriever: Retriever, reader: Reader, archives: Sequence[IndexedArchive], workers: Workers
    ) -> ChannelReport:
        """Fetch the *archives* of one channel side by side."""
        outcomes: dict[str, Outcome] = {}

        def work(archive: IndexedArchive) -> None:
            if retriever.refused is None and not workers.stopped:
                outcomes[archive.relative_path] = outcome = retriever.retrieve(archive)
                self._reporter.finished(outcome)

        self._reporter.channel(reader.name, archives)
        workers.carry_out(lambda: workers.each(work, archives, self._options.jobs))
        problem = None
        if workers.stopped:
            problem = INTERRUPTED
        elif retriever.refused is not None:
            problem = Problem.of(retriever.refused)
        why = replace(problem or INTERRUPTED, code="not-attempted")
        left = partial(retriever.outcome, status=Status.NOT_ATTEMPTED, error=why)
        return ChannelReport(
            reader.name, [outcomes.get(archive.relative_path) or left(archive) for archive in archives], problem
        )


class _Groups(dict["Reader", list["IndexedArchive"]]):
    """Archives by the channel that they are from."""

    @classmethod
    def of(cls, archives: Sequence[IndexedArchive], readers: Sequence[Reader]) -> _Groups:
        """The *archives* of the channels of *readers*; a channel may have none of them."""
        groups = cls((reader, []) for reader in readers)
        for archive in archives:
            groups[groups.reader_of(archive)].append(archive)
        return groups

    def reader_of(self, archive: IndexedArchive) -> Reader:
        """The reader of the channel of *archive*; of the first channel, where its files are elsewhere."""
        return next((reader for reader in self if reader.has(archive.url)), next(iter(self)))


def _write_lock(lock: Path, archives: Sequence[IndexedArchive]) -> None:
    new = lock.with_name(f".{lock.name}.{uuid.uuid4().hex}")
    try:
        write_synced(new, lock_text(archives).encode())
        rename(new, lock)
    except OSError as error:
        if is_full(error):
            raise disk_full(str(lock), lock.absolute().parent) from error
        raise UsageError(f"{lock} cannot be written: {error.strerror or error}") from error
    finally:
        new.unlink(missing_ok=True)
