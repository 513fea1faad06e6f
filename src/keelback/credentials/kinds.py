"""The five kinds of credential that the rattler family knows, and how each goes onto a request.

A kind that is sent over HTTP *is* an :class:`httpx2.Auth`; whoever sends the request need not know which one it has.
Names, members and what may be absent are those of rattler's ``Authentication`` (rattler_networking, authentication.rs);
what each does to a request is rattler's ``authentication_middleware.rs``.
"""

from __future__ import annotations

import base64
import difflib
import logging
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeVar
from urllib.parse import quote

import httpx2

from keelback.errors import CredentialError
from keelback.secret import Secret, remember

__all__ = [
    "KINDS",
    "BasicHTTP",
    "BearerToken",
    "CondaToken",
    "Credential",
    "HeaderAuth",
    "OAuth",
    "S3Credentials",
    "check_token",
    "parse_credential",
]

_log = logging.getLogger("keelback.credentials")

_T = TypeVar("_T")
_AuthFlow = Generator[httpx2.Request, httpx2.Response, None]

_SEGMENT_SAFE: Final = "!$&'()*+,;=:@"
"""What may stand bare in a path segment (RFC 3986, pchar), beside letters, digits and ``-._~``."""


class Credential:
    """What all kinds have in common: the name by which auth files and messages call them."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class HeaderAuth(httpx2.Auth):
    """A token in a header of the server's choosing: ``HeaderAuth("X-API-Key", token)``.

    Args:
        header: the header's name.
        token: the secret.
        prefix: what stands before it, with its space: ``"token "``.

    A request that has this header, or ``Authorization``, already is left alone.
    """

    header: str
    token: Secret
    prefix: str = ""

    def auth_flow(self, request: httpx2.Request) -> _AuthFlow:
        """Put the token onto *request*, and send it once."""
        if self.header not in request.headers and "Authorization" not in request.headers:
            request.headers[self.header] = self.prefix + self.token.reveal()
        yield request


@dataclass(frozen=True)
class BearerToken(Credential, httpx2.Auth):
    """A token sent as ``Authorization: Bearer TOKEN``."""

    kind: ClassVar[str] = "BearerToken"
    token: Secret

    def auth_flow(self, request: httpx2.Request) -> _AuthFlow:
        """Put the token onto *request* unless it has an ``Authorization`` already, and send it once."""
        return self.header("Authorization", "Bearer ").auth_flow(request)

    def header(self, name: str, prefix: str = "") -> HeaderAuth:
        """The same token for a server that wants it in the header *name*, after *prefix*."""
        return HeaderAuth(name, self.token, prefix)


@dataclass(frozen=True)
class CondaToken(Credential, httpx2.Auth):
    """A token sent at the root of the URL's path: ``/t/TOKEN/old/path``.

    A path that starts with ``/t/`` is left alone: it has its token already, from the user or from an earlier try.
    """

    kind: ClassVar[str] = "CondaToken"
    token: Secret

    def __post_init__(self) -> None:
        remember(self._segment())

    def auth_flow(self, request: httpx2.Request) -> _AuthFlow:
        """Put the token into the path of *request* unless it is authorized already, and send it once."""
        path = request.url.raw_path
        if "Authorization" not in request.headers and not path.startswith(b"/t/"):
            request.url = request.url.copy_with(raw_path=f"/t/{self._segment()}".encode() + path)
        yield request

    def header(self, name: str, prefix: str = "") -> HeaderAuth:
        """The same token for a server that wants it in the header *name*, after *prefix*."""
        return HeaderAuth(name, self.token, prefix)

    def _segment(self) -> str:
        return quote(self.token.reveal(), safe=_SEGMENT_SAFE)


@dataclass(frozen=True)
class BasicHTTP(Credential, httpx2.Auth):
    """A name and a password, sent as ``Authorization: Basic BASE64`` (RFC 7617, in UTF-8)."""

    kind: ClassVar[str] = "BasicHTTP"
    username: str
    password: Secret

    def __post_init__(self) -> None:
        remember(self._encoded())

    def auth_flow(self, request: httpx2.Request) -> _AuthFlow:
        """Put name and password onto *request* unless it has an ``Authorization`` already, and send it once."""
        if "Authorization" not in request.headers:
            request.headers["Authorization"] = f"Basic {self._encoded()}"
        yield request

    def _encoded(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode("ascii")


@dataclass(frozen=True)
class S3Credentials(Credential):
    """Keys with which requests to an object store are signed; they put nothing onto a request themselves."""

    kind: ClassVar[str] = "S3Credentials"
    access_key_id: str = field(repr=False)
    secret_access_key: Secret
    session_token: Secret | None = None


@dataclass(frozen=True)
class OAuth(Credential, httpx2.Auth):
    """What a login in the browser left behind; its access token is sent as ``Authorization: Bearer TOKEN``.

    ``expires_at`` is in Unix seconds, and ``None`` where the server did not say.
    """

    kind: ClassVar[str] = "OAuth"
    access_token: Secret
    refresh_token: Secret | None
    expires_at: int | None
    token_endpoint: str
    revocation_endpoint: str | None
    client_id: str

    def auth_flow(self, request: httpx2.Request) -> _AuthFlow:
        """Put the access token onto *request* unless it has an ``Authorization`` already, and send it once."""
        return HeaderAuth("Authorization", self.access_token, "Bearer ").auth_flow(request)


def check_token(secret: Secret, source: str) -> Secret:
    """*secret* itself, if it can be a token.

    Args:
        secret: the token.
        source: where it came from, as a person would say it: ``--api-key``, ``the file key.txt``.

    Raises:
        CredentialError: code ``bad-token``, when the token is empty, holds line breaks, other control characters,
            spaces or anything that is not ASCII, or is set in quotes. Nothing of it is shown.
    """
    value = secret.reveal()
    for is_there, what, hint in _TOKEN_PROBLEMS:
        if is_there(value):
            raise CredentialError(f"The token from {source} {what}.", hint=hint, code="bad-token")
    return secret


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_COPY_AGAIN: Final = "Copy the token again."

_TOKEN_PROBLEMS: Final[Sequence[tuple[Callable[[str], object], str, str]]] = (
    (lambda value: not value.strip(), "is empty", "Is the variable or the secret that it comes from set?"),
    (re.compile(r"[\r\n]").search, "has a line break in it", "Write it without one: printf %s TOKEN > FILE."),
    (_CONTROL.search, "has a control character in it", _COPY_AGAIN),
    (lambda value: value != value.strip(), "begins or ends with a space", "Write it without the space."),
    (re.compile(r"^[\"']|[\"']$").search, "has quotes around it", "Write it without the quotes."),
    (lambda value: not value.isascii(), "has a character in it that is not ASCII", _COPY_AGAIN),
    (lambda value: " " in value, "has a space in it", "A prefix such as 'Bearer' is not part of the token."),
)
"""What a token cannot be: a test for it, what it is called, and what to do. The first that is there is told."""


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
        if _CONTROL.search(value):
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
