"""One large package into a channel in a bucket, with its index: once at once, once from as far away as a bucket is.

Beside ``keelback publish``: boto3, which sends ten parts at once, and then py-rattler's ``index_s3``. In the same
rounds, and to the same server, ``curl`` puts the file at once, unsigned and unhashed.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from buckets import HEADINGS, OURS, PEER, WIDE_PEER, Publishing, in_turn, rows, running_server, together
from harness import add_runs, at_least_one, made_large_package, made_packages, setting, table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from buckets import Server, Work

CURL: Final = "`curl -T`"


class PublishingOne(Publishing):
    """A round of publishing one file, with what only puts it there."""

    def __init__(self, server: Server, file: Path) -> None:
        super().__init__(server, [file])
        self._file = file

    def tasks(self) -> dict[str, Callable[[], Work]]:
        """See :class:`Publishing`."""
        return {**super().tasks(), CURL: self._curl}

    def _curl(self) -> Work:
        """Put the file, and nothing else."""
        channel = self.new_channel()
        work = self._server.curl(channel, self._file)
        self._server.ask("remove", channel)
        return work


def measure(size: int, runs: int, latency: float) -> str:
    """Time all programs at one package of *size* MiB, *runs* times each, and return the tables."""
    latencies = [0.0, latency] if latency else [0.0]
    parts = []
    with (
        running_server(latencies) as servers,
        made_packages() as small,
        made_large_package(size << 20) as large,
    ):
        in_turn(1, PublishingOne(servers[0], small[0]).tasks())  # they fill the caches that a first run fills
        for milliseconds, server in zip(latencies, servers, strict=True):
            found = together(in_turn(runs, PublishingOne(server, large).tasks()))
            shown = table(HEADINGS, rows(found, OURS, PEER, WIDE_PEER, CURL))
            parts.append(f"{milliseconds:g} ms before each answer:\n\n{shown}")
    return "\n\n".join(parts)


def main() -> None:
    """Measure as the command line says, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_runs(parser, default=3)
    parser.add_argument(
        "--size", type=at_least_one, default=1024, metavar="MIB", help="of the package (default: %(default)s)"
    )
    parser.add_argument(
        "--latency", type=float, default=50, metavar="MS", help="before each answer; 0 for none (default: %(default)s)"
    )
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.size, options.runs, options.latency))


if __name__ == "__main__":
    main()
