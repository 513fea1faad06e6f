"""The records of archives that a run has put into a bucket, or found there, as they come into the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.channels.buckets.sidecarobjects import MEMBER
from keelback.repodata import same_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from keelback.channels.patches import Instructions, Sources
    from keelback.repodata import Record


def put_records(
    sources: Sources, records: Mapping[str, Record], kept: Collection[str], patch: Instructions | None
) -> set[str]:
    """Have *records* in the index; one of the same bytes, which somebody may have patched, stays as it is.

    Args:
        sources: of the index; changed.
        records: by file name.
        kept: the names of those whose bytes were there before this run, and of those that somebody has removed
            since it began.
        patch: what is changed about those that the index did not have.

    Returns:
        The names of what is not listed, since it was removed.
    """
    new, left_out = set(), set()
    for filename, record in records.items():
        before = sources.raw.records.get(filename)
        if before is not None and same_file(before, record):
            attested = {MEMBER: record[MEMBER]} if MEMBER in record else {}
            now = {**before, **attested}
        else:
            new.add(filename)
            now = record
        if filename not in kept:
            sources.put(filename, now)
        elif not sources.keep(filename, now):
            left_out.add(filename)
    if patch is not None:
        sources.instructions = sources.instructions.with_patch(patch.only(new))
    return left_out


def removed_from(sources: Sources) -> set[str]:
    """The names of the archives that ``repodata.json`` says were removed, where it is made from *sources*."""
    return {*sources.raw.removed, *(sources.instructions.remove & sources.raw.records.keys())}
