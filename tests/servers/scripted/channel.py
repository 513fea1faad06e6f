"""What the servers of all protocols share: one channel, its files, and reading from it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from .engine import ScriptedServer
from .shelf import Body, Shelf, Stored
from .wire import Answer

if TYPE_CHECKING:
    from .exchange import Exchange

INDEX_CACHE = "public, max-age=0"
_MEDIA = {".json": "application/json", ".zst": "application/zstd", ".conda": "application/octet-stream"}


class ChannelServer(ScriptedServer):
    """A server with one channel.

    Args:
        channel: its name, as the protocol's URLs have it.
        private: whether reading needs a credential.
        index_lag: how many reads of an index it takes until a newly stored file appears in it.
        options: what :class:`ScriptedServer` takes.
    """

    scheme = ""
    """What stands before the ``+`` in a URL for ``keelback publish --to``."""

    def __init__(self, *, channel: str, private: bool, index_lag: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.channel = channel
        self.private = private
        self.shelf = Shelf(index_lag)

    @property
    def files(self) -> dict[str, Stored]:
        """Everything stored, by ``subdir/filename``."""
        return self.shelf.files

    @property
    def service_url(self) -> str:
        """What ``keelback upload --url`` is given."""
        return self.url

    @property
    def publish_url(self) -> str:
        """What ``keelback publish --to`` is given."""
        return f"{self.scheme}+{self.service_url}/{self.channel}"

    @property
    def channel_url(self) -> str:
        """Where readers find the channel."""
        return f"{self.service_url}/{self.channel}"

    def put(self, path: str, content: bytes) -> Stored:
        """Have *content* stored under ``subdir/filename`` already, and shown by the index."""
        self.shelf.place(path, Body.receive([content]), overwrite=True)
        stored = self.files[path]
        stored.hidden_reads = 0
        return stored

    def read(self, exchange: Exchange, subdir: str, name: str, label: str | None = None) -> Answer:
        """The answer to a GET or HEAD of a file of the channel."""
        counts = exchange.recorded.method == "GET"
        content = self.shelf.read(subdir, name, lying=exchange.lying, label=label, counts=counts)
        if content is None:
            return self.refusal(404, f"{subdir}/{name} not found")
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        is_index = name.startswith("repodata")
        headers = [
            ("ETag", tag),
            ("Last-Modified", formatdate(0, usegmt=True)),
            ("Cache-Control", INDEX_CACHE if is_index else "public, max-age=31536000"),
        ]
        if exchange.recorded.header("if-none-match") == tag:
            return Answer(304, headers=headers)
        media = _MEDIA.get("." + name.rpartition(".")[2], "application/octet-stream")
        return Answer(200, content, [*headers, ("Content-Type", media)])


def credential(exchange: Exchange, scheme: str) -> str | None:
    """What follows *scheme* in the request's Authorization field, or None where there is no such field."""
    value = exchange.recorded.header("authorization") or ""
    found, _, rest = value.partition(" ")
    return header_text(rest) if found.lower() == scheme.lower() else None


def basic_credential(exchange: Exchange) -> tuple[str, str] | None:
    """User name and password of Basic authentication, or None."""
    packed = credential(exchange, "Basic")
    if packed is None:
        return None
    try:
        user, _, password = base64.b64decode(packed, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password


def header_text(value: str) -> str:
    """A header value, which came as Latin-1, as the UTF-8 that it may be."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value
