"""Channels of servers that use one URL to ask for, send and read a file: ``CHANNEL/SUBDIR/FILE``."""

from __future__ import annotations

import hashlib
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote

import httpx2

from keelback.channels.access import Access, find_access
from keelback.channels.answers import expect
from keelback.channels.server import ServerChannel
from keelback.channels.target import check_server
from keelback.credentials.kinds import BasicHTTP, BearerToken
from keelback.listing import Listed
from keelback.transport import Request

if TYPE_CHECKING:
    from keelback.archive import PackageArchive
    from keelback.channels.session import Session
    from keelback.credentials.kinds import Credential
    from keelback.transport import Answer

_GOOD_FOR_SECONDS: Final = 10.0
"""How long the answer that a file is not there holds: a ``PUT`` may silently replace what came meanwhile."""

UNCHANGED: Final = {"accept-encoding": "identity"}
"""Asks for the very bytes of a file, and so for their number."""


class FileServerChannel(ServerChannel):
    """A channel of a server that takes ``PUT CHANNEL/SUBDIR/FILE``.

    Args:
        url: the channel's.
        server: the URL for which the credential is.
    """

    takes: ClassVar[tuple[type[Credential], ...]] = (BearerToken, BasicHTTP)
    login_hint: ClassVar[str] = "Give --token -, or --username NAME --password -, and the secret on standard input."
    overwrites: ClassVar[bool] = True
    flags: ClassVar[str] = "--token or --username and --password"

    def __init__(self, url: str, *, server: str) -> None:
        self._server = check_server(server)
        self.url = url
        self._asked: dict[str, float] = {}

    def open(self, session: Session) -> None:
        """See :class:`Channel`."""
        access = find_access(self, session, self._server, server=self.title, flags=self.flags)
        assert isinstance(access.credential, httpx2.Auth)  # noqa: S101 - the kinds that are usable are
        self.use(session, access.credential, access.source)

    @abstractmethod
    def given_access(self, session: Session) -> Access | None:
        """See :class:`Channel`."""

    def find(self, archive: PackageArchive) -> Listed | None:
        """What ``HEAD`` of the file says; always asked first, because a ``PUT`` may silently replace a file."""
        self._asked[archive.relative_path] = time.monotonic()
        return self._found(self._head(archive), archive)

    def _head(self, archive: PackageArchive) -> Answer:
        return self._client.send(Request("HEAD", self._file(archive), auth=self._auth, headers=UNCHANGED))

    def _found(self, answer: Answer, archive: PackageArchive) -> Listed | None:
        """What the *answer* to a ``HEAD`` says of the file; if that has no hash, the file is read."""
        if answer.status == 404:
            return None
        expect(answer, source=self._source)
        size = size_in(answer)
        sha256 = answer.headers.get("x-checksum-sha256")
        if sha256 is None and size == archive.size:
            sha256 = self._digest(self._file(archive), size)
        return Listed(sha256=sha256, md5=answer.headers.get("x-checksum-md5"), size=size)

    def _digest(self, url: str, size: int) -> str | None:
        """The SHA-256 of what is at *url*, if that has *size* bytes."""
        digest, read = hashlib.sha256(), 0
        with self._client.stream(Request("GET", url, auth=self._auth, headers=UNCHANGED)) as (status, _, pieces):
            if status != 200:
                return None
            for piece in pieces:
                digest.update(piece)
                read += len(piece)
                if read > size:
                    break
        return digest.hexdigest() if read == size else None

    def _has_come_meanwhile(self, archive: PackageArchive) -> bool:
        """Whether somebody else has put a file there since :meth:`find` was asked, if that was long ago.

        Where the server has no way to put a file only if there is none, the seconds between question and upload remain.
        """
        asked = self._asked.get(archive.relative_path, 0.0)
        return time.monotonic() - asked > _GOOD_FOR_SECONDS and self.find(archive) is not None

    def _file(self, archive: PackageArchive) -> str:
        return f"{self.url}/{quote(archive.subdir)}/{quote(archive.filename, safe='+!')}"


def size_in(answer: Answer) -> int | None:
    """The size that *answer* tells of a file; ``None`` where it tells none."""
    length = answer.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else None
