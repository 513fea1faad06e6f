"""What the tests of ``fetch`` against scripted servers have in common."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import keelback
import leaks
from keelback import KeelbackError, Problem, Report, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

QUICK = Retry(attempts=2, base=0.01)


def attempt(channel: str, *specs: str, workdir: Path, **options: Any) -> Report:
    """The report of a fetch for linux-64 into ``workdir/out``, also of one that ends before anything is fetched."""
    options = {"subdirs": "linux-64", "to": workdir / "out", "cache": workdir / "cache", "retry": QUICK, **options}
    try:
        return keelback.fetch(channel, specs, timeout=10.0, **options)
    except KeelbackError as error:
        return Report(error=Problem.of(error))


def statuses(report: Report) -> dict[str, str]:
    """What became of each archive, by its file name."""
    assert report.error is None, report.error
    return {outcome.file.name: outcome.status.value for outcome in report.outcomes}


def problem(report: Report) -> Problem:
    """Why a run ended before anything was fetched."""
    assert report.error is not None, report.outcomes
    return report.error


def files(folder: Path) -> list[str]:
    """Every file below *folder*, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def auth_file(path: Path, credentials: Mapping[str, Any]) -> Path:
    """An auth file with *credentials*, by key."""
    path.write_text(json.dumps(credentials), encoding="utf-8")
    path.chmod(0o600)
    return leaks.holds_secrets(path)
