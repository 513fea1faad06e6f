"""How keelback and py-rattler-build are each told to publish to one kind of server, and the proof that they did."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from harness import KEELBACK, BenchmarkError, Run, Samples, Sink, interleaved, run_child

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

KEY: Final = "a-key-that-only-the-sink-takes"


@dataclass(frozen=True, slots=True)
class Server:
    """One kind of server.

    Attributes:
        name: its name.
        variable: the environment variable that holds the key.
        url: where keelback publishes to; ``{port}`` is the sink's.
        peer_call: the same for py-rattler-build: Python that publishes ``files`` to ``base``, the sink's URL, with
            ``key``. It has no command line of its own, so it runs in a child that does nothing else.
    """

    name: str
    variable: str
    url: str
    peer_call: str

    def keelback(self, sink: Sink, files: Sequence[Path]) -> Run:
        """Publish *files* with ``keelback publish`` and its defaults."""
        command = [*KEELBACK, "publish", "--to", self.url.format(port=sink.port), *map(str, files)]
        return run_child(command, {self.variable: KEY})

    def peer(self, sink: Sink, files: Sequence[Path]) -> Run:
        """Publish *files* with py-rattler-build."""
        code = (
            "import os, sys, rattler_build\n"
            f"base, key, files = sys.argv[1], os.environ[{self.variable!r}], sys.argv[2:]\n"
            f"rattler_build.{self.peer_call}\n"
        )
        command = [sys.executable, "-c", code, f"http://127.0.0.1:{sink.port}", *map(str, files)]
        return run_child(command, {self.variable: KEY})


SERVERS: Final = (
    Server(
        name="Quetz",
        variable="QUETZ_API_KEY",
        url="quetz+http://127.0.0.1:{port}/chan",
        peer_call="upload_package_to_quetz(files, base, 'chan', api_key=key)",
    ),
    Server(
        name="Artifactory",
        variable="ARTIFACTORY_TOKEN",
        url="artifactory+http://127.0.0.1:{port}/artifactory/repo",
        peer_call="upload_package_to_artifactory(files, base + '/artifactory', 'repo', token=key)",
    ),
    Server(
        name="prefix.dev",
        variable="PREFIX_API_KEY",
        url="prefix+http://127.0.0.1:{port}/chan",
        peer_call="upload_package_to_prefix(files, base, 'chan', api_key=key)",
    ),
    Server(
        name="anaconda.org",
        variable="ANACONDA_API_KEY",
        url="anaconda+http://127.0.0.1:{port}/owner",
        peer_call="upload_package_to_anaconda(files, 'owner', channel=['main'], api_key=key, url=base)",
    ),
)


def delivering(publish: Callable[[Sink, Sequence[Path]], Run], sink: Sink, files: Sequence[Path]) -> Run:
    """Run *publish*, and see to it that the sink got every one of *files*, whole.

    Raises:
        BenchmarkError: it did not, whatever the program's exit status said.
    """
    sink.take()
    run = publish(sink, files)
    counts = sink.take()
    size = sum(file.stat().st_size for file in files)
    if counts.delivered != len(files) or counts.body_bytes < size:
        raise BenchmarkError(f"{len(files)} packages of {size} bytes were published, but the sink saw {counts}")
    return run


def warm_up(server: Server, sink: Sink, files: Sequence[Path]) -> None:
    """Let both programs fill the caches that a first run fills, and fail before the long runs if they fail."""
    for publish in (server.peer, server.keelback):
        delivering(publish, sink, files)


def compare(server: Server, sink: Sink, files: Sequence[Path], rounds: int) -> tuple[Samples, Samples]:
    """Publish *files* with py-rattler-build and with keelback in turn, and return the runs of each, in this order."""
    samples = interleaved(
        rounds,
        {
            f"{server.name}, py-rattler-build": partial(delivering, server.peer, sink, files),
            f"{server.name}, keelback": partial(delivering, server.keelback, sink, files),
        },
    )
    peer, keelback = samples.values()
    return peer, keelback


def add_servers(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the option that chooses among the servers; :func:`chosen` reads it."""
    names = [server.name for server in SERVERS]
    parser.add_argument(
        "--server", action="append", choices=names, metavar="NAME", help=f"only this: {', '.join(names)}"
    )


def chosen(names: Sequence[str] | None) -> tuple[Server, ...]:
    """The servers of these names; all of them for none."""
    return tuple(server for server in SERVERS if not names or server.name in names)
