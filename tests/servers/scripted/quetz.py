"""Quetz, as quetz 0.10 behaves (its main.py, authorization.py and rest_models.py)."""

from __future__ import annotations

import gzip
import re
from typing import Any

from .channel import ChannelServer, header_text
from .engine import route
from .exchange import Exchange, json_answer
from .shelf import Body, Stored
from .wire import Answer

_TRUTH = {"true": True, "1": True, "True": True, "false": False, "0": False, "False": False}
_KEY_IN_PATH = re.compile(r"/t/([^/]+?)(/.*)")
_NOT_LOGGED_IN = "Not logged in"


class QuetzServer(ChannelServer):
    """A Quetz with one channel.

    Args:
        key: the API key that may read and write.
        channel: the channel's name.
        reader: an API key that may read only.
        private: whether reading needs a key.
        options: what :class:`ScriptedServer` takes, and ``index_lag``.
    """

    scheme = "quetz"

    def __init__(
        self, key: str, *, channel: str = "chan", reader: str | None = None, private: bool = True, **options: Any
    ) -> None:
        super().__init__(channel=channel, private=private, **options)
        self._key = key
        self._reader = reader

    @property
    def channel_url(self) -> str:
        """Where readers find the channel."""
        return f"{self.url}/get/{self.channel}"

    def refusal(self, status: int, message: str) -> Answer:
        """An error as FastAPI puts it."""
        return json_answer(status, {"detail": message})

    def arrived(self, exchange: Exchange) -> None:
        """Take ``/t/KEY`` off the path, as Quetz's middleware does."""
        if match := _KEY_IN_PATH.fullmatch(exchange.path):
            exchange.path_token, exchange.path = match[1], match[2]

    @route("POST", r"/api/channels/(?P<channel>[^/]+)/upload/(?P<filename>[^/]+)", step="upload")
    def upload(self, exchange: Exchange, channel: str, filename: str) -> Answer:
        """Take in a package; the whole body is read before the key is looked at."""
        query = dict(exchange.recorded.query)
        self._check_upload(exchange, query)
        force = _TRUTH.get(query.get("force", "false"))
        if "sha256" not in query:
            return _invalid("sha256", "field required", "value_error.missing")
        if force is None:
            return _invalid("force", "value could not be parsed to a boolean", "type_error.bool")
        body = Body.receive(exchange.chunks())
        if body.sha256 != query["sha256"]:
            return self.refusal(406, "Wrong SHA256 checksum")
        if channel != self.channel:
            return _crash()
        return self._refused(exchange, writing=True) or self._store(filename, body, force=force)

    @route("GET", r"/api/channels/(?P<channel>[^/]+)", step="channel")
    def describe(self, exchange: Exchange, channel: str) -> Answer:
        """A ChannelExtra."""
        if channel != self.channel:
            return self.refusal(404, f"Channel {channel} not found")
        if refused := self._refused(exchange, writing=False):
            return refused
        names = {(stored.body.index or {}).get("name") for stored in self.files.values()}
        return json_answer(200, {
            "name": channel, "description": "", "private": self.private, "size_limit": None, "ttl": 36000,
            "mirror_channel_url": None, "mirror_mode": None, "members_count": 1, "packages_count": len(names),
        })  # fmt: skip

    @route(
        "GET",
        r"/api/channels/(?P<channel>[^/]+)/packages/(?P<package>[^/]+)/versions/(?P<platform>[^/]+)/(?P<filename>[^/]+)",
        step="version",
    )
    def version(self, exchange: Exchange, channel: str, package: str, platform: str, filename: str) -> Answer:
        """A PackageVersion, whose ``info`` holds the checksums."""
        if channel != self.channel:
            return self.refusal(404, f"Channel {channel} not found")
        if refused := self._refused(exchange, writing=False):
            return refused
        stored = self.files.get(f"{platform}/{filename}")
        if stored is None or (stored.body.index or {}).get("name") != package:
            return self.refusal(404, f"package version {platform}/{filename} not found")
        return json_answer(200, _package_version(channel, platform, filename, stored, lying=exchange.lying))

    @route("GET HEAD", r"/get/(?P<channel>[^/]+)/(?P<subdir>[^/]+)/(?P<filename>[^/]+)", step="get")
    def get(self, exchange: Exchange, channel: str, subdir: str, filename: str) -> Answer:
        """A file of the channel: only plain repodata, no zst, no shards."""
        if channel != self.channel:
            return self.refusal(404, f"Channel {channel} not found")
        if refused := self._refused(exchange, writing=False):
            return refused
        if filename.startswith("repodata") and filename != "repodata.json":
            return self.refusal(404, f"{channel}/{subdir}/{filename} not found")
        answer = self.read(exchange, subdir, filename)
        return _as_quetz_serves(exchange, answer) if answer.status == 200 else answer

    def _store(self, filename: str, body: Body, *, force: bool) -> Answer:
        if not body.names(filename):
            return _crash()
        subdir = (body.index or {}).get("subdir", "noarch")
        if not self.shelf.place(f"{subdir}/{filename}", body, overwrite=force):
            return self.refusal(409, "Duplicate")
        return json_answer(201, None)

    def _check_upload(self, exchange: Exchange, query: dict[str, str]) -> None:
        request = exchange.recorded
        self.expect(exchange, set(query) <= {"sha256", "force"}, "the query has more than sha256 and force")
        self.expect(exchange, len(query) == len(request.query), "a query field was sent twice")
        self.expect(
            exchange,
            re.fullmatch(r"[0-9a-f]{64}", query.get("sha256", "")) is not None,
            "sha256 is not 64 lower-case hexadecimal digits",
        )
        media = request.header("content-type") or "application/octet-stream"
        self.expect(exchange, media == "application/octet-stream", "the body is announced as something else than bytes")

    def _refused(self, exchange: Exchange, *, writing: bool) -> Answer | None:
        request = exchange.recorded
        if not self.expect(exchange, request.header("authorization") is None, "Quetz knows no Authorization field"):
            return self.refusal(401, _NOT_LOGGED_IN)
        key = exchange.path_token or header_text(request.header("x-api-key") or "")
        if key == self._key or not (writing or self.private):
            return None
        if key and key == self._reader:
            return self.refusal(403, "No permission") if writing else None
        return self.refusal(401, _NOT_LOGGED_IN)


def _crash() -> Answer:
    """What Starlette answers where Quetz raises: unknown channel, no package, a name that disagrees."""
    return Answer(500, b"Internal Server Error", [("Content-Type", "text/plain; charset=utf-8")])


def _invalid(field: str, message: str, kind: str) -> Answer:
    return json_answer(422, {"detail": [{"loc": ["query", field], "msg": message, "type": kind}]})


def _package_version(channel: str, platform: str, filename: str, stored: Stored, *, lying: bool) -> dict[str, Any]:
    body = stored.body.lied_about() if lying else stored.body
    index = body.index or {}
    return {
        "id": "7d4a9d4c-6d57-4b0e-9d6f-0f6a4f8f8e11",
        "channel_name": channel,
        "package_name": index.get("name"),
        "platform": platform,
        "version": index.get("version"),
        "build_string": index.get("build"),
        "build_number": index.get("build_number"),
        "filename": filename,
        "info": {**index, "sha256": body.sha256, "md5": body.md5, "size": body.size},
        "uploader": {"name": "Alice", "avatar_url": ""},
        "time_created": "2026-01-02T03:04:05",
        "download_count": 0,
    }


def _as_quetz_serves(exchange: Exchange, answer: Answer) -> Answer:
    """The non-standard Content-Size in place of Content-Length, and gzip for those who take it."""
    if exchange.path.endswith(".json") and "gzip" in (exchange.recorded.header("accept-encoding") or ""):
        answer.body = gzip.compress(answer.body)
        answer.headers.append(("Content-Encoding", "gzip"))
    answer.headers.append(("Content-Size", str(len(answer.body))))
    answer.chunked = True
    return answer
