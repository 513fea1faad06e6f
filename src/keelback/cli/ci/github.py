"""GitHub Actions, and what speaks its language (Forgejo, Gitea).

Source: GitHub Docs, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.cli.ci.system import Annotation, System, encode
from keelback.errors import presentable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.secret import Secret

_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Final = {**_DATA, ":": "%3A", ",": "%2C"}


class GitHubActions(System):
    """Reads both streams of a step for ``::command name=value::data``, and files that variables name."""

    def annotate(self, annotation: Annotation) -> None:
        """See :class:`System`."""
        properties = {"title": annotation.title}
        if annotation.file is not None:
            properties["file"] = self._in_workspace(annotation.file)
        shown = ",".join(f"{name}={encode(value, _PROPERTY)}" for name, value in properties.items())
        self._say(f"::{annotation.severity} {shown}::{encode(annotation.message, _DATA)}")

    def mask(self, secret: Secret) -> None:
        """See :class:`System`."""
        self._say(f"::add-mask::{encode(secret.reveal(), _DATA)}")

    def summarise(self, markdown: str) -> None:
        """See :class:`System`; other commands of the step may have written to the summary before."""
        self._append("GITHUB_STEP_SUMMARY", f"{markdown}\n")

    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        """See :class:`System`; no value can end itself early, for nobody can guess how it ends."""
        lines = []
        for name, value in outputs.items():
            end = f"end-{secrets.token_hex(16)}"
            lines += [f"{name}<<{end}", value, end]
        self._append("GITHUB_OUTPUT", "".join(f"{line}\n" for line in lines))

    @property
    def folder(self) -> Path | None:
        """See :class:`System`; it is emptied when the job ends."""
        named = self._environ.get("RUNNER_TEMP")
        return Path(named) if named else None

    def _in_workspace(self, file: Path) -> str:
        """*file* as the page of a repository names it, if it is in there."""
        workspace = self._environ.get("GITHUB_WORKSPACE")
        if workspace and file.is_relative_to(workspace):
            file = file.relative_to(workspace)
        return presentable(file.as_posix())

    def _append(self, variable: str, text: str) -> None:
        file = self._environ.get(variable)
        if file:
            with Path(file).open("a", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
