"""Makes the index of a large channel, as a program of its own: in the benchmark's process its memory would show.

Records are like those of conda-forge in their fields and in their size, some 570 bytes; hashes, which do not compress,
are a fifth of that. ``repodata.json`` is written record by record, and shards name by name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBDIR: Final = "linux-64"
PER_NAME: Final = 20
PYTHONS: Final = ("3.10", "3.11", "3.12", "3.13")
INFO: Final = {"subdir": SUBDIR}


def name_of(number: int) -> str:
    """The name of a package of the index."""
    return f"bench-lib{number:05}"


def records(names: int) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """For each name, its records by file name; the same in each process."""
    draw = random.Random(20261122)  # noqa: S311 - for numbers that look real
    for number in range(names):
        name = name_of(number)
        yield name, dict(_record(draw, name, number, which) for which in range(PER_NAME))


def _record(draw: random.Random, name: str, number: int, which: int) -> tuple[str, dict[str, Any]]:
    python = PYTHONS[which % len(PYTHONS)]
    tag = python.replace(".", "")
    version = f"{which // len(PYTHONS) + 1}.{number % 20}.{which % 3}"
    build = f"py{tag}h{draw.getrandbits(28):07x}_{which % 2}"
    record = {
        "build": build,
        "build_number": which % 2,
        "constrains": [],
        "depends": [
            "__glibc >=2.17,<3.0.a0",
            "libgcc >=14",
            "libstdcxx >=14",
            f"{name_of(number // 2)} >=1.0,<{number % 7 + 2}.0a0",
            "numpy >=1.23,<3",
            f"python >={python},<{python}.99.0a0",
            f"python_abi {python}.* *_cp{tag}",
        ],
        "license": "BSD-3-Clause",
        "license_family": "BSD",
        "md5": f"{draw.getrandbits(128):032x}",
        "name": name,
        "sha256": f"{draw.getrandbits(256):064x}",
        "size": draw.randrange(20_000, 20_000_000),
        "subdir": SUBDIR,
        "timestamp": 1_700_000_000_000 + draw.randrange(90_000_000_000),
        "version": version,
    }
    return f"{name}-{version}-{build}.conda", record


def write_repodata(folder: Path, names: int) -> None:
    """``repodata.json`` of *names* packages, and the same compressed."""
    plain = folder / "repodata.json"
    with plain.open("wb") as file:
        file.write(b'{"info":%b,"packages":{},"packages.conda":{' % json.dumps(INFO).encode())
        separator = b""
        for _, members in records(names):
            file.write(separator + msgspec.json.encode(members)[1:-1])
            separator = b","
        file.write(b'},"removed":[],"repodata_version":1}')
    with plain.open("rb") as source, (folder / "repodata.json.zst").open("wb") as target:
        zstandard.ZstdCompressor(level=9, threads=-1).copy_stream(source, target)


def write_shards(folder: Path, names: int) -> None:
    """The same as shards (CEP 16)."""
    (folder / "shards").mkdir()
    hashes = {}
    compressor = zstandard.ZstdCompressor(level=9)
    for name, members in records(names):
        for record in members.values():
            record |= {key: bytes.fromhex(record[key]) for key in ("md5", "sha256")}
        document = {"packages": {}, "packages.conda": members, "removed": []}
        content = compressor.compress(msgspec.msgpack.encode(document))
        digest = hashlib.sha256(content)
        (folder / "shards" / f"{digest.hexdigest()}.msgpack.zst").write_bytes(content)
        hashes[name] = digest.digest()
    document = {"info": {**INFO, "base_url": "./", "shards_base_url": "./shards/"}, "version": 1, "shards": hashes}
    (folder / "repodata_shards.msgpack.zst").write_bytes(compressor.compress(msgspec.msgpack.encode(document)))


def main() -> None:
    """Fill a folder with three channels of ``--records`` records: ``plain``, ``zst`` and ``shards``.

    Each has what its name says and what an honest server has beside it: the plainer forms.
    """
    parser = argparse.ArgumentParser(description="make a large index to measure with")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, required=True)
    options = parser.parse_args()
    names = options.records // PER_NAME
    full = options.folder / "shards" / SUBDIR
    full.mkdir(parents=True)
    write_repodata(full, names)
    write_shards(full, names)
    for channel, files in {"zst": ("repodata.json", "repodata.json.zst"), "plain": ("repodata.json",)}.items():
        folder = options.folder / channel / SUBDIR
        folder.mkdir(parents=True)
        for file in files:
            (folder / file).hardlink_to(full / file)
    for channel in ("shards", "zst", "plain"):
        noarch = options.folder / channel / "noarch"
        noarch.mkdir()
        (noarch / "repodata.json").write_text('{"info":{"subdir":"noarch"},"packages":{},"packages.conda":{}}')


if __name__ == "__main__":
    main()
