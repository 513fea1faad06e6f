"""The two formats of a package (CEP 35), by their names and first bytes."""

from __future__ import annotations

from typing import Final

from keelback.archive.findings import BUILD_AGAIN, Unreadable

CONDA: Final = ".conda"
TAR_BZ2: Final = ".tar.bz2"
EXTENSIONS: Final = (CONDA, TAR_BZ2)

MAX_INFO: Final = 256 << 20
"""Bytes of an unpacked ``info/``: hundreds of times the usual, and a second's work."""

_ZIP_START: Final = b"PK\x03\x04"
_BZ2_START: Final = b"BZh"
_WHAT_IT_IS: Final = (
    (_ZIP_START, "a zip"),
    (_BZ2_START, "bzip2"),
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"<", "HTML or XML, perhaps a server's error page saved under this name"),
    (b"{", "JSON, perhaps a server's answer saved under this name"),
)


def check_magic(start: bytes, extension: str) -> None:
    """Whether a file that starts with *start* can be what its *extension* says.

    Raises:
        Unreadable: it cannot; the message says what it is instead.
    """
    if start.startswith(_ZIP_START if extension == CONDA else _BZ2_START):
        return
    kind = next((name for magic, name in _WHAT_IT_IS if start.startswith(magic)), "something else")
    other = {"a zip": CONDA, "bzip2": TAR_BZ2}.get(kind)
    if other:
        hint = f"It was probably renamed: give it its own name back, ending in {other}. A name converts nothing."
        raise Unreadable("renamed", f"is {kind}, as a {other} is, but is called {extension}", hint=hint)
    raise Unreadable("not-an-archive", f"is not a {extension}: it is {kind}", hint=BUILD_AGAIN)
