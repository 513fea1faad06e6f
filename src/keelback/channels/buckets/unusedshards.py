"""The shards of a subdir in a bucket that its index no longer names, and that some reader may still ask for.

A reader may have an index of a moment ago. So a shard stays for a day after it was dropped. Since when that is so is
kept in the bucket, since a service knows only when a shard was written; writers that do that at the same time may
forget each other's, which ``keelback index`` then finds by what is there. All times are those of the service's clock.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from keelback.channels.buckets.attributes import index_attributes
from keelback.channels.buckets.bucket import Changed
from keelback.channels.folderindex import GRACE_SECONDS
from keelback.repodata import SHARDS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Collection

    from keelback.channels.buckets.bucket import Bucket, Stored

_LIMIT: Final = 16 << 20
_SHARD: Final = re.compile(r"([0-9a-f]{64})\.msgpack\.zst")
_Since = dict[
    Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")], Annotated[float, msgspec.Meta(ge=0, le=1e12)] | None
]
"""From the hash of a shard to the time since when it is not needed; ``None``: since this was written."""


class UnusedShards:
    """Those of *subdir* in *bucket*.

    Args:
        bucket: where the shards are.
        subdir: the subdir.
    """

    def __init__(self, bucket: Bucket, subdir: str) -> None:
        self._bucket = bucket
        self._subdir = subdir
        self._key = f".keelback/unused/{subdir}.json"

    def there(self) -> set[str]:
        """The hashes of all shards that are there, used or not."""
        stored = self._bucket.list(f"{self._subdir}/{SHARDS_FOLDER}/", folder=True)
        names = (_SHARD.fullmatch(each.key.rpartition("/")[2]) for each in stored)
        return {name[1] for name in names if name}

    def drop(self, named: Collection[str], *, dropped: Collection[str] = (), found: Collection[str] = ()) -> None:
        """Note which shards no index names, and remove those of them that nobody can need any more.

        Args:
            named: the hashes of the shards that the index names, which are in use whatever was thought of them before.
            dropped: of those that it named until now: their day begins.
            found: of those that are there: their day goes on, or begins where nothing was known of it.
        """
        kept = self._bucket.read(self._key, limit=_LIMIT)
        known = {} if kept is None else _times(*kept)
        since = {**dict.fromkeys(found), **known, **dict.fromkeys(dropped)}
        since = {digest: when for digest, when in since.items() if digest not in named}
        now = None if kept is None else kept[1].seen
        for digest in [digest for digest, when in since.items() if _is_over(when, now)]:
            self._delete(f"{self._subdir}/{SHARDS_FOLDER}/{digest}.msgpack.zst")
            del since[digest]
        if since != known:
            self._bucket.write(self._key, json.dumps(since).encode(), index_attributes(self._key))

    def _delete(self, key: str) -> None:
        """Delete a shard, unless it was written of late, by somebody whose index is about to name it again."""
        found = self._bucket.stat(key)
        if found is not None and found.age is not None and found.age > GRACE_SECONDS:
            with contextlib.suppress(Changed):
                self._bucket.delete(key, found.version)


def _times(content: bytes, stored: Stored) -> _Since:
    """The times in *content*, which is *stored*; none of what somebody else has written there."""
    try:
        since = msgspec.json.decode(content, type=_Since)
    except (msgspec.MsgspecError, RecursionError):  # the day begins anew
        return {}
    return {digest: stored.modified if when is None else when for digest, when in since.items()}


def _is_over(since: float | None, now: float | None) -> bool:
    return since is not None and now is not None and now - since > GRACE_SECONDS
