"""Credentials as the rattler family writes them: one JSON value each, in auth files and in the keychain.

Names, members and what may be absent are those of rattler's ``Authentication`` (rattler_networking, authentication.rs).
"""

from __future__ import annotations

import difflib
import logging
import re
from typing import TYPE_CHECKING, Final, TypeVar

from keelback.credentials.kinds import (
    CONTROL,
    BasicHTTP,
    BearerToken,
    CondaToken,
    Credential,
    OAuth,
    S3Credentials,
    check_token,
)
from keelback.errors import CredentialError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["KINDS", "parse_credential", "to_json"]

_log = logging.getLogger("keelback.credentials")

_T = TypeVar("_T")

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def parse_credential(value: object, *, source: str = "the auth file") -> Credential:
    """One credential out of one value of an auth file.

    Args:
        value: the value as JSON gave it: an object with one member, which is named after the kind.
        source: where it came from, as a person would say it; only for messages.

    Raises:
        CredentialError: the value is no credential (code ``bad-credential``), or its token can be none (code
            ``bad-token``). No part of any value is shown.
    """
    if not isinstance(value, dict):
        raise _malformed(f"a credential is an object that names its kind, not {_json_type(value)}", _SHAPE_HINT)
    if len(value) != 1:
        count = "no member" if not value else f"{len(value)} members"
        raise _malformed(f"a credential has exactly one member, its kind; this one has {count}", _SHAPE_HINT)
    ((kind, payload),) = value.items()
    parse = _PARSERS.get(kind)
    if parse is None:
        raise _malformed(f"unknown kind of credential {_shown(kind)}", _did_you_mean(kind, KINDS) or _KINDS_HINT)
    return parse(_Payload(kind, payload, source))


def to_json(credential: Credential) -> dict[str, object]:
    """*credential* as one value of an auth file, secrets and all: what :func:`parse_credential` reads.

    What may be absent is there as ``None``, as rattler writes it.
    """
    value: object
    match credential:
        case BearerToken(token) | CondaToken(token):
            value = token.reveal()
        case BasicHTTP(username, password):
            value = {"username": username, "password": password.reveal()}
        case S3Credentials(key_id, key, session):
            value = {
                "access_key_id": key_id,
                "secret_access_key": key.reveal(),
                "session_token": _revealed(session),
            }
        case OAuth():
            value = {
                "access_token": credential.access_token.reveal(),
                "refresh_token": _revealed(credential.refresh_token),
                "expires_at": credential.expires_at,
                "token_endpoint": credential.token_endpoint,
                "revocation_endpoint": credential.revocation_endpoint,
                "client_id": credential.client_id,
            }
        case _:
            raise CredentialError(f"a {credential.kind} is not kept in an auth file", code="bad-credential")
    return {credential.kind: value}


def _revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


_SHAPE_HINT: Final = 'Write it like {"prefix.dev": {"BearerToken": "..."}}.'


class _Payload:
    """The value of a kind's member, taken apart with errors that name the member and show no value."""

    def __init__(self, kind: str, value: object, source: str) -> None:
        self._kind = kind
        self._value = value
        self._source = source

    def token(self) -> Secret:
        """The payload that is one token."""
        return check_token(Secret(self._string(self._value, f"the value of {self._kind}")), self._source)

    def members(self, required: Iterable[str], optional: Iterable[str] = ()) -> Mapping[str, object]:
        """The payload that is an object, with all *required* members there; unknown members are ignored."""
        if not isinstance(self._value, dict):
            raise _malformed(f"the value of {self._kind} is an object, not {_json_type(self._value)}")
        members = self._value
        known = [*required, *optional]
        strangers = [name for name in members if name not in known]
        for name in required:
            if name not in members:
                raise _malformed(f"{self._kind} has no member {name!r}", _misspelt(name, strangers))
        for name in optional:
            if name not in members and (hint := _misspelt(name, strangers)):
                _log.warning("%s: %s has no member %r. %s", self._source, self._kind, name, hint)
        return members

    def text(self, members: Mapping[str, object], name: str) -> str:
        """The string *name*, which may be empty but holds no control characters."""
        value = self._string(members[name], f"{name!r} of {self._kind}")
        if CONTROL.search(value):
            raise CredentialError(
                f"The {name} from {self._source} has a control character in it.",
                hint="A line break at its end is the usual one; store it without.",
                code="bad-token",
            )
        return value

    def secret_token(self, members: Mapping[str, object], name: str) -> Secret:
        """The string *name*, which has to be able to be a token."""
        value = self._string(members[name], f"{name!r} of {self._kind}")
        return check_token(Secret(value), f"{name!r} of {self._source}")

    def _string(self, value: object, what: str) -> str:
        if not isinstance(value, str):
            raise _malformed(f"{what} is a string, not {_json_type(value)}")
        if _SURROGATE.search(value):  # a lone "\ud800" is JSON, and yet no bytes can be made of it
            raise _malformed(f"{what} holds half of a character")
        return value

    def whole_number(self, members: Mapping[str, object], name: str) -> int:
        """The whole number *name*."""
        value = members[name]
        if not isinstance(value, int) or isinstance(value, bool):
            raise _malformed(f"{name!r} of {self._kind} is a whole number, not {_json_type(value)}")
        return value


def _parse_bearer(payload: _Payload) -> Credential:
    return BearerToken(payload.token())


def _parse_conda(payload: _Payload) -> Credential:
    return CondaToken(payload.token())


def _parse_basic(payload: _Payload) -> Credential:
    members = payload.members(["username", "password"])
    return BasicHTTP(payload.text(members, "username"), Secret(payload.text(members, "password")))


def _parse_s3(payload: _Payload) -> Credential:
    members = payload.members(["access_key_id", "secret_access_key"], ["session_token"])
    return S3Credentials(
        access_key_id=payload.secret_token(members, "access_key_id").reveal(),
        secret_access_key=payload.secret_token(members, "secret_access_key"),
        session_token=_given(payload.secret_token, members, "session_token"),
    )


def _parse_oauth(payload: _Payload) -> Credential:
    members = payload.members(
        ["access_token", "token_endpoint", "client_id"], ["refresh_token", "expires_at", "revocation_endpoint"]
    )
    return OAuth(
        access_token=payload.secret_token(members, "access_token"),
        refresh_token=_given(payload.secret_token, members, "refresh_token"),
        expires_at=_given(payload.whole_number, members, "expires_at"),
        token_endpoint=payload.text(members, "token_endpoint"),
        revocation_endpoint=_given(payload.text, members, "revocation_endpoint"),
        client_id=payload.text(members, "client_id"),
    )


def _given(read: Callable[[Mapping[str, object], str], _T], members: Mapping[str, object], name: str) -> _T | None:
    """What *read* makes of the member *name*; nothing where it is absent or ``null``."""
    return None if members.get(name) is None else read(members, name)


_PARSERS: Final[Mapping[str, Callable[[_Payload], Credential]]] = {
    BearerToken.kind: _parse_bearer,
    BasicHTTP.kind: _parse_basic,
    CondaToken.kind: _parse_conda,
    S3Credentials.kind: _parse_s3,
    OAuth.kind: _parse_oauth,
}

KINDS: Final = tuple(_PARSERS)
"""The names of the five kinds, as auth files spell them."""

_KINDS_HINT: Final = f"The kinds are {', '.join(KINDS)}."


def _malformed(problem: str, hint: str = "") -> CredentialError:
    return CredentialError(f"{problem}.", hint=hint, code="bad-credential")


def _misspelt(name: str, strangers: Iterable[str]) -> str:
    """A hint that one of *strangers* is probably meant to be *name*; empty where none is near."""
    near = _nearest(name, strangers)
    return f"Is {_shown(near)} meant to be {name!r}?" if near else ""


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = _nearest(word, known)
    return f"Did you mean {near!r}? {_KINDS_HINT}" if near else ""


def _nearest(word: str, candidates: Iterable[str]) -> str | None:
    by_fold = {_fold(candidate): candidate for candidate in candidates}
    near = difflib.get_close_matches(_fold(word), by_fold, n=1, cutoff=0.75)
    return by_fold[near[0]] if near else None


def _fold(name: str) -> str:
    """*name* without what people vary: upper and lower case, dashes, underscores, spaces."""
    return "".join(character for character in name.casefold() if character not in "-_ ")


def _shown(name: str) -> str:
    return repr(name if len(name) <= 40 else f"{name[:40]}...")


def _json_type(value: object) -> str:
    """What JSON calls the type of *value*, with its article; never the value."""
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "null")
