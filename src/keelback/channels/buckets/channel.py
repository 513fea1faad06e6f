"""Channels in buckets: archives under ``SUBDIR/``, with the index that readers need; no program runs there.

A new archive gets its key as soon as all of it is with the service, and only if there is nothing under that key.
Archives that replace others, and the index, wait for the end: whoever reads meanwhile finds the channel as it was. What
remains is the moment between the last archive and the index, in which a reader may find a new archive where the index
has the hash of the old one: no service changes several objects at once. A run that dies in it leaves a notice, by which
the next one mends the index. Caches on the way may serve the old archive for up to an hour, with the new index, too.
"""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

import httpx2

from keelback.archive import SUBDIRS
from keelback.channels.buckets.attributes import archive_attributes
from keelback.channels.buckets.bucket import ABSENT, Changed
from keelback.channels.buckets.entries import put_records, removed_from
from keelback.channels.buckets.hashing import read_hash
from keelback.channels.buckets.index import SubdirIndexWriter
from keelback.channels.buckets.leftovers import Leftovers, leftovers, still_there
from keelback.channels.buckets.replacing import Replacements
from keelback.channels.buckets.sidecarobjects import SidecarObjects, attested_record
from keelback.channels.delivery import Delivery, Refusal
from keelback.channels.indexable import Indexable
from keelback.channels.indexchanges import require_subdirs, warn_of_removed
from keelback.channels.memo import Memo
from keelback.channels.reading import IndexReader
from keelback.channels.server import ASK_FIRST_FROM, ServerChannel
from keelback.channels.target import refuse_part
from keelback.errors import ChannelError, CredentialError, Interrupted, KeelbackError, UsageError
from keelback.listing import Listed
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.buckets.bucket import Bucket, Staged, Stored
    from keelback.channels.buckets.index import Names
    from keelback.channels.indexable import IndexChanges, SubdirChange
    from keelback.channels.patches import Instructions, Sources
    from keelback.channels.session import Session
    from keelback.channels.target import Target

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 8
"""How many archives are made visible at once."""


class BucketChannel(Indexable, ServerChannel):
    """A channel in a bucket.

    Args:
        name: the bucket's; of Azure, the account's.
        path: the names that lead to the channel in it; of Azure, the container's first.
    """

    def __init__(self, name: str, *path: str) -> None:
        self.name = name
        self.path = path
        self.url = "/".join([f"{self.kind}://{name}", *path])
        self._there: dict[str, Stored] = {}
        self._standing: dict[str, PackageArchive] = {}
        self._attested: dict[str, str] = {}
        self._kept: set[str] = set()
        self._left_out: set[str] = set()
        self._deleted: set[str] = set()
        self._patches: Mapping[str, Instructions] = {}
        self._indexed: Memo[Names] = Memo()
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
        refuse_part(target)
        return cls(target.host, *target.segments)

    @abstractmethod
    def bucket(self, session: Session) -> Bucket:
        """Where the channel is, with the credential that the session has for it.

        Raises:
            UsageError: what the session says of it is invalid.
            CredentialError: a credential that cannot be used.
        """

    @abstractmethod
    def no_credential(self, session: Session) -> CredentialError:
        """The error that there is no credential: where it was looked for, and what to do."""

    def subdirs(self, session: Session) -> Sequence[str] | None:
        """See :class:`Indexable`; a key that may not list objects may still read them."""
        try:
            bucket = self.bucket(session)
            bucket.locate()
            return _subdirs(bucket)
        except Interrupted:
            raise
        except KeelbackError:
            return None

    def require_place(self, session: Session) -> None:
        """See :class:`Indexable`."""
        _require_there(self.bucket(session))

    def reading_access(self, session: Session) -> tuple[str, Access | None] | None:
        """See :class:`Channel`."""
        bucket = self.bucket(session)
        bucket.locate()
        return bucket.reading_url, bucket.access()

    def open(self, session: Session) -> None:
        """See :class:`Channel`; a dry run writes nothing to find out whether it may."""
        self._connect(session)
        if session.dry_run:
            _require_there(self._bucket)
            self._bucket.stat("noarch/repodata.json")
        else:
            self._probe()

    def _connect(self, session: Session) -> None:
        self._bucket = bucket = self.bucket(session)
        access = bucket.access()
        if access is None:
            raise self.no_credential(session)
        assert isinstance(access.credential, httpx2.Auth)  # noqa: S101 - what a bucket gives
        index = IndexReader(session.client, bucket.reading_url, access.credential)
        self.use(session, access.credential, access.source, index)
        self._sidecars = SidecarObjects(bucket)
        self._replacements = Replacements(bucket, self._sidecars)
        self._left = Leftovers(bucket)
        self._writers: dict[str, SubdirIndexWriter] = {}

    def _probe(self) -> None:
        """See that the bucket can be written; a notice goes there, so this is for runs that write."""
        self._bucket.probe()
        if not self._bucket.conditional:
            logger.warning(
                "%s does not honour conditions (If-None-Match, If-Match): two that publish to it at the same time may "
                "overwrite each other's packages, and lose entries of the index; let one publish at a time",
                self.url,
            )

    def begin(self, archives: Sequence[PackageArchive]) -> None:
        """See that the index can be added to; clean up and note what dead runs left: uploads, and an index to mend."""
        subdirs = sorted({*(archive.subdir for archive in archives), "noarch"})
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="begin") as pool:
            sweeping = pool.submit(self._bucket.sweep)
            looking = pool.submit(leftovers, self._bucket)
            for _ in pool.map(self._names, subdirs):
                pass
        self._left = looking.result()
        swept = sweeping.result()
        if swept:
            logger.info("%s: %s unfinished uploads of runs that are dead were aborted", self.url, swept)

    def asks_first(self, archive: PackageArchive) -> bool:
        """See :class:`Channel`: where it may be there, or where sending it in vain would cost more than asking."""
        return (
            not self._bucket.conditional
            or archive.size >= ASK_FIRST_FROM
            or archive.filename in self._names(archive.subdir).listed
        )

    def _names(self, subdir: str) -> Names:
        """The archives that the index of *subdir* names, as it was at first."""
        return self._indexed.get(subdir, self._writer(subdir).names)

    def find(self, archive: PackageArchive) -> Listed | None:
        """What is under its key, whatever the index says of it."""
        found = self._bucket.stat(archive.relative_path)
        if found is None:
            return None
        self._there[archive.relative_path] = found
        sha256 = found.sha256
        is_doubtful = sha256 is None or (sha256 == archive.sha256 and found.md5 not in {None, archive.md5})
        if is_doubtful and found.size == archive.size:  # put there by a program that keeps no hashes, or wrong ones
            sha256 = read_hash(self._client, self.url_of(archive), self._auth, archive.size)
        return Listed(sha256=sha256, size=found.size)

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """Stage it, and publish it under the condition that there is nothing, unless it replaces something."""
        there = self._there.get(archive.relative_path)
        if not self._bucket.conditional:
            there = self._bucket.stat(archive.relative_path)
        if there is not None and not overwrite:
            raise Refusal(attempts=0)
        if there is None:
            try:
                return self._send_new(archive, delivery)
            except Refusal:
                there = self._bucket.stat(archive.relative_path) if overwrite else None
                if there is None or there.sha256 == archive.sha256:
                    raise
                delivery.retried(0.0, "somebody else has published it meanwhile, and it is to replace theirs")
        staged = self._stage(archive, delivery, ahead=True)
        condition = there.version if self._bucket.conditional else None
        with self._lock:
            self._replacements.add(archive, staged, condition, delivery.attestation)
        return 1

    def _send_new(self, archive: PackageArchive, delivery: Delivery) -> int:
        """Publish it where there is nothing; its attestations first, under their hash, and as the latest after it."""
        staged = self._stage(archive, delivery, ahead=False)
        try:
            if delivery.attestation is not None:
                self._sidecars.pin(archive, delivery.attestation)
            attempts = staged.publish(ABSENT if self._bucket.conditional else None)
        except Changed as changed:
            if not changed.uncertain or not self._arrived(archive):
                raise Refusal(changed.attempts, uncertain=changed.uncertain) from None
            attempts = changed.attempts
        except BaseException:
            staged.discard()
            raise
        if delivery.attestation is not None:
            pin = self._sidecars.add(archive.relative_path, archive.sha256, delivery.attestation)
            self._attested[archive.relative_path] = pin
        self._standing[archive.relative_path] = archive
        return attempts

    def _stage(self, archive: PackageArchive, delivery: Delivery, *, ahead: bool) -> Staged:
        return self._bucket.stage(archive.relative_path, archive, archive_attributes(archive), delivery, ahead=ahead)

    def _arrived(self, archive: PackageArchive) -> bool:
        """Whether the bytes under its key are those of *archive*, as after an attempt whose answer was lost."""
        there = self.find(archive)
        return there is not None and there.same_bytes(archive) is True

    def keep(self, archive: PackageArchive) -> None:
        """It is there; so that it is in the index, too, if a run was killed before it wrote one.

        What was removed from the index stays removed, and is named in a warning at the end.
        """
        self._standing[archive.relative_path] = archive
        self._kept.add(archive.relative_path)
        if archive.filename not in self._names(archive.subdir).listed:
            attested = self._sidecars.found(archive)
            if attested is not None:
                self._attested[archive.relative_path] = attested

    def finish(self) -> None:
        """Publish what replaces others, and write the index, once."""
        self._replacements.publish()
        self._standing |= self._replacements.done
        self._attested |= self._replacements.pins
        subdirs = {*(archive.subdir for archive in self._standing.values()), "noarch"}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="index") as pool:
            for _ in pool.map(self._update, sorted(subdirs)):  # without noarch, readers take it for no channel
                pass
        self._replacements.forget()
        self._mend_others(subdirs)
        warn_of_removed(self.url, self._left_out)
        if self._deleted:
            logger.warning("%s: deleted by somebody else meanwhile, and not listed", ", ".join(sorted(self._deleted)))

    def leaves_out(self, archive: PackageArchive) -> bool:
        """See :class:`Indexable`."""
        return archive.relative_path in self._left_out | self._deleted

    def take_patches(self, patches: Mapping[str, Instructions]) -> None:
        """See :class:`Indexable`."""
        self._patches = patches

    def _update(self, subdir: str) -> None:
        standing = [archive for archive in self._standing.values() if archive.subdir == subdir]
        pins = self._attested
        records = {each.filename: attested_record(each, pins.get(each.relative_path)) for each in standing}
        kept = {archive.filename for archive in standing if archive.relative_path in self._kept}
        left_out, deleted = set[str](), set[str]()

        def put(sources: Sources) -> None:
            nonlocal left_out, deleted  # made out anew where others have written the index meanwhile
            self._left.mend(subdir, sources)
            still, deleted = still_there(self._bucket, subdir, sources, records)
            stays = kept | (removed_from(sources) - self._names(subdir).removed if standing else set())
            left_out = put_records(sources, still, stays, self._patches.get(subdir))

        self._writer(subdir).update(put)
        with self._lock:
            self._left_out |= {f"{subdir}/{filename}" for filename in left_out}
            self._deleted |= {f"{subdir}/{filename}" for filename in deleted}

    def _mend_others(self, done: Collection[str]) -> None:
        """Mend what dead runs left in subdirs that are not *done*; a failure here does not fail the run."""
        try:
            for subdir in sorted(self._left.subdirs - {*done}):
                self._update(subdir)
        except Interrupted:
            raise
        except KeelbackError as error:
            logger.warning("what an earlier run left is not mended: %s", error)
        else:
            self._left.forget()

    def rejected(self) -> Mapping[str, KeelbackError]:
        """See :class:`Channel`: what could not replace what is there."""
        return self._replacements.rejected

    def close(self) -> None:
        """Have the service discard what was staged and not published."""
        self._replacements.close()

    def index(self, changes: IndexChanges, session: Session) -> list[SubdirChange]:
        """See :class:`Indexable`."""
        from keelback.channels.buckets.reindexing import Reindexing  # noqa: PLC0415 - for the command that does

        self._connect(session)
        self._bucket.locate()
        there = _subdirs(self._bucket)
        if not there:  # asked before anything is written: a slip must not make a channel
            raise UsageError(
                f"there is no channel at {self.url}: nothing is in any subdir, such as noarch or linux-64",
                hint="Check the URL. Publishing to it makes a channel: keelback publish --to "
                f"{redact(self.url)} FILES.",
            )
        require_subdirs(changes, there, self.url)
        if not changes.dry_run:
            self._probe()
            self._bucket.sweep()
        return Reindexing(self._bucket, session.client, changes).carry_out()

    def url_of(self, archive: PackageArchive) -> str:
        """See :class:`Channel`."""
        return f"{self._bucket.reading_url}/{archive.relative_path}"

    def _writer(self, subdir: str) -> SubdirIndexWriter:
        return self._writers.setdefault(subdir, SubdirIndexWriter(self._bucket, subdir, self._client.wait))


def _require_there(bucket: Bucket) -> None:
    """See that there is such a bucket; whoever may not list it is not told.

    Raises:
        ChannelError: code ``not-found``: there is none.
        CredentialError, TransportError: it cannot be asked.
    """
    try:
        next(iter(bucket.list()), None)
    except ChannelError as error:
        if error.code == "not-found":
            raise


def _subdirs(bucket: Bucket) -> list[str]:
    """The subdirs in *bucket*, whatever is in them."""
    return [name for name in bucket.prefixes() if name in SUBDIRS]
