"""One large package: what an upload costs for its bytes, beside the least that it could cost.

The least is one pass of each hash that the server wants and one transfer by ``curl -T``, measured in the same rounds
and against the same sink.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from harness import (
    add_runs,
    at_least_one,
    duration,
    interleaved,
    made_large_package,
    made_packages,
    megabytes,
    run_child,
    running_sink,
    setting,
    table,
    times,
    verdict,
)
from servers import SERVERS, add_servers, chosen, delivering, warm_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness import Run, Samples, Sink
    from servers import Server

FASTER: Final = 5
OF_LIMIT: Final = 1.25
MEMORY: Final = 80
HASHES: Final = {"anaconda.org": ("sha256", "md5")}
"""What a server wants to be told; all others, sha256 alone."""


def measure(size: int, runs: int, servers: Sequence[Server] = SERVERS) -> str:
    """Time both programs at one package of *size* MiB, *runs* times each, and return the tables."""
    with running_sink() as sink, made_packages() as small, made_large_package(size << 20) as large:
        for server in servers:
            warm_up(server, sink, small)
        samples = interleaved(runs, _tasks(servers, sink, [large]))
    return "\n\n".join((_against_peer(servers, samples), _against_limit(servers, samples), _limits(samples)))


def _tasks(servers: Sequence[Server], sink: Sink, files: Sequence[Path]) -> dict[str, partial[Run]]:
    tasks = {
        "sha256": partial(_hash_pass, "sha256", files),
        "md5": partial(_hash_pass, "md5", files),
        "curl -T": partial(delivering, _curl, sink, files),
    }
    for server in servers:
        tasks[_peer(server)] = partial(delivering, server.peer, sink, files)
        tasks[_keelback(server)] = partial(delivering, server.keelback, sink, files)
    return tasks


def _peer(server: Server) -> str:
    return f"{server.name}, py-rattler-build"


def _keelback(server: Server) -> str:
    return f"{server.name}, keelback"


def _hash_pass(algorithm: str, files: Sequence[Path]) -> Run:
    code = f"import hashlib, sys\nwith open(sys.argv[1], 'rb') as file: hashlib.file_digest(file, {algorithm!r})"
    return run_child([sys.executable, "-c", code, *map(str, files)])


def _curl(sink: Sink, files: Sequence[Path]) -> Run:
    (file,) = files
    url = f"http://127.0.0.1:{sink.port}/limit/{file.name}"
    return run_child(["curl", "--silent", "--show-error", "--fail", "--upload-file", str(file), url])


def _against_peer(servers: Sequence[Server], samples: Mapping[str, Samples]) -> str:
    headings = (
        "server", "py-rattler-build", "keelback", "slowest keelback", "faster", "target",
        "py-rattler-build memory", "keelback memory", "target",
    )  # fmt: skip
    rows = []
    for server in servers:
        peer, keelback = samples[_peer(server)], samples[_keelback(server)]
        ratio = peer.seconds / keelback.seconds
        rows.append([
            server.name, duration(peer.seconds), duration(keelback.seconds), duration(keelback.slowest), times(ratio),
            verdict(met=ratio >= FASTER, target=f"≥ {FASTER}x"),
            megabytes(peer.peak), megabytes(keelback.peak),
            verdict(met=keelback.peak <= MEMORY * 1_000_000, target=f"≤ {MEMORY} MB"),
        ])  # fmt: skip
    return table(headings, rows)


def _against_limit(servers: Sequence[Server], samples: Mapping[str, Samples]) -> str:
    seconds = {name: each.seconds for name, each in samples.items()}
    rows = []
    for server in servers:
        hashes = HASHES.get(server.name, ("sha256",))
        limits = {" + ".join((*hashes, "curl -T")): sum(seconds[name] for name in hashes)}
        if len(hashes) > 1:
            limits[f"longest of {', '.join(hashes)} + curl -T"] = max(seconds[name] for name in hashes)
        for name, hashing in limits.items():
            limit = hashing + seconds["curl -T"]
            ratio = seconds[_keelback(server)] / limit
            target = verdict(met=ratio <= OF_LIMIT, target=f"≤ {OF_LIMIT}x")
            rows.append(
                [server.name, name, duration(limit), duration(seconds[_keelback(server)]), times(ratio), target]
            )
    return table(("server", "limit", "its time", "keelback", "of the limit", "target"), rows)


def _limits(samples: Mapping[str, Samples]) -> str:
    rows = []
    for name in ("sha256", "md5", "curl -T"):
        each = samples[name]
        rows.append([name, duration(each.seconds), duration(each.fastest), duration(each.slowest)])
    return table(("limit", "median", "fastest", "slowest"), rows)


def main() -> None:
    """Measure as the command line says, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_runs(parser, default=5)
    add_servers(parser)
    parser.add_argument(
        "--size", type=at_least_one, default=1024, metavar="MIB", help="of the package (default: %(default)s)"
    )
    options = parser.parse_args()
    print(setting(), end="\n\n")
    print(measure(options.size, options.runs, chosen(options.server)))


if __name__ == "__main__":
    main()
