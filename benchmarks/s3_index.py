"""The index of a large channel in a bucket: ten packages published to it, ten that others uploaded, and nothing new.

Beside keelback: py-rattler's ``index_s3``, after boto3 where there is something to upload. Each program has a channel
of its own, which it has indexed before, and which is brought back to that state before each run. Both write
``repodata.json``, the same compressed, and shards. Records are like those of conda-forge; the archives that they are
of are as small as an object can be, since neither program reads those that it knows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from buckets import HEADINGS, INDEX, OURS, PEER, UPLOAD, WIDE, WIDE_PEER, in_turn, rows, running_server, together
from harness import HERE, add_runs, at_least_one, made_packages, progress, setting, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from buckets import Server, Work

NEW: Final = 10
PER_NAME: Final = 20
CHANNELS: Final = {OURS: "bench/keelback", INDEX: "bench/rattler"}
"""By whose program they are indexed."""

_MAKE: Final = """
import pathlib, sys, indexes
indexes.write_repodata(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
"""


class Channels:
    """The two channels, and how they were.

    Args:
        server: where they are, and from how far away.
        folder: what brings them back.
        count: of packages in each.
        files: that are new.
    """

    def __init__(self, server: Server, folder: Path, count: int, files: Sequence[Path]) -> None:
        self._server = server
        self._folder = folder
        self._count = count
        self._files = files

    def make(self) -> None:
        """Fill both, have each indexed by its program, and keep that."""
        self._server.ask("make", CHANNELS[OURS])
        for name, work in ((OURS, self._server.reindex), (INDEX, self._server.index_s3)):
            progress(f"filling the channel of {name}")
            self._server.ask("fill", CHANNELS[name], str(self._folder / "repodata.json"))
            work(CHANNELS[name])
            self._server.require(CHANNELS[name], self._count)
            self._server.ask("save", CHANNELS[name], str(self._folder / CHANNELS[name].rpartition("/")[2]))

    def publishing(self) -> dict[str, Callable[[], Work]]:
        """Ten packages are published."""
        files = self._files
        return {
            OURS: partial(self._work, OURS, lambda channel: self._server.publish(channel, files), new=len(files)),
            UPLOAD: partial(self._work, INDEX, lambda channel: self._server.upload(channel, files)),
            INDEX: partial(self._work, INDEX, self._server.index_s3, restored=False, new=len(files)),
            WIDE: partial(self._work, INDEX, self._server.index_s3_wide, before=files, new=len(files)),
        }

    def indexing(self, files: Sequence[Path]) -> dict[str, Callable[[], Work]]:
        """Somebody has uploaded *files*."""
        work = partial(self._work, before=files, new=len(files))
        return {
            OURS: partial(work, OURS, self._server.reindex),
            INDEX: partial(work, INDEX, self._server.index_s3),
            WIDE: partial(work, INDEX, self._server.index_s3_wide),
        }

    def _work(
        self,
        name: str,
        work: Callable[[str], Work],
        *,
        restored: bool = True,
        before: Sequence[Path] = (),
        new: int | None = None,
    ) -> Work:
        """Have *work* done in the channel of *name*, and see that its index has so many *new* packages, if any."""
        channel = CHANNELS[name]
        if restored:
            self._server.ask("restore", channel, str(self._folder / channel.rpartition("/")[2]))
        if before:
            self._server.ask("upload", channel, *map(str, before))
        done = work(channel)
        if new is not None:
            self._server.require(channel, self._count + new)
        return done


def measure(count: int, runs: int, latency: float) -> str:
    """Time all programs at a channel of *count* packages, *runs* times each, and return the tables."""
    with (
        tempfile.TemporaryDirectory(prefix="keelback-benchmark-") as folder,
        made_packages(names=NEW) as files,
        running_server([0.0, latency]) as (near, far),
    ):
        count = count // PER_NAME * PER_NAME
        subprocess.run([sys.executable, "-c", _MAKE, folder, str(count // PER_NAME)], cwd=HERE, check=True)
        Channels(near, Path(folder), count, files).make()
        channels = Channels(far, Path(folder), count, files)
        published = together(in_turn(runs, channels.publishing()))
        found = in_turn(runs, channels.indexing(files))
        same = in_turn(runs, channels.indexing([]))
    tables = {
        f"{NEW} packages are published": table(HEADINGS, rows(published, OURS, PEER, WIDE_PEER)),
        f"{NEW} packages that others uploaded": table(HEADINGS, rows(found, OURS, INDEX, WIDE)),
        "nothing is new": table(HEADINGS, rows(same, OURS, INDEX, WIDE)),
    }
    return "\n\n".join(f"{title}:\n\n{each}" for title, each in tables.items())


def main() -> None:
    """Measure as the command line says, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_runs(parser, default=3)
    parser.add_argument("--count", type=at_least_one, default=10_000, help="packages (default: %(default)s)")
    parser.add_argument(
        "--latency", type=float, default=50, metavar="MS", help="before each answer (default: %(default)s)"
    )
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.count, options.runs, options.latency))


if __name__ == "__main__":
    main()
