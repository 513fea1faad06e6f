"""prefix.dev: the upload endpoint as rattler_upload's prefix.rs speaks to it, GraphQL's viewer, and its channels."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .channel import ChannelServer, credential
from .engine import route
from .exchange import Exchange, json_answer
from .multipart import MultipartError, Part, boundary_of, parts
from .shelf import Body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .wire import Answer

_HEAD = 4 << 10
_FILENAME = re.compile(rb'filename="([^"\r\n]+)"')
_FILE_HEADERS = ["content-disposition", "content-length", "content-type", "x-file-name", "x-file-sha256"]


class PrefixServer(ChannelServer):
    """A prefix.dev with one channel.

    Args:
        token: the token that may read and write.
        channel: the channel's name; may have slashes.
        reader: a token that may read only.
        private: whether reading needs a token.
        options: what :class:`ScriptedServer` takes, and ``index_lag``.
    """

    scheme = "prefix"

    def __init__(
        self,
        token: str,
        *,
        channel: str = "my-channel",
        reader: str | None = None,
        private: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(channel=channel, private=private, **options)
        self._token = token
        self._reader = reader

    def filename_of(self, exchange: Exchange, groups: dict[str, str]) -> str | None:
        """The archive a request is about; for an upload that stands in the body's first bytes."""
        if exchange.recorded.step == "upload" and self._plan.asks_for_file():
            match = _FILENAME.search(exchange.peek(_HEAD))
            return match[1].decode() if match else None
        return groups.get("filename")

    @route("POST", r"/api/v1/upload/(?P<channel>.+)", step="upload")
    def upload(self, exchange: Exchange, channel: str) -> Answer:
        """Take in one package as multipart/form-data, ``file`` first."""
        request = exchange.recorded
        self.expect(exchange, request.query in ([], [("force", "true")]), "the query is something else than force=true")
        self.expect(exchange, request.header("content-length") is not None, "there is no Content-Length")
        try:
            filename, body = self._file(exchange, parts(exchange.chunks(), boundary_of(request.header("content-type"))))
        except MultipartError as error:
            self.flag(exchange, str(error))
            return self.refusal(422, str(error))
        if refused := self._refused(exchange, writing=True):
            return refused
        if channel != self.channel:
            return self.refusal(404, "channel not found")
        if not body.names(filename):
            return self.refusal(422, f"{filename} is not the package that its name says")
        subdir = (body.index or {}).get("subdir", "noarch")
        if not self.shelf.place(f"{subdir}/{filename}", body, overwrite=bool(request.query)):
            return self.refusal(409, f"{filename} already exists in {channel}")
        return json_answer(201, {})

    @route("POST", r"/api/graphql", step="graphql")
    def graphql(self, exchange: Exchange) -> Answer:
        """Who the token belongs to."""
        try:
            asked = json.loads(exchange.read())["query"]
        except (ValueError, KeyError, TypeError):
            asked = ""
        self.expect(exchange, bool(re.search(r"\bviewer\s*\{\s*login\b", str(asked))), "the query is not viewer{login}")
        known = credential(exchange, "Bearer") in {self._token, self._reader} - {None}
        return json_answer(200, {"data": {"viewer": {"login": "ann"} if known else None}})

    @route("GET HEAD", r"/(?!api/)(?P<channel>.+)/(?!shards/)(?P<subdir>[^/]+)/(?P<filename>[^/]+)", step="get")
    def get(self, exchange: Exchange, channel: str, subdir: str, filename: str) -> Answer:
        """A file of the channel."""
        return self._get(exchange, channel, subdir, filename)

    @route(
        "GET HEAD",
        r"/(?!api/)(?P<channel>.+)/(?P<subdir>[^/]+)/shards/(?P<shard>[0-9a-f]+\.msgpack\.zst)",
        step="shard",
    )
    def get_shard(self, exchange: Exchange, channel: str, subdir: str, shard: str) -> Answer:
        """One shard of the index."""
        return self._get(exchange, channel, subdir, f"shards/{shard}")

    def _get(self, exchange: Exchange, channel: str, subdir: str, name: str) -> Answer:
        if channel != self.channel:
            return self.refusal(404, "channel not found")
        return self._refused(exchange, writing=False) or self.read(exchange, subdir, name)

    def _file(self, exchange: Exchange, found: Iterator[Part]) -> tuple[str, Body]:
        """The ``file`` part, and a look at all the others."""
        part = next(found, None)
        if part is None or part.name != "file" or not part.filename:
            raise MultipartError("the first part is not a file with a filename")
        body = Body.receive(part.data)
        self._check_file(exchange, part, body)
        if part.header("x-file-sha256") != body.sha256:
            raise MultipartError("x-file-sha256 is not the SHA-256 of the file")
        for other in found:
            self.expect(exchange, other.name == "attestation", "a part is neither file nor attestation")
            self.expect(exchange, other.filename is None, "the attestation has a filename")
            self.expect(exchange, other.header("content-type") is None, "the attestation has a content type")
            try:
                json.loads(other.read())
            except ValueError as error:
                raise MultipartError("the attestation is not JSON") from error
        return part.filename, body

    def _check_file(self, exchange: Exchange, part: Part, body: Body) -> None:
        self.expect(exchange, sorted(dict(part.headers)) == _FILE_HEADERS, "the file part has other header fields")
        media = part.header("content-type")
        self.expect(exchange, media == "application/octet-stream", "the file part is not application/octet-stream")
        self.expect(
            exchange, part.header("content-length") == str(body.size), "the file part's content-length is wrong"
        )
        self.expect(exchange, part.header("x-file-name") == part.filename, "x-file-name is not the filename")

    def _refused(self, exchange: Exchange, *, writing: bool) -> Answer | None:
        token = credential(exchange, "Bearer")
        if token == self._token or not (writing or self.private or token):
            return None
        if token is not None and token == self._reader:
            return self.refusal(403, "you may not write to this channel") if writing else None
        answer = self.refusal(401, "invalid token")
        answer.headers.append(("WWW-Authenticate", 'Bearer realm="prefix"'))
        return answer
