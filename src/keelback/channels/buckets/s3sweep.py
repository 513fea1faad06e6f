"""Uploads that were never finished: a run that dies leaves their parts in the bucket, where they cost money."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.channels.buckets.listings import MOST_PAGES
from keelback.channels.buckets.s3errors import Action
from keelback.channels.buckets.s3listing import Page
from keelback.errors import KeelbackError
from keelback.transport.dates import iso_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.channels.buckets.s3requests import BucketRequests

_log = logging.getLogger(__name__)

_ARCHIVE: Final = re.compile(r"[^/]+/[^/]+\.(?:conda|tar\.bz2)")
"""Keys, relative to a channel, of archives: uploads to any other key are somebody else's."""
_PARTS: Final = frozenset({"ListPartsResult", "ListPartsResponse"})
"""What the outermost element is called, by AWS and by others."""


@dataclass(frozen=True, slots=True)
class _Upload:
    key: str
    upload_id: str


def sweep(requests: BucketRequests, idle: float) -> int:
    """Abort the uploads of archives for which nothing came for *idle* seconds, and return how many.

    The service's own clock counts. Failures are logged.
    """
    swept = 0
    try:
        for upload in _begun_before(requests, idle):
            if _is_idle(requests, upload, idle) and _abort(requests, upload):
                swept += 1
                _log.info("discarded what an earlier run had sent of %s, and had not finished", upload.key)
    except KeelbackError as error:
        _log.info("could not look for what earlier runs had not finished: %s", error)
    return swept


def _begun_before(requests: BucketRequests, idle: float) -> Iterator[_Upload]:
    """The uploads of archives that began *idle* seconds ago, or earlier (``ListMultipartUploads``)."""
    action = Action("list unfinished uploads", "s3:ListBucketMultipartUploads")
    query = {"uploads": "", "prefix": requests.full_key("")}  # some say that they encode keys here, and do not
    seen: set[tuple[str, str]] = set()
    while len(seen) < MOST_PAGES:
        page = Page.get(requests, query, action, {"ListMultipartUploadsResult"}, "Upload")
        for row in page.rows("Upload"):
            key, upload_id = page.relative(row.get("Key", "")), row.get("UploadId", "").strip()
            if upload_id and _ARCHIVE.fullmatch(key) and _is_before(page.now, row.get("Initiated"), idle):
                yield _Upload(key, upload_id)
        marks = page.decoded(page.text("NextKeyMarker")), page.text("NextUploadIdMarker")
        if page.is_last or not any(marks) or marks in seen:
            return
        seen.add(marks)
        query |= {"key-marker": marks[0], "upload-id-marker": marks[1]}


def _is_idle(requests: BucketRequests, upload: _Upload, idle: float) -> bool:
    """Whether all parts of *upload* came *idle* seconds ago, or earlier, as far as can be told (``ListParts``)."""
    action = Action("list the parts of an upload", "s3:ListMultipartUploadParts")
    query = {"uploadId": upload.upload_id}
    for _ in range(MOST_PAGES):
        page = Page.get(requests, query, action, _PARTS, "Part", key=upload.key)
        if not all(_is_before(page.now, row.get("LastModified"), idle) for row in page.rows("Part")):
            return False
        mark = page.text("NextPartNumberMarker").strip()
        if page.is_last or not mark or mark == query.get("part-number-marker"):
            return page.is_last
        query["part-number-marker"] = mark
    return False


def _is_before(now: float | None, text: str | None, idle: float) -> bool:
    """Whether the time in *text* is known to be *idle* seconds before *now*, or earlier."""
    when = iso_time(text)
    return now is not None and when is not None and now - when >= idle


def _abort(requests: BucketRequests, upload: _Upload) -> bool:
    """Abort *upload*, unless somebody else was faster (``AbortMultipartUpload``)."""
    reply = requests.send("DELETE", upload.key, query={"uploadId": upload.upload_id})
    if reply.status != 404:
        requests.expect(reply, Action("discard unfinished uploads", "s3:AbortMultipartUpload"))
    return reply.ok
