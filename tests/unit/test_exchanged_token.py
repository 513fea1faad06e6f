"""What a short-lived token promises, whichever server gave it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

import leaks
from keelback.credentials.oidc.exchanged import Exchanged, ExchangedToken
from keelback.errors import ExchangeError
from keelback.secret import Secret, listening


class _Server:
    """Gives tokens that are good for so many seconds, by a clock that the test turns."""

    def __init__(self, seconds: float | None = 900.0, *, lasts: float | None = None) -> None:
        self.now = 1_000_000.0
        self.seconds = seconds
        self.lasts = lasts
        self.asked = 0
        self.given: list[str] = []
        self.fails = False

    def exchange(self) -> Exchanged:
        self.asked += 1
        if self.fails:
            raise ExchangeError("no")
        self.given.append(leaks.new_secret("minted"))
        return Exchanged(Secret(self.given[-1]), None if self.seconds is None else self.now + self.seconds, self.lasts)

    def token(self) -> ExchangedToken:
        return ExchangedToken(self.exchange, clock=lambda: self.now)


def _sent(token: ExchangedToken) -> str:
    request = next(token.sync_auth_flow(httpx2.Request("GET", "https://prefix.dev")))
    return request.headers["authorization"].removeprefix("Bearer ")


def test_one_exchange_serves_all_requests_until_shortly_before_the_token_expires():
    """A token of 15 minutes is exchanged anew after 14."""
    server = _Server()
    token = server.token()
    assert {_sent(token) for _ in range(50)} == {server.given[0]}
    server.now += 839
    assert _sent(token) == server.given[0]
    server.now += 2
    assert _sent(token) == server.given[1]
    assert len(server.given) == 2


def test_a_token_that_does_not_say_when_it_expires_is_exchanged_anew_after_nine_minutes():
    """Ten minutes are assumed."""
    server = _Server(seconds=None)
    token = server.token()
    _sent(token)
    server.now += 541
    assert _sent(token) == server.given[1]


def test_a_token_of_a_few_seconds_is_used_for_most_of_them():
    """It is not exchanged for each request because a minute before its end has passed already."""
    server = _Server(seconds=10)
    token = server.token()
    _sent(token)
    server.now += 7
    assert _sent(token) == server.given[0]


def test_of_many_threads_that_were_refused_one_exchanges():
    """They all saw the same token refused, and get the same new one."""
    server = _Server()
    token = server.token()
    token.current()
    generation, start = token.generation, threading.Barrier(8)

    def refused() -> str:
        start.wait()
        token.renew(generation)
        return token.current().reveal()

    with ThreadPoolExecutor(8) as threads:
        tokens = {future.result() for future in [threads.submit(refused) for _ in range(8)]}
    assert tokens == {server.given[1]}
    assert len(server.given) == 2


def test_where_a_renewal_fails_the_token_is_used_to_its_end():
    """Its end, or a refusal, makes the failure an error."""
    server = _Server()
    token = server.token()
    _sent(token)
    server.now += 880
    server.fails = True
    assert _sent(token) == server.given[0]
    with pytest.raises(ExchangeError):
        token.renew(token.generation)
    server.now += 21
    with pytest.raises(ExchangeError):
        _sent(token)


def test_a_renewal_that_failed_is_not_tried_again_by_each_who_waits_for_it():
    """All who were refused get its error, each an error of its own; a minute later somebody may try again."""
    server = _Server()
    token = server.token()
    token.current()
    server.fails = True
    start = threading.Barrier(8)

    def refused() -> ExchangeError:
        start.wait()
        with pytest.raises(ExchangeError) as caught:
            token.renew(1)
        return caught.value

    with ThreadPoolExecutor(8) as threads:
        errors = [future.result() for future in [threads.submit(refused) for _ in range(8)]]
    assert server.asked == 2
    assert len({id(error) for error in errors}) == 8
    server.fails = False
    with pytest.raises(ExchangeError):
        token.renew(1)
    server.now += 61
    token.renew(1)
    assert token.current().reveal() == server.given[1]


@pytest.mark.parametrize("seconds", [None, -5.0])
def test_a_token_whose_end_is_not_known_is_used_as_long_as_the_server_takes_it(seconds: float | None):
    """Nor has one ended that came with an end in the past: then the clock of this machine is fast."""
    server = _Server(seconds)
    token = server.token()
    _sent(token)
    server.now += 10_000
    server.fails = True
    assert _sent(token) == server.given[0]


@pytest.mark.parametrize(
    ("left", "lasts", "renewed_after"),
    [(-3600, None, 540), (1, None, 540), (-3600, 900, 840), (60, 900, 840), (500, 900, 440)],
)
def test_how_long_a_new_token_lives_is_not_left_to_a_clock_that_is_fast(
    left: float, lasts: float | None, renewed_after: float, caplog: pytest.LogCaptureFixture
):
    """A token that comes with little of its life left has all of it, or ten minutes; that is said once."""
    server = _Server(left, lasts=lasts)
    token = server.token()
    for number in range(1, 4):
        _sent(token)
        server.now += renewed_after - 1
        _sent(token)
        assert len(server.given) == number
        server.now += 2
    assert caplog.text.count("check that clock") == (0 if left == 500 else 1)


def test_a_token_that_no_header_can_hold_is_no_token():
    """A line break would be another header."""
    token = ExchangedToken(lambda: Exchanged(Secret(f"{leaks.new_secret('minted')}\nX-Evil: 1")))
    with pytest.raises(ExchangeError, match="line break"):
        token.current()


def test_the_token_is_in_no_text_of_it():
    """Not even in what a debugger shows of it."""
    server = _Server()
    token = server.token()
    token.current()
    assert server.given[0] not in f"{token!r} {token} {vars(token)}"


def test_whoever_masks_secrets_is_told_of_each_new_token():
    """So that a CI system can keep it out of its log."""
    server = _Server()
    token = server.token()
    heard: list[Secret] = []
    with listening(heard.append):
        token.current()
        token.renew(token.generation)
    assert [secret.reveal() for secret in heard] == server.given
