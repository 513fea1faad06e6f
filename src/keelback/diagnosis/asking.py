"""Asks a channel whether it can be read, and keeps an account of every request."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import httpx2

from keelback.channels.challenges import offered_schemes
from keelback.credentials.confidential import Confidential
from keelback.credentials.sigv4 import SigV4
from keelback.diagnosis.wording import A_CREDENTIAL, sent_by, shown_url
from keelback.errors import KeelbackError
from keelback.repodata import REPODATA, REPODATA_ZST, SHARD_INDEX
from keelback.report import Problem
from keelback.secret import MASK, redact
from keelback.transport import Client, Request, servers_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from keelback.transport import Answer

_INDEXES: Final = (REPODATA, REPODATA_ZST, SHARD_INDEX)
_ABSENT: Final = frozenset({404, 410})
_LARGEST: Final = 64 << 20
"""Bytes of an index that is sent whole although only its beginning was asked for."""
_SIGNATURES: Final = frozenset({"AWS4-HMAC-SHA256", "SharedKey"})
"""What ``Authorization`` begins with where no secret is sent, and only what was made with one."""
_BEGINNING: Final = {"range": "bytes=0-1023"}


@dataclass(frozen=True)
class Asked:
    """One request and its answer.

    Attributes:
        method: the HTTP method.
        url: without query and secrets.
        sent: the credential that was sent, masked; ``None`` for none.
        status: the HTTP status; ``None`` where no answer came.
        said: the server's own words, or why there was no answer.
    """

    method: str
    url: str
    sent: str | None
    status: int | None
    said: str

    def to_json(self) -> dict[str, Any]:
        """``{"method", "url", "sent", "status", "said"}``."""
        return vars(self).copy()


class AccountingClient(Client):
    """A client that keeps an account of what it sends, redirects included, in :attr:`requests`.

    What is not sent after all, because its credential cannot be used, is not in it. No credential is renewed because it
    was refused: that is what is to be seen.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.requests: list[Asked] = []
        self._under_way: dict[str, _Watched | None] = {}

    def send(self, request: Request) -> Answer:
        """See :class:`Client`."""
        return super().send(replace(request, auth=_watched(request.auth)))

    def persist(self, request: Request, once: Callable[[], Answer]) -> Answer:
        """See :class:`Client`; *once* may send a request that is made anew each time, to the URL of *request*."""
        self._under_way.pop(request.url, None)
        try:
            answer = super().persist(request, once)
        except KeelbackError as error:
            if request.url in self._under_way:
                watched = self._under_way[request.url]
                if watched is None or watched.was_sent:
                    self._note(request, None, error.message)
            raise
        self._note(request, answer.status, _said(answer))
        return answer

    def send_once(self, request: Request) -> Answer:
        """See :class:`Client`."""
        watched = self._under_way[request.url] = _watched(request.auth)
        return super().send_once(replace(request, auth=watched))

    def _note(self, request: Request, status: int | None, said: str) -> None:
        watched = self._under_way.get(request.url)
        sent = None if watched is None else watched.words
        self.requests.append(Asked(request.method, shown_url(request.url), sent, status, said))


class _Watched(httpx2.Auth):
    """What *auth* does to a request, and whether one was sent with it.

    Attributes:
        was_sent: whether a request was sent.
        words: what *auth* put onto it, without the secret.
    """

    def __init__(self, auth: httpx2.Auth) -> None:
        self._auth = auth
        self.was_sent = False
        self.words = sent_by(auth)

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """See :class:`httpx2.Auth`; a request is sent once, and again only to be dated by the server's clock."""
        flow = self._auth.sync_auth_flow(request)
        ready = next(flow)
        self.was_sent = True
        scheme = ready.headers.get("authorization", "").partition(" ")[0]
        if isinstance(self._auth, Confidential):
            bare = "a secret in its body" if ready.method == "POST" else None
            self.words = f"Authorization: {scheme} {MASK}" if scheme else bare
        elif self.words == A_CREDENTIAL:
            bare = f"sig={MASK} in the query" if b"sig=" in ready.url.query else A_CREDENTIAL
            token = f"Authorization: {scheme} {MASK}"
            self.words = f"a signature ({scheme})" if scheme in _SIGNATURES else token if scheme else bare
        response = yield ready
        if isinstance(self._auth, SigV4):
            with contextlib.suppress(StopIteration):
                yield flow.send(response)


def _watched(auth: httpx2.Auth | None) -> _Watched | None:
    return auth if auth is None or isinstance(auth, _Watched) else _Watched(auth)


@dataclass(frozen=True)
class Reading:
    """What came of reading a channel's index.

    Attributes:
        status: of the last answer; ``None`` where there was none.
        said: the server's words.
        offers: the schemes that its ``WWW-Authenticate`` names.
        elsewhere: the origin to which a redirect led, where the credential does not go; empty where none did.
        page: whether a web page came in the place of an index.
        error: why there was no answer.
    """

    status: int | None
    said: str = ""
    offers: tuple[str, ...] = ()
    elsewhere: str = ""
    page: bool = False
    error: Problem | None = None

    @property
    def ok(self) -> bool:
        """Whether the index can be read."""
        return self.status is not None and 200 <= self.status <= 299 and not self.page

    @property
    def refused(self) -> bool:
        """Whether the answer is that one may not."""
        return self.status in {401, 403}


def read_channel(client: Client, url: str, auth: httpx2.Auth | None) -> Reading:
    """Ask for the index of ``noarch``, which every channel has (CEP 36): by ``HEAD``, and its beginning by ``GET``.

    Args:
        client: sends the requests.
        url: the channel's.
        auth: the credential, or ``None``.
    """
    reading = Reading(None)
    for name in _INDEXES:
        reading = _read_file(client, f"{url.rstrip('/')}/noarch/{name}", auth)
        if reading.status not in _ABSENT:
            break
    return reading


def _read_file(client: Client, url: str, auth: httpx2.Auth | None) -> Reading:
    """What is at *url*; what ``HEAD`` does not get, ``GET`` may: some servers refuse it, or redirect to what does."""
    try:
        answer = client.get(Request("HEAD", url, auth=auth))
        if not answer.ok:
            answer = client.get(Request("GET", url, auth=auth, headers=_BEGINNING, limit=_LARGEST))
    except KeelbackError as error:
        return Reading(None, error=Problem.of(error))
    return Reading(
        answer.status,
        servers_words(answer) if not answer.ok else "",
        offered_schemes(answer.headers),
        _origin(answer.url) if _origin(answer.url) != _origin(url) else "",
        page=answer.ok and "html" in answer.headers.get("content-type", "").lower(),
    )


def _said(answer: Answer) -> str:
    location = answer.headers.get("location")
    if 300 <= answer.status <= 399 and location:
        try:
            target = httpx2.URL(answer.url).join(location)
        except httpx2.InvalidURL:
            return "redirects to an invalid URL"
        return f"redirects to {_origin(str(target))}"
    return "" if answer.ok else servers_words(answer)


def _origin(url: str) -> str:
    parts = httpx2.URL(url)
    return redact(f"{parts.scheme}://{parts.netloc.decode('ascii')}")
