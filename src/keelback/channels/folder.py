"""A channel's folder on disk: files that arrive whole or not at all, and an index that is written after them.

Any number of keelbacks may work in one folder at once, and each may be killed at any moment:

- What a run copies goes into a room of its own, ``.keelback/RUN/``, which it holds locked. A room that nobody holds was
  left by a run that is dead, and is cleared away by the next one.
- Names are given, and the index is written, under one lock for the channel.
- The index of a subdir is made from what stands in its folder. So a file that was placed by a run which then died is
  in the index that the next run writes.
- Files that are about to be replaced are named in ``.keelback/replacing.json`` until the index agrees with them again;
  the next run after a death reads those anew instead of believing the old index.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from filelock import FileLock, Timeout

from keelback.archive import SUBDIRS, inspect
from keelback.errors import ChannelError, KeelbackError
from keelback.repodata import (
    REPODATA,
    REPODATA_ZST,
    SHARD_INDEX,
    SHARDS_FOLDER,
    Record,
    compress_repodata,
    decode_repodata,
    encode_repodata,
    encode_shard_index,
    encode_shards,
    record_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from keelback.archive import PackageArchive

logger = logging.getLogger(__name__)

_LOCK_SECONDS: Final = 600.0
_ARCHIVES: Final = (".conda", ".tar.bz2")
_OUTDATED: Final = ("current_repodata.json", "repodata.json.bz2", "repodata_from_packages.json")
"""What other indexers write beside the index; once it has changed, a reader that took one of them would miss files."""


class Folder:
    """The folder of a channel.

    Args:
        root: absolute.
    """

    ROOM: ClassVar[str] = ".keelback"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._room = root / self.ROOM
        self.incoming = self._room / secrets.token_hex(8)
        self._held = FileLock(self.incoming.with_suffix(".lock"), thread_local=False)

    def path(self, relative_path: str) -> Path:
        """Where ``SUBDIR/FILE`` stands."""
        return self.root / relative_path

    def prepare(self, subdirs: Collection[str]) -> None:
        """Make the folders, clear away what dead runs left, and hold a room for this one."""
        for subdir in {*subdirs, "noarch"}:
            (self.root / subdir).mkdir(parents=True, exist_ok=True)
        self._room.mkdir(exist_ok=True)
        with self._lock():
            for lock in self._room.glob("*.lock"):
                if lock.stem != "channel":
                    _clear_if_dead(lock)
            self._held.acquire(timeout=_LOCK_SECONDS)
            self.incoming.mkdir()

    def close(self) -> None:
        """Give the room of this run back."""
        if self._held.is_locked:
            shutil.rmtree(self.incoming, ignore_errors=True)
            self._held.release()
            Path(self._held.lock_file).unlink(missing_ok=True)

    def place(self, incoming: Path, relative_path: str) -> bool:
        """Give *incoming* its name, unless there is a file of that name; returns whether it got it."""
        final = self.path(relative_path)
        with self._lock():
            if final.exists():
                return False
            incoming.replace(final)
            _sync_folder(final.parent)
        return True

    def finish(
        self, *, added: Mapping[str, PackageArchive], replacing: Mapping[str, tuple[Path, PackageArchive]]
    ) -> None:
        """Put the replacing files into place, then write the index of every subdir that changed.

        Args:
            added: archives that stand in the folder, by their relative path.
            replacing: where the bytes wait, and which archive they are, by the relative path that they will take.
        """
        known = dict(added) | {path: archive for path, (_, archive) in replacing.items()}
        with self._lock():
            unsure = self._unsure() | set(replacing)
            if unsure:
                write_durably(self._journal, json.dumps(sorted(unsure)).encode())
            for relative_path, (incoming, _) in replacing.items():
                incoming.replace(self.path(relative_path))
            for subdir in self._subdirs():
                self._index(subdir, known, unsure)
            self._journal.unlink(missing_ok=True)

    # --- the index ------------------------------------------------------------------------------------------------

    def _index(self, subdir: str, known: Mapping[str, PackageArchive], unsure: Collection[str]) -> None:
        """Write the index of *subdir* if it does not say what stands there; ``repodata.json`` last."""
        folder = self.root / subdir
        before = self._records(folder)
        records = dict(before)
        for entry in _archives(folder):
            relative_path = f"{subdir}/{entry.name}"
            record = before.get(entry.name)
            if relative_path in known:
                records[entry.name] = _updated(record, record_of(known[relative_path]))
            elif record is None or relative_path in unsure or record.get("size") != entry.stat().st_size:
                read = _read_record(Path(entry.path), subdir)
                if read is not None:
                    records[entry.name] = read
        complete = all((folder / name).exists() for name in (REPODATA, REPODATA_ZST, SHARD_INDEX))
        if records != before or not complete:
            _write_index(folder, subdir, records)

    def _records(self, folder: Path) -> dict[str, Record]:
        """What the index says now; a malformed one is made anew from the files."""
        try:
            return decode_repodata((folder / REPODATA).read_bytes())
        except FileNotFoundError:
            return {}
        except ChannelError as error:
            logger.warning("%s: %s; it is made anew", folder, error)
            return {}

    def _subdirs(self) -> list[str]:
        return [subdir for subdir in SUBDIRS if (self.root / subdir).is_dir()]

    # --- locks and the journal ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the channel; the system lets go of it when the process dies."""
        try:
            with FileLock(self._room / "channel.lock", timeout=_LOCK_SECONDS):
                yield
        except Timeout:
            raise ChannelError(
                f"another keelback has been writing the index of {self.root} for {_LOCK_SECONDS:.0f} seconds",
                hint="wait for it to end, or end it",
                code="locked",
            ) from None

    @property
    def _journal(self) -> Path:
        return self._room / "replacing.json"

    def _unsure(self) -> set[str]:
        """The files that a run which died was about to replace."""
        try:
            names = json.loads(self._journal.read_bytes())
        except FileNotFoundError:
            return set()
        except ValueError:  # it died while writing this, so it had not replaced anything yet
            return set()
        return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def write_durably(path: Path, content: bytes) -> None:
    """Give *path* the *content*, at once and for good: temporary name, sync, rename, sync of the folder."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write_index(folder: Path, subdir: str, records: Mapping[str, Record]) -> None:
    """Shards before the index that names them; ``repodata.json``, from which the next run starts, after all others."""
    shards = encode_shards(records)
    shards_folder = folder / SHARDS_FOLDER
    shards_folder.mkdir(exist_ok=True)
    for digest, content in shards.values():
        shard = shards_folder / f"{digest}.msgpack.zst"
        if not shard.exists():
            write_durably(shard, content)
    repodata = encode_repodata(subdir, records)
    write_durably(
        folder / SHARD_INDEX, encode_shard_index(subdir, {name: digest for name, (digest, _) in shards.items()})
    )
    write_durably(folder / REPODATA_ZST, compress_repodata(repodata))
    for name in _OUTDATED:
        (folder / name).unlink(missing_ok=True)
    write_durably(folder / REPODATA, repodata)


def _archives(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_ARCHIVES) and not entry.name.startswith(".") and entry.is_file():
                yield entry


def _read_record(path: Path, subdir: str) -> Record | None:
    """The record of a file that the index does not know; ``None``, and a warning, where it is no package."""
    try:
        return record_of(inspect(path, subdir=subdir))
    except KeelbackError as error:
        logger.warning("left out of the index: %s", error)
        return None


def _updated(before: Record | None, now: Record) -> Record:
    """The record *before*, which may have been patched, where it is still of the same bytes; else the one of *now*."""
    return before if before is not None and before.get("sha256") == now["sha256"] else now


def _clear_if_dead(lock: Path) -> None:
    """Remove the room of a run that no longer holds it."""
    try:
        with FileLock(lock, timeout=0):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    except Timeout:
        pass


def _sync_folder(folder: Path) -> None:
    """Make a rename last; only POSIX systems let one sync a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
