"""Keys of the role of a container, from the endpoint that its variables name (Amazon ECS, Amazon EKS).

("AWS SDKs and Tools Reference Guide", "Container credential provider"; Amazon ECS Developer Guide, "Task IAM role".)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from keelback.credentials.aws.documents import keys_in
from keelback.credentials.aws.keys import KeySource
from keelback.credentials.aws.metadata import ask_metadata
from keelback.errors import CredentialError, TransportError, UsageError
from keelback.hosts import host_of
from keelback.secret import Secret
from keelback.transport import is_loopback, servers_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.credentials.aws.keys import Keys

RELATIVE: Final = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
FULL: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105 - the name of a variable

_ECS: Final = "http://169.254.170.2"
_PLAIN: Final = frozenset({"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"})
"""The addresses, besides loopback, that may be spoken to over plain HTTP: they lead to no other machine."""
_URI: Final = re.compile(r"[!-~]+")
_SENDABLE: Final = re.compile(r"[ -~]{1,8192}")
_LARGEST_TOKEN_FILE: Final = 64 << 10
_SOURCE: Final = "the container's endpoint for keys"


def container_role(environ: Mapping[str, str]) -> KeySource | None:
    """The keys of this container's role; ``None`` where no variable names an endpoint for them.

    Raises:
        UsageError: a variable is invalid, or names an endpoint that must not be asked for keys.
        CredentialError: it gives no keys.
    """
    url = _url(environ)
    return None if url is None else KeySource.renewed("this container's role", lambda: _keys(url, environ))


def _url(environ: Mapping[str, str]) -> str | None:
    relative = environ.get(RELATIVE, "").strip()
    if relative:
        if not relative.startswith("/") or not _URI.fullmatch(relative):
            raise UsageError(f"{RELATIVE} is not a path", hint="It begins with '/'.")
        return _ECS + relative
    full = environ.get(FULL, "").strip()
    return _checked(full) if full else None


def _checked(url: str) -> str:
    """*url*, if it leads to where keys may come from.

    Raises:
        UsageError: it is not a URL, or leads to another machine over plain HTTP.
    """
    try:
        parts = urlsplit(url)
        host = host_of(url)
        is_url = parts.scheme in ("http", "https") and bool(host) and _URI.fullmatch(url) is not None
        is_odd = not {"@", "\\", "%"}.isdisjoint(parts.netloc) or "\\" in url or bool(parts.fragment)
    except ValueError:
        raise UsageError(f"{FULL} is not a URL", hint="Unset it, where this is no container.") from None
    if not is_url or is_odd:
        raise UsageError(f"{FULL} is not a URL", hint="Unset it, where this is no container.")
    if parts.scheme != "https" and host not in _PLAIN and not is_loopback(host):
        raise UsageError(
            f"{FULL}: keys would come from {host} over plain HTTP, where anyone on the way can read them",
            hint="Name an https URL, or an address of the container's own machine.",
        )
    return url


def _keys(url: str, environ: Mapping[str, str]) -> Keys:
    token = _token(environ)
    try:
        answer = ask_metadata("GET", url, {} if token is None else {"authorization": token.reveal()}, attempts=3)
    except TransportError as error:
        raise CredentialError(f"{_SOURCE.capitalize()} gave none: {error}", hint=error.hint) from error

    def useless(what: str) -> CredentialError:
        return CredentialError(
            f"{_SOURCE.capitalize()}, {host_of(url)}, answered {answer.status} with {what}",
            hint="See that the container has a role.",
        )

    if answer.status != 200:
        raise useless(f"an error: {servers_words(answer) or 'it does not say why'}")
    return keys_in(answer.json(), token="Token", source=_SOURCE, useless=useless, expire=True)  # noqa: S106 - a member


def _token(environ: Mapping[str, str]) -> Secret | None:
    """The authorization token for the endpoint; a file, which may change, goes before the variable."""
    file = environ.get(TOKEN_FILE)
    if file:
        token, source = _read(Path(file)), f"the file in {TOKEN_FILE}"
    elif environ.get(TOKEN):
        token, source = Secret(environ[TOKEN], TOKEN), TOKEN
    else:
        return None
    if not _SENDABLE.fullmatch(token.reveal()):
        raise CredentialError(
            f"What is in {source} cannot be sent in a header.", hint="See where it comes from.", code="bad-token"
        )
    return token


def _read(path: Path) -> Secret:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_TOKEN_FILE)
    except OSError as error:
        reason = error.strerror or "the system does not say why"
        raise CredentialError(
            f"The file in {TOKEN_FILE} cannot be read: {path}: {reason}.", hint="Name a file that is there."
        ) from None
    return Secret(content.decode(errors="replace").strip(), TOKEN_FILE)
