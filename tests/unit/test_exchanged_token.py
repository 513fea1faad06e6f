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

    def __init__(self, seconds: float | None = 900.0) -> None:
        self.now = 1_000_000.0
        self.seconds = seconds
        self.given: list[str] = []
        self.fails = False

    def exchange(self) -> Exchanged:
        if self.fails:
            raise ExchangeError("no")
        self.given.append(leaks.new_secret("minted"))
        return Exchanged(Secret(self.given[-1]), None if self.seconds is None else self.now + self.seconds)

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


@pytest.mark.parametrize("seconds", [None, -5.0])
def test_a_token_whose_end_is_not_known_is_used_as_long_as_the_server_takes_it(seconds: float | None):
    """Nor has one ended that came with an end in the past: then the clock of this machine is fast."""
    server = _Server(seconds)
    token = server.token()
    _sent(token)
    server.now += 10_000
    server.fails = True
    assert _sent(token) == server.given[0]


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
