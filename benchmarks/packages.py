"""Makes the packages that the benchmarks publish, as a program of its own: ``harness.made_packages`` runs it.

In the benchmark's own process, the memory that it takes would show in every child measured afterwards. The packages
are those of the tests (``tests/making.py``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from making import make_big_conda, make_conda


def main() -> None:
    """Fill a folder with ``--names`` x ``--builds`` small packages, or with one that has ``--payload`` bytes."""
    parser = argparse.ArgumentParser(description="make packages to measure with")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--names", type=int, default=1)
    parser.add_argument("--builds", type=int, default=1)
    parser.add_argument("--payload", type=int, metavar="BYTES")
    options = parser.parse_args()
    if options.payload is not None:
        make_big_conda(options.folder / "bench-big-1.0-h0_0.conda", options.payload)
        return
    for name in range(options.names):
        for build in range(options.builds):
            make_conda(options.folder, f"bench-{name:03}", "1.0", f"h{build:03}_{build}", payload=4096)


if __name__ == "__main__":
    main()
