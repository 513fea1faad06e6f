"""The attestations in a channel's folder on disk, each beside its archive (CEP 50).

Those of ``FILE`` are in ``FILE.sigs.HASH``, which never changes, and in ``FILE.sigs``, which is the latest of these.
The record of ``FILE`` has the hash, in all forms of the index. What is new is written in this order: the file with the
hash, the file without, the index. So whoever holds an index finds what it names.

Earlier ones stay as long as their archive does. They go when its bytes do, once no index names them any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING, Final

from keelback.attestationfiles import CURRENT, LARGEST_SIDECAR, pinned, read_start
from keelback.channels.sidecars import is_about, with_bundle
from keelback.durable import remove, rename, write_synced
from keelback.indexed import is_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from keelback.repodata import Record, Repodata

_MEMBER: Final = "attestations_sha256"
"""Of a record (CEP 50, repodata changes)."""

_SIDECAR: Final = re.compile(r"(?P<filename>.+)\.sigs(?:\.[0-9a-f]{64})?")


class SidecarFiles:
    """The attestations in the subdir *folder* of a channel; the caller holds its lock.

    Args:
        folder: the subdir's.
        new_file: gives a path for a file on its way, on the same file system.
    """

    def __init__(self, folder: Path, new_file: Callable[[], Path]) -> None:
        self._folder = folder
        self._new_file = new_file

    def add(self, filename: str, sha256: str, attestation: bytes | None) -> None:
        """Write *attestation*, and the other ones for these bytes, beside a file that is about to come.

        Args:
            filename: the file's.
            sha256: the file's, hex.
            attestation: a bundle, if it comes with one.

        Raises:
            AttestationError: as for :func:`with_bundle`.
        """
        content = self._with(attestation, filename, sha256)
        if content is not None:
            self._pin(filename, content)
        self.renew({filename: content})

    def check(self, filename: str, sha256: str, attestation: bytes | None) -> None:
        """Check that :meth:`advertise` can take *attestation*; raises as :meth:`add`."""
        self._with(attestation, filename, sha256)

    def advertise(self, repodata: Repodata, coming: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """Name the attestations in the records of *repodata*, and write the files that they name.

        Args:
            repodata: what the index is to say; changed.
            coming: from the names of files that are about to be replaced to the attestation that comes with each.

        Returns:
            What :meth:`renew` is to be given when these are replaced.

        Raises:
            AttestationError: as for :func:`with_bundle`.
        """
        there = {path.name for path in self._folder.iterdir()}
        renewed = {}
        for filename, record in repodata.records.items():
            has_some = filename in coming or filename + CURRENT in there or _MEMBER in record
            sha256 = record.get("sha256")
            is_here = filename in there or filename in coming
            if not is_here or not has_some or not isinstance(sha256, str):
                continue  # a record whose file is not here stays as somebody else wrote it
            content = self._with(coming.get(filename), filename, sha256, record.get(_MEMBER))
            repodata.records[filename] = _advertising(record, content)
            if content is not None:
                self._pin(filename, content)
            if filename in coming:
                renewed[filename] = content
            elif content is not None:
                self.renew({filename: content})
        return renewed

    def renew(self, contents: Mapping[str, bytes | None]) -> None:
        """Write *contents*, by file name, as the latest attestations; ``None`` removes them."""
        for filename, content in contents.items():
            path = self._folder / f"{filename}{CURRENT}"
            if content is None:
                remove(path)
            elif content != _read(path):
                self._write(path, content)

    def sweep(self, records: Mapping[str, Record]) -> None:
        """Remove what is about other bytes than those of *records*, by file name; these have to be in force."""
        for path in list(self._folder.iterdir()) if records else ():
            found = _SIDECAR.fullmatch(path.name)
            sha256 = records.get(found["filename"], {}).get("sha256") if found else None
            if isinstance(sha256, str) and not is_about(_read(path) or b"", sha256):
                with contextlib.suppress(OSError):  # a reader on Windows has it open; it does no harm
                    path.unlink(missing_ok=True)

    def _with(self, attestation: bytes | None, filename: str, sha256: str, named: object = None) -> bytes | None:
        return with_bundle(self._current(filename, sha256, named), attestation, sha256)

    def _current(self, filename: str, sha256: str, named: object = None) -> bytes | None:
        """The latest attestations of the file with the hash *sha256*.

        A run that died while it replaced the file may have left others in their place: then those that are *named*.
        """
        suffixes = [CURRENT, pinned(str(named))] if is_sha256(named) else [CURRENT]
        contents = (_read(self._folder / f"{filename}{suffix}") for suffix in suffixes)
        return next((content for content in contents if content is not None and is_about(content, sha256)), None)

    def _pin(self, filename: str, content: bytes) -> None:
        path = self._folder / f"{filename}{pinned(hashlib.sha256(content).hexdigest())}"
        if not path.exists():
            self._write(path, content)

    def _write(self, path: Path, content: bytes) -> None:
        new = self._new_file()
        write_synced(new, content)
        rename(new, path)


def _read(path: Path) -> bytes | None:
    return read_start(path, LARGEST_SIDECAR)


def _advertising(record: Record, content: bytes | None) -> Record:
    others = {member: value for member, value in record.items() if member != _MEMBER}
    return others if content is None else {**others, _MEMBER: hashlib.sha256(content).hexdigest()}
