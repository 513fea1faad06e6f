"""The attestations of the archives in a bucket, each beside its archive, as CEP 50 has them.

As in a folder (:mod:`keelback.channels.sidecarfiles`): those of ``FILE`` are in ``FILE.sigs.HASH``, which never
changes, and in ``FILE.sigs``, which is the latest of these; the record has the hash. They are written in that order.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from keelback.attestationfiles import CURRENT, LARGEST_SIDECAR, pinned
from keelback.channels.buckets.attributes import index_attributes
from keelback.channels.buckets.bucket import ABSENT, Changed
from keelback.channels.sidecars import is_about, with_bundle
from keelback.errors import ChannelError

if TYPE_CHECKING:
    from keelback.archive import PackageArchive
    from keelback.channels.buckets.bucket import Bucket

_ATTEMPTS: Final = 50

MEMBER: Final = "attestations_sha256"
"""Of a record (CEP 50, repodata changes)."""


class SidecarObjects:
    """The attestations in *bucket*."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def add(self, archive: PackageArchive, attestation: bytes) -> str:
        """Have *attestation*, and what else there is for these bytes, beside *archive*.

        Returns:
            What its record has to name: a SHA-256 in hex.

        Raises:
            AttestationError: as for :func:`with_bundle`.
        """
        key = archive.relative_path + CURRENT
        for _ in range(_ATTEMPTS):
            found = self._bucket.read(key, limit=LARGEST_SIDECAR)
            before, condition = (None, ABSENT) if found is None else (found[0], found[1].version)
            content = with_bundle(before, attestation, archive.sha256)
            assert content is not None  # noqa: S101 - there is one bundle at least
            digest = hashlib.sha256(content).hexdigest()
            pin = archive.relative_path + pinned(digest)
            self._bucket.write(pin, content, index_attributes(pin))
            if content == before:
                return digest
            try:
                self._bucket.write(key, content, index_attributes(key), condition if self._bucket.conditional else None)
            except Changed:  # somebody else attests the same archive
                continue
            return digest
        raise ChannelError(
            f"the attestations of {self._bucket.url}/{archive.relative_path} were changed by others {_ATTEMPTS} times",
            hint="Run it again when they are done.",
            code="contended",
        )

    def of(self, archive: PackageArchive, *, write: bool = True) -> str | None:
        """The hash of the attestations that are beside *archive*, and about its bytes; ``None`` for none.

        Unless *write* is false, they are there under that hash, too.
        """
        found = self._bucket.read(archive.relative_path + CURRENT, limit=LARGEST_SIDECAR)
        if found is None or not is_about(found[0], archive.sha256):
            return None
        digest = hashlib.sha256(found[0]).hexdigest()
        pin = archive.relative_path + pinned(digest)
        if write and self._bucket.stat(pin) is None:
            self._bucket.write(pin, found[0], index_attributes(pin))
        return digest

    def remove(self, archive: PackageArchive) -> None:
        """Have none as the latest: those that are there are about other bytes."""
        self._bucket.delete(archive.relative_path + CURRENT)
