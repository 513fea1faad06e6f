"""Files that are still coming: beside the target, under a name of their own, until all of it is there and right."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import secrets
import stat
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.durable import rename
from keelback.errors import ChannelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

_BLOCK: Final = 512 << 10
"""Bytes read and written at a time: with more than this, a block has left the processor's cache before it is hashed."""
_BUFFERS: Final = 3
_WORTH_KEEPING: Final = 1 << 20
"""Bytes of a file from where on its beginning is kept for another run; less is as quickly fetched anew."""
_WORTH_A_THREAD: Final = 4 << 20
"""Bytes from where on hashing is done beside reading and writing."""
_SHOWN: Final = 50
_LARGEST: Final = 16 << 30
"""Bytes of a file whose size nobody knows, after which no more is taken: a server may send without end."""
_MODE: Final = 0o644
"""Others may read it, as the file that it becomes; whoever can write to it could change what has been verified."""
_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
_CAREFULLY: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""For a name that another may have put there: no link is followed, and no pipe is waited for."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a file before it is there.

    Attributes:
        size: in bytes.
        sha256: in hexadecimal digits.
        md5: in hexadecimal digits; looked at where there is no ``sha256``.
    """

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    @property
    def digest(self) -> bool:
        """Whether a checksum is known, so that other bytes can be told from the right ones."""
        return bool(self.sha256 or self.md5)


class Digests:
    """The checksums of what is put in, those that *expected* asks for."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if expected.md5 and not expected.sha256 else None

    def update(self, block: memoryview) -> None:
        """Put in *block*."""
        self._size += len(block)
        self._sha256.update(block)
        if self._md5 is not None:
            self._md5.update(block)

    @property
    def sha256(self) -> str:
        """Of all that was put in."""
        return self._sha256.hexdigest()

    def mismatch(self) -> str | None:
        """In which way this is not what is expected; ``None`` if it is."""
        expected = self._expected
        if expected.size is not None and self._size > expected.size:
            return f"it has more than {expected.size} bytes"
        if expected.size is not None and self._size < expected.size:
            return f"it has {self._size} bytes, and not {expected.size}"
        if expected.sha256:
            return _difference("SHA-256", self.sha256, expected.sha256)
        if expected.md5 and self._md5 is not None:
            return _difference("MD5", self._md5.hexdigest(), expected.md5)
        return None


def unchanged(path: Path, expected: Expected) -> bool:
    """Whether the file *path* is there and is what is *expected*; without a checksum, nobody can tell."""
    try:
        found = path.stat()
        if not expected.digest or not stat.S_ISREG(found.st_mode) or expected.size not in (None, found.st_size):
            return False
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return False
    digests = Digests(expected)
    try:
        _read_all(descriptor, digests)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return digests.mismatch() is None


class Partial:
    """The file that becomes *target*.

    A large one has a name that is made of what is *expected*, so that what an earlier process has left there is the
    beginning of the same bytes; two processes never write to the same file. :meth:`close` it in the end.

    Attributes:
        size: how many bytes are in it.
        digests: their checksums.

    Raises:
        ChannelError: the disk says no; so do all methods.
    """

    def __init__(self, target: Path, expected: Expected) -> None:
        self.size = 0
        self.digests = Digests(expected)
        self._target = target
        self._expected = expected
        self._named = False
        with self._disk():
            kept = self._open_kept()
            self._path, self._file = kept or self._open_new()
        self._keep = kept is not None
        if self._keep:
            self._adopt()

    def _adopt(self) -> None:
        """Go on with what an earlier process left."""
        try:
            with self._disk():
                size = os.fstat(self._file).st_size
                if size > (size if self._expected.size is None else self._expected.size):
                    self.clear()
                elif size:
                    self.size = _read_all(self._file, self.digests)
        except BaseException:
            self._close()
            raise

    def take(self, readinto: Callable[[memoryview], int], *, size: int | None, told: Callable[[int], None]) -> None:
        """Append what *readinto* puts into buffers, to its end, or to one byte more than is expected.

        Args:
            readinto: says how many bytes it put in; what it raises is raised, and what came before is there.
            size: how many bytes are about to come, as far as known.
            told: told the number of bytes of each block.
        """
        if size is not None and size < _WORTH_A_THREAD:
            self._take(readinto, told, [bytearray(min(size + 1, _BLOCK))], self._hash_now)
            return
        with ThreadPoolExecutor(1, "hashing") as worker:
            buffers = [bytearray(_BLOCK) for _ in range(_BUFFERS)]
            self._take(readinto, told, buffers, lambda block: worker.submit(self.digests.update, block))

    def clear(self) -> None:
        """Throw away what is there."""
        with self._disk():
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
        self.size = 0
        self.digests = Digests(self._expected)

    def finish(self) -> None:
        """Give it its name."""
        with self._disk():
            if os.name == "nt":  # which does not rename an open file
                self._close()
            rename(self._path, self._target)
        self._named = True

    def close(self) -> None:
        """Let go of it; what has no name yet is kept only where another run can go on with it."""
        unwanted = not self._named and not (self._keep and self.size)
        with contextlib.suppress(OSError):
            if unwanted and os.name != "nt":  # while nobody else can have taken it up
                self._path.unlink()
        self._close()
        with contextlib.suppress(OSError):
            if unwanted and os.name == "nt":
                self._path.unlink()

    def _take(
        self,
        readinto: Callable[[memoryview], int],
        told: Callable[[int], None],
        buffers: list[bytearray],
        hashing: Callable[[memoryview], Future[None] | None],
    ) -> None:
        under_way: deque[Future[None] | None] = deque()
        for buffer in itertools.cycle(buffers):
            if len(under_way) == len(buffers) and (oldest := under_way.popleft()) is not None:
                oldest.result()
            view = memoryview(buffer)
            most = _LARGEST if self._expected.size is None else self._expected.size + 1
            view = view[: max(0, most - self.size)]
            count = readinto(view) if view else 0
            if not count:
                return
            with self._disk():
                _write(self._file, view[:count])
            self.size += count
            under_way.append(hashing(view[:count]))
            told(count)

    def _hash_now(self, block: memoryview) -> None:
        self.digests.update(block)

    def _open_kept(self) -> tuple[Path, int] | None:
        """The file with the name that every process gives it; ``None`` where there is no use for one, or no way."""
        expected = self._expected
        if not expected.digest or (expected.size is not None and expected.size < _WORTH_KEEPING):
            return None
        content = f"{self._target.name}\0{expected.size}\0{expected.sha256}\0{expected.md5}"
        digest = hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:16]
        path = self._beside(digest)
        try:
            file = os.open(path, _FLAGS | _CAREFULLY, _MODE)
        except OSError:
            return None
        if _is_own(os.fstat(file)) and _lock(file) and _is_named(file, path):
            return path, file
        os.close(file)
        return None

    def _open_new(self) -> tuple[Path, int]:
        path = self._beside(secrets.token_hex(8))
        return path, os.open(path, _FLAGS | os.O_EXCL, _MODE)

    def _beside(self, mark: str) -> Path:
        return self._target.with_name(f".{self._target.name[:_SHOWN]}.{mark}.part")

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise ChannelError(
                f"{self._target} cannot be written: {reason}",
                hint="Look at the folder's permissions and at the space on its disk.",
                code="disk",
            ) from error


def _difference(kind: str, found: str, expected: str) -> str | None:
    return None if found == expected.lower() else f"its {kind} is {found}, and not {expected[:64]!r}"


def _read_all(file: int, digests: Digests) -> int:
    """Put all of *file* into *digests*; how many bytes that were."""
    size, view = 0, memoryview(bytearray(_BLOCK))
    with os.fdopen(file, "rb", buffering=0, closefd=False) as reader:
        while count := reader.readinto(view):
            digests.update(view[:count])
            size += count
    return size


def _write(file: int, block: memoryview) -> None:
    while block:
        block = block[os.write(file, block) :]


def _is_own(found: os.stat_result) -> bool:
    """Whether nobody else can write to a file by another name, by its mode, or because it is theirs."""
    if not stat.S_ISREG(found.st_mode):
        return False
    is_mine = os.name == "nt" or found.st_uid == os.geteuid()
    return is_mine and found.st_nlink == 1 and (os.name == "nt" or not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _is_named(file: int, path: Path) -> bool:
    """Whether *file* still has the name *path*: whoever had the lock may have renamed it, or removed it."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        """Whether *file* is this process's own from now on, until it is closed."""
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        """Whether *file* is this process's own from now on, until it is closed."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another has it, or this file system has no locks
            return False
        return True
