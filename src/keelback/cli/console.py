"""What a person sees: progress while it runs, a line for each outcome, a summary."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Final, Self

import click

from keelback.archive import Severity
from keelback.errors import presentable
from keelback.findings import printable
from keelback.report import Reporter, Status
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.archive import Finding
    from keelback.cli.progress import Bars
    from keelback.report import Archive, Outcome, Problem, Report

_COLOURS: Final = {
    Status.UPLOADED: "green",
    Status.FETCHED: "green",
    Status.REPLACED: "yellow",
    Status.IDENTICAL: "blue",
    Status.SKIPPED: "blue",
    Status.FAILED: "red",
    Status.NOT_ATTEMPTED: "magenta",
}
_WIDTH: Final = max(len(status) for status in Status)
_NAMED: Final = 10
"""How many archives are named of those that have an error in common."""


class Console(Reporter):
    """The reporter for a terminal or a log, to be used as a context while a run goes on.

    Outcomes go to standard output, or to standard error where a JSON document goes to standard output; everything
    else goes to standard error.

    Args:
        as_json: whether standard output belongs to a document.
        quiet: whether only what went wrong gets a line.
        verbose: 0; 1 for where credentials come from and what is tried again; 2 for every request.
        progress: whether there may be bars.
        dry_run: whether outcomes are only what would be.

    Attributes:
        notes: the notes and warnings so far, redacted.
    """

    def __init__(self, *, as_json: bool, quiet: bool, verbose: int, progress: bool, dry_run: bool) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._would = "would be " if dry_run else ""
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._bars: Bars | None = None
        self._progress = progress and not quiet and sys.stderr.isatty()
        self._alike: dict[tuple[Status, str, str], list[Outcome]] = {}
        self.notes: list[str] = []
        _log_to_stderr(verbose, self.notes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_bars()

    # --- the reporter -----------------------------------------------------------------------------------------------

    def checked(self, findings: Sequence[Finding]) -> None:
        """A line for each finding."""
        for finding in findings:
            if finding.severity is Severity.ERROR or not self._quiet:
                show_finding(finding)

    def channel(self, url: str, archives: Sequence[Archive]) -> None:
        """What is left to say of the channel before; bars for the one at *url*, on a terminal."""
        self._end_bars()
        if self._progress:
            from keelback.cli.progress import Bars  # noqa: PLC0415 - rich is for terminals only

            self._bars = Bars(url, archives)

    def started(self, archive: Archive) -> None:
        """The bar of *archive* starts from zero."""
        if self._bars is not None:
            self._bars.started(archive)

    def sent(self, archive: Archive, count: int) -> None:
        """The bar of *archive* moves."""
        if self._bars is not None:
            self._bars.sent(archive, count)

    def received(self, archive: Archive, count: int) -> None:
        """The bar of *archive* moves."""
        self.sent(archive, count)

    def waiting(self, archive: Archive, seconds: float, why: str) -> None:
        """A line that says what is tried again."""
        if not self._quiet:
            self._say(f"{archive.filename}: {why}; trying again in {seconds:.1f} s")

    def finished(self, outcome: Outcome) -> None:
        """A line for the outcome; on a terminal when the bars are gone. The same error again is but counted."""
        lines = [] if self._is_told(outcome) else self._outcome_lines(outcome)
        if self._bars is None:
            self._print(lines)
        else:
            self._bars.finished(outcome)
            with self._lock:
                self._lines += lines

    def note(self, text: str) -> None:
        """A line on standard error."""
        self.notes.append(presentable(text))
        self._say(text)

    def _say(self, text: str) -> None:
        if self._bars is None:
            click.echo(presentable(text), err=True)
        else:
            self._bars.note(presentable(text))

    def _is_told(self, outcome: Outcome) -> bool:
        """Whether an error is the same as that of an archive before; the first time, it is not."""
        if outcome.error is None or not outcome.name:
            return False
        with self._lock:
            alike = self._alike.setdefault((outcome.status, outcome.error.code, outcome.error.message), [])
            alike.append(outcome)
            return len(alike) > 1

    # --- afterwards -------------------------------------------------------------------------------------------------

    def summary(self, report: Report, *, errors: bool = True) -> None:
        """What became of the run, channel by channel; without the *errors* of channels and run, if so wanted."""
        for channel in report.channels:
            for outcome in channel.outcomes:
                if not outcome.name or (outcome.status is Status.NOT_ATTEMPTED and not self._is_told(outcome)):
                    self._print(self._outcome_lines(outcome))
                if outcome.visible is False:
                    self._print([f"{'not visible':{_WIDTH}}  {outcome.relative_path}: accepted, not in the index yet"])
            self._tell_alike()
            if channel.error is not None and errors:
                show_problem(channel.error)
            counts = ", ".join(f"{count} {self._would}{status}" for status, count in channel.summary.items())
            click.echo(f"{printable(redact(channel.channel))}: {counts or 'nothing to do'}")
        if report.error is not None and errors:
            show_problem(report.error)

    def _outcome_lines(self, outcome: Outcome) -> list[str]:
        failed = outcome.status in (Status.FAILED, Status.NOT_ATTEMPTED)
        if self._quiet and not failed:
            return []
        status = self._status(outcome.status)
        name = outcome.relative_path if outcome.subdir else printable(str(outcome.file))
        detail = "" if failed else f"  {size_text(outcome.size)}"
        if outcome.status in (Status.UPLOADED, Status.REPLACED, Status.FETCHED) and not self._would:
            detail += f" in {outcome.seconds:.1f} s"
        if outcome.attempts > 1:
            detail += f", {outcome.attempts} attempts"
        if outcome.attested_by is not None:
            detail += ", attested"
        lines = [f"{status}  {self._would and '(dry run) '}{name}{detail}"]
        if outcome.error is not None and outcome.name:  # what is wrong with a file that has no name was said before
            lines.append(f"{'':{_WIDTH}}  {redact(outcome.error.message)}")
            if outcome.error.hint and outcome.status is Status.FAILED:
                lines.append(f"{'':{_WIDTH}}  {click.style('hint:', fg='cyan')} {redact(outcome.error.hint)}")
        return lines

    def _print(self, lines: Sequence[str]) -> None:
        with self._lock:
            for line in lines:
                click.echo(line, err=self._as_json)

    def _end_bars(self) -> None:
        if self._bars is not None:
            self._bars.end()
            self._bars = None
        lines, self._lines = self._lines, []
        self._print(lines)
        self._tell_alike()

    def _tell_alike(self) -> None:
        """Name those of which the error has been told with another's."""
        alike, self._alike = self._alike, {}
        for (status, _, _), (_, *others) in alike.items():
            if others:
                shown = ", ".join(outcome.relative_path for outcome in others[:_NAMED])
                more = ", ..." if len(others) > _NAMED else ""
                self._print([f"{self._status(status)}  and {len(others)} more, for the same reason: {shown}{more}"])

    @staticmethod
    def _status(status: Status) -> str:
        return click.style(f"{status:{_WIDTH}}", fg=_COLOURS[status])


def show_finding(finding: Finding, place: str = "") -> None:
    """A finding for a person, on standard error; *place* is where the file is, if that is not its path."""
    colour = "red" if finding.severity is Severity.ERROR else "yellow"
    where = f"{printable(place or str(finding.file))}: " + (f"{finding.field}: " if finding.field else "")
    click.echo(f"{click.style(f'{finding.severity}:', fg=colour)} {redact(where + finding.message)}", err=True)
    if finding.hint:
        click.echo(f"  {click.style('hint:', fg='cyan')} {redact(finding.hint)}", err=True)


def size_text(size: float) -> str:
    """*size* in bytes as a person reads it: ``12.3 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def show_problem(problem: Problem) -> None:
    """A problem for a person, on standard error."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {problem.message}", err=True)
    if problem.hint:
        click.echo(f"{click.style('hint:', fg='cyan')}  {problem.hint}", err=True)


class _Log(logging.Handler):
    """What is logged, on standard error; what is logged as a warning says so, and goes to *notes* as well."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = presentable(self.format(record))
            if record.levelno >= logging.WARNING:
                self._notes.append(text)
                text = f"{click.style('warning:', fg='yellow')} {text}"
            click.echo(text, err=True)
        except Exception:  # noqa: BLE001 - as all handlers do: nothing that is logged may end a run
            self.handleError(record)


def _log_to_stderr(verbose: int, notes: list[str]) -> None:
    handler = _Log(notes)
    logger = logging.getLogger("keelback")
    logger.handlers = [handler]
    logger.setLevel([logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)])
