"""Brings the records of a subdir up to date with the archives in its folder."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.archive import inspect
from keelback.errors import ArchiveError, KeelbackError, SourceChanged
from keelback.findings import Finding, Severity
from keelback.repodata import REPODATA, record_of, same_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from keelback.channels.patches import Sources
    from keelback.repodata import Record

_ARCHIVES: Final = (".conda", ".tar.bz2")
_NOT_READ: Final = frozenset({"unreadable", "no-such-file", "not-a-file"})
"""Codes of errors of an archive that are not about its bytes."""


def archives_in(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The archives in *folder*; none where there is no such folder."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if entry.name.endswith(_ARCHIVES) and not entry.name.startswith(".") and entry.is_file():
                yield entry


def bring_up(sources: Sources, folder: Path, unsure: Collection[str], *, rebuild: bool) -> list[Finding]:
    """Bring *sources* up to date with the archives in *folder*; records of files that are not there go.

    An archive is read where there is no record of it, where its record is of another size, or where it is not older
    than the index. What another tool has removed from its index stays removed.

    Args:
        sources: of the index in *folder*; changed.
        folder: the subdir's.
        unsure: the names of files of which the records may be of other bytes.
        rebuild: whether all archives are read, and their records taken as they are, whoever has changed them.

    A file of which the bytes are no package leaves the index; one that could not be read stays as the index has it.

    Returns:
        What is wrong with the files that are no packages, and with those that could not be read.
    """
    raw = sources.raw
    made = made_at(folder)
    standing = {entry.name: entry for entry in archives_in(folder)}
    stale = [
        entry
        for name, entry in standing.items()
        if (name in raw.records or name not in raw.removed)
        and (rebuild or name in unsure or not is_of(raw.records.get(name), entry, made))
    ]
    findings = []
    for entry, read in zip(stale, _read_all([Path(entry.path) for entry in stale]), strict=True):
        if isinstance(read, KeelbackError):
            findings.append(finding_of(read, Path(entry.path)))
            if is_no_package(read):
                del standing[entry.name]
        else:
            raw.records[entry.name] = read if rebuild else merged(raw.records.get(entry.name), read)
    for name in raw.records.keys() - standing.keys() - sources.instructions.remove:
        del raw.records[name]
    return findings


def merged(before: Record | None, now: Record) -> Record:
    """The record *before*, which may have been patched, where it is still of the same bytes; else the one of *now*."""
    return before if before is not None and same_file(before, now) else now


def is_no_package(error: KeelbackError) -> bool:
    """Whether *error*, from reading an archive, is about its bytes; otherwise it may be a sound package."""
    return isinstance(error, ArchiveError) and error.code not in _NOT_READ


def finding_of(error: KeelbackError, file: Path) -> Finding:
    """What *error*, from reading an archive, says is wrong with *file*."""
    if isinstance(error, ArchiveError):
        return replace(error.findings[0], file=file)
    return Finding(Severity.ERROR, error.code, file, "", error.message, error.hint)


def made_at(folder: Path) -> int:
    """When the index in *folder* was made, in nanoseconds since 1970; 0 where there is none."""
    try:
        return (folder / REPODATA).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def is_of(record: Record | None, entry: os.DirEntry[str], made: int) -> bool:
    """Whether *record*, from an index that was *made* then, can be believed to be that of the file *entry*.

    A file of the same moment may have come after the index: some file systems keep times in whole seconds.
    """
    if record is None:
        return False
    status = entry.stat()
    return record.get("size") in (None, status.st_size) and status.st_mtime_ns < made


def _read_all(paths: Sequence[Path]) -> list[Record | KeelbackError]:
    """The record of each of *paths*, or the error; Ctrl-C waits only for those that are being read."""
    pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="index")
    try:
        return list(pool.map(_read, paths))
    finally:
        pool.shutdown(cancel_futures=True)


def _read(path: Path) -> Record | KeelbackError:
    try:
        return record_of(inspect(path, subdir=path.parent.name))
    except (ArchiveError, SourceChanged) as error:
        return error
