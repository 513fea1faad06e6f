"""A server's own words: which of them are shown, and that no answer makes looking for them expensive."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

import leaks
from keelback.secret import Secret
from keelback.transport import explain, servers_words
from keelback.transport.messages import Answer

LOOKED_AT = 16 << 10
"""What is searched of an answer at most."""
MEGABYTE = 1 << 20


def words(content: str | bytes) -> str:
    """What is shown of a body."""
    content = content.encode() if isinstance(content, str) else content
    return servers_words(Answer(500, {}, content, "http://127.0.0.1/"))


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("", ""),
        ("no  such\nchannel", "no such channel"),
        ('{"detail": "no such channel"}', "no such channel"),
        ('{"error": {"message": "no such channel"}}', "no such channel"),
        ('{"errors": [{"message": "one"}, {"message": "two"}]}', "one; two"),
        ("<html><title>404 Not &amp; Found</title><p>nginx</p>", "404 Not & Found"),
        ("<h1 class='x'><span>Bad</span> gateway</h1>", "Bad gateway"),
        ("<?xml?><Error><Code>X</Code><Message>Access denied</Message></Error>", "Access denied"),
        ("<p>plain <b>page</b></p><a href='x", "plain page"),
        ("<title>never ends", "never ends"),
    ],
)
def test_the_words_are_found(content: str, shown: str) -> None:
    """The message in JSON, the title or the text of a page, or the body itself."""
    assert words(content) == shown


@pytest.mark.parametrize(
    "shape",
    ["<title>", "<", "<title", "<title>a", "</", "<p>", "<>", "<Message><h1>", "&#9", "&", "&amp;", "a.", "a://", " ",
     "password=", "token: ", "{", '{"error":', "[", "\x1b[2J", "\u202e", "\0"],
)  # fmt: skip
def test_no_more_than_the_beginning_of_an_answer_is_searched(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of what is worst for a pattern is cut before any pattern sees it."""
    seen: list[int] = []
    for name in ("redact", "redact_cut"):
        real = getattr(explain, name)
        monkeypatch.setattr(explain, name, lambda text, real=real: seen.append(len(text)) or real(text))
    for before in ("", "<", "<title>", '{"error": "'):
        shown = words((before + shape * (MEGABYTE // len(shape)))[:MEGABYTE])
        assert len(shown) <= 300
        assert shown.isprintable()
    assert len(seen) == 4
    assert max(seen) <= LOOKED_AT


def test_no_more_than_the_beginning_of_a_message_in_json_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a string in a document that is still small enough to be parsed."""
    seen: list[int] = []
    monkeypatch.setattr(explain, "redact_cut", lambda text: seen.append(len(text)) or text)
    assert words(json.dumps({"error": "word " * 10_000})).startswith("word word")
    assert seen == [LOOKED_AT]


def test_json_of_unusual_size_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing takes far more memory than the text; its beginning says as much."""
    monkeypatch.setattr(Answer, "json", lambda _: pytest.fail("was parsed"))
    shown = words('{"error": "no room", "more": [' + "[]," * 30_000 + "0]}")
    assert shown.startswith('{"error": "no room"')


def test_a_number_of_thousands_of_digits_is_no_character() -> None:
    """Python refuses to turn it into a number."""
    assert words("<p>&#" + "9" * 5_000 + "; is odd") == "\ufffd is odd"
    assert words("<p>&#65;&#x42;") == "AB"


@given(
    st.sampled_from([("", ""), ("<p>", ""), ("<title>", ""), ("<p ", ">"), ('{"error": "', '"}')]),
    st.integers(-70, 10),
    st.integers(0, 4),
)
def test_a_secret_at_the_end_of_what_is_searched_does_not_show(
    around: tuple[str, str], offset: int, known: int
) -> None:
    """Wherever in a token the answer is cut, and although white space takes no room in what is shown."""
    token = leaks.new_secret("cut")
    Secret(token)
    before, after = around
    shown = words(before + " " * (LOOKED_AT - len(before) + offset) + token + " " * known + after + " " * 50_000)
    leaks.check(shown, "the server's words")
    assert not any(part in shown for part in (token[:8], token[4:12]))


def test_a_title_is_shown_of_the_largest_page() -> None:
    """It ends before the cut, so that nothing is left out of it."""
    assert words("<html><title>Too large</title>" + string.ascii_letters * 10_000) == "Too large"
