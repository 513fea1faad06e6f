"""A channel's folder on disk: files that arrive whole or not at all, and an index that is written after them.

Any number of keelbacks may work in one folder at once, and each may be killed at any moment:

- What a run copies goes into a room of its own, ``.keelback/RUN/``, which it holds locked. A room that nobody holds was
  left by a run that is dead, and is cleared away by the next one.
- Names are given, and the index is written, under one lock for the channel.
- The index of a subdir is made from what stands in its folder. So a file that was placed by a run which then died is
  in the index that the next run writes.
- Files that replace others get their names when the new index is on the disk and lacks only its own names, too. What
  remains is the time of these renames, in which a reader may find a new file where the index has the hash of the old
  one: no file system renames several files at once. The files concerned are named in ``.keelback/replacing.json`` until
  the index agrees with them again; the next run after a death reads those anew instead of believing the old index.
- The attestations of a file stand beside it (:mod:`keelback.channels.sidecarfiles`). They come before it does, and go
  after it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from filelock import FileLock, Timeout

from keelback.archive import SUBDIRS, inspect
from keelback.archive.source import Stamp
from keelback.channels.indexing import NewIndex, read_file, read_index
from keelback.channels.sidecarfiles import SidecarFiles
from keelback.durable import rename, sync_folder, write_synced
from keelback.errors import ChannelError, KeelbackError
from keelback.repodata import record_of, same_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from keelback.archive import PackageArchive
    from keelback.repodata import Record, Repodata

logger = logging.getLogger(__name__)

_LOCK_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.01
_ARCHIVES: Final = (".conda", ".tar.bz2")


class Folder:
    """The folder of a channel.

    Args:
        root: absolute.
    """

    ROOM: ClassVar[str] = ".keelback"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._common = root / self.ROOM
        self._room = self._common / secrets.token_hex(8)
        self._held = FileLock(self._room.with_suffix(".lock"), thread_local=False)
        self._between_threads = threading.Lock()
        self._standing: dict[str, tuple[PackageArchive, Stamp]] = {}
        self._replacing: dict[str, tuple[PackageArchive, Path]] = {}
        self._attestations: dict[str, bytes] = {}

    def path(self, relative_path: str) -> Path:
        """Where ``SUBDIR/FILE`` stands."""
        return self.root / relative_path

    def other_spelling(self, relative_path: str) -> str | None:
        """The name in other case under which a file system that does not tell case apart has *relative_path*."""
        if not (self.root / self.ROOM.upper()).exists():
            return None
        name = self.path(relative_path).name
        names = (path.name for path in self.path(relative_path).parent.iterdir())
        return next((other for other in names if other != name and other.lower() == name.lower()), None)

    def subdirs(self) -> list[str]:
        """The subdirs that are there."""
        return [subdir for subdir in SUBDIRS if (self.root / subdir).is_dir()]

    def prepare(self, subdirs: Collection[str]) -> None:
        """Make the folders, clear away what dead runs left, and hold a room for this one."""
        if not self._common.is_dir():
            # the first of all: until there is an index, it tells a channel that was cut short from a foreign folder
            self._common.mkdir(parents=True, exist_ok=True)
            sync_folder(self.root)
        with self._lock():
            self._clear_dead_rooms()
            self._held.acquire(timeout=_LOCK_SECONDS)
            self._room.mkdir()
        missing = [subdir for subdir in sorted({*subdirs, "noarch"}) if not (self.root / subdir).is_dir()]
        for subdir in missing:
            (self.root / subdir).mkdir(exist_ok=True)
        if missing:
            sync_folder(self.root)

    def close(self) -> None:
        """Give the room of this run back."""
        if self._held.is_locked:
            shutil.rmtree(self._room, ignore_errors=True)
            self._held.release()
            with contextlib.suppress(OSError):  # then the next run does it
                Path(self._held.lock_file).unlink(missing_ok=True)

    def new_file(self) -> Path:
        """A path, in the room of this run, for a file on its way."""
        return self._room / secrets.token_hex(8)

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

    def replace_later(self, file: Path, archive: PackageArchive, attestation: bytes | None = None) -> None:
        """Have *file* replace what stands under the name of *archive* when :meth:`finish` writes the index."""
        self._sidecars(archive.subdir).check(archive.filename, archive.sha256, attestation)
        self._replacing[archive.relative_path] = archive, file
        if attestation is not None:
            self._attestations[archive.relative_path] = attestation

    def finish(self) -> None:
        """Put the replacing files into place, and the index of every subdir that changed."""
        with self._lock():
            unsure = self._read_journal()
            indexes, renewed, changed = {}, {}, {}
            for subdir in self.subdirs():
                folder = self.root / subdir
                repodata = self._repodata(subdir, unsure)
                renewed[subdir] = self._sidecars(subdir).advertise(repodata, self._coming(subdir))
                changed[subdir] = self._changed(subdir, repodata, unsure)
                sync_folder(folder)  # once for all files that were placed: no index names one that may be lost
                indexes[subdir] = NewIndex.prepare(folder, repodata, self._room)
            if self._replacing:
                self._write_journal({*unsure, *self._replacing})
            for index in indexes.values():
                index.remove_outdated()
            for subdir, index in indexes.items():
                self._replace(subdir, renewed[subdir])
                index.publish()
            for subdir, records in changed.items():
                self._sidecars(subdir).sweep(records)
            self._journal.unlink(missing_ok=True)
            for index in indexes.values():
                index.sweep()

    # --- what the index is to say -----------------------------------------------------------------------------------

    def _repodata(self, subdir: str, unsure: Collection[str]) -> Repodata:
        """The index of *subdir* as it has to be: the one that is there, and everything that stands in the folder."""
        repodata = read_index(self.root / subdir)
        for entry in _archives(self.root / subdir):
            relative_path = f"{subdir}/{entry.name}"
            if relative_path not in self._replacing:
                record = self._record(
                    entry, relative_path, repodata.records.get(entry.name), sure=relative_path not in unsure
                )
                if record is not None:
                    repodata.put(entry.name, record)
        for archive, _ in self._replacing.values():
            if archive.subdir == subdir:
                repodata.put(archive.filename, _merged(repodata.records.get(archive.filename), record_of(archive)))
        return repodata

    def _record(
        self, entry: os.DirEntry[str], relative_path: str, before: Record | None, *, sure: bool
    ) -> Record | None:
        """The record of the file *entry*; ``None`` where it is no package and the index does not know it, either."""
        path = Path(entry.path)
        if relative_path in self._standing:
            archive, stamp = self._standing[relative_path]
            if Stamp.of(path.stat()) == stamp:
                return _merged(before, record_of(archive))
            sure = False  # another run has replaced it meanwhile
        if before is not None and sure and before.get("size") in (None, entry.stat().st_size):
            return before
        try:
            return _merged(before, record_of(inspect(path, subdir=path.parent.name)))
        except KeelbackError as error:
            logger.warning("the index says nothing new of it: %s", error)
            return before

    # --- files that replace others ----------------------------------------------------------------------------------

    def _coming(self, subdir: str) -> dict[str, bytes | None]:
        """From the names of the files in *subdir* that are to be replaced to the attestation that comes with each."""
        return {
            archive.filename: self._attestations.get(relative_path)
            for relative_path, (archive, _) in self._replacing.items()
            if archive.subdir == subdir
        }

    def _changed(self, subdir: str, repodata: Repodata, unsure: Collection[str]) -> dict[str, Record]:
        """The records of the files in *subdir* that may have other bytes than they had in an earlier index."""
        paths = (path.rpartition("/") for path in (*unsure, *self._replacing, *self._standing))
        names = {name for folder, _, name in paths if folder == subdir}
        return {name: repodata.records[name] for name in names if name in repodata.records}

    def _replace(self, subdir: str, attestations: Mapping[str, bytes | None]) -> None:
        """Put the replacing files of *subdir* into place, each after its *attestations*."""
        for relative_path, (archive, file) in self._replacing.items():
            if archive.subdir == subdir:
                self._sidecars(subdir).renew({archive.filename: attestations[archive.filename]})
                rename(file, self.path(relative_path))

    def _write_journal(self, relative_paths: Collection[str]) -> None:
        journal = self.new_file()
        write_synced(journal, json.dumps(sorted(relative_paths)).encode())
        rename(journal, self._journal)
        sync_folder(self._common)

    @property
    def _journal(self) -> Path:
        return self._common / "replacing.json"

    def _read_journal(self) -> set[str]:
        """The files that a run which died was about to replace."""
        content = read_file(self._journal)
        try:
            return set() if content is None else set(json.loads(content))
        except (ValueError, TypeError):  # nobody who writes it dies halfway
            raise ChannelError(f"{self._journal} is malformed", hint="Remove it.", code="bad-index") from None

    def _sidecars(self, subdir: str) -> SidecarFiles:
        return SidecarFiles(self.root / subdir, self.new_file)

    # --- locks ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the channel; the system lets go of it when the process dies."""
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

    def _clear_dead_rooms(self) -> None:
        """Remove the rooms of runs that no longer hold them; rooms are only made and taken under the channel's lock."""
        rooms = {path.with_suffix("") for path in self._common.iterdir() if path.is_dir() or path.suffix == ".lock"}
        for room in rooms - {self._common / "channel"}:
            lock = room.with_suffix(".lock")
            try:
                with FileLock(lock, timeout=0):
                    shutil.rmtree(room, ignore_errors=True)
            except Timeout:
                continue
            lock.unlink(missing_ok=True)


def _archives(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_ARCHIVES) and not entry.name.startswith(".") and entry.is_file():
                yield entry


def _merged(before: Record | None, now: Record) -> Record:
    """The record *before*, which may have been patched, where it is still of the same bytes; else the one of *now*."""
    return before if before is not None and same_file(before, now) else now
