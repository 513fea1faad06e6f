"""How a run is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keelback.errors import UsageError

JOBS: Final = 8
"""How many archives are sent at once, unless told otherwise."""

ASKING: Final = 32
"""How many questions are open at once; they are small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is done; see :func:`keelback.publish`."""

    force: bool = False
    skip_existing: bool = False
    dry_run: bool = False
    verify: float | None = None
    jobs: int = JOBS

    def __post_init__(self) -> None:
        if self.force and self.skip_existing:
            raise UsageError("force and skip-existing contradict each other", hint="Choose one of them.")
        if self.jobs < 1:
            raise UsageError("jobs is at least 1")
