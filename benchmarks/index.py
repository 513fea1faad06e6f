"""The index of a channel with 10,000 packages in a folder: made at first, after ten more, and after nothing.

Beside py-rattler's own indexer, ``index_fs``, in the same rounds. Both write ``repodata.json``, the same compressed,
and shards; the bytes differ, because ``index_fs`` compresses at a higher level. Ratios are to its time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import (
    KEELBACK,
    BenchmarkError,
    Run,
    Samples,
    add_runs,
    at_least_one,
    duration,
    made_packages,
    megabytes,
    progress,
    run_child,
    setting,
    table,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OURS: Final = "keelback"
PEER: Final = "py-rattler"
PEER_CODE: Final = """
import asyncio, os, sys
from rattler.index import index_fs
asyncio.run(index_fs(sys.argv[1]))
os._exit(0)
"""
PROGRAMS: Final = {OURS: (*KEELBACK, "index", "--quiet"), PEER: (sys.executable, "-c", PEER_CODE)}
TASKS: Final = ("all are new", "ten are new", "nothing is new", "one is gone")
PER_NAME: Final = 10
HEADINGS: Final = ("", "py-rattler", "keelback", "slowest keelback", "of py-rattler's time", "peer memory", "memory")


def measure(count: int, runs: int) -> str:
    """Time both programs at a channel of *count* packages, *runs* times each, and return the table."""
    found: dict[tuple[str, str], list[Run]] = defaultdict(list)
    with made_packages(names=count // PER_NAME + 1, builds=PER_NAME) as packages:
        for number in range(1, runs + 1):
            for program, command in PROGRAMS.items():
                for task, run in zip(TASKS, _round(command, packages), strict=True):
                    progress(f"{program}, {task}, round {number}: {duration(run.seconds)}")
                    found[program, task].append(run)
    samples = {key: Samples(tuple(each)) for key, each in found.items()}
    rows = []
    for task in TASKS:
        peer, ours = samples[PEER, task], samples[OURS, task]
        rows.append([
            task, duration(peer.seconds), duration(ours.seconds), duration(ours.slowest),
            times(ours.seconds / peer.seconds), megabytes(peer.peak), megabytes(ours.peak),
        ])  # fmt: skip
    return table(HEADINGS, rows)


def _round(command: Sequence[str], packages: Sequence[Path]) -> Iterable[Run]:
    """Index a new channel of all *packages* but ten, then with those, then once more, then without the first."""
    with tempfile.TemporaryDirectory(prefix="keelback-benchmark-") as folder:
        noarch = Path(folder, "noarch")
        noarch.mkdir()
        there, later = packages[PER_NAME:], packages[:PER_NAME]
        for files, expected in ((there, len(there)), (later, len(packages)), ((), len(packages))):
            for file in files:
                shutil.copyfile(file, noarch / file.name)
            os.sync()
            yield run_child([*command, folder])
            _check(noarch, expected)
        (noarch / there[0].name).unlink()
        yield run_child([*command, folder])
        _check(noarch, len(packages) - 1)


def _check(folder: Path, expected: int) -> None:
    """See that the index lists what there is: a program that did not do it is an error, not a fast time."""
    listed = (folder / "repodata.json").read_bytes().count(b'"sha256"')
    if listed != expected:
        raise BenchmarkError(f"the index lists {listed} packages, and there are {expected}")


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_runs(parser, default=5)
    parser.add_argument("--count", type=at_least_one, default=10_000, help="packages (default: %(default)s)")
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.count, options.runs))


if __name__ == "__main__":
    main()
