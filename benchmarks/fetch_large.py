"""One large package: what a download costs for its bytes, beside py-rattler's and the least that it could cost.

The least is ``curl``, which writes the file, and one pass of SHA-256 over it, measured in the same rounds. Whoever
hashes beside reading and writing can be faster than their sum, but not than the longer of them.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from fetchers import (
    RATTLER_DOWNLOAD,
    RATTLER_EXTRACT,
    RATTLER_VERIFIED,
    SEQUENTIAL,
    fetching,
    from_index,
    from_lock,
    python,
    served,
    warm_up,
)
from harness import (
    add_runs,
    at_least_one,
    duration,
    interleaved,
    made_large_package,
    megabytes,
    run_child,
    setting,
    table,
    times,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fetchers import Served
    from harness import Run, Samples

PEER: Final = "py-rattler, `download_to_path`"
PEER_VERIFIED: Final = "py-rattler, `download_to_path`, then SHA-256"
PEER_UNPACKS: Final = "py-rattler, `download_and_extract`"
ONE_BY_ONE: Final = "as conda"
LOCKED: Final = "keelback, `--locked`"
CHANNEL: Final = "keelback"
CURL: Final = "curl"
HASH: Final = "sha256"
VERIFIES: Final = {
    PEER: "nothing",
    PEER_VERIFIED: "SHA-256",
    PEER_UNPACKS: "SHA-256",
    ONE_BY_ONE: "SHA-256",
    CURL: "nothing",
    HASH: "",
    LOCKED: "SHA-256",
    CHANNEL: "SHA-256, size",
}
SLOWER: Final = 1.1
MEMORY: Final = 100
HEADINGS: Final = (
    "program", "verifies", "median", "slowest", "of py-rattler's with SHA-256", "target", "of curl + sha256",
    "memory", "target",
)  # fmt: skip


def measure(size: int, runs: int) -> str:
    """Time all programs at one package of *size* MiB, *runs* times each, and return the table."""
    with made_large_package(size << 20) as package, served([package]) as channel:
        tasks = {
            CURL: partial(fetching, partial(_curl, channel), channel),
            HASH: partial(_hash_pass, package),
            PEER: partial(fetching, python(RATTLER_DOWNLOAD), channel),
            PEER_VERIFIED: partial(fetching, python(RATTLER_VERIFIED), channel),
            PEER_UNPACKS: partial(fetching, python(RATTLER_EXTRACT), channel, unpacks=True),
            ONE_BY_ONE: partial(fetching, python(SEQUENTIAL), channel),
            LOCKED: partial(fetching, from_lock(), channel),
            CHANNEL: partial(fetching, from_index(channel), channel),
        }
        warm_up(tasks)
        samples = interleaved(runs, tasks)
    return table(HEADINGS, [_row(name, samples) for name in VERIFIES])


def _curl(channel: Served, folder: Path) -> Sequence[str]:
    ((name, (url, _)),) = channel.files.items()
    return ["curl", "--silent", "--show-error", "--fail", "--output", str(folder / name), url]


def _hash_pass(file: Path) -> Run:
    code = "import hashlib, sys\nwith open(sys.argv[1], 'rb') as file: hashlib.file_digest(file, 'sha256')"
    return run_child([sys.executable, "-c", code, str(file)])


def _row(name: str, samples: dict[str, Samples]) -> list[str]:
    each = samples[name]
    ratio = each.seconds / samples[PEER_VERIFIED].seconds
    least = samples[CURL].seconds + samples[HASH].seconds
    ours = name in (LOCKED, CHANNEL)
    return [
        name,
        VERIFIES[name],
        duration(each.seconds),
        duration(each.slowest),
        times(ratio),
        verdict(met=ratio <= SLOWER, target=f"≤ {SLOWER}x") if ours else "",
        times(each.seconds / least),
        megabytes(each.peak),
        verdict(met=each.peak <= MEMORY * 1_000_000, target=f"≤ {MEMORY} MB") if ours else "",
    ]


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_runs(parser, default=5)
    parser.add_argument(
        "--size", type=at_least_one, default=1024, metavar="MIB", help="of the package (default: %(default)s)"
    )
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.size, options.runs))


if __name__ == "__main__":
    main()
