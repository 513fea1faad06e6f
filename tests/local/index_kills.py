"""Indexes copies of a channel, and kills the process at its first change of the file system, its second, ...

::

    python index_kills.py BEFORE FOLDER OPTIONS

copies the channel BEFORE to FOLDER/1, FOLDER/2 and so on, calls ``keelback.index`` on each with OPTIONS, a JSON object,
in a process of its own, and kills the n-th one just before its n-th change. It ends when one gets through, and prints
how many died.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from local_kills import FAILED, dying_at

import keelback.channels.local  # noqa: F401 - before the first fork, so that no child has to
from keelback.indexing import index


def indexed(channel: Path, options: dict[str, Any], number: int) -> bool:
    """Index in a process of its own; whether that got through."""
    child = os.fork()
    if child == 0:
        dying_at(number)
        os._exit(0 if index(channel, **options).ok else FAILED)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"the run that was to die at change {number} ended with {os.WEXITSTATUS(status)}")
    return os.WIFEXITED(status)


def main(before: str, folder: str, options: str) -> None:
    """See the top of this file."""
    number = 0
    through = False
    while not through:
        number += 1
        channel = Path(folder, str(number))
        shutil.copytree(before, channel)
        through = indexed(channel, json.loads(options), number)
    print(number - 1)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(*sys.argv[1:])
