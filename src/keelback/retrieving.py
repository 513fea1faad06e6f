"""What becomes of one archive that is fetched: is it here already, does it come, and is it what it has to be."""

from __future__ import annotations

import hashlib
import logging
import os
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from keelback.channels.downloading import download_archive
from keelback.channels.target import path_of
from keelback.durable import disk_full, is_full, rename
from keelback.errors import (
    AttestationError,
    ChannelError,
    ConflictError,
    CredentialRefused,
    Interrupted,
    KeelbackError,
    UsageError,
)
from keelback.report import Outcome, Problem, Status
from keelback.transport.partial import Expected, unchanged

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive
    from keelback.options import Options
    from keelback.report import Reporter
    from keelback.requiring import Requirement

logger = logging.getLogger(__name__)

_BLOCK: Final = 1 << 20


class Retriever:
    """Fetches archives into a folder; safe to use from several threads at once.

    Args:
        reader_of: reads the channel that an archive is from.
        folder: where archives go, in ``SUBDIR/FILE``.
        options: what to do about files that are there.
        reporter: who is told.
        stop: set when the user wants the run to end.
        requirement: what every archive has to have before it gets its name, or, where it is here, to be a success.

    Attributes:
        refused: the error with which a server refused the credential; with that, nothing more need be tried.
    """

    def __init__(
        self,
        reader_of: Callable[[IndexedArchive], Reader],
        folder: Path,
        options: Options,
        reporter: Reporter,
        stop: threading.Event,
        requirement: Requirement | None = None,
    ) -> None:
        self._reader_of = reader_of
        self._folder = folder
        self._options = options
        self._reporter = reporter
        self._stop = stop
        self._requirement = requirement
        self.refused: CredentialRefused | None = None

    def retrieve(self, archive: IndexedArchive) -> Outcome:
        """Fetch *archive*, unless it is here or something of its name is to stay."""
        began = time.monotonic()
        try:
            outcome = self._decide(archive)
        except KeelbackError as error:
            if isinstance(error, CredentialRefused):
                self.refused = error
            outcome = self.outcome(archive, Status.FAILED, attempts=error.attempts, error=Problem.of(error))
        except Exception as error:
            logger.debug("%s", archive.filename, exc_info=error)
            outcome = self.outcome(archive, Status.FAILED, error=Problem.of_bug(error))
        return replace(outcome, seconds=time.monotonic() - began)

    def outcome(
        self, archive: IndexedArchive, status: Status, *, attempts: int = 0, error: Problem | None = None
    ) -> Outcome:
        """The outcome *status* of *archive*."""
        return Outcome.of_indexed(
            archive, status, file=self._target(archive), url=archive.url, attempts=attempts, error=error
        )

    def _target(self, archive: IndexedArchive) -> Path:
        return self._folder / archive.subdir / archive.filename

    def _decide(self, archive: IndexedArchive) -> Outcome:
        if self._stop.is_set():
            raise Interrupted("stopped before it was fetched")
        target = self._target(archive)
        status = Status.FETCHED
        if os.path.lexists(target):
            if unchanged(target, _expected(archive)):
                return self._here(archive, target, Status.IDENTICAL)
            if self._options.skip_existing:
                return self._here(archive, target, Status.SKIPPED)
            if not self._options.force:
                raise ConflictError(
                    f"{target} is there already, with other bytes than {archive.url}",
                    hint="Remove it; or keep it with --skip-existing, or replace it with --force.",
                )
            status = Status.REPLACED
        archive, attested_by = self._attested(archive)
        outcome = self.outcome(archive, status) if self._options.dry_run else self._fetch(archive, target, status)
        return replace(outcome, attested_by=attested_by)

    def _attested(self, archive: IndexedArchive) -> tuple[IndexedArchive, str | None]:
        """Who made *archive*, and *archive* with the hash by which that is known; asked before anything is fetched."""
        if self._requirement is None:
            return archive, None
        found = self._requirement.attested(archive, self._reader_of(archive), archive.sha256)
        return replace(archive, sha256=found.statement.sha256), found.identity

    def _here(self, archive: IndexedArchive, target: Path, status: Status) -> Outcome:
        """*archive* is here already, or something that is to stay: what the index does not say of it, the file does."""
        outcome = self.outcome(archive, status)
        if status is Status.IDENTICAL or self._requirement is not None:
            outcome = replace(outcome, **_size_and_hash(target, archive.sha256 if status is Status.IDENTICAL else None))
        if self._requirement is None:
            return outcome
        try:
            found = self._requirement.attested(archive, self._reader_of(archive), outcome.sha256)
        except AttestationError as error:
            raise AttestationError(
                f"{error.message} ({target} is there already, and was left as it is)", hint=error.hint, code=error.code
            ) from error
        return replace(outcome, attested_by=found.identity)

    def _fetch(self, archive: IndexedArchive, target: Path, status: Status) -> Outcome:
        self._reporter.started(archive)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if archive.url.startswith("file:"):
                attempts, size, sha256 = 1, *self._copy(archive, target)
            else:
                attempts, size, sha256 = self._download(archive, target)
        except OSError as error:
            raise _disk(error, target) from error
        if archive.sha256 is None:
            how = "not verified: the index has no hash of it" if archive.md5 is None else "verified by MD5 alone"
            self._reporter.note(f"{archive.filename}: {how}")
        return replace(self.outcome(archive, status, attempts=attempts), size=size, sha256=sha256)

    def _download(self, archive: IndexedArchive, target: Path) -> tuple[int, int, str]:
        done = download_archive(
            self._reader_of(archive),
            archive,
            target,
            expected=_expected(archive),
            retried=lambda seconds, why: self._reporter.waiting(archive, seconds, why),
            told=lambda count: self._reporter.received(archive, count),
        )
        return done.attempts, done.size, done.sha256

    def _copy(self, archive: IndexedArchive, target: Path) -> tuple[int, str]:
        """Copy from a channel in a folder; returns size and SHA-256."""
        new = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        digest, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        try:
            with _opened(path_of(archive.url)) as source, new.open("xb") as copy:
                while block := source.read(_BLOCK):
                    if self._stop.is_set():
                        raise Interrupted("stopped while it was being copied")
                    digest.update(block)
                    if archive.sha256 is None:
                        md5.update(block)
                    copy.write(block)
                    self._reporter.received(archive, len(block))
                size = copy.tell()
            found = Expected(size=size, sha256=digest.hexdigest(), md5=md5.hexdigest())
            if not _agrees(_expected(archive), found):
                raise ChannelError(
                    f"{archive.url} is not what the index names", hint="Index the channel anew.", code="bad-download"
                )
            rename(new, target)
        finally:
            new.unlink(missing_ok=True)
        return size, digest.hexdigest()


def _size_and_hash(path: Path, sha256: str | None) -> dict[str, Any]:
    """The size of the file *path*, and its SHA-256, unless that is known."""
    try:
        size = path.stat().st_size
        if sha256 is None:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _disk(error, path) from error
    return {"size": size, "sha256": sha256}


def _agrees(expected: Expected, found: Expected) -> bool:
    if expected.size not in (None, found.size):
        return False
    if expected.sha256 is not None:
        return expected.sha256 == found.sha256
    return expected.md5 in (None, found.md5)


def _expected(archive: IndexedArchive) -> Expected:
    return Expected(size=archive.size, sha256=archive.sha256, md5=archive.md5)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ChannelError(f"{path} is in the index, but not in the channel", code="not-found") from None
    except OSError as error:
        raise ChannelError(f"{path} cannot be read: {error.strerror or error}", code="disk") from error


def _disk(error: OSError, target: Path) -> KeelbackError:
    if is_full(error):
        return disk_full(str(target), target.parent)
    return UsageError(
        f"{target} cannot be written: {error.strerror or error}", hint="Name another folder with --output.", code="disk"
    )
