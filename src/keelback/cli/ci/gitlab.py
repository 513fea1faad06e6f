"""GitLab CI, which has no commands in its log: a job speaks to the next ones through files.

Source: GitLab Docs, "GitLab CI/CD artifacts reports types" (``dotenv``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from keelback.cli.ci.system import Annotation, System

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from keelback.secret import Secret


class GitLabCI(System):
    """Takes nothing from the log; the outputs go into the file of ``--ci-outputs``."""

    shows_errors: ClassVar[bool] = False

    def annotate(self, annotation: Annotation) -> None:
        """There are none."""

    def mask(self, secret: Secret) -> None:
        """Only variables that are known before the job can be masked; the job's identity is one of them."""

    def summarise(self, markdown: str) -> None:
        """There is none."""

    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        """There are none but the file's."""

    @property
    def folder(self) -> Path | None:
        """There is none: each job has to say what it keeps."""
        return None
