"""Who may read a file that holds credentials."""

from __future__ import annotations

import logging
import os
import shlex
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

_log = logging.getLogger("keelback.credentials")

_warned_of: set[Path] = set()
"""Files open to others that were warned of; once in a process is enough."""


def warn_if_open(path: Path, file: IO[bytes], name: str) -> None:
    """Log a warning, once in a process, where other users of this machine can read a file; only POSIX systems tell.

    Args:
        path: the file.
        file: the same, opened.
        name: what messages call it.
    """
    mode = os.fstat(file.fileno()).st_mode
    open_to_others = stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH)
    if os.name == "posix" and open_to_others and path not in _warned_of:
        _warned_of.add(path)
        _log.warning(
            "%s can be read by other users of this machine; close it with: chmod 600 %s",
            name,
            shlex.quote(str(path)),
        )
