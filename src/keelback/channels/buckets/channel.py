"""Channels in buckets: archives under ``SUBDIR/``, with the index that readers need, and nothing else to run.

A new archive gets its key as soon as all of it is with the service, and only if there is nothing under that key.
Archives that replace others, and the index, wait for the end: whoever reads meanwhile finds the channel as it was. What
remains is the moment between the last archive and the index, in which a reader may find a new archive where the index
has the hash of the old one: no service changes several objects at once.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, Self

import httpx2

from keelback.channels.base import Delivery, Refusal, Session
from keelback.channels.buckets.attributes import archive_attributes
from keelback.channels.buckets.bucket import ABSENT, Changed
from keelback.channels.buckets.index import SubdirIndexWriter
from keelback.channels.buckets.sidecarobjects import MEMBER, SidecarObjects
from keelback.channels.memo import Memo
from keelback.channels.reading import IndexReader
from keelback.channels.server import ASK_FIRST_FROM, ServerChannel
from keelback.errors import ConflictError, CredentialError, Interrupted, KeelbackError, UsageError
from keelback.listing import Listed
from keelback.repodata import record_of, same_file
from keelback.secret import redact
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.buckets.bucket import Bucket, Staged, Stored
    from keelback.channels.indexable import IndexChanges, SubdirChange
    from keelback.channels.patches import Sources
    from keelback.channels.target import Target
    from keelback.repodata import Record

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 8
"""How many archives are made visible at once."""
_UNCHANGED: Final = {"accept-encoding": "identity"}


class BucketChannel(ServerChannel):
    """A channel in a bucket.

    Args:
        name: the bucket's; of Azure, the account's.
        path: the names that lead to the channel in it; of Azure, the container's first.
    """

    indexes_itself: ClassVar[bool] = True
    is_named_with_host: ClassVar[bool] = False
    needs_md5: ClassVar[bool] = True
    takes_attestations: ClassVar[bool] = True

    def __init__(self, name: str, *path: str) -> None:
        self.name = name
        self.path = path
        self.url = "/".join([f"{self.kind}://{name}", *path])
        self._there: dict[str, Stored] = {}
        self._standing: dict[str, PackageArchive] = {}
        self._replacing: dict[str, tuple[PackageArchive, Staged, bytes | None]] = {}
        self._attested: dict[str, str] = {}
        self._rejected: dict[str, KeelbackError] = {}
        self._indexed: Memo[frozenset[str]] = Memo()
        self._lock = threading.Lock()

    @classmethod
    def from_target(cls, target: Target) -> Self | None:
        """``KIND://NAME/PATH``."""
        if target.kind != cls.kind:
            return None
        if "+" in target.text.partition(":")[0]:
            raise UsageError(
                f"{redact(target.text)}: {cls.title} is not named by its host",
                hint=f"Write {cls.kind}://{'/'.join(target.segments)}, with --endpoint-url {target.base()}.",
            )
        return cls(target.host, *target.segments)

    @abstractmethod
    def bucket(self, session: Session) -> Bucket:
        """Where the channel is, with the credential that the session has for it.

        Raises:
            UsageError: what the session says of it is invalid.
            CredentialError: a credential that cannot be used.
        """

    def readable(self, session: Session) -> tuple[str, Access | None] | None:
        """See :class:`Channel`."""
        bucket = self.bucket(session)
        bucket.locate()
        return bucket.reading_url, bucket.access()

    def open(self, session: Session) -> None:
        """See :class:`Channel`; a dry run writes nothing to find out whether it may."""
        self._bucket = bucket = self.bucket(session)
        access = bucket.access()
        if access is None:
            raise CredentialError(f"No credential for {self.url}, and none of its service.", hint=self.login_hint)
        assert isinstance(access.credential, httpx2.Auth)  # noqa: S101 - what a bucket gives
        index = IndexReader(session.client, bucket.reading_url, access.credential)
        self.use(session, access.credential, access.source, index)
        self._sidecars = SidecarObjects(bucket)
        if session.dry_run:
            bucket.stat("noarch/repodata.json")
            return
        bucket.probe()
        if not bucket.conditional:
            logger.warning(
                "%s does not honour conditions (If-None-Match, If-Match): two that publish to it at the same time may "
                "overwrite each other's packages, and lose entries of the index; let one publish at a time",
                self.url,
            )

    def begin(self, archives: Sequence[PackageArchive]) -> None:
        """See that the index can be added to, and have what dead runs left forgotten."""
        subdirs = sorted({archive.subdir for archive in archives})
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="begin") as pool:
            sweeping = pool.submit(self._bucket.sweep)
            for _ in pool.map(self._names, subdirs):
                pass
        swept = sweeping.result()
        if swept:
            logger.info("%s: %s unfinished uploads of runs that are dead were aborted", self.url, swept)

    def asks_first(self, archive: PackageArchive) -> bool:
        """See :class:`Channel`: where it may be there, or sending it for nothing would cost more than a question."""
        return (
            not self._bucket.conditional
            or archive.size >= ASK_FIRST_FROM
            or archive.filename in self._names(archive.subdir)
        )

    def _names(self, subdir: str) -> frozenset[str]:
        """The archives that the index of *subdir* names, as it was at first."""
        return self._indexed.get(subdir, self._writer(subdir).names)

    def find(self, archive: PackageArchive) -> Listed | None:
        """What is under its key, whatever the index says of it."""
        found = self._bucket.stat(archive.relative_path)
        if found is None:
            return None
        self._there[archive.relative_path] = found
        sha256 = found.sha256
        if sha256 is None and found.size == archive.size:  # put there by a program that keeps no hashes
            sha256 = self._digest(archive)
        return Listed(sha256=sha256, size=found.size)

    def _digest(self, archive: PackageArchive) -> str | None:
        digest = hashlib.sha256()
        url = f"{self._bucket.reading_url}/{archive.relative_path}"
        with self._client.stream(Request("GET", url, auth=self._auth, headers=_UNCHANGED)) as (status, _, pieces):
            if status != 200:
                return None
            for piece in pieces:
                digest.update(piece)
        return digest.hexdigest()

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """Stage it, and publish it under the condition that there is nothing, unless it replaces something."""
        there = self._there.get(archive.relative_path)
        if not self._bucket.conditional:
            there = self._bucket.stat(archive.relative_path)
        if there is not None and not overwrite:
            raise Refusal(attempts=0)
        replaces = there is not None
        staged = self._bucket.stage(
            archive.relative_path, archive, archive_attributes(archive), delivery, ahead=replaces
        )
        if replaces:
            with self._lock:
                self._replacing[archive.relative_path] = archive, staged, delivery.attestation
            return 1
        try:
            if delivery.attestation is not None:  # first: a run that is killed leaves no archive without its own
                self._attest(archive, delivery.attestation)
            attempts = staged.publish(None if overwrite or not self._bucket.conditional else ABSENT)
        except Changed as changed:
            raise Refusal(changed.attempts, uncertain=changed.uncertain) from None
        except BaseException:
            staged.discard()
            raise
        self._standing[archive.relative_path] = archive
        return attempts

    def _attest(self, archive: PackageArchive, attestation: bytes) -> None:
        self._attested[archive.relative_path] = self._sidecars.add(archive, attestation)

    def keep(self, archive: PackageArchive) -> None:
        """It is there; so that it is in the index, too, if a run was killed before it wrote one."""
        self._standing[archive.relative_path] = archive
        if archive.filename not in self._names(archive.subdir):
            attested = self._sidecars.of(archive)
            if attested is not None:
                self._attested[archive.relative_path] = attested

    def finish(self) -> None:
        """Have what replaces others be seen, and write the index, once."""
        if self._replacing:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="replace") as pool:
                for _ in pool.map(self._replace, list(self._replacing)):
                    pass
        subdirs = {archive.subdir for archive in self._standing.values()}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="index") as pool:
            for _ in pool.map(self._update, sorted({*subdirs, "noarch"})):  # without noarch, readers take it for none
                pass

    def _update(self, subdir: str) -> None:
        standing = [archive for archive in self._standing.values() if archive.subdir == subdir]
        records = {archive.filename: self._record(archive) for archive in standing}
        self._writer(subdir).update(partial(_put, records))

    def _replace(self, relative_path: str) -> None:
        try:
            self._publish_staged(relative_path)
        except Interrupted:
            raise
        except KeelbackError as error:
            self._rejected[relative_path] = error
        del self._replacing[relative_path]

    def _publish_staged(self, relative_path: str) -> None:
        archive, staged, attestation = self._replacing[relative_path]
        there = self._there.get(relative_path)
        if attestation is None:
            self._sidecars.remove(archive)
        else:
            self._attest(archive, attestation)
        try:
            staged.publish(there.version if there is not None and self._bucket.conditional else None)
        except Changed:
            raise ConflictError(
                f"{self.url}/{relative_path} was replaced by somebody else meanwhile",
                hint="Run it again, if yours is to replace that, too.",
            ) from None
        self._standing[relative_path] = archive

    def rejected(self) -> Mapping[str, KeelbackError]:
        """See :class:`Channel`: what could not replace what is there."""
        return self._rejected

    def _record(self, archive: PackageArchive) -> Record:
        attested = self._attested.get(archive.relative_path)
        return record_of(archive) if attested is None else {**record_of(archive), MEMBER: attested}

    def close(self) -> None:
        """Have the service forget what was staged and not published."""
        for _, staged, _ in self._replacing.values():
            staged.discard()
        self._replacing.clear()

    def index(self, changes: IndexChanges, session: Session) -> list[SubdirChange]:
        """See :class:`~keelback.channels.indexable.Indexable`."""
        from keelback.channels.buckets.reindexing import Reindexing  # noqa: PLC0415 - for the command that does

        self.open(session)
        if not changes.dry_run:
            self._bucket.sweep()
        return Reindexing(self._bucket, session.client, changes).carry_out()

    def url_of(self, archive: PackageArchive) -> str:
        """See :class:`Channel`."""
        return f"{self._bucket.reading_url}/{archive.relative_path}"

    def check_credential(self) -> None:
        """See :class:`Channel`: :meth:`open` has asked."""

    def _writer(self, subdir: str) -> SubdirIndexWriter:
        return SubdirIndexWriter(self._bucket, subdir, self._client.wait)


def _put(records: Mapping[str, Record], sources: Sources) -> None:
    """Have *records* in the index; one of the same bytes, which somebody may have patched, stays as it is."""
    for filename, record in records.items():
        before = sources.raw.records.get(filename)
        if before is not None and same_file(before, record):
            attested = {MEMBER: record[MEMBER]} if MEMBER in record else {}
            sources.put(filename, {**before, **attested})
        else:
            sources.put(filename, record)
