"""What a CI system understands of what a step prints and writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import click

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from keelback.archive import Severity
    from keelback.secret import Secret


@dataclass(frozen=True, slots=True)
class Annotation:
    """An error or a warning that is shown beside the log of a job.

    Attributes:
        severity: which of the two.
        title: a few words.
        message: what happened; may have several lines, and is without secrets.
        file: the file in question, or ``None``.
    """

    severity: Severity
    title: str
    message: str
    file: Path | None = None


class System(ABC):
    """A CI system.

    Args:
        environ: the variables of the step.
        as_json: whether standard output belongs to a document.
    """

    shows_errors: ClassVar[bool] = True
    """Whether an annotation is a line of the log as well, so that nothing else has to say it there."""

    most_annotations: ClassVar[int] = 10
    """Errors that are shown for one step, and warnings likewise."""

    def __init__(self, environ: Mapping[str, str], *, as_json: bool) -> None:
        self._environ = environ
        self._as_json = as_json

    @abstractmethod
    def annotate(self, annotation: Annotation) -> None:
        """Have *annotation* shown."""

    @abstractmethod
    def mask(self, secret: Secret) -> None:
        """Have *secret* taken out of the log from now on. Only for an output that nobody but the CI system reads."""

    @abstractmethod
    def summarise(self, markdown: str) -> None:
        """Have *markdown* shown on the page of the job.

        Raises:
            OSError: it cannot be written.
        """

    @abstractmethod
    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        """Give *outputs* to the steps that follow.

        Raises:
            OSError: they cannot be written.
        """

    @property
    @abstractmethod
    def folder(self) -> Path | None:
        """Where files may be left for the steps that follow, or ``None``."""

    def _say(self, line: str) -> None:
        click.echo(line, err=True)


def encode(text: str, codes: Mapping[str, str]) -> str:
    """*text* with every character that has a code replaced by it."""
    return "".join(codes.get(letter, letter) for letter in text)
