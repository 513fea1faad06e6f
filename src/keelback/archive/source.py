"""The bytes of an archive: the same ones for the checks, for the hashes and for every attempt to send them."""

from __future__ import annotations

import hashlib
import os
import stat
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from keelback.archive.findings import Unreadable
from keelback.errors import SourceChanged
from keelback.findings import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK_SIZE: Final = 1 << 20
"""Measured with 1 GB in the page cache: smaller blocks hash slower, larger ones no faster."""


class Stamp(NamedTuple):
    """What tells one state of a file from another without reading it.

    The time of the last change of the *inode* is left out: renaming a folder or adding a hard link changes that one,
    and no byte of the file.
    """

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp that *status* gives."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class Source:
    """A file in the state in which it was first seen.

    Args:
        path: a regular file; anything else is refused before it is opened, since opening a pipe may wait for ever.

    Raises:
        Unreadable: it is not there, is no regular file, is empty, or cannot be looked at.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            status = path.stat()
        except FileNotFoundError:
            raise Unreadable("no-such-file", "there is no such file") from None
        except (OSError, ValueError) as error:
            raise Unreadable("unreadable", f"cannot be looked at: {reason(error)}") from None
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable("not-a-file", "is a folder, not an archive", hint="Name the files in it, or its parent.")
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not-a-file", "is a pipe, a device or a socket, not a regular file")
        if status.st_size == 0:
            raise Unreadable("empty-file", "is empty", hint="Build or download it again; the disk may have been full.")
        self.stamp = Stamp.of(status)

    def blocks(self, size: int = BLOCK_SIZE, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """The content in blocks of *size* bytes, each a view of memory of its own.

        Args:
            size: of a block; the last one may be smaller.
            start: the first byte that is wanted.
            length: how many bytes are wanted; by default all from *start* on.

        The file is compared with its stamp before the first block and once more before the last one is handed out:
        whoever sends the blocks never completes the body of a file that changed.

        Raises:
            SourceChanged: it is gone, can no longer be read, or is not what it was.
        """
        if size < 1:
            raise ValueError("a block has at least one byte")
        remaining = self.stamp.size - start if length is None else length
        if not 0 <= start <= start + remaining <= self.stamp.size:
            raise ValueError("there are no such bytes")
        try:
            self._require_unchanged()
            with self.path.open("rb", buffering=0) as file:
                file.seek(start)
                while remaining:
                    block = file.read(min(size, remaining))
                    remaining -= len(block)
                    if not block:
                        raise self._changed("became shorter")
                    if not remaining:
                        self._require_unchanged(file.fileno())
                    yield memoryview(block)
        except FileNotFoundError:
            raise self._changed("is gone") from None
        except OSError as error:
            raise self._changed(f"can no longer be read ({reason(error)})") from error

    def _require_unchanged(self, descriptor: int | None = None) -> None:
        """Compare the path, and the file that was opened by it, with the stamp."""
        states = [Stamp.of(self.path.stat())]
        if descriptor is not None:
            states.append(Stamp.of(os.fstat(descriptor)))
        if any(state != self.stamp for state in states):
            raise self._changed("was changed or replaced")

    def _changed(self, what: str) -> SourceChanged:
        return SourceChanged(
            f"{printable(self.path.name)} {what} after it had been checked",
            hint="Let the build finish before publishing, then run the same command again.",
        )


class LazyDigest:
    """The hash of a source, computed when it is first asked for and only once, whichever thread asks.

    Args:
        source: what to hash.
        algorithm: a name that :mod:`hashlib` knows.
    """

    def __init__(self, source: Source, algorithm: str) -> None:
        self._source = source
        self._algorithm = algorithm
        self._lock = Lock()
        self._value: str | None = None

    def hexdigest(self) -> str:
        """The hash, in lower-case hexadecimal.

        Raises:
            SourceChanged: the file is no longer the one that was checked.
        """
        with self._lock:
            if self._value is None:
                digest = hashlib.new(self._algorithm, usedforsecurity=False)
                for block in self._source.blocks():
                    digest.update(block)
                self._value = digest.hexdigest()
            return self._value


def reason(error: Exception) -> str:
    """Why the system refused, without the path, which the message around it names already."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
