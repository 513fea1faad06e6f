"""What a listing of any service may have: an end, and keys that belong where they were asked for.

The service, and whoever else writes to the bucket, may mean harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ROWS: Final = 2_000_000
"""Objects and folders in one listing: several times what the largest channels have."""
MOST_PAGES: Final = 10_000
_NO_NAMES: Final = frozenset({"", ".", ".."})


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
