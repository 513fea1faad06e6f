"""Keelback as a helper: answers to other programs that ask for a credential.

Keelback's own protocol is one JSON object on standard input, and one on standard output::

    {"version": 1, "action": "get", "url": "https://repo.prefix.dev/my-channel"}

    {"version": 1, "url": "https://repo.prefix.dev/my-channel", "found": true,
     "kind": "BearerToken", "token": "...", "headers": {"Authorization": ["Bearer ..."]}, "expires_at": null,
     "key": "*.prefix.dev", "store": "the keychain"}

The kind says which members hold the credential: ``token`` for ``BearerToken``, ``OAuth`` and ``CondaToken``;
``username`` and ``password`` for ``BasicHTTP``; ``access_key_id``, ``secret_access_key`` and ``session_token`` for
``S3Credentials``. ``headers`` are those to send, and ``url_with_token`` is the URL to ask in place of the one that was
given, where the credential goes there. ``expires_at`` is in Unix seconds, and ``null`` where it is not known. Where
there is no credential, the answer is ``{"version": 1, "url": ..., "found": false}``; where something is wrong,
``{"version": 1, "error": {"code", "message", "hint"}}``. Later versions may add members, which are to be ignored.

Two protocols of others are answered as well: the Credential Helpers Specification of EngFlow, which Bazel speaks, and
Docker's (docker-credential-helpers).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from keelback.credentials.helpers import IDENTITY_TOKEN, NONE_FOUND, PROTOCOL_VERSION
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, OAuth, S3Credentials
from keelback.errors import CredentialError, ExitStatus, KeelbackError, UsageError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.kinds import Credential
    from keelback.credentials.lookup import Match

    Lookup = Callable[[str], Match | None]
    """Given a URL, finds its credential; may raise any :class:`~keelback.errors.KeelbackError`."""

__all__ = ["answer", "answer_bazel", "answer_docker"]


def answer(request: str, lookup: Lookup) -> tuple[dict[str, object], ExitStatus]:
    """Answer a request in keelback's own protocol.

    Args:
        request: what came on standard input.
        lookup: finds the credential of a URL.

    Returns:
        What to print, as JSON, and the exit status, which is that of success where there is no credential, too. What
        is wrong with the request or with the credential is in the answer, and is not raised.
    """
    try:
        url = _requested(_object(request))
        match = lookup(url)
        if match is None:
            return {"version": PROTOCOL_VERSION, "url": url, "found": False}, ExitStatus.OK
        credential = _current(match.credential)
        found = {"kind": credential.kind, **_members(credential), **_sent(credential, url)}
    except KeelbackError as error:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        return {"version": PROTOCOL_VERSION, "error": told}, error.exit_status
    place = {"key": match.key, "store": match.store.name}
    head = {"version": PROTOCOL_VERSION, "url": url, "found": True}
    return {**head, **found, "expires_at": _expiry(credential), **place}, ExitStatus.OK


def answer_bazel(request: str, lookup: Lookup) -> tuple[dict[str, object], ExitStatus]:
    """Answer the command ``get`` of the Credential Helpers Specification (EngFlow; spec.md, and the schemas beside it).

    Args:
        request: what came on standard input: ``{"uri": "https://..."}``.
        lookup: finds the credential of a URL.

    Returns:
        What to print, as JSON, and the exit status; no headers where there is no credential.

    Raises:
        UsageError: the request is none.
        CredentialError: the credential cannot be used, or does not go into a header (code ``wrong-kind``).
    """
    url = _string(_object(request), "uri")
    match = lookup(url)
    if match is None:
        return {"headers": {}}, ExitStatus.OK
    credential = _current(match.credential)
    headers = _sent(credential, url)["headers"]
    if not headers:
        raise CredentialError(
            f"The {credential.kind} under {match.source} does not go into a header, "
            "and nothing else can be told in this protocol.",
            hint="Ask in keelback's own format.",
            code="wrong-kind",
        )
    return {"headers": headers, **_expires(credential)}, ExitStatus.OK


def answer_docker(request: str, lookup: Lookup) -> tuple[dict[str, object] | str, ExitStatus]:
    """Answer the command ``get`` of Docker's credential helpers (docker-credential-helpers, credentials.go).

    A token that is no password is told as what Docker calls an identity token.

    Args:
        request: what came on standard input: the server's host or URL, in one line.
        lookup: finds the credential of a URL.

    Returns:
        What to print, and the exit status: an object, as JSON; or the sentence, as it is, by which Docker knows what
        is wrong. Docker reads both from standard output.
    """
    server = request.strip()
    try:
        if not server:
            return "no credentials server URL", ExitStatus.FAILED
        match = lookup(server if "://" in server else f"https://{server}")
        if match is None:
            return NONE_FOUND, ExitStatus.FAILED
        credential = _current(match.credential)
        match credential:
            case BasicHTTP(username, password):
                secret = password
            case BearerToken(token):
                username, secret = IDENTITY_TOKEN, token
            case OAuth(access_token=token):
                username, secret = IDENTITY_TOKEN, token
            case _:
                return f"a {credential.kind} is nothing that Docker can send", ExitStatus.FAILED
    except KeelbackError as error:
        return f"{error.message} {error.hint}".strip(), ExitStatus.FAILED
    return {"ServerURL": server, "Username": username, "Secret": secret.reveal()}, ExitStatus.OK


# -- requests --------------------------------------------------------------------------------------------------------


def _object(request: str) -> Mapping[str, object]:
    try:
        document = json.loads(request)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UsageError("the request on standard input is not a JSON object", hint=_EXAMPLE)
    return document


def _requested(document: Mapping[str, object]) -> str:
    version, action = document.get("version"), document.get("action")
    if version != PROTOCOL_VERSION or isinstance(version, bool):
        raise UsageError(f"the request is not in version {PROTOCOL_VERSION} of the protocol", hint=_EXAMPLE)
    if action != "get":
        raise UsageError("the request's 'action' is not 'get', which is all that is answered", hint=_EXAMPLE)
    return _string(document, "url")


_EXAMPLE: Final = 'Ask like {"version": 1, "action": "get", "url": "https://repo.prefix.dev/my-channel"}.'


def _string(document: Mapping[str, object], member: str) -> str:
    value = document.get(member)
    if not isinstance(value, str) or not host_of(value):
        raise UsageError(f"the request's {member!r} is not a URL with a host")
    return value


# -- answers ---------------------------------------------------------------------------------------------------------


def _current(credential: Credential) -> Credential:
    return credential.current() if isinstance(credential, OAuth) else credential


def _members(credential: Credential) -> dict[str, object]:
    match credential:
        case BearerToken(token) | CondaToken(token):
            return {"token": token.reveal()}
        case OAuth():
            return {"token": credential.access_token.reveal()}
        case BasicHTTP(username, password):
            return {"username": username, "password": password.reveal()}
        case S3Credentials(key_id, key, session):
            session_token = None if session is None else session.reveal()
            return {"access_key_id": key_id, "secret_access_key": key.reveal(), "session_token": session_token}
    return {}


def _sent(credential: Credential, url: str) -> dict[str, object]:
    """What the credential puts onto a request: the headers, and the URL where that is another one than *url*."""
    import httpx2  # noqa: PLC0415 - not before there is a credential

    if not isinstance(credential, httpx2.Auth):
        return {"headers": {}}
    try:
        request = next(credential.sync_auth_flow(httpx2.Request("GET", url)))
    except httpx2.InvalidURL:
        raise UsageError("the URL of the request cannot be asked for", hint="Write it as a browser shows it.") from None
    value = request.headers.get("Authorization")
    headers = {} if value is None else {"Authorization": [value]}
    moved = {} if request.url == httpx2.URL(url) else {"url_with_token": str(request.url)}
    return {"headers": headers, **moved}


def _expiry(credential: Credential) -> int | None:
    return credential.expires_at if isinstance(credential, OAuth) else None


def _expires(credential: Credential) -> dict[str, object]:
    """When the credential expires, as RFC 3339 writes it; nothing where that is not known, or is no date."""
    seconds = _expiry(credential)
    if seconds is None:
        return {}
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return {}
    return {"expires": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
