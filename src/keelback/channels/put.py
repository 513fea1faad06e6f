"""Any server that takes ``PUT CHANNEL/SUBDIR/FILE``: WebDAV, hosted repositories of Nexus; and Gitea and Forgejo.

Gitea and Forgejo take ``PUT CHANNEL/FILE``, find out the subdir by themselves, never replace a file, and answer no
``HEAD`` (Gitea, "Conda Packages Repository").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote

from keelback.channels.access import given_login
from keelback.channels.answers import error_of, expect
from keelback.channels.delivery import Delivery, Refusal
from keelback.channels.fileserver import UNCHANGED, FileServerChannel, size_in
from keelback.channels.memo import Memo
from keelback.channels.target import check_server
from keelback.credentials.kinds import BasicHTTP, BearerToken
from keelback.errors import ConflictError, ServerError
from keelback.transport import Answer, ArchiveBody, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.session import Session
    from keelback.channels.target import Target
    from keelback.credentials.kinds import Credential
    from keelback.errors import KeelbackError
    from keelback.listing import Listed

_NO_HEAD: Final = frozenset({405, 501})
_MAY_BE_THERE: Final = frozenset({400, 403, 405, 409, 412})
"""How servers refuse what they have: 412 by the condition (RFC 9110), 409 of Gitea, 400 of Nexus, 403 and 405 where
nobody may replace anything."""
_STORED: Final = frozenset({200, 201, 204})
"""After any other success, the file may arrive later."""


class PutChannel(FileServerChannel):
    """A channel on a server that takes ``PUT``; nothing else is known about it.

    Args:
        url: the channel's: ``https://HOST/PATH``.
    """

    kind: ClassVar[str] = "put"
    title: ClassVar[str] = "the server"
    takes: ClassVar[tuple[type[Credential], ...]] = (BasicHTTP, BearerToken)
    flags: ClassVar[str] = "--username and --password, or --api-key"

    def __init__(self, url: str) -> None:
        url = check_server(url)
        super().__init__(url, server=url)
        self._folders: Memo[bool] = Memo()

    @classmethod
    def from_target(cls, target: Target) -> PutChannel | None:
        """``put+https://HOST/PATH``, or the URL of a registry of Gitea or Forgejo."""
        is_gitea = cls.is_at(target.host, target.segments)
        if target.kind != cls.kind and (target.kind or not is_gitea):
            return None
        found = GiteaChannel if is_gitea else PutChannel
        return found(target.base(len(target.segments)))

    @classmethod
    def is_at(cls, host: str, segments: Sequence[str]) -> bool:  # noqa: ARG003 - the path says it all
        """The registries of Gitea and Forgejo, which have ``/api/packages/OWNER/conda`` in their path."""
        starts = (at for at in range(len(segments) - 3) if tuple(segments[at : at + 2]) == ("api", "packages"))
        return any(segments[at + 3] == "conda" for at in starts)

    def given_access(self, session: Session) -> Access | None:
        """See :class:`Channel`: a pair or a token given with the command; there are no variables."""
        return given_login(session.given)

    def _head(self, archive: PackageArchive) -> Answer:
        """The answer to a ``HEAD`` of the file; if the server takes none, the start of the answer to a ``GET``."""
        answer = super()._head(archive)
        if answer.status not in _NO_HEAD:
            return answer
        request = Request("GET", self._file(archive), auth=self._auth, headers=UNCHANGED)
        with self._client.stream(request) as (status, headers, _):
            return Answer(status, headers, b"", request.url)

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """``PUT`` the file on the condition that there is none; not every server observes that."""
        if not overwrite and self._has_come_meanwhile(archive):
            raise Refusal(attempts=0)
        answer = self._put(archive, delivery, overwrite=overwrite)
        if answer.status in _MAY_BE_THERE and not overwrite and self._is_there(archive):
            raise Refusal(answer.attempts, uncertain=answer.uncertain)
        attempts = answer.attempts
        if answer.status == 409 and self._make_folder(archive):
            answer = self._put(archive, delivery, overwrite=overwrite)
            attempts += answer.attempts
        if not answer.ok:
            raise self._refused(answer, archive)
        expect(answer, source=self._source, page=True)  # WebDAV servers say with a page that they created something
        if answer.status in _STORED:
            self._check_stored(archive)
        return attempts

    def _put(self, archive: PackageArchive, delivery: Delivery, *, overwrite: bool) -> Answer:
        condition = {} if overwrite else {"if-none-match": "*"}
        return self._client.send(
            Request(
                "PUT",
                self._destination(archive),
                auth=self._auth,
                headers={"content-type": "application/octet-stream", **condition},
                body=ArchiveBody(archive, delivery.sent),
                retried=delivery.retried,
            )
        )

    def _destination(self, archive: PackageArchive) -> str:
        """Where *archive* is sent."""
        return self._file(archive)

    def _is_there(self, archive: PackageArchive) -> bool:
        self.refresh()
        return self.find(archive) is not None

    def _make_folder(self, archive: PackageArchive) -> bool:
        """Make the folder of the subdir, which WebDAV needs first (RFC 4918, 9.7.1); returns whether it is new."""
        request = Request("MKCOL", f"{self.url}/{quote(archive.subdir)}/", auth=self._auth)
        return self._folders.get(archive.subdir, lambda: self._client.send(request).status == 201)

    def _refused(self, answer: Answer, archive: PackageArchive) -> KeelbackError:  # noqa: ARG002 - for Gitea
        """The error for an *answer* that is no success."""
        error = error_of(answer, source=self._source)
        if answer.status == 400 and "updating assets" in error.message:  # Nexus Repository, "Deployment Policy"
            error.hint = "Set the repository's deployment policy to Allow redeploy, or leave out --force."
        return error

    def _check_stored(self, archive: PackageArchive) -> None:
        """Check that the file is there: some servers answer every ``PUT`` with success.

        Raises:
            ServerError: it has none, or one of another size.
        """
        answer = self._head(archive)
        size = size_in(answer) if answer.ok and "content-encoding" not in answer.headers else None
        if answer.status == 404:
            what = "has nothing there"
        elif size is not None and size != archive.size:
            what = f"has {size} bytes there, not {archive.size}"
        else:
            return
        raise ServerError(
            f"{self._server} accepted {archive.relative_path}, and {what}",
            status=answer.status,
            hint="Check that this URL takes files by PUT, and that nothing on the way changes them.",
            code="damaged",
        )


class GiteaChannel(PutChannel):
    """A registry of Gitea or Forgejo: ``https://HOST/api/packages/OWNER/conda[/CHANNEL]``."""

    title: ClassVar[str] = "Gitea or Forgejo"
    overwrites: ClassVar[bool] = False

    def find(self, archive: PackageArchive) -> Listed | None:
        """What the index says; the server makes it from its database at each request."""
        return self._index.listed(archive)

    def _has_come_meanwhile(self, archive: PackageArchive) -> bool:  # noqa: ARG002 - whichever it is
        """Not asked: the server replaces nothing."""
        return False

    def _destination(self, archive: PackageArchive) -> str:
        return f"{self.url}/{quote(archive.filename, safe='+!')}"

    def _make_folder(self, archive: PackageArchive) -> bool:  # noqa: ARG002 - there are no folders
        return False

    def _refused(self, answer: Answer, archive: PackageArchive) -> KeelbackError:
        if answer.status == 409:
            return ConflictError(
                f"{self.url} has {archive.relative_path} already, and replaces no file",
                hint="Delete the package on its page first, with all files of this version; or raise the build number.",
            )
        return super()._refused(answer, archive)

    def _check_stored(self, archive: PackageArchive) -> None:
        """Not asked: the server reads the package before it says yes."""
