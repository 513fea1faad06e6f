"""One channel under several URLs: where packages are sent, where they are read, and how conda names it."""

from __future__ import annotations

from keelback.channels.registry import recognise, target_of
from keelback.errors import UsageError


def is_same_channel(one: str, other: str) -> bool:
    """Whether two URLs, as a person, an index or an attestation has them, name one channel to its readers."""
    return one == other or _reading_url(one) == _reading_url(other)


def _reading_url(channel: str) -> str:
    """The URL under which readers find *channel*, if the kind of its server is known; else *channel*."""
    plain = channel.rstrip("/")
    if "://" not in channel:
        return plain
    try:
        target = target_of(channel)
        known = recognise(target)
    except UsageError:  # no channel can have such a URL
        return plain
    if target.folder is not None:
        return target.folder.absolute().as_uri()
    return target.base(len(target.segments)) if known is None else known.reading_url
