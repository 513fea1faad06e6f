"""Everything that can be wrong with a set of archives before any of them is sent."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from keelback.archive import Finding, PackageArchive, Severity, discover, inspect
from keelback.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Checked:
    """A set of archives that was read and checked.

    Attributes:
        archives: those that can be published, in order of their paths.
        findings: what was found, errors and warnings, of all files.
        broken: the files that cannot be published, with their first error.
    """

    archives: Sequence[PackageArchive]
    findings: Sequence[Finding]
    broken: Sequence[tuple[Path, Finding]]

    @property
    def ok(self) -> bool:
        """Whether every file can be published."""
        return not self.broken


class Hasher:
    """Hashes archives on as many threads as there are processors, from the moment they are known."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="hash")
        self._work: list[Future[str]] = []

    def sha256(self, archives: Iterable[PackageArchive]) -> None:
        """Begin to compute the SHA-256 of *archives*."""
        self._work += [self._pool.submit(attrgetter("sha256"), archive) for archive in archives]

    def md5(self, archives: Iterable[PackageArchive]) -> None:
        """Begin to compute the MD5 of *archives*."""
        self._work += [self._pool.submit(attrgetter("md5"), archive) for archive in archives]

    def wait(self) -> None:
        """Wait for all of it.

        Raises:
            SourceChanged: an archive changed or vanished meanwhile.
        """
        for future in self._work:
            future.result()

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def check(paths: str | Path | Iterable[str | Path], *, subdir: str | None = None) -> Checked:
    """Read and check archives, without sending anything.

    Args:
        paths: files, folders (with all in them) and patterns.
        subdir: where archives belong that do not say it themselves.

    Raises:
        UsageError: a path stands for no archive.
    """
    found = discover([paths] if isinstance(paths, str | Path) else paths)
    archives: list[PackageArchive] = []
    findings: list[Finding] = []
    broken: list[tuple[Path, Finding]] = []
    for path, result in zip(found, _inspect_all(found, subdir), strict=True):
        findings += result.findings
        if isinstance(result, ArchiveError):
            broken.append((path, result.findings[0]))
        else:
            archives.append(result)
    kept = _without_duplicates(archives, findings, broken)
    return Checked(kept, findings, broken)


def _inspect_all(paths: Sequence[Path], subdir: str | None) -> list[PackageArchive | ArchiveError]:
    """What each of *paths* is, side by side; Ctrl-C waits only for those under way."""
    pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="check")
    try:
        return list(pool.map(lambda path: _inspect(path, subdir), paths))
    finally:
        pool.shutdown(cancel_futures=True)


def _inspect(path: Path, subdir: str | None) -> PackageArchive | ArchiveError:
    try:
        return inspect(path, subdir=subdir)
    except ArchiveError as error:
        return error


def _without_duplicates(
    archives: Sequence[PackageArchive], findings: list[Finding], broken: list[tuple[Path, Finding]]
) -> list[PackageArchive]:
    """One archive a name in the channel: copies are left out and named; different ones of one name are an error."""
    kept: dict[str, PackageArchive] = {}
    for archive in archives:
        first = kept.setdefault(archive.relative_path, archive)
        if first is archive:
            continue
        same = first.size == archive.size and first.sha256 == archive.sha256
        finding = Finding(
            Severity.WARNING if same else Severity.ERROR,
            "duplicate",
            archive.path,
            "",
            f"the same file as {first.path}" if same else f"has the name of {first.path}, and other bytes",
            "" if same else "publish one of them only",
        )
        findings.append(finding)
        if not same:
            broken.append((archive.path, finding))
    return list(kept.values())
