"""Many small packages in one CI job without a secret: one identity, one exchange, and as many uploads.

Over TLS, without which keelback sends no identity.
"""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import (
    HERE,
    KEELBACK,
    BenchmarkError,
    Run,
    add_runs,
    at_least_one,
    duration,
    interleaved,
    made_packages,
    megabytes,
    run_child,
    setting,
    table,
    times,
)
from sink import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HOST: Final = "localhost"
PEER: Final = "py-rattler-build"
OURS: Final = "keelback"
PEER_CODE: Final = (
    "import sys, rattler_build\nrattler_build.upload_package_to_prefix(sys.argv[2:], sys.argv[1], 'chan')\n"
)
HEADINGS: Final = ("program", "packages", "exchanges", "connections", "median", "slowest", "faster", "memory")


@dataclass(frozen=True, slots=True)
class TrustingServer:
    """The benchmark's hold on a running ``trusting_sink.py``."""

    port: int
    authority: Path

    @property
    def url(self) -> str:
        """Its origin."""
        return f"https://{HOST}:{self.port}"

    @property
    def job(self) -> dict[str, str]:
        """The environment of a job of GitHub Actions that may write ID tokens."""
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/-/identity?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "a-token-that-only-the-sink-takes",
            "SSL_CERT_FILE": str(self.authority),
        }

    def take(self) -> tuple[Counts, int]:
        """What has arrived since the last call, and how many identities were exchanged."""
        context = ssl.create_default_context(cafile=str(self.authority))
        connection = http.client.HTTPSConnection(HOST, self.port, context=context)
        try:
            connection.request("GET", "/-/take")
            taken = json.load(connection.getresponse())
        finally:
            connection.close()
        return Counts(**taken["counts"]), taken["exchanges"]


@contextmanager
def running(latency: float) -> Iterator[TrustingServer]:
    """A server in its own process, with *latency* milliseconds before each answer."""
    with tempfile.TemporaryDirectory(prefix="keelback-benchmark-") as folder:
        command = [sys.executable, str(HERE / "trusting_sink.py"), folder, "--latency", str(latency)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield TrustingServer(int(process.stdout.readline()), Path(folder) / "authority.pem")
            finally:
                process.terminate()


def keelback(server: TrustingServer, files: Sequence[Path]) -> Run:
    """Publish *files* with ``keelback publish`` and its defaults."""
    options = ["--to", f"prefix+{server.url}/chan", "--trusted-publishing-host", HOST]
    return run_child([*KEELBACK, "publish", *options, *map(str, files)], server.job)


def rattler_build(server: TrustingServer, files: Sequence[Path]) -> Run:
    """Publish *files* with py-rattler-build, in a child that does nothing else."""
    return run_child([sys.executable, "-c", PEER_CODE, server.url, *map(str, files)], server.job)


PROGRAMS: Final = {PEER: rattler_build, OURS: keelback}


class Measured:
    """One program, and what the server saw of its last run."""

    def __init__(self, publish: Callable[[TrustingServer, Sequence[Path]], Run]) -> None:
        self._publish = publish
        self.counts = Counts()
        self.exchanges = 0

    def run(self, server: TrustingServer, files: Sequence[Path]) -> Run:
        """Publish *files*, and see to it that the server got every one, for an identity.

        Raises:
            BenchmarkError: it did not.
        """
        server.take()
        run = self._publish(server, files)
        self.counts, self.exchanges = server.take()
        if self.counts.delivered != len(files) or not self.exchanges:
            raise BenchmarkError(f"of {len(files)} packages, {self.counts} with {self.exchanges} exchanges arrived")
        return run


def measure(count: int, runs: int, latency: float) -> str:
    """Time both programs at *count* packages, *runs* times each, and return the table."""
    programs = {name: Measured(publish) for name, publish in PROGRAMS.items()}
    with running(latency) as server, made_packages(names=count) as files:
        for each in programs.values():
            each.run(server, files[:1])  # what a first run fills, the later ones find
        samples = interleaved(runs, {name: partial(each.run, server, files) for name, each in programs.items()})
    rows = [
        [
            name,
            str(each.counts.delivered),
            str(each.exchanges),
            str(each.counts.connections),
            duration(samples[name].seconds),
            duration(samples[name].slowest),
            times(samples[PEER].seconds / samples[name].seconds),
            megabytes(samples[name].peak),
        ]
        for name, each in programs.items()
    ]
    return table(HEADINGS, rows)


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_runs(parser, default=3)
    parser.add_argument("--count", type=at_least_one, default=200, help="packages a run (default: %(default)s)")
    parser.add_argument(
        "--latency", type=float, default=50, metavar="MS", help="before each answer (default: %(default)s)"
    )
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.count, options.runs, options.latency))


if __name__ == "__main__":
    main()
