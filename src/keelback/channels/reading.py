"""What a channel's own index says of a file: by shards where there are some, else by repodata."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

import httpx2

from keelback.channels.answers import error_of
from keelback.channels.memo import Memo
from keelback.errors import ChannelError
from keelback.repodata import (
    LARGEST,
    REPODATA,
    REPODATA_ZST,
    SHARD_INDEX,
    Listed,
    ShardIndex,
    decode_listing,
    decode_shard,
    decode_shard_index,
    decompress,
)
from keelback.secret import redact
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.archive import PackageArchive
    from keelback.transport import Answer, Client

_FRESH: Final = {"cache-control": "no-cache"}
_ABSENT: Final = frozenset({404, 410, 501})


class IndexReader:
    """Reads the index of a channel, each part of it once until :meth:`forget`.

    Args:
        client: sends the requests.
        base: the URL under which the channel's subdirs are.
        auth: puts the credential on requests to that origin, or ``None``.
    """

    def __init__(self, client: Client, base: str, auth: httpx2.Auth | None) -> None:
        self._client = client
        self._base = base.rstrip("/")
        self._auth = auth
        self._subdirs: Memo[ShardIndex | Mapping[str, Listed]] = Memo()
        self._shards: Memo[Mapping[str, Listed]] = Memo()

    def forget(self) -> None:
        """Read everything afresh from now on, what could not be read included."""
        self._subdirs.forget()
        self._shards.forget()

    def listed(self, archive: PackageArchive) -> Listed | None:
        """What the index says of the file named as *archive*; ``None`` where it has none of that name.

        Raises:
            CredentialRefused, Forbidden, ChannelError, TransportError: the index cannot be read.
        """
        found = self._subdirs.get(archive.subdir, lambda: self._load(archive.subdir))
        if isinstance(found, ShardIndex):
            found = self._shard(archive.subdir, found, archive.name)
        return found.get(archive.filename)

    def _load(self, subdir: str) -> ShardIndex | Mapping[str, Listed]:
        content = self._fetch(f"{self._base}/{subdir}/{SHARD_INDEX}")
        if content is not None:
            return decode_shard_index(content)
        content = self._fetch(f"{self._base}/{subdir}/{REPODATA_ZST}")
        if content is not None:
            return decode_listing(decompress(content, REPODATA_ZST))
        content = self._fetch(f"{self._base}/{subdir}/{REPODATA}")
        return {} if content is None else decode_listing(content)

    def _shard(self, subdir: str, index: ShardIndex, name: str) -> Mapping[str, Listed]:
        digest = index.shards.get(name)
        if digest is None:
            return {}
        folder = urljoin(f"{self._base}/{subdir}/", index.base_url)
        url = urljoin(folder if folder.endswith("/") else f"{folder}/", f"{digest}.msgpack.zst")
        return self._shards.get(url, lambda: self._load_shard(url, digest))

    def _load_shard(self, url: str, digest: str) -> Mapping[str, Listed]:
        content = self._fetch(url)
        if content is None or hashlib.sha256(content).hexdigest() != digest:
            raise ChannelError(f"{redact(url)} is not the shard that the index names", code="bad-index")
        return decode_shard(content)

    def _fetch(self, url: str) -> bytes | None:
        same = _origin(url) == _origin(self._base)
        answer: Answer = self._client.get(
            Request("GET", url, auth=self._auth if same else None, headers=_FRESH, limit=LARGEST)
        )
        if answer.status in _ABSENT:
            return None
        if answer.status != 200:
            raise error_of(answer)
        return answer.content


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = httpx2.URL(url)
    return parts.scheme, parts.host, parts.port
