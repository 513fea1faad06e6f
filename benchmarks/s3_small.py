"""Many small packages into a channel in a bucket, with its index: once at once, once from as far away as a bucket is.

Beside ``keelback publish``: boto3 with eight files at once, and then py-rattler's ``index_s3``, which reads each
package again; with its defaults, and told to do 64 things at once. Each run has a new channel, on a real S3 server on
loopback.
"""

from __future__ import annotations

import argparse

from buckets import HEADINGS, OURS, PEER, WIDE_PEER, Publishing, in_turn, rows, running_server, together
from harness import add_runs, at_least_one, made_packages, setting, table


def measure(count: int, runs: int, latency: float) -> str:
    """Time all programs at *count* packages, *runs* times each, and return the tables."""
    latencies = [0.0, latency] if latency else [0.0]
    parts = []
    with running_server(latencies) as servers, made_packages(names=count) as files:
        in_turn(1, Publishing(servers[0], files[:1]).tasks())  # they fill the caches that a first run fills
        for milliseconds, server in zip(latencies, servers, strict=True):
            found = together(in_turn(runs, Publishing(server, files).tasks()))
            shown = table(HEADINGS, rows(found, OURS, PEER, WIDE_PEER))
            parts.append(f"{milliseconds:g} ms before each answer:\n\n{shown}")
    return "\n\n".join(parts)


def main() -> None:
    """Measure as the command line says, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_runs(parser, default=3)
    parser.add_argument("--count", type=at_least_one, default=200, help="packages a run (default: %(default)s)")
    parser.add_argument(
        "--latency", type=float, default=50, metavar="MS", help="before each answer; 0 for none (default: %(default)s)"
    )
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.count, options.runs, options.latency))


if __name__ == "__main__":
    main()
