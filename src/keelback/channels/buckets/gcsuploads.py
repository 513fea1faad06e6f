"""Uploads of archives to Google Cloud Storage: whole in one request, or in a resumable upload.

(Cloud Storage documentation, "Resumable uploads" and "Perform resumable uploads".) An object is there as soon as the
service has its last byte, and not before. So what is staged lacks its last bytes, and to publish it is to send those.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from keelback.channels.answers import expect
from keelback.channels.buckets.bucket import ABSENT, MD5, SHA256, Changed, Staged
from keelback.channels.buckets.digests import to_base64
from keelback.channels.buckets.gcsapi import FIELDS, stored
from keelback.channels.buckets.gcserrors import CREATE, READ, damaged
from keelback.channels.buckets.gcssession import Upload
from keelback.channels.buckets.listings import checked_key
from keelback.errors import ChannelError, ServerError
from keelback.secret import Secret, remember
from keelback.transport import ArchiveBody

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.archive import PackageArchive
    from keelback.channels.buckets.bucket import Attributes, Condition, Stored
    from keelback.channels.buckets.gcsapi import Api
    from keelback.channels.delivery import Delivery
    from keelback.transport import Answer

QUANTUM: Final = 256 << 10
"""Bytes: all chunks of a resumable upload but the last have a multiple of this size."""
WHOLE: Final = 16 << 20
"""Up to this size, in bytes, an archive goes out in one request, unless it has to go ahead."""
_MOST_BEGINNINGS: Final = 3
_SHORTEST_ID: Final = 16
"""Characters that the name of an upload has at least."""


class RelatedBody:
    """An object's attributes and its content in one body (``multipart/related``, RFC 2387).

    Args:
        attributes: the JSON of the object's resource.
        content_type: of the content.
        content: what is sent.
    """

    def __init__(self, attributes: bytes, content_type: str, content: bytes | ArchiveBody) -> None:
        boundary = f"keelback-{secrets.token_hex(16)}"
        self.content_type: str | None = f"multipart/related; boundary={boundary}"
        self._content = content
        self._head = (
            f"--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n".encode()
            + attributes
            + f"\r\n--{boundary}\r\ncontent-type: {content_type}\r\n\r\n".encode()
        )
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        length = len(content) if isinstance(content, bytes) else content.length
        self.length = len(self._head) + length + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        if isinstance(self._content, bytes):
            yield self._content
        else:
            yield from self._content
        yield self._tail


def resource_of(name: str, attributes: Attributes, md5: str | None) -> bytes:
    """The JSON that says what an object is to be; with its MD5, the service refuses any other content.

    Raises:
        ChannelError: *name* could be taken for another one.
    """
    members: dict[str, object] = {
        "name": checked_key(name),
        "contentType": attributes.content_type,
        "cacheControl": attributes.cache_control,
    }
    if attributes.content_disposition is not None:
        members["contentDisposition"] = attributes.content_disposition
    if attributes.metadata:
        members["metadata"] = dict(attributes.metadata)
    if md5 is not None:
        members["md5Hash"] = to_base64(md5)
    return json.dumps(members).encode()


class _StagedArchive(Staged):
    """What both kinds of upload have in common.

    Args:
        api: the bucket.
        name: of the object.
        archive: what it will be.
        attributes: kept with it.
        delivery: told how far it is.
    """

    def __init__(
        self, api: Api, name: str, archive: PackageArchive, attributes: Attributes, delivery: Delivery
    ) -> None:
        self._api = api
        self._name = name
        self._archive = archive
        self._attributes = attributes
        self._delivery = delivery
        self._md5 = attributes.metadata.get(MD5)
        self._resource = resource_of(name, attributes, self._md5)

    def _published(self, answer: Answer) -> int:
        """How often the bytes were sent, where *answer* says that the object is there, and that it is the right one.

        Raises:
            Changed: the condition did not hold.
            KeelbackError: it is not there.
        """
        if answer.status == 412:
            raise Changed(answer.attempts, uncertain=answer.uncertain)
        found = stored(self._api.good(answer, CREATE).json(), self._name)
        if found is None:
            raise ServerError(
                f"Google Cloud Storage took {self._archive.relative_path}, and does not say as what",
                status=answer.status,
                hint="Look for a proxy that answers in its place.",
            )
        if not self._is_the_archive(found):
            raise damaged(f"{self._archive.relative_path} in gs://{self._api.bucket}")
        return answer.attempts

    def _is_the_archive(self, found: Stored) -> bool:
        return found.size == self._archive.size and (self._md5 is None or found.md5 in {None, self._md5})


class WholeArchive(_StagedArchive):
    """An archive of which nothing is sent before it is published, and then all of it in one request."""

    def publish(self, condition: Condition) -> int:
        """See :class:`Staged`; raises ``Changed`` where the service says 412."""
        content = ArchiveBody(self._archive, self._delivery.sent)
        body = RelatedBody(self._resource, self._attributes.content_type, content)
        url = self._api.uploads("multipart", condition)
        return self._published(self._api.send("POST", url, body=body, retried=self._delivery.retried))

    def discard(self) -> None:
        """Nothing is with the service."""


class ResumableArchive(_StagedArchive):
    """An archive in a resumable upload: all but its last bytes, 256 KiB at most, are with the service.

    The condition of a resumable upload is fixed when it begins, before anybody says what :meth:`publish` will want. So
    it begins with the one that holds at that moment: that there is nothing, or the generation that is there. That is
    what :meth:`publish` will most likely want. Where it wants another one that holds as well, all is sent again.

    An upload that is not finished costs nothing, and the service forgets it after a week.

    Args:
        api, name, archive, attributes, delivery: see :class:`_StagedArchive`.
        chunk: how many bytes go out in one request, a multiple of 256 KiB.
    """

    def __init__(
        self,
        api: Api,
        name: str,
        archive: PackageArchive,
        attributes: Attributes,
        delivery: Delivery,
        *,
        chunk: int,
    ) -> None:
        super().__init__(api, name, archive, attributes, delivery)
        self._chunk = chunk
        self._began_with: Condition = ABSENT
        self._upload: Upload | None = None

    def stage(self) -> None:
        """Send all but the last bytes.

        Raises:
            KeelbackError: it did not work; nothing is left with the service.
        """
        for _ in range(_MOST_BEGINNINGS):
            try:
                return self._send_most(self._condition_now())
            except Changed:  # somebody else was here between the question and the beginning
                continue
        raise ChannelError(
            f"{self._archive.relative_path} in gs://{self._api.bucket} is being changed all the time",
            hint="Find out who else writes to it, and run this again.",
            code="conflict",
        )

    def publish(self, condition: Condition) -> int:
        """See :class:`Staged`."""
        try:
            return self._publish(condition)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """See :class:`Staged`."""
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.cancel()

    def _publish(self, condition: Condition) -> int:
        sent = 1
        if condition not in {None, self._began_with}:
            if self._condition_now() != condition:
                raise Changed(0)
            sent += self._again(condition)
        try:
            return self._finish() + sent - 1
        except Changed:
            if condition is not None:
                raise
        sent += self._again(None)
        return self._finish() + sent - 1

    def _again(self, condition: Condition) -> int:
        self.discard()
        self._send_most(condition)
        return 1

    def _condition_now(self) -> Condition:
        """The condition that holds at the moment."""
        answer = self._api.found(self._api.send("GET", self._api.object(self._name, fields=FIELDS)), READ)
        found = None if answer is None else stored(answer.json(), self._name)
        return ABSENT if found is None else found.version

    def _send_most(self, condition: Condition) -> None:
        self._began_with = condition
        self._upload = upload = Upload(self._api, self._begin(condition), self._archive, self._delivery, self._chunk)
        try:
            upload.send_up_to((self._archive.size - 1) // QUANTUM * QUANTUM)
        except BaseException:
            self.discard()
            raise

    def _begin(self, condition: Condition) -> Secret:
        """The URL of a new resumable upload, with which anybody can write to it: no credential is needed for that."""
        headers = {
            "content-type": "application/json; charset=UTF-8",
            "x-upload-content-type": self._attributes.content_type,
            "x-upload-content-length": str(self._archive.size),
        }
        beginning = self._api.uploads("resumable", condition)
        answer = self._api.send("POST", beginning, headers=headers, body=self._resource, retried=self._delivery.retried)
        if answer.status == 412:
            raise Changed(0)
        if not answer.ok:
            raise self._api.error(answer, CREATE)
        location = answer.headers.get("location", "")
        url = Secret(location, "the resumable upload")
        if _origin(location) != _origin(self._api.endpoint):
            raise ServerError(
                f"Google Cloud Storage puts an upload to gs://{self._api.bucket} on another server; nothing was sent "
                "there",
                status=answer.status,
                hint="Give the URL of the service itself with --endpoint-url.",
                code="redirect",
            )
        for upload_id in parse_qs(urlsplit(location).query).get("upload_id", ()):
            if len(upload_id) >= _SHORTEST_ID:  # the service is not to choose a word to be taken out of all texts
                remember(upload_id)
        return url

    def _finish(self) -> int:
        """Send the last bytes, which makes the object visible; returns how often they were sent.

        Raises:
            Changed: the condition of the upload does not hold.
        """
        assert self._upload is not None  # noqa: S101 - what is published was staged
        answer = self._upload.finish()
        if answer.status not in {404, 410}:
            attempts = self._published(answer)
        elif answer.uncertain and self._is_there():
            attempts = answer.attempts
        else:
            raise self._upload.lost(f"has forgotten it ({answer.status})")
        self._upload = None
        return attempts

    def _is_there(self) -> bool:
        """Whether the object is there as it was sent, though the service has forgotten the upload."""
        answer = self._api.found(self._api.send("GET", self._api.object(self._name, fields=FIELDS)), READ)
        found = None if answer is None else stored(expect(answer).json(), self._name)
        sha256 = self._attributes.metadata.get(SHA256)
        return found is not None and self._is_the_archive(found) and found.sha256 == sha256


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc
