"""The records of archives in a bucket, made from the archives: each is fetched, inspected and deleted again."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import httpx2

from keelback.archive import inspect
from keelback.channels.answers import expect
from keelback.channels.buckets.sidecarobjects import MEMBER, SidecarObjects
from keelback.errors import ChannelError, CredentialError, Forbidden, Interrupted, KeelbackError
from keelback.repodata import record_of
from keelback.transport import Downloaded, Expected, Request, download, servers_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.channels.buckets.bucket import Bucket, Stored
    from keelback.repodata import Record
    from keelback.transport import Answer, Client

_TRIES: Final = 3
"""How often an archive is read that others replace meanwhile."""
_DISK: Final = "disk"
"""The code of an error of this machine's disk."""


class ArchiveRecords:
    """Makes the records of archives in *bucket*.

    Args:
        bucket: where they are.
        client: fetches them.
        write: whether attestations beside an archive are also written under the name that its record has for them.
    """

    def __init__(self, bucket: Bucket, client: Client, *, write: bool) -> None:
        self._bucket = bucket
        self._client = client
        self._write = write
        self._sidecars = SidecarObjects(bucket)

    def read(self, stored: Stored, known: Record | None = None) -> Record | KeelbackError | None:
        """The record of an archive.

        Args:
            stored: what a listing says of it, under a key ``SUBDIR/FILE`` whose parts have been checked.
            known: the record that the index has, which is believed where the service has the same hash for the object.

        Returns:
            The record (*known* itself, where it is right); why there is none; or ``None`` where the archive is gone.

        Raises:
            KeelbackError: something is wrong with more than this archive: the credential is refused, the run was
                stopped, or there is no room on this machine's disk (code ``disk``).
        """
        tries = _TRIES
        while True:
            try:
                return self._record(stored, known)
            except KeelbackError as error:
                problem = _of_one_archive(error)
            try:
                there = self._bucket.stat(stored.key)
            except KeelbackError as error:
                _of_one_archive(error)
                return problem
            if there is None and problem.code == "not-found":
                return None
            tries -= 1
            if there is None or there.version == stored.version or not tries:
                return problem
            stored = there

    def _record(self, stored: Stored, known: Record | None) -> Record:
        if known is not None and _is_of(known, self._bucket.stat(stored.key)):
            return known
        subdir, _, filename = stored.key.partition("/")
        with self._workdir(stored.key) as folder:
            self._fetch(stored, folder / filename)
            archive = inspect(folder / filename, subdir=subdir)
            attested = self._sidecars.of(archive, write=self._write)
            return record_of(archive) if attested is None else {**record_of(archive), MEMBER: attested}

    def _fetch(self, stored: Stored, target: Path) -> None:
        access = self._bucket.access()
        auth = access.credential if access is not None and isinstance(access.credential, httpx2.Auth) else None
        request = Request("GET", f"{self._bucket.reading_url}/{quote(stored.key)}", auth=auth)
        try:
            answer = download(
                self._client, request, target, expected=Expected(size=stored.size), told=lambda _count: None
            )
        except ChannelError as error:
            if error.code == _DISK:
                raise self._no_room(stored.key, error.__cause__ or error) from error
            raise
        if not isinstance(answer, Downloaded):
            source = None if access is None else access.source
            if answer.status == 403:
                raise _forbidden(answer, source)
            expect(answer, source=source)

    @contextlib.contextmanager
    def _workdir(self, key: str) -> Iterator[Path]:
        """A folder for one archive, so that its name meets no other, in whatever case that is written."""
        try:
            workdir = tempfile.TemporaryDirectory(prefix="keelback-", ignore_cleanup_errors=True)
        except OSError as error:
            raise self._no_room(key, error) from error
        with workdir as path:
            yield Path(path)

    def _no_room(self, key: str, error: BaseException) -> ChannelError:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        return ChannelError(
            f"{self._bucket.url}/{key} cannot be read: there is no room for it on this machine's disk: {reason}",
            hint="Make room in the folder for temporary files, or name another one in TMPDIR.",
            code=_DISK,
        )


def _forbidden(answer: Answer, source: str | None) -> Forbidden:
    words = servers_words(answer)
    return Forbidden(
        f"the credential{f' from {source}' if source else ''} may not read it (403){f': {words}' if words else ''}",
        hint="Allow it to read every package in the channel: what is listed has to be read first.",
    )


def _of_one_archive(error: KeelbackError) -> KeelbackError:
    """*error*, if it concerns one archive only; otherwise it is raised."""
    if isinstance(error, CredentialError | Interrupted) or error.code == _DISK:
        raise error
    return error


def _is_of(record: Record, there: Stored | None) -> bool:
    """Whether *record* is that of the object that is *there*, by what the service says of it."""
    if there is None or there.sha256 is None or there.sha256 != record.get("sha256"):
        return False
    return record.get("size") in (None, there.size) and (there.md5 is None or record.get("md5") in (None, there.md5))
