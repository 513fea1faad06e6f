"""What the errors of Azure Blob Storage mean, in the words of :mod:`keelback.errors`.

(Azure Storage REST API, "Status and error codes", "Blob Storage error codes", "Common REST API error codes".)
"""

from __future__ import annotations

import codecs
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from keelback.channels.answers import error_of
from keelback.channels.buckets.azurexml import error_code
from keelback.credentials.azure.sharedkey import TOLERATED_SECONDS, SharedKey, date_in
from keelback.credentials.azure.signatures import SharedAccessSignature
from keelback.errors import ChannelError, CredentialError, CredentialRefused, Forbidden, ServerError
from keelback.hosts import host_of
from keelback.transport import servers_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.channels.access import Access
    from keelback.channels.buckets.azureplace import Place
    from keelback.errors import KeelbackError
    from keelback.transport import Answer

_WRITER: Final = "Storage Blob Data Contributor"
_LETTERS: Final = "rcwld"
"""What a shared access signature has to permit: read, create, write, list, delete ("Permissions for a blob")."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that did not work.

    Attributes:
        answer: what the service said.
        code: the word by which it calls the error; empty where there is none.
        action: what was asked for, as a person would say it: ``write noarch/foo-1.0-0.conda``.
        place: where.
        access: the credential; ``None`` where there was none.
    """

    answer: Answer
    code: str
    action: str
    place: Place
    access: Access | None

    @classmethod
    def of(cls, answer: Answer, action: str, place: Place, access: Access | None) -> Refused:
        """What *answer*, which is not the one that was wanted, says of *action*."""
        return cls(answer, error_code(answer.headers, answer.content), action, place, access)

    @property
    def host(self) -> str:
        """Who said so."""
        return host_of(self.answer.url)

    @property
    def said(self) -> str:
        """The service's own words, in brackets and behind a colon, without what only its support can read."""
        content = self.answer.content.removeprefix(codecs.BOM_UTF8)
        words = servers_words(replace(self.answer, content=content)).partition(" RequestId:")[0]
        return f" ({self.code or self.answer.status}){f': {words}' if words else ''}"

    @property
    def whose(self) -> str:
        """The credential, as the object of a sentence."""
        if self.access is None:
            return "a request without a credential"
        kinds = {SharedKey: "the account key", SharedAccessSignature: "the shared access signature"}
        return f"{kinds.get(type(self.access.credential), 'the token')} from {self.access.source}"


def azure_error(refused: Refused) -> KeelbackError:
    """The error that *refused* stands for."""
    make = _BY_CODE.get(refused.code)
    if make is None:
        make = _by_status if not refused.code else _other
    error = make(refused)
    error.attempts = refused.answer.attempts
    return error


def _by_status(refused: Refused) -> KeelbackError:
    status = refused.answer.status
    if refused.answer.ok:
        return ServerError(
            f"{refused.host} answered {status} when asked to {refused.action}, but not as Azure Blob Storage does",
            status=status,
            hint="Check --endpoint-url, and look for a proxy that answers in its place.",
            code="bad-answer",
        )
    if status in (429, 503):
        return _busy(refused)
    source = None if refused.access is None else refused.access.source
    return error_of(refused.answer, source=source)


def _no_container(refused: Refused) -> KeelbackError:
    return ServerError(
        f"the storage account {refused.place.account!r} has no container {refused.place.container!r}{refused.said}",
        status=refused.answer.status,
        hint=f"Check its name, or make it: az storage container create --account-name {refused.place.account} "
        f"--name {refused.place.container}.",
        code="not-found",
    )


def _no_account(refused: Refused) -> KeelbackError:
    return ChannelError(
        f"{refused.host} serves no storage account {refused.place.account!r}{refused.said}",
        hint="Check the name of the account, and whether it is disabled.",
        code="account",
    )


def _refused(refused: Refused) -> KeelbackError:
    ahead = _seconds_ahead(refused.answer.headers)
    if ahead is not None and abs(ahead) > TOLERATED_SECONDS:
        return ChannelError(
            f"{refused.host} refused {refused.whose}, and this machine's clock is {abs(ahead) / 60:.0f} minutes "
            f"{'fast' if ahead > 0 else 'slow'}{refused.said}",
            hint="Set the clock, best by NTP.",
            code="clock-skew",
        )
    credential = None if refused.access is None else refused.access.credential
    if isinstance(credential, SharedKey):
        hint = f"Check that it is one of the keys of the account {credential.account!r}; it may have been rotated."
    elif isinstance(credential, SharedAccessSignature):
        if _has_expired(refused):
            return CredentialRefused(
                f"{refused.host} refused {refused.whose}, which expired at {credential.expires}{refused.said}",
                hint="Make a new one.",
                code="expired-credential",
            )
        hint = "It may be for another container or account, or be signed with a key that was rotated: make a new one."
    else:
        hint = "It may have expired, or be for something else than https://storage.azure.com: get a new one."
    return CredentialRefused(
        f"{refused.host} refused {refused.whose}{refused.said}",
        hint=hint,
        code="expired-credential" if "expired" in refused.said.lower() else None,
    )


def _has_expired(refused: Refused) -> bool:
    """Whether the shared access signature has expired, by the service's own clock."""
    credential = None if refused.access is None else refused.access.credential
    now = date_in(refused.answer.headers)
    if not isinstance(credential, SharedAccessSignature) or now is None:
        return False
    try:
        until = datetime.fromisoformat(credential.expires)
    except ValueError:
        return False
    return (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() < now


def _seconds_ahead(headers: Mapping[str, str]) -> float | None:
    there = date_in(headers)
    return None if there is None else time.time() - there


def _anonymous(refused: Refused) -> KeelbackError:
    return CredentialError(
        f"{refused.host} does not let everybody {refused.action} in container "
        f"{refused.place.container!r}{refused.said}, and there is no credential for it",
        hint="Log in with az login, or set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN.",
    )


def _forbidden(refused: Refused) -> KeelbackError:
    credential = None if refused.access is None else refused.access.credential
    if credential is None:
        return _anonymous(refused)
    if isinstance(credential, SharedAccessSignature):
        has = f"; it permits {credential.permissions!r}" if credential.permissions else ""
        hint = f"It has to permit {_LETTERS!r} on the container{has}."
    elif isinstance(credential, SharedKey):
        hint = "A key may do everything, unless a policy forbids it."
    else:
        hint = f"Assign the role {_WRITER!r} on the container to whoever it is; that takes effect within minutes."
    return Forbidden(
        f"{refused.host} does not allow {refused.whose} to {refused.action}{refused.said}",
        hint=hint,
    )


def _keeps_out(refused: Refused) -> KeelbackError:
    """Azure says the same of rights that are missing and of its firewall, and emulators of a bad signature, too."""
    if _has_expired(refused) or "authenticate" in refused.said:
        return _refused(refused)
    error = _forbidden(refused)
    error.hint = f"{error.hint} Or the network rules (firewall) of the account keep this machine out."
    return error


def _no_keys(refused: Refused) -> KeelbackError:
    return CredentialRefused(
        f"the storage account {refused.place.account!r} takes no account keys, and nothing signed with "
        f"one{refused.said}",
        hint=f"Use a token of Entra ID: log in with az login, as somebody with the role {_WRITER!r}.",
        code="wrong-kind",
    )


def _busy(refused: Refused) -> KeelbackError:
    tries = refused.answer.attempts
    return ServerError(
        f"{refused.host} had no time to {refused.action}, in {tries} attempt{'s' if tries != 1 else ''}{refused.said}",
        status=refused.answer.status,
        hint="Try again later, or with fewer at once (--jobs, where the command has it).",
        code="rate-limited",
    )


def _leased(refused: Refused) -> KeelbackError:
    return ChannelError(
        f"{refused.host} did not {refused.action}: somebody has locked it with a lease{refused.said}",
        hint="Have the lease broken: az storage blob lease break.",
        code="locked",
    )


def _immutable(refused: Refused) -> KeelbackError:
    return Forbidden(
        f"{refused.host} did not {refused.action}: it may not be changed{refused.said}",
        hint="The container, or the blob, has an immutability policy, a legal hold or snapshots. A channel's index has "
        "to change.",
    )


def _version(refused: Refused) -> KeelbackError:
    return ServerError(
        f"{refused.host} does not understand the request to {refused.action}{refused.said}",
        status=refused.answer.status,
        hint="An emulator or a stack of one's own may be too old: it needs version 2021-12-02 of the interface.",
    )


def _damaged(refused: Refused) -> KeelbackError:
    return ServerError(
        f"{refused.host} received other bytes than were sent, when asked to {refused.action}{refused.said}",
        status=refused.answer.status,
        hint="Something on the way changes what is uploaded, such as a proxy; nothing was stored.",
        code="damaged",
    )


def _too_large(refused: Refused) -> KeelbackError:
    return ServerError(
        f"{refused.host} refused to {refused.action}: it is too large{refused.said}",
        status=refused.answer.status,
        hint="The service, or a proxy in front of it, limits the size of a request.",
        code="too-large",
    )


def _other(refused: Refused) -> KeelbackError:
    return ServerError(
        f"{refused.host} did not {refused.action}{refused.said}",
        status=refused.answer.status,
        code={404: "not-found", 422: "rejected"}.get(refused.answer.status),
    )


_MAKERS: Final[Mapping[Callable[[Refused], KeelbackError], tuple[str, ...]]] = {
    _no_container: ("ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"),
    _no_account: ("AccountIsDisabled", "ResourceNotFound", "InvalidResourceName"),
    _refused: (
        "AuthenticationFailed",
        "InvalidAuthenticationInfo",
        "InvalidAuthenticationResponse",
        "UnauthorizedAuthenticationInfo",
    ),
    _anonymous: ("NoAuthenticationInformation", "PublicAccessNotPermitted"),
    _forbidden: (
        "AuthorizationPermissionMismatch",
        "AuthorizationProtocolMismatch",
        "AuthorizationResourceTypeMismatch",
        "AuthorizationServiceMismatch",
        "InsufficientAccountPermissions",
        "UnauthorizedBlobOverwrite",
    ),
    _keeps_out: ("AuthorizationFailure", "AuthorizationSourceIPMismatch"),
    _no_keys: ("KeyBasedAuthenticationNotPermitted",),
    _busy: ("ServerBusy", "OperationTimedOut", "InternalError"),
    _leased: ("LeaseIdMissing", "LeaseIdMismatchWithBlobOperation", "LeaseAlreadyPresent"),
    _immutable: ("BlobImmutableDueToPolicy", "SnapshotsPresent", "BlobArchived", "InvalidBlobType"),
    _version: ("InvalidHeaderValue", "UnsupportedHeader", "UnsupportedHttpVerb", "FeatureVersionMismatch"),
    _damaged: ("Md5Mismatch", "InvalidMd5", "Crc64Mismatch"),
    _too_large: ("RequestBodyTooLarge", "RequestEntityTooLarge", "BlockListTooLong"),
}
_BY_CODE: Final = {code: make for make, codes in _MAKERS.items() for code in codes}
