"""One spec in a channel of half a million records: the time and the memory until it is known what to fetch.

From a server that has shards, one that has ``repodata.json.zst``, and one that has ``repodata.json`` only; with nothing
kept of an earlier run, and with all of it, where the server says that nothing has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fetchers import running_channel
from harness import (
    HERE,
    KEELBACK,
    Run,
    add_runs,
    at_least_one,
    duration,
    interleaved,
    megabytes,
    run_child,
    setting,
    table,
    times,
)
from indexes import PER_NAME, SUBDIR, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FORMS: Final = ("shards", "zst", "plain")
COLD: Final = "nothing kept"
WARM: Final = "all kept"
KEELBACK_FETCH: Final = "keelback"
PEER: Final = "py-rattler"
PEER_CODE: Final = f"""
import asyncio, os, sys
from rattler import Gateway, MatchSpec
async def main(channel, spec, cache):
    gateway = Gateway(cache_dir=cache)
    found = await gateway.query([channel], ['{SUBDIR}', 'noarch'], [MatchSpec(spec)], recursive=False)
    spec = MatchSpec(spec)
    best = max((each for records in found for each in records if spec.matches(each)), key=lambda each: each.version)
    assert best.url
asyncio.run(main(*sys.argv[1:]))
os._exit(0)
"""
"""``Gateway.query`` in a process that does nothing else; it reads the best form that there is, as keelback does."""

HEADINGS: Final = (
    "server has", "of an earlier run", "py-rattler", "keelback", "slowest keelback", "of py-rattler's time",
    "py-rattler memory", "keelback memory", "py-rattler own", "keelback own",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Search:
    """One program that searches one channel, with what is in the folder *cache* from earlier runs."""

    program: str
    channel: str
    spec: str
    cache: Path

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """The command, and its variables."""
        if self.program == PEER:
            return [sys.executable, "-c", PEER_CODE, self.channel, self.spec, str(self.cache)], {}
        command = [*KEELBACK, "fetch", self.channel, self.spec, "--subdir", SUBDIR, "--dry-run", "--quiet"]
        return command, {"KEELBACK_CACHE_DIR": str(self.cache)}

    def warm(self) -> Run:
        """Search with what is kept."""
        return run_child(*self.command())

    def cold(self) -> Run:
        """Search with nothing kept."""
        with tempfile.TemporaryDirectory() as empty:
            return Search(self.program, self.channel, self.spec, Path(empty)).warm()

    def run(self, kept: str) -> Run:
        """One of the two."""
        return self.cold() if kept == COLD else self.warm()


def measure(records: int, runs: int) -> str:
    """Time both programs at a channel of *records* records, *runs* times each, and return the table."""
    with tempfile.TemporaryDirectory(prefix="keelback-benchmark-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        subprocess.run([sys.executable, str(HERE / "indexes.py"), str(folder), "--records", str(records)], check=True)
        size = (folder / "plain" / SUBDIR / "repodata.json").stat().st_size
        url = stack.enter_context(running_channel(folder))
        spec = f"{name_of(records // PER_NAME // 2)} >=2"
        tasks = {}
        for form, program in product(FORMS, (PEER, KEELBACK_FETCH)):
            search = Search(program, f"{url}/{form}", spec, Path(stack.enter_context(tempfile.TemporaryDirectory())))
            search.warm()  # which fills what is kept
            tasks |= {(form, program, kept): partial(search.run, kept) for kept in (COLD, WARM)}
        samples = interleaved(runs, {", ".join(key): task for key, task in tasks.items()})
        own = {", ".join(key): _own_memory(task) for key, task in tasks.items()}
    rows = []
    for form, kept in product(FORMS, (COLD, WARM)):
        names = [f"{form}, {program}, {kept}" for program in (PEER, KEELBACK_FETCH)]
        peer, ours = (samples[name] for name in names)
        rows.append([
            form, kept, duration(peer.seconds), duration(ours.seconds), duration(ours.slowest),
            times(ours.seconds / peer.seconds), megabytes(peer.peak), megabytes(ours.peak),
            *(megabytes(own[name]) for name in names),
        ])  # fmt: skip
    return f"`repodata.json` of {megabytes(size)}.\n\n{table(HEADINGS, rows)}"


def _own_memory(task: Callable[[], Run]) -> int:
    """The most memory that a run of *task* had for itself, without what the kernel can drop: the pages of files.

    Looked at many times a second, in runs that are not timed; 0 where the system does not tell (Linux does).
    """
    most = 0
    done = threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.002):
            most = max(most, sum(map(_anonymous, _children())))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        task()
    finally:
        done.set()
        watcher.join()
    return most


def _children() -> Iterator[str]:
    with contextlib.suppress(OSError):
        for file in Path("/proc/self/task").glob("*/children"):
            yield from file.read_text().split()


def _anonymous(process: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_runs(parser, default=5)
    parser.add_argument("--records", type=at_least_one, default=500_000, help="in the index (default: %(default)s)")
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.records, options.runs))


if __name__ == "__main__":
    main()
