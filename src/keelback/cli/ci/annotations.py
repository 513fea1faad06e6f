"""The annotations of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.archive import Severity
from keelback.cli.ci.system import Annotation
from keelback.report import Status
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.report import Outcome, Problem, Report


def annotations_of(report: Report, most: int) -> list[Annotation]:
    """What went wrong, and what the checks found.

    Args:
        report: of a run.
        most: how many errors, and how many warnings, the CI system shows; the last says how many more there are.
    """
    everything = list(dict.fromkeys(_annotations(report)))
    errors = [annotation for annotation in everything if annotation.severity is Severity.ERROR]
    warnings = [annotation for annotation in everything if annotation.severity is Severity.WARNING]
    return [*_cut(errors, most), *_cut(warnings, most)]


def _annotations(report: Report) -> Iterator[Annotation]:
    if report.error is not None:
        yield _problem("keelback", report.error)
    for channel in report.channels:
        if channel.error is not None:
            yield _problem("keelback", channel.error)
        for outcome in channel.outcomes:
            if outcome.error is not None and outcome.status is Status.FAILED and outcome.name:
                yield _problem(f"{outcome.relative_path} failed", outcome.error, outcome)
            elif outcome.visible is False:
                title, message = f"{outcome.relative_path} is not visible", "accepted, but not in the index yet"
                yield Annotation(Severity.ERROR, title, message, outcome.file)
    for finding in report.findings:
        message = redact(f"{finding.field}: {finding.message}" if finding.field else finding.message)
        yield Annotation(finding.severity, finding.code, _with_hint(message, redact(finding.hint)), finding.file)


def _problem(title: str, problem: Problem, outcome: Outcome | None = None) -> Annotation:
    file = None if outcome is None else outcome.file
    return Annotation(Severity.ERROR, title, _with_hint(problem.message, problem.hint), file)


def _with_hint(message: str, hint: str) -> str:
    return f"{message}\n{hint}" if hint else message


def _cut(annotations: list[Annotation], most: int) -> list[Annotation]:
    if len(annotations) <= most:
        return annotations
    left = len(annotations) - most + 1
    more = Annotation(annotations[0].severity, "keelback", f"{left} more are in the log of this step")
    return [*annotations[: most - 1], more]
