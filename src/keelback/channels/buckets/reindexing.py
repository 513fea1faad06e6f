"""The index of a channel in a bucket, brought up to the archives that are there.

What the index says already, and what the service says of an archive, saves reading it: only one of which no record is
there, or that is newer than the index, is fetched, one at a time for each thread, and inspected.
"""

from __future__ import annotations

import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx2

from keelback.archive import SUBDIRS, inspect
from keelback.attestationfiles import CURRENT
from keelback.channels.answers import expect
from keelback.channels.buckets.attributes import index_attributes
from keelback.channels.buckets.index import SubdirIndexWriter
from keelback.channels.buckets.sidecarobjects import MEMBER, SidecarObjects
from keelback.channels.indexable import change_of, deletable, patch_and_remove, require_found, restore, unmatched
from keelback.channels.indexing import GRACE_SECONDS
from keelback.channels.scanning import merged
from keelback.errors import ArchiveError, ChannelError
from keelback.findings import Finding, Severity
from keelback.indexed import is_filename
from keelback.repodata import REPODATA, SHARDS_FOLDER, Repodata, record_of
from keelback.transport import Downloaded, Expected, Request, download

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.channels.buckets.bucket import Bucket, Stored
    from keelback.channels.indexable import IndexChanges, SubdirChange
    from keelback.channels.patches import Sources
    from keelback.repodata import Record
    from keelback.transport import Client

_AT_ONCE: Final = 8
_UNUSED_LIMIT: Final = 16 << 20


@dataclass(slots=True)
class _Found:
    """What is in a subdir.

    Attributes:
        names: the names of its archives.
        records: of those of which the index has none that is known to be right.
        findings: what is wrong with those that have none.
        gone: the names that the index has, as it has them, without archives.
    """

    names: set[str]
    records: dict[str, Record] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    gone: dict[str, Record] = field(default_factory=dict)


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
        self._sidecars = SidecarObjects(bucket)

    def carry_out(self) -> list[SubdirChange]:
        """Index it; what changed in each subdir.

        Raises:
            UsageError: something is to be removed or restored that the channel does not have.
            KeelbackError: it did not work.
        """
        there = [name for name in self._bucket.prefixes() if name in SUBDIRS]
        subdirs = sorted({*(self._changes.subdirs or there), "noarch"})
        found = {subdir: self._look(subdir) for subdir in subdirs}
        planned = {subdir: self._writer(subdir).read() for subdir in subdirs}
        before = {subdir: _copied(sources) for subdir, sources in planned.items()}
        meant = set[str]()
        for subdir, sources in planned.items():
            meant |= self._bring_up(subdir, sources, found[subdir])
        require_found(self._changes, meant)
        result = []
        for subdir, sources in planned.items():
            deleted = sorted(deletable(self._changes, subdir, sources) & found[subdir].names)
            missed = unmatched(self._changes, subdir, sources)
            findings = found[subdir].findings
            change = change_of(subdir, before[subdir], sources, deleted=deleted, unmatched=missed, findings=findings)
            if not self._changes.dry_run:
                self._write(subdir, found[subdir], deleted)
            result.append(change)
        return result

    def _bring_up(self, subdir: str, sources: Sources, found: _Found) -> set[str]:
        """Have *sources* say what is there, with the changes; the texts of those that mean something here."""
        meant = restore(self._changes, subdir, sources, found.names)
        raw = sources.raw
        for filename, record in found.records.items():
            if filename in raw.records or filename not in raw.removed:
                rebuild = self._changes.rebuild
                raw.records[filename] = record if rebuild else merged(raw.records.get(filename), record)
        for filename, record in found.gone.items():
            if raw.records.get(filename) == record and filename not in sources.instructions.remove:
                del raw.records[filename]
        return meant | patch_and_remove(self._changes, subdir, sources)

    def _write(self, subdir: str, found: _Found, deleted: list[str]) -> None:
        writer = self._writer(subdir)
        writer.update(lambda sources: self._bring_up(subdir, sources, found))
        for filename in deleted:
            self._bucket.delete(f"{subdir}/{filename}")
            for stored in list(self._bucket.list(f"{subdir}/{filename}{CURRENT}", folder=True)):
                self._bucket.delete(stored.key)
        self._sweep_shards(subdir, writer.shards())

    def _writer(self, subdir: str) -> SubdirIndexWriter:
        return SubdirIndexWriter(self._bucket, subdir, self._client.wait)

    # --- what is there ----------------------------------------------------------------------------------------------

    def _look(self, subdir: str) -> _Found:
        """What is in *subdir*. The index is read before the archives are listed: what comes meanwhile is not gone."""
        raw = self._writer(subdir).read().raw
        made = self._bucket.stat(f"{subdir}/{REPODATA}")
        stored = {each.key.rpartition("/")[2]: each for each in self._bucket.list(f"{subdir}/", folder=True)}
        archives = {name: each for name, each in stored.items() if is_filename(name)}
        found = _Found(set(archives))
        since = 0.0 if made is None or made.modified is None else made.modified
        stale = [
            each
            for name, each in archives.items()
            if (name in raw.records or name not in raw.removed)
            and (self._changes.rebuild or not _is_of(raw.records.get(name), each, since))
        ]
        with tempfile.TemporaryDirectory(prefix="keelback-") as room:
            pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="index")
            try:
                for each, read in zip(
                    stale, pool.map(lambda each: self._read(each, raw, Path(room)), stale), strict=True
                ):
                    name = each.key.rpartition("/")[2]
                    if isinstance(read, Finding):
                        found.findings.append(read)
                        archives.pop(name)
                    elif read is not None:
                        found.records[name] = read
            finally:
                pool.shutdown(cancel_futures=True)
        found.gone = {name: record for name, record in raw.records.items() if name not in archives}
        return found

    def _read(self, stored: Stored, raw: Repodata, room: Path) -> Record | Finding | None:
        """The record of an archive, or what is wrong with it; ``None`` where the index has the one of its bytes."""
        subdir, _, filename = stored.key.partition("/")
        before = raw.records.get(filename)
        if before is not None and not self._changes.rebuild:
            now = self._bucket.stat(stored.key)
            if now is not None and now.sha256 is not None and now.sha256 == before.get("sha256"):
                return None
        target = room / subdir / filename
        target.parent.mkdir(exist_ok=True)
        try:
            self._fetch(stored, target)
            archive = inspect(target, subdir=subdir)
            attested = self._sidecars.of(archive, write=not self._changes.dry_run)
            return record_of(archive) if attested is None else {**record_of(archive), MEMBER: attested}
        except ArchiveError as error:
            return error.findings[0]
        except ChannelError as error:
            return Finding(Severity.ERROR, error.code, target, "", error.message, error.hint)
        finally:
            target.unlink(missing_ok=True)

    def _fetch(self, stored: Stored, target: Path) -> None:
        access = self._bucket.access()
        auth = access.credential if access is not None and isinstance(access.credential, httpx2.Auth) else None
        request = Request("GET", f"{self._bucket.reading_url}/{stored.key}", auth=auth)
        answer = download(self._client, request, target, expected=Expected(size=stored.size), told=lambda _count: None)
        if not isinstance(answer, Downloaded):
            expect(answer, source=None if access is None else access.source)

    # --- shards that nobody needs any more --------------------------------------------------------------------------

    def _is_old(self, key: str, now: float) -> bool:
        """Whether it was not written a moment ago, by somebody whose index is about to name it again."""
        found = self._bucket.stat(key)
        return found is not None and found.modified is not None and now - found.modified > GRACE_SECONDS

    def _sweep_shards(self, subdir: str, named: Mapping[str, str]) -> None:
        """Remove the shards that no index has named for a day: until then, a reader may have an index that did.

        Since when that is so is kept in the bucket: the service knows only when a shard was written.
        """
        key = f".keelback/unused/{subdir}.json"
        kept = self._bucket.read(key, limit=_UNUSED_LIMIT)
        since = _times(b"{}" if kept is None else kept[0])
        now = time.time()
        unused = {}
        for stored in self._bucket.list(f"{subdir}/{SHARDS_FOLDER}/", folder=True):
            digest = stored.key.rpartition("/")[2].partition(".")[0]
            if digest in named.values():
                continue
            if now - since.get(digest, now) > GRACE_SECONDS and self._is_old(stored.key, now):
                self._bucket.delete(stored.key)
            else:
                unused[digest] = since.get(digest, now)
        if unused != since:
            self._bucket.write(key, json.dumps(unused).encode(), index_attributes(key))


def _is_of(record: Record | None, stored: Stored, made: float) -> bool:
    """Whether *record*, from an index that was *made* then, can be believed to be that of what is *stored*."""
    if record is None or stored.modified is None:
        return False
    return record.get("size") in (None, stored.size) and stored.modified <= made


def _times(content: bytes) -> dict[str, float]:
    try:
        return {str(digest): float(since) for digest, since in json.loads(content).items()}
    except (ValueError, TypeError, AttributeError):  # whoever wrote that: the day begins anew
        return {}


def _copied(sources: Sources) -> Repodata:
    """What the index says, apart from *sources*, which are about to be changed."""
    index = sources.index()
    return Repodata(dict(index.records), dict(index.others))
