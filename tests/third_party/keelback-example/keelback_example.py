"""A kind of channel that keelback does not know by itself.

Its server is made up. It has three requests, all with ``Authorization: Bearer TOKEN``::

    GET  /CHANNEL/info/SUBDIR/FILE      200 {"sha256": "..."}, or 404
    POST /CHANNEL/files/SUBDIR/FILE     the package; 201, or 409 where there is one of that name
    GET  /CHANNEL/SUBDIR/FILE           what conda reads, repodata included

After ``pip install keelback-example`` there is ``keelback publish --to example+https://HOST/CHANNEL FILES``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

import httpx2

from keelback import BearerToken, UsageError
from keelback.channels.answers import expect
from keelback.channels.delivery import Refusal
from keelback.channels.tokenchannel import TokenChannel
from keelback.listing import Listed
from keelback.transport import ArchiveBody, Request

if TYPE_CHECKING:
    from keelback import Credential, PackageArchive
    from keelback.channels.delivery import Delivery
    from keelback.channels.session import Session
    from keelback.channels.target import Target


class ExampleChannel(TokenChannel):
    """A channel of the example's server.

    Args:
        url: where conda reads it.
    """

    kind: ClassVar[str] = "example"  # as the entry point is called
    title: ClassVar[str] = "the example's server"
    takes: ClassVar[tuple[type[Credential], ...]] = (BearerToken,)
    token: ClassVar[type[BearerToken]] = BearerToken  # what the token of an option or the variable becomes
    variables: ClassVar[tuple[str, ...]] = ("EXAMPLE_TOKEN",)

    def __init__(self, url: str) -> None:
        self.url = url
        self.endpoint = url  # whose host gets the token

    @classmethod
    def from_target(cls, target: Target) -> ExampleChannel | None:
        """``example+https://HOST/CHANNEL``; a kind with hosts of its own would recognise these here, too."""
        if target.kind != cls.kind:
            return None
        if len(target.segments) != 1:
            raise UsageError(f"{target.text} names no channel", hint=f"Write it like {target.base()}/CHANNEL.")
        return cls(target.base(1))

    def open(self, session: Session) -> None:
        """Find the credential: by option, in the variable, or in a store."""
        access = self.find_access(session)
        assert isinstance(access.credential, httpx2.Auth)
        self.use(session, access.credential, access.source)

    def find(self, archive: PackageArchive) -> Listed | None:
        """What the server has under the name of *archive*."""
        answer = self._client.send(Request("GET", self._at("info", archive), auth=self._auth))
        if answer.status == 404:
            return None
        return Listed(sha256=expect(answer, source=self._source).json()["sha256"])

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """Send it; the server replaces nothing, so that *overwrite* makes no difference."""
        body = ArchiveBody(archive, delivery.sent)
        answer = self._client.send(
            Request("POST", self._at("files", archive), auth=self._auth, body=body, retried=delivery.retried)
        )
        if answer.status == 409 and not overwrite:
            raise Refusal(answer.attempts, uncertain=answer.uncertain)
        expect(answer, source=self._source)
        return answer.attempts

    def _at(self, what: str, archive: PackageArchive) -> str:
        return f"{self.url}/{what}/{quote(archive.relative_path, safe='/+!')}"
