"""Files that last: what a power cut leaves of them is known."""

from __future__ import annotations

import errno
import os
import shutil
import time
from typing import TYPE_CHECKING, Final

from keelback.errors import ChannelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_READERS_BLOCK: Final = os.name == "nt"
"""Whether a file that somebody has open can neither be replaced nor removed."""
_PAUSES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, *[0.6] * 8)
"""Seconds to wait between tries: readers are done with an index before that, and virus scanners with a new file."""


def write_synced(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Make the file *path* with *content*, all of it on the disk; its name lasts after :func:`sync_folder`.

    Args:
        path: the file.
        content: what is to be in it.
        mode: who may do what with it, from its first moment on; the process's own mask applies.

    Raises:
        FileExistsError: there is such a file.
    """
    with os.fdopen(os.open(path, _NEW, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* last; only POSIX systems let one sync a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(file: Path, target: Path) -> None:
    """Give *file* the name *target*, in the place of what has it now; on Windows, wait for its readers to close it.

    Raises:
        OSError: the system says no.
        ChannelError: it is still open after some seconds.
    """
    _when_closed(lambda: file.replace(target), target)


def remove(file: Path) -> None:
    """Remove *file*, if it is there; raises as :func:`rename`."""
    _when_closed(lambda: file.unlink(missing_ok=True), file)


def _when_closed(change: Callable[[], object], path: Path) -> None:
    if not _READERS_BLOCK:
        change()
        return
    for pause in _PAUSES:
        try:
            change()
        except PermissionError:
            time.sleep(pause)
        else:
            return
    try:
        change()
    except PermissionError as error:
        raise ChannelError(
            f"{path} cannot be replaced: another program has it open, or you may not write there",
            hint="Close what reads the channel, and run it again: only what is left will be done.",
            code="disk",
        ) from error


def is_full(error: OSError) -> bool:
    """Whether *error* says that there is no space left, on the disk or of the user's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full(what: str, path: Path) -> ChannelError:
    """The error that there is no space left for *what*, which was to be at *path*."""
    nearest = next(folder for folder in (path, *path.parents) if folder.is_dir())
    return ChannelError(
        f"no space left for {what} ({shutil.disk_usage(nearest).free} bytes free)",
        hint="Make room, and run it again: only what is left will be done.",
        code="disk-full",
    )
