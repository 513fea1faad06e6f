"""Conda packages into channels and out of them, with the right credentials, from any machine.

Everything public is here, and imported only when it is asked for, so that ``keelback --version`` costs no more than
Python itself.
"""

from __future__ import annotations

from keelback._version import __version__

TYPE_CHECKING = False  # as typing has it; importing typing takes longer than starting Python
if TYPE_CHECKING:
    from typing import Any

    from keelback.archive import Finding, PackageArchive, Severity, discover, inspect
    from keelback.checking import check
    from keelback.credentials.lookup import Match, credential_for
    from keelback.errors import ExitStatus, KeelbackError
    from keelback.publishing import publish
    from keelback.report import ChannelReport, Outcome, Problem, Report, Reporter, Status
    from keelback.secret import Secret
    from keelback.transport.retry import Retry

_HOMES = {
    "ChannelReport": "report",
    "ExitStatus": "errors",
    "Finding": "archive",
    "KeelbackError": "errors",
    "Match": "credentials.lookup",
    "Outcome": "report",
    "PackageArchive": "archive",
    "Problem": "report",
    "Report": "report",
    "Reporter": "report",
    "Retry": "transport.retry",
    "Secret": "secret",
    "Severity": "archive",
    "Status": "report",
    "check": "checking",
    "credential_for": "credentials.lookup",
    "discover": "archive",
    "inspect": "archive",
    "publish": "publishing",
}

__all__ = [
    "ChannelReport",
    "ExitStatus",
    "Finding",
    "KeelbackError",
    "Match",
    "Outcome",
    "PackageArchive",
    "Problem",
    "Report",
    "Reporter",
    "Retry",
    "Secret",
    "Severity",
    "Status",
    "__version__",
    "check",
    "credential_for",
    "discover",
    "inspect",
    "publish",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
