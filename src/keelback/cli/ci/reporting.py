"""Tells the CI system of a run."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelback.cli.ci.annotations import annotations_of
from keelback.cli.ci.detection import system_for
from keelback.cli.ci.outputs import dotenv, outputs_of
from keelback.cli.ci.summary import summary_of
from keelback.errors import UsageError, presentable
from keelback.secret import listening

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from keelback.cli.ci.system import System
    from keelback.report import Report

MASK: str = "KEELBACK_CI_MASK"
"""The variable that is ``1`` where nobody but the CI system reads the output of this run.

A mask has the secret in it: where a script redirects the output into a file, it would be the leak.
"""


class CIReporter:
    """Tells a CI system of a run.

    Args:
        system: the one in which this is a step, or ``None``.
        outputs_file: where the outputs go as ``NAME=value`` lines, or ``None``.
    """

    def __init__(self, system: System | None, outputs_file: Path | None) -> None:
        self._system = system
        self._outputs_file = outputs_file

    @property
    def shows_errors(self) -> bool:
        """Whether the errors of a run stand in the log by this alone."""
        return self._system is not None and self._system.shows_errors

    def masking(self) -> AbstractContextManager[None]:
        """A context in which every short-lived secret of the run is masked, where that is wanted."""
        if self._system is None or os.environ.get(MASK) != "1":
            return contextlib.nullcontext()
        return listening(self._system.mask)

    def report(self, report: Report) -> None:
        """Say what became of the run. What cannot be written is said, and does not change what the run ends with."""
        outputs = outputs_of(report)
        if self._outputs_file is not None:
            file = self._outputs_file
            self._try("the outputs", lambda: file.write_text(dotenv(outputs), encoding="utf-8", newline="\n"))
        system = self._system
        if system is not None:
            for annotation in annotations_of(report, system.most_annotations):
                system.annotate(annotation)
            self._try("the summary", lambda: system.summarise(summary_of(report)))
            self._try("the outputs", lambda: system.set_outputs({**outputs, **self._report_file(report, system)}))

    @staticmethod
    def _report_file(report: Report, system: System) -> dict[str, str]:
        """The document of ``--json`` in a file of its own, and an output that names it."""
        if system.folder is None:
            return {}
        number, name = tempfile.mkstemp(prefix="keelback-", suffix=".json", dir=system.folder)
        with os.fdopen(number, "w", encoding="utf-8", newline="\n") as stream:
            json.dump(report.to_json(), stream, indent=2)
        return {"report": name}

    @staticmethod
    def _try(what: str, write: Callable[[], object]) -> None:
        try:
            write()
        except (OSError, ValueError) as error:
            reason = presentable(f"{what} for the CI system could not be written: {error}")
            click.echo(f"{click.style('warning:', fg='yellow')} {reason}", err=True)


def ci_reporter(choice: str, outputs_file: str | None, *, as_json: bool) -> CIReporter | None:
    """The reporter for the values of ``--ci`` and ``--ci-outputs``; ``None`` where there is nothing to tell.

    Raises:
        UsageError: the file of the outputs could not be written.
    """
    file = None if outputs_file is None else Path(outputs_file)
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        raise UsageError(f"--ci-outputs: {file} cannot be written", hint="Name a file in a folder that exists.")
    system = system_for(choice, os.environ, as_json=as_json)
    return CIReporter(system, file) if system is not None or file is not None else None
