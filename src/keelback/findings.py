"""What can be wrong with an archive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """The archive is not published."""
    WARNING = "warning"
    """Some clients or servers will stumble over it; it is published."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one archive.

    Attributes:
        severity: whether it stops the archive from being published.
        code: a stable word for programs, such as ``file-name``.
        file: the archive.
        field: where in it, such as ``index.json: depends``; empty when it concerns the whole file.
        message: what is wrong.
        hint: what to do about it; empty when there is nothing useful to say.
    """

    severity: Severity
    code: str
    file: Path
    field: str
    message: str
    hint: str
