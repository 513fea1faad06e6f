"""A channel as it is read: where its subdirs are, and which credential goes with each request."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import httpx2

from keelback.channels.access import Access, given_pair
from keelback.channels.answers import error_of
from keelback.channels.registry import recognise, target_of
from keelback.credentials.kinds import BearerToken, check_token
from keelback.credentials.lookup import depends_on_keychain, find, login_name
from keelback.errors import CredentialError, CredentialRefused, Forbidden, KeelbackError, ServerError, UsageError
from keelback.hosts import host_of
from keelback.secret import redact
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.channels.base import Session
    from keelback.transport import Answer

HIDDEN: Final = frozenset({401, 403, 404})
"""How servers answer who may not see a channel; the last where they do not even say that there is one."""


class Reader:
    """Reads one channel over HTTP, or from a folder.

    Each URL gets the credential of its own host (rattler_networking, authentication_middleware.rs), so that packages
    and shards may be elsewhere than the index. What was given with the command goes to the channel's own origin only.

    Where the credential depends on the system's keychain, which may keep a person waiting, requests go without one
    until :meth:`ask_keychain`.

    Args:
        url: under which the channel's subdirs are: ``http``, ``https`` or ``file``.
        session: sends the requests, and has the stores.
        given: the credential that goes before those in the stores.
    """

    def __init__(self, url: str, session: Session, given: Access | None = None) -> None:
        self.url = url.rstrip("/")
        self.client = session.client
        self._session = session
        self._given = given
        self._keychain = False
        self._accesses: dict[str, Access | None] = {}
        self._lock = threading.Lock()

    @property
    def is_folder(self) -> bool:
        """Whether the channel is in a folder."""
        return self.url.startswith("file:")

    def access(self, url: str) -> Access | None:
        """The credential for *url*, and where it came from; ``None`` where there is none, or only the keychain knows.

        Raises:
            CredentialError: there is one, and it cannot be used.
        """
        if self._given is not None and _origin(url) == _origin(self.url):
            return self._given
        folder = url.rpartition("/")[0]
        with self._lock:
            if folder not in self._accesses:
                self._accesses[folder] = self._stored(url)
            return self._accesses[folder]

    def request(self, url: str, headers: Mapping[str, str] | None = None) -> Request:
        """A ``GET`` of *url*, with its credential."""
        access = self.access(url)
        auth = access.credential if access is not None and isinstance(access.credential, httpx2.Auth) else None
        return Request("GET", url, auth=auth, headers=headers or {})

    def ask_keychain(self, url: str) -> bool:
        """Whether there is a credential for *url*, by the keychain if need be; later requests get it.

        For a request that went without one, and was refused. Of several at once, one asks, and all are told.
        """
        with self._lock:
            if not self._keychain and depends_on_keychain(url, self._session.stores):
                self._keychain = True
                self._accesses.clear()
        return self.access(url) is not None

    def error(self, answer: Answer, url: str) -> KeelbackError:
        """What *answer*, which is no success, means for whoever wants to read *url*."""
        access = self.access(url)
        if access is None and answer.status in {401, 403}:
            return self._wants_credential(answer, url)
        host = host_of(url)
        source = "" if access is None else f" {access.source}"
        if answer.status == 401:
            return CredentialRefused(
                f"{host} refused the {_kind(access)} from{source} (401){_challenge(answer)}",
                hint=f"It may have expired, or belong to another server; keelback auth check {redact(self.url)} tells.",
            )
        if answer.status == 403:
            return Forbidden(
                f"{host} knows the {_kind(access)} from{source}, and does not let it read {redact(url)} (403)",
                hint="Ask the owner of the channel for the permission to read it.",
            )
        return error_of(answer)

    def _wants_credential(self, answer: Answer, url: str) -> KeelbackError:
        host = host_of(url)
        if _origin(answer.url) != _origin(url):
            return ServerError(
                f"{host} redirected to {host_of(answer.url)}, which wants a credential ({answer.status}); "
                "none is sent where a redirect leads",
                status=answer.status,
                hint="Use the URL to which the channel has moved.",
            )
        looked = ", ".join(store.name for store in self._session.stores) or "no store"
        return CredentialError(
            f"{host} does not let everybody read {redact(url)} ({answer.status}{_challenge(answer)}), "
            f"and there is no credential for it in {looked}",
            hint=f"Log in with: keelback auth login {login_name(url)}.",
        )

    def _stored(self, url: str) -> Access | None:
        stores = self._session.stores
        if not self._keychain and depends_on_keychain(url, stores):
            return None
        match = find(url, stores)
        if match is None or not isinstance(match.credential, httpx2.Auth):  # S3 keys are nothing for a web server
            return None
        return Access(match.credential, f"key {match.key!r} of {match.store.name}")


def reader_for(channel: str, session: Session) -> Reader:
    """How *channel*, written as for ``publish`` or as any URL under which conda reads a channel, is read.

    Raises:
        UsageError: it is no such URL, or a credential was given that is nothing for it.
        CredentialError: the credential that was given cannot be one.
    """
    target = target_of(channel)
    if target.folder is not None:
        if session.given:
            raise UsageError(f"{channel} takes no credential", hint="Leave it out.")
        return Reader(target.folder.absolute().as_uri(), session)
    known = recognise(target)
    if known is not None:
        return Reader(known.reading_url, session, known.given_access(session))
    return Reader(target.base(len(target.segments)), session, _given(session))


def _given(session: Session) -> Access | None:
    """The credential given for a server of no known kind: a pair, or a token to be sent as ``Bearer``."""
    given = session.given
    if given.username is not None or given.password is not None:
        return given_pair(given.username, given.password, given.source)
    if given.api_key is None:
        return None
    return Access(BearerToken(check_token(given.api_key, given.source)), given.source)


def _kind(access: Access | None) -> str:
    return "credential" if access is None else access.credential.kind


def _challenge(answer: Answer) -> str:
    """Which schemes the server says that it takes (RFC 9110, section 11.6.1), where it does."""
    schemes = [part.split()[0] for part in answer.headers.get("www-authenticate", "").split(",") if part.strip()]
    known = [scheme for scheme in ("Basic", "Bearer") if scheme.lower() in {found.lower() for found in schemes}]
    return f"; it takes {' or '.join(known)}" if known else ""


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = httpx2.URL(url)
    return parts.scheme, parts.host, parts.port
