"""A channel as it is read: where its subdirs are, and which credential goes with each request."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

import httpx2

from keelback.channels.access import Access, exchanged_access
from keelback.channels.answers import error_of
from keelback.channels.memo import Memo
from keelback.channels.refusals import ReadRefusal
from keelback.credentials.lookup import depends_on_keychain, find
from keelback.errors import ExchangeError, IdentityError, TransportError
from keelback.transport import Request, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.channels.exchange import Exchange
    from keelback.channels.session import Session
    from keelback.credentials.lookup import Match
    from keelback.errors import KeelbackError
    from keelback.transport import Answer, Origin

_log = logging.getLogger("keelback.credentials")

_REFUSED: Final = frozenset({401, 403})
"""The statuses with which servers refuse to let something be read."""


class Reader:
    """Reads one channel over HTTP, or from a folder.

    Each URL gets the credential of its own host (rattler_networking, authentication_middleware.rs), so that packages
    and shards may be elsewhere than the index. What was given with the command goes to the channel's own origin only.

    Where the credential depends on the system's keychain, which may keep a person waiting, requests go without one
    until :meth:`look_further`. So does trusted publishing: of a channel that everybody may read, no identity is asked
    for. Stores are asked for each request: what they have may end during a run.

    Args:
        url: under which the channel's subdirs are: ``http``, ``https`` or ``file``.
        session: sends the requests, and has the stores.
        given: the credential that takes precedence over those in the stores.
        exchange: how the server exchanges identities of CI systems, where it does.
        advice: what else to do where the channel wants a credential and there is none, as a clause.
        name: the channel's own URL, where that is another: ``s3://bucket/channel``.
        how_to_log_in: how to give a credential, as sentences, where a login for the host is not the way.

    Attributes:
        url, name: see above; without a slash at the end.
    """

    def __init__(
        self,
        url: str,
        session: Session,
        given: Access | None = None,
        *,
        exchange: Exchange | None = None,
        advice: str = "",
        name: str = "",
        how_to_log_in: str = "",
    ) -> None:
        self.url = url.rstrip("/")
        self.name = name or self.url
        self.client = session.client
        self._session = session
        self._given = given
        self._exchange = exchange
        self._advice = advice
        self._how_to_log_in = how_to_log_in
        self._asked: set[Origin] = set()
        self._refused = ""
        self._allowed: Memo[bool] = Memo()
        self._lock = threading.Lock()

    @property
    def session(self) -> Session:
        """What sends the requests, and has the stores."""
        return self._session

    @property
    def is_folder(self) -> bool:
        """Whether the channel is in a folder."""
        return self.url.startswith("file:")

    def has(self, url: str) -> bool:
        """Whether *url* is below the channel's."""
        return url.startswith((f"{self.url}/", f"{self.name}/"))

    def place(self, url: str) -> str:
        """The URL at which *url* is read; that may begin with the channel's own name."""
        return self.url + url[len(self.name) :] if url.startswith(f"{self.name}/") else url

    def named(self, url: str) -> str:
        """*url* with the channel's own name, wherever it is read."""
        return self.name + url[len(self.url) :] if url.startswith(f"{self.url}/") else url

    def access(self, url: str) -> Access | None:
        """The credential for *url*, and where it came from; ``None`` where there is none, or only the keychain knows.

        Raises:
            CredentialError: there is one, and it cannot be used.
        """
        if self._given is not None and origin_of(url) == origin_of(self.url):
            return self._given
        match = self._match(url)
        if match is None or not isinstance(match.credential, httpx2.Auth):  # web servers take no S3 keys
            return None
        scope = f"/{match.key.partition('/')[2]}" if match.store.is_path_scoped else "/"
        return Access.of(match, scope)

    def request(self, url: str, headers: Mapping[str, str] | None = None) -> Request:
        """A ``GET`` of *url*, which may begin with the channel's own name, with its credential."""
        url = self.place(url)
        access = self.access(url)
        if access is None or not isinstance(access.credential, httpx2.Auth):
            return Request("GET", url, headers=headers or {})
        return Request("GET", url, auth=access.credential, headers=headers or {}, scope=access.scope)

    def may_ask_again(self, request: Request, answer: Answer) -> bool:
        """Whether *answer* refuses *request*, which had no credential, and there is one after all: the next gets it."""
        return request.auth is None and answer.status in _REFUSED and self.look_further(request.url)

    def look_further(self, url: str) -> bool:
        """Look for a credential for *url* in the keychain, too, and by trusted publishing; later requests get it.

        For a request that was refused without one. Returns whether there is one. Of several threads, one looks.
        """
        url = self.place(url)
        with self._lock:
            self._try_exchange(url)
            self._asked.add(origin_of(url))
        return self.access(url) is not None

    def _try_exchange(self, url: str) -> None:
        """Exchange the identity of the CI system, where one is offered for the channel's own server; once."""
        if self._exchange is None or self._given is not None or origin_of(url) != origin_of(self.url):
            return
        exchange, self._exchange = self._exchange, None
        try:
            self._given = exchanged_access(self._session, exchange)
        except (IdentityError, ExchangeError, TransportError) as error:
            self._advice = f"trusted publishing failed: {error}"
            _log.warning("%s", self._advice)

    def lets_read(self, url: str, try_it: Callable[[], bool]) -> bool:
        """Whether *url* can be read with its present credential: *try_it* finds out, once."""
        access = self.access(url)
        return self._allowed.get((url, None if access is None else access.source), try_it)

    def may_know_more(self, url: str) -> bool:
        """Whether *url* is read without a credential, and the keychain, which was not asked, may have one."""
        return self._is_left_alone(url) and self.access(url) is None

    def refused(self, url: str) -> None:
        """Remember that *url* was refused, if it was read without a credential."""
        if self.access(url) is None:
            self._refused = url

    def look_again(self) -> bool:
        """Whether the channel was refused without a credential, and :meth:`look_further` finds something for it."""
        url, self._refused = self._refused, ""
        if not url or not (self._is_left_alone(url) or self._exchange is not None):
            return False
        return self.look_further(url) or self._match(url) is not None

    def error(self, answer: Answer, url: str) -> KeelbackError:
        """What *answer*, which is not a success, means for whoever wants to read *url*."""
        url = self.place(url)
        if answer.status not in _REFUSED:
            return error_of(answer)
        refusal = ReadRefusal(answer, url, self.url, self.name)
        if origin_of(answer.url) != origin_of(url):
            return refusal.after_redirect()
        access = self.access(url)
        if access is None:
            self.refused(url)
            return refusal.without_credential(self._match(url), self._advice, self._how_to_log_in)
        return refusal.of(access, is_given=access is self._given)

    def _is_left_alone(self, url: str) -> bool:
        """Whether the keychain would be asked for *url*, and is not yet."""
        return origin_of(url) not in self._asked and depends_on_keychain(url, self._session.stores)

    def _match(self, url: str) -> Match | None:
        return None if self._is_left_alone(url) else find(url, self._session.stores)
