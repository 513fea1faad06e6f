"""What the errors of an object store mean, in the words of :mod:`keelback.errors`.

(Amazon S3 API Reference, "Error responses": the codes; what other services send besides stands beside theirs.)
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.channels.answers import error_of, expect
from keelback.credentials.sigv4 import TOLERATED_SECONDS, seconds_ahead
from keelback.errors import ChannelError, CredentialError, CredentialRefused, Forbidden, ServerError
from keelback.transport import servers_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.channels.buckets.s3requests import Reply
    from keelback.errors import KeelbackError

_EXPIRED: Final = frozenset({"ExpiredToken", "TokenRefreshRequired", "ExpiredTokenException"})
_REFUSED: Final = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity", "AuthFailure", "Unauthorized"}
)
_FORBIDDEN: Final = frozenset({"AccessDenied", "AllAccessDisabled", "Forbidden", "AccessForbidden"})
_ACCOUNT: Final = frozenset({"AccountProblem", "NotSignedUp", "InvalidPayer", "UserSuspended"})
_SKEWED: Final = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_ELSEWHERE: Final = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
_BUSY: Final = frozenset({"SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Throttling"})
_DAMAGED: Final = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"})
_FULL: Final = frozenset({"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage"})

NO_BUCKET: Final = "NoSuchBucket"
SKEWED: Final = _SKEWED
WRONG_REGION: Final = _ELSEWHERE
SLOWLY: Final = "Try again later, or with fewer at once (--jobs, where the command has it)."


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


def s3_error(reply: Reply, action: Action, place: Place) -> KeelbackError:
    """The error that *reply*, which does not say that *action* worked, stands for."""
    error = _error(reply, action, place)
    error.attempts = reply.answer.attempts
    return error


def _error(reply: Reply, action: Action, place: Place) -> KeelbackError:
    by_code = (make for codes, make in _BY_CODE if reply.code in codes)
    make = next(by_code, None) or _BY_STATUS.get(reply.status) or (_other if reply.code else None)
    if make is not None:
        return make(reply, action, place)
    return _bad_answer(reply, action, place) if reply.ok else error_of(reply.answer, source=place.source)


def _bad_answer(reply: Reply, action: Action, place: Place) -> KeelbackError:
    try:
        expect(reply.answer)
    except ServerError as error:  # a web page has an error of its own
        return error
    return ServerError(
        f"{place.host} answered {reply.status} when asked to {action.what}, but not as an object store does",
        status=reply.status,
        hint="Check --endpoint-url: it has to be that of the service's S3 interface.",
        code="bad-answer",
    )


def _said(reply: Reply) -> str:
    """The service's own words, in brackets and behind a colon."""
    words = servers_words(reply.answer)
    return f" ({reply.code or reply.status}){f': {words}' if words else ''}"


def _no_bucket(reply: Reply, _action: Action, place: Place) -> KeelbackError:
    return ServerError(
        f"{place.host} has no bucket {place.bucket!r}{_said(reply)}",
        status=reply.status,
        hint="Check its name, the endpoint and the region; a bucket is made with the service's own tools.",
        code="not-found",
    )


def _bad_name(reply: Reply, _action: Action, place: Place) -> KeelbackError:
    return ChannelError(
        f"{place.host} does not take {place.bucket!r} as the name of a bucket{_said(reply)}",
        hint="Names of buckets have 3 to 63 lower-case letters, digits, dots and hyphens.",
        code="bad-bucket-name",
    )


def _forbidden(reply: Reply, action: Action, place: Place) -> KeelbackError:
    if place.source is None:
        return CredentialError(
            f"{place.host} does not let everybody {action.what} in bucket {place.bucket!r}{_said(reply)}, and there "
            "are no keys for it",
            hint=f"Log in with: keelback auth login s3://{place.bucket}; or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY.",
        )
    return Forbidden(
        f"{place.host} does not allow the keys from {place.source} to {action.what} in bucket "
        f"{place.bucket!r}{_said(reply)}",
        hint=f"Their policy has to allow {action.permission} on {place.resource}.",
    )


def _refused(reply: Reply, _action: Action, place: Place) -> KeelbackError:
    whose = "an anonymous request" if place.source is None else f"the keys from {place.source}"
    hint = "Check both parts of the key: it may be of another account or service, or deleted."
    if reply.code == "SignatureDoesNotMatch":
        hint = "The access key id is known, and the secret access key is not its own: give both anew."
    return CredentialRefused(f"{place.host} refused {whose}{_said(reply)}", hint=hint)


def _expired(reply: Reply, _action: Action, place: Place) -> KeelbackError:
    return CredentialRefused(
        f"the session token of the keys from {place.source} has expired, says {place.host}{_said(reply)}",
        hint="Get new keys with the tool that gave these, and run the same command again.",
        code="expired-credential",
    )


def _skewed(reply: Reply, _action: Action, place: Place) -> KeelbackError:
    ahead = seconds_ahead(reply.answer.headers, time.time())
    off = ""
    if ahead is not None and abs(ahead) > TOLERATED_SECONDS:
        off = f", by {abs(ahead) / 60:.0f} minutes {'fast' if ahead > 0 else 'slow'}"
    return ChannelError(
        f"{place.host} says that this machine's clock is wrong{off}{_said(reply)}",
        hint="Set the clock, best by NTP.",
        code="clock-skew",
    )


def _elsewhere(reply: Reply, _action: Action, place: Place) -> KeelbackError:
    where = f"in region {reply.region!r}" if reply.region else "elsewhere"
    return ChannelError(
        f"bucket {place.bucket!r} is {where}, and not at {place.host} in region {place.region!r}{_said(reply)}",
        hint=f"Give its region with --region {reply.region or 'REGION'}, and its endpoint with --endpoint-url where "
        "the service has one for each region.",
        code="wrong-region",
    )


def _account(reply: Reply, _action: Action, place: Place) -> KeelbackError:
    return Forbidden(
        f"{place.host} does nothing for the account of bucket {place.bucket!r}{_said(reply)}",
        hint="Its owner has to settle that with the service.",
        code="account",
    )


def _busy(reply: Reply, action: Action, place: Place) -> KeelbackError:
    tries = reply.answer.attempts
    return ServerError(
        f"{place.host} had no time to {action.what} in bucket {place.bucket!r}, in {tries} "
        f"attempt{'s' if tries != 1 else ''}{_said(reply)}",
        status=reply.status,
        hint=SLOWLY,
        code="rate-limited",
    )


def _too_large(reply: Reply, action: Action, place: Place) -> KeelbackError:
    return ServerError(
        f"{place.host} refused to {action.what}: it is too large{_said(reply)}",
        status=reply.status,
        hint="The service, or a proxy in front of it, limits the size of an object or of a request.",
        code="too-large",
    )


def _damaged(reply: Reply, action: Action, place: Place) -> KeelbackError:
    return ServerError(
        f"{place.host} received other bytes than were sent, when asked to {action.what}{_said(reply)}",
        status=reply.status,
        hint="Something on the way changes what is uploaded, such as a proxy; nothing was stored.",
        code="damaged",
    )


def _full(reply: Reply, action: Action, place: Place) -> KeelbackError:
    return ServerError(
        f"{place.host} has no room to {action.what} in bucket {place.bucket!r}{_said(reply)}",
        status=reply.status,
        hint="Make room in the bucket, or have its quota raised.",
        code="full",
    )


def _other(reply: Reply, action: Action, place: Place) -> KeelbackError:
    codes = {"NoSuchKey": "not-found", "NotImplemented": "not-implemented"}
    return ServerError(
        f"{place.host} did not {action.what} in bucket {place.bucket!r}{_said(reply)}",
        status=reply.status,
        code=codes.get(reply.code),
    )


_BY_CODE: Final[tuple[tuple[frozenset[str], Callable[[Reply, Action, Place], KeelbackError]], ...]] = (
    (frozenset({NO_BUCKET}), _no_bucket),
    (frozenset({"InvalidBucketName"}), _bad_name),
    (_FORBIDDEN, _forbidden),
    (_REFUSED, _refused),
    (_EXPIRED, _expired),
    (_SKEWED, _skewed),
    (_ELSEWHERE, _elsewhere),
    (_ACCOUNT, _account),
    (_BUSY, _busy),
    (frozenset({"EntityTooLarge"}), _too_large),
    (_DAMAGED, _damaged),
    (_FULL, _full),
)
_BY_STATUS: Final = {
    301: _elsewhere,
    307: _elsewhere,
    401: _refused,
    403: _forbidden,
    429: _busy,
    503: _busy,
}
"""What is made of an answer without a code, or with one that nobody knows."""
