"""What all benchmarks share: child processes timed from start to end, the sink beside them, tables of medians."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from sink import Counts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

HERE: Final = Path(__file__).parent
KEELBACK: Final = (str(Path(sys.executable).with_name("keelback")),)
"""The console script, as a user starts it."""
MEGABYTE: Final = 1_000_000
_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class BenchmarkError(Exception):
    """A measured program did not do what it was to be measured at."""


@dataclass(frozen=True, slots=True)
class Run:
    """One child process: how long it took from its start to its end, and the most memory it held."""

    seconds: float
    peak: int
    """Bytes. Never less than what the benchmark itself held when it started the child: the kernel counts that in."""
    processor: float = 0.0
    """Seconds of processor time, which do not depend on what else runs, a server on the same machine among it."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The runs of one program at one task."""

    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        """The median time."""
        return median(run.seconds for run in self.runs)

    @property
    def fastest(self) -> float:
        """The least time."""
        return min(run.seconds for run in self.runs)

    @property
    def slowest(self) -> float:
        """The most time."""
        return max(run.seconds for run in self.runs)

    @property
    def processor(self) -> float:
        """The median processor time."""
        return median(run.processor for run in self.runs)

    @property
    def peak(self) -> int:
        """The most memory of any run, in bytes."""
        return max(run.peak for run in self.runs)


def run_child(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run *command* to its end.

    Args:
        command: the program and its arguments.
        environment: what it sees beside ``PATH`` and an empty home: neither the credentials, the proxies nor the CI
            of whoever runs the benchmark.

    Raises:
        BenchmarkError: the program failed; with the end of what it printed.
    """
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as output:
        seen = {"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8", **(environment or {})}
        started = time.perf_counter()
        child = subprocess.Popen(command, env=seen, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            output.seek(0)
            said = output.read().decode(errors="replace")[-2000:]
            raise BenchmarkError(f"{command[0]} ended with {child.returncode}:\n{said}")
    return Run(seconds, usage.ru_maxrss * _RSS_UNIT, usage.ru_utime + usage.ru_stime)


def interleaved(rounds: int, tasks: Mapping[str, Callable[[], Run]]) -> dict[str, Samples]:
    """Run all *tasks* one after the other, *rounds* times over, so that a noisy moment meets each of them alike."""
    runs: dict[str, list[Run]] = {name: [] for name in tasks}
    for number in range(1, rounds + 1):
        for name, task in tasks.items():
            run = task()
            progress(f"{name}, round {number}: {duration(run.seconds)}")
            runs[name].append(run)
    return {name: Samples(tuple(each)) for name, each in runs.items()}


class Sink:
    """The benchmark's hold on a running ``sink.py``."""

    def __init__(self, port: int) -> None:
        self.port = port

    def take(self) -> Counts:
        """What has arrived since the last call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request("GET", "/-/take")
            return Counts(**json.load(connection.getresponse()))
        finally:
            connection.close()


@contextmanager
def running_sink(latency: float = 0.0) -> Iterator[Sink]:
    """A sink in its own process, with *latency* milliseconds before each answer."""
    command = [sys.executable, str(HERE / "sink.py"), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Sink(int(process.stdout.readline()))
        finally:
            process.terminate()


@contextmanager
def made_packages(*, names: int = 1, builds: int = 1) -> Iterator[list[Path]]:
    """*names* x *builds* small packages: version 1.0 of every name in so many builds. They go with the context."""
    with _packages("--names", str(names), "--builds", str(builds)) as files:
        yield files


@contextmanager
def made_large_package(size: int) -> Iterator[Path]:
    """One package with *size* bytes that do not compress. It goes with the context."""
    with _packages("--payload", str(size)) as (file,):
        yield file


@contextmanager
def _packages(*options: str) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory(prefix="keelback-benchmark-") as folder:
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "tests")}
        subprocess.run([sys.executable, str(HERE / "packages.py"), folder, *options], env=environment, check=True)
        yield sorted(Path(folder).iterdir())


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table, the first column to the left and all others to the right."""
    rule = ["---", *["---:" for _ in headings[1:]]]
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, rule, *rows])


def duration(seconds: float) -> str:
    """*seconds* for a reader."""
    if seconds >= 0.9995:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.3g} ms"


def megabytes(size: int) -> str:
    """*size* in bytes for a reader."""
    return f"{size / MEGABYTE:.0f} MB"


def times(ratio: float) -> str:
    """A ratio for a reader."""
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def verdict(*, met: bool, target: str) -> str:
    """*target*, and whether it was met."""
    return f"{target}: {'met' if met else '**missed**'}"


def progress(line: str) -> None:
    """Tell whoever waits what has just been measured."""
    print(line, file=sys.stderr, flush=True)


def setting() -> str:
    """On what, and with which programs, the numbers came about."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("keelback", "py-rattler-build"))
    load = os.getloadavg()[0]
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
    return (
        f"{versions}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load average {load:.1f} at the start; memory below {megabytes(own)} cannot be seen."
    )


def at_least_one(value: str) -> int:
    """A whole number from 1 on, for argparse."""
    number = int(value)
    if number < 1:
        raise ValueError
    return number


def add_runs(parser: argparse.ArgumentParser, default: int) -> None:
    """Give *parser* the option that all benchmarks have."""
    parser.add_argument(
        "--runs", type=at_least_one, default=default, help="how often each program is run (default: %(default)s)"
    )
