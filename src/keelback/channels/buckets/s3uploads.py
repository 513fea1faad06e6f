"""Uploads of archives to a bucket with the S3 protocol: small ones in one request, others in parts."""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.channels.buckets.bucket import SHA256, Changed, Staged
from keelback.channels.buckets.s3errors import Action
from keelback.channels.buckets.s3objects import is_changed
from keelback.channels.buckets.s3xml import parse
from keelback.errors import Interrupted, KeelbackError, ServerError
from keelback.transport import ArchiveBody, PartBody
from keelback.transport.body import BLOCK
from keelback.xmltexts import NotXMLError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.archive import PackageArchive
    from keelback.channels.buckets.bucket import Attributes, Condition, Stored
    from keelback.channels.buckets.s3multipart import Multipart
    from keelback.channels.buckets.s3objects import Objects
    from keelback.channels.buckets.s3reply import Reply
    from keelback.channels.buckets.s3requests import BucketRequests
    from keelback.channels.delivery import Delivery

_log = logging.getLogger(__name__)

SMALLEST_PART: Final = 16 << 20
"""Bytes from which on an archive goes out in parts, and how large these are at least."""
_MOST_PARTS: Final = 10_000
"""("Amazon S3 multipart upload limits", Amazon S3 User Guide.)"""
_AT_ONCE: Final = 4
_ABORTS: Final = 3


def part_size(size: int) -> int:
    """How large the parts of an archive of *size* bytes are: no more than 10,000, each but the last of whole MiB."""
    return max(SMALLEST_PART, -(-size // (_MOST_PARTS * BLOCK)) * BLOCK)


@dataclass(frozen=True, slots=True)
class Upload:
    """What is written where.

    Attributes:
        requests, objects, multipart: to the bucket.
        key: of the object, relative to the channel.
        archive: its content.
        attributes: what is kept with it.
        delivery: told how far it is.
    """

    requests: BucketRequests
    objects: Objects
    multipart: Multipart
    key: str
    archive: PackageArchive
    attributes: Attributes
    delivery: Delivery

    def matches(self, there: Stored | None) -> bool:
        """Whether what is *there* is the archive, by its size and the hash that is kept with it."""
        sha256 = self.attributes.metadata.get(SHA256, "")
        return there is not None and there.size == self.archive.size and there.sha256 == sha256


class Whole(Staged):
    """A small archive, which is sent when it is published.

    Args:
        upload: what is written where.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def publish(self, condition: Condition) -> int:
        """See :class:`Staged`."""
        upload = self._upload
        archive, delivery = upload.archive, upload.delivery
        body: bytes | ArchiveBody = ArchiveBody(archive, delivery.sent)
        if archive.streams:
            body = b"".join(archive.blocks(BLOCK))
            delivery.sent(len(body))
        written = upload.objects.put(
            upload.key,
            body,
            upload.attributes.metadata.get(SHA256) or archive.sha256,
            upload.attributes,
            condition,
            is_mine=upload.matches,
            retried=delivery.retried,
        )
        return written.attempts

    def discard(self) -> None:
        """See :class:`Staged`: nothing was sent."""


class MultipartUpload(Staged):
    """An archive that is sent in parts, which become an object when it is published.

    (Amazon S3 User Guide, "Uploading and copying objects using multipart upload".)

    Args:
        upload: what is written where.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._write = Action(f"write {upload.key}", "s3:PutObject")
        self._upload_id = ""
        self._etags: list[str] = []
        self._attempts = 1
        self._given_up = threading.Event()
        self._telling = threading.Lock()

    def send(self) -> None:
        """Send all parts; nothing is left of them where that fails."""
        self._upload_id = self._upload.multipart.begin(self._upload.key, self._upload.attributes)
        try:
            parts = self._from_one_pass() if self._upload.archive.streams else self._side_by_side()
            self._etags = list(parts)
        except BaseException:
            self.discard()
            raise

    def publish(self, condition: Condition) -> int:
        """See :class:`Staged` (``CompleteMultipartUpload``)."""
        try:
            self._complete(condition)
        except BaseException:
            self.discard()
            raise
        self._upload_id = ""
        return self._attempts

    def discard(self) -> None:
        """See :class:`Staged` (``AbortMultipartUpload``).

        A part that was being sent when its connection broke may still arrive, so this checks whether all is gone.
        """
        if not self._upload_id:
            return
        query, self._upload_id = {"uploadId": self._upload_id}, ""
        try:
            with closing(self._upload.requests.apart()) as requests:
                for _ in range(_ABORTS):
                    reply = requests.send("DELETE", self._upload.key, query=query)
                    if reply.status != 404:
                        requests.expect(reply, Action("discard what was sent", "s3:AbortMultipartUpload"))
                    if not requests.send("GET", self._upload.key, query=query).ok:
                        return
        except KeelbackError as error:
            _log.warning("what was sent of %s is left in the bucket, until a later run: %s", self._upload.key, error)

    def _side_by_side(self) -> Iterator[str]:
        """Send the parts, four at once, and give their ETags in order."""
        archive = self._upload.archive
        size = part_size(archive.size)
        starts = range(0, archive.size, size)

        def send(number: int, start: int) -> str:
            if self._given_up.is_set():
                raise _OtherPartFailed
            body = PartBody.of(archive, start, min(size, archive.size - start), self._progress)
            try:
                return self._send_part(number, body, body.hexdigest("sha256") if len(starts) > 1 else archive.sha256)
            except BaseException:
                self._given_up.set()
                raise

        with ThreadPoolExecutor(min(_AT_ONCE, len(starts)), thread_name_prefix="part") as pool:
            sent = [pool.submit(send, number, start) for number, start in enumerate(starts, start=1)]
        errors = [error for future in sent if (error := future.exception()) is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, _OtherPartFailed)):
            raise error
        return (future.result() for future in sent)

    def _from_one_pass(self) -> Iterator[str]:
        """Send the parts one after the other, each of which is in memory, and give their ETags."""
        archive = self._upload.archive
        for number, content in enumerate(_pieces(archive, part_size(archive.size)), start=1):
            yield self._send_part(number, content, hashlib.sha256(content).hexdigest())
            self._progress(len(content))

    def _send_part(self, number: int, body: bytes | PartBody, sha256: str) -> str:
        """Send part *number*, and return its ETag."""
        etag, attempts = self._upload.multipart.send_part(self._upload.key, self._upload_id, number, body, sha256)
        self._attempts = max(self._attempts, attempts)
        return etag

    def _progress(self, count: int) -> None:
        if self._given_up.is_set():
            raise _OtherPartFailed
        with self._telling:  # that the archive has begun is told before anything else of it
            self._upload.delivery.sent(count)

    def _complete(self, condition: Condition) -> None:
        """Have the service make an object of the parts, if *condition* holds."""
        try:
            reply = self._upload.multipart.complete(self._upload.key, self._upload_id, self._etags, condition)
        except Changed:
            raise Changed(self._attempts) from None
        if reply.ok and _is_completed(reply):
            return
        if is_changed(reply, condition) and not reply.answer.uncertain:
            raise Changed(self._attempts)
        if is_changed(reply, condition) or reply.code == "NoSuchUpload" or reply.ok:
            self._require_arrived(reply, condition)
            return
        raise self._upload.requests.error(reply, self._write)

    def _require_arrived(self, reply: Reply, condition: Condition) -> None:
        """See that the object is there in spite of what *reply* says, because an earlier answer was lost."""
        there = self._upload.objects.stat(self._upload.key)
        if self._upload.matches(there):
            return
        if reply.ok:
            raise self._upload.requests.error(reply, self._write)
        if there is not None or is_changed(reply, condition):
            raise Changed(self._attempts, uncertain=reply.answer.uncertain)
        raise ServerError(
            f"{self._upload.requests.place.host} no longer has what was sent of {self._upload.key}",
            status=reply.status,
            hint="Somebody else discarded it meanwhile, or a rule of the bucket did; run the same command again.",
            code="upload-lost",
        )


class _OtherPartFailed(Interrupted):
    """Another part of the same archive could not be sent, so that this one is of no use."""

    def __init__(self) -> None:
        super().__init__("stopped because another part could not be sent")


def _pieces(archive: PackageArchive, size: int) -> Iterator[bytes]:
    """All of *archive*, read once, in pieces of *size* bytes."""
    blocks = archive.blocks(BLOCK)
    while piece := b"".join(itertools.islice(blocks, size // BLOCK)):
        yield piece


def _is_completed(reply: Reply) -> bool:
    """Whether *reply* is what a service says that has made the object: anything else may be a page of a proxy."""
    try:
        return parse(reply.answer.content).root == "CompleteMultipartUploadResult"
    except NotXMLError:
        return False


def stage(upload: Upload, *, ahead: bool) -> Staged:
    """See :meth:`keelback.channels.buckets.bucket.Bucket.stage`."""
    if upload.archive.size < SMALLEST_PART and not ahead:
        return Whole(upload)
    staged = MultipartUpload(upload)
    staged.send()
    return staged
