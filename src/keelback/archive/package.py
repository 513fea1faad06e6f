"""What a package says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from keelback.archive.source import BLOCK_SIZE, LazyDigest, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from keelback.findings import Finding


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PackageArchive:
    """A ``.conda`` or ``.tar.bz2`` that passed its checks; made by :func:`keelback.archive.inspect`.

    Attributes:
        path: where it is.
        extension: ``.conda`` or ``.tar.bz2``.
        name: package name, as ``info/index.json`` has it.
        version: version, likewise.
        build: build string, likewise.
        subdir: the subdir it belongs in; see :func:`keelback.archive.inspect` for where that comes from when
            ``index`` has none.
        index: ``info/index.json`` as it is in the archive; do not change what it holds.
        about: ``info/about.json``, likewise; empty when the archive has none.
        findings: the warnings.
        streams: whether its bytes come from elsewhere, so that :meth:`blocks` gives them from the first on, and each
            time fetches them anew.
    """

    streams: ClassVar[bool] = False
    path: Path
    extension: str
    name: str
    version: str
    build: str
    subdir: str
    index: Mapping[str, Any]
    about: Mapping[str, Any]
    findings: tuple[Finding, ...]
    _source: Source
    _sha256: LazyDigest
    _md5: LazyDigest

    def __repr__(self) -> str:
        return f"<PackageArchive {self.relative_path}, {self.size} bytes>"

    @property
    def filename(self) -> str:
        """The name of the file, without its folder."""
        return self.path.name

    @property
    def relative_path(self) -> str:
        """Where it goes in a channel: ``<subdir>/<filename>``."""
        return f"{self.subdir}/{self.filename}"

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._source.stamp.size

    @property
    def sha256(self) -> str:
        """Its SHA-256 in hexadecimal, computed at first use.

        Raises:
            keelback.errors.SourceChanged: the file is no longer the one that was checked.
        """
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """Its MD5 in hexadecimal, computed at first use; another thread may compute the SHA-256 beside it.

        Raises:
            keelback.errors.SourceChanged: the file is no longer the one that was checked.
        """
        return self._md5.hexdigest()

    def blocks(self, size: int = BLOCK_SIZE, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """Its bytes for sending, exactly :attr:`size` of them, in blocks of *size* bytes; or *length* from *start* on.

        Raises:
            keelback.errors.SourceChanged: the file is gone or no longer the one that was checked. That is found out
                before the last block is handed out, so that no server receives the whole body of a changed file.
        """
        return self._source.blocks(size, start, length)
