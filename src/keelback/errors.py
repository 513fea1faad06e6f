"""Every error a user can meet.

::

    KeelbackError                 code, message, hint, exit status
    ├── UsageError                invalid arguments                                        exit 2
    ├── ArchiveError              a file is no package that can be published              exit 1
    ├── CredentialError           no credential, or one that cannot be used              exit 3
    │   ├── CredentialFileError   an auth file that cannot be read                        exit 3
    │   ├── CredentialStoreError  a store that cannot be written                          exit 3
    │   ├── CredentialRefused     the server did not take it (401)                        exit 3
    │   ├── IdentityError         the CI system's identity cannot be obtained            exit 3
    │   └── ExchangeError         a server gave no token for the identity                 exit 3
    ├── ChannelError              the channel or its server said no                       exit 1
    │   ├── ConflictError         the file is there with other bytes
    │   ├── Forbidden             the credential is good but may not do this (403)
    │   └── ServerError           any other answer that is not a success
    ├── AttestationError          an attestation is missing or does not verify            exit 1
    ├── TransportError            no answer: connection, time-out, TLS                    exit 1
    ├── SourceChanged             the archive changed or vanished while it was being sent exit 1
    └── Interrupted               stopped by the user                                     exit 130

A message says what happened and where; a hint says what to do next. Neither ever holds a secret, nor anything by which
what somebody else wrote could steer a terminal: both are made presentable when the error is made.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from keelback.findings import printable
from keelback.secret import redact

if TYPE_CHECKING:
    from keelback.findings import Finding


RUN_AGAIN: Final = "Run the same command again: it does only what is left."
"""What to do about a run that was stopped."""


class ExitStatus(IntEnum):
    """What a ``keelback`` command tells the shell."""

    OK = 0
    """All went well."""
    FAILED = 1
    """At least one archive failed, or did not pass its checks."""
    USAGE = 2
    """Invalid arguments; nothing was sent."""
    CREDENTIAL = 3
    """No credential was found, or the server refused it."""
    NOT_VISIBLE = 4
    """Everything was accepted, but the channel's index did not show all of it before the deadline (``--verify``)."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C or a termination signal."""


def presentable(text: str) -> str:
    """*text* without secrets and, but for line breaks, without control characters."""
    return "\n".join(printable(line) for line in redact(text).split("\n"))


class KeelbackError(Exception):
    """The root of everything keelback raises on purpose.

    Attributes:
        message: what happened, and where; one or two sentences.
        hint: what to do next; empty when there is nothing useful to say.
        code: a stable word for programs, as in the ``error.code`` of ``--json``.
        exit_status: what a command that ends with this error tells the shell.
        attempts: how often it was tried before this was the last word.
    """

    code = "error"
    exit_status = ExitStatus.FAILED
    attempts = 1

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        self.message = presentable(message)
        self.hint = presentable(hint)
        super().__init__(self.message)
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message


class UsageError(KeelbackError):
    """Invalid arguments: no such file, an unknown scheme, a bad channel name."""

    code = "usage"
    exit_status = ExitStatus.USAGE


class ArchiveError(KeelbackError):
    """A file cannot be published; ``code`` and ``hint`` are those of its first error.

    Attributes:
        findings: everything found in it, errors first.
    """

    code = "bad-archive"

    def __init__(
        self, message: str, *, hint: str = "", code: str | None = None, findings: tuple[Finding, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.findings = findings


class CredentialError(KeelbackError):
    """There is no credential for a server, or none that this server could use."""

    code = "no-credential"
    exit_status = ExitStatus.CREDENTIAL


class CredentialFileError(CredentialError):
    """An auth file is missing although it was named, cannot be read, or is malformed."""

    code = "bad-credential-file"


class CredentialStoreError(CredentialError):
    """A store that cannot be changed: read-only, locked, or not there."""

    code = "store"


class CredentialRefused(CredentialError):
    """The server did not take the credential (401)."""

    code = "credential-refused"


class IdentityError(CredentialError):
    """The identity that a CI system makes (an ID token) cannot be obtained, or is not the one that was asked for."""

    code = "no-identity"


class ExchangeError(CredentialError):
    """A server gave no token in exchange for the CI system's identity.

    Attributes:
        claims: ``NAME=VALUE`` of what the identity says by which the server could know it, and did not; empty where the
            reason is another.
    """

    code = "exchange-refused"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None, claims: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint, code=code)
        self.claims = claims


class ChannelError(KeelbackError):
    """The channel or its server said no."""

    code = "channel"


class ConflictError(ChannelError):
    """The channel has a file of that name already, with other bytes."""

    code = "conflict"


class Forbidden(ChannelError):
    """The server knows the credential, and does not allow it to do this (403)."""

    code = "forbidden"


class ServerError(ChannelError):
    """An answer that is neither a success nor one of the above; ``status`` is its HTTP status."""

    code = "server"

    def __init__(self, message: str, *, status: int, hint: str = "", code: str | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status


class AttestationError(KeelbackError):
    """An attestation that is missing, cannot be made, or does not verify."""

    code = "bad-attestation"


class TransportError(KeelbackError):
    """No answer came: the connection failed, broke or stalled, or TLS could not be set up."""

    code = "transport"


class SourceChanged(KeelbackError):
    """An archive changed or vanished between its check and the end of its upload."""

    code = "source-changed"


class Interrupted(KeelbackError):
    """The run was stopped while this was under way; whether the file arrived is not known."""

    code = "interrupted"
    exit_status = ExitStatus.INTERRUPTED
