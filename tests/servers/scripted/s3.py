"""An object store with one bucket, addressed by path: the S3 protocol, as strict as AWS, and rude on demand.

(Amazon S3 API Reference. Beside the faults of every scripted server, it has some that only an object store can have:
see the arguments.)
"""

from __future__ import annotations

import email.utils
import hashlib
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from .engine import ScriptedServer, route
from .s3_signatures import refusal as signature_refusal
from .wire import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .exchange import Exchange, Recorded

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_SMALLEST_PART = 5 << 20
_KEPT = ("content-type", "cache-control", "content-disposition")
_WRITES = frozenset({"put", "create", "part", "complete", "abort", "delete"})
_STATUS = {
    "AccessDenied": 403,
    "InvalidAccessKeyId": 403,
    "SignatureDoesNotMatch": 403,
    "RequestTimeTooSkewed": 403,
    "AuthorizationHeaderMalformed": 400,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "PreconditionFailed": 412,
    "NotImplemented": 501,
}


@dataclass
class Object:
    """What is under a key; of big ones, the content is not kept."""

    content: bytes
    size: int
    etag: str
    sha256: str
    headers: dict[str, str]
    modified: float


@dataclass
class Upload:
    """A multipart upload that is not complete yet."""

    key: str
    headers: dict[str, str]
    initiated: float
    parts: dict[int, Object] = field(default_factory=dict)


class S3Server(ScriptedServer):
    """An object store.

    Args:
        keys: the secret of each access key id.
        bucket: the name of the only bucket.
        region: where it is.
        readers: access key ids that may only read.
        clock_offset: by how many seconds its clock is ahead.
        conditions: ``honoured``; ``ignored`` as by old services; ``refused`` with 501; ``put-only``, where completing
            an upload ignores them; ``refused-late``, where it refuses them.
        conditional_deletes: ``honoured``, ``ignored`` or ``refused``.
        page: how many keys are listed at a time.
        keeps: whether the content is kept; without it, only sizes and hashes are.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(
        self,
        keys: Mapping[str, str],
        *,
        bucket: str = "packages",
        region: str = "us-east-1",
        readers: Iterable[str] = (),
        clock_offset: float = 0.0,
        conditions: str = "honoured",
        conditional_deletes: str = "honoured",
        page: int = 1000,
        keeps: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.objects: dict[str, Object] = {}
        self.uploads: dict[str, Upload] = {}
        self.late_errors: list[str] = []
        """Codes with which the next completions fail, in a 200."""
        self.unlisted: set[str] = set()
        """Keys that its lists do not have yet."""
        self.tamper: Callable[[str, bytes], bytes] = lambda _step, body: body
        """Changes the XML with which a step is answered."""
        self.bucket = bucket
        self.clock_offset = clock_offset
        self.conditions = conditions
        self.conditional_deletes = conditional_deletes
        self._keys = keys
        self._region = region
        self._readers = frozenset(readers)
        self._page = page
        self._keeps = keeps
        self._ids = count(1)

    @property
    def now(self) -> float:
        """Its clock."""
        return time.time() + self.clock_offset

    def put_object(self, key: str, content: bytes) -> Object:
        """Have *content* under *key*, as if somebody else had put it there."""
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        sha256 = hashlib.sha256(content).hexdigest()
        self.objects[key] = Object(content, len(content), etag, sha256, {}, self.now)
        return self.objects[key]

    def begin_upload(self, key: str, *, initiated: float, parts: Iterable[float] = ()) -> str:
        """Have an upload that somebody began at a time, with parts that came at others."""
        upload = Upload(key, {}, initiated)
        for number, modified in enumerate(parts, start=1):
            upload.parts[number] = Object(b"", 0, '"part"', "", {}, modified)
        upload_id = f"upload-{next(self._ids)}"
        self.uploads[upload_id] = upload
        return upload_id

    def arrived(self, exchange: Exchange) -> None:
        """Put the name of the operation in front of the path."""
        request = exchange.recorded
        query = dict(request.query)
        _, bucket, key = (*request.path.split("/", 2), "")[:3]
        operation = _operation(request.method, query, of_object=bool(key))
        exchange.path = f"/{operation}/{bucket}/{key}"

    def refusal(self, status: int, message: str) -> Answer:
        """An error as S3 puts it."""
        codes = {403: "AccessDenied", 429: "SlowDown", 500: "InternalError", 503: "SlowDown"}
        return self.error(codes.get(status, "Scripted"), message, status=status)

    def error(self, code: str, message: str = "", *, status: int | None = None, more: str = "") -> Answer:
        """The error that S3 calls *code*."""
        body = f"<Error><Code>{code}</Code><Message>{escape(message or code)}</Message>{more}</Error>"
        return _xml(status or _STATUS.get(code, 400), body)

    def dress(self, answer: Answer) -> Answer:
        """Tell the time."""
        if "date" not in {name.lower() for name, _ in answer.headers}:
            answer.headers.append(("Date", email.utils.formatdate(self.now, usegmt=True)))
        return answer

    @route(
        "GET HEAD PUT POST DELETE",
        r"/(?P<operation>[a-z]+)/(?P<bucket>[^/]+)/(?P<key>.*)",
        step="any",
    )
    def handle(self, exchange: Exchange, operation: str, bucket: str, key: str) -> Answer:
        """Refuse, or do what was asked."""
        request = exchange.recorded
        refused = self._refused(request, operation, bucket)
        if refused is not None:
            return refused
        with self.lock:
            answer: Answer = getattr(self, f"_{operation}")(exchange, key)
        exchange.discard()
        if answer.body and answer.body.startswith(b"<?xml"):
            answer.body = self.tamper(operation, answer.body)
        return answer

    def filename_of(self, exchange: Exchange, groups: dict[str, str]) -> str | None:
        """Also calls the step by the operation, which the route cannot."""
        if "operation" in groups:
            exchange.recorded.step = groups["operation"]
        return unquote(groups.get("key", "")).rpartition("/")[2] or None

    def _refused(self, request: Recorded, operation: str, bucket: str) -> Answer | None:
        why = signature_refusal(request, self._keys, self._region, self.now)
        if why is not None:
            code, message = why
            more = f"<Region>{self._region}</Region>" if code == "AuthorizationHeaderMalformed" else ""
            answer = self.error(code, message, more=more)
            if more:
                answer.headers.append(("x-amz-bucket-region", self._region))
            return answer
        key_id = (request.header("authorization") or "").partition("Credential=")[2].partition("/")[0]
        if operation in _WRITES and key_id in self._readers:
            return self.error("AccessDenied", "Access Denied")
        return None if bucket == self.bucket else self.error("NoSuchBucket", "The specified bucket does not exist")

    def _received(self, exchange: Exchange, headers: dict[str, str]) -> Object | Answer:
        """The body as an object, or why it is none."""
        pieces, md5, sha256, size = [], hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        for chunk in exchange.chunks():
            md5.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
            if self._keeps:
                pieces.append(chunk)
        said = exchange.recorded.header("x-amz-content-sha256")
        self.expect(exchange, bool(re.fullmatch(r"[0-9a-f]{64}", said or "")), "the payload is not signed")
        if said != sha256.hexdigest():
            return self.error("XAmzContentSHA256Mismatch", "The provided header does not match what was computed.")
        return Object(b"".join(pieces), size, f'"{md5.hexdigest()}"', sha256.hexdigest(), headers, self.now)

    def _condition(self, request: Recorded, key: str) -> Answer | None:
        """Why a write is refused, or None."""
        absent, version = request.header("if-none-match"), request.header("if-match")
        there = self.objects.get(key)
        refuses = {"refused": True, "refused-late": request.step == "complete"}.get(self.conditions, False)
        if (absent or version) and refuses:
            return self.error("NotImplemented", "A header you provided implies functionality that is not implemented")
        if self.conditions == "ignored" or (self.conditions == "put-only" and request.step == "complete"):
            return None
        if version and there is None:
            return self.error("NoSuchKey", "The specified key does not exist.")
        if (absent and there) or (version and there and version != there.etag):
            return self.error("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        return None

    def _put(self, exchange: Exchange, key: str) -> Answer:
        request = exchange.recorded
        received = self._received(exchange, _kept_headers(request))
        refused = received if isinstance(received, Answer) else self._condition(request, key)
        if refused is not None:
            return refused
        assert isinstance(received, Object)
        self.objects[key] = received
        return Answer(200, headers=[("ETag", received.etag)])

    def _get(self, exchange: Exchange, key: str) -> Answer:
        there = self.objects.get(key)
        if there is None:
            return self.error("NoSuchKey", "The specified key does not exist.")
        headers = [("ETag", there.etag), ("Last-Modified", email.utils.formatdate(there.modified, usegmt=True))]
        headers += list(there.headers.items())
        if exchange.recorded.method == "HEAD":
            headers.append(("Content-Length", str(there.size)))
        return Answer(200, there.content, headers)

    _head = _get

    def _delete(self, exchange: Exchange, key: str) -> Answer:
        version, there = exchange.recorded.header("if-match"), self.objects.get(key)
        if version and self.conditional_deletes == "refused":
            return self.error("NotImplemented", "A header you provided implies functionality that is not implemented")
        if version and self.conditional_deletes == "honoured":
            if there is None:
                return self.error("NoSuchKey", "The specified key does not exist.")
            if version != there.etag:
                return self.error("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        self.objects.pop(key, None)
        return Answer(204)

    def _located(self, exchange: Exchange, key: str) -> Answer:  # noqa: ARG002 - as all of them
        return Answer(200, headers=[("x-amz-bucket-region", self._region)])

    def _list(self, exchange: Exchange, key: str) -> Answer:  # noqa: ARG002 - as all of them
        query = dict(exchange.recorded.query)
        self.expect(exchange, query.get("list-type") == "2", "not the second version of the list")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        entries = sorted(
            {_entry(name, prefix, delimiter) for name in self.objects.keys() - self.unlisted if name.startswith(prefix)}
        )
        start = int(query.get("continuation-token", "page-0").removeprefix("page-"))
        page, rest = entries[start : start + self._page], entries[start + self._page :]
        token = f"<NextContinuationToken>page-{start + self._page}</NextContinuationToken>" if rest else ""
        encoded = "<EncodingType>url</EncodingType>" if query.get("encoding-type") == "url" else ""
        name = quote_plus if encoded else escape
        rows = "".join(
            f"<Contents><Key>{name(entry)}</Key>{self._described(entry)}</Contents>"
            if not is_folder
            else f"<CommonPrefixes><Prefix>{name(entry)}</Prefix></CommonPrefixes>"
            for entry, is_folder in page
        )
        truncated = f"<IsTruncated>{'true' if rest else 'false'}</IsTruncated>"
        return _xml(200, f"<ListBucketResult {NAMESPACE}>{truncated}{encoded}{rows}{token}</ListBucketResult>")

    def _described(self, key: str) -> str:
        there = self.objects[key]
        owner = "<Owner><ID>somebody</ID></Owner>"
        known = f"<LastModified>{_iso(there.modified)}</LastModified><ETag>{escape(there.etag)}</ETag>{owner}"
        return f"{known}<Size>{there.size}</Size><StorageClass>STANDARD</StorageClass>"

    def _create(self, exchange: Exchange, key: str) -> Answer:
        upload_id = f"upload/{next(self._ids)}+"
        self.uploads[upload_id] = Upload(key, _kept_headers(exchange.recorded), self.now)
        return _xml(
            200,
            f"<InitiateMultipartUploadResult {NAMESPACE}><Bucket>{self.bucket}</Bucket><Key>{escape(key)}</Key>"
            f"<UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>",
        )

    def _part(self, exchange: Exchange, key: str) -> Answer:
        query = dict(exchange.recorded.query)
        received = self._received(exchange, {})
        upload = self._upload(query, key)
        if isinstance(received, Answer) or upload is None:
            return received if isinstance(received, Answer) else self.error("NoSuchUpload")
        upload.parts[int(query["partNumber"])] = received
        return Answer(200, headers=[("ETag", received.etag)])

    def _parts(self, exchange: Exchange, key: str) -> Answer:
        upload = self._upload(dict(exchange.recorded.query), key)
        if upload is None:
            return self.error("NoSuchUpload")
        rows = "".join(
            f"<Part><PartNumber>{number}</PartNumber><LastModified>{_iso(part.modified)}</LastModified></Part>"
            for number, part in upload.parts.items()
        )
        return _xml(200, f"<ListPartsResult {NAMESPACE}><IsTruncated>false</IsTruncated>{rows}</ListPartsResult>")

    def _complete(self, exchange: Exchange, key: str) -> Answer:
        request = exchange.recorded
        named = [
            (int(part.findtext("{*}PartNumber") or 0), part.findtext("{*}ETag"))
            for part in ET.fromstring(exchange.read()).findall("{*}Part")  # noqa: S314 - what keelback sends
        ]
        query = dict(request.query)
        upload = self._upload(query, key)
        if self.late_errors:
            return self.error(self.late_errors.pop(0), status=200)
        if upload is None:
            return self.error("NoSuchUpload", "The specified upload does not exist.")
        parts = [upload.parts[number] for number, _ in named]
        self.expect(exchange, [part.etag for part in parts] == [etag for _, etag in named], "wrong ETags")
        self.expect(exchange, [number for number, _ in named] == list(range(1, len(parts) + 1)), "parts are missing")
        too_small = any(part.size < _SMALLEST_PART for part in parts[:-1])
        self.expect(exchange, not too_small, "a part that is not the last has less than 5 MiB")
        refused = self._condition(request, key)
        if refused is not None:
            return refused
        del self.uploads[query["uploadId"]]
        content = b"".join(part.content for part in parts)
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}-{len(parts)}"'
        size = sum(part.size for part in parts)
        digest = hashlib.sha256(content).hexdigest()
        self.objects[key] = Object(content, size, etag, digest, upload.headers, self.now)
        result = f"<CompleteMultipartUploadResult {NAMESPACE}><ETag>{escape(etag)}</ETag>"
        return _xml(200, f"{result}</CompleteMultipartUploadResult>", before=b" \n ")

    def _abort(self, exchange: Exchange, key: str) -> Answer:
        query = dict(exchange.recorded.query)
        if self._upload(query, key) is None:
            return self.error("NoSuchUpload", "The specified upload does not exist.")
        del self.uploads[query["uploadId"]]
        return Answer(204)

    def _uploads(self, exchange: Exchange, key: str) -> Answer:  # noqa: ARG002 - as all of them
        prefix = dict(exchange.recorded.query).get("prefix", "")
        rows = "".join(
            f"<Upload><Key>{quote_plus(upload.key)}</Key><UploadId>{upload_id}</UploadId>"
            f"<Initiated>{_iso(upload.initiated)}</Initiated></Upload>"
            for upload_id, upload in self.uploads.items()
            if upload.key.startswith(prefix)
        )
        head = "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        return _xml(200, f"<ListMultipartUploadsResult {NAMESPACE}>{head}{rows}</ListMultipartUploadsResult>")

    def _upload(self, query: dict[str, str], key: str) -> Upload | None:
        upload = self.uploads.get(query["uploadId"])
        return upload if upload is not None and upload.key == key else None


def _operation(method: str, query: dict[str, str], *, of_object: bool) -> str:
    """What S3 would call it, in short."""
    if not of_object:
        return {"GET": "uploads" if "uploads" in query else "list", "HEAD": "located"}.get(method, "unknown")
    if "uploadId" in query:
        return {"PUT": "part", "POST": "complete", "DELETE": "abort", "GET": "parts"}[method]
    if "uploads" in query:
        return "create"
    return method.lower()


def _kept_headers(request: Recorded) -> dict[str, str]:
    """What of the head of a request is kept with an object."""
    found = {name.lower(): value for name, value in request.headers}
    return {name: value for name, value in found.items() if name in _KEPT or name.startswith("x-amz-meta-")}


def _entry(name: str, prefix: str, delimiter: str) -> tuple[str, bool]:
    """The key, or the folder that it is in; and whether it is a folder."""
    head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
    return (f"{prefix}{head}{found}", True) if found else (name, False)


def _xml(status: int, body: str, *, before: bytes = b"") -> Answer:
    content = before + f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()
    return Answer(status, content, [("Content-Type", "application/xml")])


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
