"""What a run leaves in a bucket that dies between replacing an archive and writing the index; and how that is mended.

Before it replaces anything, it puts the records of what is to come into ``.keelback/replacing/RUN.json``
(:mod:`keelback.channels.buckets.replacing`). A run that finds such a notice of a run which has ended, or from which
nothing has come for a while, has those of the records in the index whose archives are there.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from keelback.archive import SUBDIRS
from keelback.channels.buckets.sidecarobjects import MEMBER, SidecarObjects
from keelback.errors import ChannelError, Interrupted, KeelbackError
from keelback.indexed import is_filename
from keelback.repodata import encode_shards, same_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from keelback.channels.buckets.bucket import Bucket
    from keelback.channels.patches import Sources
    from keelback.repodata import Record

logger = logging.getLogger(__name__)

FOLDER: Final = ".keelback/replacing/"
_MENDED_AFTER: Final = 60.0
"""Seconds after which a run that has not ended is taken to be dead: what it replaced is looked at by others."""
_FORGOTTEN_AFTER: Final = 3600.0
"""Until then it may be alive in spite of that, and replace more."""
_LIMIT: Final = 64 << 20
_MOST: Final = 100
"""How many notices are read at once; the others' turn comes with the next run."""
_AT_ONCE: Final = 8
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Leftovers:
    """What runs that ended, or died, between an archive and the index have left.

    Args:
        bucket: of a channel.
        records: by relative path and SHA-256 of the archive, the records that the index may lack.
        notices: the keys of what is to go when the index has them.

    Attributes:
        records: see above.
    """

    def __init__(
        self, bucket: Bucket, records: Mapping[str, Mapping[str, Record]] | None = None, notices: Collection[str] = ()
    ) -> None:
        self.records = records or {}
        self._bucket = bucket
        self._notices = notices
        self._there: dict[str, str] = {}

    @property
    def subdirs(self) -> set[str]:
        """Those whose index may be wrong."""
        return {path.partition("/")[0] for path in self.records}

    def mend(self, subdir: str, sources: Sources) -> None:
        """Have in *sources*, which have just been read, the records of the archives that are there.

        What was removed from the index stays removed. An archive that is neither the one that was to come nor the one
        that the index has is somebody else's to index.
        """
        paths = [path for path in self.records if path.startswith(f"{subdir}/")]
        there = _hashes(self._bucket, paths)
        for path in paths:
            filename, record = path.partition("/")[2], self.records[path].get(there[path] or "")
            if record is None:
                continue
            self._there[path] = str(record["sha256"])
            before = sources.raw.records.get(filename)
            if before is not None and same_file(before, record):
                continue
            if filename not in sources.removed():
                sources.put(filename, record)
            elif before is not None:
                sources.raw.records[filename] = record

    def forget(self) -> None:
        """Correct the attestations, and delete the notices: the index is right again."""
        sidecars = SidecarObjects(self._bucket)
        for path, sha256 in self._there.items():
            pin = self.records[path][sha256].get(MEMBER)
            try:
                sidecars.settle(path, sha256, pin if isinstance(pin, str) and _HASH.fullmatch(pin) else None)
            except Interrupted:
                raise
            except KeelbackError as error:
                logger.warning("%s/%s: its attestations could not be put right: %s", self._bucket.url, path, error)
                return
        for key in self._notices:
            delete_notice(self._bucket, key)


def leftovers(bucket: Bucket) -> Leftovers:
    """What there is to mend in *bucket*; nothing where the credential may not look."""
    found: dict[str, dict[str, Record]] = {}
    notices: list[str] = []
    try:
        for stored in itertools.islice(bucket.list(FOLDER, folder=True), _MOST):
            read = bucket.read(stored.key, limit=_LIMIT)
            if read is None:  # that run has just ended, and all is well
                continue
            ended, records = _decoded(read[0])
            age = (read[1].seen or time.time()) - (stored.modified or 0.0)
            if ended or age > _FORGOTTEN_AFTER:
                notices.append(stored.key)
            if ended or age >= _MENDED_AFTER:
                for path, record in records.items():
                    found.setdefault(path, {})[str(record["sha256"])] = record
    except Interrupted:
        raise
    except KeelbackError as error:
        logger.info("%s: whether a run died while it replaced something could not be looked at: %s", bucket.url, error)
    return Leftovers(bucket, found, notices)


def still_there(
    bucket: Bucket, subdir: str, sources: Sources, records: Mapping[str, Record]
) -> tuple[dict[str, Record], set[str]]:
    """Those of *records*, by file name, whose bytes nobody has replaced or deleted since; the names of the deleted.

    An archive is looked at only where *sources*, which have just been read, have other bytes than its record says, or
    where it was removed from the index.
    """
    before, removed = sources.raw.records, sources.removed()
    doubtful = [
        name
        for name, record in records.items()
        if name in removed or (name in before and not same_file(before[name], record))
    ]
    found = _hashes(bucket, [f"{subdir}/{name}" for name in doubtful])
    there = {name: found[f"{subdir}/{name}"] for name in doubtful}
    gone = {name for name, sha256 in there.items() if sha256 not in {None, records[name]["sha256"]}}
    still = {name: record for name, record in records.items() if name not in gone}
    return still, {name for name in gone if not there[name]}


def _hashes(bucket: Bucket, paths: Iterable[str]) -> dict[str, str | None]:
    """The SHA-256 that each archive has: ``None`` where the service does not say, empty where there is nothing."""

    def look(path: str) -> tuple[str, str | None]:
        there = bucket.stat(path)
        return path, "" if there is None else there.sha256

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="look") as pool:
        return dict(pool.map(look, paths))


def encode_notice(records: Mapping[str, Record], *, ended: bool) -> bytes:
    """What is kept under a key in :data:`FOLDER`: records by relative path, and whether the run has ended since."""
    return json.dumps({"ended": ended, "records": records}).encode()


def _decoded(content: bytes) -> tuple[bool, dict[str, Record]]:
    """Whether the run has ended, and its records, by relative path; none of what somebody else has written there."""
    try:
        notice = msgspec.json.decode(content, type=_Notice)
    except (msgspec.MsgspecError, RecursionError):
        return False, {}
    return notice.ended, {path: record for path, record in notice.records.items() if _is_entry(path, record)}


def _is_entry(path: str, record: Any) -> bool:
    """Whether an index can have *record* as that of the archive at *path*."""
    subdir, _, filename = path.partition("/")
    try:
        fields = msgspec.convert(record, _Fields)
        if subdir not in SUBDIRS or not is_filename(filename):
            return False
        encode_shards({filename: record})
    except (msgspec.ValidationError, ChannelError):
        return False
    stem = filename.removesuffix(".conda").removesuffix(".tar.bz2")
    return (fields.subdir, f"{fields.name}-{fields.version}-{fields.build}") == (subdir, stem)


class _Notice(msgspec.Struct):
    ended: bool
    records: dict[str, Any]


class _Fields(msgspec.Struct):
    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    size: int
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    md5: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    depends: list[str]
    constrains: list[str] | None = None


def delete_notice(bucket: Bucket, key: str) -> None:
    """Delete the notice *key*, as best effort: one that stays does no harm."""
    try:
        bucket.delete(key)
    except KeelbackError as error:
        logger.debug("%s/%s is left: %s", bucket.url, key, error)
