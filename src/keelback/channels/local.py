"""Channels in a folder: archives in ``SUBDIR/``, with the index that readers need, and nothing else to run."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING, ClassVar

from keelback.archive import SUBDIRS
from keelback.channels.base import Channel, Delivery, Refusal, Session
from keelback.channels.folder import Folder
from keelback.errors import ChannelError, SourceChanged, UsageError
from keelback.repodata import REPODATA, Listed, decode_listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from keelback.archive import PackageArchive
    from keelback.channels.target import Target

_BLOCK = 1 << 20


class LocalChannel(Channel):
    """A channel in a folder.

    A new file gets its name as soon as all of it is on the disk; files that replace others, and the index, wait for
    the end. Whoever reads meanwhile finds the channel as it was.

    Args:
        folder: the channel's; made if it is not there.
    """

    kind: ClassVar[str] = "local"
    needs_md5: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder.absolute())
        self.url = self._folder.root.as_uri()
        self._replacing: dict[str, tuple[Path, PackageArchive]] = {}
        self._added: dict[str, PackageArchive] = {}

    @classmethod
    def from_target(cls, target: Target) -> LocalChannel | None:
        """A path, or ``file:///path``."""
        return None if target.folder is None else cls(target.folder)

    def open(self, session: Session) -> None:  # noqa: ARG002 - a folder needs none of it
        """See :class:`Channel`; refuses a folder that holds something else than a channel."""
        root = self._folder.root
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file, not a folder")
        if root.is_dir() and not is_channel(root) and any(root.iterdir()):
            raise UsageError(
                f"{root} is a folder, but not a channel: it has no {REPODATA} in any subdir",
                hint="name an empty or a new folder, or a channel",
            )

    def begin(self, archives: Sequence[PackageArchive]) -> None:
        """Make the folder, and clear away what runs that were killed have left."""
        try:
            self._folder.prepare({archive.subdir for archive in archives})
        except OSError as error:
            raise _disk(error, self._folder.root) from error

    def find(self, archive: PackageArchive) -> Listed | None:
        """What the folder has; the file itself is hashed, whatever the index says of it."""
        try:
            with self._folder.path(archive.relative_path).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                same_size = size == archive.size
                sha256 = hashlib.file_digest(file, "sha256").hexdigest() if same_size else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _disk(error, self._folder.root) from error
        return Listed(sha256=sha256, size=size)

    def asks_first(self, archive: PackageArchive) -> bool:
        """See :class:`Channel`."""
        return self._folder.path(archive.relative_path).exists()

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """Copy by a temporary name in the same file system, sync, and rename."""
        incoming = self._folder.incoming / secrets.token_hex(8)
        try:
            _copy(archive, incoming, delivery)
            if overwrite:
                self._replacing[archive.relative_path] = (incoming, archive)
            elif self._folder.place(incoming, archive.relative_path):
                self._added[archive.relative_path] = archive
            else:
                incoming.unlink()
                raise Refusal
        except OSError as error:
            incoming.unlink(missing_ok=True)
            raise _disk(error, self._folder.root) from error
        except SourceChanged:
            incoming.unlink(missing_ok=True)
            raise
        return 1

    def keep(self, archive: PackageArchive) -> None:
        """The file is there; so that it is in the index, too, if a run was killed before it wrote one."""
        self._added[archive.relative_path] = archive

    def finish(self) -> None:
        """Replace what is to be replaced, and write the index, once."""
        try:
            self._folder.finish(added=self._added, replacing=self._replacing)
        except OSError as error:
            raise _disk(error, self._folder.root) from error
        self._replacing.clear()

    def close(self) -> None:
        """See :class:`Channel`."""
        self._folder.close()

    def listed(self, archive: PackageArchive) -> Listed | None:
        """See :class:`Channel`."""
        try:
            content = (self._folder.root / archive.subdir / REPODATA).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _disk(error, self._folder.root) from error
        listing: Mapping[str, Listed] = decode_listing(content)
        return listing.get(archive.filename)


def is_channel(root: Path) -> bool:
    """Whether keelback, or anybody else, has made a channel of *root*: some subdir of it has an index."""
    return (root / Folder.ROOM).is_dir() or any((root / subdir / REPODATA).is_file() for subdir in SUBDIRS)


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
            f"{archive.path} changed while it was being copied", hint="publish it again when it is done"
        )


def _disk(error: OSError, root: Path) -> ChannelError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(root).free if root.exists() else 0
        return ChannelError(
            f"no space left for the channel in {root} ({free} bytes free)",
            hint="make room, and run it again",
            code="disk-full",
        )
    what = error.strerror or str(error)
    return ChannelError(f"the channel in {root}: {what} ({error.filename or root})", code="disk")
