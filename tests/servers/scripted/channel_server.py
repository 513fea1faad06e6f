"""A channel as conda clients read it, public or private, whose every file a test may choose."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import zstandard

from .channel import basic_credential, credential
from .engine import ScriptedServer, route
from .shelf import Body
from .wire import Answer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from .exchange import Exchange

FORMS = ("shards", "zst", "json")
"""The forms that the index of a subdir can have (CEP 16, CEP 36)."""

FILES = {"shards": "repodata_shards.msgpack.zst", "zst": "repodata.json.zst", "json": "repodata.json"}

Content = bytes | int | str
"""What is at a path: bytes; a status, to refuse it; a URL, to redirect there."""


@dataclass(frozen=True)
class Login:
    """What a private channel wants to see.

    Args:
        kind: ``BearerToken``, ``BasicHTTP`` or ``CondaToken``.
        secret: the token or the password.
        username: with a password.
    """

    kind: str
    secret: str
    username: str = "ann"

    @property
    def stored(self) -> dict[str, Any]:
        """As an auth file has it."""
        if self.kind == "BasicHTTP":
            return {"BasicHTTP": {"username": self.username, "password": self.secret}}
        return {self.kind: self.secret}

    def is_in(self, exchange: Exchange) -> bool:
        """Whether the request shows it."""
        if self.kind == "BasicHTTP":
            return basic_credential(exchange) == (self.username, self.secret)
        if self.kind == "CondaToken":
            return exchange.path_token == self.secret
        return credential(exchange, "Bearer") == self.secret


class ReadableServer(ScriptedServer):
    """A server with one channel, at ``/chan``, which can only be read.

    Args:
        contents: what it has, by path in the channel; see :func:`channel`.
        login: what is asked of whoever reads; without it, the channel is public.
        to_strangers: the status with which others are refused; or what they see in place of *contents*.
        challenge: the ``WWW-Authenticate`` field of a refusal.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(
        self,
        contents: Mapping[str, Content] | None = None,
        *,
        login: Login | None = None,
        to_strangers: int | Mapping[str, Content] = 401,
        challenge: str = "",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.contents = dict(contents or {})
        self.login = login
        self.to_strangers = to_strangers
        self.challenge = challenge

    @property
    def channel_url(self) -> str:
        """Where the channel is."""
        return f"{self.url}/chan"

    def asked(self) -> list[str]:
        """The paths in the channel that were asked for, in order, each with what was answered: ``200 noarch/...``."""
        return [f"{request.status} {request.path.partition('/chan/')[2]}" for request in self.requests]

    def credentials_seen(self) -> list[str]:
        """The requests that carried any credential, as far as they may be shown."""
        return [repr(request) for request in self.requests if request.header("authorization") or "/t/" in request.path]

    def arrived(self, exchange: Exchange) -> None:
        """Take ``/t/TOKEN`` off the path."""
        if exchange.path.startswith("/t/"):
            exchange.path_token, _, rest = exchange.path.removeprefix("/t/").partition("/")
            exchange.path = f"/{rest}"

    @route("GET", r"/chan/(?P<subdir>[^/]+)/(?P<name>repodata[^/]*)", step="index")
    def index(self, exchange: Exchange, subdir: str, name: str) -> Answer:
        """A form of the index."""
        return self._read(exchange, f"{subdir}/{name}")

    @route("GET", r"/chan/(?P<subdir>[^/]+)/shards/(?P<name>[^/]+)", step="shard")
    def shard(self, exchange: Exchange, subdir: str, name: str) -> Answer:
        """A shard."""
        return self._read(exchange, f"{subdir}/shards/{name}")

    @route("GET", r"/chan/(?P<subdir>[^/]+)/(?P<filename>[^/]+\.(?:conda|tar\.bz2))", step="archive")
    def archive(self, exchange: Exchange, subdir: str, filename: str) -> Answer:
        """An archive."""
        return self._read(exchange, f"{subdir}/{filename}")

    def _read(self, exchange: Exchange, path: str) -> Answer:
        contents = self.contents
        if self.login is not None and not self.login.is_in(exchange):
            if isinstance(self.to_strangers, int):
                fields = [("WWW-Authenticate", self.challenge)] if self.challenge else []
                return Answer(self.to_strangers, b"who are you?", fields)
            contents = dict(self.to_strangers)
        content = contents.get(path, 404)
        if isinstance(content, int):
            return Answer(content, b"no", [("Content-Type", "text/plain")])
        if isinstance(content, str):
            return Answer(302, headers=[("Location", content)])
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        if exchange.recorded.header("if-none-match") == tag:
            return Answer(304, headers=[("ETag", tag)])
        return Answer(200, content, [("ETag", tag)])


def channel(
    *archives: Path, forms: Collection[str] = FORMS, subdirs: Iterable[str] = (), **where: str
) -> dict[str, Content]:
    """A channel with *archives*: the archives, and the indexes of their subdirs and noarch.

    Args:
        archives: what it has.
        forms: which forms its indexes have.
        subdirs: more subdirs, with nothing in them.
        where: ``base_url`` and ``shards_base_url``, where the index says that things are elsewhere.
    """
    contents: dict[str, Content] = {}
    records: dict[str, dict[str, Any]] = {subdir: {} for subdir in ("noarch", *subdirs)}
    for path in archives:
        body = Body.receive([path.read_bytes()])
        assert body.index is not None
        subdir = body.index["subdir"]
        contents[f"{subdir}/{path.name}"] = path.read_bytes()
        records.setdefault(subdir, {})[path.name] = {
            **body.index,
            "size": body.size,
            "sha256": body.sha256,
            "md5": body.md5,
        }
    for subdir, found in records.items():
        contents |= index_files(subdir, found, forms, **where)
    return contents


def index_files(
    subdir: str,
    records: Mapping[str, Mapping[str, Any]],
    forms: Collection[str] = FORMS,
    *,
    base_url: str | None = None,
    shards_base_url: str = "./shards/",
) -> dict[str, Content]:
    """The index of *subdir* with *records*, by file name, in the *forms* that are asked for; no record is checked."""
    conda = {name: record for name, record in records.items() if name.endswith(".conda")}
    others = {name: record for name, record in records.items() if name not in conda}
    info = {"subdir": subdir} | ({} if base_url is None else {"base_url": base_url})
    document = {"info": info, "packages": others, "packages.conda": conda, "repodata_version": 2}
    plain = json.dumps(document).encode()
    contents: dict[str, Content] = {}
    if "json" in forms:
        contents[f"{subdir}/{FILES['json']}"] = plain
    if "zst" in forms:
        contents[f"{subdir}/{FILES['zst']}"] = zstandard.compress(plain)
    if "shards" in forms:
        contents |= _shards(subdir, records, {"base_url": "./", **info, "shards_base_url": shards_base_url})
    return contents


def _shards(subdir: str, records: Mapping[str, Mapping[str, Any]], info: Mapping[str, str]) -> dict[str, Content]:
    by_name: dict[str, dict[str, Any]] = {}
    for filename, record in records.items():
        section = "packages.conda" if filename.endswith(".conda") else "packages"
        shard = by_name.setdefault(str(record.get("name")).lower(), {"packages": {}, "packages.conda": {}})
        shard[section][filename] = {field: _binary(field, value) for field, value in record.items()}
    contents: dict[str, Content] = {}
    hashes = {}
    for name, shard in by_name.items():
        packed = zstandard.compress(msgspec.msgpack.encode(shard))
        hashes[name] = hashlib.sha256(packed).digest()
        contents[f"{subdir}/shards/{hashes[name].hex()}.msgpack.zst"] = packed
    index = {"info": info, "version": 1, "shards": hashes}
    contents[f"{subdir}/{FILES['shards']}"] = zstandard.compress(msgspec.msgpack.encode(index))
    return contents


def _binary(field: str, value: Any) -> Any:
    """Hashes are bytes in shards, where they are hashes at all."""
    if field not in {"sha256", "md5"} or not isinstance(value, str):
        return value
    try:
        return bytes.fromhex(value)
    except ValueError:
        return value
