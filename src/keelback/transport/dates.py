"""Times as servers write them."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def http_time(text: str | None) -> float | None:
    """*text*, a date of HTTP (RFC 9110, section 5.6.7), in Unix seconds; ``None`` where it is none."""
    try:
        return None if text is None else email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):  # no date; one that no calendar has; one that no clock has (Windows)
        return None


def iso_time(text: object) -> float | None:
    """*text*, a time in ISO 8601 (UTC, where it does not say), in Unix seconds; ``None`` where it is none."""
    try:
        when = datetime.fromisoformat(text) if isinstance(text, str) else None
        return None if when is None else (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def seconds_ahead(headers: Mapping[str, str], now: float) -> float | None:
    """By how many seconds the clock that says *now* is ahead of the server with the answer's *headers*.

    ``None`` where the server does not say what its clock has.
    """
    theirs = http_time(headers.get("date"))
    return None if theirs is None else now - theirs
