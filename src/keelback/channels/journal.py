"""Which files of a channel in a folder are about to be replaced, for whoever comes after a run that died meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from keelback.channels.indexing import read_file
from keelback.durable import rename, sync_folder, write_synced
from keelback.errors import ChannelError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


class Journal:
    """The names of these files, in *path*.

    Args:
        path: where they are kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, relative_paths: Collection[str], room: Path) -> None:
        """Have *relative_paths* on the disk before any of them is replaced; *room* is a new file's path."""
        write_synced(room, json.dumps(sorted(relative_paths)).encode())
        rename(room, self._path)
        sync_folder(self._path.parent)

    def read(self) -> set[str]:
        """The files that a run which died was about to replace.

        Raises:
            ChannelError: code ``bad-index``: somebody has written something else there.
        """
        content = read_file(self._path)
        try:
            return set() if content is None else set(json.loads(content))
        except (ValueError, TypeError):  # nobody who writes it dies halfway
            raise ChannelError(f"{self._path} is malformed", hint="Remove it.", code="bad-index") from None

    def clear(self) -> None:
        """The index agrees with all of them again."""
        self._path.unlink(missing_ok=True)
