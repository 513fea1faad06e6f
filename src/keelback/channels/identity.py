"""Who a credential belongs to, as far as its server tells.

Every kind of server is asked the cheapest question whose answer tells a good credential from a bad one. What a server
does not tell is left out, and said.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from keelback.channels.answers import expect
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, OAuth, S3Credentials
from keelback.hosts import scheme_and_host, split_url
from keelback.secret import redact
from keelback.transport import Request, servers_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx2

    from keelback.credentials.kinds import Credential
    from keelback.transport import Answer, Client

__all__ = ["PREFIX_API", "Identity", "service_of", "whoami"]

PREFIX_API: Final = "PREFIX_DEV_API_URL"
"""The variable that names another place for prefix.dev's API, as for ``rattler auth login``."""

_VIEWER: Final = b'{"query":"query { viewer { login } }"}'
_READING_SCOPES: Final = frozenset({"all", "repos", "conda", "conda:download"})
_UPLOADING_SCOPES: Final = frozenset({"all", "api", "api:write"})
"""Scopes of anaconda.org's tokens (its documentation, "Tokens")."""

_UNASKED: Final = "there is no question by which this server tells a good credential from a bad one"


@dataclass(frozen=True)
class Identity:
    """What a server says of a credential.

    Attributes:
        valid: whether it takes the credential; ``None`` where that cannot be told.
        name: whose it is; ``None`` where the server does not tell.
        permits: ``read`` and ``upload``, as far as the server tells; empty where it does not.
        expires: when it expires, in Unix seconds; ``None`` where the server does not tell.
        said: what the server said, or why it was not asked; redacted.
    """

    valid: bool | None
    name: str | None = None
    permits: tuple[str, ...] = ()
    expires: int | None = None
    said: str = ""


def service_of(place: str) -> str | None:
    """The kind of server that *place* is: ``prefix``, ``anaconda``, ``quetz``, ``artifactory``, ``s3``, or nothing.

    Args:
        place: a host, a URL, or a URL with the kind before it: ``quetz+https://conda.example.com``.
    """
    scheme, _ = split_url(_url(place))
    kind, plus, _ = scheme.rpartition("+")
    if plus or scheme == "s3":
        return kind or scheme
    _, host = scheme_and_host(_url(place))
    for service in ("prefix.dev", "anaconda.org"):
        if host.removeprefix("*.") == service or host.endswith(f".{service}"):
            return service.partition(".")[0]
    if "quetz" in host:
        return "quetz"
    in_path = "artifactory" in _segments(place)
    return "artifactory" if in_path or "artifactory" in host or host.endswith(".jfrog.io") else None


def whoami(client: Client, place: str, credential: Credential, environ: Mapping[str, str] | None = None) -> Identity:
    """Ask the server at *place* whom *credential* belongs to.

    prefix.dev is asked for its ``viewer`` (as ``rattler auth login`` does); anaconda.org for ``/user`` and
    ``/authentication``; Quetz for its users, of which a key sees at least itself; Artifactory for its ping, where
    that is not answered to everybody.

    Args:
        client: sends the requests.
        place: a host, or any URL of the server; a kind may stand before it: ``anaconda+https://HOST/api``.
        credential: what to ask about.
        environ: the variables, in place of the process's own; ``PREFIX_DEV_API_URL`` counts for prefix.dev alone.

    Raises:
        TransportError: no answer came.
        ServerError: an answer that says nothing about the credential, such as a 500.
        CredentialError: an OAuth login that has expired, and could not be renewed.
    """
    if isinstance(credential, S3Credentials):
        return Identity(None, said="object stores have no such question; S3 keys show what they are good for when used")
    service = service_of(place)
    if service is None and isinstance(credential, CondaToken) and _is_quetz(client, _origin(place)):
        service = "quetz"
    ask = _ASKED.get(service or "")
    if ask is None:
        return Identity(None, said=_UNASKED)
    return ask(client, place, credential, os.environ if environ is None else environ)


def _ask_prefix(client: Client, place: str, credential: Credential, environ: Mapping[str, str]) -> Identity:
    if not isinstance(credential, BearerToken | OAuth):
        return _wrong_kind(credential, "prefix.dev", "a BearerToken or an OAuth login")
    own = split_url(_url(place))[0] == "https" and environ.get(PREFIX_API)
    api = (own or _prefix_origin(place)).rstrip("/")
    headers = {"content-type": "application/json"}
    answer = client.send(Request("POST", f"{api}/api/graphql", auth=credential, headers=headers, body=_VIEWER))
    if answer.status == 401:
        return _refused(answer)
    if answer.status == 404:  # a server that speaks the upload protocol only
        return Identity(None, said=f"{api} has no GraphQL interface to ask")
    document = expect(answer).json()
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict) or "viewer" not in data:
        return Identity(None, said="its answer does not say whose the credential is")
    viewer = data["viewer"]
    if viewer is None:
        return Identity(valid=False, said="it knows nobody by this credential")
    name = _text(viewer.get("login")) if isinstance(viewer, dict) else None
    return Identity(valid=True, name=name, said="it does not tell what the credential permits")


def _ask_anaconda(client: Client, place: str, credential: Credential, _: Mapping[str, str]) -> Identity:
    if not isinstance(credential, CondaToken | BearerToken):
        return _wrong_kind(credential, "anaconda.org", "a CondaToken")
    api, auth = _anaconda_api(place), credential.header("Authorization", "token ")
    answer = client.send(Request("GET", f"{api}/user", auth=auth))
    if answer.status == 401:
        return _refused(answer)
    user = expect(answer, 200).json()
    name = _text(user.get("login")) if isinstance(user, dict) else None
    scopes = _scopes(client, api, auth)
    if scopes is None:
        return Identity(valid=True, name=name, said="it does not tell what the token permits")
    permits = tuple(
        what
        for what, enough in (("read", _READING_SCOPES), ("upload", _UPLOADING_SCOPES))
        if enough.intersection(scopes)
    )
    return Identity(valid=True, name=name, permits=permits, said=f"scopes: {', '.join(scopes) or 'none'}")


def _scopes(client: Client, api: str, auth: httpx2.Auth) -> list[str] | None:
    """What the token may do, by anaconda.org's names; ``None`` where the server does not tell."""
    answer = client.send(Request("GET", f"{api}/authentication", auth=auth))
    document = answer.json() if answer.ok else None
    scopes = document.get("scopes") if isinstance(document, dict) else None
    if not isinstance(scopes, list):
        return None
    return [text for scope in scopes if (text := _text(scope))]


def _ask_quetz(client: Client, place: str, credential: Credential, _: Mapping[str, str]) -> Identity:
    """Quetz 0.10, ``main.py``: its list of users is for those with a valid key, whatever the key's roles are.

    ``/api/me`` wants a browser's session, and ``/api/api-keys`` would send all keys of the user.
    """
    if not isinstance(credential, CondaToken):
        return _wrong_kind(credential, "Quetz", "a CondaToken")
    url, auth = _quetz_users(_base(place, before="get")), credential.header("X-API-Key")
    answer = client.send(Request("GET", url, auth=auth))
    if answer.status == 401:
        return _refused(answer)
    expect(answer, 200)
    return Identity(valid=True, said="it does not tell whose key it is, nor what the key permits")


def _is_quetz(client: Client, origin: str) -> bool:
    """Whether Quetz answers there: it has its own words for those without a key."""
    answer = client.send(Request("GET", _quetz_users(origin)))
    return answer.status == 401 and answer.json() == {"detail": "Not logged in"}


def _quetz_users(base: str) -> str:
    return f"{base}/api/paginated/users?limit=1"


def _ask_artifactory(client: Client, place: str, credential: Credential, _: Mapping[str, str]) -> Identity:
    """JFrog REST API, "System Health Ping": it needs a valid user, which can be the anonymous one."""
    if not isinstance(credential, BasicHTTP | BearerToken):
        return _wrong_kind(credential, "Artifactory", "a BearerToken or BasicHTTP")
    ping = f"{_base(place, through='artifactory')}/api/system/ping"
    answer = client.send(Request("GET", ping, auth=credential))
    if answer.status == 401:
        return _refused(answer)
    if answer.status == 403 or not answer.ok:
        return Identity(None, said=f"its ping answered {answer.status}: {servers_words(answer)}")
    if client.send(Request("GET", ping)).status != 401:
        return Identity(None, said="it answers everybody, so that its answer says nothing about the credential")
    name = credential.username if isinstance(credential, BasicHTTP) else None
    return Identity(valid=True, name=name, said="it does not tell what the credential permits")


_ASKED: Final[Mapping[str, Callable[[Client, str, Credential, Mapping[str, str]], Identity]]] = {
    "prefix": _ask_prefix,
    "anaconda": _ask_anaconda,
    "quetz": _ask_quetz,
    "artifactory": _ask_artifactory,
}


def _refused(answer: Answer) -> Identity:
    return Identity(valid=False, said=f"{answer.status}: {servers_words(answer)}".rstrip(": "))


def _wrong_kind(credential: Credential, server: str, wants: str) -> Identity:
    return Identity(None, said=f"{server} takes {wants}; a {credential.kind} was not sent")


def _text(value: object) -> str | None:
    """*value*, which a server sent, if it is a text to show."""
    return redact(value)[:200] if isinstance(value, str) and value and value.isprintable() else None


# --- where the server is ----------------------------------------------------------------------------------------------


def _url(place: str) -> str:
    return place if "://" in place else f"https://{place}"


def _segments(place: str) -> list[str]:
    return [segment for segment in urlsplit(_url(place)).path.split("/") if segment]


def _origin(place: str) -> str:
    """Scheme, host and port of *place*, without a kind, a wildcard, a user or a path."""
    parts = urlsplit(_url(place))
    netloc = parts.netloc.rpartition("@")[2].removeprefix("*.")
    return f"{parts.scheme.rpartition('+')[2]}://{netloc}"


def _prefix_origin(place: str) -> str:
    origin = _origin(place)
    return "https://prefix.dev" if origin == "https://repo.prefix.dev" else origin


def _anaconda_api(place: str) -> str:
    if split_url(_url(place))[0].rpartition("+")[1]:
        return _base(place, through="api")
    return "https://api.anaconda.org"


def _base(place: str, *, before: str = "", through: str = "") -> str:
    """The origin of *place*, and its path up to a segment: *before* it, or *through* it; no path where it is not there.

    An Artifactory of JFrog's own hosting is at ``/artifactory`` in any case.
    """
    origin, segments = _origin(place), _segments(place)
    if before in segments:
        segments = segments[: segments.index(before)]
    elif through in segments:
        segments = segments[: segments.index(through) + 1]
    else:
        segments = ["artifactory"] if through == "artifactory" else []
    return "/".join([origin, *segments])
