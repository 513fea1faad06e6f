"""Publishes to copies of a channel, and kills the process at its first change of the file system, its second, ...

::

    python local_kills.py BEFORE FOLDER force|plain PACKAGES...

copies the channel BEFORE (which need not exist) to FOLDER/1, FOLDER/2 and so on, publishes to each in a process of its
own, and kills the n-th one just before its n-th change. It ends when one gets through, and prints how many died.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import keelback.channels.local  # noqa: F401 - before the first fork, so that no child has to
from keelback.publishing import publish

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime", "os.truncate"}
FAILED = 3


def dying_at(number: int) -> None:
    """Have this process killed before its *number*-th change of the file system, or sync of one."""
    lock = threading.Lock()
    done = 0

    def count() -> None:
        nonlocal done
        with lock:
            done += 1
            if done == number:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, args: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event in CHANGES or writes:
            count()

    os.fsync = lambda _: count()  # a kill leaves the system running, which needs no sync
    sys.addaudithook(watch)


def published(channel: Path, packages: list[str], number: int, *, force: bool) -> bool:
    """Publish in a process of its own; whether that got through."""
    child = os.fork()
    if child == 0:
        dying_at(number)
        report = publish(packages, str(channel), jobs=1, force=force)
        os._exit(0 if report.exit_status == 0 else FAILED)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"the run that was to die at change {number} ended with {os.WEXITSTATUS(status)}")
    return os.WIFEXITED(status)


def main(before: str, folder: str, mode: str, *packages: str) -> None:
    """See the top of this file."""
    number = 0
    through = False
    while not through:
        number += 1
        channel = Path(folder, str(number))
        if Path(before).exists():
            shutil.copytree(before, channel)
        through = published(channel, list(packages), number, force=mode == "force")
    print(number - 1)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(*sys.argv[1:])
