"""What can be wrong with an archive."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_FIELD = 240
"""Characters of a field; the name of an archive's member may have a million."""

_LOG_COMMAND: Final = re.compile(
    r"""
      \A(?P<blank>[^!-~]*):                                  # ::add-mask::  at the start of a line (GitHub Actions)
      (?=[^\x00-\x7f]*:)
    | \#(?=[^\x00-\x7f]*\#[A-Za-z0-9_.\u0080-\U0010ffff-]*\[)  # ##[...], ##vso[...]  anywhere (GitHub, Azure Pipelines)
    """,
    re.VERBOSE,
)
"""How a line begins, or what it holds, that a CI system takes for a command when it finds it in the log of a job.

Characters beyond ASCII may stand in between: a runner that compares as its language does ignores some of them."""


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """The archive is not published."""
    WARNING = "warning"
    """Some clients or servers will stumble over it; it is published."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one archive.

    Whoever made the archive chose much of what is said here: all but :attr:`file` is :func:`printable`, whatever it was
    made of.

    Attributes:
        severity: whether it stops the archive from being published.
        code: a stable word for programs, such as ``file-name``.
        file: the archive, under whatever name it has; print it as ``printable(str(file))``.
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

    def __post_init__(self) -> None:
        for name, longest in (("field", _LONGEST_FIELD), ("message", None), ("hint", None)):
            object.__setattr__(self, name, printable(getattr(self, name), longest))


def printable(text: str, longest: int | None = None) -> str:
    """*text* from an archive or a file system as it may stand in a message, on a terminal and in a log.

    Control characters, line breaks, marks that turn the direction of writing, and the bytes of a file name that are no
    text become ``?``, which every terminal can show. So does one character of what a CI system would take for a command
    (GitHub Docs, "Workflow commands for GitHub Actions"; Azure Pipelines, "Logging commands").

    Args:
        text: what somebody else wrote.
        longest: how many characters are kept, followed by ``...`` where there were more; all, if not given.
    """
    rest = "" if longest is None or len(text) <= longest else "..."
    plain = "".join(char if char.isprintable() else "?" for char in text[:longest])
    return _LOG_COMMAND.sub(lambda match: f"{match['blank'] or ''}?", plain) + rest
