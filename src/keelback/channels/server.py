"""What the channels of all servers have in common: a client, a credential, and an index that is read over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.channels.base import Channel
from keelback.channels.reading import IndexReader

if TYPE_CHECKING:
    import httpx2

    from keelback.archive import PackageArchive
    from keelback.channels.session import Session
    from keelback.listing import Listed

ASK_FIRST_FROM: Final = 4 << 20
"""From this size on, in bytes, asking first costs less than sending an archive for nothing."""


class ServerChannel(Channel):
    """A channel of a server; :meth:`open` ends with :meth:`use`."""

    def use(self, session: Session, auth: httpx2.Auth, source: str, index: IndexReader | None = None) -> None:
        """Work with this credential from now on.

        Args:
            session: sends the requests.
            auth: puts the credential on a request to the server.
            source: where the credential came from, for messages.
            index: reads the channel's index; by default under :attr:`url`, with *auth*.
        """
        self._client = session.client
        self._auth = auth
        self._source = source
        self._index = index or IndexReader(session.client, self.url, auth)

    def refresh(self) -> None:
        """See :class:`Channel`."""
        self._index.forget()

    def listed(self, archive: PackageArchive) -> Listed | None:
        """See :class:`Channel`."""
        return self._index.listed(archive)
