"""Google Cloud Storage: its JSON API, as far as a channel needs it, and its downloads.

(Cloud Storage JSON API reference; Cloud Storage documentation, "Resumable uploads", "Request preconditions" and "HTTP
status and error codes for JSON".) The condition of a resumable upload is the one with which it began, and is looked at
when it ends.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import leaks

from .channel import credential
from .engine import ScriptedServer, route
from .exchange import Exchange, json_answer
from .wire import Answer, ClientGoneError

QUANTUM = 256 << 10
_BUCKET = r"(?P<bucket>[^/]+)"
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")


@dataclass
class Object:
    """What is kept under a name."""

    resource: dict[str, Any]
    content: bytes
    generation: int
    updated: str = field(default_factory=lambda: datetime.now(UTC).isoformat().replace("+00:00", "Z"))

    @property
    def md5(self) -> str:
        """As the API writes it."""
        return _md5(self.content)

    def shown(self) -> dict[str, Any]:
        """The resource as it is answered."""
        return {
            **self.resource,
            "kind": "storage#object",
            "generation": str(self.generation),
            "metageneration": "1",
            "size": str(len(self.content)),
            "md5Hash": self.md5,
            "updated": self.updated,
        }


@dataclass
class Session:
    """A resumable upload under way."""

    resource: dict[str, Any]
    condition: str | None
    total: int
    content: bytearray = field(default_factory=bytearray)
    done: Object | None = None


class GCSServer(ScriptedServer):
    """One bucket.

    Args:
        token: what requests need as ``Bearer``; None for a bucket that is open to everybody.
        bucket: its name.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, token: str | None = None, *, bucket: str = "acme", **options: Any) -> None:
        super().__init__(**options)
        self.tokens = {token}
        self.bucket = bucket
        self.objects: dict[str, Object] = {}
        self.sessions: dict[str, Session] = {}
        self.received = 0
        """How many bytes of content came in resumable uploads."""
        self.honours_conditions = True
        self.page = 1000
        """How many objects a list has at most."""
        self.break_after: int | None = None
        """After how many bytes of the next chunk the connection breaks; what has come by then is kept."""
        self.takes_at_most: int | None = None
        """How many bytes of each chunk are kept."""
        self.session_origin: str | None = None
        """Where resumable uploads are, in place of here."""
        self.forgets_finished = False
        """Whether nothing is known of a resumable upload that is finished."""
        self._generation = 1_700_000_000_000_000

    def refusal(self, status: int, message: str, reason: str = "scripted") -> Answer:
        """See :class:`ScriptedServer`."""
        errors = [{"domain": "global", "reason": reason, "message": message}]
        return json_answer(status, {"error": {"code": status, "message": message, "errors": errors}})

    def filename_of(self, _exchange: Exchange, groups: dict[str, str]) -> str | None:
        """See :class:`ScriptedServer`."""
        return groups.get("name", "").rpartition("/")[2] or None

    def put(self, name: str, content: bytes, **resource: Any) -> Object:
        """Put something there, as somebody else would."""
        with self.lock:
            self._generation += 1
            made = Object({"name": name, "bucket": self.bucket, **resource}, content, self._generation)
            self.objects[name] = made
            return made

    @route("POST", rf"/upload/storage/v1/b/{_BUCKET}/o", step="insert")
    def insert(self, exchange: Exchange, bucket: str) -> Answer:
        """An object in one request, or the beginning of a resumable upload."""
        body, query = exchange.read(), dict(exchange.recorded.query)
        if refused := self._refused(exchange, bucket):
            return refused
        self.expect(exchange, query.keys() <= {"uploadType", "ifGenerationMatch"}, f"other parameters: {set(query)}")
        condition = query.get("ifGenerationMatch")
        if query.get("uploadType") == "resumable":
            return self._begin(exchange, body, condition)
        self.expect(exchange, query.get("uploadType") == "multipart", "uploadType is neither multipart nor resumable")
        parts = _parts(exchange.recorded.header("content-type") or "", body)
        if not self.expect(exchange, parts is not None, "the body is not multipart/related with two parts"):
            return self.refusal(400, "Multipart must have two parts", "badContent")
        assert parts is not None
        resource, media_type, content = parts
        self.expect(exchange, media_type == resource.get("contentType"), "the part's type is not the object's")
        return self._keep(exchange, resource, content, condition)

    @route("DELETE", rf"/upload/storage/v1/b/{_BUCKET}/o", step="cancel")
    def cancel(self, exchange: Exchange, bucket: str) -> Answer:
        """The end of a resumable upload that is not to be finished."""
        forgotten = self.sessions.pop(dict(exchange.recorded.query).get("upload_id", ""), None)
        return Answer(499) if forgotten else self.refusal(404, f"No such upload in {bucket}", "notFound")

    @route("PUT", rf"/upload/storage/v1/b/{_BUCKET}/o", step="chunk")
    def chunk(self, exchange: Exchange, bucket: str) -> Answer:
        """A piece of a resumable upload, or a question about one."""
        session = self.sessions.get(dict(exchange.recorded.query).get("upload_id", ""))
        if session is None or (session.done is not None and self.forgets_finished):
            return self.refusal(404, f"No such upload in {bucket}", "notFound")
        asked = _RANGE.fullmatch(exchange.recorded.header("content-range") or "")
        if asked is None:
            self.flag(exchange, "no valid Content-Range")
            return self.refusal(400, "Invalid Content-Range")
        self.expect(exchange, int(asked[3]) == session.total, "the total is another than at first")
        if asked[1] is not None:
            self._take(exchange, session, int(asked[1]), int(asked[2]))
        if session.done is not None:
            return json_answer(200, session.done.shown())
        if len(session.content) < session.total:
            has = len(session.content)
            return Answer(308, headers=[("Range", f"bytes=0-{has - 1}")] if has else [])
        answer = self._keep(exchange, session.resource, bytes(session.content), session.condition)
        session.done = self.objects.get(session.resource["name"]) if answer.status == 200 else None
        return answer

    @route("GET", rf"/storage/v1/b/{_BUCKET}/o", step="list")
    def list(self, exchange: Exchange, bucket: str) -> Answer:
        """A page of the objects, or of the folders."""
        if refused := self._refused(exchange, bucket):
            return refused
        query = dict(exchange.recorded.query)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        names, folders = [], set()
        for name in sorted(self.objects):
            if not name.startswith(prefix):
                continue
            rest = name.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                names.append(name)
        everything = sorted([*names, *folders])
        start = int(query.get("pageToken", "0"))
        page = everything[start : start + self.page]
        document: dict[str, Any] = {}
        if "items(" in query["fields"]:
            document["items"] = [self.objects[name].shown() for name in page if name in self.objects]
        else:
            document["prefixes"] = [name for name in page if name in folders]
        if start + self.page < len(everything):
            document["nextPageToken"] = str(start + self.page)
        return json_answer(200, document)

    @route("GET DELETE", rf"/storage/v1/b/{_BUCKET}/o/(?P<name>[^/]+)", step="object")
    def object(self, exchange: Exchange, bucket: str, name: str) -> Answer:
        """What an object is, or its content, or its end."""
        if refused := self._refused(exchange, bucket):
            return refused
        found = self.objects.get(name)
        if found is None:
            return self.refusal(404, f"No such object: {bucket}/{name}", "notFound")
        if exchange.recorded.method == "DELETE":
            if dict(exchange.recorded.query).get("ifGenerationMatch") not in {None, str(found.generation)}:
                return self.refusal(412, "At least one of the pre-conditions did not hold", "conditionNotMet")
            del self.objects[name]
            return Answer(204)
        if dict(exchange.recorded.query).get("alt") != "media":
            return json_answer(200, found.shown())
        return self._content(exchange, found)

    @route("GET HEAD", rf"/(?!storage/|upload/){_BUCKET}/(?P<name>.+)", step="get")
    def get(self, exchange: Exchange, bucket: str, name: str) -> Answer:
        """The content, as readers of the channel get it."""
        if refused := self._refused(exchange, bucket):
            return refused
        found = self.objects.get(name)
        return self._content(exchange, found) if found else self.refusal(404, "No such object", "notFound")

    def _content(self, exchange: Exchange, found: Object) -> Answer:
        md5 = _md5(b"another") if exchange.lying else found.md5
        headers = [
            ("Content-Type", found.resource.get("contentType", "application/octet-stream")),
            ("X-Goog-Generation", str(found.generation)),
            ("X-Goog-Hash", f"crc32c=AAAAAA==,md5={md5}"),
            ("X-Goog-Stored-Content-Encoding", "identity"),
        ]
        return Answer(200, found.content, headers)

    def _refused(self, exchange: Exchange, bucket: str) -> Answer | None:
        if self.tokens != {None} and credential(exchange, "Bearer") not in self.tokens:
            return self.refusal(401, "Invalid Credentials", "authError")
        if bucket != self.bucket:
            return self.refusal(404, "The specified bucket does not exist.", "notFound")
        return None

    def _begin(self, exchange: Exchange, body: bytes, condition: str | None) -> Answer:
        resource = json.loads(body)
        upload_id = leaks.new_secret("upload-id")
        total = int(exchange.recorded.header("x-upload-content-length") or "0")
        self.expect(exchange, total > 0, "no X-Upload-Content-Length")
        self.expect(exchange, "name" in resource, "the object has no name")
        self.sessions[upload_id] = Session(resource, condition, total)
        origin = self.session_origin or self.url
        location = f"{origin}{exchange.path}?uploadType=resumable&upload_id={upload_id}"
        return Answer(200, headers=[("Location", location)])

    def _take(self, exchange: Exchange, session: Session, start: int, end: int) -> None:
        """Keep what comes, from where the upload has got to; in the middle of it, the connection may break."""
        is_last = end + 1 == session.total
        self.expect(exchange, is_last or (end + 1 - start) % QUANTUM == 0, "a chunk is no multiple of 256 KiB")
        self.expect(exchange, start <= len(session.content), "a chunk leaves a gap")
        came = bytearray()
        for piece in exchange.chunks():
            came += piece
            if self.break_after is not None and len(came) >= self.break_after:
                self._append(session, start, came[: len(came) // QUANTUM * QUANTUM])
                self.break_after = None
                exchange._wire.reset()
                raise ClientGoneError
        self.expect(exchange, len(came) == end + 1 - start, "Content-Range and the body disagree")
        self._append(session, start, came if self.takes_at_most is None else came[: self.takes_at_most])

    def _append(self, session: Session, start: int, came: bytearray) -> None:
        with self.lock:
            self.received += len(came)
            session.content += came[len(session.content) - start :]

    def _keep(self, exchange: Exchange, resource: dict[str, Any], content: bytes, condition: str | None) -> Answer:
        name = resource["name"]
        md5 = _md5(content)
        self.expect(exchange, "md5Hash" in resource, "no md5Hash, so that nobody verifies the content")
        if resource.get("md5Hash") not in {None, md5}:
            given = resource["md5Hash"]
            return self.refusal(
                400, f'Provided MD5 hash "{given}" doesn\'t match calculated MD5 hash "{md5}".', "invalid"
            )
        with self.lock:
            there = self.objects.get(name)
            generation = "0" if there is None else str(there.generation)
            if condition not in {None, generation} and self.honours_conditions:
                return self.refusal(412, "A pre-condition you specified did not hold.", "conditionNotMet")
            resource = {key: value for key, value in resource.items() if key not in {"name", "md5Hash"}}
            made = self.put(name, content, **resource)
        shown = made.shown()
        return json_answer(200, {**shown, "size": "1"} if exchange.lying else shown)


def _parts(content_type: str, body: bytes) -> tuple[dict[str, Any], str, bytes] | None:
    """The resource, the type and the content in a ``multipart/related`` body; ``None`` where it is none."""
    match = re.fullmatch(r"multipart/related; boundary=([\w-]+)", content_type)
    if match is None:
        return None
    boundary = b"--" + match[1].encode()
    if not body.startswith(boundary + b"\r\n") or not body.endswith(b"\r\n" + boundary + b"--\r\n"):
        return None
    first, separator, second = body[len(boundary) + 2 : -len(boundary) - 6].partition(b"\r\n" + boundary + b"\r\n")
    first_head, _, resource = first.partition(b"\r\n\r\n")
    second_head, _, content = second.partition(b"\r\n\r\n")
    if not separator or first_head != b"content-type: application/json; charset=UTF-8":
        return None
    name, _, media_type = second_head.decode().partition(": ")
    return (json.loads(resource), media_type, content) if name == "content-type" else None


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
