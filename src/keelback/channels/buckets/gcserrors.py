"""What an answer of Google Cloud Storage means that is no success.

(Cloud Storage documentation, "HTTP status and error codes for JSON"; "IAM permissions for JSON methods".)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from keelback.channels.answers import error_of
from keelback.channels.buckets.faults import SLOWLY
from keelback.errors import ChannelError, CredentialError, CredentialRefused, Forbidden, ServerError
from keelback.transport import servers_words

if TYPE_CHECKING:
    from keelback.errors import KeelbackError
    from keelback.transport import Answer

READ: Final = "storage.objects.get"
LIST: Final = "storage.objects.list"
DELETE: Final = "storage.objects.delete"
CREATE: Final = "storage.objects.create"
"""The permissions that requests need; to replace an object, both of the last two."""

HOW_TO_GIVE_ONE: Final = (
    "Run: gcloud auth application-default login, or name a credential file in GOOGLE_APPLICATION_CREDENTIALS, or set "
    "GOOGLE_OAUTH_ACCESS_TOKEN."
)
_ROLE: Final = "roles/storage.objectUser"
_PERMISSION: Final = re.compile(r"\bstorage\.[a-z]+\.[a-zA-Z]+\b")
_NO_BUCKET: Final = re.compile(r"\bbucket\b.{0,300}? does not exist", re.IGNORECASE)
_OBJECT: Final = re.compile(r"\bobject\b", re.IGNORECASE)
_WRONG_HASH: Final = re.compile(r"\b(?:md5|crc32c|checksum|hash)", re.IGNORECASE)
_KEPT: Final = frozenset({"retentionPolicyNotMet", "objectUnderActiveHold"})
_LONGEST_MESSAGE: Final = 2000


def misses_bucket(answer: Answer) -> bool:
    """Whether *answer*, a 404, is about the bucket, and not about an object in it; the status alone does not tell."""
    message = _message(answer)
    return bool(_NO_BUCKET.search(message)) and not _OBJECT.search(message)


def error_for(answer: Answer, bucket: str, source: str | None, needs: str) -> KeelbackError:
    """The error that *answer* stands for.

    Args:
        answer: what the service said; no success.
        bucket: the bucket's name.
        source: where the credential came from; ``None`` where there was none.
        needs: the permission that the request needs.
    """
    error = _error(answer, f"gs://{bucket}", source, needs)
    error.attempts = answer.attempts
    return error


def damaged(subject: str, said: str = "") -> ServerError:
    """The error for content that came to *subject* as something else."""
    return ServerError(
        f"{subject} got other bytes than were sent{said}",
        status=400,
        hint="Something on the way changes what is uploaded; run it again.",
        code="damaged",
    )


def _error(answer: Answer, name: str, source: str | None, needs: str) -> KeelbackError:
    words = servers_words(answer)
    said = f": {words}" if words else ""
    match answer.status:
        case 400:
            return _bad_request(answer, name, said)
        case 401:
            return _unauthorized(name, source, said)
        case 403:
            return _forbidden(answer, name, source, needs, said)
        case 404:
            problem = f"Google Cloud Storage has no bucket {name.removeprefix('gs://')!r} (404){said}"
            hint, code = f"Check its name, or make it: gcloud storage buckets create {name}.", "not-found"
        case 429:
            problem, code = f"Google Cloud Storage limits how often {name} is asked (429){said}", "rate-limited"
            hint = SLOWLY
        case status if status >= 500:
            problem, code = f"Google Cloud Storage has trouble with {name} ({status}){said}", "server"
            hint = "Try again later."
        case _:
            return error_of(answer, source=source)
    return ServerError(problem, status=answer.status, hint=hint, code=code)


def _unauthorized(name: str, source: str | None, said: str) -> CredentialError:
    if source is None:
        return CredentialError(
            f"{name} is not open to everybody, and there is no credential for it", hint=HOW_TO_GIVE_ONE
        )
    return CredentialRefused(
        f"Google Cloud Storage refused the credential from {source} for {name} (401){said}",
        hint=f"It may have expired. {HOW_TO_GIVE_ONE}",
    )


def _forbidden(answer: Answer, name: str, source: str | None, needs: str, said: str) -> ChannelError:
    message, reason = _message(answer), _reason(answer)
    if reason in _KEPT:
        return Forbidden(
            f"{name} keeps its objects as they are (403){said}",
            hint="A retention policy or a hold of the bucket forbids to replace or to delete them.",
        )
    whose = "Whoever has no credential" if source is None else f"The credential from {source}"
    if reason == "insufficientPermissions" or "scope" in message.lower():
        return Forbidden(
            f"{whose} may not do this in {name}, for the lack of an OAuth scope (403){said}",
            hint="Get one with the scope https://www.googleapis.com/auth/devstorage.read_write.",
        )
    named = _PERMISSION.search(message)
    permission = named[0] if named else needs
    also = f" (and {DELETE}, to replace what is there)" if not named and permission == CREATE else ""
    return Forbidden(
        f"{whose} may not do this in {name} (403), for the lack of {permission}{also}{said}",
        hint=HOW_TO_GIVE_ONE if source is None else f"Give its account the role {_ROLE} on the bucket.",
    )


def _bad_request(answer: Answer, name: str, said: str) -> ServerError:
    if _reason(answer) == "userProjectMissing":
        hint = "The bucket has whoever asks pay for it (requester pays), which keelback does not support."
        return ServerError(f"{name} wants to know who pays (400){said}", status=400, hint=hint)
    if _WRONG_HASH.search(_message(answer)):
        return damaged(name, said)
    return ServerError(
        f"Google Cloud Storage refused a request for {name} (400){said}",
        status=400,
        hint="Check the bucket's name, and that of the folder in it.",
    )


def _message(answer: Answer) -> str:
    """The message of the error, in the service's own words, not redacted; empty where there is none."""
    return str(_error_in(answer).get("message", ""))[:_LONGEST_MESSAGE]


def _reason(answer: Answer) -> str:
    """The word by which the service calls its error; empty where there is none."""
    errors = _error_in(answer).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    return str(first.get("reason", "")) if isinstance(first, dict) else ""


def _error_in(answer: Answer) -> dict[str, Any]:
    document = answer.json()
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else {}
