"""The index files of one subdir on disk, replaced so that a reader finds a complete index at any moment.

New shards come first: they are named by their content, so nobody sees them until an index names them. Then everything
else is written under other names, and only renamed at the end (:meth:`NewIndex.publish`). Each file of the index is
compared with what it has to be, so the next run finishes what was cut short, whichever of the renames were done.
What a patched index was made from (:mod:`keelback.channels.patches`) is renamed before it.

A reader who holds the index of a moment ago still asks for the shards that it names. So a shard that no index names any
more stays for :data:`GRACE_SECONDS`, counted from when the last index dropped it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from keelback.channels.patches import FROM_PACKAGES, INSTRUCTIONS, NOTHING, decode_instructions, sources_of
from keelback.durable import remove, rename, sync_folder, write_synced
from keelback.errors import ChannelError
from keelback.repodata import (
    OUTDATED,
    REPODATA,
    REPODATA_ZST,
    SHARD_INDEX,
    SHARDS_FOLDER,
    check_repodata,
    compress_repodata,
    decode_repodata,
    decode_shard_hashes,
    decompress,
    encode_repodata,
    encode_shard_index,
    encode_shards,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from keelback.channels.patches import Sources
    from keelback.repodata import Repodata

GRACE_SECONDS: Final = 24 * 3600.0
"""How long a shard outlives the last index that named it: longer than any cache keeps an index without asking."""

_SHARD: Final = re.compile(r"([0-9a-f]{64})\.msgpack\.zst")
_WRITERS: Final = 8
"""How many shards are synced at once: a file system writes its journal once for all that wait for it."""


def check_index(folder: Path) -> None:
    """Check that the index in *folder*, if there is one, can be added to.

    Raises:
        ChannelError: it is malformed, or says what keelback cannot write again.
    """
    contents = [read_file(folder / name) for name in (REPODATA, FROM_PACKAGES, INSTRUCTIONS)]
    repodata, from_packages, instructions = contents
    with _named(folder):
        check_repodata(repodata or b"")
        if instructions is not None:
            decode_instructions(instructions, INSTRUCTIONS)
            check_repodata(from_packages or b"", FROM_PACKAGES)


def read_index(folder: Path) -> Repodata:
    """What the ``repodata.json`` in *folder* says; an empty one where there is none.

    Raises:
        ChannelError: as for :func:`check_index`.
    """
    content = read_file(folder / REPODATA)
    with _named(folder):
        return decode_repodata(content or b"")


def read_sources(folder: Path) -> Sources:
    """What the index in *folder* was made from; raises as :func:`check_index`."""
    contents = [read_file(folder / name) for name in (REPODATA, FROM_PACKAGES, INSTRUCTIONS)]
    with _named(folder):
        return sources_of(*contents)


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Name *folder* in errors."""
    try:
        yield
    except ChannelError as error:
        raise ChannelError(f"{folder}: {error}", hint=error.hint, code=error.code) from error


class NewIndex:
    """An index of a subdir that is written, but not in force yet; made by :meth:`prepare`.

    Args:
        folder: the subdir's.
        waiting: the new files, by the name that each will get, in this order.
        shards: the hashes of all shards that the index names.
        obsolete: the names of files that are of no use once the index is in force.
    """

    def __init__(
        self, folder: Path, waiting: Mapping[str, Path], shards: Collection[str], obsolete: Collection[str]
    ) -> None:
        self._folder = folder
        self._waiting = waiting
        self._shards = frozenset(shards)
        self._obsolete = obsolete

    @classmethod
    def prepare(cls, folder: Path, sources: Sources, workdir: Path) -> NewIndex:
        """Write what differs from the index that stands in *folder*.

        Args:
            folder: the subdir's.
            sources: what the index is made from.
            workdir: a folder on the same file system; nobody minds what a run that dies leaves there.
        """
        repodata = sources.index()
        shards = encode_shards(repodata.records, repodata.removed)
        hashes = {name: digest for name, (digest, _) in shards.items()}
        plain = encode_repodata(folder.name, repodata)
        shard_index = encode_shard_index(folder.name, hashes)
        beside = sources.files(folder.name)
        contents = {
            name: content for name, content in beside.items() if content not in (None, read_file(folder / name))
        }
        if beside[INSTRUCTIONS] is None and read_file(folder / INSTRUCTIONS) not in (None, NOTHING):
            contents[INSTRUCTIONS] = NOTHING
        before = read_file(folder / SHARD_INDEX)
        if before != shard_index:
            contents[SHARD_INDEX] = shard_index
        if not _is_packed(folder / REPODATA_ZST, plain):
            contents[REPODATA_ZST] = compress_repodata(plain)
        if read_file(folder / REPODATA) != plain:
            contents[REPODATA] = plain
        _write_shards(folder / SHARDS_FOLDER, dict(shards.values()), workdir)
        _retire(folder / SHARDS_FOLDER, _named_by(before) - set(hashes.values()))
        waiting = {name: workdir / secrets.token_hex(8) for name in contents}
        for name, file in waiting.items():
            write_synced(file, contents[name])
        return cls(folder, waiting, hashes.values(), [name for name, content in beside.items() if content is None])

    def remove_outdated(self) -> None:
        """Remove what other indexers wrote; before :meth:`publish`, so that a run which dies leaves it to the next."""
        if self._waiting:
            for name in OUTDATED:
                remove(self._folder / name)

    def publish(self) -> None:
        """Put it in force: a few renames, with nothing between them."""
        for name, file in self._waiting.items():
            rename(file, self._folder / name)
        sync_folder(self._folder)
        if self._waiting:
            for name in self._obsolete:
                remove(self._folder / name)

    def sweep(self) -> None:
        """Remove the shards that no reader can need any more."""
        oldest = time.time() - GRACE_SECONDS
        with os.scandir(self._folder / SHARDS_FOLDER) as entries:
            for entry in entries:
                shard = _SHARD.fullmatch(entry.name)
                if shard and shard[1] not in self._shards and entry.stat().st_mtime < oldest:
                    with contextlib.suppress(OSError):  # a reader on Windows has it open; the next run removes it
                        os.unlink(entry.path)  # noqa: PTH108 - a path is there already


def _write_shards(folder: Path, shards: Mapping[str, bytes], workdir: Path) -> None:
    """Write those of *shards* (from hash to content) that are not there."""
    folder.mkdir(exist_ok=True)
    there = {path.name for path in folder.iterdir()}
    missing = [digest for digest in shards if _shard(folder, digest).name not in there]

    def write(digest: str) -> None:
        waiting = workdir / digest
        write_synced(waiting, shards[digest])
        rename(waiting, _shard(folder, digest))

    if missing:
        with ThreadPoolExecutor(min(_WRITERS, len(missing)), thread_name_prefix="shards") as pool:
            for _ in pool.map(write, missing):
                pass
        sync_folder(folder)
        sync_folder(folder.parent)


def _retire(folder: Path, dropped: Collection[str]) -> None:
    """Set the time of each shard in *dropped*, to note that an index named it until now."""
    for digest in dropped:
        with contextlib.suppress(OSError):  # another owner's, or gone: then its own time counts
            os.utime(_shard(folder, digest))


def _named_by(shard_index: bytes | None) -> set[str]:
    try:
        return set() if shard_index is None else decode_shard_hashes(shard_index)
    except ChannelError:  # no reader got anything out of it, either
        return set()


def _shard(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.msgpack.zst"


def read_file(path: Path) -> bytes | None:
    """The content of *path*, or ``None`` where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _is_packed(path: Path, plain: bytes) -> bool:
    """Whether the file *path* is *plain*, compressed."""
    content = read_file(path)
    try:
        return content is not None and decompress(content, path.name, len(plain)) == plain
    except ChannelError:
        return False
