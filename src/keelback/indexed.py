"""An archive as the index of its channel has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from keelback.archive import SUBDIRS
from keelback.errors import ChannelError
from keelback.findings import printable

_PART: Final = "[A-Za-z0-9_.!+]+"
_FILENAME: Final = re.compile(rf"[A-Za-z0-9_.][A-Za-z0-9_.!+-]*-{_PART}-{_PART}\.(?:conda|tar\.bz2)")
"""``NAME-VERSION-BUILD`` and a suffix (CEP 26, distribution string): names that mean one file on every system."""

_SHA256: Final = re.compile("[0-9a-f]{64}")

_LONGEST: Final = 255

_DEVICES: Final = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)),
}
"""What is a device on Windows, in every folder, whatever comes after the first dot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedArchive:
    """An archive as the index of its channel has it.

    Attributes:
        name, version, build, subdir, filename: what the index says of it.
        url: where its bytes are; no credential is in it.
        size: in bytes; ``None`` where the index does not say.
        sha256, md5: hex; ``None`` where the index does not say.
        attestations_sha256: of the attestations beside it, hex in lower case (CEP 50); ``None`` where the index names
            none.
        has_record: whether an index says all this, and not a lock file, which has less to say.

    Raises:
        ChannelError: code ``bad-index``: the file has a name that must not be given to a file, its URL has a
            credential in it, or the hash of its attestations is none.
    """

    name: str
    version: str
    build: str
    subdir: str
    filename: str
    url: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    attestations_sha256: str | None = None
    has_record: bool = False

    def __post_init__(self) -> None:
        if not is_filename(self.filename) or self.subdir not in SUBDIRS:
            shown = printable(f"{self.subdir}/{self.filename}"[:120])
            raise ChannelError(f"the index has an archive called {shown!r}, which no archive can be", code="bad-index")
        if holds_credential(self.url):
            raise ChannelError(f"the index has a credential in the URL of {self.filename}", code="bad-index")
        if self.attestations_sha256 is not None and not is_sha256(self.attestations_sha256):
            raise ChannelError(f"the index has no valid hash of the attestations of {self.filename}", code="bad-index")

    @property
    def relative_path(self) -> str:
        """``SUBDIR/FILE``, as in the channel."""
        return f"{self.subdir}/{self.filename}"


def is_sha256(text: object) -> bool:
    """Whether *text* is a SHA-256 as CEP 50 has it: 64 hexadecimal digits in lower case."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def is_filename(name: str) -> bool:
    """Whether an archive can have the file name *name*: one segment, with nothing in it that a system takes apart."""
    if len(name) > _LONGEST or name.partition(".")[0].lower() in _DEVICES:
        return False
    return _FILENAME.fullmatch(name) is not None


def without_credential(url: str) -> str:
    """*url* without a user and a password, and without conda's ``/t/TOKEN`` at the beginning of its path.

    An index may have such URLs in it. Which credential is sent is found by the host, as for every other URL.
    """
    parts = urlsplit(url)
    segments = parts.path.split("/")
    if len(segments) > 3 and unquote(segments[1]) == "t":
        del segments[1:3]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], path="/".join(segments)).geturl()


def holds_credential(url: str) -> bool:
    """Whether there is a place in *url* where credentials are: before an ``@``, in a query, after ``/t/``."""
    parts = urlsplit(url)
    return bool(
        "@" in parts.netloc
        or parts.query
        or parts.fragment
        or "t" in [unquote(segment) for segment in parts.path.split("/")[:-2]]
    )


def is_file_here(url: str) -> bool:
    """Whether *url*, a ``file`` URL, is one of this machine, and not, as Windows reads some, of another."""
    return re.match(r"file:///[^/\\]", url) is not None and not re.search(r"\\|%(?:2f|5c)", url, re.IGNORECASE)


def package_name(filename: str) -> str:
    """The name of the package in *filename*: what comes before version and build (CEP 26, distribution string)."""
    return filename.rsplit("-", 2)[0]
