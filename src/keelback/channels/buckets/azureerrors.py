"""What the errors of Azure Blob Storage mean, in the words of :mod:`keelback.errors`.

(Azure Storage REST API, "Status and error codes", "Blob Storage error codes", "Common REST API error codes".)
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from keelback.channels.answers import error_of
from keelback.channels.buckets.azurexml import error_code
from keelback.channels.buckets.faults import (
    BUSY,
    DAMAGED,
    OTHER,
    TOO_LARGE,
    Meaning,
    Refused,
    clock_off_by,
    clock_skew,
    not_as,
    said_in,
)
from keelback.credentials.azure.sharedkey import TOLERATED_SECONDS, SharedKey
from keelback.credentials.azure.signatures import SharedAccessSignature
from keelback.errors import ChannelError, CredentialError, CredentialRefused, Forbidden
from keelback.hosts import host_of
from keelback.transport.dates import http_time, iso_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.channels.access import Access
    from keelback.channels.buckets.azureplace import Place
    from keelback.credentials.kinds import Credential
    from keelback.errors import KeelbackError
    from keelback.transport import Answer

SERVICE: Final = "Azure Blob Storage"
_WRITER: Final = "Storage Blob Data Contributor"
_LETTERS: Final = "rcwld"
"""What a shared access signature has to permit: read, create, write, list, delete ("Permissions for a blob")."""


@dataclass(frozen=True, slots=True)
class _Refused(Refused):
    """A request to a container that did not work.

    Attributes:
        place: the container.
        access: the credential; ``None`` where there was none.
    """

    place: Place
    access: Access | None

    @property
    def host(self) -> str:
        """See :class:`Refused`."""
        return host_of(self.answer.url)

    @property
    def said(self) -> str:
        """See :class:`Refused`; without what only the service's support can read."""
        content = self.answer.content.removeprefix(codecs.BOM_UTF8)
        return said_in(replace(self.answer, content=content), self.code).partition(" RequestId:")[0]

    @property
    def credential(self) -> Credential | None:
        """The credential itself."""
        return None if self.access is None else self.access.credential

    @property
    def whose(self) -> str:
        """The credential, as the object of a sentence."""
        if self.access is None:
            return "a request without a credential"
        return f"the {self.access.credential.noun} from {self.access.source}"


def azure_error(answer: Answer, action: str, place: Place, access: Access | None) -> KeelbackError:
    """The error that *answer*, which does not say that *action* worked, stands for.

    Args:
        answer: what the service said.
        action: what was asked for, as a person would say it: ``write noarch/foo-1.0-0.conda``.
        place: where.
        access: the credential; ``None`` where there was none.
    """
    refused = _Refused(answer, error_code(answer.headers, answer.content), action, place, access)
    make = _BY_CODE.get(refused.code) or (_other if refused.code else _unexplained)
    error = make(refused)
    error.attempts = answer.attempts
    return error


def _unexplained(it: _Refused) -> KeelbackError:
    if it.answer.ok:
        hint = "Check --endpoint-url, and look for a proxy that answers in its place."
        return not_as(SERVICE, it, hint)
    if it.answer.status in (429, 503):
        return BUSY(it)
    return error_of(it.answer, source=None if it.access is None else it.access.source)


def _other(it: _Refused) -> KeelbackError:
    return replace(OTHER, code={404: "not-found", 422: "rejected"}.get(it.answer.status))(it)


def _refused(it: _Refused) -> KeelbackError:
    off = clock_off_by(it.answer.headers, TOLERATED_SECONDS)
    if off:
        return clock_skew(f"{it.host} refused {it.whose}, and this machine's clock is {off}{it.said}")
    if isinstance(it.credential, SharedKey):
        hint = f"Check that it is one of the keys of the account {it.credential.account!r}; it may have been rotated."
    elif isinstance(it.credential, SharedAccessSignature):
        if _has_expired(it):
            return CredentialRefused(
                f"{it.host} refused {it.whose}, which expired at {it.credential.expires}{it.said}",
                hint="Make a new one.",
                code="expired-credential",
            )
        hint = "It may be for another container or account, or be signed with a key that was rotated: make a new one."
    else:
        hint = "It may have expired, or be for something else than https://storage.azure.com: get a new one."
    return CredentialRefused(
        f"{it.host} refused {it.whose}{it.said}",
        hint=hint,
        code="expired-credential" if "expired" in it.said.lower() else None,
    )


def _has_expired(it: _Refused) -> bool:
    """Whether the shared access signature has expired, by the service's own clock."""
    if not isinstance(it.credential, SharedAccessSignature):
        return False
    now, until = http_time(it.answer.headers.get("date")), iso_time(it.credential.expires)
    return now is not None and until is not None and until < now


def _anonymous(it: _Refused) -> KeelbackError:
    return CredentialError(
        f"{it.host} does not let everybody {it.action} in container {it.place.container!r}{it.said}, and there is no "
        "credential for it",
        hint="Log in with az login, or set AZURE_STORAGE_ACCOUNT, and AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN.",
    )


def _forbidden(it: _Refused) -> KeelbackError:
    if it.credential is None:
        return _anonymous(it)
    if isinstance(it.credential, SharedAccessSignature):
        has = f"; it permits {it.credential.permissions!r}" if it.credential.permissions else ""
        hint = f"It has to permit {_LETTERS!r} on the container{has}."
    elif isinstance(it.credential, SharedKey):
        hint = "A key may do everything, unless a policy forbids it."
    else:
        hint = f"Assign the role {_WRITER!r} on the container to whoever it is; that takes effect within minutes."
    return Forbidden(f"{it.host} does not allow {it.whose} to {it.action}{it.said}", hint=hint)


def _keeps_out(it: _Refused) -> KeelbackError:
    """Azure says the same of missing rights and of its firewall, and some emulators say it of a bad signature."""
    if _has_expired(it) or "authenticate" in it.said:
        return _refused(it)
    error = _forbidden(it)
    error.hint = f"{error.hint} Or the network rules (firewall) of the account keep this machine out."
    return error


_NO_CONTAINER: Final = Meaning(
    "the storage account {it.place.account!r} has no container {it.place.container!r}",
    "Check its name, or make it: az storage container create --account-name {it.place.account} "
    "--name {it.place.container}.",
    "not-found",
)
_NO_ACCOUNT: Final = Meaning(
    "{it.host} serves no storage account {it.place.account!r}",
    "Check the name of the account, and whether it is disabled.",
    "account",
    ChannelError,
)
_NO_KEYS: Final = Meaning(
    "the storage account {it.place.account!r} takes no account keys, and nothing signed with one",
    f"Use a token of Entra ID: log in with az login, as somebody with the role {_WRITER!r}.",
    "wrong-kind",
    CredentialRefused,
)
_LEASED: Final = Meaning(
    "{it.host} did not {it.action}: somebody has locked it with a lease",
    "Have the lease broken: az storage blob lease break.",
    "locked",
    ChannelError,
)
_IMMUTABLE: Final = Meaning(
    "{it.host} did not {it.action}: it may not be changed",
    "The container, or the blob, has an immutability policy, a legal hold or snapshots. A channel's index has "
    "to change.",
    kind=Forbidden,
)
_VERSION: Final = Meaning(
    "{it.host} does not understand the request to {it.action}",
    "An emulator or a private installation may be too old: it needs version 2021-12-02 of the interface.",
)

_MEANINGS: Final[Mapping[Callable[[_Refused], KeelbackError], tuple[str, ...]]] = {
    _NO_CONTAINER: ("ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"),
    _NO_ACCOUNT: ("AccountIsDisabled", "ResourceNotFound", "InvalidResourceName"),
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
    _NO_KEYS: ("KeyBasedAuthenticationNotPermitted",),
    BUSY: ("ServerBusy", "OperationTimedOut", "InternalError"),
    _LEASED: ("LeaseIdMissing", "LeaseIdMismatchWithBlobOperation", "LeaseAlreadyPresent"),
    _IMMUTABLE: ("BlobImmutableDueToPolicy", "SnapshotsPresent", "BlobArchived", "InvalidBlobType"),
    _VERSION: ("InvalidHeaderValue", "UnsupportedHeader", "UnsupportedHttpVerb", "FeatureVersionMismatch"),
    DAMAGED: ("Md5Mismatch", "InvalidMd5", "Crc64Mismatch"),
    TOO_LARGE: ("RequestBodyTooLarge", "RequestEntityTooLarge", "BlockListTooLong"),
}
_BY_CODE: Final = {code: make for make, codes in _MEANINGS.items() for code in codes}
