"""What the errors of a service with the S3 protocol mean, in the words of :mod:`keelback.errors`.

(Amazon S3 API Reference, "Error responses": the codes; those that other services have stand beside them.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from keelback.channels.answers import error_of, expect
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
)
from keelback.credentials.sigv4 import TOLERATED_SECONDS
from keelback.errors import ChannelError, CredentialError, CredentialRefused, Forbidden, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.channels.buckets.s3reply import Reply
    from keelback.errors import KeelbackError

NO_BUCKET: Final = "NoSuchBucket"
SKEWED: Final = ("RequestTimeTooSkewed", "RequestExpired")


@dataclass(frozen=True, slots=True)
class Place:
    """What messages say of a bucket.

    Attributes:
        bucket: its name.
        host: the service.
        region: for which region requests are signed.
        resource: the channel, as policies name what is in it.
        source: where the keys came from; ``None`` where there are none.
    """

    bucket: str
    host: str
    region: str
    resource: str
    source: str | None


@dataclass(frozen=True, slots=True)
class Action:
    """What a request is for.

    Attributes:
        what: as a person would say it: ``write noarch/foo-1.0-0.conda``.
        permission: what a policy calls it: ``s3:PutObject``.
    """

    what: str
    permission: str


@dataclass(frozen=True, slots=True)
class _Refused(Refused):
    """A request to a bucket that did not work.

    Attributes:
        permission: what a policy calls the action.
        region: where the service says that the bucket is; empty where it does not.
        place: the bucket.
    """

    permission: str
    region: str
    place: Place

    @property
    def host(self) -> str:
        """See :class:`Refused`."""
        return self.place.host

    @property
    def how_to_make(self) -> str:
        """How the bucket is made."""
        if not re.search(r"\.amazonaws\.com(?:\.cn)?$", self.host):
            return "make it with the service's own tools"
        return f"make it: aws s3 mb s3://{self.place.bucket} --region {self.place.region}"

    @property
    def whose(self) -> str:
        """What the request was signed with, as the object of a sentence."""
        return "an anonymous request" if self.place.source is None else f"the keys from {self.place.source}"


def s3_error(reply: Reply, action: Action, place: Place) -> KeelbackError:
    """The error that *reply*, which does not say that *action* worked, stands for."""
    what = f"{action.what} in bucket {place.bucket!r}"
    refused = _Refused(reply.answer, reply.code, what, action.permission, reply.region, place)
    make = _BY_CODE.get(reply.code) or _BY_STATUS.get(reply.status) or (OTHER if reply.code else _unexplained)
    error = make(refused)
    error.attempts = reply.answer.attempts
    return error


def _unexplained(it: _Refused) -> KeelbackError:
    if not it.answer.ok:
        return error_of(it.answer, source=it.place.source)
    try:
        expect(it.answer)
    except ServerError as error:  # a web page has an error of its own
        return error
    return not_as("an S3 service", it, "Check --endpoint-url: it has to be that of the service's S3 interface.")


def _forbidden(it: _Refused) -> KeelbackError:
    if it.place.source is None:
        return CredentialError(
            f"{it.host} does not let everybody {it.action}{it.said}, and there are no keys for it",
            hint=f"Log in with: keelback auth login s3://{it.place.bucket}; or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY.",
        )
    return Forbidden(
        f"{it.host} does not allow {it.whose} to {it.action}{it.said}",
        hint=f"Their policy has to allow {it.permission} on {it.place.resource}.",
    )


def _skewed(it: _Refused) -> KeelbackError:
    off = clock_off_by(it.answer.headers, TOLERATED_SECONDS)
    return clock_skew(f"{it.host} says that this machine's clock is wrong{f', by {off}' if off else ''}{it.said}")


def _elsewhere(it: _Refused) -> KeelbackError:
    where = f"in region {it.region!r}" if it.region else "elsewhere"
    return ChannelError(
        f"bucket {it.place.bucket!r} is {where}, and not at {it.host} in region {it.place.region!r}{it.said}",
        hint=f"Give its region with --region {it.region or 'REGION'}, and its endpoint with --endpoint-url where "
        "the service has one for each region.",
        code="wrong-region",
    )


_REFUSED: Final = Meaning(
    "{it.host} refused {it.whose}",
    "Check both parts of the key: it may be of another account or service, or deleted.",
    kind=CredentialRefused,
)
_WRONG_SECRET: Final = replace(
    _REFUSED, hint="The access key id is known, and the secret access key does not belong to it: give both anew."
)
_EXPIRED: Final = Meaning(
    "the session token of {it.whose} has expired, says {it.host}",
    "Get new keys with the tool that gave these, and run the same command again.",
    "expired-credential",
    CredentialRefused,
)
_NO_BUCKET: Final = Meaning(
    "{it.host} has no bucket {it.place.bucket!r}",
    "Check its name, the endpoint and the region, or {it.how_to_make}.",
    "not-found",
)
_BAD_NAME: Final = Meaning(
    "{it.host} does not take {it.place.bucket!r} as the name of a bucket",
    "Names of buckets have 3 to 63 lower-case letters, digits, dots and hyphens.",
    "bad-bucket-name",
    ChannelError,
)
_ACCOUNT: Final = Meaning(
    "{it.host} does nothing for the account of bucket {it.place.bucket!r}",
    "Its owner has to settle that with the service.",
    "account",
    Forbidden,
)
_FULL: Final = Meaning(
    "{it.host} has no room to {it.action}", "Make room in the bucket, or have its quota raised.", "full"
)

_MEANINGS: Final[Mapping[Callable[[_Refused], KeelbackError], tuple[str, ...]]] = {
    _NO_BUCKET: (NO_BUCKET,),
    _BAD_NAME: ("InvalidBucketName",),
    _forbidden: ("AccessDenied", "AllAccessDisabled", "Forbidden", "AccessForbidden"),
    _REFUSED: ("InvalidAccessKeyId", "InvalidToken", "InvalidSecurity", "AuthFailure", "Unauthorized"),
    _WRONG_SECRET: ("SignatureDoesNotMatch",),
    _EXPIRED: ("ExpiredToken", "TokenRefreshRequired", "ExpiredTokenException"),
    _skewed: SKEWED,
    _elsewhere: (
        "PermanentRedirect",
        "TemporaryRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
    ),
    _ACCOUNT: ("AccountProblem", "NotSignedUp", "InvalidPayer", "UserSuspended"),
    BUSY: ("SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Throttling"),
    TOO_LARGE: ("EntityTooLarge",),
    DAMAGED: ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"),
    _FULL: ("XMinioStorageFull", "QuotaExceeded", "InsufficientStorage"),
    replace(OTHER, code="not-found"): ("NoSuchKey",),
    replace(OTHER, code="not-implemented"): ("NotImplemented",),
}
_BY_CODE: Final = {code: make for make, codes in _MEANINGS.items() for code in codes}
_BY_STATUS: Final[Mapping[int, Callable[[_Refused], KeelbackError]]] = {
    301: _elsewhere,
    307: _elsewhere,
    401: _REFUSED,
    403: _forbidden,
    429: BUSY,
    503: BUSY,
}
"""What is made of an answer without a code, or with one that nobody knows."""
