"""How long a person waits before anything happens: start-up, beside Python's own and an import of py-rattler-build."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Final

from harness import KEELBACK, add_runs, duration, interleaved, run_child, setting, table, times, verdict

FLOOR: Final = "python -c pass"
VERSION: Final = "keelback --version"
HELP: Final = "keelback upload quetz --help"
PEER: Final = "python -c 'import rattler_build'"
COMMANDS: Final = {
    FLOOR: [sys.executable, "-c", "pass"],
    VERSION: [*KEELBACK, "--version"],
    HELP: [*KEELBACK, "upload", "quetz", "--help"],
    PEER: [sys.executable, "-c", "import rattler_build"],
}
VERSION_TARGET: Final = 3
HELP_TARGET: Final = 0.150


def measure(runs: int) -> str:
    """Time every command *runs* times, after one run that is not counted, and return the table."""
    tasks = {name: partial(run_child, command) for name, command in COMMANDS.items()}
    interleaved(1, tasks)
    samples = interleaved(runs, tasks)
    floor = samples[FLOOR].seconds
    targets = {
        VERSION: verdict(met=samples[VERSION].seconds <= VERSION_TARGET * floor, target=f"≤ {VERSION_TARGET}x"),
        HELP: verdict(met=samples[HELP].seconds < HELP_TARGET, target=f"< {duration(HELP_TARGET)}"),
    }
    rows = (
        [
            f"`{name}`",
            duration(each.seconds),
            duration(each.slowest),
            times(each.seconds / floor),
            targets.get(name, ""),
        ]
        for name, each in samples.items()
    )
    return table(("command", "median", "slowest", "of Python's own", "target"), rows)


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_runs(parser, default=30)
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.runs))


if __name__ == "__main__":
    main()
