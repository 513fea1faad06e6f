"""What the reference page says of credentials is what the code does: its tables and its example are read and tried."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import pytest

from keelback.credentials.authfile import FileStore
from keelback.credentials.codec import KINDS
from keelback.credentials.deadkeys import dead_keys
from keelback.credentials.helpers import Helper
from keelback.credentials.keys import candidate_keys, service_keys
from keelback.credentials.kinds import BearerToken
from keelback.credentials.lookup import default_stores, find
from keelback.credentials.ownfile import OwnFileStore
from keelback.secret import Secret

if TYPE_CHECKING:
    from keelback.credentials.stores import Store

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "credentials.md").read_text(encoding="utf-8")


def rows(header: str) -> list[list[str]]:
    """The cells of the table that begins with *header*."""
    lines = PAGE.split(f"\n| {header} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
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
    example, _ = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "auth.json"
    path.write_text(example)
    store = FileStore(path, "AUTH")
    assert store.get("*.prefix.dev") == BearerToken(Secret("pfx_..."))
    assert dead_keys(store) == []


@pytest.mark.parametrize(("held", "url", "used"), rows("Stores and their keys"))
def test_the_entry_wins_that_the_table_says(tmp_path: Path, held: str, url: str, used: str) -> None:
    """The table of stores and URLs: which key of which store is used."""
    (example,) = code(url)
    match = find(example, stores_of_example(tmp_path, held, s3=example.startswith("s3:")))
    if match is None:
        assert used == "nothing"
    else:
        wanted = re.fullmatch(r"`(?P<key>[^`]+)` of (?:the )?(?P<store>[a-z ]+?)(?P<own> \(in keelback only\))?", used)
        assert wanted
        named = next(name for name, place in PLACES.items() if str(tmp_path / place) in match.store.name)
        assert (match.key, named) == (wanted["key"], wanted["store"])
        assert bool(wanted["own"]) == (match.key in service_keys(example))


PLACES = {
    "named file": "named.json",
    "keychain": "keychain.json",
    "default file": ".rattler/credentials.json",
    "netrc": ".netrc",
    "own file": "own.json",
    "anaconda login": "binstar/data",
}
"""Where each store of the table is in the test; a file stands in for the keychain."""


def stores_of_example(folder: Path, held: str, *, s3: bool) -> list[Store]:
    """All stores, with the keys that the first cell of a row says."""
    keys = {name.strip(): code(rest) for name, _, rest in (part.partition(":") for part in held.split(";"))}
    for name, place in PLACES.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        wanted = keys.pop(name, [])
        if name == "netrc":
            path.write_text("".join(f"machine {key} login ann password abc\n" for key in wanted))
        elif name == "anaconda login":
            path.mkdir()
            for key in wanted:
                (path / f"{quote_plus(f'https://{key}')}.token").write_text("abc")
        else:
            pair = {"access_key_id": "abc", "secret_access_key": "abc"}
            entry = {"S3Credentials": pair} if s3 else {"BearerToken": "abc"}
            path.write_text(json.dumps(dict.fromkeys(wanted, entry)))
    assert not keys, f"no such store: {keys}"
    environ = {
        "RATTLER_AUTH_FILE": str(folder / PLACES["named file"]),
        "KEELBACK_CREDENTIALS_FILE": str(folder / PLACES["own file"]),
        "BINSTAR_CONFIG_DIR": str(folder / "binstar"),
    }
    named, *others = default_stores(environ=environ, home=folder, keychain=False)
    keychain = folder / PLACES["keychain"]
    return [named, FileStore(keychain, str(keychain)), *others]


def test_the_examples_of_keelbacks_own_file_can_be_read(tmp_path: Path) -> None:
    """Who copies it gets a file that works; and every member of a helper is in the table."""
    _, example = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "own.json"
    path.write_text(example)
    store = OwnFileStore(path)
    assert store.get("conda.example.com/one") == BearerToken(Secret("..."))
    assert isinstance(store.get("python.example.com"), Helper)
    members = json.loads(example)["python.example.com"]["Helper"]
    assert sorted(code(row[0])[0] for row in rows("Member")) == sorted(members)
