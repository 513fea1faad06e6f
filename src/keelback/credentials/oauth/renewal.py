"""Renews the access token of a stored login shortly before it expires, once for all threads and all processes.

Servers give a new refresh token with each renewal and take the old one for stolen when it comes again (RFC 9700,
section 4.14.2). So a renewal is made by one at a time, after a look at whether somebody else made it, it is never sent
twice, and what came of it is written back to where the login was found.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from keelback.credentials.kinds import Credential, OAuth
from keelback.credentials.locks import locked
from keelback.credentials.oauth.settings import Application
from keelback.credentials.oauth.tokens import TokenEndpointBusy, TokenRefused, request_tokens
from keelback.errors import (
    CredentialError,
    CredentialStoreError,
    Interrupted,
    KeelbackError,
    ServerError,
    TransportError,
)
from keelback.transport import Client, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keelback.credentials.stores import WritableStore

__all__ = ["EXPIRED", "StoreRenewal", "renewal_for", "renewing"]

_log = logging.getLogger("keelback.credentials")

EXPIRED: Final = "login-expired"
"""The code of the error that asks for a new login."""

_AHEAD: Final = 300
"""Seconds before its end at which a token is renewed (rattler_networking, oauth_refresh.rs)."""
_PAUSE: Final = 60.0
"""Seconds after a renewal that failed in which no other is tried."""


def new_client() -> Client:
    """A client for one renewal."""
    return Client(retry=Retry(attempts=1))


@dataclass
class _History:
    """What this process has done with the login under one key of one store."""

    successors: dict[OAuth, OAuth] = field(default_factory=dict)
    """What became of logins that were renewed here: a store that could not be written still has the old one."""
    margins: dict[OAuth, float] = field(default_factory=dict)
    """Seconds before their end at which logins are renewed that are known to be new: fewer for short-lived ones."""
    failure: _Failure | None = None
    told: set[str] = field(default_factory=set)

    def newest(self, login: OAuth) -> OAuth:
        """What has become of *login*."""
        while (successor := self.successors.get(login)) is not None:
            login = successor
        return login

    def succeed(self, old: OAuth, new: OAuth) -> None:
        """Say that *old* has become *new*."""
        if new != old:
            self.successors.pop(new, None)
            self.successors[old] = new

    def greet(self, new: OAuth, now: float) -> None:
        """Say that *new* was made a moment ago, so that one that lives for five minutes is not renewed at once."""
        if new.expires_at is not None:
            self.margins[new] = min(_AHEAD, max(new.expires_at - now, 0) / 5)

    def warn(self, text: str) -> None:
        """Log *text* once."""
        if text not in self.told:
            self.told.add(text)
            _log.warning("%s", text)


@dataclass
class _Failure:
    """A renewal that failed, and until when it need not be tried again."""

    login: OAuth
    error: KeelbackError
    until: float = 0.0

    def __str__(self) -> str:
        return str(self.error)

    @property
    def refused(self) -> bool:
        """Whether the server does not know the refresh token any more."""
        return isinstance(self.error, TokenRefused) and self.error.error == "invalid_grant"


_histories: dict[tuple[str, str], _History] = {}
_guard: Final = threading.Lock()


def renewal_for(
    store: WritableStore,
    key: str,
    *,
    client_factory: Callable[[], Client] = new_client,
    now: Callable[[], float] = time.time,
) -> StoreRenewal:
    """The renewal of the login under *key* of *store*; whoever asks in this process shares one renewal.

    Args:
        store: where the login is, and where a renewed one goes.
        key: under which key.
        client_factory: makes a client for one renewal. One that would send requests again does not: they go out once.
        now: the clock, in Unix seconds.
    """
    with _guard:
        history = _histories.setdefault((_identity(store), key), _History())
    return StoreRenewal(store, key, history, client_factory, now)


@contextlib.contextmanager
def renewing(store: WritableStore, key: str) -> Iterator[None]:
    """Have nobody else, in this or in another process, renew the login under *key* of *store* meanwhile.

    The store itself is not locked: its other logins need not wait for a server that does not answer.

    Raises:
        CredentialStoreError: code ``locked``: somebody else has been renewing it for a minute; code ``store``: there is
            no place for the lock.
        Interrupted: the user has stopped the run.
    """
    with locked(f"renewal of {key} in {_identity(store)}", f"{store.name}, key {key!r}"):
        yield


def _identity(store: WritableStore) -> str:
    """What *store* is called by all who use it, whatever they have named it by."""
    return store.name if store.path is None else str(store.path.resolve())


class StoreRenewal:
    """Keeps one login of one store good for use; made by :func:`renewal_for`."""

    def __init__(
        self,
        store: WritableStore,
        key: str,
        history: _History,
        client_factory: Callable[[], Client],
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._key = key
        self._history = history
        self._client_factory = client_factory
        self._now = now

    def current(self) -> OAuth:
        """The login as it is now, renewed if it ends within five minutes.

        A renewal that fails while the token is still good is logged as a warning, and the token is used.

        Raises:
            CredentialError: code ``login-expired``: it has expired and could not be renewed, or the server has ended
                it, or it is no longer in the store; code ``locked`` or ``store``: it has expired, and is not renewed,
                because the store cannot be read anew, so that somebody else may just be doing it.
            TransportError: it has expired, and no answer came when it was to be renewed.
            ServerError: it has expired, and the server had no time to renew it.
            Interrupted: the user has stopped the run.
        """
        login = self._history.newest(self._login_in(self._store.get(self._key)))
        if not self._is_due(login):
            return login
        try:
            with renewing(self._store, self._key):
                return self._renewed(login)
        except CredentialStoreError as error:
            if self._is_over(login):
                raise CredentialStoreError(
                    f"The login for {self._host} has expired, and cannot be renewed: {error}",
                    hint=error.hint,
                    code=error.code,
                ) from error
            self._history.warn(f"The login for {self._host} ends soon, and cannot be renewed: {error}")
            return login

    def _renewed(self, login: OAuth) -> OAuth:
        """*login*, which is due, renewed by whoever comes first; to be called by whose turn it is."""
        failure = None
        for _ in range(2):
            login = self._stored_now(login)
            if self._is_due(login):
                login = self._renew(login)
            failure = self._failure_of(login)
            if failure is None:
                return login
            if not failure.refused:
                break
            # Another program, which knows nothing of keelback's locks, may have used the refresh token meanwhile.
        if failure is not None and (failure.refused or self._is_over(login)):
            raise self._expired(failure)
        self._history.warn(f"The login for {self._host} ends soon, and could not be renewed: {failure}")
        return login

    def _stored_now(self, known: OAuth) -> OAuth:
        """What is in the store now, where this process has just had *known*.

        Raises:
            CredentialStoreError: the store cannot be read anew.
        """
        login = self._history.newest(self._login_in(self._store.update(self._key, lambda stored: stored)))
        if login != known:
            self._history.greet(login, self._now())
        return login

    def _renew(self, login: OAuth) -> OAuth:
        """*login*, which is due, renewed and stored; itself where that fails, and :meth:`_failure_of` says why."""
        failure = self._failure_of(login)
        if failure is not None and self._now() < failure.until:
            return login
        try:
            new = self._ask(login)
        except Interrupted:
            raise
        except KeelbackError as error:
            self._history.failure = failure = _Failure(login, error)
            failure.until = math.inf if failure.refused else self._now() + _PAUSE
            return login
        return self._keep(new)

    def _keep(self, new: OAuth) -> OAuth:
        """Put *new* where what it was made from is; what somebody else has put there meanwhile stays, and is used."""

        def change(stored: Credential | None) -> Credential | None:
            return new if isinstance(stored, OAuth) and self._history.newest(stored) == new else stored

        try:
            return self._login_in(self._store.update(self._key, change))
        except CredentialStoreError as error:
            self._history.warn(
                f"The login for {self._host} was renewed for this run, and cannot be kept: {error} What is kept there "
                "may be good no longer."
            )
            return new

    def _failure_of(self, login: OAuth) -> _Failure | None:
        failure = self._history.failure
        return failure if failure is not None and failure.login == login else None

    def _ask(self, login: OAuth) -> OAuth:
        """*login* with what the server gives for its refresh token; that stays where no new one comes (RFC 6749, 6)."""
        if login.refresh_token is None:
            raise CredentialError("the server gave nothing with which it could be renewed", code=EXPIRED)
        grant = {"grant_type": "refresh_token", "refresh_token": login.refresh_token.reveal()}
        with self._client_factory() as client:
            try:
                tokens = request_tokens(
                    client, login.token_endpoint, grant, Application(login.client_id), now=self._now
                )
            finally:
                client.stop()  # what has not been answered in time must not go on
        new = replace(
            login,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token or login.refresh_token,
            expires_at=tokens.expires_at,
        )
        self._history.succeed(login, new)
        self._history.greet(new, self._now())
        _log.info("The login for %s was renewed.", self._host)
        return new

    def _login_in(self, credential: Credential | None) -> OAuth:
        if isinstance(credential, OAuth):
            return credential
        raise CredentialError(
            f"The login for {self._host} is no longer in {self._store.name}.", hint=self._hint, code=EXPIRED
        )

    def _is_due(self, login: OAuth) -> bool:
        """Whether *login* ends soon and can be renewed, or has ended."""
        if login.expires_at is None:
            return False
        margin = 0 if login.refresh_token is None else self._history.margins.get(login, _AHEAD)
        return login.expires_at - self._now() <= margin

    def _is_over(self, login: OAuth) -> bool:
        return login.expires_at is not None and login.expires_at <= self._now()

    def _expired(self, failure: _Failure) -> KeelbackError:
        if failure.refused:
            return CredentialError(f"The login for {self._host} has ended: {failure}", hint=self._hint, code=EXPIRED)
        message = f"The login for {self._host} has expired, and could not be renewed: {failure}"
        error = failure.error
        if isinstance(error, TransportError) and error.code == TransportError.code:
            return TransportError(message, hint="Check the network; the login itself may still be good.")
        if isinstance(error, TokenEndpointBusy):
            hint = "Try again later; the login itself may still be good."
            return ServerError(message, status=error.status, hint=hint)
        return CredentialError(message, hint=self._hint, code=EXPIRED)

    @property
    def _host(self) -> str:
        return self._key.removeprefix("*.")

    @property
    def _hint(self) -> str:
        return f"Log in again: keelback auth login {self._host}."
