"""The index of a channel in a bucket, brought up to the archives that are there.

What the index says already, and what the service says of an archive, saves reading it: only one of which no record is
there, or that is newer than the index, is fetched, one at a time for each thread, and inspected. What an archive says
comes into the index only where that still says what it said before: others may have published meanwhile.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.archive import SUBDIRS
from keelback.channels.buckets.archiverecords import ArchiveRecords
from keelback.channels.buckets.bucket import Changed
from keelback.channels.buckets.index import SubdirIndexWriter
from keelback.channels.buckets.leftovers import Leftovers, leftovers
from keelback.channels.buckets.sidecarobjects import SidecarObjects
from keelback.channels.buckets.unusedshards import UnusedShards
from keelback.channels.indexchanges import (
    change_of,
    deletable,
    patch_and_remove,
    require_found,
    restore,
    to_restore,
    without_effect,
)
from keelback.channels.scanning import finding_of, is_no_package, merged
from keelback.errors import KeelbackError
from keelback.findings import Finding, Severity
from keelback.indexed import is_filename
from keelback.repodata import REPODATA, Repodata

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from keelback.channels.buckets.bucket import Bucket, Stored
    from keelback.channels.indexable import IndexChanges, SubdirChange
    from keelback.channels.patches import Sources
    from keelback.repodata import Record
    from keelback.transport import Client

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 8


@dataclass(slots=True)
class _Found:
    """What is in a subdir.

    Attributes:
        subdir: its name.
        sources: what its index is made from; changed to what it is to be made from.
        before: what its index said.
        meant: the texts of the changes that restore something here.
        archives: what is there, by file name.
        records: those that were read from archives, by file name: as the index had each, and as it is to have it.
        gone: the records that the index has of what is not there, or is no package.
        findings: what is wrong with the archives that are no packages, or that could not be read.
    """

    subdir: str
    sources: Sources
    before: Repodata
    meant: set[str]
    archives: dict[str, Stored]
    records: dict[str, tuple[Record | None, Record]] = field(default_factory=dict)
    gone: dict[str, Record] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


class Reindexing:
    """Indexes the channel in *bucket*, once.

    Args:
        bucket: probed, unless nothing is to be written.
        client: reads archives.
        changes: what is to be done.
    """

    def __init__(self, bucket: Bucket, client: Client, changes: IndexChanges) -> None:
        self._bucket = bucket
        self._client = client
        self._changes = changes
        self._left = Leftovers(bucket)
        self._archives = ArchiveRecords(bucket, client, write=not changes.dry_run)

    def carry_out(self) -> list[SubdirChange]:
        """Index it; what changed in each subdir. Nothing is written before everything has been read.

        Raises:
            ChannelError: something is to be removed or restored that the channel does not have.
            KeelbackError: it did not work.
        """
        there = [name for name in self._bucket.prefixes() if name in SUBDIRS]
        subdirs = sorted({*(self._changes.subdirs or there), "noarch"})
        self._left = leftovers(self._bucket)
        found = [self._look(subdir) for subdir in subdirs]
        meant = set[str]()
        for each in found:
            meant |= each.meant | self._bring_up(each, each.sources)
        require_found(self._changes, meant, {each.subdir: each.sources for each in found})
        result = [self._index(each) for each in found]
        if not self._changes.dry_run and self._left.subdirs <= {*subdirs}:
            self._left.forget()
        return result

    def _index(self, found: _Found) -> SubdirChange:
        subdir, sources = found.subdir, found.sources
        deleted: Sequence[str] = sorted(deletable(self._changes, subdir, sources) & found.archives.keys())
        if not self._changes.dry_run:
            self._write(found)
            deleted = self._delete(found, deleted)
        idle = without_effect(self._changes, subdir, sources)
        return change_of(subdir, found.before, sources, deleted=deleted, findings=found.findings, **idle)

    # --- what is there ----------------------------------------------------------------------------------------------

    def _look(self, subdir: str) -> _Found:
        """What is in *subdir*. The index is read before the archives are listed: what comes meanwhile is not gone."""
        sources, made = self._writer(subdir).look()
        before = _copied(sources)
        self._left.mend(subdir, sources)
        listed = {each.key.removeprefix(f"{subdir}/"): each for each in self._bucket.list(f"{subdir}/", folder=True)}
        # a key is somebody else's word: what has no archive's name, such as a way to another folder, is left alone
        archives = self._corrected(subdir, sources, {name: each for name, each in listed.items() if is_filename(name)})
        found = _Found(subdir, sources, before, restore(self._changes, subdir, sources, archives), archives)
        raw = sources.raw
        found.gone = {
            name: record for name, record in raw.records.items() if name not in archives and name not in listed
        }
        self._read(
            found,
            [
                name
                for name, stored in archives.items()
                if (name in raw.records or name not in raw.removed)
                and (self._changes.within(subdir).rebuild or not _is_of(raw.records.get(name), stored, made))
            ],
        )
        return found

    def _corrected(self, subdir: str, sources: Sources, listed: Mapping[str, Stored]) -> dict[str, Stored]:
        """The archives that are there, where *listed* may lag behind what was put there, or deleted.

        Asked for are those that the index has and the list has not, and those that are to be restored or deleted.
        """
        wanted = to_restore(self._changes, subdir, sources) | deletable(self._changes, subdir, sources)
        unlisted = sources.raw.records.keys() - sources.instructions.remove - listed.keys()
        doubtful = [name for name in unlisted | wanted if is_filename(name)]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="index") as pool:
            stats = pool.map(lambda name: self._bucket.stat(f"{subdir}/{name}"), doubtful)
            asked = dict(zip(doubtful, stats, strict=True))
        return {name: stored for name, stored in {**listed, **asked}.items() if stored is not None}

    def _read(self, found: _Found, stale: Sequence[str]) -> None:
        """Read the archives called *stale*, of which the index has no record, or maybe one of other bytes."""

        def read(name: str) -> Record | KeelbackError | None:
            return self._archives.read(found.archives[name], None if rebuild else known.get(name))

        known, rebuild = found.sources.raw.records, self._changes.within(found.subdir).rebuild
        pool = ThreadPoolExecutor(self._changes.jobs, thread_name_prefix="index")
        try:
            for name, record in zip(stale, pool.map(read, stale), strict=True):
                self._take(found, name, record)
        finally:
            pool.shutdown(cancel_futures=True)

    def _take(self, found: _Found, name: str, record: Record | KeelbackError | None) -> None:
        """Note what came of reading the archive *name*. The record of one that could not be read stays as it is."""
        known = found.sources.raw.records.get(name)
        if isinstance(record, KeelbackError):
            found.findings.append(finding_of(record, Path(found.subdir, name)))
        elif record is not None:
            found.records[name] = known, record
            return
        else:
            del found.archives[name]
        if known is not None and (record is None or is_no_package(record)):
            found.gone[name] = known

    # --- what the index is to say -----------------------------------------------------------------------------------

    def _bring_up(self, found: _Found, sources: Sources) -> set[str]:
        """Have *sources* say what is there, with the changes; the texts of those that mean something here.

        A record that is not what it was when the archives were looked at is somebody else's, and newer: it stays.
        """
        raw = sources.raw
        for name, (known, record) in found.records.items():
            if raw.records.get(name) == known and (known is not None or name not in raw.removed):
                raw.records[name] = record if self._changes.within(found.subdir).rebuild else merged(known, record)
        for name, record in found.gone.items():
            if raw.records.get(name) == record and name not in sources.instructions.remove:
                del raw.records[name]
        return patch_and_remove(self._changes, found.subdir, sources)

    def _write(self, found: _Found) -> None:
        """Write the index, and take away the shards that nobody has needed for long."""

        def change(sources: Sources) -> None:
            self._left.mend(found.subdir, sources)
            restore(self._changes, found.subdir, sources, found.archives)
            self._bring_up(found, sources)

        unused = UnusedShards(self._bucket, found.subdir)
        there = unused.there()
        named = self._writer(found.subdir).update(change, there)
        unused.drop(named, found=there - named)

    def _writer(self, subdir: str) -> SubdirIndexWriter:
        return SubdirIndexWriter(self._bucket, subdir, self._client.wait)

    # --- files that are to go ---------------------------------------------------------------------------------------

    def _delete(self, found: _Found, filenames: Sequence[str]) -> list[str]:
        """Delete those of *filenames* that are still what was found, and that no index names; which these were."""
        listed = _Listed(self._bucket, self._writer(found.subdir), found.subdir)
        sidecars = SidecarObjects(self._bucket)
        deleted = []
        for filename in filenames:
            key = f"{found.subdir}/{filename}"
            if filename in listed.names() or not self._delete_version(key, found.archives[filename].version):
                logger.warning("%s/%s was not deleted: somebody has published it meanwhile", self._bucket.url, key)
                continue
            sha256 = found.archives[filename].sha256 or found.sources.raw.records.get(filename, {}).get("sha256")
            if sha256 is not None:
                sidecars.remove(key, sha256)
            deleted.append(filename)
        self._unlist_lost(found, set(deleted) & listed.names() if deleted else set())
        return deleted

    def _delete_version(self, key: str, version: str) -> bool:
        """Delete *version* of what is under *key*; whether no other was there."""
        there = self._bucket.stat(key)  # not every service takes a condition for a deletion
        if there is not None and there.version != version:
            return False
        try:
            self._bucket.delete(key, version)
        except Changed:
            return False
        return True

    def _unlist_lost(self, found: _Found, filenames: Collection[str]) -> None:
        """See that no index names what was deleted in the moment in which somebody published *filenames*."""
        lost = [name for name in sorted(filenames) if self._bucket.stat(f"{found.subdir}/{name}") is None]
        if not lost:
            return

        def unlist(sources: Sources) -> None:
            for name in lost:
                sources.raw.records.pop(name, None)

        self._writer(found.subdir).update(unlist)
        for name in lost:
            message = "was deleted in the moment in which somebody published it"
            file = Path(found.subdir, name)
            found.findings.append(Finding(Severity.ERROR, "contended", file, "", message, "Publish it again."))


class _Listed:
    """What an index names at any moment; read again only when it was written since."""

    def __init__(self, bucket: Bucket, writer: SubdirIndexWriter, subdir: str) -> None:
        self._bucket = bucket
        self._writer = writer
        self._key = f"{subdir}/{REPODATA}"
        self._version: str | None = None
        self._names = frozenset[str]()

    def names(self) -> frozenset[str]:
        """The names of the archives."""
        there = self._bucket.stat(self._key)
        version = None if there is None else there.version
        if version is None or version != self._version:
            self._names = self._writer.names().listed
            self._version = version
        return self._names


def _is_of(record: Record | None, stored: Stored, made: float) -> bool:
    """Whether *record*, from an index that was *made* then, can be believed to be that of what is *stored*."""
    if record is None or stored.modified is None:
        return False
    md5 = record.get("md5")
    if md5 is not None and stored.md5 not in (None, md5.lower()):
        return False
    return record.get("size") in (None, stored.size) and stored.modified < made  # times may be in whole seconds


def _copied(sources: Sources) -> Repodata:
    """What the index says, apart from *sources*, which are about to be changed."""
    index = sources.index()
    return Repodata(dict(index.records), dict(index.others))
