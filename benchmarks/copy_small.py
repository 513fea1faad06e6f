"""Many small packages from one server to another, both of which take their time: copied, or fetched and then published.

What is on the disk meanwhile is looked at every few milliseconds: the packages, not the index of the channel.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fetchers import RATTLER_CHANNEL, SUBDIR, served, warm_up
from harness import (
    KEELBACK,
    BenchmarkError,
    add_runs,
    at_least_one,
    duration,
    interleaved,
    made_packages,
    megabytes,
    run_child,
    running_sink,
    setting,
    table,
    times,
    verdict,
)
from servers import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fetchers import Served
    from harness import Run, Samples, Sink

COPY: Final = "keelback, `copy`"
TWO_STEPS: Final = "keelback, `fetch`, then `publish`"
PEER: Final = "py-rattler, then py-rattler-build"
TARGETS: Final = {TWO_STEPS: 1.0, PEER: 0.5}
"""The most of their time that ``copy`` may take."""
MEMORY: Final = 120
HEADINGS: Final = ("program", "median", "slowest", "`copy` takes", "target", "memory", "target", "packages on disk")
VARIABLE: Final = "QUETZ_API_KEY"

_PEER: Final = (
    RATTLER_CHANNEL.removesuffix("os._exit(0)\n")
    + f"""
import glob, rattler_build
rattler_build.upload_package_to_quetz(glob.glob('*.conda'), order['to'], 'chan', api_key=os.environ[{VARIABLE!r}])
os._exit(0)
"""
)
"""py-rattler's verified download of all that the index names, and py-rattler-build's upload of what came."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Where a program works.

    Attributes:
        folder: for packages; also the one for temporary files.
        channel: what is to be copied.
        to: the URL of the server that gets it.
    """

    folder: Path
    channel: Served
    to: str


def copying(setup: Setup) -> Sequence[str]:
    """``keelback copy``."""
    return [*KEELBACK, "copy", setup.channel.url, f"quetz+{setup.to}/chan", "--subdir", SUBDIR, "--quiet"]


def two_steps(setup: Setup) -> Sequence[str]:
    """``keelback fetch``, then ``keelback publish``."""
    fetch = [*KEELBACK, "fetch", setup.channel.url, "--subdir", SUBDIR, "--output", str(setup.folder), "--quiet"]
    publish = [*KEELBACK, "publish", "--to", f"quetz+{setup.to}/chan", "--quiet", str(setup.folder)]
    script = "import subprocess, sys\nfor step in ({!r}, {!r}):\n    subprocess.run(step, check=True)\n"
    return [sys.executable, "-c", script.format(fetch, publish)]


def peer(setup: Setup) -> Sequence[str]:
    """The same by the tools of rattler."""
    order = {"channel": setup.channel.url, "files": {}, "to": setup.to}
    (setup.folder / "order.json").write_text(json.dumps(order))
    return [sys.executable, "-c", _PEER, str(setup.folder)]


class Disk:
    """The most bytes that the packages in a folder had at any time."""

    def __init__(self) -> None:
        self.most = 0

    @contextmanager
    def watching(self, folder: Path) -> Iterator[None]:
        """Look at *folder* again and again."""
        done = threading.Event()

        def look() -> None:
            while not done.wait(0.005):
                self.most = max(self.most, _size(folder))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*.conda*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:  # it has just been removed
            continue
    return size


def measured(command: Callable[[Setup], Sequence[str]], disk: Disk, sink: Sink, channel: Served) -> Run:
    """Run *command*, and see to it that the sink got every package of *channel*.

    Raises:
        BenchmarkError: it did not.
    """
    sink.take()
    with tempfile.TemporaryDirectory(prefix="keelback-benchmark-") as name:
        setup = Setup(Path(name), channel, f"http://127.0.0.1:{sink.port}")
        program = command(setup)
        with disk.watching(setup.folder):
            run = run_child(program, {VARIABLE: KEY, "TMPDIR": name})
    delivered = sink.take().delivered
    if delivered != len(channel.files):
        raise BenchmarkError(f"{len(channel.files)} packages were to be copied, and {delivered} arrived")
    return run


def measure(count: int, runs: int, latency: float) -> str:
    """Time all programs at *count* packages, *runs* times each, and return the table."""
    programs = {COPY: copying, TWO_STEPS: two_steps, PEER: peer}
    disks = {name: Disk() for name in programs}
    with (
        made_packages(names=count) as packages,
        served(packages, latency) as channel,
        running_sink(latency) as sink,
    ):
        tasks = {name: partial(measured, program, disks[name], sink, channel) for name, program in programs.items()}
        warm_up(tasks)
        samples = interleaved(runs, tasks)
    return table(HEADINGS, [_row(name, samples, disks[name]) for name in programs])


def _row(name: str, samples: dict[str, Samples], disk: Disk) -> list[str]:
    each = samples[name]
    ratio = samples[COPY].seconds / each.seconds
    compared = ["", ""] if name == COPY else [times(ratio), _target(ratio, name)]
    memory = verdict(met=each.peak <= MEMORY * 1_000_000, target=f"≤ {MEMORY} MB") if name == COPY else ""
    return [
        name,
        duration(each.seconds),
        duration(each.slowest),
        *compared,
        megabytes(each.peak),
        memory,
        megabytes(disk.most) if disk.most else "none",
    ]


def _target(ratio: float, name: str) -> str:
    return verdict(met=ratio <= TARGETS[name], target=f"≤ {TARGETS[name]}x")


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_runs(parser, default=5)
    parser.add_argument("--count", type=at_least_one, default=200, help="packages a run (default: %(default)s)")
    parser.add_argument(
        "--latency", type=float, default=50, metavar="MS", help="before each answer (default: %(default)s)"
    )
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.count, options.runs, options.latency))


if __name__ == "__main__":
    main()
