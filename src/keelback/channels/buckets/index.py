"""The index of one subdir in a bucket, kept by any number of writers at once, each of which may die at any moment.

``repodata.json`` is the one object that decides. A writer reads it, adds to what it says, and writes it on the
condition that it has not changed; where it has, all is done again. So what one writer added, no other loses, be it
keelback or rattler_index, which does the same.

The other forms follow: the shards first, which are named by their content, then the objects that name them. Each is
written on the condition that it is still what the writer saw *before* it last saw ``repodata.json`` unchanged. So an
old form never replaces a newer one, and a writer is done when all forms say what ``repodata.json`` says. What a killed
writer left unfinished, the next one completes.

An archive is there before any form of the index names it, and stays when none does any more: whichever form a reader
has, and however old, its archives are there. They are deleted only on request, once no form of the index names them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from keelback.channels.buckets.attributes import index_attributes
from keelback.channels.buckets.bucket import ABSENT, SHA256, Changed
from keelback.channels.buckets.unusedshards import UnusedShards
from keelback.channels.patches import FROM_PACKAGES, INSTRUCTIONS, encode_instructions, sources_of
from keelback.errors import ChannelError
from keelback.listing import REPODATA_LIMIT
from keelback.repodata import (
    OUTDATED,
    REPODATA,
    REPODATA_ZST,
    SHARD_INDEX,
    SHARD_INDEX_LIMIT,
    SHARDS_FOLDER,
    compress_repodata,
    decode_repodata,
    decode_shard_hashes,
    encode_repodata,
    encode_shard_index,
    encode_shards,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from keelback.channels.buckets.bucket import Bucket, Condition, Stored
    from keelback.channels.patches import Sources

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 200
"""How often an index is read again because others write it, too: hundreds of writers get their turn."""
_TOLD: Final = 8
"""After so many attempts a message says why it takes so long."""
_MEETINGS: Final = 10
"""How often one form is tried again before the whole index is."""
_LONGEST_PAUSE: Final = 5.0
_AT_ONCE: Final = 16
"""How many requests are under way at once for one index."""
_LARGEST_KEPT: Final = 32 << 20
"""Bytes of ``repodata.json`` that are kept in memory while archives are sent."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The content of an object, if there is one, the condition that it is still that, and when it was written."""

    content: bytes | None
    condition: Condition
    modified: float | None = None


class Names(NamedTuple):
    """The names of the archives that an index knows.

    Attributes:
        listed: of those that readers get.
        removed: of those that somebody has removed from it.
    """

    listed: frozenset[str]
    removed: frozenset[str]


class SubdirIndexWriter:
    """Writes the index of *subdir* in *bucket*, for one run.

    The ``repodata.json`` that :meth:`names` has read is not read again by the first update, unless it has changed.

    Args:
        bucket: probed, so that it is known whether its service honours conditions.
        subdir: ``linux-64``, ``noarch``.
        wait: waits so many seconds, or raises ``Interrupted`` where the user wants the run to end.
    """

    def __init__(self, bucket: Bucket, subdir: str, wait: Callable[[float], None]) -> None:
        self._bucket = bucket
        self._subdir = subdir
        self._wait = wait
        self._known: _Read | None = None

    def read(self) -> Sources:
        """What the index is made from now; nothing where there is none.

        Raises:
            ChannelError: it is malformed, or says what keelback cannot write again.
        """
        return self.look()[0]

    def look(self) -> tuple[Sources, float]:
        """What the index is made from now, and when it was written: Unix seconds, 0 where nobody knows.

        Raises:
            ChannelError: as :meth:`read`.
        """
        read = self._read()
        made = read[REPODATA].modified
        if made is None and read[REPODATA].content is not None:  # not every service says so beside the content
            there = self._stat(REPODATA)
            made = None if there is None else there.modified
        return self._sources(read), made or 0.0

    def names(self) -> Names:
        """The archives that the index names now; raises as :meth:`read`."""
        read = self._read_one(REPODATA)
        content = read.content or b""
        self._known = read if len(content) <= _LARGEST_KEPT else None
        with self._named():
            repodata = decode_repodata(content)
        return Names(frozenset(repodata.records), frozenset(repodata.removed))

    def update(self, change: Callable[[Sources], object], there: Collection[str] | None = None) -> set[str]:
        """Have *change* in the index, in all its forms.

        Args:
            change: changes what it is given, and does the same to the same; called again where others have written.
            there: the hashes of the shards that are there, for whoever has looked; those that the index names are
                otherwise taken to be.

        Returns:
            The hashes of the shards that the index names now.

        Raises:
            ChannelError: the index is malformed; or others have written it again and again (code ``contended``).
        """
        for attempt in range(_ATTEMPTS):
            before = self._read()
            sources = self._sources(before)
            change(sources)
            named = self._write(before, sources, there)
            if named is not None:
                return named
            if attempt == _TOLD:
                logger.warning("others write the index of %s/%s, too; still trying", self._bucket.url, self._subdir)
            self._pause(attempt)
        raise ChannelError(
            f"the index of {self._bucket.url}/{self._subdir} was changed by others {_ATTEMPTS} times in a row",
            hint="Run it again when they are done: only what is left will be done.",
            code="contended",
        )

    def _read(self) -> dict[str, _Read]:
        """What is there, ``repodata.json`` first: while that stays the same, so does what counts of the others."""
        read = {REPODATA: self._known_still() or self._read_one(REPODATA)}
        others = (INSTRUCTIONS, FROM_PACKAGES)
        return read | dict(zip(others, _side_by_side(self._read_one, others), strict=True))

    def _known_still(self) -> _Read | None:
        """What :meth:`names` has read, the first time that somebody asks, and only if it is what is there now.

        A condition on the write is not enough: where the index seems to be right already, nothing is written.
        """
        known, self._known = self._known, None
        if known is None:
            return None
        there = self._stat(REPODATA)
        return known if known.condition == (ABSENT if there is None else there.version) else None

    def _read_one(self, name: str) -> _Read:
        found = self._bucket.read(self._key(name), limit=REPODATA_LIMIT)
        return _Read(None, ABSENT) if found is None else _Read(found[0], found[1].version, found[1].modified)

    def _sources(self, read: Mapping[str, _Read]) -> Sources:
        with self._named():
            return sources_of(*(read[name].content for name in (REPODATA, FROM_PACKAGES, INSTRUCTIONS)))

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Say in errors which subdir it is."""
        try:
            yield
        except ChannelError as error:
            raise ChannelError(
                f"{self._bucket.url}/{self._subdir}: {error}", hint=error.hint, code=error.code
            ) from error

    def _write(self, before: Mapping[str, _Read], sources: Sources, there: Collection[str] | None) -> set[str] | None:
        """Write what differs from *before*, ``repodata.json`` last; ``None`` where somebody else was faster."""
        contents = {}
        if sources.instructions or before[INSTRUCTIONS].content is not None:
            contents[INSTRUCTIONS] = encode_instructions(sources.instructions)
        if contents or before[FROM_PACKAGES].content is not None:
            # both stay once they are there, if empty: nobody can take away an object on a condition
            contents = {FROM_PACKAGES: encode_repodata(self._subdir, sources.raw), **contents}
        index = sources.index()
        contents[REPODATA] = encode_repodata(self._subdir, index)
        shards = encode_shards(index.records, index.removed)  # before anything is written: a record may not go into one
        if contents[REPODATA] != before[REPODATA].content:
            self._remove_outdated()
        version: Condition = None
        for name, content in contents.items():
            old = before[name]
            version = old.condition if content == old.content else self._put(name, content, old.condition)
            if version is None:
                return None
        return self._follow(shards, contents[REPODATA], str(version), there)

    def _remove_outdated(self) -> None:
        """Remove what other indexers wrote beside the index; a reader that took it would miss what is added."""
        prefixes = ("repodata", "current_repodata")
        for found in _side_by_side(lambda prefix: list(self._bucket.list(self._key(prefix), folder=True)), prefixes):
            for stored in found:
                if stored.key.rpartition("/")[2] in OUTDATED:
                    self._bucket.delete(stored.key)

    # --- the forms that follow --------------------------------------------------------------------------------------

    def _follow(
        self, shards: Mapping[str, tuple[str, bytes]], content: bytes, version: str, there: Collection[str] | None
    ) -> set[str] | None:
        """Have the other forms say what ``repodata.json`` of that *version* says; ``None`` where it has changed.

        Returns:
            The hashes of the shards that they name.
        """
        hashes = {name: digest for name, (digest, _) in shards.items()}
        named = set(hashes.values())
        forms = {SHARD_INDEX: encode_shard_index(self._subdir, hashes), REPODATA_ZST: compress_repodata(content)}
        found = dict(zip(forms, _side_by_side(self._stat, list(forms)), strict=True))
        missing = [name for name, form in forms.items() if not _has(found[name], form)]
        dropped = set[str]()
        if SHARD_INDEX in missing or not (there is None or named <= {*there}):
            dropped = self._write_shards(dict(shards.values()), there)
        if not missing:
            return named
        done = _side_by_side(lambda name: self._replace(name, forms[name], found[name], version), missing)
        if not all(done) or not self._is_master(version):
            return None
        if dropped:
            UnusedShards(self._bucket, self._subdir).drop(named, dropped=dropped)
        return named

    def _write_shards(self, shards: Mapping[str, bytes], there: Collection[str] | None) -> set[str]:
        """Write those of *shards*, from hash to content, that are not *there*; returns what the index named besides."""
        before = self._bucket.read(self._key(SHARD_INDEX), limit=SHARD_INDEX_LIMIT)
        try:
            named = set() if before is None else decode_shard_hashes(before[0])
        except ChannelError:  # no reader got anything out of it, either
            named = set()

        def write(digest: str) -> None:
            self._put(f"{SHARDS_FOLDER}/{digest}.msgpack.zst", shards[digest], None)

        known = named if there is None else {*there}
        _side_by_side(write, [digest for digest in shards if digest not in known])
        return named - shards.keys()

    def _replace(self, name: str, content: bytes, there: Stored | None, master: str) -> bool:
        """Have *content* as the form *name*, where *there* is what was there before ``repodata.json`` was looked at.

        Returns:
            Whether it is there now; false where ``repodata.json`` is of another version than *master*.
        """
        for attempt in range(_MEETINGS):
            if _has(there, content):
                return True
            if not self._is_master(master):  # asked after the form: see the beginning of this file
                return False
            if self._put(name, content, ABSENT if there is None else there.version) is not None:
                return True
            self._pause(attempt)
            there = self._stat(name)
        return False

    def _stat(self, name: str) -> Stored | None:
        return self._bucket.stat(self._key(name))

    def _is_master(self, version: str) -> bool:
        found = self._stat(REPODATA)
        return found is not None and found.version == version

    # --- objects ----------------------------------------------------------------------------------------------------

    def _put(self, name: str, content: bytes, condition: Condition) -> str | None:
        """Write the object *name*; its version, or ``None`` where *condition* does not hold."""
        attributes = index_attributes(self._key(name))
        attributes = replace(attributes, metadata={SHA256: hashlib.sha256(content).hexdigest()})
        try:
            return self._bucket.write(
                self._key(name), content, attributes, condition if self._bucket.conditional else None
            )
        except Changed:
            return None

    def _key(self, name: str) -> str:
        return f"{self._subdir}/{name}"

    def _pause(self, attempt: int) -> None:
        longest = min(0.05 * 2 ** min(attempt, 10), _LONGEST_PAUSE)
        self._wait(random.uniform(0, longest))  # noqa: S311 - so that writers do not meet again, and no secret


def _has(there: Stored | None, content: bytes) -> bool:
    return there is not None and there.sha256 == hashlib.sha256(content).hexdigest()


def _side_by_side(work: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """What *work* makes of each of *things*, in their order; done in parallel, since each takes a request."""
    if len(things) <= 1:
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(min(_AT_ONCE, len(things)), thread_name_prefix="index") as pool:
        return list(pool.map(work, things))
