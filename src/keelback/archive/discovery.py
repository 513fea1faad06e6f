"""Which archives the paths of a command line stand for."""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.archive.findings import named
from keelback.archive.formats import EXTENSIONS
from keelback.archive.source import reason
from keelback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROOMS: Final = frozenset({"bld", "broken", "pkgs", "src_cache", "work"})
"""Folders that conda-build, rattler-build and conda keep for themselves beside or above what they built: packages that
failed their tests, packages of others that were needed for building, sources."""


def discover(paths: Iterable[str | Path]) -> list[Path]:
    """The archives that *paths* stand for, sorted, each one once.

    A path is a ``.conda`` or ``.tar.bz2``; or a folder, of which all archives are taken at any depth, leaving out
    hidden folders, links to folders and the folders that build tools keep for themselves (such as ``broken``); or,
    when nothing of that name exists, a pattern with ``*``, ``?``, ``[...]`` and ``**``, of which the archives and
    folders that match are taken.

    Links to files keep their own name, unless the file itself is among the archives as well.

    Raises:
        keelback.errors.UsageError: there is no such file, no match for a pattern or no archive in a folder, or a file
            is no archive by its name. The message names it.
    """
    chosen: dict[str, Path] = {}
    for given in paths:
        for archive in _archives_of(os.fspath(given)):
            file = os.path.realpath(archive)
            if file not in chosen or chosen[file].is_symlink():
                chosen[file] = archive.parent.resolve() / archive.name
    return sorted(chosen.values())


def _archives_of(given: str) -> Iterator[Path]:
    if not given:
        raise UsageError("no such file: an empty name was given", hint="Perhaps a shell variable is not set.")
    mode = _mode(given)
    if mode is None:
        yield from _matches(given)
    elif stat.S_ISDIR(mode):
        yield from _in_folder(Path(given))
    elif given.endswith(EXTENSIONS):
        yield Path(given)
    else:
        raise UsageError(
            f"not a package: {named(given)}",
            hint="Packages end in .conda or .tar.bz2; folders are searched for them.",
        )


def _mode(given: str) -> int | None:
    """What kind of file it is; nothing when there is none."""
    try:
        return Path(given).stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if not glob.has_magic(given):
            raise UsageError(f"cannot look at {named(given)}: {reason(error)}") from error
        return None


def _matches(pattern: str) -> Iterator[Path]:
    if not glob.has_magic(pattern) or "\0" in pattern:
        raise UsageError(f"no such file: {named(pattern)}")
    count = 0
    for match in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
        path = Path(match)
        if path.is_dir():
            for archive in _walk(path, left_out=[]):
                count += 1
                yield archive
        elif match.endswith(EXTENSIONS):
            count += 1
            yield path
    if not count:
        raise UsageError(f"no files match: {named(pattern)}", hint="Patterns pick .conda and .tar.bz2 files.")


def _in_folder(folder: Path) -> Iterator[Path]:
    left_out: list[Path] = []
    count = 0
    for archive in _walk(folder, left_out):
        count += 1
        yield archive
    if not count:
        unseen = [each for each in left_out if any(_walk(each, left_out=[]))]
        names = ", ".join(named(os.fspath(each.relative_to(folder))) for each in unseen)
        raise UsageError(
            f"no packages in the folder {named(os.fspath(folder))}",
            hint=f"Those in {names} are left out; name that folder itself if they are the ones you mean."
            if unseen
            else "Packages end in .conda or .tar.bz2.",
        )


def _walk(folder: Path, left_out: list[Path]) -> Iterator[Path]:
    """The archives under *folder*; folders that are not searched are added to *left_out*."""
    for root, folders, files in os.walk(folder, onerror=_refuse):
        searched = [name for name in folders if not name.startswith(".") and name not in _ROOMS]
        left_out += [Path(root, name) for name in folders if name not in searched]
        folders[:] = searched
        for name in files:
            if name.endswith(EXTENSIONS):
                yield Path(root, name)


def _refuse(error: OSError) -> None:
    raise UsageError(f"cannot search the folder {named(str(error.filename))}: {reason(error)}") from error
