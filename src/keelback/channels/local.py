"""Channels in a folder: archives in ``SUBDIR/``, and the index that readers need; no server."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from typing import TYPE_CHECKING, ClassVar, Final

from keelback.archive import SUBDIRS
from keelback.archive.source import Stamp
from keelback.channels.delivery import Delivery, Refusal
from keelback.channels.folder import Folder
from keelback.channels.folderindex import check_index, read_file
from keelback.channels.indexable import Indexable
from keelback.channels.indexchanges import require_subdirs
from keelback.channels.memo import Memo
from keelback.durable import disk_full, is_full
from keelback.errors import ChannelError, ConflictError, SourceChanged, UsageError
from keelback.listing import Listed, Listing
from keelback.repodata import REPODATA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from keelback.archive import PackageArchive
    from keelback.channels.indexable import IndexChanges, SubdirChange
    from keelback.channels.patches import Instructions
    from keelback.channels.session import Session
    from keelback.channels.target import Target

_BLOCK: Final = 1 << 20
_ALLOW: Final = "see that you may write there, or name another folder"
_HINTS: Final = {
    errno.EACCES: _ALLOW,
    errno.EPERM: _ALLOW,
    errno.EROFS: _ALLOW,
    errno.EXDEV: "keep all of a channel on one file system",
}


class LocalChannel(Indexable):
    """A channel in a folder.

    A new file gets its name as soon as all of it is on the disk; files that replace others, and the index, wait for
    the end. Whoever reads meanwhile finds the channel as it was.

    Args:
        folder: the channel's; made if it is not there.
    """

    kind: ClassVar[str] = "local"
    takes_credential: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder.absolute())
        self.url = self._folder.root.as_uri()
        self._found: dict[str, Stamp] = {}
        self._listings: Memo[Listing] = Memo()

    @classmethod
    def from_target(cls, target: Target) -> LocalChannel | None:
        """A path, or ``file:///path``."""
        return None if target.folder is None else cls(target.folder)

    def open(self, session: Session) -> None:  # noqa: ARG002 - a folder needs none of it
        """See :class:`Channel`; refuses what is no channel, and a channel that could not be written or indexed."""
        root = self._folder.root
        with self._explained():
            if root.exists() and not root.is_dir():
                raise UsageError(f"{root} is a file, not a folder", hint="Name a folder.")
            if root.is_dir() and not is_channel(root) and any(root.iterdir()):
                raise UsageError(
                    f"{root} is a folder, but not a channel: it has no {REPODATA} in any subdir",
                    hint="Name an empty or a new folder, or a channel.",
                )
            _require_writable(root)
            for subdir in self._folder.subdirs():
                check_index(root / subdir)

    def begin(self, archives: Sequence[PackageArchive]) -> None:
        """Make the folder, and remove what killed runs have left."""
        with self._explained():
            self._folder.begin({archive.subdir for archive in archives})

    def find(self, archive: PackageArchive) -> Listed | None:
        """What the folder has: the file itself is hashed, because the index may be wrong."""
        with self._explained():
            try:
                file = self._folder.path(archive.relative_path).open("rb")
            except FileNotFoundError:
                return None
            with file:
                stamp = Stamp.of(os.fstat(file.fileno()))
                sha256 = hashlib.file_digest(file, "sha256").hexdigest() if stamp.size == archive.size else None
            other = self._folder.other_spelling(archive.relative_path)
        if other is not None:
            raise ConflictError(
                f"{self._folder.root} has {archive.subdir}/{other}, which its file system takes for {archive.filename}",
                hint="Give the package a name that differs by more than upper and lower case.",
            )
        self._found[archive.relative_path] = stamp
        return Listed(sha256=sha256, size=stamp.size)

    def asks_first(self, archive: PackageArchive) -> bool:
        """See :class:`Channel`."""
        return self._folder.path(archive.relative_path).exists()

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """Copy by a temporary name in the same file system, sync, and rename."""
        file = self._folder.new_file()
        try:
            with self._explained():
                _copy(archive, file, delivery)
                placed = self._folder.place(file, archive, delivery.attestation)
        except BaseException:
            _drop(file)
            raise
        if not placed and not overwrite:
            _drop(file)
            raise Refusal
        if not placed:
            self._folder.replace_later(file, archive, delivery.attestation)
        return 1

    def keep(self, archive: PackageArchive) -> None:
        """The file is there; so that it is in the index, too, if a run was killed before it wrote one.

        What was removed from the index stays removed, and is named in a warning at the end.
        """
        self._folder.keep(archive, self._found[archive.relative_path])

    def leaves_out(self, archive: PackageArchive) -> bool:
        """See :class:`Indexable`."""
        return archive.relative_path in self._folder.left_out

    def take_patches(self, patches: Mapping[str, Instructions]) -> None:
        """See :class:`Indexable`."""
        self._folder.patches = patches

    def subdirs(self, session: Session) -> Sequence[str]:  # noqa: ARG002 - as in :meth:`open`
        """See :class:`Indexable`."""
        return self._folder.subdirs()

    def finish(self) -> None:
        """Replace what is to be replaced, and write the index, once."""
        with self._explained():
            self._folder.finish()

    def index(self, changes: IndexChanges, session: Session) -> list[SubdirChange]:  # noqa: ARG002 - as in :meth:`open`
        """See :class:`Indexable`; a folder with subdirs in it becomes a channel.

        Raises:
            UsageError: there is no such folder or subdir, or none with subdirs in it.
        """
        root = self._folder.root
        with self._explained():
            if not root.is_dir():
                raise UsageError(f"there is no folder {root}", hint="Name the folder of a channel.")
            if not is_channel(root) and not self._folder.subdirs() and any(root.iterdir()):
                raise UsageError(
                    f"{root} is a folder, but not a channel: it has no subdir, such as noarch or linux-64",
                    hint="Name the folder that holds the subdirs, or an empty one.",
                )
            require_subdirs(changes, self._folder.subdirs(), str(root))
            if changes.dry_run:
                return self._folder.index(changes)
            _require_writable(root)
            try:
                self._folder.prepare(changes.subdirs)
                return self._folder.index(changes)
            finally:
                self._folder.close()

    def close(self) -> None:
        """See :class:`Channel`."""
        self._folder.close()

    def listed(self, archive: PackageArchive) -> Listed | None:
        """See :class:`Channel`."""
        listing = self._listings.get(archive.subdir, lambda: self._read_listing(archive.subdir))
        return listing.get(archive.filename)

    def refresh(self) -> None:
        """See :class:`Channel`."""
        self._listings.forget()

    def _read_listing(self, subdir: str) -> Listing:
        with self._explained():
            content = read_file(self._folder.root / subdir / REPODATA)
        return Listing(content or b"")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an error of the system into one that says what to do."""
        try:
            yield
        except OSError as error:
            raise _disk(error, self._folder.root) from error


def is_channel(root: Path) -> bool:
    """Whether *root* is a channel, of keelback or another tool: some subdir of it has an index."""
    return (root / Folder.WORKDIRS).is_dir() or any((root / subdir / REPODATA).is_file() for subdir in SUBDIRS)


def _require_writable(root: Path) -> None:
    """Raise ``PermissionError`` if nothing could be made in *root*, or it could not be made itself."""
    nearest = next(folder for folder in (root, *root.parents) if folder.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))


def _copy(archive: PackageArchive, to: Path, delivery: Delivery) -> None:
    digest = hashlib.sha256()
    with to.open("xb") as file:
        for block in archive.blocks(_BLOCK):
            digest.update(block)
            file.write(block)
            delivery.sent(len(block))
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != archive.sha256:
        raise SourceChanged(
            f"{archive.path} changed while it was being copied", hint="Publish it again when it is done."
        )


def _drop(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)


def _disk(error: OSError, root: Path) -> ChannelError:
    if is_full(error):
        return disk_full(f"the channel in {root}", root)
    what = error.strerror or str(error)
    hint = _HINTS.get(error.errno or 0, "see to that, and run it again: only what is left will be done")
    return ChannelError(f"the channel in {root}: {what} ({error.filename or root})", hint=hint, code="disk")
