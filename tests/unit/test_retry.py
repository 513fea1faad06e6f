"""When a request is tried again, and how long that waits."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelback import Retry
from keelback.transport.retry import is_temporary, parse_retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def in_seconds(seconds: float) -> str:
    """The HTTP date so many seconds after :data:`NOW`."""
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 520, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    """Time-outs, "too early", "too many" and the server's own trouble are temporary."""
    assert is_temporary(status)


@pytest.mark.parametrize("status", [200, 201, 204, 301, 307, 400, 401, 403, 404, 409, 413, 422, 501, 505, 600])
def test_what_stays_is_not_tried_again(status: int) -> None:
    """Successes, redirects, refusals, and what a server will never be able to do are final."""
    assert not is_temporary(status)


@pytest.mark.parametrize(
    ("attempt", "bound"), [(2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 16.0), (7, 30.0), (9, 30.0)]
)
def test_the_bound_of_the_wait_doubles_up_to_its_cap(
    monkeypatch: pytest.MonkeyPatch, attempt: int, bound: float
) -> None:
    """Full jitter: the wait is drawn between nothing and a bound that doubles with each attempt."""
    drawn: list[tuple[float, float]] = []
    monkeypatch.setattr(random, "uniform", lambda low, high: drawn.append((low, high)) or high)
    assert Retry(attempts=10, base=1.0, cap=30.0).wait_before(attempt) == bound
    assert drawn == [(0, bound)]


def test_waits_are_spread_over_the_whole_range() -> None:
    """Eight uploads that failed together do not come back together."""
    waits = [Retry(base=8.0).wait_before(2) for _ in range(400)]
    assert min(waits) < 2.0
    assert max(waits) > 6.0


@given(attempt=st.integers(2, 5000), base=st.floats(0, 1e6), cap=st.floats(0, 1e6))
def test_no_wait_is_negative_or_above_its_cap(attempt: int, base: float, cap: float) -> None:
    """Whatever the settings, a wait that the server did not ask for stays between nothing and the cap."""
    wait = Retry(attempts=5000, base=base, cap=cap).wait_before(attempt)
    assert 0 <= wait <= cap


def test_after_the_last_attempt_it_gives_up() -> None:
    """``attempts`` counts the first one, and a ``Retry-After`` buys no further one."""
    retry = Retry(attempts=3)
    assert retry.wait_before(3) is not None
    assert retry.wait_before(4) is None
    assert retry.wait_before(4, "1") is None


def test_one_attempt_means_no_repetition() -> None:
    """The least that can be asked for is one attempt; none is a mistake in the call."""
    assert Retry(attempts=1).wait_before(2) is None
    with pytest.raises(ValueError, match="at least 1"):
        Retry(attempts=0)


def test_what_the_server_asks_for_goes_before_the_own_wait() -> None:
    """``Retry-After`` is waited for exactly, even where it is longer than any wait of one's own (RFC 9110, 10.2.3)."""
    assert Retry(base=1.0, cap=2.0).wait_before(2, "40") == 40.0
    assert Retry(base=100.0, cap=100.0).wait_before(2, "0") == 0.0


def test_a_server_that_asks_for_too_much_has_said_no() -> None:
    """Beyond the patience of the caller there is no point in waiting."""
    retry = Retry(patience=60)
    assert retry.wait_before(2, "60") == 60.0
    assert retry.wait_before(2, "61") is None
    assert retry.wait_before(2, "9" * 500) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("  7 ", 7.0),
        (in_seconds(90), 90.0),
        (in_seconds(-90), 0.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    """Both forms are read, the date also in its old spelling; a date in the past means now (RFC 9110, 5.6.7)."""
    assert parse_retry_after(value, NOW.timestamp()) == seconds


@pytest.mark.parametrize("value", [None, "", "soon", "-5", "1.5", "٣", "Sun, 99 Foo 2026 12:00:00 GMT"])
def test_a_senseless_retry_after_counts_for_nothing(value: str | None) -> None:
    """What is neither seconds nor a date leaves the wait to the client's own rule."""
    assert parse_retry_after(value, NOW.timestamp()) is None


DATES = st.builds(
    "{} {} {}:{}:{} {}{}".format,
    st.integers(-1, 40),
    st.sampled_from(["Jan 2026", "Dec 9999", "Jan 1", "Feb 0", "Mar 99999"]),
    st.integers(-1, 100),
    st.integers(-1, 100),
    st.integers(-1, 100),
    st.sampled_from(["", "+", "-", "GMT"]),
    st.integers(0, 10**20),
)


@given(st.text(max_size=40) | DATES)
def test_no_retry_after_breaks_anything(value: str) -> None:
    """A header is what somebody else wrote: whatever is in it, it gives a sensible number or nothing."""
    seconds = parse_retry_after(value, NOW.timestamp())
    assert seconds is None or seconds >= 0
