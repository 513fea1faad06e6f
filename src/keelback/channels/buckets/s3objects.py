"""Objects of a bucket with the S3 protocol: asked for, read, written on a condition, removed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from keelback.channels.buckets.bucket import ABSENT, MD5, SHA256, Changed, Stored
from keelback.channels.buckets.digests import valid_hash
from keelback.channels.buckets.etags import condition_headers
from keelback.channels.buckets.s3errors import NO_BUCKET, Action
from keelback.channels.buckets.s3xml import number
from keelback.credentials.sigv4 import CONTENT_SHA256
from keelback.errors import ServerError
from keelback.transport.dates import http_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.channels.buckets.bucket import Attributes, Condition
    from keelback.channels.buckets.s3reply import Reply
    from keelback.channels.buckets.s3requests import BucketRequests
    from keelback.transport import Body

_META: Final = "x-amz-meta-"
_IDENTITY: Final = {"accept-encoding": "identity"}
_ENCRYPTED: Final = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-customer-algorithm")
_NO_CONDITIONS: Final = frozenset({"NotImplemented", "InvalidArgument", "InvalidRequest"})


class Written(NamedTuple):
    """What came of a write: the version of what is there now, and how often it was sent."""

    version: str
    attempts: int


class Objects:
    """The objects of one bucket.

    Args:
        requests: to the bucket.

    Attributes:
        conditional: whether the service honours conditions; where it does not, what is there is looked at before a
            write, which another writer may come in between.
    """

    def __init__(self, requests: BucketRequests) -> None:
        self.conditional = True
        self._requests = requests

    def stat(self, key: str) -> Stored | None:
        """What is under *key*; ``None`` where there is nothing (``HeadObject``)."""
        action = Action(f"look at {key}", "s3:GetObject, and s3:ListBucket for what is not there,")
        reply = self._requests.send("HEAD", key, headers=_IDENTITY)
        if reply.status == 404:
            return None
        if not reply.ok:  # the answer to HEAD has no words
            first_byte = {**_IDENTITY, "range": "bytes=0-0"}
            told = self._requests.send("GET", key, headers=first_byte)
            raise self._requests.error(reply if told.ok else told, action)
        size = number(reply.answer.headers.get("content-length"))
        if size is None:
            raise ServerError(f"{self._requests.place.host} does not say how large {key} is", status=reply.status)
        return self._stored(key, size, reply)

    def read(self, key: str, *, limit: int) -> tuple[bytes, Stored] | None:
        """The content under *key*, of at most *limit* bytes, and what it is; ``None`` for nothing (``GetObject``)."""
        reply = self._requests.send("GET", key, headers=_IDENTITY, limit=limit)
        if reply.status == 404 and reply.code != NO_BUCKET:
            return None
        self._requests.expect(reply, Action(f"read {key}", "s3:GetObject, and s3:ListBucket for what is not there,"))
        return reply.answer.content, self._stored(key, len(reply.answer.content), reply)

    def write(self, key: str, content: bytes, attributes: Attributes, condition: Condition) -> str:
        """Put *content* under *key*, where *condition* holds, and return its version; raises ``Changed``."""

        def is_mine(there: Stored) -> bool:
            found = self.read(key, limit=len(content)) if there.size == len(content) else None
            return found is not None and found[1].version == there.version and found[0] == content

        digest = hashlib.sha256(content).hexdigest()
        return self.put(key, content, digest, attributes, condition, is_mine=is_mine).version

    def put(
        self,
        key: str,
        body: bytes | Body,
        sha256: str,
        attributes: Attributes,
        condition: Condition,
        *,
        is_mine: Callable[[Stored], bool],
        retried: Callable[[float, str], None] | None = None,
    ) -> Written:
        """Put *body*, which has the hash *sha256*, under *key* where *condition* holds (``PutObject``).

        Args:
            key: where.
            body: what.
            sha256: in hex.
            attributes: kept with it.
            condition: on what is there.
            is_mine: whether what is there is *body*; asked where an answer was lost, and the condition does not hold
                any more.
            retried: told of each repetition.

        Raises:
            Changed: *condition* does not hold.
        """
        if not self.conditional and not self.holds(key, condition):
            raise Changed(attempts=0)
        headers = {**attribute_headers(attributes), **self.condition_headers(condition), CONTENT_SHA256: sha256}
        reply = self._requests.send("PUT", key, headers=headers, body=body, retried=retried)
        attempts, action = reply.answer.attempts, Action(f"write {key}", "s3:PutObject")
        if is_changed(reply, condition):
            there = self.stat(key) if reply.answer.uncertain else None
            if there is None or not is_mine(there):
                raise Changed(attempts, uncertain=reply.answer.uncertain)
            return Written(there.version, attempts)
        self._requests.expect(reply, action)
        version = _version(reply)
        if version is None:
            raise self._requests.error(reply, action)
        return Written(version, attempts)

    def delete(self, key: str, version: str | None = None) -> None:
        """Have nothing under *key* (``DeleteObject``); with *version*, only if that is there.

        Services that take conditional writes but no conditional deletes ignore the condition, or refuse it: then it is
        deleted without ("How to perform conditional deletes").

        Raises:
            Changed: another version is there.
        """
        reply = self._requests.send("DELETE", key, headers=self.condition_headers(version))
        if version is not None and refuses_conditions(reply):
            reply = self._requests.send("DELETE", key)
        if reply.status == 404 and reply.code != NO_BUCKET:
            return
        if is_changed(reply, version):
            if reply.answer.uncertain and self.stat(key) is None:  # it was the request itself whose answer got lost
                return
            raise Changed(reply.answer.attempts, uncertain=reply.answer.uncertain)
        self._requests.expect(reply, Action(f"delete {key}", "s3:DeleteObject"))

    def holds(self, key: str, condition: Condition) -> bool:
        """Whether *condition* holds for *key* at this moment."""
        if condition is None:
            return True
        there = self.stat(key)
        return there is None if condition is ABSENT else there is not None and there.version == condition

    def condition_headers(self, condition: Condition) -> dict[str, str]:
        """What makes a write depend on *condition*; nothing for a service that does not honour it."""
        return condition_headers(condition, self._requests.place.host) if self.conditional else {}

    def _stored(self, key: str, size: int, reply: Reply) -> Stored:
        headers = reply.answer.headers
        version = _version(reply)
        if version is None:
            raise self._requests.error(reply, Action(f"look at {key}", "s3:GetObject"))
        encryption = {headers.get(name) for name in _ENCRYPTED} - {None, "AES256"}
        md5 = likely_md5(version) if not encryption else None
        return Stored(
            key,
            size,
            version,
            modified=http_time(headers.get("last-modified")),
            sha256=valid_hash(headers.get(f"{_META}{SHA256}"), SHA256),
            md5=md5 or valid_hash(headers.get(f"{_META}{MD5}"), MD5),
            seen=reply.date,
        )


def attribute_headers(attributes: Attributes) -> dict[str, str]:
    """What is sent for *attributes* to be kept ("Working with object metadata", Amazon S3 User Guide)."""
    headers = {"content-type": attributes.content_type, "cache-control": attributes.cache_control}
    if attributes.content_disposition is not None:
        headers["content-disposition"] = attributes.content_disposition
    return headers | {f"{_META}{name}": value for name, value in attributes.metadata.items()}


def is_changed(reply: Reply, condition: Condition) -> bool:
    """Whether *reply* to a write says that *condition* does not hold.

    412; 404 where a version was to be there, and nothing is; 409 where others wrote at the same time, again and again.
    """
    if condition is None:
        return False
    if reply.status == 412 or reply.code in ("PreconditionFailed", "ConditionalRequestConflict"):
        return True
    return reply.status == 404 and reply.code != NO_BUCKET and isinstance(condition, str)


def refuses_conditions(reply: Reply) -> bool:
    """Whether *reply*, to a write with a condition, may be that of a service that knows none."""
    return reply.status == 501 or (reply.status == 400 and reply.code in _NO_CONDITIONS)


def likely_md5(version: str) -> str | None:
    """The MD5 that *version*, an ``ETag``, is for what came in one part and is not encrypted with a key of its own.

    (Amazon S3 API Reference, ``Object``: ``ETag``.)
    """
    return valid_hash(version.strip('"'), MD5)


def quoted(etag: str) -> str | None:
    """*etag* as a condition has it, with its quotes; ``None`` where it is none."""
    etag = etag.strip()
    if not etag or not etag.isascii() or not etag.isprintable():
        return None
    return etag if etag.endswith('"') else f'"{etag}"'


def _version(reply: Reply) -> str | None:
    return quoted(reply.answer.headers.get("etag", "")) if reply.ok else None
