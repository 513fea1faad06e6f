"""The index of one subdir of a channel, in files that rattler reads: shards where few names are wanted, else whole.

A server may answer 403 for what it does not have, as S3 does to whoever may not list the bucket. So each form of an
index that is refused means that the next one is tried. A subdir of which the last form, ``repodata.json``, is refused,
too, is taken for one that is not there, as by conda, if the same credential can read noarch, which every channel has;
else it is an error.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

import msgspec

from keelback.channels.shards import records_of, shard_url, shown
from keelback.channels.target import path_of
from keelback.errors import ChannelError, CredentialError
from keelback.listing import REPODATA_LIMIT, decode_whole_shard_index
from keelback.repodata import REPODATA, REPODATA_ZST, SHARD_INDEX

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from keelback.channels.indexfiles import IndexFiles
    from keelback.channels.reader import Reader
    from keelback.errors import KeelbackError
    from keelback.listing import Shard, ShardIndex
    from keelback.repodata import Record

_log = logging.getLogger(__name__)

_NOARCH: Final = "noarch"

_SHARD_INDEX_PACKED: Final = 32 << 20
_REPODATA_PACKED: Final = 256 << 20
_SHARD_PACKED: Final = 4 << 20
"""How many bytes are read of each part of an index that comes packed."""

_AT_ONCE: Final = 32
"""How many shards are read at once; they are small."""

_RECORDS: Final = 1_000_000
"""How many records are looked at for dependencies at most: about all that conda-forge has for a platform."""

_ROUNDS: Final = 200
"""How deep dependencies may be nested: several times as deep as in conda-forge."""


class SubdirIndex:
    """The index of *subdir*.

    Args:
        reader: of the channel.
        files: where indexes are kept between runs.
        subdir: ``linux-64``, ``noarch``.
        workdir: a folder for files of this run.

    What is read is read once; safe to use from one thread at a time.
    """

    def __init__(self, reader: Reader, files: IndexFiles, subdir: str, workdir: Path) -> None:
        self.reader = reader
        self.subdir = subdir
        self._files = files
        self._workdir = workdir
        self._folder = f"{reader.url}/{subdir}/"
        self._records: dict[str, Mapping[str, Record]] = {}

    @property
    def has_shards(self) -> bool:
        """Whether the channel has shards for this subdir."""
        return self._shard_index is not None

    @cached_property
    def whole(self) -> Path | None:
        """``repodata.json`` with everything in it; ``None`` where the channel has no such subdir.

        Raises:
            CredentialError, ChannelError, TransportError: it cannot be read.
        """
        if self.reader.is_folder:
            file = path_of(self._folder + REPODATA)
            return file if file.is_file() else None
        refusals: list[KeelbackError] = []
        plain = self._form(REPODATA_ZST, [], _REPODATA_PACKED, REPODATA_LIMIT)
        plain = plain or self._form(REPODATA, refusals, REPODATA_LIMIT)
        if plain is None and (shard_index := self._shard_index) is not None:  # a channel with nothing but shards
            return self.of(shard_index.digests)
        return self._unless_absent(refusals[0]) if refusals else plain

    def _form(self, name: str, refusals: list[KeelbackError], limit: int, unpacked: int | None = None) -> Path | None:
        """The index from the file *name*; ``None`` where there is none, or where it may not be read: see *refusals*."""
        url = self._folder + name
        return self._files.get(self.reader, url, limit=limit, unpacked=unpacked, refusals=refusals)

    def _unless_absent(self, refusal: KeelbackError) -> Path | None:
        """The index after a *refusal*: with a credential that was not looked for before; ``None`` where there is none.

        Raises:
            CredentialError, ChannelError: it may not be read, and neither may noarch.
        """
        url = self._folder + REPODATA
        if self.reader.access(url) is None and self.reader.look_further(url):
            del self._shard_index
            return self.whole
        if self.subdir == _NOARCH or not self.reader.lets_read(f"{self.reader.url}/{_NOARCH}/", self._try_noarch):
            raise refusal
        _log.info("%s is refused, and noarch is not: taken for a subdir that is not there", shown(self._folder))
        return None

    def _try_noarch(self) -> bool:
        """Whether the channel has an index of noarch that may be read."""
        noarch = SubdirIndex(self.reader, self._files, _NOARCH, self._workdir)
        try:
            return noarch.has_shards or noarch.whole is not None
        except (CredentialError, ChannelError):
            return False

    def of(self, names: Collection[str]) -> Path | None:
        """A ``repodata.json`` with at least all records of the packages *names*; ``None`` as for :attr:`whole`.

        Raises:
            CredentialError, ChannelError, TransportError: it cannot be read.
        """
        if not self.has_shards:
            return self.whole
        assert self._shard_index is not None  # noqa: S101 - what has_shards says
        records = self.records(names)
        base_url = self._absolute(self._shard_index.base_url)
        file = self._workdir / f"{uuid.uuid4().hex}.json"
        conda = {filename: record for filename, record in records.items() if filename.endswith(".conda")}
        document = {
            "info": {"subdir": self.subdir, "base_url": base_url},
            "packages": {filename: record for filename, record in records.items() if filename not in conda},
            "packages.conda": conda,
            "repodata_version": 2,
        }
        try:
            file.write_bytes(msgspec.json.encode(document))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ChannelError(f"malformed shards of {shown(self._folder)}: {error}", code="bad-index") from error
        return file

    def records(self, names: Collection[str]) -> dict[str, Record]:
        """The records of the packages *names*, from file name to record; only where :attr:`has_shards`.

        Raises:
            CredentialError, ChannelError, TransportError: they cannot be read.
        """
        missing = [name for name in names if name not in self._records]
        if missing and self._shard_index is not None:
            found = ((name, self._shard_index.get(name)) for name in missing)
            shards = {name: shard for name, shard in found if shard is not None}
            self._records |= {name: {} for name in missing}
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="shard") as pool:
                self._records |= dict(zip(shards, pool.map(self._shard, shards.values()), strict=True))
        return {filename: record for name in names for filename, record in self._records[name].items()}

    def _absolute(self, base_url: str) -> str:
        """Where the archives are; raises ``ChannelError``."""
        try:
            return urljoin(self._folder, base_url)
        except ValueError as error:
            raise ChannelError(
                f"{shown(self._folder + SHARD_INDEX)}: the base_url {shown(base_url)!r} is not a valid URL",
                code="bad-index",
            ) from error

    @cached_property
    def _shard_index(self) -> ShardIndex | None:
        if self.reader.is_folder:
            return None
        file = self._form(SHARD_INDEX, [], _SHARD_INDEX_PACKED)
        return None if file is None else decode_whole_shard_index(file.read_bytes(), shown(self._folder + SHARD_INDEX))

    def _shard(self, shard: Shard) -> Mapping[str, Record]:
        url = shard_url(self._folder, shard)
        content = self._files.shard(shard.sha256)
        if content is None or hashlib.sha256(content).hexdigest() != shard.sha256:
            request = replace(self.reader.request(url), limit=_SHARD_PACKED)
            answer = self.reader.client.get(request)
            if answer.status != 200:
                raise self.reader.error(answer, url)
            content = answer.content
            if hashlib.sha256(content).hexdigest() != shard.sha256:
                raise ChannelError(f"{shown(url)} is not the shard that the index names", code="bad-index")
            self._files.keep_shard(shard.sha256, content)
        return records_of(content, url)


def closure(indexes: Sequence[SubdirIndex], names: Collection[str]) -> set[str]:
    """*names*, and those of all packages on which any version of them depends, as far as *indexes* know them.

    Raises:
        CredentialError, ChannelError, TransportError: one of them cannot be read.
    """
    known: set[str] = set()
    new = set(names)
    count = rounds = 0
    while new:
        known |= new
        records = [record for index in indexes for record in index.records(new).values()]
        count, rounds = count + len(records), rounds + 1
        if count > _RECORDS or rounds > _ROUNDS:
            raise ChannelError("the index has dependencies without an end", code="bad-index")
        new = {_name_in(spec) for record in records for spec in _dependencies(record)} - known
    return known


def _dependencies(record: Record) -> list[str]:
    """The dependencies of *record* that are text; other faults are found when it is read."""
    depends = record.get("depends")
    return [spec for spec in depends if isinstance(spec, str)] if isinstance(depends, list) else []


def _name_in(spec: str) -> str:
    """The name of the package in a dependency: ``numpy`` in ``conda-forge::numpy >=2,<3``."""
    name = spec.rpartition("::")[2].strip().lower()
    end = next((place for place, letter in enumerate(name) if letter in " =<>!~[;@"), len(name))
    return name[:end]
