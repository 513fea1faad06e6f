"""Conda packages into channels and out of them, with the right credentials, from any machine.

Everything public is here, and imported only when it is asked for, so that ``keelback --version`` costs no more than
Python itself.
"""

from __future__ import annotations

from keelback._version import __version__

TYPE_CHECKING = False  # as typing has it; importing typing takes longer than starting Python
if TYPE_CHECKING:
    from typing import Any

    from keelback.archive import PackageArchive, discover, inspect
    from keelback.channels.base import Channel
    from keelback.channels.session import BucketOptions
    from keelback.checking import Checked, check
    from keelback.copying import copy
    from keelback.credentials.auth import StoredAuth
    from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, Credential, OAuth, S3Credentials
    from keelback.credentials.lookup import Match, credential_for
    from keelback.errors import (
        ArchiveError,
        AttestationError,
        ChannelError,
        ConflictError,
        CredentialError,
        CredentialFileError,
        CredentialRefused,
        ExchangeError,
        ExitStatus,
        Forbidden,
        IdentityError,
        Interrupted,
        KeelbackError,
        ServerError,
        SourceChanged,
        TransportError,
        UsageError,
    )
    from keelback.fetching import fetch, fetch_locked
    from keelback.findings import Finding, Severity
    from keelback.indexing import IndexReport, index
    from keelback.provenance.packages import Attested, Verification, attest, verify
    from keelback.provenance.policy import Policy
    from keelback.provenance.verifying import Verified
    from keelback.publishing import publish
    from keelback.report import ChannelReport, Outcome, Problem, Report, Reporter, Status
    from keelback.secret import Secret
    from keelback.transport.retry import Retry

_HOMES = {
    "ArchiveError": "errors",
    "AttestationError": "errors",
    "Attested": "provenance.packages",
    "BasicHTTP": "credentials.kinds",
    "BearerToken": "credentials.kinds",
    "BucketOptions": "channels.session",
    "Channel": "channels.base",
    "ChannelError": "errors",
    "ChannelReport": "report",
    "Checked": "checking",
    "CondaToken": "credentials.kinds",
    "ConflictError": "errors",
    "Credential": "credentials.kinds",
    "CredentialError": "errors",
    "CredentialFileError": "errors",
    "CredentialRefused": "errors",
    "ExchangeError": "errors",
    "ExitStatus": "errors",
    "Finding": "findings",
    "Forbidden": "errors",
    "IdentityError": "errors",
    "IndexReport": "indexing",
    "Interrupted": "errors",
    "KeelbackError": "errors",
    "Match": "credentials.lookup",
    "OAuth": "credentials.kinds",
    "Outcome": "report",
    "PackageArchive": "archive",
    "Policy": "provenance.policy",
    "Problem": "report",
    "Report": "report",
    "Reporter": "report",
    "Retry": "transport.retry",
    "S3Credentials": "credentials.kinds",
    "Secret": "secret",
    "ServerError": "errors",
    "Severity": "findings",
    "SourceChanged": "errors",
    "Status": "report",
    "StoredAuth": "credentials.auth",
    "TransportError": "errors",
    "UsageError": "errors",
    "Verification": "provenance.packages",
    "Verified": "provenance.verifying",
    "attest": "provenance.packages",
    "check": "checking",
    "copy": "copying",
    "credential_for": "credentials.lookup",
    "discover": "archive",
    "fetch": "fetching",
    "fetch_locked": "fetching",
    "index": "indexing",
    "inspect": "archive",
    "publish": "publishing",
    "verify": "provenance.packages",
}

__all__ = [
    "ArchiveError",
    "AttestationError",
    "Attested",
    "BasicHTTP",
    "BearerToken",
    "BucketOptions",
    "Channel",
    "ChannelError",
    "ChannelReport",
    "Checked",
    "CondaToken",
    "ConflictError",
    "Credential",
    "CredentialError",
    "CredentialFileError",
    "CredentialRefused",
    "ExchangeError",
    "ExitStatus",
    "Finding",
    "Forbidden",
    "IdentityError",
    "IndexReport",
    "Interrupted",
    "KeelbackError",
    "Match",
    "OAuth",
    "Outcome",
    "PackageArchive",
    "Policy",
    "Problem",
    "Report",
    "Reporter",
    "Retry",
    "S3Credentials",
    "Secret",
    "ServerError",
    "Severity",
    "SourceChanged",
    "Status",
    "StoredAuth",
    "TransportError",
    "UsageError",
    "Verification",
    "Verified",
    "__version__",
    "attest",
    "check",
    "copy",
    "credential_for",
    "discover",
    "fetch",
    "fetch_locked",
    "index",
    "inspect",
    "publish",
    "verify",
]


if not TYPE_CHECKING:  # a type checker knows the names from above, and those only

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - see above

        return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return __all__
