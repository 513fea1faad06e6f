"""When to try again, and how long to wait before."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final

from keelback.transport.dates import http_time

_RETRIED_BELOW_500: Final = frozenset({408, 425, 429})
_NEVER_RETRIED: Final = frozenset({501, 505})


def is_temporary(status: int) -> bool:
    """Whether an answer with this HTTP *status* may be another one a moment later.

    408, 425, 429 and every 5xx but 501 and 505, which no waiting mends (RFC 9110, section 15; RFC 8470 for 425;
    RFC 6585 for 429).
    """
    return status in _RETRIED_BELOW_500 or (500 <= status <= 599 and status not in _NEVER_RETRIED)


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry policy: attempts and backoff.

    Attributes:
        attempts: how often at most, the first one included; at least 1.
        base: the upper bound of the first wait, in seconds; it doubles with each further one.
        cap: the upper bound of any wait that the server did not ask for, in seconds.
        patience: the longest ``Retry-After`` that is waited for, in seconds; a server that asks for more is taken
            to have said no.
    """

    attempts: int = 5
    base: float = 1.0
    cap: float = 30.0
    patience: float = 300.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts is at least 1")

    def wait_before(self, attempt: int, retry_after: str | None = None) -> float | None:
        """How long to wait before the *attempt*-th try (2 is the first repetition), in seconds; ``None``: give up.

        Exponential backoff with full jitter, so that eight uploads that failed together do not come back together;
        what the server asked for in ``Retry-After`` (RFC 9110, section 10.2.3: seconds or a date) goes before it.
        """
        if attempt > self.attempts:
            return None
        asked = parse_retry_after(retry_after)
        if asked is not None:
            return asked if asked <= self.patience else None
        doubled = self.base * 2.0 ** min(attempt - 2, 64)  # far beyond any cap, and no overflow
        return random.uniform(0, min(self.cap, doubled))  # noqa: S311 - jitter, no secret


def parse_retry_after(value: str | None, now: float | None = None) -> float | None:
    """The seconds that a ``Retry-After`` *value* asks for, or ``None`` where it says nothing sensible."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    date = http_time(value)
    return None if date is None else max(0.0, date - (time.time() if now is None else now))
