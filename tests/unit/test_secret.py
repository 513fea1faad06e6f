"""Strings that never print: what a Secret shows, and what redaction leaves of text from outside."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import pprint
import string
import subprocess
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import leaks
from keelback import secret as module
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, HeaderAuth, OAuth, S3Credentials
from keelback.secret import MASK, Secret, redact, redact_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKENS = st.text(string.printable[:94].replace("*", ""), min_size=4, max_size=64)
"""Printable ASCII; without the asterisk, of which the mask is made, so that "not in the text" means what it says."""


@contextmanager
def forgetful() -> Iterator[None]:
    """Secrets that are made meanwhile are forgotten afterwards: an invented ``0000`` would spoil other tests' texts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_known", {})
        patch.setattr(module, "_pattern", None)
        yield


def encoded(text: str) -> str:
    """*text* in base64."""
    return base64.b64encode(text.encode()).decode()


def texts_with(token: str) -> Iterator[tuple[str, str]]:
    """What others write of a token: the spelling that must not be left, and the text it stands in."""
    for spelling in (
        token,
        quote(token, safe=""),
        quote(token),
        quote_plus(token),
        json.dumps(token)[1:-1],
        encoded(token),
    ):
        yield spelling, f"rejected {spelling}, sorry"
        yield spelling, f'{{"detail": "bad key {spelling}"}}'
        yield spelling, f"https://example.com/t/{spelling}/noarch/repodata.json"
        yield spelling, f"Authorization: Bearer {spelling}\r\nX-API-Key: {spelling}"
        yield spelling, f"{spelling}{spelling}"
    segment = quote(token, safe="!$&'()*+,;=:@")  # what may stand bare in a path (RFC 3986, pchar)
    yield segment, f"GET /t/{segment}/noarch/repodata.json"
    basic = encoded(f"ann:{token}")
    yield basic, f"Authorization: Basic {basic}"
    yield basic, f"you sent {basic} twice"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TOKENS)
def test_redaction_leaves_nothing_of_a_known_secret(token: str) -> None:
    """Whatever a token looks like and however others spell it, nothing of it is left."""
    with forgetful():
        CondaToken(Secret(token))
        BasicHTTP("ann", Secret(token))
        for spelling, text in texts_with(token):
            left = redact(text)
            assert spelling not in left
            assert token not in left


@settings(max_examples=100, deadline=None)
@given(st.lists(TOKENS, min_size=2, max_size=5))
def test_redaction_leaves_nothing_where_secrets_overlap(tokens: list[str]) -> None:
    """One secret inside another, or side by side with it, does not save either."""
    with forgetful():
        for token in tokens:
            Secret(token)
        left = redact(" ".join(tokens))
        assert all(token not in left for token in tokens)


@pytest.mark.parametrize(
    "text",
    [
        "token is invalid",
        "Invalid token provided.",
        "the token expired.",
        "Bearer authentication",
        "Bearer authentication is required, not Basic",
        "Basic authentication is not offered",
        'WWW-Authenticate: Basic realm="Artifactory Realm"',
        'Bearer realm="prefix"',
        "tokens are limited to one channel",
        "the package secretstorage-3.3.3-0.conda exists",
        "noarch/token-1.0-h0_0.conda",
        "https://example.com/artifactory/conda-local/noarch/tool-1.0-0.conda",
        "user@example.com",
        "passwords expire after 90 days",
        "invalid token: expired",
        "Invalid token: it has expired",
        "the token: see https://docs.example.com/tokens",
        "signature: mismatch",
        "signature does not match, policy: read-only",
        "invalid API key: unknown",
        '{"error": "invalid_token", "message": "try again"}',
        '{"token": "has expired"}',
        '{"token": ["This field is required."]}',
        '{"password": ""}',
        "token: 401 Unauthorized",
        "",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    """A server's message without a secret reaches the user as it is."""
    with forgetful():
        assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /t/ab-0123456789/noarch", "GET /t/****/noarch"),
        ("http://ann:pa55@proxy.example:3128/x", "http://****@proxy.example:3128/x"),
        ("http://ann:p@55@proxy.example:3128/x", "http://****@proxy.example:3128/x"),
        ("Authorization: Bearer abcdefghijklmnop0", "Authorization: Bearer ****"),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer ****"),
        ("Authorization: token abcdefghijklmnop", "Authorization: token ****"),
        ("you sent Basic YW5uOnBhNTU=", "you sent Basic ****"),
        ("X-API-Key: whatever", "X-API-Key: ****"),
        ('{"access_token": "whatever", "ok": 1}', '{"access_token": "****", "ok": 1}'),
        ("https://s3.example/k?X-Amz-Signature=whatever&a=b", "https://s3.example/k?X-Amz-Signature=****&a=b"),
        ("api_key=whatever&channel=c", "api_key=****&channel=c"),
        ("https://o.example/k?X-Goog-Signature=abcdef&a=b", "https://o.example/k?X-Goog-Signature=****&a=b"),
        ("https://o.example/k?Signature=xyz%3D&Expires=1", "https://o.example/k?Signature=****&Expires=1"),
        ("https://o.example/k?se=2024&sig=abcd", "https://o.example/k?se=2024&sig=****"),
        ("https://o.example/k?token=whatever", "https://o.example/k?token=****"),
        ("https://o.example/k?upload_token=whatever&policy=eyJ", "https://o.example/k?upload_token=****&policy=****"),
        ('{"token": "whatever"}', '{"token": "****"}'),
        ('{"token":"abcdef1234", "ok": 1}', '{"token":"****", "ok": 1}'),
        ("{'token': 'whatever'}", "{'token': '****'}"),
        (r'"{\"token\": \"whatever\"}"', r'"{\"token\": \"****"}"'),
        ('{"policy": "eyJ9", "signature": "AbC="}', '{"policy": "****", "signature": "****"}'),
        ('{"password": "two words", "ok": 1}', '{"password": "****", "ok": 1}'),
        ("token: pfx_abcdef123", "token: ****"),
        ("invalid API key: kb-0123456789", "invalid API key: ****"),
        ("client_secret=whatever", "client_secret=****"),
        ("AWS_SECRET_ACCESS_KEY=whatever", "AWS_SECRET_ACCESS_KEY=****"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_taken_for_one(text: str, shown: str) -> None:
    """A secret that this process never saw, such as one that a server makes up, is known by where it stands."""
    with forgetful():
        assert redact(text) == shown


HOSTILE = [
    "a.", "a://", "://", "://a", "a@", "http://a@", "/t/", "password ", "password=", 'password="', 'password="\\',
    "password:Basic  ", "Bearer ", "Bearer a:", "Basic  ", "token ", "token:", "token:-token=-",
    "token':'", 'token":"a ',
    "sig= ", "api key: a-", "x-goog-signature= ", r'"token":"\\', "secret", "secret_", " ", "'", "&", "<",
]  # fmt: skip
"""Texts that, repeated, make a careless pattern look at everything again from every place."""


def test_hostile_text_is_redacted_in_the_time_that_its_length_takes() -> None:
    """A server that answers with a megabyte of whatever is worst for the pattern does not stop the run.

    A pattern that backtracks would be at it for hours, with nothing else in the process going on: the limit is for a
    machine on its knees.
    """
    program = f"""
from keelback.secret import redact
for shape in {HOSTILE!r}:
    for before in ("", "Bearer ", "token:", "password=\\"", "a://"):
        redact(before + shape * (100_000 // len(shape)))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@given(st.integers(1, 60), st.sampled_from(["", "x" * 5_000]))
def test_of_a_text_that_was_cut_off_no_half_secret_is_left(kept: int, before: str) -> None:
    """What is left of a secret at the end of the text is not recognised, so the end is left out."""
    with forgetful():
        value = "".join(string.ascii_letters[number % 52] for number in range(60)) + "0"
        Secret(value)
        left = redact_cut(before + value[:kept])
        assert left == before[: len(before) + kept - 1024]


def test_of_a_text_that_was_cut_off_the_longest_secret_fits_into_what_is_left_out() -> None:
    """Tokens of single sign-on have thousands of characters."""
    with forgetful():
        value = "ab" * 3_000
        Secret(value)
        left = redact_cut("x" * 9_000 + value[:-1])
        assert left == "x" * len(left) != ""


def test_a_very_short_value_is_not_redacted_by_value() -> None:
    """Replacing every "a" would destroy the message, and give the secret away."""
    with forgetful():
        Secret("a")
        assert redact("a cat sat") == "a cat sat"


def test_bytes_that_are_no_text_are_a_secret_like_any_other() -> None:
    """A variable may hold bytes that are no UTF-8; Python hands them on as lone surrogates."""
    with forgetful():
        value = b"key-\xff\xfe-0123".decode(errors="surrogateescape")
        assert Secret(value).reveal() == value
        assert redact(f"got {value}") == f"got {MASK}"


SHOWS: dict[str, Callable[[object], str]] = {
    "repr": repr,
    "str": str,
    "format": format,
    "format with a width": lambda value: format(value, ">40"),
    "f-string": lambda value: f"{value} {value!r} {value!s:>40} {value!a}",
    "percent": lambda value: "%s %r" % (value, value),  # noqa: UP031 - the old way is what is tried here
    "str.format": lambda value: "{} {0!r}".replace("{}", "{0}").format(value),
    "in a list": lambda value: str([value]),
    "in a dict": lambda value: f"{ {value: value} }",
    "json": lambda value: json.dumps({"key": value}, default=str),
    "pprint": pprint.pformat,
}


@pytest.mark.parametrize("show", SHOWS.values(), ids=SHOWS)
def test_a_secret_shows_itself_as_a_mask(show: Callable[[object], str]) -> None:
    """Every way of making text of a Secret gives the mask."""
    text = show(Secret(leaks.new_secret("shown", special=True)))
    assert MASK in text
    leaks.check(text, "the text of a Secret")


def credentials(value: str) -> list[object]:
    """Everything that holds a secret."""
    made = Secret(value)
    return [
        BearerToken(made),
        CondaToken(made),
        BasicHTTP("ann", made),
        HeaderAuth("X-API-Key", made),
        S3Credentials("AKIA", made, made),
        OAuth(made, made, None, "https://example.com/token", None, "client"),
    ]


@pytest.mark.parametrize("show", [repr, str, pprint.pformat])
def test_no_credential_shows_its_secret(show: Callable[[object], str]) -> None:
    """A dataclass with a Secret in it prints its mask."""
    for credential in credentials(leaks.new_secret("credential", special=True)):
        text = show(credential)
        leaks.check(text, type(credential).__name__)
        assert MASK in text


@pytest.mark.parametrize("write", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_a_secret_is_not_written_anywhere_by_itself(write: Callable[[object], object]) -> None:
    """Pickling, and what works like it, is refused with words that hold nothing secret."""
    value = leaks.new_secret("pickled")
    with pytest.raises(TypeError, match="reveal") as caught:
        write(Secret(value))
    leaks.check(str(caught.value), "the error")


def test_no_traceback_shows_a_secret() -> None:
    """Not even one with the values of local variables, as error trackers write them."""

    def fail(key: Secret) -> None:
        credential = BearerToken(key)
        raise RuntimeError(f"{key} does not open the door, nor does {credential!r}")

    try:
        fail(Secret(leaks.new_secret("traced")))
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert MASK in shown
    leaks.check(shown, "a traceback with local variables")


def test_no_log_record_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """A Secret given to a logger as an argument is logged as its mask."""
    with caplog.at_level(logging.DEBUG):
        made = Secret(leaks.new_secret("logged"))
        logging.getLogger("keelback").debug("with %s and %r", made, made)
    assert caplog.messages == [f"with {MASK} and Secret({MASK!r})"]


def test_a_secret_has_no_dictionary_of_its_own() -> None:
    """What dumps ``vars()`` of everything finds nothing."""
    assert not hasattr(Secret(leaks.new_secret("vars")), "__dict__")


def test_secrets_compare_by_value_and_reveal_on_purpose() -> None:
    """Equal values make equal secrets, and only ``reveal`` gives the value."""
    value = leaks.new_secret("compared")
    assert Secret(value) == Secret(value)
    assert hash(Secret(value)) == hash(Secret(value))
    assert Secret(value) != Secret(leaks.new_secret("another"))
    assert Secret(value) != value
    assert Secret(value).reveal() == value
