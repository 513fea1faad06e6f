"""What the steps that follow can be told of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.report import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.report import Report


def outputs_of(report: Report) -> dict[str, str]:
    """``status``, ``exit-status``, and how many archives met each status, in all channels together.

    Nothing in it was chosen by anybody else: words and numbers, which no shell and no expression can be harmed by.
    """
    outcomes = report.outcomes
    counts = {status.value: str(sum(outcome.status is status for outcome in outcomes)) for status in Status}
    status = report.exit_status
    return {"status": status.name.lower().replace("_", "-"), "exit-status": str(int(status)), **counts}


def dotenv(outputs: Mapping[str, str]) -> str:
    """*outputs* as lines of ``KEELBACK_NAME=value`` (GitLab Docs, "GitLab CI/CD artifacts reports types", dotenv)."""
    return "".join(f"KEELBACK_{name.upper().replace('-', '_')}={value}\n" for name, value in outputs.items())
