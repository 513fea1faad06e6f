"""Azure Blob Storage, as far as a channel needs it; every request has to be authorized, and signatures are made anew.

(Azure Storage REST API: "Authorize with Shared Key", "Put Blob", "Put Block", "Put Block List", "List Blobs", "Get
Blob", "Delete Blob", "Blob Storage error codes".)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import re
import secrets
import time
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

import leaks

from .engine import ScriptedServer, route
from .wire import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .exchange import Exchange

ACCOUNT = "acme"
CONTAINER = "conda"
_SIGNED = ("encoding", "language", "length", "md5", "type")
_PATH = rf"/{ACCOUNT}/(?P<container>[^/]+)"
_CLOCK_TOLERANCE = 15 * 60


@dataclass
class Blob:
    """A blob: its content, its version, and the header fields kept with it."""

    content: bytes
    etag: str
    headers: dict[str, str] = field(default_factory=dict)


class AzureBlobServer(ScriptedServer):
    """The Blob Storage of one account, at ``/ACCOUNT`` as emulators have it.

    Args:
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.key = base64.b64encode(leaks.new_secret("account-key").encode()).decode()
        self.sas = f"sv=2021-12-02&sp=rcwld&sr=c&sig={leaks.new_secret('sas')}%2B%3D"
        self.tokens: set[str] = set()
        """Tokens of Entra ID that are good."""
        self.blobs: dict[str, Blob] = {}
        """By their names in the container."""
        self.blocks: dict[str, dict[str, bytes]] = {}
        """Uncommitted ones, by the blob's name and their own."""
        self.page_size = 5000
        """Blobs on a page of a listing."""
        self.listing: str | None = None
        """What is answered in place of a listing."""
        self.ahead = 0.0
        """By how many seconds the clock is ahead of everybody else's."""
        self.honours_conditions = True
        self._etags = itertools.count(1)

    @property
    def endpoint(self) -> str:
        """The URL of the account."""
        return f"{self.url}/{ACCOUNT}"

    def put(self, name: str, content: bytes = b"", **headers: str) -> str:
        """Have a blob there, as if somebody had written it; returns its ETag."""
        etag = f'"0x8D{next(self._etags):012X}"'
        with self.lock:
            self.blobs[name] = Blob(content, etag, headers)
            self.blocks.pop(name, None)
        return etag

    def dress(self, answer: Answer) -> Answer:
        """See :class:`ScriptedServer`."""
        fields = {"Date": formatdate(time.time() + self.ahead, usegmt=True), "x-ms-version": "2021-12-02"}
        answer.headers += fields.items()
        return answer

    def error(self, status: int, code: str, message: str = "Scripted.") -> Answer:
        """An error as the service has it: its code in a header and in XML, for support an identifier."""
        said = f"{message}\nRequestId:{secrets.token_hex(4)}\nTime:2030-01-01T00:00:00Z"
        body = (
            f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{said}</Message></Error>'
        )
        return Answer(status, body.encode(), [("x-ms-error-code", code), ("Content-Type", "application/xml")])

    def refusal(self, status: int, message: str) -> Answer:
        """See :class:`ScriptedServer`."""
        return self.error(status, "ServerBusy" if status == 503 else "Scripted", message)

    # --- what is asked for -----------------------------------------------------------------------------------------

    @route("GET", _PATH, step="list")
    def list(self, exchange: Exchange, container: str) -> Answer:
        """List Blobs."""
        refused = self._refused(exchange, container)
        if refused:
            return refused
        if self.listing is not None:
            return Answer(200, self.listing.encode(), [("Content-Type", "application/xml")])
        query = dict(exchange.recorded.query)
        self.expect(exchange, (query.get("restype"), query.get("comp")) == ("container", "list"), "it is no listing")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        entries: dict[str, Blob | None] = {}
        for name, blob in sorted(self.blobs.items()):
            if name.startswith(prefix):
                head, slash, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
                entries[prefix + head + slash if slash else name] = None if slash else blob
        names = [name for name in entries if name >= query.get("marker", "")]
        shown, rest = names[: self.page_size], names[self.page_size :]
        body = "".join(_entry(name, entries[name]) for name in shown)
        marker = rest[0] if rest else ""
        xml = f"<EnumerationResults><Blobs>{body}</Blobs><NextMarker>{escape(marker)}</NextMarker></EnumerationResults>"
        return Answer(200, xml.encode(), [("Content-Type", "application/xml")])

    @route("PUT", rf"{_PATH}/(?P<name>.+)", step="write")
    def write(self, exchange: Exchange, container: str, name: str) -> Answer:
        """Put Blob, Put Block, Put Block List."""
        content = exchange.read()
        refused = self._refused(exchange, container)
        if refused:
            return refused
        sent = exchange.recorded.header("content-md5")
        if self.expect(exchange, sent is not None, "there is no Content-MD5") and sent != _md5(content):
            return self.error(400, "Md5Mismatch")
        query = dict(exchange.recorded.query)
        with self.lock:
            if query.get("comp") == "block":
                return self._put_block(exchange, name, query.get("blockid", ""), content)
            return self._unmet(exchange, name) or self._make(exchange, name, content)

    def _make(self, exchange: Exchange, name: str, content: bytes) -> Answer:
        """Make a blob of *content*, or of the blocks that it lists."""
        if dict(exchange.recorded.query).get("comp") == "blocklist":
            ids = re.findall(r"<Uncommitted>([A-Za-z0-9+/=]+)</Uncommitted>", content.decode())
            blocks = self.blocks.get(name, {})
            if any(block not in blocks for block in ids):
                return self.error(400, "InvalidBlockList", "The specified block list is invalid.")
            content = b"".join(blocks[block] for block in ids)
        else:
            kind = exchange.recorded.header("x-ms-blob-type")
            self.expect(exchange, kind == "BlockBlob", "it is no block blob")
        kept = {key.lower(): value for key, value in exchange.recorded.headers if key.lower().startswith("x-ms-")}
        return Answer(201, headers=[("ETag", self.put(name, content, **kept))])

    def _put_block(self, exchange: Exchange, name: str, block: str, content: bytes) -> Answer:
        exchange.recorded.step = "block"
        blocks = self.blocks.setdefault(name, {})
        if any(len(other) != len(block) for other in blocks):
            return self.error(400, "InvalidBlobOrBlock", "The specified blob or block content is invalid.")
        blocks[block] = content
        return Answer(201)

    @route("GET HEAD", rf"{_PATH}/(?P<name>.+)", step="read")
    def read(self, exchange: Exchange, container: str, name: str) -> Answer:
        """Get Blob, Get Blob Properties."""
        refused = self._refused(exchange, container)
        if refused:
            return refused
        blob = self.blobs.get(name)
        if blob is None:
            return self.error(404, "BlobNotFound")
        kept = {key: value for key, value in blob.headers.items() if key.startswith("x-ms-meta-")}
        fields = {"ETag": blob.etag, "Last-Modified": formatdate(1.7e9, usegmt=True), **kept}
        if "x-ms-blob-content-md5" in blob.headers:
            fields["Content-MD5"] = blob.headers["x-ms-blob-content-md5"]
        return Answer(200, blob.content, list(fields.items()))

    @route("DELETE", rf"{_PATH}/(?P<name>.+)", step="delete")
    def delete(self, exchange: Exchange, container: str, name: str) -> Answer:
        """Delete Blob."""
        refused = self._refused(exchange, container)
        if refused:
            return refused
        version = exchange.recorded.header("if-match")
        with self.lock:
            there = self.blobs.get(name)
            if there is None:
                return self.error(404, "BlobNotFound")
            if version not in {None, there.etag}:
                return self.error(412, "ConditionNotMet")
            del self.blobs[name]
            return Answer(202)

    # --- who asks --------------------------------------------------------------------------------------------------

    def _refused(self, exchange: Exchange, container: str) -> Answer | None:
        request = exchange.recorded
        self.expect(exchange, request.header("x-ms-version") == "2021-12-02", "no version, or another")
        authorization = request.header("authorization") or ""
        scheme, _, proof = authorization.partition(" ")
        if scheme == "SharedKey":
            date = parsedate_to_datetime(request.header("x-ms-date") or "").timestamp()
            if abs(date - time.time() - self.ahead) > _CLOCK_TOLERANCE:
                return self.error(403, "AuthenticationFailed", "Server failed to authenticate the request.")
            good = hmac.compare_digest(proof, f"{ACCOUNT}:{self._signature(exchange)}")
            if not good:
                return self.error(403, "AuthenticationFailed", "Server failed to authenticate the request.")
        elif scheme == "Bearer":
            if proof not in self.tokens:
                return self.error(401, "InvalidAuthenticationInfo", "Lifetime validation failed. The token is expired.")
        elif "sig=" in request.target:
            if set(self.sas.split("&")) - set(request.target.partition("?")[2].split("&")):
                return self.error(403, "AuthenticationFailed", "Signature did not match.")
        else:
            return self.error(401, "NoAuthenticationInformation")
        return None if container == CONTAINER else self.error(404, "ContainerNotFound")

    def _signature(self, exchange: Exchange) -> str:
        """The one that *exchange* has to have, out of what came over the wire."""
        request = exchange.recorded
        sent = {name.lower(): value.strip() for name, value in request.headers}
        content = {name: sent.get(f"content-{name}", "") for name in _SIGNED}
        content["length"] = "" if content["length"] == "0" else content["length"]
        names = ("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")
        lines = [request.method, *content.values(), sent.get("date", ""), *(sent.get(name, "") for name in names)]
        lines += [f"{name}:{value}" for name, value in sorted(sent.items()) if name.startswith("x-ms-")]
        path, _, query = request.target.partition("?")
        lines.append(f"/{ACCOUNT}{path}")
        lines += sorted(f"{name.lower()}:{value}" for name, value in parse_qsl(query, keep_blank_values=True))
        made = hmac.new(base64.b64decode(self.key), "\n".join(lines).encode(), hashlib.sha256)
        return base64.b64encode(made.digest()).decode()

    def _unmet(self, exchange: Exchange, name: str) -> Answer | None:
        request, blob = exchange.recorded, self.blobs.get(name)
        if not self.honours_conditions:
            return None
        if request.header("if-none-match") == "*" and blob is not None:
            return self.error(409, "BlobAlreadyExists", "The specified blob already exists.")
        wanted = request.header("if-match")
        if wanted is not None and (blob is None or blob.etag != wanted):
            return self.error(412, "ConditionNotMet")
        return None

    def filename_of(self, _exchange: Exchange, groups: dict[str, str]) -> str | None:
        """See :class:`ScriptedServer`."""
        return unquote(groups["name"]).rpartition("/")[2] if "name" in groups else None


def _entry(name: str, blob: Blob | None) -> str:
    if blob is None:
        return f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"
    kept: Iterable[tuple[str, str]] = blob.headers.items()
    meta = "".join(f"<{key[10:]}>{escape(value)}</{key[10:]}>" for key, value in kept if key.startswith("x-ms-meta-"))
    etag = blob.etag.strip('"')  # a listing has it without its quotes
    properties = f"<Etag>{etag}</Etag><Content-Length>{len(blob.content)}</Content-Length>"
    return f"<Blob><Name>{escape(name)}</Name><Properties>{properties}</Properties><Metadata>{meta}</Metadata></Blob>"


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
