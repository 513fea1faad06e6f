"""Containers of Azure Blob Storage (Azure Storage REST API, "Blob Storage REST API")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.channels.buckets.azureaccess import find_azure
from keelback.channels.buckets.azureblocks import PART_SIZE, BlobOfBlocks, BlocksInTheWayError, Upload, WholeBlob
from keelback.channels.buckets.azureerrors import SERVICE
from keelback.channels.buckets.azureplace import Place
from keelback.channels.buckets.azurerequests import (
    DELETE,
    LIST,
    READ,
    WRITE,
    ContainerRequests,
    attribute_headers,
    is_missing,
    is_unmet,
    metadata_name,
    quoted,
)
from keelback.channels.buckets.azurexml import page_in
from keelback.channels.buckets.bucket import ABSENT, MD5, SHA256, Attributes, Bucket, Changed, Stored
from keelback.channels.buckets.digests import from_base64, md5_of, to_base64, valid_hash
from keelback.channels.buckets.etags import condition_headers
from keelback.channels.buckets.listings import Pages, is_in_folder, is_name
from keelback.errors import ServerError
from keelback.transport.dates import http_time
from keelback.xmltexts import NotXMLError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.buckets.azurexml import Page
    from keelback.channels.buckets.bucket import Condition, Staged
    from keelback.channels.delivery import Delivery
    from keelback.channels.session import Session
    from keelback.transport import Answer, Client

PROBE: Final = ".keelback/conditions"
"""What is written to see whether a container can be written."""
_PROBE_CONTENT: Final = b"keelback writes this to see whether this container takes conditional requests.\n"
_PROBE_ATTRIBUTES: Final = Attributes("text/plain", "no-store")

_PER_PAGE: Final = 2000
_PAGE_LIMIT: Final = 32 << 20
"""Bytes; of 2000 blobs with the longest names and some metadata."""
_AS_IT_IS: Final = {"accept-encoding": "identity"}


class AzureContainer(Bucket):
    """A place in a container of Azure Blob Storage.

    Args:
        client: sends the requests.
        place: the container, and the path in it.
        access: the credential; ``None`` for what is public, which can only be read.
        part_size: bytes of a block, of those that archives are sent in.
    """

    def __init__(self, client: Client, place: Place, access: Access | None, *, part_size: int = PART_SIZE) -> None:
        self.url = place.url
        self.reading_url = place.reading_url
        self._place = place
        self._access = access
        self._part_size = part_size
        self._requests = ContainerRequests(client, place, access)

    @classmethod
    def of(cls, session: Session, account: str, segments: Sequence[str]) -> AzureContainer:
        """The one that ``az://ACCOUNT/CONTAINER/PATH`` names, with the credential that *session* has for it.

        Raises:
            UsageError: the URL or a variable is invalid.
            CredentialError: a credential that cannot be used.
        """
        place = Place.of(session, account, segments)
        return cls(session.client, place, find_azure(session, place))

    def access(self) -> Access | None:
        """See :class:`Bucket`."""
        return self._access

    def probe(self) -> None:
        """See :class:`Bucket`; Azure itself always honours conditions."""
        answer = self._put(PROBE, _PROBE_CONTENT, _PROBE_ATTRIBUTES, ABSENT)
        if answer.status == 201:
            answer = self._put(PROBE, _PROBE_CONTENT, _PROBE_ATTRIBUTES, ABSENT)
        self.conditional = is_unmet(answer, ABSENT)
        if not self.conditional and answer.status != 201:
            raise self._requests.error(answer, WRITE.format(f"to {self.url}"))

    def stat(self, key: str) -> Stored | None:
        """See :class:`Bucket`."""
        return self._requests.stat(key)

    def read(self, key: str, *, limit: int) -> tuple[bytes, Stored] | None:
        """See :class:`Bucket`."""
        answer = self._requests.send("GET", key, headers=_AS_IT_IS, limit=limit)
        if is_missing(answer):
            return None
        if answer.status != 200:
            raise self._requests.error(answer, READ.format(key))
        return answer.content, self._requests.stored(key, answer)

    def write(self, key: str, content: bytes, attributes: Attributes, condition: Condition = None) -> str:
        """See :class:`Bucket`."""
        answer = self._put(key, content, attributes, condition)
        if answer.status != 201:
            md5 = attributes.metadata.get(MD5)
            known = {"sha256": attributes.metadata.get(SHA256)} if md5 is None else {"md5": md5}
            self._requests.settle(answer, key, size=len(content), condition=condition, **known)
            found = self.stat(key)
            if found is None:
                raise self._requests.error(answer, WRITE.format(key))
            return found.version
        return self._requests.version(answer, WRITE.format(key))

    def _put(self, key: str, content: bytes, attributes: Attributes, condition: Condition) -> Answer:
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "content-md5": to_base64(md5_of(content)),
            **attribute_headers(attributes),
            **condition_headers(condition, SERVICE),
        }
        return self._requests.send("PUT", key, headers=headers, body=content)

    def stage(
        self, key: str, archive: PackageArchive, attributes: Attributes, delivery: Delivery, *, ahead: bool
    ) -> Staged:
        """See :class:`Bucket`.

        Where blocks that somebody else left under the key are in the way, the archive is sent whole when it is
        published, which makes the service discard them.
        """
        upload = Upload(self._requests, key, archive, attributes, delivery)
        if archive.size < self._part_size and not ahead:
            return WholeBlob(upload)
        blob = BlobOfBlocks(upload, self._part_size)
        try:
            blob.send()
        except BlocksInTheWayError:
            return WholeBlob(upload)
        return blob

    def list(self, prefix: str = "", *, folder: bool = False) -> Iterator[Stored]:
        """See :class:`Bucket`; the folders of accounts that have a hierarchical namespace are left out."""
        for page in self._pages(prefix, folder=folder):
            for blob in page.blobs:
                if blob.get("Properties/ResourceType") == "directory" or blob.get("Metadata/hdi_isfolder") == "true":
                    continue
                found = self._listed(blob, prefix)
                if not folder or is_in_folder(found.key, prefix):
                    yield found

    def prefixes(self) -> Sequence[str]:
        """See :class:`Bucket`."""
        start = self._place.key("")
        names = (name for page in self._pages("", folder=True) for name in page.prefixes)
        found = (name.removeprefix(start).rstrip("/") for name in names if name.startswith(start))
        return [name for name in found if is_name(name)]

    def delete(self, key: str, version: str | None = None) -> None:
        """See :class:`Bucket`."""
        answer = self._requests.send("DELETE", key, headers=condition_headers(version, SERVICE))
        if answer.status == 202 or is_missing(answer):
            return
        if is_unmet(answer, version):
            if self.stat(key) is None:  # what is not there has no version, either
                return
            raise Changed(answer.attempts, uncertain=answer.uncertain)
        raise self._requests.error(answer, DELETE.format(key))

    # --- listings ------------------------------------------------------------------------------------------------

    def _pages(self, prefix: str, *, folder: bool) -> Iterator[Page]:
        query = {"restype": "container", "comp": "list", "include": "metadata", "maxresults": str(_PER_PAGE)}
        full = self._place.key(prefix)
        query |= {"prefix": full} if full else {}
        query |= {"delimiter": "/"} if folder else {}
        pages = Pages(lambda what: ServerError(f"{self.url}: the service lists {what}", status=200, code="bad-answer"))
        while True:
            answer = self._requests.send("GET", None, query=query, headers=_AS_IT_IS, limit=_PAGE_LIMIT)
            if answer.status != 200:
                raise self._requests.error(answer, LIST)
            page = self._page(answer)
            pages.add(len(page.blobs) + len(page.prefixes))
            yield page
            if not page.marker:
                return
            query["marker"] = pages.go_on(page.marker)

    def _page(self, answer: Answer) -> Page:
        try:
            return page_in(answer.content)
        except NotXMLError as error:
            raise self._bad_listing(answer, f"that cannot be read: {error}") from None

    def _listed(self, blob: Mapping[str, str], prefix: str) -> Stored:
        name, length = blob.get("Name", ""), blob.get("Properties/Content-Length", "")
        version = quoted(blob.get("Properties/Etag", ""))
        if not name.startswith(self._place.key(prefix)):
            raise ServerError(f"{self.url}: the listing of {prefix!r} names a blob elsewhere", status=200)
        if version is None or not (length.isascii() and length.isdigit() and len(length) < 16):
            raise ServerError(f"{self.url}: the listing says nothing useful of {name!r}", status=200)
        return Stored(
            name.removeprefix(self._place.key("")),
            int(length),
            version,
            http_time(blob.get("Properties/Last-Modified")),
            valid_hash(blob.get(f"Metadata/{metadata_name(SHA256)}"), SHA256),
            from_base64(blob.get("Properties/Content-MD5")),
        )

    def _bad_listing(self, answer: Answer, what: str) -> ServerError:
        return ServerError(
            f"{self.url}: the answer is a listing {what}",
            status=answer.status,
            hint="Check --endpoint-url, and look for a proxy that answers in its place.",
            code="bad-answer",
        )
