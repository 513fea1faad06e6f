"""Many small packages to a server that takes its time: what an upload costs beside its bytes.

Twice: with all names distinct, where anaconda.org needs a package and a release for each file, and with ten builds of
every name, as a matrix build leaves them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from harness import (
    add_runs,
    at_least_one,
    duration,
    made_packages,
    megabytes,
    running_sink,
    setting,
    table,
    times,
    verdict,
)
from servers import SERVERS, add_servers, chosen, compare, warm_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness import Sink
    from servers import Server

TARGETS: Final = {"Quetz": 5, "Artifactory": 5, "prefix.dev": 5, "anaconda.org": 8}
BUILDS: Final = 10
HEADINGS: Final = (
    "server", "packages", "py-rattler-build", "keelback", "slowest keelback", "faster", "target",
    "py-rattler-build memory", "keelback memory",
)  # fmt: skip


def measure(count: int, runs: int, latency: float, servers: Sequence[Server] = SERVERS) -> str:
    """Time both programs at *count* packages, *runs* times each, and return the table."""
    rows = []
    with running_sink() as at_once, running_sink(latency) as slow:
        for names, builds in _shapes(count):
            with made_packages(names=names, builds=builds) as files:
                for server in servers:
                    warm_up(server, at_once, files[:1])
                    rows.append([server.name, f"{names} x {builds}", *_row(server, slow, files, runs)])
    return table(HEADINGS, rows)


def _shapes(count: int) -> Iterator[tuple[int, int]]:
    yield count, 1
    if count > BUILDS:
        yield count // BUILDS, BUILDS


def _row(server: Server, sink: Sink, files: Sequence[Path], runs: int) -> list[str]:
    peer, keelback = compare(server, sink, files, runs)
    ratio, target = peer.seconds / keelback.seconds, TARGETS[server.name]
    return [
        duration(peer.seconds),
        duration(keelback.seconds),
        duration(keelback.slowest),
        times(ratio),
        verdict(met=ratio >= target, target=f"≥ {target}x"),
        megabytes(peer.peak),
        megabytes(keelback.peak),
    ]


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_runs(parser, default=3)
    parser.add_argument("--count", type=at_least_one, default=200, help="packages a run (default: %(default)s)")
    parser.add_argument(
        "--latency", type=float, default=50, metavar="MS", help="before each answer (default: %(default)s)"
    )
    add_servers(parser)
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.count, options.runs, options.latency, chosen(options.server)))


if __name__ == "__main__":
    main()
