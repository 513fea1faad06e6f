"""Where a channel's shards are, and what is in one (CEP 16)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urljoin

import httpx2

from keelback.errors import ChannelError
from keelback.hosts import host_of
from keelback.indexed import without_credential
from keelback.listing import SHARD_LIMIT, Shard, unpack
from keelback.repodata import SHARD_INDEX, Record, decode_msgpack
from keelback.secret import redact

_SHOWN: Final = 200


def shard_url(folder: str, shard: Shard) -> str:
    """The URL of *shard*, of an index in *folder*.

    Raises:
        ChannelError: the index says something from which no such URL can be made, or one to which no request may go:
            without TLS where the index itself came with it.
    """
    try:
        base = without_credential(urljoin(folder, shard.folder))
        url = urljoin(base if base.endswith("/") else f"{base}/", f"{shard.sha256}.msgpack.zst")
        parts = httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL) as error:
        raise _bad_folder(shard, "is no URL") from error
    if parts.scheme not in ("http", "https") or not parts.host or not _can_be_looked_up(host_of(url)):
        raise _bad_folder(shard, "is no URL of a server")
    if parts.scheme == "http" and httpx2.URL(folder).scheme == "https":
        raise _bad_folder(shard, "is not encrypted, as the index itself was")
    return url


def _bad_folder(shard: Shard, why: str) -> ChannelError:
    return ChannelError(f"{SHARD_INDEX} has its shards at {shown(shard.folder)!r}, which {why}", code="bad-index")


def _can_be_looked_up(host: str) -> bool:
    """Whether *host* is within the limits of host names (RFC 1035, 2.3.4: sizes of names and labels)."""
    return len(host) <= 253 and all(0 < len(label) <= 63 for label in host.removesuffix(".").split("."))


def shown(url: str) -> str:
    """*url*, which a server chose, as far as a person reads it."""
    text = redact(url)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def records_of(content: bytes, url: str) -> dict[str, Record]:
    """All records of the shard at *url*, from file name to record, with hashes in hex as ``repodata.json`` has them.

    Raises:
        ChannelError: it is malformed.
    """
    what = shown(url)
    document = decode_msgpack(unpack(content, what, SHARD_LIMIT), dict[str, Any], what)
    sections = [document.get(name, {}) for name in ("packages", "packages.conda")]
    if not all(isinstance(section, dict) for section in sections):
        raise ChannelError(f"malformed {what}: records that are no map", code="bad-index")
    return {
        str(filename): {key: value.hex() if isinstance(value, bytes) else value for key, value in record.items()}
        for section in sections
        for filename, record in section.items()
        if isinstance(record, dict)
    }
