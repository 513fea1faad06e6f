"""Makes packages for tests: real ones that install, a big one that is cheap to make, and the parts of hostile ones.

Everything is deterministic: the same call gives the same bytes, on every machine and in every process.

::

    make_conda(tmp_path)                                       # tmp_path/demo-1.0-h0_0.conda, noarch
    make_tar_bz2(tmp_path, "tool", "2.1", subdir="linux-64", depends=["demo >=1"])
    make_conda(tmp_path, payload=10_000_000)                   # that many bytes that do not compress
    make_conda(tmp_path, index={"subdir": ABSENT})             # without that field
    make_big_conda(tmp_path / "big-1.0-0.conda", 1 << 30)      # 1 GB in a few seconds, flat memory
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import random
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, Final

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

ABSENT: Final = object()
"""As a value of ``index=`` or ``about=``: leave the field out."""

METADATA: Final = b'{"conda_pkg_format_version": 2}'
TIMESTAMP: Final = 1_700_000_000_000

_MEMBER_TYPES: Final = {"file": tarfile.REGTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE}


def make_conda(
    folder: Path,
    name: str = "demo",
    version: str = "1.0",
    build: str = "h0_0",
    *,
    subdir: str = "noarch",
    depends: Iterable[str] = (),
    payload: Mapping[str, bytes] | int | None = None,
    index: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    filename: str | None = None,
) -> Path:
    """A ``.conda`` that every client can install; *folder* is made when it is missing.

    Args:
        folder: where the file goes.
        name: package name.
        version: package version.
        build: build string.
        subdir: ``noarch`` makes a ``noarch: generic`` package.
        depends: match specs.
        payload: the files it installs, or the size of one file of bytes that do not compress; by default one line
            of text in ``share/<name>/hello.txt``.
        index: fields of ``index.json`` to set, or to leave out with :data:`ABSENT`.
        about: the same for ``about.json``.
        filename: instead of ``<name>-<version>-<build>.conda``; the inner names follow it.
    """
    stem = f"{name}-{version}-{build}" if filename is None else filename.removesuffix(".conda")
    files = payload_files(payload, name, version, build)
    info = info_members(name, version, build, subdir=subdir, depends=depends, files=files, index=index, about=about)
    folder.mkdir(parents=True, exist_ok=True)
    return write_zip(folder / (filename or f"{stem}.conda"), conda_entries(stem, tar(info), tar(files)))


def make_tar_bz2(
    folder: Path,
    name: str = "demo",
    version: str = "1.0",
    build: str = "h0_0",
    *,
    subdir: str = "noarch",
    depends: Iterable[str] = (),
    payload: Mapping[str, bytes] | int | None = None,
    index: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    filename: str | None = None,
    info_last: bool = False,
) -> Path:
    """A ``.tar.bz2`` that every client can install; arguments as for :func:`make_conda`.

    Args:
        folder: where the file goes.
        name: package name.
        version: package version.
        build: build string.
        subdir: ``noarch`` makes a ``noarch: generic`` package.
        depends: match specs.
        payload: the files it installs, or the size of one.
        index: fields of ``index.json`` to set or leave out.
        about: the same for ``about.json``.
        filename: instead of ``<name>-<version>-<build>.tar.bz2``.
        info_last: put ``info/`` behind the payload, as a plain ``tar`` of a folder may do.
    """
    files = payload_files(payload, name, version, build)
    info = info_members(name, version, build, subdir=subdir, depends=depends, files=files, index=index, about=about)
    members = {**files, **info} if info_last else {**info, **files}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (filename or f"{name}-{version}-{build}.tar.bz2")
    path.write_bytes(bz2.compress(tar(members)))
    return path


def make_big_conda(path: Path, size: int, *, subdir: str = "noarch") -> Path:
    """A valid ``.conda`` with a payload of *size* bytes, written in blocks and never held in memory.

    The payload is a zstd frame of raw blocks, so that no time goes into compressing what does not compress.

    Args:
        path: ``<name>-<version>-<build>.conda``; its folder is made when it is missing.
        size: bytes of the one file that it installs.
        subdir: what ``index.json`` says.
    """
    stem = path.name.removesuffix(".conda")
    name, version, build = stem.rsplit("-", 2)
    block = incompressible(1 << 20, seed=stem)

    def content() -> Iterator[bytes]:
        for start in range(0, size, len(block)):
            yield block[: min(len(block), size - start)]

    digest = hashlib.sha256()
    for part in content():
        digest.update(part)
    listed = f"share/{name}/big.bin"
    info = info_members(name, version, build, subdir=subdir, files={})
    info["info/files"] = f"{listed}\n".encode()
    info["info/paths.json"] = _json(_paths([(listed, digest.hexdigest(), size)]))

    header = tarfile.TarInfo(listed)
    header.size, header.mode = size, 0o644
    padding = bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_zip_entry("metadata.json"), METADATA)
        with archive.open(_zip_entry(f"pkg-{stem}.tar.zst"), "w", force_zip64=True) as entry:
            entry.write(_ZSTD_HEADER)
            entry.write(_raw_blocks(header.tobuf(tarfile.GNU_FORMAT)))
            for part in content():
                entry.write(_raw_blocks(part))
            entry.write(_raw_blocks(padding, last=True))
        archive.writestr(_zip_entry(f"info-{stem}.tar.zst"), zstd(tar(info)))
    return path


# -- parts, for packages that no builder would make -----------------------------------------------------------------


def info_members(
    name: str = "demo",
    version: str = "1.0",
    build: str = "h0_0",
    *,
    subdir: str = "noarch",
    depends: Iterable[str] = (),
    files: Mapping[str, bytes] | None = None,
    index: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """The ``info/`` folder of a package that installs *files*, in the order in which conda-build writes it."""
    files = files or {}
    digests = [(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in files.items()]
    index_fields = index_json(name, version, build, subdir=subdir, depends=depends) | dict(index or {})
    about_fields = {
        "summary": f"A test package called {name}.",
        "home": "https://example.com",
        "license": "BSD-3-Clause",
    } | dict(about or {})
    return {
        "info/about.json": _json(_present(about_fields)),
        "info/files": "".join(f"{path}\n" for path in files).encode(),
        "info/index.json": _json(_present(index_fields)),
        "info/paths.json": _json(_paths(digests)),
    }


def index_json(
    name: str = "demo",
    version: str = "1.0",
    build: str = "h0_0",
    *,
    subdir: str = "noarch",
    depends: Iterable[str] = (),
) -> dict[str, Any]:
    """The fields of an ``index.json`` as builders write them today."""
    number = build.rsplit("_", 1)[-1]
    platform, _, arch = subdir.partition("-")
    special = {"noarch": "generic"} if subdir == "noarch" else {}
    return {
        "arch": {"64": "x86_64", "32": "x86"}.get(arch, arch) or None,
        "build": build,
        "build_number": int(number) if number.isdecimal() else 0,
        "depends": list(depends),
        "license": "BSD-3-Clause",
        "name": name,
        **special,
        "platform": None if subdir == "noarch" else platform,
        "subdir": subdir,
        "timestamp": TIMESTAMP,
        "version": version,
    }


def payload_files(payload: Mapping[str, bytes] | int | None, name: str, version: str, build: str) -> dict[str, bytes]:
    """*payload* of :func:`make_conda` as the files it stands for."""
    if payload is None:
        return {f"share/{name}/hello.txt": f"hello from {name} {version} {build}\n".encode()}
    if isinstance(payload, int):
        return {f"share/{name}/data.bin": incompressible(payload, seed=f"{name}-{version}-{build}")}
    return dict(payload)


def incompressible(size: int, seed: str = "keelback") -> bytes:
    """*size* bytes that no compressor makes smaller, the same ones for the same *seed*."""
    return random.Random(seed).randbytes(size)


def tar(members: Mapping[str, bytes] | Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A tar of *members*: name and content, or headers made with :func:`member` where more is to be said."""
    pairs = [member(name, data) for name, data in members.items()] if hasattr(members, "items") else members
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for header, data in pairs:
            archive.addfile(header, io.BytesIO(data))
    return out.getvalue()


def member(name: str, data: bytes = b"", *, kind: str = "file", link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """One member for :func:`tar`; *kind* is ``file``, ``symlink`` or ``hardlink``, the latter two to *link*."""
    header = tarfile.TarInfo(name)
    header.type, header.size, header.mode, header.linkname = _MEMBER_TYPES[kind], len(data), 0o644, link
    return header, data


def conda_entries(stem: str, info_tar: bytes, pkg_tar: bytes = b"", *, metadata: bytes = METADATA) -> dict[str, bytes]:
    """The entries of a ``.conda``, in the order of the format; *pkg_tar* may be empty for an empty tar."""
    return {
        "metadata.json": metadata,
        f"pkg-{stem}.tar.zst": zstd(pkg_tar or tar({})),
        f"info-{stem}.tar.zst": zstd(info_tar),
    }


def write_zip(path: Path, entries: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip of *entries* at *path*."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(_zip_entry(name), data, compress_type=compression)
    return path


def zstd(data: bytes, *, level: int = 3) -> bytes:
    """*data* as one zstd frame."""
    return zstandard.ZstdCompressor(level=level).compress(data)


_ZSTD_HEADER: Final = (0xFD2FB528).to_bytes(4, "little") + b"\x00\x38"
"""A frame without content size or checksum, and with a window of 128 KiB (RFC 8878, 3.1.1.1)."""
_ZSTD_BLOCK: Final = 1 << 17


def _raw_blocks(data: bytes, *, last: bool = False) -> bytes:
    """*data* as zstd blocks of the type raw (RFC 8878, 3.1.1.2)."""
    out = bytearray()
    for start in range(0, len(data), _ZSTD_BLOCK):
        part = data[start : start + _ZSTD_BLOCK]
        final = last and start + _ZSTD_BLOCK >= len(data)
        out += (len(part) << 3 | final).to_bytes(3, "little")
        out += part
    return bytes(out)


def _zip_entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    return entry


def _paths(digests: Iterable[tuple[str, str, int]]) -> dict[str, Any]:
    paths = [
        {"_path": path, "path_type": "hardlink", "sha256": sha256, "size_in_bytes": size}
        for path, sha256, size in digests
    ]
    return {"paths": paths, "paths_version": 1}


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not ABSENT}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode()
