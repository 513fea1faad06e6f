"""Who may read a file that holds credentials, and who may put another in its place."""

from __future__ import annotations

import logging
import os
import shlex
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

_log = logging.getLogger("keelback.credentials")

_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_warned_of: set[Path] = set()
"""Files and folders open to others that were warned of; once in a process is enough."""


def warn_if_open(path: Path, file: IO[bytes], name: str) -> None:
    """Log a warning, once in a process, where a file or its folder is open to others; only POSIX systems tell.

    Args:
        path: the file.
        file: the same, opened.
        name: what messages call it.
    """
    mode = os.fstat(file.fileno()).st_mode
    if os.name != "posix" or not stat.S_ISREG(mode):
        return
    if mode & _OF_OTHERS and _first_time(path):
        can = "can be read by" if mode & (stat.S_IRGRP | stat.S_IROTH) else "is open to"
        close = f"chmod 600 {shlex.quote(str(path))}"
        _log.warning("%s %s other users of this machine; close it with: %s", name, can, close)
    warn_if_folder_open(path.parent, name)


def warn_if_folder_open(folder: Path, name: str) -> None:
    """Log a warning, once in a process, where others can put another file into *folder* in the place of one.

    A folder like ``/tmp``, in which everybody can change only what is theirs (the sticky bit), is not open.

    Args:
        folder: the folder.
        name: what messages call the file.
    """
    if os.name != "posix":
        return
    try:
        found = folder.stat()
    except OSError:
        return
    quoted = shlex.quote(str(folder))
    if found.st_uid not in {0, os.getuid()}:
        if _first_time(folder):
            _log.warning(
                "%s: its folder %s belongs to another user, who can put another file in its place", name, quoted
            )
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX and _first_time(folder):
        text = "%s: other users of this machine can put another file in its place; close its folder with: chmod 700 %s"
        _log.warning(text, name, quoted)


def _first_time(path: Path) -> bool:
    is_new = path not in _warned_of
    _warned_of.add(path)
    return is_new
