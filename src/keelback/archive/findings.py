"""What is wrong with an archive, said so that its publisher can put it right."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Final

from keelback.errors import ArchiveError
from keelback.findings import Finding, Severity, printable

if TYPE_CHECKING:
    from pathlib import Path

BUILD_AGAIN: Final = "Build or download the package again."
"""The hint for a file that lost some of its bytes."""

MAX_FINDINGS: Final = 100
"""Of either severity; who has more learns of the others when these are put right."""

_SHOWN: Final = 80
"""Characters of somebody else's text in a message; enough to recognise it by."""


def archive_error(findings: tuple[Finding, ...]) -> ArchiveError:
    """The error for an archive with these *findings*, errors first."""
    first = findings[0]
    more = len(findings) - 1
    others = f" (and {more} more {'finding' if more == 1 else 'findings'})" if more else ""
    message = f"{printable(first.file.name)}: {first.message}{others}"
    return ArchiveError(message, hint=first.hint, code=first.code, findings=findings)


class Unreadable(Exception):
    """Inside this package: the reason why reading an archive goes no further."""

    def __init__(self, code: str, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.hint = hint


class Findings:
    """Gathers the findings of one archive, the first :data:`MAX_FINDINGS` of either severity.

    Args:
        file: the archive.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._errors: list[Finding] = []
        self._warnings: list[Finding] = []

    def error(self, code: str, message: str, *, field: str = "", hint: str = "") -> None:
        """Add something that stops the archive from being published."""
        self._add(self._errors, Finding(Severity.ERROR, code, self._file, field, message, hint))

    def warning(self, code: str, message: str, *, field: str = "", hint: str = "") -> None:
        """Add something that does not stop it."""
        self._add(self._warnings, Finding(Severity.WARNING, code, self._file, field, message, hint))

    def add(self, problem: Unreadable) -> None:
        """Add the reason why reading went no further."""
        self.error(problem.code, problem.message, field=problem.field, hint=problem.hint)

    def verdict(self) -> tuple[Finding, ...]:
        """The warnings, if that is all there is.

        Raises:
            ArchiveError: there are errors.
        """
        if self._errors:
            raise archive_error(self.all())
        return tuple(self._warnings)

    def all(self) -> tuple[Finding, ...]:
        """Everything found so far, errors first."""
        return (*self._errors, *self._warnings)

    @staticmethod
    def _add(findings: list[Finding], finding: Finding) -> None:
        if len(findings) < MAX_FINDINGS:
            findings.append(finding)


def named(text: str) -> str:
    """A name from an archive as it may stand in a message without quotes: printable, and not too long."""
    return printable(text, _SHOWN * 3)


def quoted(value: object) -> str:
    """*value* from an archive, of whatever type, as it may stand in a message."""
    shown = repr(value[: _SHOWN + 1]) if isinstance(value, str) else reprlib.repr(value)
    return shown if len(shown) <= _SHOWN + 2 else f"{shown[:_SHOWN]}..."
