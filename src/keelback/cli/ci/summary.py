"""The summary of a run: a table in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.cli.ci.markdown import link_cell, text_cell
from keelback.cli.console import size_text
from keelback.findings import Severity
from keelback.report import Status
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from keelback.report import ChannelReport, Outcome, Problem, Report

_LARGEST_TABLES: Final = 600_000
_LARGEST_REST: Final = 200_000
"""Bytes; GitHub shows no summary of a step that has more than 1 MiB (GitHub Docs, "Workflow commands")."""


def summary_of(report: Report) -> str:
    """What became of each archive, channel by channel, and what went wrong."""
    title = "### keelback" + (" (dry run: nothing was sent)" if report.dry_run else "")
    tables = _fitting((line for channel in report.channels for line in _table(channel)), _LARGEST_TABLES)
    rest = _fitting(_problems(report), _LARGEST_REST)
    return "\n".join([title, *tables, *(["", "**What went wrong, or may**", "", *rest] if rest else [])]) + "\n"


def _table(channel: ChannelReport) -> Iterator[str]:
    counts = ", ".join(f"{count} {status}" for status, count in channel.summary.items()) or "nothing to do"
    yield from ("", f"**{text_cell(redact(channel.channel))}**: {counts}", "")
    if not channel.outcomes:
        return
    attested = any(outcome.attested_by is not None for outcome in channel.outcomes)
    header = ["Package", "Version", "Build", "Subdir", "Size", "Status", *(["Attested by"] if attested else [])]
    yield f"| {' | '.join(header)} |"
    yield f"|{'|'.join('---' for _ in header)}|"
    for outcome in channel.outcomes:
        yield f"| {' | '.join(_row(outcome, attested=attested))} |"


def _row(outcome: Outcome, *, attested: bool) -> Iterator[str]:
    name = redact(outcome.name or outcome.filename)
    yield link_cell(name, None if outcome.url is None else redact(outcome.url))
    yield from (text_cell(redact(text)) for text in (outcome.version, outcome.build, outcome.subdir))
    yield size_text(outcome.size) if outcome.name else ""
    failed = outcome.status in {Status.FAILED, Status.NOT_ATTEMPTED} or outcome.visible is False
    shown = f"{outcome.status}, not visible" if outcome.visible is False else str(outcome.status)
    yield f"**{shown}**" if failed else shown
    if attested:
        yield text_cell(redact(outcome.attested_by or "nobody"))


def _problems(report: Report) -> Iterator[str]:
    if report.error is not None:
        yield _item("error", "", report.error)
    for channel in report.channels:
        if channel.error is not None:
            yield _item("error", "", channel.error)
        for outcome in channel.outcomes:
            if outcome.error is not None and outcome.status is Status.FAILED and outcome.name:
                yield _item("error", outcome.relative_path, outcome.error)
    for finding in sorted(report.findings, key=lambda finding: finding.severity is not Severity.ERROR):
        where = finding.file.name + (f": {finding.field}" if finding.field else "")
        yield _line(finding.severity, where, finding.message, finding.hint)


def _item(kind: str, where: str, problem: Problem) -> str:
    return _line(kind, where, problem.message, problem.hint)


def _line(kind: str, where: str, message: str, hint: str) -> str:
    first = f"{where}: {message}" if where else message
    shown = [text_cell(redact(text)) for text in (first, hint) if text]
    return f"- **{kind}** {'<br>'.join(shown)}"


def _fitting(lines: Iterable[str], largest: int) -> list[str]:
    """*lines* as far as *largest* bytes go; no more of them are made."""
    fitting: list[str] = []
    for line in lines:
        largest -= len(line.encode()) + 1
        if largest < 0:
            return [*fitting, "", "The rest is in the log of this step."]
        fitting.append(line)
    return fitting
