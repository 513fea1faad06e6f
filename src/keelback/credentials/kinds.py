"""The five kinds of credential that the rattler family knows, and how each goes onto a request.

A kind that is sent over HTTP *is* an :class:`httpx2.Auth`; whoever sends the request need not know which one it has.
Names, members and what may be absent are those of rattler's ``Authentication`` (rattler_networking, authentication.rs);
what each does to a request is rattler's ``authentication_middleware.rs``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Protocol
from urllib.parse import quote

import httpx2

from keelback.errors import CredentialError
from keelback.secret import Secret, remember

__all__ = [
    "BasicHTTP",
    "BearerToken",
    "CondaToken",
    "Credential",
    "HeaderAuth",
    "OAuth",
    "Renewal",
    "S3Credentials",
    "check_token",
]

_AuthFlow = Generator[httpx2.Request, httpx2.Response, None]

_SEGMENT_SAFE: Final = "!$&'()*+,;=:@"
"""What may stand bare in a path segment (RFC 3986, pchar), beside letters, digits and ``-._~``."""


class Credential:
    """What all kinds have in common.

    Attributes:
        kind: the name by which auth files call it.
        noun: what a sentence calls it, behind an article.
    """

    kind: ClassVar[str]
    noun: ClassVar[str] = "credential"


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
    noun: ClassVar[str] = "bearer token"
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
    noun: ClassVar[str] = "conda token"
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
    noun: ClassVar[str] = "user name and password"
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
    """Keys with which requests to an S3 service are signed; they put nothing onto a request themselves."""

    kind: ClassVar[str] = "S3Credentials"
    noun: ClassVar[str] = "S3 keys"
    access_key_id: str = field(repr=False)
    secret_access_key: Secret
    session_token: Secret | None = None


class Renewal(Protocol):
    """Keeps what a login in the browser left behind good for use."""

    def current(self) -> OAuth:
        """The credential as it is now, renewed if it is about to expire; may wait for the server.

        Raises:
            CredentialError: code ``login-expired``: it has expired, and could not be renewed; code ``locked`` or
                ``store``: nor could its store be used for that.
            TransportError: it has expired, and no answer came when it was to be renewed.
            ServerError: it has expired, and the server had no time to renew it.
        """


@dataclass(frozen=True)
class OAuth(Credential, httpx2.Auth):
    """What a login in the browser left behind; its access token is sent as ``Authorization: Bearer TOKEN``.

    ``expires_at`` is in Unix seconds, and ``None`` where the server did not say. With a ``renewal``, the token that is
    sent is the one that this has at that moment.
    """

    kind: ClassVar[str] = "OAuth"
    noun: ClassVar[str] = "OAuth login"
    access_token: Secret
    refresh_token: Secret | None
    expires_at: int | None
    token_endpoint: str
    revocation_endpoint: str | None
    client_id: str
    renewal: Renewal | None = field(default=None, compare=False, repr=False)

    def current(self) -> OAuth:
        """This credential, renewed if it has a renewal and is about to expire; raises as :meth:`Renewal.current`."""
        return self if self.renewal is None else replace(self.renewal.current(), renewal=self.renewal)

    def sync_auth_flow(self, request: httpx2.Request) -> _AuthFlow:
        """Put the access token onto *request* unless it has an ``Authorization`` already, and send it once."""
        if "Authorization" in request.headers:
            yield request
        else:
            yield from self.current().header().auth_flow(request)

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """As :meth:`sync_auth_flow`; what waits for the server waits in a thread of its own."""
        from anyio.to_thread import run_sync  # noqa: PLC0415 - only programs that are asynchronous pay for it

        if "Authorization" not in request.headers:
            token = (await run_sync(self.current)).access_token
            request.headers["Authorization"] = f"Bearer {token.reveal()}"
        yield request

    def header(self) -> HeaderAuth:
        """The access token as it is."""
        return HeaderAuth("Authorization", self.access_token, "Bearer ")


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


CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
"""What neither a header nor a URL can hold."""
_COPY_AGAIN: Final = "Copy the token again."

_TOKEN_PROBLEMS: Final[Sequence[tuple[Callable[[str], object], str, str]]] = (
    (lambda value: not value.strip(), "is empty", "Is the variable or the secret that it comes from set?"),
    (re.compile(r"[\r\n]").search, "has a line break in it", "Write it without one: printf %s TOKEN > FILE."),
    (CONTROL.search, "has a control character in it", _COPY_AGAIN),
    (lambda value: value != value.strip(), "begins or ends with a space", "Write it without the space."),
    (re.compile(r"^[\"']|[\"']$").search, "has quotes around it", "Write it without the quotes."),
    (lambda value: not value.isascii(), "has a character in it that is not ASCII", _COPY_AGAIN),
    (lambda value: " " in value, "has a space in it", "A prefix such as 'Bearer' is not part of the token."),
)
"""What a token cannot be: a test for it, what it is called, and what to do. The first that is there is told."""
