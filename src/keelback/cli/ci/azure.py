"""Azure Pipelines.

Source: Azure Pipelines, "Logging commands"; the codes are those that Microsoft's azure-pipelines-task-lib writes.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from keelback.cli.ci.system import Annotation, System, encode
from keelback.errors import presentable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.secret import Secret

_DATA: Final = {"%": "%AZP25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Final = {**_DATA, "]": "%5D", ";": "%3B"}


class AzurePipelines(System):
    """Reads the standard output of a step for ``##vso[area.command name=value;]data``."""

    def annotate(self, annotation: Annotation) -> None:
        """See :class:`System`."""
        properties = {"type": str(annotation.severity)}
        if annotation.file is not None:
            properties["sourcepath"] = presentable(str(annotation.file))
        self._command("logissue", f"{annotation.title}: {annotation.message}", properties)

    def mask(self, secret: Secret) -> None:
        """See :class:`System`."""
        self._command("setsecret", secret.reveal())

    def summarise(self, markdown: str) -> None:
        """See :class:`System`; the agent takes a file."""
        if self.folder is not None:
            number, name = tempfile.mkstemp(prefix="keelback-", suffix=".md", dir=self.folder)
            with os.fdopen(number, "w", encoding="utf-8", newline="\n") as stream:
                stream.write(markdown)
            self._command("uploadsummary", str(Path(name).absolute()))

    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        """See :class:`System`; a hyphen could not stand in the name of a variable."""
        for name, value in outputs.items():
            self._command("setvariable", value, {"variable": name.replace("-", "_"), "isOutput": "true"})

    @property
    def folder(self) -> Path | None:
        """See :class:`System`; it is emptied after the job."""
        named = self._environ.get("AGENT_TEMPDIRECTORY")
        return Path(named) if named else None

    def _command(self, name: str, data: str, properties: Mapping[str, str] | None = None) -> None:
        shown = "".join(f"{key}={encode(value, _PROPERTY)};" for key, value in (properties or {}).items())
        self._say(f"##vso[task.{name}{shown and ' '}{shown}]{encode(data, _DATA)}")

    def _say(self, line: str) -> None:
        """Standard output is where the agent is documented to look; a task prints its standard error there, too."""
        click.echo(line, err=self._as_json)
