"""How keelback and others are each told to fetch a channel's packages, and the proof that they did.

Each run gets a folder of its own, for what is fetched. The others run in a child process that does nothing else, and
find in ``order.json`` what they are to fetch.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import HERE, KEELBACK, BenchmarkError, run_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness import Run

SUBDIR: Final = "noarch"

_ORDER: Final = "import json, os, sys\nos.chdir(sys.argv[1])\norder = json.load(open('order.json'))\n"

RATTLER_DOWNLOAD: Final = f"""{_ORDER}
import asyncio
from rattler import Client
from rattler.package_streaming import download_to_path
async def main():
    client = Client.default_client()
    await asyncio.gather(*(download_to_path(client, url, name) for name, (url, sha256) in order['files'].items()))
asyncio.run(main())
os._exit(0)
"""
"""py-rattler's download of a file, all at once. It verifies nothing; packages have a name from the first byte on."""

_VERIFIED: Final = """
import asyncio, hashlib
from rattler.package_streaming import download_to_path
def finish(name, sha256):
    with open(name + '.partial', 'rb') as file:
        assert hashlib.file_digest(file, 'sha256').digest() == sha256
    os.rename(name + '.partial', name)
async def verified(client, url, name, sha256):
    await download_to_path(client, url, name + '.partial')
    await asyncio.to_thread(finish, name, sha256)
"""

RATTLER_VERIFIED: Final = f"""{_ORDER}{_VERIFIED}
from rattler import Client
async def main():
    client = Client.default_client()
    files = ((url, name, bytes.fromhex(sha256)) for name, (url, sha256) in order['files'].items())
    await asyncio.gather(*(verified(client, *file) for file in files))
asyncio.run(main())
os._exit(0)
"""
"""The same download, and then what ``fetch`` does as well: the SHA-256 is verified before the file gets its name."""

RATTLER_EXTRACT: Final = f"""{_ORDER}
import asyncio
from rattler import Client
from rattler.package_streaming import download_and_extract
async def one(client, name, url, sha256):
    await download_and_extract(client, url, name, bytes.fromhex(sha256))
async def main():
    client = Client.default_client()
    await asyncio.gather(*(one(client, name, *rest) for name, rest in order['files'].items()))
asyncio.run(main())
os._exit(0)
"""
"""py-rattler's download that verifies the SHA-256; it unpacks the package, and keeps no archive."""

RATTLER_CHANNEL: Final = f"""{_ORDER}{_VERIFIED}
from rattler import Client, Gateway
async def main():
    client = Client.default_client()
    gateway = Gateway(cache_dir='cache', client=client)
    names = await gateway.names([order['channel']], ['{SUBDIR}'])
    names = [name.normalized for name in names]
    found = await gateway.query([order['channel']], ['{SUBDIR}'], names, recursive=False)
    records = [record for records in found for record in records]
    await asyncio.gather(*(verified(client, each.url, each.file_name, each.sha256) for each in records))
asyncio.run(main())
os._exit(0)
"""
"""The same, of whatever the channel's index names."""

SEQUENTIAL: Final = f"""{_ORDER}
import hashlib, http.client
from urllib.parse import urlsplit
connection = http.client.HTTPConnection(urlsplit(order['channel']).netloc)
for name, (url, sha256) in order['files'].items():
    connection.request('GET', urlsplit(url).path)
    digest = hashlib.sha256()
    with connection.getresponse() as response, open(name + '.partial', 'wb') as file:
        while block := response.read(16384):
            digest.update(block)
            file.write(block)
    assert digest.hexdigest() == sha256
    os.rename(name + '.partial', name)
"""
"""One file after the other over one connection, in conda's blocks of 16 KiB, verified and then renamed."""


@dataclass(frozen=True, slots=True)
class Served:
    """A channel that is being served.

    Attributes:
        url: its URL.
        files: by name: the URL of each of its packages, and the SHA-256.
        lock: a lock file that names all of them.
    """

    url: str
    files: Mapping[str, tuple[str, str]]
    lock: str


@contextmanager
def running_channel(folder: Path, latency: float = 0.0) -> Iterator[str]:
    """The URL under which *folder* is served, by a process of its own, with *latency* milliseconds before an answer."""
    command = [sys.executable, str(HERE / "channel.py"), str(folder), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextmanager
def served(packages: Sequence[Path], latency: float = 0.0) -> Iterator[Served]:
    """A channel with *packages*, as keelback publishes it to a folder, but without shards.

    Without them, because for all packages of a channel py-rattler would read them one by one, and nobody does that.
    """
    with tempfile.TemporaryDirectory(prefix="keelback-benchmark-") as name:
        folder = Path(name) / "channel"
        run_child([*KEELBACK, "publish", "--to", str(folder), *map(str, packages)])
        (folder / SUBDIR / "repodata_shards.msgpack.zst").unlink()
        with running_channel(folder, latency) as url:
            files = {file.name: (f"{url}/{SUBDIR}/{file.name}", _sha256(file)) for file in packages}
            lock = "".join(f"{url}#sha256:{sha256}\n" for url, sha256 in files.values())
            yield Served(url, files, f"@EXPLICIT\n{lock}")


def fetching(command: Callable[[Path], Sequence[str]], channel: Served, *, unpacks: bool = False) -> Run:
    """Run *command*, and see to it that every package of *channel* arrived, whole.

    Args:
        command: gives the program and its arguments for a folder, in which are an ``order.json`` and a ``lock``.
        channel: what it is to fetch.
        unpacks: the program leaves folders and no archives: only that they are there can be seen.

    Raises:
        BenchmarkError: something did not arrive, whatever the program's exit status said.
    """
    with tempfile.TemporaryDirectory(prefix="keelback-benchmark-") as name:
        folder = Path(name)
        (folder / "order.json").write_text(json.dumps({"channel": channel.url, "files": channel.files}))
        (folder / "lock").write_text(channel.lock)
        program = command(folder)
        run = run_child(program)
        for file, (_, sha256) in channel.files.items():
            found = next((path for path in (folder / file, folder / SUBDIR / file) if path.exists()), None)
            if found is None or (_sha256(found) != sha256 if found.is_file() else not unpacks):
                raise BenchmarkError(f"{file} was to be fetched with {program[0]}, and is not there")
        shutil.rmtree(folder, ignore_errors=True)  # now, and not within the time of whoever comes next
        folder.mkdir()
    return run


def python(code: str) -> Callable[[Path], Sequence[str]]:
    """The command that runs *code*, one of those above."""
    return lambda folder: [sys.executable, "-c", code, str(folder)]


def from_lock() -> Callable[[Path], Sequence[str]]:
    """keelback, told which packages to fetch as the others are: by their URLs and hashes."""
    return lambda folder: [*KEELBACK, "fetch", "--locked", str(folder / "lock"), "--output", str(folder), "--quiet"]


def from_index(channel: Served) -> Callable[[Path], Sequence[str]]:
    """keelback, told to fetch all that *channel* has."""
    return lambda folder: [*KEELBACK, "fetch", channel.url, "--subdir", SUBDIR, "--output", str(folder), "--quiet"]


def warm_up(tasks: Mapping[str, Callable[[], object]]) -> None:
    """Run each of *tasks* once: caches are then filled, and what fails does so before the long runs."""
    for task in tasks.values():
        task()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
