"""Channels of a Quetz server (Quetz 0.10: ``main.py``, the routes under ``/api/channels``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote, urlencode

from keelback.channels.answers import expect
from keelback.channels.delivery import Delivery, Refusal
from keelback.channels.server import ASK_FIRST_FROM
from keelback.channels.service import Identity
from keelback.channels.target import check_name, check_server
from keelback.channels.tokenchannel import TokenChannel
from keelback.credentials.kinds import CondaToken
from keelback.errors import ServerError, UsageError
from keelback.listing import Listed
from keelback.transport import ArchiveBody, Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.service import Site
    from keelback.channels.session import Session
    from keelback.channels.target import Target
    from keelback.credentials.kinds import Credential
    from keelback.transport import Client

_USERS: Final = "api/paginated/users?limit=1"
"""A key sees at least its own user there."""


class QuetzChannel(TokenChannel):
    """A channel of a Quetz server.

    Args:
        channel: the channel's name.
        url: the server's, with any path in front of ``/api``.
    """

    kind: ClassVar[str] = "quetz"
    title: ClassVar[str] = "Quetz"
    takes: ClassVar[tuple[type[Credential], ...]] = (CondaToken,)
    token: ClassVar[type[CondaToken]] = CondaToken
    variables: ClassVar[tuple[str, ...]] = ("QUETZ_API_KEY",)
    login_hint: ClassVar[str] = "Give --conda-token - and the API key on standard input."

    def __init__(self, channel: str, *, url: str) -> None:
        self.endpoint = check_server(url)
        self._channel = check_name(channel, "the channel")
        self._api = f"{self.endpoint}/api/channels/{quote(channel)}"
        self.url = f"{self.endpoint}/get/{quote(channel)}"

    @classmethod
    def from_target(cls, target: Target) -> QuetzChannel | None:
        """``quetz+https://HOST[/BASE][/get]/CHANNEL``, or any URL of a host with ``quetz`` in its name."""
        if target.kind != cls.kind and (target.kind or not cls.is_at(target.host, target.segments)):
            return None
        segments = target.segments
        if not segments:
            raise UsageError(f"{target.text} names no channel", hint=f"Write it like {target.base()}/CHANNEL.")
        base = len(segments) - 1
        if base and segments[base - 1] == "get":
            base -= 1
        return cls(segments[-1], url=target.base(base))

    @classmethod
    def is_at(cls, host: str, segments: Sequence[str]) -> bool:  # noqa: ARG003 - the host says it all
        """Hosts with ``quetz`` in their name."""
        return "quetz" in host

    @classmethod
    def answers(cls, client: Client, site: Site) -> bool:
        """See :class:`Service`: Quetz has its own answer to those without a key."""
        answer = client.send(Request("GET", f"{site.origin}/{_USERS}"))
        return answer.status == 401 and answer.json() == {"detail": "Not logged in"}

    @classmethod
    def whoami(cls, client: Client, site: Site, credential: Credential, environ: Mapping[str, str]) -> Identity:  # noqa: ARG003 - no variable counts
        """Ask for its users, which it lists for those with a valid key, whatever the roles of that are.

        ``/api/me`` wants a browser's session, and ``/api/api-keys`` would send all keys of the user.
        """
        assert isinstance(credential, CondaToken)  # noqa: S101 - what it takes
        url = f"{site.up_to('get') or site.origin}/{_USERS}"
        answer = client.send(Request("GET", url, auth=credential.header("X-API-Key")))
        if answer.status == 401:
            return Identity.refused(answer)
        expect(answer, 200)
        return Identity(valid=True, said="it does not tell whose key it is, nor what the key permits")

    def open(self, session: Session) -> None:
        """See :class:`Channel`; asks for the channel, because Quetz answers an upload to a missing one with 500."""
        access = self.find_access(session)
        assert isinstance(access.credential, CondaToken)  # noqa: S101 - what it takes
        self.use(session, access.credential.header("X-API-Key"), access.source)
        answer = self._client.send(Request("GET", self._api, auth=self._auth))
        if answer.status == 404:
            raise ServerError(
                f"{self.endpoint} has no channel {self._channel!r}",
                status=404,
                code="no-channel",
                hint="Create it on the server first, or check how it is spelled.",
            )
        if answer.status == 403:  # a key that may upload one package, but not look at the channel
            return
        if not isinstance(expect(answer, 200, source=self._source).json(), dict):
            raise ServerError(f"{self.endpoint} does not answer as Quetz does", status=200, hint="Check the URL.")

    def asks_first(self, archive: PackageArchive) -> bool:
        """A small file is sent at once: Quetz answers 409 where it has one."""
        return archive.size >= ASK_FIRST_FROM

    def find(self, archive: PackageArchive) -> Listed | None:
        """What the server's catalogue has (``GET .../packages/P/versions/PLATFORM/FILE``), or else its index."""
        place = "/".join(quote(part) for part in (archive.name, "versions", archive.subdir, archive.filename))
        answer = self._client.send(Request("GET", f"{self._api}/packages/{place}", auth=self._auth))
        if answer.status == 404:
            return None
        document: Any = expect(answer, source=self._source).json()
        info = document.get("info") if isinstance(document, dict) else None
        if isinstance(info, dict) and isinstance(info.get("sha256"), str):
            return Listed(sha256=info["sha256"])
        return self._index.listed(archive) or Listed()

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """``POST /api/channels/CHANNEL/upload/FILE?force=...&sha256=...`` with the bytes as they are."""
        query = urlencode({"force": "true" if overwrite else "false", "sha256": archive.sha256})
        answer = self._client.send(
            Request(
                "POST",
                f"{self._api}/upload/{quote(archive.filename, safe='+!')}?{query}",
                auth=self._auth,
                headers={"content-type": "application/octet-stream"},
                body=ArchiveBody(archive, delivery.sent),
                retried=delivery.retried,
            )
        )
        if answer.status == 409 and not overwrite:
            raise Refusal(answer.attempts, uncertain=answer.uncertain)
        expect(answer, 201, source=self._source)
        return answer.attempts
