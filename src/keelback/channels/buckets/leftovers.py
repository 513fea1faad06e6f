"""What a run leaves in a bucket that died between an archive which it replaced and the index, and how that is mended.

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
from typing import TYPE_CHECKING, Any, Final

from keelback.archive import SUBDIRS
from keelback.channels.buckets.sidecarobjects import MEMBER, SidecarObjects
from keelback.errors import Interrupted, KeelbackError
from keelback.indexed import is_filename
from keelback.repodata import same_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

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
        """The index is right again: have the attestations right, too, and nothing left to do."""
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


def leftovers(bucket: Bucket, idle: float = _MENDED_AFTER, clock: Callable[[], float] = time.time) -> Leftovers:
    """What there is to mend in *bucket*.

    Args:
        bucket: of a channel.
        idle: seconds after which a run that has not ended is taken to be dead.
        clock: the time, in Unix seconds.

    Returns:
        Nothing where the credential may not look.
    """
    found: dict[str, dict[str, Record]] = {}
    notices: list[str] = []
    try:
        for stored in itertools.islice(bucket.list(FOLDER, folder=True), _MOST):
            read = bucket.read(stored.key, limit=_LIMIT)
            if read is None:  # that run has just ended, and all is well
                continue
            ended, records = _decoded(read[0])
            age = clock() - (stored.modified or 0.0)
            if ended or age > _FORGOTTEN_AFTER:
                notices.append(stored.key)
            if ended or age >= idle:
                for path, record in records.items():
                    found.setdefault(path, {})[str(record["sha256"])] = record
    except Interrupted:
        raise
    except KeelbackError as error:
        logger.info("%s: whether a run died while it replaced something could not be looked at: %s", bucket.url, error)
    return Leftovers(bucket, found, notices)


def without_replaced(bucket: Bucket, subdir: str, sources: Sources, records: Mapping[str, Record]) -> dict[str, Record]:
    """Those of *records*, by file name, that are not of bytes which somebody else has replaced since.

    Only where *sources*, which have just been read, have other bytes than a record says, the archive is looked at.
    """
    before = sources.raw.records
    doubtful = [name for name, record in records.items() if name in before and not same_file(before[name], record)]
    there = _hashes(bucket, [f"{subdir}/{name}" for name in doubtful])
    gone = {name for name in doubtful if there[f"{subdir}/{name}"] not in {None, records[name]["sha256"]}}
    return {name: record for name, record in records.items() if name not in gone}


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
        document: Any = json.loads(content)
        ended, records = document["ended"] is True, document["records"].items()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False, {}
    return ended, {path: record for path, record in records if _is_entry(path, record)}


def _is_entry(path: str, record: object) -> bool:
    subdir, _, filename = path.partition("/")
    if subdir not in SUBDIRS or not is_filename(filename) or not isinstance(record, dict):
        return False
    return _HASH.fullmatch(str(record.get("sha256"))) is not None


def delete_notice(bucket: Bucket, key: str) -> None:
    """Delete *key*, without which nothing is worse: whoever finds it finds that all is well."""
    try:
        bucket.delete(key)
    except KeelbackError as error:
        logger.debug("%s/%s is left: %s", bucket.url, key, error)
