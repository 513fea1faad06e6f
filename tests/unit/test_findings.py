"""What is said of an archive can be printed, whatever the archive, its members and its folder are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelback.findings import Finding, Severity, printable

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""With control characters and lone surrogates, which file names that are no UTF-8 have in Python."""


@given(ANY_TEXT)
def test_printable_text_can_be_printed(text: str) -> None:
    """It has no control characters, can be encoded, and is as long as it was."""
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
    assert len(shown) == len(text)
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("d\xe9j\xe0 vu/\u30d1.conda", "d\xe9j\xe0 vu/\u30d1.conda"),
        ("\x1b]0;pwned\x07", "?]0;pwned?"),
        ("one\r\ntwo\u2028three", "one??two?three"),
        ("\u202egnp.exe", "?gnp.exe"),
        (os.fsdecode(b"a\xff"), "a?"),
    ],
)
def test_what_a_terminal_would_obey_becomes_a_question_mark(text: str, shown: str) -> None:
    """Letters of every language stay."""
    assert printable(text) == shown


def test_printable_text_can_be_cut() -> None:
    """The dots say that there was more."""
    assert printable("abcdef", 6) == "abcdef"
    assert printable("abcdefg", 6) == "abcdef..."
    assert printable("\x07" * 9, 2) == "??..."


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_a_finding_is_printable_however_it_was_made(field: str, message: str, hint: str) -> None:
    """Also one that is not made by the checks of an archive."""
    finding = Finding(Severity.ERROR, "code", Path("a.conda"), field, message, hint)
    assert (finding.field + finding.message + finding.hint).isprintable()


def test_the_field_of_a_finding_is_short() -> None:
    """The name of a member may have a million characters."""
    assert len(Finding(Severity.ERROR, "code", Path("a.conda"), "x" * 1_000_000, "", "").field) < 300
