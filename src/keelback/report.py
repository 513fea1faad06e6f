"""What became of each archive: outcomes, the report of a run, its JSON, and the interface for progress."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from keelback.errors import RUN_AGAIN, ExitStatus, Interrupted, KeelbackError, presentable
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from keelback.archive import Finding, PackageArchive
    from keelback.indexed import IndexedArchive

JSON_VERSION: Final = 1


class Archive(Protocol):
    """What a report says of an archive that is published or fetched."""

    @property
    def filename(self) -> str:
        """Its name in the channel."""

    @property
    def subdir(self) -> str:
        """The subdir of the channel to which it belongs."""

    @property
    def relative_path(self) -> str:
        """``SUBDIR/FILE``."""

    @property
    def size(self) -> int | None:
        """In bytes; ``None`` where the channel does not say."""


class Status(StrEnum):
    """What became of one archive in one channel."""

    UPLOADED = "uploaded"
    """The channel did not have it, and has it now."""
    IDENTICAL = "identical"
    """The very same bytes are there already."""
    SKIPPED = "skipped"
    """There are other bytes under that name, and they were to be kept (``--skip-existing``)."""
    REPLACED = "replaced"
    """There were other bytes under that name; they were replaced (``--force``)."""
    FETCHED = "fetched"
    """The folder did not have it, and has it now."""
    FAILED = "failed"
    """It was tried and did not work."""
    NOT_ATTEMPTED = "not-attempted"
    """It was not tried, because something before it stopped the run."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is reported: nothing in it is secret.

    Attributes:
        code: a stable word for programs.
        message: what happened, and where.
        hint: what to do next, or an empty string.
        exit_status: what a run that met nothing worse ends with.
    """

    code: str
    message: str
    hint: str = ""
    exit_status: ExitStatus = ExitStatus.FAILED

    @classmethod
    def of(cls, error: KeelbackError) -> Problem:
        """The problem that *error* stands for, redacted."""
        return cls(error.code, presentable(error.message), presentable(error.hint), ExitStatus(error.exit_status))

    @classmethod
    def of_bug(cls, error: Exception) -> Problem:
        """The problem that an *error* stands for which nobody foresaw."""
        message = presentable(f"{type(error).__name__}: {error}")
        return cls("internal", message, "This is a bug in keelback: please report it, with what -vv says.")

    def to_json(self) -> dict[str, str]:
        """``{"code", "message", "hint"}``."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one archive in one channel.

    Attributes:
        file: where the archive is, absolute.
        name, version, build, subdir: what the archive says of itself.
        size: in bytes.
        sha256: hex, or ``None`` where the run stopped before it was computed.
        status: see :class:`Status`; in a dry run, what it would be.
        url: where the channel serves the file, or ``None`` where that is not known.
        attempts: how often it was sent, in whole or in part.
        seconds: how long that took.
        error: why it failed, or why nothing is known.
        visible: with ``--verify``: whether the channel's index serves it; else ``None``.
        attested_by: whose attestation goes with it: the identity in its certificate; ``None`` where none was asked for.
        source: where it was copied from; ``None`` where it was not copied.
    """

    file: Path
    name: str
    version: str
    build: str
    subdir: str
    size: int
    sha256: str | None
    status: Status
    url: str | None = None
    attempts: int = 0
    seconds: float = 0.0
    error: Problem | None = None
    visible: bool | None = None
    attested_by: str | None = None
    source: str | None = None

    @classmethod
    def of(
        cls,
        archive: PackageArchive,
        status: Status,
        *,
        hashed: bool = True,
        url: str | None = None,
        attempts: int = 0,
        error: Problem | None = None,
    ) -> Outcome:
        """The outcome *status* of *archive*; with *hashed* false, without a hash that nobody has computed yet."""
        return cls(
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

    @classmethod
    def of_indexed(
        cls,
        archive: IndexedArchive,
        status: Status,
        *,
        file: Path,
        url: str | None = None,
        attempts: int = 0,
        error: Problem | None = None,
    ) -> Outcome:
        """The outcome *status* of *archive*, which is *file* here, or is so named."""
        return cls(
            file=file,
            name=archive.name,
            version=archive.version,
            build=archive.build,
            subdir=archive.subdir,
            size=archive.size or 0,
            sha256=archive.sha256,
            status=status,
            url=url,
            attempts=attempts,
            error=error,
        )

    @classmethod
    def of_file(cls, file: Path, status: Status, error: Problem) -> Outcome:
        """The outcome of a *file* that does not say what it is."""
        return cls(file=file, name="", version="", build="", subdir="", size=0, sha256=None, status=status, error=error)

    @property
    def relative_path(self) -> str:
        """``SUBDIR/FILE``, as in the channel."""
        return f"{self.subdir}/{self.filename}"

    @property
    def filename(self) -> str:
        """The name of the file in the channel."""
        return self.file.name

    def to_json(self) -> dict[str, Any]:
        """The outcome as ``--json`` prints it."""
        document: dict[str, Any] = {
            "file": str(self.file),
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "subdir": self.subdir,
            "size": self.size,
            "sha256": self.sha256,
            "status": self.status.value,
            "url": self.url,
            "attempts": self.attempts,
            "seconds": round(self.seconds, 3),
            "error": None if self.error is None else self.error.to_json(),
        }
        if self.visible is not None:
            document["visible"] = self.visible
        if self.attested_by is not None:
            document["attested_by"] = presentable(self.attested_by)
        if self.source is not None:
            document["source"] = redact(self.source)
        return document


@dataclass(slots=True)
class ChannelReport:
    """What became of every archive in one channel.

    Attributes:
        channel: the channel's URL, without secrets.
        outcomes: in the order in which the archives were given.
        error: what went wrong with the channel as a whole (its index could not be written, say), or ``None``.
    """

    channel: str
    outcomes: list[Outcome] = field(default_factory=list)
    error: Problem | None = None

    @property
    def summary(self) -> dict[str, int]:
        """How many archives met each status; only those that occurred."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        return {status.value: counts[status] for status in Status if counts[status]}

    def to_json(self) -> dict[str, Any]:
        """The report as ``--json`` prints it."""
        document: dict[str, Any] = {
            "channel": self.channel,
            "outcomes": [outcome.to_json() for outcome in self.outcomes],
            "summary": self.summary,
        }
        if self.error is not None:
            document["error"] = self.error.to_json()
        return document


@dataclass(slots=True)
class Report:
    """What became of a run.

    Attributes:
        channels: one report a channel, in the order given.
        dry_run: whether nothing was sent on purpose.
        error: what stopped the run before it reached a channel, or ``None``.
        findings: what the checks found, errors and warnings.
        notes: the notes and warnings of the run, redacted, in the order in which they came; where they were kept.
    """

    channels: list[ChannelReport] = field(default_factory=list)
    dry_run: bool = False
    error: Problem | None = None
    findings: Sequence[Finding] = ()
    notes: Sequence[str] = ()

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of all channels, one after the other."""
        return [outcome for channel in self.channels for outcome in channel.outcomes]

    @property
    def ok(self) -> bool:
        """Whether the run did all that was asked of it."""
        return self.exit_status == ExitStatus.OK

    @property
    def exit_status(self) -> ExitStatus:
        """What the run tells the shell: interrupted before credential before failed before not yet visible."""
        met = {problem.exit_status for problem in self._problems()}
        if any(outcome.visible is False for outcome in self.outcomes):
            met.add(ExitStatus.NOT_VISIBLE)
        for status in (
            ExitStatus.INTERRUPTED,
            ExitStatus.USAGE,
            ExitStatus.CREDENTIAL,
            ExitStatus.FAILED,
            ExitStatus.NOT_VISIBLE,
        ):
            if status in met:
                return status
        return ExitStatus.OK

    def _problems(self) -> list[Problem]:
        found = [self.error, *(channel.error for channel in self.channels)]
        found += [outcome.error for outcome in self.outcomes if outcome.status is Status.FAILED]
        return [problem for problem in found if problem is not None]

    def to_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints; members are only ever added to it."""
        document: dict[str, Any] = {
            "version": JSON_VERSION,
            "dry_run": self.dry_run,
            "channels": [channel.to_json() for channel in self.channels],
        }
        if self.error is not None:
            document["error"] = self.error.to_json()
        if self.findings:
            document["findings"] = [finding_to_json(finding) for finding in self.findings]
        if self.notes:
            document["notes"] = list(self.notes)
        return document


def finding_to_json(finding: Finding) -> dict[str, str]:
    """``{"severity", "code", "file", "field", "message", "hint"}``."""
    return {
        "severity": finding.severity.value,
        "code": finding.code,
        "file": str(finding.file),
        "field": finding.field,
        "message": redact(finding.message),
        "hint": redact(finding.hint),
    }


INTERRUPTED: Final = Problem.of(Interrupted("stopped before it was finished", hint=RUN_AGAIN))


class Reporter:
    """Told of the progress of a run: a base class whose methods do nothing, to be overridden as needed.

    Every method may be called from any thread; none may raise.
    """

    def checked(self, findings: Sequence[Finding]) -> None:
        """All archives were read and checked, with these *findings*."""

    def channel(self, url: str, archives: Sequence[Archive]) -> None:
        """*archives* are about to go to the channel at *url*, or to come from it."""

    def started(self, archive: Archive) -> None:
        """The first byte of *archive* is about to go out or come in, or to do so once more from the start."""

    def sent(self, archive: Archive, count: int) -> None:
        """*count* more bytes of *archive* are out."""

    def received(self, archive: Archive, count: int) -> None:
        """*count* more bytes of *archive* are here; with a negative *count*, so many have to come once more."""

    def waiting(self, archive: Archive, seconds: float, why: str) -> None:
        """*archive* is tried again in *seconds*, because of *why* (redacted)."""

    def finished(self, outcome: Outcome) -> None:
        """What became of one archive."""

    def note(self, text: str) -> None:
        """A sentence for the user (redacted)."""


class SafeReporter(Reporter):
    """Passes everything on to another reporter, until that one raises: a broken terminal must not end a run.

    Args:
        reporter: the other one.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter: Reporter | None = reporter

    def _tell(self, event: str, *about: object) -> None:
        try:
            if self._reporter is not None:
                getattr(self._reporter, event)(*about)
        except Exception:  # noqa: BLE001 - whatever it raises, the archives come first
            self._reporter = None

    def checked(self, findings: Sequence[Finding]) -> None:
        """See :class:`Reporter`."""
        self._tell("checked", findings)

    def channel(self, url: str, archives: Sequence[Archive]) -> None:
        """See :class:`Reporter`."""
        self._tell("channel", url, archives)

    def started(self, archive: Archive) -> None:
        """See :class:`Reporter`."""
        self._tell("started", archive)

    def sent(self, archive: Archive, count: int) -> None:
        """See :class:`Reporter`."""
        self._tell("sent", archive, count)

    def received(self, archive: Archive, count: int) -> None:
        """See :class:`Reporter`."""
        self._tell("received", archive, count)

    def waiting(self, archive: Archive, seconds: float, why: str) -> None:
        """See :class:`Reporter`."""
        self._tell("waiting", archive, seconds, why)

    def finished(self, outcome: Outcome) -> None:
        """See :class:`Reporter`."""
        self._tell("finished", outcome)

    def note(self, text: str) -> None:
        """See :class:`Reporter`."""
        self._tell("note", text)
