"""The shards of a subdir in a bucket that its index names no more, and that some reader may still ask for.

A reader may have an index of a moment ago. So a shard stays for a day after it was dropped. Since when that is so is
kept in the bucket, since a service knows only when a shard was written; writers that do that at the same time may
forget each other's, which ``keelback index`` then finds by what is there.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from keelback.channels.buckets.attributes import index_attributes
from keelback.channels.indexing import GRACE_SECONDS
from keelback.repodata import SHARDS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from keelback.channels.buckets.bucket import Bucket

_LIMIT: Final = 16 << 20


class UnusedShards:
    """Those of *subdir* in *bucket*.

    Args:
        bucket: where the shards are.
        subdir: the subdir.
        clock: the time, in Unix seconds.
    """

    def __init__(self, bucket: Bucket, subdir: str, clock: Callable[[], float] = time.time) -> None:
        self._bucket = bucket
        self._subdir = subdir
        self._clock = clock
        self._key = f".keelback/unused/{subdir}.json"

    def there(self) -> set[str]:
        """The hashes of all shards that are there, used or not."""
        stored = self._bucket.list(f"{self._subdir}/{SHARDS_FOLDER}/", folder=True)
        return {each.key.rpartition("/")[2].partition(".")[0] for each in stored}

    def drop(self, unused: Collection[str], named: Collection[str]) -> None:
        """Have *unused* among those that no index names, and remove those of them that nobody can need any more.

        Args:
            unused: hashes of shards.
            named: the hashes that the index names, which are in use whatever was thought of them before.
        """
        now = self._clock()
        kept = self._bucket.read(self._key, limit=_LIMIT)
        before = _times(b"{}" if kept is None else kept[0])
        since = {**dict.fromkeys(unused, now), **before}
        since = {digest: when for digest, when in since.items() if digest not in named}
        for digest in [digest for digest, when in since.items() if now - when > GRACE_SECONDS]:
            key = f"{self._subdir}/{SHARDS_FOLDER}/{digest}.msgpack.zst"
            if self._is_old(key, now):
                self._bucket.delete(key)
            del since[digest]
        if since != before:
            self._bucket.write(self._key, json.dumps(since).encode(), index_attributes(self._key))

    def _is_old(self, key: str, now: float) -> bool:
        """Whether it was not written a moment ago, by somebody whose index is about to name it again."""
        found = self._bucket.stat(key)
        return found is not None and found.modified is not None and now - found.modified > GRACE_SECONDS


def _times(content: bytes) -> dict[str, float]:
    try:
        return {str(digest): float(since) for digest, since in json.loads(content).items()}
    except (ValueError, TypeError, AttributeError):  # whoever wrote that: the day begins anew
        return {}
