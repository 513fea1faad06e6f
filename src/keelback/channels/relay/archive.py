"""Archives in another channel: their bytes are read from there while they are sent."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from keelback.archive import PackageArchive
from keelback.archive.source import BLOCK_SIZE, LazyDigest, Source, Stamp
from keelback.channels.relay.stream import ArchiveStream, changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive
    from keelback.repodata import Record

_ABOUT_BYTES: Final = frozenset({"attestations_sha256", "channel", "fn", "md5", "sha256", "size", "url"})
"""Members of a record that are about the file, and not from its ``index.json``."""


class StreamedArchive(PackageArchive):
    """An archive whose bytes are read from another channel each time.

    What it says of itself is what the index of that channel says; made by :func:`streamed`.
    """

    __slots__ = ()
    streams: ClassVar[bool] = True

    def begin(self) -> None:
        """Read its first block now, which :meth:`blocks` then begins with; raises what :meth:`blocks` would."""
        self._streamed.begin()

    def end(self) -> None:
        """Free what :meth:`begin` read, if nobody used it."""
        self._streamed.end()

    @contextlib.contextmanager
    def at_hand(self, copy: PackageArchive) -> Iterator[StreamedArchive]:
        """The same archive with what *copy*, which is here, says of it; meanwhile, its bytes are read from there.

        Whoever keeps it longer, to write an index, still has it all; only its bytes come from the channel again.

        Raises:
            SourceChanged: its MD5 is not the one that is passed on.
        """
        self._streamed.verify_copy(copy)
        self._streamed.copy = copy
        try:
            yield replace(
                self, name=copy.name, version=copy.version, build=copy.build, index=copy.index, about=copy.about
            )
        finally:
            self._streamed.copy = None

    @property
    def _streamed(self) -> _StreamedSource:
        assert isinstance(self._source, _StreamedSource)  # noqa: S101 - see streamed()
        return self._source


def streamed(
    reader: Reader,
    archive: IndexedArchive,
    record: Record,
    retried: Callable[[float, str], None] | None = None,
    *,
    needs_md5: bool = True,
) -> StreamedArchive:
    """The *archive* of the channel of *reader*.

    Args:
        reader: of the channel.
        archive: with a size and a SHA-256.
        record: what the index says of it.
        retried: told the wait in seconds and the reason whenever its bytes are asked for again.
        needs_md5: whether its MD5 is passed on, so that the one in the index has to be right, too.
    """
    assert archive.size is not None  # noqa: S101 - see the arguments
    assert archive.sha256 is not None  # noqa: S101 - likewise
    md5_in_index = archive.md5 if needs_md5 else None
    source = _StreamedSource(reader, archive.url, archive.filename, archive.size, archive.sha256, md5_in_index, retried)
    md5 = LazyDigest(source, "md5") if archive.md5 is None else _KnownDigest(archive.md5)
    return StreamedArchive(
        path=Path(archive.subdir) / archive.filename,
        extension=".conda" if archive.filename.endswith(".conda") else ".tar.bz2",
        name=record["name"],
        version=record["version"],
        build=record["build"],
        subdir=archive.subdir,
        index=index_of(record),
        about={},
        findings=(),
        _source=source,
        _sha256=_KnownDigest(archive.sha256),
        _md5=md5,
    )


def index_of(record: Record) -> dict[str, Any]:
    """What is from the ``index.json`` of an archive in its *record*."""
    return {member: value for member, value in record.items() if member not in _ABOUT_BYTES}


class _KnownDigest(LazyDigest):
    """A hash that the index has."""

    def __init__(self, value: str) -> None:
        self._hex = value.lower()

    def hexdigest(self) -> str:
        return self._hex


class _StreamedSource(Source):
    """The bytes of one archive in another channel.

    Attributes:
        copy: of the archive, as long as there is one here.
    """

    def __init__(
        self,
        reader: Reader,
        url: str,
        filename: str,
        size: int,
        sha256: str,
        md5: str | None,
        retried: Callable[[float, str], None] | None,
    ) -> None:
        self.path = Path(filename)
        self.stamp = Stamp(0, 0, size, 0)  # all that is asked of it is the size
        self.copy: PackageArchive | None = None
        self._reader = reader
        self._url = url
        self._sha256 = sha256.lower()
        self._md5 = None if md5 is None else md5.lower()
        self._retried = retried
        self._begun: tuple[ArchiveStream, memoryview] | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        """See :meth:`StreamedArchive.begin`."""
        stream = self._stream()
        try:
            block = self._block(stream, min(BLOCK_SIZE, self.stamp.size), left=self.stamp.size)
        except BaseException:
            stream.close()
            raise
        with self._lock:
            self._begun = stream, block

    def end(self) -> None:
        """See :meth:`StreamedArchive.end`."""
        begun = self._take_begun()
        if begun is not None:
            begun[0].close()

    def blocks(self, size: int = BLOCK_SIZE, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """All of it, in blocks of *size* bytes; a part of it only while there is a copy here.

        The last block is handed out when the hashes of all bytes are those that the index has, so that nobody completes
        a body with other bytes, or passes on a hash that is not theirs.

        Raises:
            SourceChanged: it is not what the index names.
            CredentialError, ChannelError, TransportError, Interrupted: it cannot be read.
        """
        if self.copy is not None:
            yield from self.copy.blocks(size, start, length)
            return
        if size < 1 or start or length not in (None, self.stamp.size):
            raise ValueError("these bytes come from the first to the last, in blocks of one byte at least")
        stream, ready = self._take_begun() or (self._stream(), memoryview(b""))
        sha256 = hashlib.sha256()
        md5 = None if self._md5 is None else hashlib.md5(usedforsecurity=False)
        left = self.stamp.size
        with contextlib.closing(stream):
            while left:
                wanted = min(size, left)
                if ready:
                    block, ready = ready[:wanted], ready[wanted:]
                else:
                    block = self._block(stream, wanted, left)
                left -= len(block)
                sha256.update(block)
                if md5 is not None:
                    md5.update(block)
                if not left:
                    self._verify("SHA-256", sha256.hexdigest(), self._sha256)
                    self._verify("MD5", None if md5 is None else md5.hexdigest(), self._md5)
                yield block

    def _block(self, stream: ArchiveStream, size: int, left: int) -> memoryview:
        """The next *size* bytes of *stream*, of which *left* are to come; after the last, the connection is free."""
        block = memoryview(bytearray(size))
        if stream.fill(block) < size:
            raise changed(self._url, f"it has fewer than {self.stamp.size} bytes")
        if size == left:
            stream.end()
        return block

    def verify_copy(self, copy: PackageArchive) -> None:
        """Check that *copy*, whose SHA-256 is that of the index, also has its MD5, where that is passed on."""
        if self._md5 is not None:
            self._verify("MD5", copy.md5, self._md5)

    def _verify(self, name: str, found: str | None, expected: str | None) -> None:
        if found != expected:
            raise changed(self._url, f"its {name} is {found}, and not {expected}")

    def _stream(self) -> ArchiveStream:
        return ArchiveStream(self._reader, self._url, self.stamp.size, self._retried)

    def _take_begun(self) -> tuple[ArchiveStream, memoryview] | None:
        with self._lock:
            begun, self._begun = self._begun, None
        return begun
