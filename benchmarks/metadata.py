"""What a large package says of itself: how long it takes to find out, in a process that is already running."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from statistics import median
from typing import TYPE_CHECKING, Final

from harness import add_runs, at_least_one, duration, made_large_package, setting, table, times, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TARGET: Final = 0.020
OURS: Final = "keelback.archive.inspect"
READERS: Final = {
    OURS: ("from keelback.archive import inspect", "inspect(path).version"),
    "rattler.package.IndexJson": (
        "from rattler.package import IndexJson",
        "IndexJson.from_package_archive(path).version",
    ),
    "rattler_build.Package": ("from rattler_build import Package", "Package.from_file(path).version"),
}
"""How each library is imported, and how it reads the version of the package at ``path``."""

_CHILD: Final = """
import os, sys, time
from pathlib import Path
{setup}
path = Path(sys.argv[1])
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    {read}
    print(time.perf_counter() - started)
sys.stdout.flush()
os._exit(0)  # py-rattler can crash while an interpreter ends
"""


def measure(size: int, runs: int) -> str:
    """Time every reader at a package of *size* MiB, *runs* times in one process each, and return the table."""
    with made_large_package(size << 20) as path:
        seconds = {reader: _read(path, runs, *lines) for reader, lines in READERS.items()}
    return table(("reader", "median", "first", "slowest", "keelback is faster", "target"), _rows(seconds))


def _read(path: Path, runs: int, setup: str, read: str) -> list[float]:
    code = _CHILD.format(setup=setup, read=read)
    with tempfile.TemporaryDirectory() as folder:  # a reader may unpack where it stands
        command = [sys.executable, "-c", code, str(path), str(runs)]
        done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return [float(line) for line in done.stdout.split()]


def _rows(seconds: Mapping[str, list[float]]) -> list[list[str]]:
    ours = median(seconds[OURS])
    rows = []
    for reader, each in seconds.items():
        ratio, target = times(median(each) / ours), ""
        if reader == OURS:
            ratio, target = "", verdict(met=ours < TARGET, target=f"< {duration(TARGET)}")
        rows.append([reader, duration(median(each)), duration(each[0]), duration(max(each)), ratio, target])
    return rows


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_runs(parser, default=20)
    parser.add_argument(
        "--size", type=at_least_one, default=1024, metavar="MIB", help="of the package (default: %(default)s)"
    )
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.size, options.runs))


if __name__ == "__main__":
    main()
