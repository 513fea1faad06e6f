"""What a channel's own index says of a file: read from shards if there are any, else from repodata.

A server may be hostile, or just large: each part of an index has a limit, and one of them at a time is unpacked.
A form that is refused with 403 may not be there; the rule is that of :mod:`keelback.channels.subdirindex`.
"""

from __future__ import annotations

import hashlib
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

import httpx2

from keelback.channels.answers import error_of
from keelback.channels.memo import Memo
from keelback.channels.shards import shard_url, shown
from keelback.errors import ChannelError, KeelbackError, ServerError
from keelback.listing import (
    REPODATA_LIMIT,
    Listed,
    Listing,
    Lookup,
    Shard,
    decode_shard,
    decode_shard_index,
    forget_frames,
    unpack,
)
from keelback.repodata import REPODATA, REPODATA_ZST, SHARD_INDEX
from keelback.transport import Request, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.archive import PackageArchive
    from keelback.transport import Answer, Client

    _Find = Callable[[PackageArchive], Listed | None]

_NOARCH: Final = "noarch"
_FRESH: Final = {"cache-control": "no-cache"}
_ABSENT: Final = frozenset({404, 410, 501})
_WANTS_CREDENTIAL: Final = frozenset({401, 403})

_PACKED_LIMIT: Final = {SHARD_INDEX: 32 << 20, REPODATA_ZST: 64 << 20}
"""How many bytes are read of each form of an index that comes packed."""
_PACKED_SHARD_LIMIT: Final = 4 << 20
_HELD_SHARDS: Final = 64 << 20
"""How many bytes of shards are kept; beyond that, some are read twice."""


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
        self._unpacking = threading.Lock()
        self._subdirs: Memo[_Find | None] = Memo()
        self._shards: Memo[Lookup[Listed]] = Memo()
        self._held = 0
        self._counting = threading.Lock()

    def forget(self) -> None:
        """Read everything afresh from now on, what could not be read included."""
        self._subdirs.forget()
        self._forget_shards()

    def listed(self, archive: PackageArchive) -> Listed | None:
        """What the index says of the file named as *archive*; ``None`` where it has none of that name.

        Raises:
            CredentialRefused, Forbidden, ChannelError, TransportError: the index cannot be read.
        """
        find = self._subdir(archive.subdir)
        return None if find is None else find(archive)

    def _subdir(self, subdir: str) -> _Find | None:
        return self._subdirs.get(subdir, lambda: self._open(subdir))

    def _open(self, subdir: str) -> _Find | None:
        """As :meth:`_load`; what it raises holds no frames, so that it can be kept."""
        try:
            return self._load(subdir)
        except KeelbackError as error:
            forget_frames(error)
            raise

    def _load(self, subdir: str) -> _Find | None:
        """Looks up archives in the index of *subdir*; ``None`` where there is no index."""
        folder = f"{self._base}/{subdir}/"
        refusals: list[KeelbackError] = []
        content = self._fetch(folder + SHARD_INDEX, _PACKED_LIMIT[SHARD_INDEX], [])
        if content is not None:
            return partial(self._find_by_shards, folder, Lookup(partial(decode_shard_index, content), self._unpacking))
        content = self._fetch(folder + REPODATA_ZST, _PACKED_LIMIT[REPODATA_ZST], [])
        with self._unpacking:
            if content is not None:
                return partial(_find, Listing(unpack(content, REPODATA_ZST, REPODATA_LIMIT)))
            content = self._fetch(folder + REPODATA, REPODATA_LIMIT, refusals)
            if content is not None:
                return partial(_find, Listing(content))
        if refusals and not (subdir != _NOARCH and self._has_noarch()):
            raise refusals[0]
        return None

    def _has_noarch(self) -> bool:
        try:
            return self._subdir(_NOARCH) is not None
        except ChannelError:
            return False

    def _find_by_shards(self, folder: str, index: Lookup[Shard], archive: PackageArchive) -> Listed | None:
        shard = index.get(archive.name.lower())
        if shard is None:
            return None
        url = shard_url(folder, shard)
        return _find(self._shards.get(url, lambda: self._load_shard(url, shard)), archive)

    def _load_shard(self, url: str, shard: Shard) -> Lookup[Listed]:
        content = self._fetch(url, _PACKED_SHARD_LIMIT)
        if content is None or hashlib.sha256(content).hexdigest() != shard.sha256:
            raise ChannelError(f"{shown(url)} is not the shard that the index names", code="bad-index")
        with self._counting:
            self._held += len(content)
            full = self._held > _HELD_SHARDS
        if full:
            self._forget_shards()
        return Lookup(partial(decode_shard, content), self._unpacking)

    def _forget_shards(self) -> None:
        with self._counting:
            self._held = 0
            self._shards.forget()

    def _fetch(self, url: str, limit: int, refusals: list[KeelbackError] | None = None) -> bytes | None:
        """What is at *url*; ``None`` where there is nothing, or a 403, which is added to *refusals*."""
        auth = self._auth if origin_of(url) == origin_of(self._base) else None
        answer = self._client.get(Request("GET", url, auth=auth, headers=_FRESH, limit=limit))
        if answer.status in _ABSENT:
            return None
        if answer.status != 200:
            error = _refusal(answer, anonymous=auth is None or origin_of(answer.url) != origin_of(url))
            if answer.status != 403 or refusals is None:
                raise error
            refusals.append(error)
            return None
        return answer.content


def _find(listing: Listing | Lookup[Listed], archive: PackageArchive) -> Listed | None:
    return listing.get(archive.filename)


def _refusal(answer: Answer, *, anonymous: bool) -> KeelbackError:
    """The error for *answer*; where it was *anonymous*, no credential has been refused."""
    if not anonymous or answer.status not in _WANTS_CREDENTIAL:
        return error_of(answer)
    error = ServerError(
        f"{httpx2.URL(answer.url).netloc.decode()} does not let everybody read the index ({answer.status}), "
        "and no credential was sent there",
        status=answer.status,
        hint="A credential goes only to the server that the channel's URL names; store one for it.",
    )
    error.attempts = answer.attempts
    return error
