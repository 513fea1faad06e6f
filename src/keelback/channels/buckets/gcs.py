"""Buckets of Google Cloud Storage, through its JSON API."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from keelback.channels.buckets.bucket import ABSENT, MD5, SHA256, Attributes, Bucket, Changed, Stored
from keelback.channels.buckets.digests import md5_of, valid_hash
from keelback.channels.buckets.gcsapi import FIELDS, Api, condition_query, md5_in, stored
from keelback.channels.buckets.gcserrors import CREATE, DELETE, LIST, READ, damaged
from keelback.channels.buckets.gcsuploads import (
    QUANTUM,
    WHOLE,
    RelatedBody,
    ResumableArchive,
    WholeArchive,
    resource_of,
)
from keelback.channels.buckets.listings import Pages, is_in_folder, is_name
from keelback.errors import ServerError, UsageError
from keelback.findings import printable
from keelback.transport.dates import http_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.buckets.bucket import Condition, Staged
    from keelback.channels.delivery import Delivery
    from keelback.transport import Client

ENDPOINT: Final = "https://storage.googleapis.com"
_CHUNK: Final = 16 << 20
"""Bytes in one request of a resumable upload."""
_PROBE: Final = ".keelback/conditions"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{1,220}[a-z0-9]")
"""Of a bucket ("Bucket naming requirements"); the finer rules are the service's."""
_LARGEST_PAGE: Final = 16 << 20
"""Bytes; a page of a listing has at most 1000 objects."""


class GCSBucket(Bucket):
    """A bucket of Google Cloud Storage, or a folder in it.

    Versions are generations, with which every request can name what it depends on. Large archives go out in resumable
    uploads, each in one stream: this protocol has no parallel parts.

    Args:
        client: sends the requests.
        bucket: the bucket's name.
        prefix: the folder in it, without slashes at its ends; empty for the bucket itself.
        access: the credential; ``None`` for none.
        endpoint: the URL of the service, without a slash at its end.
        chunk: how many bytes of a large archive go out in one request: a multiple of 256 KiB.
        whole: up to which size, in bytes, an archive goes out in one request.

    Raises:
        UsageError: no bucket can have that name.
    """

    def __init__(
        self,
        client: Client,
        bucket: str,
        prefix: str = "",
        access: Access | None = None,
        *,
        endpoint: str = ENDPOINT,
        chunk: int = _CHUNK,
        whole: int = WHOLE,
    ) -> None:
        if not _NAME.fullmatch(bucket):
            raise UsageError(
                f"{printable(bucket)!r} is not the name of a bucket of Google Cloud Storage",
                hint="Write the channel as gs://BUCKET/FOLDER; names have lower-case letters, digits, '-', '_' "
                "and '.'.",
            )
        if chunk % QUANTUM:
            raise ValueError("a chunk is a multiple of 256 KiB")
        self._api = Api(client, endpoint, bucket, access)
        self._prefix = f"{prefix}/" if prefix else ""
        self._chunk = chunk
        self._whole = whole
        self.url = "/".join(filter(None, ["gs:/", bucket, prefix]))
        self.reading_url = "/".join(filter(None, [endpoint, bucket, quote(prefix)]))

    def access(self) -> Access | None:
        """See :class:`Bucket`."""
        return self._api.access

    def probe(self) -> None:
        """See :class:`Bucket`. Google's own service honours conditions; an emulator or a proxy may not."""
        attributes = Attributes("text/plain", "no-store")
        content = b"keelback asks whether a second write on condition is refused\n"
        self.conditional = True
        for _ in range(2):
            try:
                self.write(_PROBE, content, attributes, ABSENT)
            except Changed:
                return
        self.conditional = False

    def stat(self, key: str) -> Stored | None:
        """See :class:`Bucket`."""
        url = self._api.object(self._prefix + key, fields=FIELDS)
        answer = self._api.found(self._api.send("GET", url), READ)
        if answer is None:
            return None
        return replace(self._stored(answer.json(), key), seen=http_time(answer.headers.get("date")))

    def read(self, key: str, *, limit: int) -> tuple[bytes, Stored] | None:
        """See :class:`Bucket`; raises ``ServerError`` where the content has another hash than the service says."""
        url = self._api.object(self._prefix + key, alt="media")
        answer = self._api.send("GET", url, headers={"accept-encoding": "identity"}, limit=limit)
        if not answer.ok and self._api.found(answer, READ) is None:
            return None
        content, headers = answer.content, answer.headers
        md5 = md5_in(headers.get("x-goog-hash", ""))
        if headers.get("x-goog-stored-content-encoding", "identity") != "identity":
            md5 = None  # it is that of the content as it is kept, and what came is unpacked
        if md5 is not None and md5 != md5_of(content):
            raise ServerError(
                f"{self.url}/{key} came as something else than the service has",
                status=answer.status,
                hint="Something on the way changes what is downloaded; run it again.",
                code="damaged",
            )
        version = headers.get("x-goog-generation")
        if version is None:  # as from what takes the service's place in tests
            found = self.stat(key)
            return None if found is None else (content, found)
        sha256 = valid_hash(headers.get(f"x-goog-meta-{SHA256}"), SHA256)
        md5 = md5 or valid_hash(headers.get(f"x-goog-meta-{MD5}"), MD5)
        modified, seen = (http_time(headers.get(name)) for name in ("last-modified", "date"))
        return content, Stored(key, len(content), version, modified, sha256, md5, seen)

    def write(self, key: str, content: bytes, attributes: Attributes, condition: Condition = None) -> str:
        """See :class:`Bucket`; an answer that got lost is no failure, if the content is there afterwards."""
        md5 = md5_of(content)
        body = RelatedBody(resource_of(self._prefix + key, attributes, md5), attributes.content_type, content)
        answer = self._api.send("POST", self._api.uploads("multipart", condition), body=body)
        if answer.status == 412:
            found = self.stat(key) if answer.uncertain else None
            if found is not None and (found.md5, found.size) == (md5, len(content)):
                return found.version
            raise Changed(answer.attempts, uncertain=answer.uncertain)
        written = self._stored(self._api.good(answer, CREATE).json(), key)
        if written.size != len(content) or written.md5 not in {None, md5}:
            raise damaged(f"{self.url}/{key}")
        return written.version

    def stage(
        self, key: str, archive: PackageArchive, attributes: Attributes, delivery: Delivery, *, ahead: bool
    ) -> Staged:
        """See :class:`Bucket`.

        With *ahead*, and of every large archive, all bytes go out but the last, 256 KiB at most: with the last one the
        object is there. A small one goes out in one request when it is published.
        """
        name = self._prefix + key
        if archive.size <= (QUANTUM if ahead else self._whole):
            return WholeArchive(self._api, name, archive, attributes, delivery)
        staged = ResumableArchive(self._api, name, archive, attributes, delivery, chunk=self._chunk)
        staged.stage()
        return staged

    def list(self, prefix: str = "", *, folder: bool = False) -> Iterator[Stored]:
        """See :class:`Bucket`; the service's lists say the hashes, too. What stands for a folder itself is left out."""
        begins = self._prefix + prefix
        query = {"prefix": begins, "fields": f"items({FIELDS}),nextPageToken"}
        for page in self._pages(query | ({"delimiter": "/"} if folder else {})):
            for item in _members(page, "items"):
                name = item.get("name") if isinstance(item, dict) else None
                if not isinstance(name, str) or not name.startswith(begins):
                    raise self._senseless("lists what it was not asked for")
                if not name.endswith("/") and (not folder or is_in_folder(name, begins)):
                    yield self._stored(item, name.removeprefix(self._prefix))

    def prefixes(self) -> Sequence[str]:
        """See :class:`Bucket`."""
        names: set[str] = set()
        query = {"prefix": self._prefix, "delimiter": "/", "fields": "prefixes,nextPageToken"}
        for page in self._pages(query):
            for found in _members(page, "prefixes"):
                if not isinstance(found, str) or not found.startswith(self._prefix):
                    raise self._senseless("lists what it was not asked for")
                names.add(found.removeprefix(self._prefix).rstrip("/"))
        return sorted(filter(is_name, names))

    def delete(self, key: str, version: str | None = None) -> None:
        """See :class:`Bucket`."""
        answer = self._api.send("DELETE", self._api.object(self._prefix + key, **condition_query(version)))
        if answer.status == 412:
            raise Changed(answer.attempts, uncertain=answer.uncertain)
        if not answer.ok:
            self._api.found(answer, DELETE)

    def _pages(self, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The pages of a list ("Objects: list")."""
        pages = Pages(lambda what: self._senseless(f"lists {what}"))
        more: dict[str, str] = {}
        while True:
            answer = self._api.send("GET", self._api.objects(**query, **more), limit=_LARGEST_PAGE)
            page = self._api.good(answer, LIST).json()
            if not isinstance(page, dict):
                raise self._senseless("answers with no list")
            pages.add(len(_members(page, "items")) + len(_members(page, "prefixes")))
            yield page
            token = page.get("nextPageToken")
            if not token:
                return
            more = {"pageToken": pages.go_on(token if isinstance(token, str) else "")}

    def _stored(self, resource: Any, key: str) -> Stored:
        found = stored(resource, key)
        if found is None:
            raise self._senseless("answers with no description of an object")
        return found

    def _senseless(self, what: str) -> ServerError:
        return ServerError(
            f"{self.url}: the service {what}", status=200, hint="Look for a proxy that answers in its place."
        )


def _members(page: dict[str, Any], name: str) -> list[Any]:
    members = page.get(name)
    return members if isinstance(members, list) else []
