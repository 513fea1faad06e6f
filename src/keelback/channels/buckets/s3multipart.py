"""The requests of uploads in parts, and how these are completed by services that honour no conditions there.

(Amazon S3 User Guide, "Uploading and copying objects using multipart upload".) Many services honour the conditions of
``PutObject``, and ignore or refuse those of ``CompleteMultipartUpload``.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from typing import TYPE_CHECKING, Final

from keelback.channels.buckets.bucket import ABSENT, Attributes, Changed
from keelback.channels.buckets.etags import strong
from keelback.channels.buckets.s3errors import Action
from keelback.channels.buckets.s3objects import attribute_headers, is_changed, quoted, refuses_conditions
from keelback.channels.buckets.s3xml import complete_upload, parse
from keelback.credentials.sigv4 import CONTENT_SHA256
from keelback.errors import KeelbackError
from keelback.xmltexts import NotXMLError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from keelback.channels.buckets.bucket import Condition
    from keelback.channels.buckets.s3objects import Objects
    from keelback.channels.buckets.s3reply import Reply
    from keelback.channels.buckets.s3requests import BucketRequests
    from keelback.transport import Body

_log = logging.getLogger(__name__)

PROBED: Final = ".keelback/conditions"
"""The object with which keelback tries whether a service honours conditions."""
PROBE: Final = b"keelback writes this to find out whether the service honours conditions; it can be removed.\n"
PROBE_ATTRIBUTES: Final = Attributes("text/plain", "no-store")
_KNOWN: Final = (".amazonaws.com", ".amazonaws.com.cn", ".r2.cloudflarestorage.com")
"""The hosts of services that honour conditions (Amazon S3 User Guide, "Conditional writes"; Cloudflare R2, "S3 API
compatibility")."""


def is_known(host: str) -> bool:
    """Whether the service at *host* is known to honour conditions."""
    return host.endswith(_KNOWN)


class Multipart:
    """Uploads in parts to one bucket; safe to use from several threads at once.

    Args:
        requests, objects: to the bucket.
    """

    def __init__(self, requests: BucketRequests, objects: Objects) -> None:
        self._requests = requests
        self._objects = objects
        self._lock = threading.Lock()
        self._honours: bool | None = True if is_known(requests.place.host) else None

    def begin(self, key: str, attributes: Attributes) -> str:
        """Begin an upload, and return its ID (``CreateMultipartUpload``)."""
        headers = attribute_headers(attributes)
        reply = self._requests.send("POST", key, query={"uploads": ""}, headers=headers)
        self._requests.expect(reply, _write(key))
        try:
            upload_id = parse(reply.answer.content).texts.get("UploadId", "").strip()
        except NotXMLError:
            upload_id = ""
        if not upload_id:
            raise self._requests.error(reply, _write(key))
        return upload_id

    def send_part(self, key: str, upload_id: str, number: int, body: bytes | Body, sha256: str) -> tuple[str, int]:
        """Send part *number*, and return its ETag, and how often it was sent (``UploadPart``)."""
        query = {"partNumber": str(number), "uploadId": upload_id}
        reply = self._requests.send("PUT", key, query=query, headers={CONTENT_SHA256: sha256}, body=body)
        self._requests.expect(reply, _write(key))
        etag = quoted(reply.answer.headers.get("etag", ""))
        if etag is None:
            raise self._requests.error(reply, _write(key))
        return strong(etag, self._requests.place.host), reply.answer.attempts

    def complete(self, key: str, upload_id: str, etags: Sequence[str], condition: Condition) -> Reply:
        """Have the service make an object of the parts, where *condition* holds (``CompleteMultipartUpload``).

        Where the service does not honour conditions here, what is there is checked just before: another writer may
        still come in between.

        Args:
            key: of the object.
            upload_id: of the upload.
            etags: of its parts, in order.
            condition: on what is there.

        Returns:
            What the service said, which may be that *condition* does not hold.

        Raises:
            Changed: the check before showed that *condition* does not hold.
        """
        headers = self._objects.condition_headers(condition)
        if headers and self._honours_conditions():
            reply = self._completed(key, upload_id, etags, headers)
            if not refuses_conditions(reply):
                return reply
            with self._lock:
                self._honours_none()
        if not self._objects.holds(key, condition):
            raise Changed
        return self._completed(key, upload_id, etags, {})

    def _completed(self, key: str, upload_id: str, etags: Iterable[str], headers: dict[str, str]) -> Reply:
        query, headers = {"uploadId": upload_id}, {**headers, "content-type": "application/xml"}
        return self._requests.send("POST", key, query=query, headers=headers, body=complete_upload(etags), late=True)

    # --- whether conditions are honoured ------------------------------------------------------------------------------

    def _honours_conditions(self) -> bool:
        """Whether the service honours conditions here; tried once."""
        with self._lock:
            if self._honours is None:
                if self._refuses_to_replace():
                    self._honours = True
                else:
                    self._honours_none()
            return bool(self._honours)

    def _honours_none(self) -> None:
        """From now on, check what is there before each completion; says so once."""
        if self._honours is not False:
            self._honours = False
            _log.warning(
                "%s honours conditions where an object is sent at once, and not where it is sent in parts: of two that "
                "publish the same file at the same moment, the second may overwrite that of the first",
                self._requests.place.host,
            )

    def _refuses_to_replace(self) -> bool:
        """Whether the service refuses to complete an upload to an object that is there, if it is not to be."""
        if self._objects.stat(PROBED) is None:
            self._objects.write(PROBED, PROBE, PROBE_ATTRIBUTES, None)
        upload_id = self.begin(PROBED, PROBE_ATTRIBUTES)
        is_left = True
        try:
            etag, _ = self.send_part(PROBED, upload_id, 1, PROBE, hashlib.sha256(PROBE).hexdigest())
            reply = self._completed(PROBED, upload_id, [etag], self._objects.condition_headers(ABSENT))
            is_left = not reply.ok
            if is_left and not is_changed(reply, ABSENT) and not refuses_conditions(reply):
                raise self._requests.error(reply, _write(PROBED))
            return is_changed(reply, ABSENT)
        finally:
            if is_left:
                self._abort(upload_id)

    def _abort(self, upload_id: str) -> None:
        try:
            self._requests.send("DELETE", PROBED, query={"uploadId": upload_id})
        except KeelbackError as error:
            _log.info("what was sent to try whether conditions are honoured is left in the bucket: %s", error)


def _write(key: str) -> Action:
    return Action(f"write {key}", "s3:PutObject")
