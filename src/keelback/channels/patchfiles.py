"""Patches of an index as people keep them: a file, a folder with one for each subdir, or a package of such a folder.

A package is what conda-forge and conda-build make of them: ``SUBDIR/patch_instructions.json`` among its files.
"""

from __future__ import annotations

import bz2
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from keelback.archive import SUBDIRS
from keelback.archive.findings import Unreadable
from keelback.archive.streams import BoundedReader
from keelback.archive.tar import TarReader
from keelback.channels.patches import INSTRUCTIONS, decode_instructions
from keelback.errors import ChannelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from keelback.channels.patches import Instructions

LARGEST: Final = 512 << 20
"""How many bytes the instructions for one subdir may have: ten times conda-forge's largest."""

_LARGEST_PACKAGE: Final = 4 * LARGEST
"""How many bytes a package of patches may unpack to."""
_MOST_MEMBERS: Final = 10_000
"""How many files a package of patches may have; there are two dozen subdirs."""

_SPECS: Final = ("depends", "constrains")
"""The members of a record that are lists of specs."""


def read_patches(path: Path, subdirs: Collection[str]) -> dict[str, Instructions]:
    """The instructions in *path*, by subdir.

    Args:
        path: ``patch_instructions.json`` under any name, a folder with ``SUBDIR/patch_instructions.json`` in it, or a
            ``.conda`` or ``.tar.bz2`` of such a folder.
        subdirs: those that are asked for; all, where it is empty. A file alone is for the one that is, or for the one
            after which its folder is named.

    Raises:
        UsageError: it cannot be read, or has no instructions for these subdirs; code ``bad-patch``: they cannot be
            followed, or have a member or a spec that means nothing to readers.
    """
    if not path.exists():
        raise UsageError(f"there is no {path}", hint="Check the path.")
    try:
        found = {subdir: content for subdir, content in _contents(path, subdirs) if not subdirs or subdir in subdirs}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}", hint="Name another file.") from error
    except (EOFError, Unreadable, zipfile.BadZipFile, zlib.error, _zstd_error()) as error:
        raise UsageError(f"{path} is damaged: {error}", hint="Build or download it again.") from error
    if not found:
        raise UsageError(
            f"{path} has no {INSTRUCTIONS} for {', '.join(subdirs) or 'any subdir'}",
            hint=f"Name a file, or a folder or a package with SUBDIR/{INSTRUCTIONS} in it.",
        )
    return {subdir: _decode(content, f"{path}: {subdir}/{INSTRUCTIONS}") for subdir, content in found.items()}


def _decode(content: bytes, what: str) -> Instructions:
    try:
        instructions = decode_instructions(content, what)
    except ChannelError as error:
        raise UsageError(error.message, hint=error.hint, code=error.code) from error
    for member, value in instructions.others.items():
        if value:
            raise _bad(f"{what} has a member {member!r}, which means nothing")
    _check_specs(what, instructions)
    return instructions


def _check_specs(what: str, instructions: Instructions) -> None:
    """Check that a solver can read each spec: a package with another one can never be installed."""
    from rattler import MatchSpec  # noqa: PLC0415 - large, and for patches only
    from rattler.exceptions import InvalidMatchSpecError  # noqa: PLC0415 - likewise

    checked = set()
    for filename, members in instructions.members.items():
        for member in _SPECS:
            for spec in members.get(member) or ():
                if spec in checked:
                    continue
                try:
                    MatchSpec(spec)
                except InvalidMatchSpecError as error:
                    raise _bad(f"{what} changes {member} of {filename} to an invalid spec, {spec!r}: {error}") from None
                checked.add(spec)


def _bad(message: str) -> UsageError:
    return UsageError(message, hint="Correct it, or have the tool that wrote it write it anew.", code="bad-patch")


def _contents(path: Path, subdirs: Collection[str]) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for subdir in SUBDIRS:
            file = path / subdir / INSTRUCTIONS
            if file.is_file():
                yield subdir, _read(file)
    elif path.name.endswith((".conda", ".tar.bz2")):
        yield from _of_package(path)
    else:
        yield _subdir_of(path, subdirs), _read(path)


def _subdir_of(path: Path, subdirs: Collection[str]) -> str:
    folder = path.absolute().parent.name
    subdir = next(iter(subdirs)) if len(subdirs) == 1 else folder
    if subdir not in SUBDIRS:
        raise UsageError(f"for which subdir is {path}?", hint="Say it with --subdir, such as --subdir linux-64.")
    return subdir


def _of_package(path: Path) -> Iterator[tuple[str, bytes]]:
    """The instructions among the files that a package installs, read in one pass."""
    with ExitStack() as until_read:
        if path.name.endswith(".conda"):
            package = until_read.enter_context(zipfile.ZipFile(path))
            payload = next((name for name in package.namelist() if name.startswith("pkg-")), None)
            if payload is None:
                raise Unreadable("damaged", "it has no files")
            stream = _unpacked(until_read.enter_context(package.open(payload)))
        else:
            stream = until_read.enter_context(bz2.open(path))
        tar = TarReader(BoundedReader(stream, _LARGEST_PACKAGE, "the package of patches"), "its tar")
        for number, member in enumerate(tar.members()):
            if number > _MOST_MEMBERS:
                raise Unreadable("too-large", f"it has more than {_MOST_MEMBERS} files, and is no package of patches")
            *folders, name = PurePosixPath(member.name).parts or ("",)
            if member.is_file and name == INSTRUCTIONS and len(folders) == 1 and folders[0] in SUBDIRS:
                if member.size > LARGEST:
                    raise _too_large(path)
                yield folders[0], tar.content()


def _unpacked(entry: IO[bytes]) -> IO[bytes]:
    import zstandard  # noqa: PLC0415 - for packages only

    reader: IO[bytes] = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(entry)
    return reader


def _zstd_error() -> type[Exception]:
    import zstandard  # noqa: PLC0415 - where something is damaged

    return zstandard.ZstdError


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise _too_large(file)
    return content


def _too_large(path: Path) -> UsageError:
    return UsageError(f"{path} has instructions of more than {LARGEST} bytes", hint="Name another file.")


def merged_patches(found: Collection[Mapping[str, Instructions]]) -> dict[str, Instructions]:
    """Those of several files, one after the other, as one."""
    result: dict[str, Instructions] = {}
    for patches in found:
        for subdir, instructions in patches.items():
            before = result.get(subdir)
            result[subdir] = instructions if before is None else before.with_patch(instructions)
    return result
