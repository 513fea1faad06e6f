"""The attestations of the archives in a bucket, each beside its archive, as CEP 50 has them.

As in a folder (:mod:`keelback.channels.sidecarfiles`): those of ``FILE`` are in ``FILE.sigs.HASH``, which never
changes, and in ``FILE.sigs``, which is the latest of these; the record has the hash. They are written in that order,
the latest not before the archive is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from typing import TYPE_CHECKING, Final

from keelback.attestationfiles import CURRENT, LARGEST_SIDECAR, pinned
from keelback.channels.buckets.attributes import index_attributes
from keelback.channels.buckets.bucket import ABSENT, Changed
from keelback.channels.sidecars import is_about, with_bundle
from keelback.errors import ChannelError
from keelback.repodata import record_of

if TYPE_CHECKING:
    from keelback.archive import PackageArchive
    from keelback.channels.buckets.bucket import Bucket, Condition
    from keelback.repodata import Record

_ATTEMPTS: Final = 50
_MOST_PINS: Final = 16
"""How many attestations of one name are looked through for those of an archive."""

MEMBER: Final = "attestations_sha256"
"""Of a record (CEP 50, repodata changes)."""


def attested_record(archive: PackageArchive, pin: str | None) -> Record:
    """The record of *archive*, which names the attestations with the hash *pin*; ``None`` where there are none."""
    return record_of(archive) if pin is None else {**record_of(archive), MEMBER: pin}


class SidecarObjects:
    """The attestations in *bucket*."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def pin(self, archive: PackageArchive, attestation: bytes) -> str:
        """Have *attestation*, and what else there is for these bytes, under its hash; the latest stay what they are.

        So an archive that is not there yet, or never will be, takes nothing from the one that is.

        Returns:
            What its record has to name: a SHA-256 in hex.

        Raises:
            AttestationError: as for :func:`with_bundle`.
        """
        content, _, _ = self._joined(archive.relative_path, archive.sha256, attestation)
        return self._pin(archive.relative_path, content)

    def add(self, relative_path: str, sha256: str, attestation: bytes) -> str:
        """Have *attestation*, and what else there is for the bytes of an archive, as its latest.

        Args:
            relative_path: of the archive.
            sha256: of its bytes, in hex.
            attestation: a bundle, or a whole sidecar.

        Returns:
            What its record has to name: a SHA-256 in hex.

        Raises:
            AttestationError: as for :func:`with_bundle`.
        """
        key = relative_path + CURRENT
        for _ in range(_ATTEMPTS):
            content, before, condition = self._joined(relative_path, sha256, attestation)
            digest = self._pin(relative_path, content)
            if content == before:
                return digest
            try:
                self._bucket.write(key, content, index_attributes(key), condition if self._bucket.conditional else None)
            except Changed:  # somebody else attests the same archive
                continue
            return digest
        raise self._contended(relative_path)

    def settle(self, relative_path: str, sha256: str, pin: str | None) -> None:
        """Have the latest attestations be about the bytes that are there now.

        Args:
            relative_path: of the archive.
            sha256: of its bytes, in hex.
            pin: the hash under which its attestations are; ``None`` where it came without.
        """
        pins = None if pin is None else self._bucket.read(relative_path + pinned(pin), limit=LARGEST_SIDECAR)
        if pins is not None:
            self.add(relative_path, sha256, pins[0])
            return
        key = relative_path + CURRENT
        for _ in range(_ATTEMPTS):
            found = self._bucket.read(key, limit=LARGEST_SIDECAR)
            if found is None or is_about(found[0], sha256):
                return
            with contextlib.suppress(Changed):  # somebody else attests the archive that is there now
                self._bucket.delete(key, found[1].version)
                return
        raise self._contended(relative_path)

    def remove(self, relative_path: str, sha256: str) -> None:
        """Delete the attestations of an archive that is gone; those of what somebody puts in its place stay.

        Args:
            relative_path: of the archive.
            sha256: of its bytes, in hex.
        """
        pins = (stored.key for stored in self._bucket.list(relative_path + pinned(""), folder=True))
        for key in [relative_path + CURRENT, *pins]:  # the list may lag behind what is there
            found = self._bucket.read(key, limit=LARGEST_SIDECAR)
            if found is not None and is_about(found[0], sha256):
                with contextlib.suppress(Changed):
                    self._bucket.delete(key, found[1].version)

    def _contended(self, relative_path: str) -> ChannelError:
        return ChannelError(
            f"the attestations of {self._bucket.url}/{relative_path} were changed by others {_ATTEMPTS} times",
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

    def found(self, archive: PackageArchive) -> str | None:
        """As :meth:`of`, also where a killed run left them under their hash only."""
        digest = self.of(archive)
        if digest is not None:
            return digest
        prefix = archive.relative_path + pinned("")
        for stored in itertools.islice(self._bucket.list(prefix, folder=True), _MOST_PINS):
            pins = self._bucket.read(stored.key, limit=LARGEST_SIDECAR)
            if pins is not None and is_about(pins[0], archive.sha256):
                return self.add(archive.relative_path, archive.sha256, pins[0])
        return None

    def _joined(self, relative_path: str, sha256: str, attestation: bytes) -> tuple[bytes, bytes | None, Condition]:
        """The latest attestations with *attestation*; what there is, and the condition that it still is."""
        found = self._bucket.read(relative_path + CURRENT, limit=LARGEST_SIDECAR)
        content = with_bundle(None if found is None else found[0], attestation, sha256)
        assert content is not None  # noqa: S101 - there is one bundle at least
        return (content, None, ABSENT) if found is None else (content, found[0], found[1].version)

    def _pin(self, relative_path: str, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        key = relative_path + pinned(digest)
        if self._bucket.stat(key) is None:
            self._bucket.write(key, content, index_attributes(key))
        return digest
