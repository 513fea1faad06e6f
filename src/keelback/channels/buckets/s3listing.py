"""What is in a bucket with the S3 protocol, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from keelback.channels.buckets.bucket import Stored
from keelback.channels.buckets.listings import Pages, is_in_folder, is_name
from keelback.channels.buckets.s3errors import Action
from keelback.channels.buckets.s3objects import likely_md5, quoted
from keelback.channels.buckets.s3xml import number, parse
from keelback.errors import ServerError
from keelback.transport.dates import iso_time
from keelback.xmltexts import NotXMLError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from keelback.channels.buckets.s3requests import BucketRequests
    from keelback.channels.buckets.s3xml import Document

LARGEST_PAGE: Final = 16 << 20
"""Bytes; a page has at most 1000 keys of 1024 bytes, each of which may be percent-encoded."""


class Page:
    """A page of a list.

    Args:
        requests: to the bucket.
        document: what the service sent.
        now: when the service says that it is, in Unix seconds; ``None`` where it does not.

    Attributes:
        now: see above.
    """

    def __init__(self, requests: BucketRequests, document: Document, now: float | None) -> None:
        self.now = now
        self._requests = requests
        self._document = document

    @classmethod
    def get(
        cls,
        requests: BucketRequests,
        query: Mapping[str, str],
        action: Action,
        roots: Collection[str],
        *rows: str,
        key: str | None = None,
    ) -> Page:
        """Ask for the page that *query* names, and expect one whose outermost element is one of *roots*.

        Raises:
            KeelbackError: there is none, or something else.
        """
        reply = requests.expect(requests.send("GET", key, query=query, limit=LARGEST_PAGE), action)
        try:
            document = parse(reply.answer.content, *rows)
        except NotXMLError:
            raise requests.error(reply, action) from None
        if document.root not in roots:
            raise requests.error(reply, action)
        return cls(requests, document, reply.date)

    def rows(self, name: str) -> list[Mapping[str, str]]:
        """The texts of each element *name*."""
        return self._document.rows[name]

    def text(self, name: str) -> str:
        """The text of the element *name*; empty where there is none."""
        return self._document.texts.get(name, "")

    @property
    def is_last(self) -> bool:
        """Whether nothing follows; a list that names its next page is not over, whatever else it says."""
        return self.text("IsTruncated").strip().lower() != "true" and not self.text("NextContinuationToken")

    def decoded(self, text: str) -> str:
        """*text*, which may be percent-encoded, as it is."""
        return unquote_plus(text) if self.text("EncodingType").strip() == "url" else text

    def relative(self, key: str, prefix: str = "") -> str:
        """*key*, as the page has it, relative to the channel.

        Raises:
            ServerError: it does not begin with *prefix*.
        """
        key = self.decoded(key)
        if not key.startswith(self._requests.full_key(prefix)):
            raise useless(self._requests, "keys that were not asked for")
        return key.removeprefix(self._requests.full_key(""))


class Listing:
    """Lists what is in a bucket.

    Args:
        requests: to the bucket.
    """

    def __init__(self, requests: BucketRequests) -> None:
        self._requests = requests

    def objects(self, prefix: str, *, folder: bool) -> Iterator[Stored]:
        """See :meth:`keelback.channels.buckets.bucket.Bucket.list`."""
        for page in self._pages(prefix, delimited=folder):
            for row in page.rows("Contents"):
                key = page.relative(row.get("Key", ""), prefix)
                if key.endswith("/") or not key:  # what consoles show as a folder
                    continue
                if folder and not is_in_folder(key, prefix):
                    continue
                size, version = number(row.get("Size")), quoted(row.get("ETag", ""))
                if size is None or version is None:
                    raise useless(self._requests, "an object without size or ETag")
                yield Stored(key, size, version, iso_time(row.get("LastModified")), md5=likely_md5(version))

    def folders(self) -> list[str]:
        """The names before the first slash in the keys."""
        pages = self._pages("", delimited=True)
        found = (page.relative(row.get("Prefix", "")) for page in pages for row in page.rows("CommonPrefixes"))
        return [name for name in (name.removesuffix("/") for name in found) if is_name(name)]

    def _pages(self, prefix: str, *, delimited: bool) -> Iterator[Page]:
        """All pages about the keys that begin with *prefix* (``ListObjectsV2``)."""
        action = Action("list what is there", "s3:ListBucket")
        query = {"list-type": "2", "encoding-type": "url", "prefix": self._requests.full_key(prefix)}
        if delimited:
            query["delimiter"] = "/"
        pages = Pages(lambda what: useless(self._requests, what))
        while True:
            page = Page.get(self._requests, query, action, {"ListBucketResult"}, "Contents", "CommonPrefixes")
            pages.add(len(page.rows("Contents")) + len(page.rows("CommonPrefixes")))
            yield page
            if page.is_last:
                return
            query["continuation-token"] = pages.go_on(page.text("NextContinuationToken"))


def useless(requests: BucketRequests, what: str) -> ServerError:
    """The error for a service that lists *what* cannot be."""
    return ServerError(
        f"{requests.place.host} lists {what} when asked for what is in bucket {requests.place.bucket!r}",
        status=200,
        code="bad-answer",
    )
