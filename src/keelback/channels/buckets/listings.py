"""Checks on what services list: that it ends, and has only keys that were asked for.

The service, and whoever else writes to the bucket, are not trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.errors import ChannelError
from keelback.findings import printable

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ROWS: Final = 2_000_000
"""Objects and folders in one listing: several times what the largest channels have."""
MOST_PAGES: Final = 10_000
_NO_NAMES: Final = frozenset({"", ".", ".."})
_SHOWN: Final = 200


class Pages:
    """Counts what the pages of one listing have, so that it comes to an end.

    Args:
        useless: makes the error for a service that lists what the text says.
    """

    def __init__(self, useless: Callable[[str], Exception]) -> None:
        self._useless = useless
        self._rows = 0
        self._seen: set[str] = set()

    def add(self, rows: int) -> None:
        """A page has this many *rows*; raises the error where these are too many."""
        self._rows += rows
        if self._rows > MOST_ROWS:
            raise self._useless(f"more than {MOST_ROWS} objects")

    def go_on(self, token: str) -> str:
        """*token*, which names the next page; raises the error where it leads nowhere, or there are too many pages."""
        if not token or token in self._seen:
            raise self._useless("the same page again and again")
        if len(self._seen) >= MOST_PAGES:
            raise self._useless("pages without end")
        self._seen.add(token)
        return token


def is_name(text: str) -> bool:
    """Whether *text* can be the name of one thing in a folder: not empty, no way to elsewhere, and without a slash."""
    return text not in _NO_NAMES and "/" not in text


def is_in_folder(key: str, prefix: str) -> bool:
    """Whether *key*, which begins with *prefix*, is in the folder in which that ends, and not in one below it."""
    return "/" not in key[len(prefix) :] and is_name(key.rpartition("/")[2])


def checked_key(key: str) -> str:
    """*key*, where no program on the way can take it for another one.

    Whoever sends a request may resolve the segments ``.`` and ``..`` of its path first, and leave out empty ones (RFC
    3986, section 5.2.4).

    Raises:
        ChannelError: code ``bad-key``: it has such a segment.
    """
    if not all(map(is_name, key.split("/"))):
        raise ChannelError(
            f"{printable(key[:_SHOWN])!r} is the key of an object to which no request is sent: it has an empty "
            "segment, '.' or '..' in it",
            hint="Take it out of the bucket with the service's own tools.",
            code="bad-key",
        )
    return key
