"""Locks that other threads and other processes respect."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.credentials.paths import lock_folder
from keelback.errors import CredentialStoreError, Interrupted
from keelback.stopping import stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCKED: Final = "locked"
"""The code of the error that says that somebody else has the lock."""

_DEADLINE: Final = 60.0
"""Seconds: more than a renewal takes, which is the longest that anybody holds a lock."""
_TICK: Final = 0.2
"""Seconds after which a wait for a lock looks whether the user has stopped it."""
_GRACE: Final = 0.5
"""Seconds that are still waited then: what is to be written, such as new tokens, would be lost."""

_threads: dict[Path, threading.Lock] = {}
_guard: Final = threading.Lock()


@contextlib.contextmanager
def locked(of: str, what: str) -> Iterator[None]:
    """Hold the lock *of* something, against all other threads and all other processes of this user.

    The lock is a file in keelback's own folder, and not beside what is locked, where it would be in the way.

    Args:
        of: what is locked, by the one name that all use for it: the whole path of a file.
        what: the same, for messages.

    Raises:
        CredentialStoreError: code ``locked``: somebody else has held it for a minute; code ``store``: there is no place
            for the lock file.
        Interrupted: the user has stopped the run.
    """
    import filelock  # noqa: PLC0415 - most runs write nothing

    path = _lock_file(of, what)
    with _guard:
        thread_lock = _threads.setdefault(path, threading.Lock())
    file_lock = filelock.FileLock(path, mode=0o600, thread_local=False)

    def lock_file(seconds: float) -> bool:
        try:
            file_lock.acquire(timeout=seconds)
        except filelock.Timeout:
            return False
        except OSError as error:
            raise _no_lock_file(what, path, error) from error
        return True

    # a file lock alone would wait by polling for what a thread of this process holds
    _acquire(lambda seconds: thread_lock.acquire(timeout=seconds), what)
    try:
        _acquire(lock_file, what)
        try:
            yield
        finally:
            file_lock.release()
    finally:
        thread_lock.release()


def _acquire(attempt: Callable[[float], bool], what: str) -> None:
    """Have *attempt*, which waits so many seconds at most, get a lock."""
    deadline = time.monotonic() + _DEADLINE
    ending = False
    while not attempt(_TICK):
        if stopped() and not ending:
            ending = True
            deadline = min(deadline, time.monotonic() + _GRACE)
        if time.monotonic() >= deadline:
            if ending:
                raise Interrupted(f"stopped while it waited for a lock: {what}")
            raise CredentialStoreError(
                f"{what}: another program has kept it locked for {_DEADLINE:.0f} seconds.",
                hint="See which other keelback is running, and try again when it has ended.",
                code=LOCKED,
            )


def _lock_file(of: str, what: str) -> Path:
    name = hashlib.sha256(os.path.normcase(of).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    folder, spare = lock_folder(), _spare_folder()
    try:
        _make_usual_folder(folder)
    except OSError as error:
        try:
            _make_spare_folder(spare)
        except OSError:
            raise _no_lock_file(what, folder / f"{name}.lock", error) from error
        folder = spare
    return folder / f"{name}.lock"


def _make_usual_folder(folder: Path) -> None:
    if not folder.is_absolute():  # a user without a home
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    make_private_folder(folder)
    if not os.access(folder, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _spare_folder() -> Path:
    """Where locks are for a user whose home is read-only, or who has none."""
    user = os.getuid() if os.name == "posix" else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"keelback-locks-{user}"


def _make_spare_folder(folder: Path) -> None:
    """Make *folder*, in a place where others may have made something of that name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if os.name == "posix" and (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _no_lock_file(what: str, path: Path, error: OSError) -> CredentialStoreError:
    return CredentialStoreError(
        f"{what}: the lock file {path} cannot be made: {error.strerror or error}.",
        hint=f"Have a folder {path.parent} that you may write to.",
    )


def make_private_folder(folder: Path) -> None:
    """Make *folder* if it is not there, for its owner alone, and what is above it as usual.

    Raises:
        OSError: the system says no.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
