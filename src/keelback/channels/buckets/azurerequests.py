"""Requests to one container of Azure Blob Storage, and what their answers say of a blob.

(Azure Storage REST API, "Blob Storage REST API".)
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import httpx2

from keelback.channels.buckets.azureerrors import azure_error
from keelback.channels.buckets.azurexml import error_code
from keelback.channels.buckets.bucket import ABSENT, MD5, SHA256, Changed, Stored
from keelback.channels.buckets.digests import from_base64, valid_hash
from keelback.credentials.azure.sharedkey import SharedKey
from keelback.credentials.azure.wire import API_VERSION, VERSION_HEADER
from keelback.errors import ServerError
from keelback.transport import Request
from keelback.transport.dates import http_time
from keelback.transport.messages import ANSWER_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.channels.access import Access
    from keelback.channels.buckets.azureplace import Place
    from keelback.channels.buckets.bucket import Attributes, Condition
    from keelback.errors import KeelbackError
    from keelback.transport import Answer, Body, Client

_log = logging.getLogger(__name__)

READ: Final = "read {}"
WRITE: Final = "write {}"
DELETE: Final = "delete {}"
LIST: Final = "list blobs"
"""What is asked for, as a person would say it."""

_META: Final = "x-ms-meta-"
_VERSION: Final = re.compile(r'(?:W/)?"[!#-~]{1,200}"')
_UNMET: Final = frozenset({"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet"})
"""The errors by which a condition that does not hold is told from a lease and other reasons for the same status."""


class ContainerRequests:
    """Sends requests to one container.

    Args:
        client: sends them.
        place: the container, and the channel in it.
        access: the credential; ``None`` for what is public.
    """

    def __init__(self, client: Client, place: Place, access: Access | None) -> None:
        self.client = client
        self.place = place
        self.access = access
        self._auth: httpx2.Auth | None = None
        if access is not None:
            assert isinstance(access.credential, httpx2.Auth)  # noqa: S101 - the kinds that are found for it are
            self._auth = access.credential

    def send(
        self,
        method: str,
        key: str | None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        limit: int = ANSWER_LIMIT,
        retried: Callable[[float, str], None] | None = None,
    ) -> Answer:
        """Send a request about the blob *key*, or about the container, and return the last answer.

        If the service refuses it because this machine's clock is wrong, requests use the service's clock from then on.

        Args:
            method: of HTTP.
            key: relative to the channel; ``None`` for the container.
            query: names and values.
            headers: more header fields.
            body: what is sent.
            limit: bytes that the answer may have.
            retried: told of each repetition.

        Raises:
            TransportError, Interrupted: as :meth:`keelback.transport.Client.send`.
        """
        url = self.place.container_url if key is None else self.place.blob_url(key)
        request = Request(
            method,
            f"{url}?{urlencode(query, quote_via=quote)}" if query else url,
            auth=self._auth,
            headers={VERSION_HEADER: API_VERSION, **(headers or {})},
            body=body,
            limit=limit,
            retried=retried,
        )
        answer = self.client.send(request)
        if answer.status == 403 and isinstance(self._auth, SharedKey) and self._auth.set_clock(answer.headers):
            _log.warning("this machine's clock differs from that of %s: check it", self.place.endpoint)
            return self.client.send(request)
        return answer

    def error(self, answer: Answer, action: str) -> KeelbackError:
        """What *answer*, which does not say that *action* worked, means."""
        return azure_error(answer, action, self.place, self.access)

    def stat(self, key: str) -> Stored | None:
        """What is under *key*; ``None`` where there is nothing."""
        answer = self.send("HEAD", key)
        if is_missing(answer):
            return None
        if answer.status != 200:
            raise self.error(answer, READ.format(key))
        return self.stored(key, answer)

    def stored(self, key: str, answer: Answer) -> Stored:
        """What *answer*, the one to ``GET`` or ``HEAD``, says of the blob under *key*.

        Raises:
            ServerError: it is not of Azure Blob Storage.
        """
        headers = answer.headers
        length = headers.get("content-length", "")
        size = int(length) if length.isascii() and length.isdigit() and len(length) < 16 else len(answer.content)
        return Stored(
            key,
            size,
            self.version(answer, READ.format(key)),
            http_time(headers.get("last-modified")),
            valid_hash(headers.get(_META + metadata_name(SHA256)), SHA256),
            from_base64(headers.get("content-md5")) or valid_hash(headers.get(_META + metadata_name(MD5)), MD5),
            seen=http_time(headers.get("date")),
        )

    def version(self, answer: Answer, action: str) -> str:
        """The version that *answer* names.

        Raises:
            ServerError: it names none.
        """
        version = quoted(answer.headers.get("etag", ""))
        if version is None:
            error = self.error(answer, action)
            raise error if answer.ok else ServerError(error.message, status=answer.status)
        return version

    def settle(self, answer: Answer, key: str, *, size: int, condition: Condition, **digests: str | None) -> None:
        """See that *answer*, to a request that makes the blob *key*, is a success, or follows one that was lost.

        Args:
            answer: the last one.
            key: of the blob.
            size: of the content that it should have.
            condition: under which it was to be made.
            digests: the ``sha256`` or ``md5`` of the content, hex.

        Raises:
            Changed: the condition does not hold.
            KeelbackError: it did not work.
        """
        if answer.status == 201:
            return
        if answer.uncertain and self.holds(key, size, **digests):
            return
        if is_unmet(answer, condition):
            raise Changed(answer.attempts, uncertain=answer.uncertain)
        raise self.error(answer, WRITE.format(key))

    def holds(self, key: str, size: int, **digests: str | None) -> bool:
        """Whether the blob under *key* has this *size* and these *digests*, of which at least one is known."""
        known = {name: value for name, value in digests.items() if value is not None}
        found = self.stat(key)
        return (
            found is not None
            and found.size == size
            and bool(known)
            and all(getattr(found, name) == value for name, value in known.items())
        )


# --- what goes into requests -----------------------------------------------------------------------------------------


def attribute_headers(attributes: Attributes) -> dict[str, str]:
    """The header fields that say what is kept with a blob ("Put Blob", "Put Block List")."""
    headers = {"x-ms-blob-content-type": attributes.content_type, "x-ms-blob-cache-control": attributes.cache_control}
    if attributes.content_disposition is not None:
        headers["x-ms-blob-content-disposition"] = attributes.content_disposition
    return headers | {_META + metadata_name(name): value for name, value in attributes.metadata.items()}


def metadata_name(name: str) -> str:
    """*name* as Azure has it: an identifier of C# ("Naming and referencing containers, blobs, and metadata")."""
    return name.replace("-", "_")


# --- what is in answers ----------------------------------------------------------------------------------------------


def is_missing(answer: Answer) -> bool:
    """Whether *answer* says that there is no such blob, in a container that is there."""
    return answer.status == 404 and error_code(answer.headers, answer.content) in {"", "BlobNotFound"}


def is_unmet(answer: Answer, condition: Condition) -> bool:
    """Whether *answer* says that *condition* does not hold."""
    code = error_code(answer.headers, answer.content)
    if code in _UNMET:
        return condition is not None
    if condition is ABSENT:
        return code == "UnauthorizedBlobOverwrite"  # what a signature says that permits to create, and not to write
    return isinstance(condition, str) and is_missing(answer)


def quoted(etag: str) -> str | None:
    """*etag* with its quotes, which listings leave out; ``None`` where it is none."""
    version = etag if etag.startswith(('"', 'W/"')) else f'"{etag}"'
    return version if _VERSION.fullmatch(version) else None
