"""Turns entries of a channel's index into archives that can be sent: streamed, or downloaded where needed."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from keelback.archive import inspect
from keelback.channels.downloading import download_archive
from keelback.channels.relay.archive import index_of, streamed
from keelback.channels.relay.stream import ArchiveStream, changed
from keelback.channels.target import path_of
from keelback.errors import ChannelError
from keelback.transport import Expected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from keelback.archive import PackageArchive
    from keelback.channels.reader import Reader
    from keelback.channels.relay.archive import StreamedArchive
    from keelback.indexed import IndexedArchive
    from keelback.repodata import Record
    from keelback.report import Reporter

_BLOCK: Final = 1 << 20
_LARGEST: Final = 16 << 30
"""How many bytes of an archive of unknown size are read at most: a server may send without end."""


class Supply:
    """The archives of one channel, as they can be sent to another; safe to use from several threads at once.

    Args:
        reader: of the channel.
        records: what its index says, by relative path; or why that cannot be used.
        workdir: a folder for archives that have to be here while they are sent.
        needs_md5: whether the other channel asks for it.
        trusts_index: whether what the index says of an archive may be passed on; otherwise the archive is read.
        reporter: who is told.
    """

    def __init__(
        self,
        reader: Reader,
        records: Mapping[str, Record | ChannelError],
        workdir: Path,
        *,
        needs_md5: bool,
        trusts_index: bool,
        reporter: Reporter,
    ) -> None:
        self.reader = reader
        self._records = records
        self._workdir = workdir
        self._needs_md5 = needs_md5
        self._trusts_index = trusts_index
        self._reporter = reporter
        self._indexed: dict[str, IndexedArchive] = {}

    def archive(self, indexed: IndexedArchive) -> PackageArchive:
        """The archive that is *indexed*, whose size and hashes are known.

        What the index does not say of it is found by reading it once.

        Raises:
            SourceChanged: it is not what the index names.
            ArchiveError: it is here, and cannot be published.
            CredentialError, ChannelError, TransportError, Interrupted: it cannot be read.
        """
        record = self._records[indexed.relative_path]
        if isinstance(record, ChannelError):
            raise record
        if indexed.url.startswith("file:"):
            return self._local(indexed, record)
        retried = self._retried(indexed)
        if None in (indexed.size, indexed.sha256) or (self._needs_md5 and indexed.md5 is None):
            indexed = _learned(self.reader, indexed, retried)
        self._indexed[indexed.relative_path] = indexed
        return streamed(self.reader, indexed, record, retried, needs_md5=self._needs_md5)

    def indexed(self, archive: PackageArchive) -> IndexedArchive:
        """What the index says of *archive*, and what was found by reading it."""
        return self._indexed[archive.relative_path]

    @contextlib.contextmanager
    def here(self, archive: StreamedArchive) -> Iterator[StreamedArchive]:
        """*archive* with a copy of it on this machine's disk, checked as for ``publish``; that is removed in the end.

        Raises:
            ArchiveError: it cannot be published.
            ChannelError: as for :func:`keelback.transport.download`; code ``disk``: there is no room for it.
            CredentialError, TransportError, Interrupted: it cannot be read.
        """
        folder = self._workdir / uuid.uuid4().hex
        path = folder / archive.subdir / archive.filename
        try:
            with _explained(path):
                path.parent.mkdir(parents=True)
                indexed = self.indexed(archive)
                expected = Expected(size=indexed.size, sha256=indexed.sha256)
                download_archive(self.reader, indexed, path, expected=expected, retried=self._retried(indexed))
            with archive.at_hand(inspect(path, subdir=archive.subdir)) as found:
                yield found
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _local(self, indexed: IndexedArchive, record: Record) -> PackageArchive:
        """An archive of a channel in a folder, compared with its index."""
        archive = inspect(path_of(indexed.url), subdir=indexed.subdir)
        if indexed.size not in (None, archive.size):
            raise changed(indexed.url, f"it has {archive.size} bytes, and not {indexed.size}")
        if indexed.sha256 is not None and archive.sha256 != indexed.sha256.lower():
            raise changed(indexed.url, f"its SHA-256 is {archive.sha256}, and not {indexed.sha256}")
        if indexed.sha256 is None and indexed.md5 is not None and archive.md5 != indexed.md5.lower():
            raise changed(indexed.url, f"its MD5 is {archive.md5}, and not {indexed.md5}")
        self._indexed[indexed.relative_path] = replace(indexed, size=archive.size, sha256=archive.sha256)
        return replace(archive, index=index_of(record)) if self._trusts_index else archive

    def _retried(self, indexed: IndexedArchive) -> Callable[[float, str], None]:
        return lambda seconds, why: self._reporter.waiting(indexed, seconds, why)


def _learned(reader: Reader, archive: IndexedArchive, retried: Callable[[float, str], None]) -> IndexedArchive:
    """*archive* with its size and all hashes, for which all of it is read, and nothing kept."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    buffer = memoryview(bytearray(_BLOCK))
    with contextlib.closing(ArchiveStream(reader, archive.url, archive.size, retried)) as stream:
        while count := stream.fill(buffer[: _BLOCK if archive.size is None else min(_BLOCK, archive.size - size)]):
            sha256.update(buffer[:count])
            md5.update(buffer[:count])
            size += count
            if size > _LARGEST:
                raise changed(archive.url, f"it has more than {_LARGEST} bytes")
        stream.end()
    found = replace(archive, size=size, sha256=sha256.hexdigest(), md5=md5.hexdigest())
    for name, known, now in (("SHA-256", archive.sha256, found.sha256), ("MD5", archive.md5, found.md5)):
        if known is not None and known.lower() != now:
            raise changed(archive.url, f"its {name} is {now}, and not {known}")
    return found


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what to do where the disk has no room for an archive."""
    hint = "Name a folder on another disk in the variable TMPDIR (on Windows: TMP), or copy fewer at once: --jobs 1."
    try:
        yield
    except OSError as error:
        raise ChannelError(f"{path} cannot be written: {error.strerror or error}", hint=hint, code="disk") from error
    except ChannelError as error:
        if error.code == "disk":
            error.hint = hint
        raise
