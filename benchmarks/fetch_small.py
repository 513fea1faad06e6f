"""Many small packages from a server that takes its time: what a download costs beside its bytes."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Final

from fetchers import (
    RATTLER_CHANNEL,
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
    made_packages,
    megabytes,
    setting,
    table,
    times,
    verdict,
)

if TYPE_CHECKING:
    from harness import Samples

PEER: Final = "py-rattler, `download_to_path`"
PEER_VERIFIED: Final = "py-rattler, `download_to_path`, then SHA-256"
PEER_UNPACKS: Final = "py-rattler, `download_and_extract`"
PEER_CHANNEL: Final = "py-rattler, `Gateway`, `download_to_path`, then SHA-256"
ONE_BY_ONE: Final = "one after the other, as conda"
LOCKED: Final = "keelback, `--locked`"
CHANNEL: Final = "keelback"
COMPARED: Final = {LOCKED: PEER_VERIFIED, CHANNEL: PEER_CHANNEL}
"""keelback, and who does the same."""
SLOWER: Final = 1.1
MEMORY: Final = 100
HEADINGS: Final = (
    "program",
    "told",
    "verifies",
    "median",
    "slowest",
    "of its peer's time",
    "target",
    "memory",
    "target",
)
TOLD: Final = {
    PEER: ("URLs", "nothing"),
    PEER_VERIFIED: ("URLs", "SHA-256"),
    PEER_UNPACKS: ("URLs", "SHA-256"),
    LOCKED: ("URLs", "SHA-256"),
    ONE_BY_ONE: ("URLs", "SHA-256"),
    PEER_CHANNEL: ("channel", "SHA-256"),
    CHANNEL: ("channel", "SHA-256, size"),
}
"""What each program is told, and what it verifies."""


def measure(count: int, runs: int, latency: float) -> str:
    """Time all programs at *count* packages, *runs* times each, and return the table."""
    with made_packages(names=count) as packages, served(packages, latency) as channel:
        tasks = {
            PEER: partial(fetching, python(RATTLER_DOWNLOAD), channel),
            PEER_VERIFIED: partial(fetching, python(RATTLER_VERIFIED), channel),
            PEER_UNPACKS: partial(fetching, python(RATTLER_EXTRACT), channel, unpacks=True),
            LOCKED: partial(fetching, from_lock(), channel),
            PEER_CHANNEL: partial(fetching, python(RATTLER_CHANNEL), channel),
            CHANNEL: partial(fetching, from_index(channel), channel),
        }
        warm_up(tasks)
        samples = interleaved(runs, tasks)
        samples |= interleaved(1, {ONE_BY_ONE: partial(fetching, python(SEQUENTIAL), channel)})  # latency, and no noise
    return table(HEADINGS, [_row(name, samples) for name in TOLD])


def _row(name: str, samples: dict[str, Samples]) -> list[str]:
    each = samples[name]
    row = [name, *TOLD[name], duration(each.seconds), duration(each.slowest)]
    if name not in COMPARED:
        return [*row, "", "", megabytes(each.peak), ""]
    ratio = each.seconds / samples[COMPARED[name]].seconds
    return [
        *row,
        times(ratio),
        verdict(met=ratio <= SLOWER, target=f"≤ {SLOWER}x"),
        megabytes(each.peak),
        verdict(met=each.peak <= MEMORY * 1_000_000, target=f"≤ {MEMORY} MB"),
    ]


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_runs(parser, default=5)
    parser.add_argument("--count", type=at_least_one, default=500, help="packages a run (default: %(default)s)")
    parser.add_argument(
        "--latency", type=float, default=50, metavar="MS", help="before each answer (default: %(default)s)"
    )
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.count, options.runs, options.latency))


if __name__ == "__main__":
    main()
