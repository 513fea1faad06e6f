"""Lock files: the URLs and hashes of archives, in the form that conda, mamba and pixi install from (``@EXPLICIT``).

Each line is ``URL#sha256:HASH`` (conda, ``conda/misc.py``, ``explicit``). Credentials are never in it: they are found
anew for each URL when it is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from keelback.archive import SUBDIRS
from keelback.errors import ChannelError, UsageError
from keelback.indexed import IndexedArchive, holds_credential, is_file_here, is_filename
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_EXPLICIT: Final = "@EXPLICIT"
_LARGEST: Final = 16 << 20
_PRINTABLE: Final = re.compile(r"[!-~]*")
_SEGMENT: Final = r"[^/#\\]+"
_LINE: Final = re.compile(
    rf"(?P<url>(?:(?:(?:s3\+)?https?|s3|gs|az)://[^/%#\\]+|file://)(?:/[^/#\\]*)*/(?P<subdir>{_SEGMENT})/(?P<file>{_SEGMENT}))"
    r"(?:#(?:(?P<md5>[0-9a-fA-F]{32})|(?:sha256:)?(?P<sha256>[0-9a-fA-F]{64})))?"
)


def lock_text(archives: Collection[IndexedArchive]) -> str:
    """The lock file of *archives*, in an order of its own: the same archives give the same text.

    Raises:
        ChannelError: code ``bad-index``: a secret would be in it.
    """
    for archive in archives:
        if redact(archive.url) != archive.url:
            raise ChannelError(
                f"no lock file was written: the URL of {archive.filename} has a secret in it", code="bad-index"
            )
    lines = sorted(f"{archive.url}{_hash(archive)}" for archive in archives)
    subdirs = sorted({archive.subdir for archive in archives if archive.subdir != "noarch"})
    platform = f"# platform: {subdirs[0]}\n" if len(subdirs) == 1 else ""
    return f"# Made by keelback; fetch it again with: keelback fetch --locked FILE\n{platform}{_EXPLICIT}\n" + "".join(
        f"{line}\n" for line in lines
    )


def read_lock(path: Path) -> list[IndexedArchive]:
    """The archives that the lock file *path* names.

    Raises:
        UsageError: it cannot be read, or a line of it is malformed; a secret that is in one is not shown.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1).decode()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    if len(text) > _LARGEST:
        raise UsageError(f"{path} is larger than {_LARGEST} bytes, too large for a lock file")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines or lines[0][1] != _EXPLICIT:
        raise UsageError(f"{path} is not a valid lock file", hint=f"Its first line, but for comments, is {_EXPLICIT}.")
    return [_archive(line, f"{path}: line {number}") for number, line in lines[1:]]


def _archive(line: str, place: str) -> IndexedArchive:
    found = _LINE.fullmatch(line) if _PRINTABLE.fullmatch(line) else None
    if found is not None and found["url"].startswith("file:") and not is_file_here(found["url"]):
        found = None
    filename = unquote(found["file"]) if found else ""
    if found is None or found["subdir"] not in SUBDIRS or not is_filename(filename):
        raise UsageError(f"{place}: {redact(line[:200])!r} is not a valid URL of an archive with a hash")
    if holds_credential(found["url"]):
        raise UsageError(
            f"{place}: there is a credential in the URL", hint="Take it out, and store it: keelback auth login HOST."
        )
    if found["sha256"] is None and found["md5"] is None:
        raise UsageError(f"{place}: {filename} has no hash", hint="Write URL#sha256:HASH.")
    name, version, build = filename.removesuffix(".conda").removesuffix(".tar.bz2").rsplit("-", 2)
    return IndexedArchive(
        name=name,
        version=version,
        build=build,
        subdir=found["subdir"],
        filename=filename,
        url=found["url"],
        sha256=found["sha256"] and found["sha256"].lower(),
        md5=found["md5"] and found["md5"].lower(),
    )


def _hash(archive: IndexedArchive) -> str:
    if archive.sha256 is not None:
        return f"#sha256:{archive.sha256}"
    return "" if archive.md5 is None else f"#{archive.md5}"
