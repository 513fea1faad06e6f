"""The threat model promises nothing that no test shows."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
HEAD = ["Threat", "What holds it", "Shown by"]
NOT_HELD = "Not held:"

COVERED = ("server", "redirect", "index", "archive", "file name", "fork", "dependency", "log")
"""What the page has to speak of."""


class Row(NamedTuple):
    """One threat."""

    threat: str
    held_by: str
    tests: list[str]


def rows() -> list[Row]:
    """Every row of every table of the page."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        assert len(cells) == len(HEAD), line
        if cells != HEAD and not set("".join(cells)) <= {"-", " "}:
            found.append(Row(cells[0], cells[1], re.findall(r"`([^`]+)`", cells[2])))
    return found


@cache
def names_in(path: str) -> set[str]:
    """The names of the tests in a file of tests; those that are expected to fail show nothing."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name for node in functions if not any("xfail" in ast.unparse(mark) for mark in node.decorator_list)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.threat[:60])
def test_what_holds_a_threat_is_shown_by_a_test(row: Row) -> None:
    """Each threat has tests, and they are there; what nothing holds is said, and has none."""
    assert row.held_by
    assert bool(row.tests) != row.held_by.startswith(NOT_HELD), "either a test shows it, or nothing holds it"
    for test in row.tests:
        path, _, name = test.partition("::")
        assert re.fullmatch(r"tests/\w+/test_\w+\.py", path)
        assert (ROOT / path).is_file(), f"there is no {path}"
        assert name in names_in(path), f"there is no test {test}"


def test_every_kind_of_attacker_has_a_section() -> None:
    """And the page is honest: there are threats that nothing holds."""
    headings = " / ".join(re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)).lower()
    text = PAGE.read_text(encoding="utf-8").lower()
    assert [word for word in COVERED if word not in headings + text] == []
    assert any(row.held_by.startswith(NOT_HELD) for row in rows())


def test_no_threat_is_there_twice() -> None:
    """One row for each."""
    threats = [row.threat for row in rows()]
    assert len(threats) == len(set(threats))
