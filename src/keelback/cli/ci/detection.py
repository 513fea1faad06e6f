"""In which CI system this is a step."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.cli.ci.system import System

_SYSTEMS: Final = {
    "github": ("GITHUB_ACTIONS", "keelback.cli.ci.github", "GitHubActions"),
    "azure": ("TF_BUILD", "keelback.cli.ci.azure", "AzurePipelines"),
    "gitlab": ("GITLAB_CI", "keelback.cli.ci.gitlab", "GitLabCI"),
}
"""By name: the variable that is ``true`` in its jobs, and the class."""

CHOICES: Final = ("auto", *_SYSTEMS, "none")
"""The values of ``--ci``."""


def system_for(choice: str, environ: Mapping[str, str], *, as_json: bool) -> System | None:
    """The CI system that *choice* names; for ``auto``, the one whose variable is in *environ*, or ``None``."""
    if choice == "auto":
        here = (name for name, (variable, *_) in _SYSTEMS.items() if environ.get(variable, "").lower() == "true")
        choice = next(here, "none")
    if choice == "none":
        return None
    _, module, name = _SYSTEMS[choice]
    system: System = getattr(import_module(module), name)(environ, as_json=as_json)
    return system
