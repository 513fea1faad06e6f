"""All benchmarks, one after the other, into one report."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Final

import copy_small
import fetch_large
import fetch_small
import index
import metadata
import publish_large
import publish_small
import s3_index
import s3_large
import s3_small
import search
import startup
import trusted_publishing
from harness import at_least_one, progress, setting

REPORT: Final = Path(__file__).parents[1] / "build" / "benchmarks.md"


def report(options: argparse.Namespace) -> str:
    """Measure as *options* say, and return the report."""
    started = time.monotonic()
    where = setting()
    parts = {
        "Start-up": startup.measure(options.runs * 6),
        f"Metadata of a .conda of {options.size} MiB": metadata.measure(options.size, options.runs * 4),
        f"One package of {options.size} MiB": publish_large.measure(options.size, options.runs),
        f"{options.count} small packages, {options.latency:g} ms before each answer": publish_small.measure(
            options.count, (options.runs + 1) // 2, options.latency
        ),
        f"{options.count} small packages by trusted publishing, {options.latency:g} ms before each answer": (
            trusted_publishing.measure(options.count, (options.runs + 1) // 2, options.latency)
        ),
        f"Fetch of {options.fetched} small packages, {options.latency:g} ms before each answer": fetch_small.measure(
            options.fetched, options.runs, options.latency
        ),
        f"Fetch of one package of {options.size} MiB": fetch_large.measure(options.size, options.runs),
        f"One spec among {options.records} records": search.measure(options.records, options.runs),
        f"{options.count} small packages into a bucket": s3_small.measure(
            options.count, (options.runs + 1) // 2, options.latency
        ),
        f"One package of {options.size} MiB into a bucket": s3_large.measure(
            options.size, (options.runs + 1) // 2, options.latency
        ),
        f"{options.count} small packages from one server to another, {options.latency:g} ms before each answer": (
            copy_small.measure(options.count, (options.runs + 1) // 2, options.latency)
        ),
        f"The index of {options.indexed} packages in a folder": index.measure(options.indexed, options.runs),
        f"The index of {options.indexed} packages in a bucket, {options.latency:g} ms before each answer": (
            s3_index.measure(options.indexed, (options.runs + 1) // 2, options.latency)
        ),
    }
    sections = [f"## {title}\n\n{tables}" for title, tables in parts.items()]
    minutes = (time.monotonic() - started) / 60
    return "\n\n".join(["# Benchmarks", where, *sections, f"Measured in {minutes:.1f} minutes."]) + "\n"


def main() -> None:
    """Write the report, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs",
        type=at_least_one,
        default=5,
        help="of the large package; small ones and buckets take half of it, start-up six times (default: %(default)s)",
    )
    parser.add_argument(
        "--count", type=at_least_one, default=200, help="small packages to publish (default: %(default)s)"
    )
    parser.add_argument(
        "--fetched", type=at_least_one, default=500, metavar="COUNT", help="and to fetch (default: %(default)s)"
    )
    parser.add_argument(
        "--records", type=at_least_one, default=500_000, metavar="COUNT", help="in an index (default: %(default)s)"
    )
    parser.add_argument(
        "--indexed", type=at_least_one, default=10_000, metavar="COUNT", help="in a bucket (default: %(default)s)"
    )
    parser.add_argument(
        "--latency", type=float, default=50, metavar="MS", help="before each answer (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=at_least_one, default=1024, metavar="MIB", help="of the large package (default: %(default)s)"
    )
    parser.add_argument("--report", type=Path, default=REPORT, help="where to write (default: %(default)s)")
    options = parser.parse_args()
    text = report(options)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(text, encoding="utf-8")
    print(text)
    progress(f"written to {options.report}")


if __name__ == "__main__":
    main()
