"""What Cloudsmith's API has for files: they are announced, and sent in a form or in parts to where it said."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from leaks import new_secret

from .channel import ChannelServer, credential, header_text
from .engine import route
from .exchange import Exchange, json_answer
from .multipart import MultipartError, boundary_of, parts
from .shelf import Body
from .wire import Answer

REPOSITORY = r"(?P<owner>[^/]+)/(?P<repo>[^/]+)"


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, detail: str, **fields: list[str]) -> None:
        super().__init__(detail)
        self.status = status
        self.document = {"detail": detail} | ({"fields": fields} if fields else {})


@dataclass
class Slot:
    """A file that was announced."""

    filename: str
    md5: str
    method: str
    form: dict[str, str] = field(default_factory=dict)
    parts: dict[int, bytes] = field(default_factory=dict)
    body: Body | None = None
    aborted: bool = False


class CloudsmithFiles(ChannelServer):
    """The files of a Cloudsmith with one repository; arguments as for :class:`CloudsmithServer`."""

    def __init__(self, key: str, *, owner: str, place: dict[str, Any] | None, **options: Any) -> None:
        super().__init__(**options)
        self.owner = owner
        self.slots: dict[str, Slot] = {}
        """The files that were announced, by their identifiers."""
        self.place = place or {}
        self.key = key

    # The file.

    @route("POST", rf"/v1/files/{REPOSITORY}/(?:validate/)?", step="request")
    def request_file(self, exchange: Exchange, owner: str, repo: str) -> Answer:
        """A PackageFileUpload; or, with ``validate/``, nothing."""
        if exchange.path.endswith("/validate/"):
            exchange.recorded.step = "validate"
        return self.api(exchange, owner, repo, lambda sent: self._request(exchange, sent))

    @route("POST", r"/_store/(?P<identifier>[^/]+)", step="upload")
    def form(self, exchange: Exchange, identifier: str) -> Answer:
        """The object store: the fields in their order, and the file."""
        self._check_store_head(exchange)
        slot = self.slots.get(identifier)
        if slot is None or slot.method != "post":
            return _store_error(403, "AccessDenied")
        try:
            slot.body = self._read_form(exchange, slot)
        except MultipartError as error:
            self.flag(exchange, str(error))
            return _store_error(400, "MalformedPOSTRequest")
        if slot.body is None:
            return _store_error(403, "AccessDenied")
        return Answer(204)

    @route("PUT", r"/_parts/(?P<identifier>[^/]+)", step="part")
    def part(self, exchange: Exchange, identifier: str) -> Answer:
        """Cloudsmith's own place for parts."""
        body, slot, query = exchange.read(), self.slots.get(identifier), dict(exchange.recorded.query)
        if not self.is_known(exchange):
            return self.refusal(401, "Unable to authenticate")
        self.expect(exchange, exchange.recorded.header("content-length") is not None, "a part has no Content-Length")
        self.expect(exchange, query.get("upload_id") == identifier, "the upload_id is not the file's identifier")
        number = query.get("part_number", "")
        if slot is None or slot.method != "put_parts" or not re.fullmatch("[1-9][0-9]*", number):
            return self.refusal(404, "No such upload, or no such part")
        with self.lock:
            if slot.aborted:  # this request had come already, and was answered by nobody until now
                return self.refusal(404, "No such upload")
            slot.parts[int(number)] = body
        return json_answer(200, {})

    @route("POST", rf"/v1/files/{REPOSITORY}/(?P<identifier>[^/]+)/complete/", step="complete")
    def complete(self, exchange: Exchange, owner: str, repo: str, identifier: str) -> Answer:
        """Put the parts together; there are none any more the second time."""
        return self.api(exchange, owner, repo, lambda sent: self._complete(exchange, sent, identifier))

    @route("POST", rf"/v1/files/{REPOSITORY}/(?P<identifier>[^/]+)/abort/", step="abort")
    def abort(self, exchange: Exchange, owner: str, repo: str, identifier: str) -> Answer:
        """Forget the parts."""

        def forget(_sent: dict[str, Any]) -> Answer:
            slot = self.slots[identifier]
            with self.lock:
                slot.aborted = True
                slot.parts.clear()
            return Answer(204)

        return self.api(exchange, owner, repo, forget)

    def _request(self, exchange: Exchange, sent: dict[str, Any]) -> Answer:
        validates = exchange.recorded.step == "validate"
        wanted = {"filename", "md5_checksum"} if validates else {"filename", "md5_checksum", "method"}
        self.expect(exchange, set(sent) == wanted, "the announcement of a file has other fields")
        self.expect(exchange, re.fullmatch("[0-9a-f]{32}", str(sent.get("md5_checksum"))) is not None, "no MD5")
        if validates:
            return Answer(204)
        identifier = uuid.uuid4().hex
        slot = self.slots[identifier] = Slot(sent["filename"], sent["md5_checksum"], sent["method"])
        in_parts = slot.method == "put_parts"
        if not in_parts:
            slot.form = {
                "key": f"uploads/{uuid.uuid4().hex}/{slot.filename}",
                "policy": new_secret("form-policy"),
                "acl": "private",
                "x-amz-signature": new_secret("form-signature"),
            }
        place = {
            "identifier": identifier,
            "upload_url": f"{self.url}/{'_parts' if in_parts else '_store'}/{identifier}",
            "upload_fields": slot.form,
            "upload_headers": {},
            "upload_querystring": None,
        }
        return json_answer(201, {**place, **self.place})

    def _complete(self, exchange: Exchange, sent: dict[str, Any], identifier: str) -> Answer:
        slot = self.slots.get(identifier)
        self.expect(
            exchange, sent == {"upload_id": identifier, "complete": True}, "the body is not that of a completion"
        )
        if slot is None or not slot.parts:
            raise RefusedError(404, "Not found.")
        if sorted(slot.parts) != list(range(1, len(slot.parts) + 1)):
            raise RefusedError(422, "Invalid input.", upload_id=["A part is missing"])
        slot.body = Body.receive(slot.parts[number] for number in sorted(slot.parts))
        slot.parts.clear()
        return json_answer(200, {})

    # Rules.

    def api(self, exchange: Exchange, owner: str, repo: str, action: Any) -> Answer:
        """What *action* answers to the JSON of a request, if its credential is good and the repository there."""
        raw = exchange.read()
        try:
            sent = self._sent(exchange, raw)
            self._authorize(exchange, owner, repo)
            with self.lock:
                return action(sent)
        except RefusedError as error:
            return json_answer(error.status, error.document)

    def _authorize(self, exchange: Exchange, owner: str, repo: str) -> None:
        if not self.is_known(exchange):
            raise RefusedError(401, "Unable to authenticate with the given credentials.")
        if (owner, repo) != (self.owner, self.channel):
            raise RefusedError(404, "Not found.")

    def _sent(self, exchange: Exchange, raw: bytes) -> dict[str, Any]:
        if exchange.recorded.method == "GET":
            self.expect(exchange, not raw, "a request that has no body has one")
            return {}
        media = (exchange.recorded.header("content-type") or "").partition(";")[0]
        self.expect(exchange, media == "application/json", "the body is not announced as application/json")
        sent = json.loads(raw)
        self.expect(exchange, isinstance(sent, dict), "the body is not a JSON object")
        return sent

    def is_known(self, exchange: Exchange) -> bool:
        """Whether the request has the credential, in the header where it belongs."""
        if "." in self.key:
            self.expect(exchange, exchange.recorded.header("x-api-key") is None, "a JWT was sent as an API key")
            return credential(exchange, "Bearer") == self.key
        self.expect(exchange, exchange.recorded.header("authorization") is None, "an API key was sent as bearer")
        return header_text(exchange.recorded.header("x-api-key") or "") == self.key

    def _read_form(self, exchange: Exchange, slot: Slot) -> Body | None:
        fields: list[tuple[str, str]] = []
        body = None
        for part in parts(exchange.chunks(), boundary_of(exchange.recorded.header("content-type"))):
            if part.name == "file":
                self.expect(exchange, part.filename == slot.filename, "the file has another name in the form")
                body = Body.receive(part.data)
            else:
                self.expect(exchange, body is None, f"the field {part.name!r} comes after the file")
                fields.append((part.name, part.read().decode()))
        self.expect(
            exchange, fields == [*slot.form.items()], "the form's fields are not those announced, in their order"
        )
        return body if dict(fields) == slot.form else None

    def _check_store_head(self, exchange: Exchange) -> None:
        request = exchange.recorded
        for name in ("authorization", "x-api-key", "cookie"):
            self.expect(exchange, request.header(name) is None, f"{name} was sent to the object store")
        self.expect(exchange, request.header("content-length") is not None, "the object store needs a Content-Length")


def _store_error(status: int, code: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return Answer(status, body.encode(), [("Content-Type", "application/xml")])
