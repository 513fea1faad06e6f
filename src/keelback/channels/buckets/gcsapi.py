"""Requests to the JSON API of Google Cloud Storage, and what its answers say of objects.

(Cloud Storage JSON API reference, "Objects".)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import httpx2

from keelback.channels.answers import expect
from keelback.channels.buckets.bucket import ABSENT, MD5, SHA256, Stored
from keelback.channels.buckets.digests import from_base64, valid_hash
from keelback.channels.buckets.gcserrors import error_for, misses_bucket
from keelback.channels.buckets.listings import checked_key
from keelback.transport import Request
from keelback.transport.dates import iso_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.channels.access import Access
    from keelback.channels.buckets.bucket import Condition
    from keelback.errors import KeelbackError
    from keelback.transport import Answer, Body, Client

FIELDS: Final = "name,size,generation,updated,md5Hash,metadata"
"""What is asked for of each object."""
_GENERATION: Final = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Api:
    """The JSON API, for one bucket.

    Attributes:
        client: sends the requests.
        endpoint: the URL of the service, without a slash at its end.
        bucket: the bucket's name.
        access: the credential; ``None`` for none.
    """

    client: Client
    endpoint: str
    bucket: str
    access: Access | None = None

    @property
    def auth(self) -> httpx2.Auth | None:
        """What puts the credential on a request."""
        if self.access is None:
            return None
        assert isinstance(self.access.credential, httpx2.Auth)  # noqa: S101 - the kinds that are found for it are
        return self.access.credential

    def objects(self, **query: str) -> str:
        """The URL of all objects of the bucket."""
        return f"{self.endpoint}/storage/v1/b/{quote(self.bucket, safe='')}/o?{urlencode(query)}"

    def object(self, name: str, **query: str) -> str:
        """The URL of the object *name*; all of it is one segment of the path.

        Raises:
            ChannelError: it is a name that could be taken for another one.
        """
        url = f"{self.endpoint}/storage/v1/b/{quote(self.bucket, safe='')}/o/{quote(checked_key(name), safe='')}"
        return f"{url}?{urlencode(query)}" if query else url

    def uploads(self, kind: str, condition: Condition) -> str:
        """The URL to which objects are sent in the way of *kind*, where *condition* holds."""
        query = {"uploadType": kind} | condition_query(condition)
        return f"{self.endpoint}/upload/storage/v1/b/{quote(self.bucket, safe='')}/o?{urlencode(query)}"

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        limit: int = 1 << 20,
        retried: Callable[[float, str], None] | None = None,
    ) -> Answer:
        """The answer to a request, again where that may help, whatever its status."""
        return self.client.send(Request(method, url, self.auth, headers or {}, body, limit, retried=retried))

    def good(self, answer: Answer, needs: str) -> Answer:
        """*answer*, if it is a success.

        Args:
            answer: what the service said.
            needs: the permission that the request needs, for messages.

        Raises:
            KeelbackError: it is none; see :meth:`error`.
        """
        if not answer.ok:
            raise self.error(answer, needs)
        return expect(answer, source=self._source)

    def found(self, answer: Answer, needs: str) -> Answer | None:
        """As :meth:`good`; ``None`` where the bucket is there, and the object is not."""
        if answer.status == 404 and not misses_bucket(answer):
            return None
        return self.good(answer, needs)

    def error(self, answer: Answer, needs: str) -> KeelbackError:
        """The error for *answer*, which is no success."""
        return error_for(answer, self.bucket, self._source, needs)

    @property
    def _source(self) -> str | None:
        return None if self.access is None else self.access.source


def condition_query(condition: Condition) -> dict[str, str]:
    """*condition* as a parameter of a request; generation 0 is that of what is not there ("Request preconditions")."""
    if condition is None:
        return {}
    return {"ifGenerationMatch": "0" if condition is ABSENT else str(condition)}


def stored(resource: Any, key: str | None = None, prefix: str = "") -> Stored | None:
    """The object that *resource*, JSON from the service, describes; ``None`` where that describes none.

    Args:
        resource: as in "Objects: Resource representations".
        key: the object's key, where it is known.
        prefix: of the name, which the key does not have.
    """
    if not isinstance(resource, dict):
        return None
    name, size, generation = resource.get("name"), str(resource.get("size", "")), str(resource.get("generation", ""))
    if key is None and isinstance(name, str) and name.startswith(prefix):
        key = name.removeprefix(prefix)
    if key is None or not _GENERATION.fullmatch(size) or not _GENERATION.fullmatch(generation):
        return None
    metadata = resource.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    sha256 = valid_hash(metadata.get(SHA256), SHA256)
    md5 = from_base64(resource.get("md5Hash")) or valid_hash(metadata.get(MD5), MD5)
    return Stored(key, int(size), generation, iso_time(resource.get("updated")), sha256, md5)


def md5_in(header: str) -> str | None:
    """The MD5 in the header field ``x-goog-hash``, in hex; ``None`` where there is none."""
    for part in header.split(","):
        algorithm, _, value = part.strip().partition("=")
        if algorithm == "md5":
            return from_base64(value)
    return None
