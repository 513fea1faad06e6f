"""What the reference page says of credentials is what the code does: its tables and its example are read and tried."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from keelback.credentials.authfile import FileStore
from keelback.credentials.codec import KINDS
from keelback.credentials.deadkeys import dead_keys
from keelback.credentials.keys import candidate_keys, service_keys
from keelback.credentials.kinds import BearerToken
from keelback.secret import Secret

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "credentials.md").read_text(encoding="utf-8")


def rows(header: str) -> list[list[str]]:
    """The cells of the table that begins with *header*."""
    lines = PAGE.split(f"| {header} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code(cell: str) -> list[str]:
    """Everything in a cell that is set as code."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize(("url", "keys"), rows("URL"))
def test_keys_are_tried_as_the_table_says(url: str, keys: str) -> None:
    """The table of URLs and keys, in order and complete."""
    (example,) = code(url)
    assert [*candidate_keys(example), *service_keys(example)] == code(keys)


@pytest.mark.parametrize(("key", "instead", "why"), rows("Key"))
def test_dead_keys_are_named_as_the_table_says(tmp_path: Path, key: str, instead: str, why: str) -> None:
    """The table of keys that can never match."""
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({code(key)[0]: {"BearerToken": "abc"}}))
    (problem,) = dead_keys(FileStore(path, "AUTH"))
    assert [problem.instead] == code(instead)
    assert why


def test_all_kinds_are_described() -> None:
    """The table of kinds leaves none out, and invents none."""
    assert sorted(code(row[0])[0] for row in rows("Kind")) == sorted(KINDS)


def test_the_example_file_can_be_read(tmp_path: Path) -> None:
    """Who copies the example gets a file that works."""
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "auth.json"
    path.write_text(example)
    store = FileStore(path, "AUTH")
    assert store.get("*.prefix.dev") == BearerToken(Secret("pfx_..."))
    assert dead_keys(store) == []
