"""Archives that replace others in a bucket, and what the next run does about those of a run that died meanwhile.

No service changes an archive and the index of its subdir at once. So before the first archive is replaced, the records
of all that are going to be are put into ``.keelback/replacing/RUN.json``. That goes when the index has them. What
becomes of one that stays, :mod:`keelback.channels.buckets.leftovers` says.
"""

from __future__ import annotations

import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.channels.buckets.attributes import index_attributes
from keelback.channels.buckets.bucket import Changed
from keelback.channels.buckets.leftovers import FOLDER, delete_notice, encode_notice
from keelback.channels.buckets.sidecarobjects import attested_record
from keelback.errors import ConflictError, Interrupted, KeelbackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.archive import PackageArchive
    from keelback.channels.buckets.bucket import Bucket, Condition, Staged
    from keelback.channels.buckets.sidecarobjects import SidecarObjects
    from keelback.repodata import Record

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class _Replacement:
    archive: PackageArchive
    staged: Staged
    condition: Condition
    attestation: bytes | None


class Replacements:
    """The archives with which a run replaces others.

    Args:
        bucket: where they are.
        sidecars: their attestations.

    Attributes:
        done: by relative path, those that have replaced others.
        pins: by relative path, the hashes of their attestations, where they have some.
        rejected: by relative path, why the others have not.
    """

    def __init__(self, bucket: Bucket, sidecars: SidecarObjects) -> None:
        self.done: dict[str, PackageArchive] = {}
        self.pins: dict[str, str] = {}
        self.rejected: dict[str, KeelbackError] = {}
        self._bucket = bucket
        self._sidecars = sidecars
        self._coming: dict[str, _Replacement] = {}
        self._key = f"{FOLDER}{secrets.token_hex(8)}.json"
        self._notice: dict[str, Record] = {}
        self._is_sure = True

    def add(self, archive: PackageArchive, staged: Staged, condition: Condition, attestation: bytes | None) -> None:
        """Have *archive* replace what is there, if *condition* holds then."""
        self._coming[archive.relative_path] = _Replacement(archive, staged, condition, attestation)

    def publish(self) -> None:
        """Put all of them in the place of what is there."""
        self._side_by_side(self._pin)
        if not self._coming:
            return
        self._notice = {path: attested_record(each.archive, self.pins.get(path)) for path, each in self._coming.items()}
        try:
            self._write_notice(ended=False)
        except Interrupted:
            raise
        except KeelbackError as error:  # nothing is replaced that nobody could mend; the rest of the run goes on
            self._notice = {}
            for path in list(self._coming):
                self._reject(path, error)
            return
        self._side_by_side(self._publish)

    def forget(self) -> None:
        """Delete the notice: the index has what replaced others."""
        if self._notice and self._is_sure:
            delete_notice(self._bucket, self._key)
            self._notice = {}

    def close(self) -> None:
        """Have the service discard what was not published; mark the notice, so that others mend the index at once."""
        for each in self._coming.values():
            each.staged.discard()
        self._coming.clear()
        if self._notice:
            try:
                self._write_notice(ended=True)
            except KeelbackError as error:
                logger.debug("%s: %s", self._key, error)
            self._notice = {}

    def _write_notice(self, *, ended: bool) -> None:
        self._bucket.write(self._key, encode_notice(self._notice, ended=ended), index_attributes(self._key))

    def _side_by_side(self, work: Callable[[str], None]) -> None:
        """Do *work* for each; where it fails, that one is rejected."""

        def attempt(path: str) -> None:
            try:
                work(path)
            except Interrupted:
                raise
            except KeelbackError as error:
                self._reject(path, error)

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="replace") as pool:
            for _ in pool.map(attempt, list(self._coming)):
                pass

    def _reject(self, path: str, error: KeelbackError) -> None:
        self.rejected[path] = error
        self._coming.pop(path).staged.discard()

    def _pin(self, path: str) -> None:
        each = self._coming[path]
        if each.attestation is not None:
            self.pins[path] = self._sidecars.pin(each.archive, each.attestation)

    def _publish(self, path: str) -> None:
        each = self._coming[path]
        try:
            each.staged.publish(each.condition)
        except Interrupted:
            raise
        except Changed:  # maybe by an attempt that nothing was heard of, or by another job with the same bytes
            if not self._is_there(each.archive):
                raise ConflictError(
                    f"{self._bucket.url}/{path} was replaced by somebody else meanwhile",
                    hint="Run it again, if yours is to replace that, too.",
                ) from None
        except KeelbackError:
            self._is_sure = False  # an attempt of which nothing came back may yet be carried out
            if not self._is_there(each.archive):
                raise
        self.done[path] = each.archive
        del self._coming[path]
        self._settle(path)

    def _is_there(self, archive: PackageArchive) -> bool:
        there = self._bucket.stat(archive.relative_path)
        return there is not None and (there.sha256, there.size) == (archive.sha256, archive.size)

    def _settle(self, path: str) -> None:
        try:
            self._sidecars.settle(path, self.done[path].sha256, self.pins.get(path))
        except Interrupted:
            raise
        except KeelbackError as error:
            self._is_sure = False
            logger.warning(
                "the latest attestations of %s/%s could not be brought up to it, which the next run does: %s",
                self._bucket.url,
                path,
                error,
            )
