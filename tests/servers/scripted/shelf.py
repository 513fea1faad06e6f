"""What a scripted server has stored, and the repodata that is built from it.

Archives are read with zipfile, tarfile and zstandard alone: nothing here may share a mistake with keelback.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
import threading
import zipfile
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import zstandard

from .exchange import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHARDS = "repodata_shards.msgpack.zst"
_INDEX_READS = {"repodata.json", "repodata.json.zst", _SHARDS}


@dataclass(frozen=True)
class Body:
    """The bytes of a file as they came in: checksums, size, what they say of themselves."""

    sha256: str
    sha1: str
    md5: str
    size: int
    content: bytes | None
    """The bytes, or None where there were too many to keep."""
    index: dict[str, Any] | None
    """The archive's index.json, or None where the bytes are no conda package."""

    @classmethod
    def receive(cls, chunks: Iterable[bytes]) -> Body:
        """Take in a stream, keeping no more than a little of it in memory."""
        hashes = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", "sha1", "md5")}
        with tempfile.SpooledTemporaryFile(max_size=KEPT) as spool:
            for chunk in chunks:
                spool.write(chunk)
                for each in hashes.values():
                    each.update(chunk)
            size = spool.tell()
            index = index_json(spool)
            spool.seek(0)
            content = spool.read() if size <= KEPT else None
        return cls(**{name: each.hexdigest() for name, each in hashes.items()}, size=size, content=content, index=index)

    def names(self, filename: str, subdir: str | None = None) -> bool:
        """Whether the bytes are a package that goes by *filename* (and belongs into *subdir*)."""
        if self.index is None:
            return False
        stem = f"{self.index.get('name')}-{self.index.get('version')}-{self.index.get('build')}"
        named = filename in {f"{stem}.conda", f"{stem}.tar.bz2"}
        return named and (subdir is None or self.index.get("subdir", subdir) == subdir)

    def lied_about(self) -> Body:
        """The same with checksums that are not its own."""
        wrong = {name: hashlib.new(name, b"a lie" + self.sha256.encode()).hexdigest() for name in ("sha256", "sha1")}
        return replace(self, **wrong, md5=hashlib.md5(b"a lie" + self.sha256.encode()).hexdigest())  # noqa: S324 - repodata has it


@dataclass
class Stored:
    """One file of a channel."""

    body: Body
    times_stored: int = 1
    """How many times bytes were stored under this name, deletions notwithstanding."""
    labels: set[str] = field(default_factory=lambda: {"main"})
    hidden_reads: int = 0
    """How many more reads of the index will not show it."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of its bytes."""
        return self.body.sha256

    @property
    def size(self) -> int:
        """The number of its bytes."""
        return self.body.size

    @property
    def content(self) -> bytes | None:
        """Its bytes, or None where there were too many to keep."""
        return self.body.content


class Shelf:
    """The files of one channel by ``subdir/filename``.

    Args:
        index_lag: how many reads of an index it takes until a newly stored file appears in it.
    """

    def __init__(self, index_lag: int = 0) -> None:
        self.files: dict[str, Stored] = {}
        self.index_lag = index_lag
        self._shards: dict[str, bytes] = {}
        self._times: Counter[str] = Counter()
        self._lock = threading.RLock()

    def place(self, path: str, body: Body, *, overwrite: bool, labels: Iterable[str] = ("main",)) -> bool:
        """Store *body* under *path*; False where something is there and may not be overwritten."""
        with self._lock:
            if path in self.files and not overwrite:
                return False
            self._times[path] += 1
            self.files[path] = Stored(body, self._times[path], set(labels), self.index_lag)
            return True

    def remove(self, path: str) -> Stored | None:
        """Take a file away; what it was, or None where there was none."""
        with self._lock:
            return self.files.pop(path, None)

    def find(self, sha256: str) -> Body | None:
        """The bytes with that checksum, wherever they are."""
        with self._lock:
            return next((stored.body for stored in self.files.values() if stored.sha256 == sha256), None)

    def read(
        self, subdir: str, name: str, *, lying: bool = False, label: str | None = None, counts: bool = True
    ) -> bytes | None:
        """A file of the channel as readers see it: an index, a shard, or a package.

        Args:
            subdir: the folder.
            name: the file's name there; with a slash for shards.
            lying: put wrong checksums into an index.
            label: show only files that carry it.
            counts: whether this is a read that brings lagging files nearer.
        """
        with self._lock:
            if name not in _INDEX_READS:
                stored = self.files.get(f"{subdir}/{name}")
                return stored.content if stored else self._shards.get(f"{subdir}/{name}")
            shown = self._shown(subdir, label, counts=counts)
            if not shown and subdir != "noarch":
                return None
            records = {name: _record(stored.body.lied_about() if lying else stored.body) for name, stored in shown}
            if name == _SHARDS:
                return self._shard_index(subdir, records)
            plain = json.dumps(_repodata(subdir, records), sort_keys=True).encode()
            return zstandard.ZstdCompressor().compress(plain) if name.endswith(".zst") else plain

    def _shown(self, subdir: str, label: str | None, *, counts: bool) -> list[tuple[str, Stored]]:
        shown = []
        for path, stored in sorted(self.files.items()):
            folder, _, name = path.partition("/")
            if folder != subdir or stored.body.index is None or not (label is None or label in stored.labels):
                continue
            if stored.hidden_reads:
                stored.hidden_reads -= counts
            else:
                shown.append((name, stored))
        return shown

    def _shard_index(self, subdir: str, records: dict[str, dict[str, Any]]) -> bytes:
        """CEP 16: an index of names to the hashes of their shards, hashes as msgpack bin."""
        by_name: dict[str, dict[str, dict[str, Any]]] = {}
        for filename, record in records.items():
            binary = {**record, "sha256": bytes.fromhex(record["sha256"]), "md5": bytes.fromhex(record["md5"])}
            by_name.setdefault(record["name"], {})[filename] = binary
        hashes = {}
        for name, of_name in sorted(by_name.items()):
            content = {**_split(of_name), "removed": []}
            shard = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(content, order="sorted"))
            digest = hashlib.sha256(shard)
            self._shards[f"{subdir}/shards/{digest.hexdigest()}.msgpack.zst"] = shard
            hashes[name] = digest.digest()
        info = {"subdir": subdir, "base_url": "./", "shards_base_url": "./shards/"}
        index = {"info": info, "version": 1, "shards": hashes}
        return zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(index, order="sorted"))


def _record(body: Body) -> dict[str, Any]:
    return {**(body.index or {}), "size": body.size, "md5": body.md5, "sha256": body.sha256}


def _split(records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    conda = {name: record for name, record in records.items() if name.endswith(".conda")}
    return {"packages": {n: r for n, r in records.items() if n not in conda}, "packages.conda": conda}


def _repodata(subdir: str, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """CEP 36."""
    return {"info": {"subdir": subdir}, **_split(records), "removed": [], "repodata_version": 1}


def index_json(file: BinaryIO | tempfile.SpooledTemporaryFile[bytes]) -> dict[str, Any] | None:
    """The index.json of a ``.conda`` or ``.tar.bz2``, or None where *file* is neither."""
    file.seek(0)
    is_zip = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    try:
        index = _index_of_conda(file) if is_zip else _index_of_tar(file, "r:bz2")
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError, zipfile.BadZipFile, zstandard.ZstdError):
        return None
    return index if isinstance(index, dict) else None


def _index_of_conda(file: Any) -> Any:
    with zipfile.ZipFile(file) as archive:
        name = next((n for n in archive.namelist() if n.startswith("info-") and n.endswith(".tar.zst")), "")
        packed = archive.read(name)
    with zstandard.ZstdDecompressor().stream_reader(packed) as info:
        return _index_of_tar(io.BytesIO(info.read()), "r:")


def _index_of_tar(file: Any, mode: Any) -> Any:
    with tarfile.open(fileobj=file, mode=mode) as archive:
        member = archive.extractfile("info/index.json")
        return json.loads(member.read()) if member else None
