"""How each program is told to publish to a channel in a bucket, and to index one; the server; the proof that they did.

py-rattler-build has no upload to S3 that Python can call. So the peer is what teams do without rattler-build's command
line: boto3, with eight files at once, and then py-rattler's ``index_s3``. The two are children one after the other, and
their times are added.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from harness import (
    HERE,
    KEELBACK,
    BenchmarkError,
    Run,
    Samples,
    duration,
    interleaved,
    megabytes,
    run_child,
    times,
)
from slow_proxy import CONTROL, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

KEY_ID: Final = "BENCHMARK"
SECRET: Final = "a-secret-that-only-the-benchmarks-server-takes"
REGION: Final = "us-east-1"
OURS: Final = "keelback"
UPLOAD: Final = "boto3"
INDEX: Final = "`index_s3`"
PEER: Final = f"{UPLOAD}, then {INDEX}"
WIDE: Final = "`index_s3`, 64 at once"
WIDE_PEER: Final = f"{UPLOAD}, then {WIDE}"

_AWS: Final = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
_BOTO: Final = (str(HERE.parent / ".peers" / "seaweedfs" / "bin" / "python"), str(HERE / "s3_boto.py"))
_INDEX_S3: Final = """
import asyncio, os, sys
from rattler.index import S3Credentials, index_s3
endpoint, region, channel, *most = sys.argv[1:]
keys = S3Credentials(
    endpoint, region, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], addressing_style="path"
)
asyncio.run(index_s3(channel, credentials=keys, max_parallel=int(most[0]) if most else None))
os._exit(0)  # py-rattler can crash while the interpreter shuts down
"""


@dataclass(frozen=True, slots=True)
class Work:
    """What a program did: how long, with how much memory, and what went over the wire."""

    run: Run
    traffic: Traffic

    def __add__(self, other: Work) -> Work:
        """What two programs did, one after the other."""
        one, two = self.run, other.run
        run = Run(one.seconds + two.seconds, max(one.peak, two.peak), one.processor + two.processor)
        return Work(run, self.traffic + other.traffic)


class Server:
    """The benchmark's hold on an S3 server, by way of a proxy that counts. Channels are named ``BUCKET/PREFIX``.

    Args:
        server: the port of the server, for what is not measured.
        port: that of the proxy.
    """

    def __init__(self, server: int, port: int) -> None:
        self._direct = f"http://127.0.0.1:{server}"
        self._port = port
        self._endpoint = f"http://127.0.0.1:{port}"

    # --- what is measured -------------------------------------------------------------------------------------------

    def publish(self, channel: str, files: Iterable[Path]) -> Work:
        """``keelback publish`` with its defaults."""
        return self._keelback("publish", "--to", f"s3://{channel}", *map(str, files))

    def reindex(self, channel: str) -> Work:
        """``keelback index``."""
        return self._keelback("index", f"s3://{channel}")

    def upload(self, channel: str, files: Iterable[Path]) -> Work:
        """boto3's ``upload_file``."""
        return self._measured([*_BOTO, "upload", self._endpoint, channel, *map(str, files)], _AWS)

    def index_s3(self, channel: str) -> Work:
        """py-rattler's indexer with its defaults."""
        return self._index_s3(f"s3://{channel}")

    def index_s3_wide(self, channel: str) -> Work:
        """The same, told to do 64 things at once."""
        return self._index_s3(f"s3://{channel}", "64")

    def _index_s3(self, *arguments: str) -> Work:
        return self._measured([sys.executable, "-c", _INDEX_S3, self._endpoint, REGION, *arguments], _AWS)

    def curl(self, channel: str, file: Path) -> Work:
        """``curl -T``, which signs the request, and not what it sends."""
        signing = ["--aws-sigv4", f"aws:amz:{REGION}:s3", "--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
        command = ["curl", "--silent", "--show-error", "--fail", "--user", f"{KEY_ID}:{SECRET}", *signing]
        return self._measured([*command, "--upload-file", str(file), f"{self._endpoint}/{channel}/{file.name}"], {})

    def _keelback(self, *arguments: str) -> Work:
        place = {"S3_ENDPOINT_URL": self._endpoint, "S3_REGION": REGION, "S3_ADDRESSING_STYLE": "path"}
        keys = {"S3_ACCESS_KEY_ID": KEY_ID, "S3_SECRET_ACCESS_KEY": SECRET}
        return self._measured([*KEELBACK, *arguments], {**place, **keys})

    def _measured(self, command: Sequence[str], environment: dict[str, str]) -> Work:
        self._take()
        return Work(run_child(command, environment), self._take())

    def _take(self) -> Traffic:
        """What has gone through the proxy since the last call."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        try:
            connection.request("GET", CONTROL.decode())
            return Traffic(**json.load(connection.getresponse()))
        finally:
            connection.close()

    # --- what is not ------------------------------------------------------------------------------------------------

    def ask(self, task: str, channel: str, *arguments: str) -> str:
        """Have *task* of ``s3_boto.py`` done, past the proxy; what it prints."""
        command = [*_BOTO, task, self._direct, channel, *arguments]
        environment = {"PATH": os.environ["PATH"], **_AWS}
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout

    def require(self, channel: str, archives: int, size: int | None = None) -> None:
        """See that *channel* has so many archives, with so many bytes together, and its index all of them.

        Raises:
            BenchmarkError: it does not, whatever the program's exit status said.
        """
        found = json.loads(self.ask("count", channel))
        expected = {"archives": archives, "bytes": found["bytes"] if size is None else size, "records": archives}
        if found != expected:
            raise BenchmarkError(f"there was to be {expected} in {channel}, and there is {found}")


@dataclass(frozen=True, slots=True)
class Series:
    """What a program did, again and again."""

    works: tuple[Work, ...]

    def __add__(self, other: Series) -> Series:
        """What two programs did, one after the other."""
        return Series(tuple(one + two for one, two in zip(self.works, other.works, strict=True)))

    @property
    def samples(self) -> Samples:
        """The runs."""
        return Samples(tuple(work.run for work in self.works))

    @property
    def traffic(self) -> Traffic:
        """What went over the wire in the last of them."""
        return self.works[-1].traffic


def in_turn(rounds: int, tasks: Mapping[str, Callable[[], Work]]) -> dict[str, Series]:
    """Have all *tasks* done one after the other, *rounds* times over."""
    works: dict[str, list[Work]] = {name: [] for name in tasks}

    def done(name: str) -> Run:
        work = tasks[name]()
        works[name].append(work)
        return work.run

    interleaved(rounds, {name: partial(done, name) for name in tasks})
    return {name: Series(tuple(each)) for name, each in works.items()}


HEADINGS: Final = (
    "program", "median", "slowest", "keelback takes", "processor", "memory", "requests", "sent", "received",
)  # fmt: skip


def rows(series: Mapping[str, Series], ours: str, *compared: str) -> Iterator[list[str]]:
    """A row for each of *series*; *compared*: those that do what *ours* does, and how much of their time it takes."""
    for name, each in series.items():
        ratio = series[ours].samples.seconds / each.samples.seconds
        yield [
            name,
            duration(each.samples.seconds),
            duration(each.samples.slowest),
            times(ratio) if name in compared else "",
            duration(each.samples.processor),
            megabytes(each.samples.peak),
            ", ".join(f"{number} {method}" for method, number in sorted(each.traffic.requests.items())),
            _kilobytes(each.traffic.sent),
            _kilobytes(each.traffic.received),
        ]


def _kilobytes(size: int) -> str:
    return f"{size / 1000:,.0f} kB" if size < 10_000_000 else megabytes(size)


class Publishing:
    """A round of publishing: to a channel in a new bucket each time, which is looked at, and then removed.

    Args:
        server: where to.
        files: what.
    """

    _numbers: Final = count(1)

    def __init__(self, server: Server, files: Sequence[Path]) -> None:
        self._server = server
        self._files = files
        self._size = sum(file.stat().st_size for file in files)
        self._channel = ""

    def tasks(self) -> dict[str, Callable[[], Work]]:
        """What is done, in this order."""
        return {OURS: self._keelback, UPLOAD: self._upload, INDEX: self._index, WIDE: self._wide}

    def new_channel(self) -> str:
        """A channel, and its bucket."""
        channel = f"bench-{next(self._numbers)}/channel"
        self._server.ask("make", channel)
        return channel

    def _keelback(self) -> Work:
        self._channel = self.new_channel()
        return self._seen(self._server.publish(self._channel, self._files))

    def _upload(self) -> Work:
        self._channel = self.new_channel()
        return self._server.upload(self._channel, self._files)

    def _index(self) -> Work:
        return self._seen(self._server.index_s3(self._channel))

    def _wide(self) -> Work:
        self._channel = self.new_channel()
        self._server.ask("upload", self._channel, *map(str, self._files))
        return self._seen(self._server.index_s3_wide(self._channel))

    def _seen(self, work: Work) -> Work:
        self._server.require(self._channel, len(self._files), self._size)
        self._server.ask("remove", self._channel)
        return work


def together(found: Mapping[str, Series]) -> dict[str, Series]:
    """*found*, with what the peer's programs did one after the other right after what keelback did."""
    upload = found[UPLOAD]
    return {OURS: found[OURS], PEER: upload + found[INDEX], WIDE_PEER: upload + found[WIDE], **found}


@contextmanager
def running_server(latencies: Sequence[float]) -> Iterator[list[Server]]:
    """One S3 server, seen from as far away as each of *latencies* says: milliseconds before each answer."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "tests"), "SECRET": SECRET}
    command = [sys.executable, str(HERE / "s3_server.py"), KEY_ID]
    with (
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,  # it ends with its input
        ExitStack() as proxies,
    ):
        port = _port(process)
        yield [Server(port, proxies.enter_context(_proxy(port, latency))) for latency in latencies]


@contextmanager
def _proxy(server: int, latency: float) -> Iterator[int]:
    command = [sys.executable, str(HERE / "slow_proxy.py"), str(server), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _port(process)
        finally:
            process.terminate()


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    told = process.stdout.readline()
    if not told:
        raise BenchmarkError(f"{process.args!r} did not start: it says why above")
    return int(told)
