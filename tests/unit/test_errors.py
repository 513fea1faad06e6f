"""What an error shows."""

from __future__ import annotations

import pytest

from keelback.errors import KeelbackError
from keelback.report import Problem


@pytest.mark.parametrize("evil", ["\x1b]0;owned\x07", "\x1b[2J", "\r", "\u202e", "\x9b31m"])
def test_what_somebody_else_wrote_does_not_steer_a_terminal(evil: str) -> None:
    """An index, a server and a file name may be anybody's; line breaks are kept."""
    error = KeelbackError(f"line 1 {evil}\nline 2", hint=f"Do this.{evil}")
    problem = Problem.of(error)
    for text in (str(error), problem.message, problem.hint, Problem.of_bug(ValueError(evil)).message):
        assert all(line.isprintable() for line in text.split("\n"))
    assert problem.message.endswith("\nline 2")
