"""The files of a channel in a folder that are about to be replaced: the next run needs them if this one dies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from keelback.archive import SUBDIRS
from keelback.channels.folderindex import read_file
from keelback.durable import rename, sync_folder, write_synced
from keelback.errors import ChannelError
from keelback.indexed import is_filename

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

    def write(self, relative_paths: Collection[str], new_file: Path) -> None:
        """Write *relative_paths* to the disk before any of them is replaced; *new_file* is written first."""
        write_synced(new_file, json.dumps(sorted(relative_paths)).encode())
        rename(new_file, self._path)
        sync_folder(self._path.parent)

    def read(self) -> set[str]:
        """The files that an earlier run was about to replace when it died.

        Raises:
            ChannelError: code ``bad-index``: something else was written there; it is never left half written.
        """
        content = read_file(self._path)
        try:
            paths = {*msgspec.json.decode(content, type=list[str])} if content is not None else set()
        except (msgspec.MsgspecError, RecursionError):
            raise self._malformed() from None
        if not all(map(_is_archive, paths)):
            raise self._malformed()
        return paths

    def _malformed(self) -> ChannelError:
        hint = "Remove it, and run keelback index with --rebuild, which reads every archive."
        return ChannelError(f"{self._path} is malformed", hint=hint, code="bad-index")

    def clear(self) -> None:
        """Forget the files: the index agrees with all of them again."""
        self._path.unlink(missing_ok=True)


def _is_archive(relative_path: str) -> bool:
    """Whether *relative_path* is ``SUBDIR/FILE``, and thus of a file in the channel."""
    subdir, _, filename = relative_path.partition("/")
    return subdir in SUBDIRS and is_filename(filename)
