"""Locks that other threads and other processes respect."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

from keelback.errors import CredentialStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEADLINE: Final = 60.0
"""Seconds: more than a renewal takes, which is the longest that anybody holds a lock."""

_threads: dict[Path, threading.Lock] = {}
_guard: Final = threading.Lock()


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock that the file *path* is; its folder is made if it is not there, for its owner alone.

    Args:
        path: the lock file; it stays.
        what: what is locked, for messages.

    Raises:
        CredentialStoreError: somebody else has held it for a minute.
        OSError: the lock file cannot be made.
    """
    import filelock  # noqa: PLC0415 - most runs write nothing

    make_private_folder(path.parent)
    with _guard:
        thread_lock = _threads.setdefault(path, threading.Lock())
    with thread_lock:  # a file lock alone would wait by polling for what a thread of this process holds
        try:
            held = filelock.FileLock(path, timeout=_DEADLINE, mode=0o600).acquire()
        except filelock.Timeout:
            raise CredentialStoreError(
                f"{what}: another program has kept it locked for {_DEADLINE:.0f} seconds.",
                hint=f"See what else uses it; if nothing does, remove {path}.",
            ) from None
        with held:
            yield


def make_private_folder(folder: Path) -> None:
    """Make *folder* if it is not there, for its owner alone, and what is above it as usual.

    Raises:
        OSError: the system says no.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
