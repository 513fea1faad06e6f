"""A channel's folder on disk: files that arrive whole or not at all, and an index that is written after them.

Any number of keelbacks may work in one folder at once, and each may be killed at any moment:

- What a run copies goes into a folder of its own, ``.keelback/RUN/``, which it holds locked. One that nobody holds was
  left by a run that is dead, and is cleared away by the next one.
- Names are given, and the index is written, under one lock for the channel.
- The index of a subdir is made from what stands in its folder, and from its patches. So a file that was placed by a run
  which then died is in the index that the next run writes. What was removed from the index stays removed, though its
  file stands there, and though the same bytes are published again, until it is restored.
- Files that replace others get their names when the new index is on the disk and lacks only its own names, too. What
  remains is the time of these renames, in which a reader may find a new file where the index has the hash of the old
  one: no file system renames several files at once. The files concerned are named in ``.keelback/replacing.json`` until
  the index agrees with them again; the next run after a death reads those anew instead of believing the old index.
- The attestations of a file stand beside it (:mod:`keelback.channels.sidecarfiles`). They come before it does, and go
  after it.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import secrets
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from filelock import FileLock, Timeout

from keelback.archive import SUBDIRS, inspect
from keelback.archive.source import Stamp
from keelback.channels.folderindex import NewIndex, read_index, read_sources
from keelback.channels.indexchanges import (
    change_of,
    deletable,
    patch_and_remove,
    require_found,
    restore,
    warn_of_removed,
    without_effect,
)
from keelback.channels.journal import Journal
from keelback.channels.scanning import archives_in, bring_up, is_of, made_at, merged
from keelback.channels.sidecarfiles import SidecarFiles
from keelback.durable import remove, rename, sync_folder
from keelback.errors import ChannelError, KeelbackError
from keelback.repodata import record_of, same_file

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator, Mapping

    from keelback.archive import PackageArchive
    from keelback.channels.indexable import IndexChanges, SubdirChange
    from keelback.channels.patches import Instructions, Sources
    from keelback.repodata import Record

logger = logging.getLogger(__name__)

_LOCK_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.01


class Folder:
    """The folder of a channel.

    Args:
        root: absolute.

    Attributes:
        root: see above.
        patches: from subdir to what is changed about the records of what comes into the index.
        left_out: the relative paths of what :meth:`finish` has left out of the index, since it was removed from it.
    """

    WORKDIRS: ClassVar[str] = ".keelback"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._common = root / self.WORKDIRS
        self._workdir = self._common / secrets.token_hex(8)
        self._held = FileLock(self._workdir.with_suffix(".lock"), thread_local=False)
        self._between_threads = threading.Lock()
        self._standing: dict[str, tuple[PackageArchive, Stamp]] = {}
        self._replacing: dict[str, tuple[PackageArchive, Path]] = {}
        self._attestations: dict[str, bytes] = {}
        self._journal = Journal(self._common / "replacing.json")
        self._kept: set[str] = set()
        self._removed: dict[str, set[str]] = {}
        self.patches: Mapping[str, Instructions] = {}
        self.left_out: set[str] = set()

    def path(self, relative_path: str) -> Path:
        """The path of ``SUBDIR/FILE``."""
        return self.root / relative_path

    def other_spelling(self, relative_path: str) -> str | None:
        """The name, in other case, that *relative_path* has in a file system that ignores case."""
        if not (self.root / self.WORKDIRS.upper()).exists():
            return None
        name = self.path(relative_path).name
        names = (path.name for path in self.path(relative_path).parent.iterdir())
        return next((other for other in names if other != name and other.lower() == name.lower()), None)

    def subdirs(self) -> list[str]:
        """The subdirs that are there."""
        return [subdir for subdir in SUBDIRS if (self.root / subdir).is_dir()]

    def begin(self, subdirs: Collection[str]) -> None:
        """As :meth:`prepare`; what others remove from the index from now on, :meth:`finish` does not list again."""
        self.prepare(subdirs)
        self._removed = {subdir: read_sources(self.root / subdir).removed() for subdir in subdirs}

    def prepare(self, subdirs: Collection[str]) -> None:
        """Make the folders, remove what dead runs left, and lock a working folder for this one."""
        if not self._common.is_dir():
            # the first of all: until there is an index, it tells a channel that was cut short from a foreign folder
            self._common.mkdir(parents=True, exist_ok=True)
            sync_folder(self.root)
        with self._lock():
            self._clear_dead_workdirs()
            self._held.acquire(timeout=_LOCK_SECONDS)
            self._workdir.mkdir()
        missing = [subdir for subdir in sorted({*subdirs, "noarch"}) if not (self.root / subdir).is_dir()]
        for subdir in missing:
            (self.root / subdir).mkdir(exist_ok=True)
        if missing:
            sync_folder(self.root)

    def close(self) -> None:
        """Remove the working folder of this run."""
        if self._held.is_locked:
            shutil.rmtree(self._workdir, ignore_errors=True)
            self._held.release()
            with contextlib.suppress(OSError):  # then the next run does it
                Path(self._held.lock_file).unlink(missing_ok=True)

    def new_file(self) -> Path:
        """A path, in the working folder of this run, for a file on its way."""
        return self._workdir / secrets.token_hex(8)

    def place(self, file: Path, archive: PackageArchive, attestation: bytes | None = None) -> bool:
        """Give *file*, which is on the disk, the name of *archive*, unless that is taken; returns whether it got it.

        Its *attestation* is there before it: a run that is killed leaves no file without one.
        """
        final = self.path(archive.relative_path)
        with self._lock():
            if final.exists():
                return False
            self._sidecars(archive.subdir).add(archive.filename, archive.sha256, attestation)
            rename(file, final)
            self.found(archive, Stamp.of(final.stat()))
        return True

    def found(self, archive: PackageArchive, stamp: Stamp) -> None:
        """The bytes of *archive* stand under its name, in the file with that *stamp*."""
        self._standing[archive.relative_path] = archive, stamp

    def keep(self, archive: PackageArchive, stamp: Stamp) -> None:
        """The same, where they stood there before this run; if they were removed from the index, they stay so."""
        self.found(archive, stamp)
        self._kept.add(archive.relative_path)

    def replace_later(self, file: Path, archive: PackageArchive, attestation: bytes | None = None) -> None:
        """Have *file* replace what stands under the name of *archive* when :meth:`finish` writes the index."""
        self._sidecars(archive.subdir).check(archive.filename, archive.sha256, attestation)
        self._replacing[archive.relative_path] = archive, file
        if attestation is not None:
            self._attestations[archive.relative_path] = attestation

    def finish(self) -> None:
        """Put the replacing files into place, and the index of every subdir that changed."""
        with self._lock():
            unsure = self._journal.read()
            self._write({subdir: self._sources(subdir, unsure) for subdir in self.subdirs()}, unsure)
        warn_of_removed(str(self.root), self.left_out)

    def index(self, changes: IndexChanges) -> list[SubdirChange]:
        """Bring the index up to date with the files in the folder, with *changes*; see :class:`Indexable`.

        Where nothing is to be written, nobody is kept from writing meanwhile, either.
        """
        if changes.dry_run:
            return self._indexed(changes, self._journal.read())[0]
        with self._lock():
            unsure = self._journal.read()
            result, sources = self._indexed(changes, unsure)
            self._write(sources, unsure)
            for change in result:
                self._delete(change)
            return result

    def _indexed(self, changes: IndexChanges, unsure: Collection[str]) -> tuple[list[SubdirChange], dict[str, Sources]]:
        """What changes in each subdir, and what the index of each is to be made from."""
        wanted = {*(changes.subdirs or self.subdirs()), "noarch", *(path.partition("/")[0] for path in unsure)}
        result, sources, found = [], {}, set[str]()
        for subdir in sorted(wanted):
            folder = self.root / subdir
            before = read_index(folder)
            of_subdir = read_sources(folder)
            there = {entry.name for entry in archives_in(folder)}
            found |= restore(changes, subdir, of_subdir, there)
            names = {path.partition("/")[2] for path in unsure if path.startswith(f"{subdir}/")}
            findings = bring_up(of_subdir, folder, names, rebuild=changes.within(subdir).rebuild)
            to_delete = sorted(deletable(changes, subdir, of_subdir) & there)
            found |= patch_and_remove(changes, subdir, of_subdir)
            sources[subdir] = of_subdir
            idle = without_effect(changes, subdir, of_subdir)
            result.append(change_of(subdir, before, of_subdir, deleted=to_delete, findings=findings, **idle))
        require_found(changes, found, sources)
        return result, sources

    def _write(self, sources: Mapping[str, Sources], unsure: Collection[str]) -> None:
        """Put the replacing files into place, and the index that is made from *sources*."""
        indexes, renewed, changed = {}, {}, {}
        for subdir, of_subdir in sources.items():
            folder = self.root / subdir
            renewed[subdir] = self._sidecars(subdir).advertise(of_subdir.raw, self._coming(subdir))
            changed[subdir] = self._changed(subdir, of_subdir.raw.records, unsure)
            sync_folder(folder)  # once for all files that were placed: no index names one that may be lost
            indexes[subdir] = NewIndex.prepare(folder, of_subdir, self._workdir)
        if self._replacing:
            self._journal.write({*unsure, *self._replacing}, self.new_file())
        for index in indexes.values():
            index.remove_outdated()
        for subdir, index in indexes.items():
            self._replace(subdir, renewed[subdir])
            index.publish()
        for subdir, records in changed.items():
            self._sidecars(subdir).sweep(records)
        self._journal.clear()
        for index in indexes.values():
            index.sweep()

    def _delete(self, change: SubdirChange) -> None:
        """Delete the files that *change* says, which no index names any more, and their attestations with them."""
        folder = self.root / change.subdir
        for filename in change.deleted:
            remove(folder / filename)
            for attestations in list(folder.glob(f"{glob.escape(filename)}.sigs*")):
                remove(attestations)

    # --- what the index is to say -----------------------------------------------------------------------------------

    def _sources(self, subdir: str, unsure: Collection[str]) -> Sources:
        """What the index of *subdir* has to be made from: as it was, and everything that stands in the folder."""
        sources = read_sources(self.root / subdir)
        raw = sources.raw
        removed_since = sources.removed() - self._removed.get(subdir, set())
        self._kept |= self._standing.keys() & {f"{subdir}/{name}" for name in removed_since}
        made = made_at(self.root / subdir)
        new = set()
        for entry in archives_in(self.root / subdir):
            relative_path = f"{subdir}/{entry.name}"
            before = raw.records.get(entry.name)
            published = relative_path in self._standing
            if relative_path in self._replacing or (before is None and not published and entry.name in raw.removed):
                continue
            sure = relative_path not in unsure and is_of(before, entry, made)
            record = self._record(entry, relative_path, before, sure=sure)
            if record is not None:
                self._enter(sources, relative_path, record)
            if record is not None and published and (before is None or not same_file(before, record)):
                new.add(entry.name)
        for archive, _ in self._replacing.values():
            if archive.subdir == subdir:
                new.add(archive.filename)
                sources.put(archive.filename, merged(raw.records.get(archive.filename), record_of(archive)))
        if subdir in self.patches:
            sources.instructions = sources.instructions.with_patch(self.patches[subdir].only(new))
        return sources

    def _enter(self, sources: Sources, relative_path: str, record: Record) -> None:
        """Set *record* of the file *relative_path* in *sources*."""
        filename = relative_path.rpartition("/")[2]
        if relative_path in self._kept:
            if not sources.keep(filename, record):
                self.left_out.add(relative_path)
        elif relative_path in self._standing:
            sources.put(filename, record)
        else:
            sources.raw.records[filename] = record

    def _record(
        self, entry: os.DirEntry[str], relative_path: str, before: Record | None, *, sure: bool
    ) -> Record | None:
        """The record of the file *entry*; ``None`` where it is no package and the index does not know it, either."""
        path = Path(entry.path)
        if relative_path in self._standing:
            archive, stamp = self._standing[relative_path]
            if Stamp.of(path.stat()) == stamp:
                return merged(before, record_of(archive))
            sure = False  # another run has replaced it meanwhile
        if sure:
            return before
        try:
            return merged(before, record_of(inspect(path, subdir=path.parent.name)))
        except KeelbackError as error:
            logger.warning("the index says nothing new of it: %s", error)
            return before

    # --- files that replace others ----------------------------------------------------------------------------------

    def _coming(self, subdir: str) -> dict[str, bytes | None]:
        """The attestations that come with the files in *subdir* that are to be replaced, by file name."""
        return {
            archive.filename: self._attestations.get(relative_path)
            for relative_path, (archive, _) in self._replacing.items()
            if archive.subdir == subdir
        }

    def _changed(self, subdir: str, records: Mapping[str, Record], unsure: Collection[str]) -> dict[str, Record]:
        """The records of the files in *subdir* that may have other bytes than they had in an earlier index."""
        paths = (path.rpartition("/") for path in (*unsure, *self._replacing, *self._standing))
        names = {name for folder, _, name in paths if folder == subdir}
        return {name: records[name] for name in names if name in records}

    def _replace(self, subdir: str, attestations: Mapping[str, bytes | None]) -> None:
        """Put the replacing files of *subdir* into place, each after its *attestations*."""
        for relative_path, (archive, file) in self._replacing.items():
            if archive.subdir == subdir:
                self._sidecars(subdir).renew({archive.filename: attestations[archive.filename]})
                rename(file, self.path(relative_path))

    def _sidecars(self, subdir: str) -> SidecarFiles:
        return SidecarFiles(self.root / subdir, self.new_file)

    # --- locks ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Lock the channel; the system unlocks it when the process dies."""
        lock = FileLock(self._common / "channel.lock", timeout=_LOCK_SECONDS, poll_interval=_POLL_SECONDS)
        try:
            with self._between_threads, lock:
                yield
        except Timeout:
            raise ChannelError(
                f"another keelback has been writing the index of {self.root} for {_LOCK_SECONDS:.0f} seconds",
                hint="Wait for it to end, or end it.",
                code="locked",
            ) from None

    def _clear_dead_workdirs(self) -> None:
        """Remove the working folders that no run has locked; they are made and locked under the channel's lock."""
        entries = [path for path in self._common.iterdir() if path.is_dir() or path.suffix == ".lock"]
        for workdir in {path.with_suffix("") for path in entries} - {self._common / "channel"}:
            lock = workdir.with_suffix(".lock")
            try:
                with FileLock(lock, timeout=0):
                    shutil.rmtree(workdir, ignore_errors=True)
            except Timeout:
                continue
            lock.unlink(missing_ok=True)
