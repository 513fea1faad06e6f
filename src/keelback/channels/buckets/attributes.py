"""The header fields with which the objects of a channel are served, by what they are.

Readers may keep an index for a few minutes, and what never changes for a year.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.channels.buckets.bucket import MD5, SHA256, Attributes
from keelback.repodata import SHARDS_FOLDER

if TYPE_CHECKING:
    from keelback.archive import PackageArchive

INDEX: Final = "max-age=300"
"""As long as rattler_index has an index kept: readers may take it for five minutes old. None of these says ``public``:
that would let caches that many share give one reader what another has got with a credential (RFC 9111, section 3.5)."""
FOR_EVER: Final = "max-age=31536000, immutable"
"""For what is named by its own content."""
ARCHIVE: Final = "max-age=3600"
"""An archive changes only where it is replaced with force. For an hour, a cache on the way to readers need not ask, and
may serve the old one beside the new index."""

_TYPES: Final = {
    ".json": "application/json",
    ".zst": "application/zstd",
    ".conda": "application/octet-stream",
    ".bz2": "application/x-tar",
}
_OTHER: Final = "application/octet-stream"


def index_attributes(key: str) -> Attributes:
    """Of the part of an index, or of what accompanies an archive, under *key*.

    ``.zst`` is what the content is, and not how it is encoded on its way: readers unpack it themselves.
    """
    subdir_and_name = key.split("/")
    for_ever = SHARDS_FOLDER in subdir_and_name[:-1] or ".sigs." in subdir_and_name[-1]
    suffix = f".{key.rpartition('.')[2]}"
    is_json = ".sigs" in subdir_and_name[-1]
    return Attributes("application/json" if is_json else _TYPES.get(suffix, _OTHER), FOR_EVER if for_ever else INDEX)


def archive_attributes(archive: PackageArchive) -> Attributes:
    """Of *archive*, with its hashes as metadata."""
    return Attributes(
        _TYPES.get(f".{archive.filename.rpartition('.')[2]}", _OTHER),
        ARCHIVE,
        f"attachment; filename={archive.filename}",
        {SHA256: archive.sha256, MD5: archive.md5},
    )
