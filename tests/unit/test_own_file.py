"""Keelback's own file: credentials for a part of a host, and the keys under which they are found."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import leaks
from keelback.credentials.authfile import FileStore
from keelback.credentials.helpers import Helper
from keelback.credentials.keys import path_keys
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken
from keelback.credentials.lookup import find
from keelback.credentials.ownfile import OwnFileStore
from keelback.errors import CredentialFileError
from keelback.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, content: object) -> Path:
    """A file of that content, which only its owner can read."""
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return leaks.holds_secrets(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file of a test goes."""
    return tmp_path / "own.json"


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("https://h/a/b", ["h/a/b", "h/a"]),
        ("https://H:8443/a/b/?q=/x/y#/z", ["h/a/b", "h/a"]),
        ("https://ann:s@h/a", ["h/a"]),
        ("https://h/a%20b/C", ["h/a b/C", "h/a b"]),
        ("https://h/a%2520b", ["h/a%20b"]),
        ("https://h/t/TOKEN/a", ["h/a"]),
        ("https://h/t/TOKEN", []),
        ("https://h/t", ["h/t"]),
        ("https://[::1]:1/a", ["[::1]/a"]),
        ("https://h", []),
        ("https://h/", []),
        ("https://h/a//b", []),
        ("https://h/a/../b", []),
        ("https://h/a/%2e%2E/b", []),
        ("https://h/a%2fb", []),
        ("https://h/a%5Cb", []),
        ("https://h/a\\b", []),
        ("https://h/%ff", []),
        ("https://h/%00", []),
        ("s3://bucket/a", []),
        ("file:///a", []),
        ("h/a", []),
    ],
)
def test_the_keys_of_a_url_are_its_whole_segments(url: str, keys: list[str]) -> None:
    """Longest first, no port, decoded once; a path that servers may read in two ways has none."""
    assert path_keys(url) == keys


@given(st.lists(st.text(min_size=1, max_size=8).filter(lambda text: text != "t"), min_size=1, max_size=5))
def test_a_key_is_the_beginning_of_the_path_in_whole_segments(segments: list[str]) -> None:
    """``h/team`` is not for ``h/team2``, however the two are escaped."""
    path = "/".join(quote(segment, safe="", errors="replace") for segment in segments)
    beginnings = [["h", *segments[:end]] for end in range(len(segments), 0, -1)]
    assert [key.split("/") for key in path_keys(f"https://h/{path}")] in ([], beginnings)
    assert "/".join(beginnings[0]) not in path_keys(f"https://h/{path}x")


def test_two_channels_of_one_host_have_two_tokens(path: Path) -> None:
    """The longest key wins, before every other store; what has none gets the credential of the host."""
    tokens = {name: leaks.new_secret(f"own-{name}") for name in ("host", "team", "private", "rattler")}
    own = OwnFileStore(
        write(
            path,
            {
                "h.example": {"BearerToken": tokens["host"]},
                "h.example/team": {"BearerToken": tokens["team"]},
                "h.example/team/private": {"CondaToken": tokens["private"]},
            },
        )
    )
    rattler = FileStore(write(path.with_name("auth.json"), {"h.example": {"BearerToken": tokens["rattler"]}}), "AUTH")

    def found(url: str) -> object:
        match = find(url, [rattler, own])
        return match and (match.credential, match.store.name)

    assert found("https://h.example/team/noarch/repodata.json") == (BearerToken(Secret(tokens["team"])), own.name)
    assert found("https://h.example/team/private/noarch/x.conda") == (CondaToken(Secret(tokens["private"])), own.name)
    assert found("https://h.example/team2/noarch") == (BearerToken(Secret(tokens["rattler"])), "AUTH")
    assert own.name == f"keelback's own file ({path})"
    assert own.is_path_scoped


def test_a_helper_runs_when_its_credential_is_asked_for_and_not_before(path: Path, tmp_path: Path) -> None:
    """Listing the entries, and looking at one, runs nothing."""
    ran = tmp_path / "ran"
    script = tmp_path / "helper.py"
    token = leaks.new_secret("own-helper")
    script.write_text(f"open({str(ran)!r}, 'a').close(); print({token!r})")
    command = [sys.executable, str(script)]
    store = OwnFileStore(write(path, {"*.h.example": {"Helper": {"command": command}}, "x": {"BearerToken": token}}))
    assert store.keys() == ["*.h.example", "x"]
    assert store.get("*.h.example") == Helper(tuple(command))
    assert store.get("x") == BearerToken(Secret(token))
    assert store.get("y") is None
    assert not ran.exists()
    match = find("https://a.h.example/x", [store])
    assert match is not None
    assert match.credential == BearerToken(Secret(token))
    assert ran.exists()


@pytest.mark.parametrize(
    ("key", "url", "asked"),
    [
        ("*.example.test", "https://a.example.test/chan/x", "https://a.example.test"),
        ("*.example.test", "https://A.Example.test:443/", "https://a.example.test"),
        ("a.example.test", "https://a.example.test:8443/chan", "https://a.example.test:8443"),
        ("a.example.test/my chan", "https://a.example.test/my%20chan/noarch/x", "https://a.example.test/my%20chan"),
        ("bucket", "s3://bucket/a", "s3://bucket"),
    ],
)
def test_a_helper_is_told_which_server_is_meant(path: Path, tmp_path: Path, key: str, url: str, asked: str) -> None:
    """The one of the URL, which a wildcard does not name; with the path of the key, and no more of it."""
    script = tmp_path / "helper.py"
    script.write_text("import json, sys; print(json.dumps({'version': 1, 'token': json.load(sys.stdin)['url']}))")
    store = OwnFileStore(write(path, {key: {"Helper": {"command": [sys.executable, str(script)], "output": "json"}}}))
    match = find(url, [store])
    assert match is not None
    assert match.credential == BearerToken(Secret(asked))


def test_what_is_written_is_read_again(path: Path) -> None:
    """Helpers and credentials alike, beside each other; the file is its owner's alone."""
    store = OwnFileStore(path)
    password = leaks.new_secret("own-password")
    helper = Helper(("gcloud", "auth"), gives="BasicHTTP", username="oauth2accesstoken", timeout=5)
    store.update("h/a", lambda _: helper)
    store.update("h/b", lambda _: Helper(("az",)))
    store.update("h", lambda _: BasicHTTP("ann", Secret(password)))
    leaks.holds_secrets(path)
    again = OwnFileStore(path)
    entries = {"h/a": helper, "h/b": Helper(("az",)), "h": BasicHTTP("ann", Secret(password))}
    assert again.keys() == list(entries)
    assert {key: again.get(key) for key in entries} == entries
    assert json.loads(path.read_text())["h/b"] == {"Helper": {"command": ["az"]}}
    assert again.update("h/a", lambda _: None) is None
    assert OwnFileStore(path).keys() == ["h/b", "h"]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("gcloud", "the value of Helper is an object"),
        ({}, "Helper has no member 'command'"),
        ({"command": "gcloud auth"}, "'command' of Helper is a list of strings: the program first"),
        ({"command": []}, "'command' of Helper is a list of strings"),
        ({"command": ["a\0b"]}, "'command' of Helper is a list of strings"),
        ({"command": ["./here"]}, "begins with the whole path of a program, or with its name alone"),
        ({"command": [""]}, "begins with the whole path of a program, or with its name alone"),
        ({"command": ["x"], "output": "yaml"}, "'output' of Helper is one of token, json, docker"),
        ({"command": ["x"], "kind": "OAuth"}, "'kind' of Helper is one of BearerToken, CondaToken, BasicHTTP"),
        ({"command": ["x"], "kind": "BasicHTTP"}, "'username' of Helper goes with the kind BasicHTTP"),
        ({"command": ["x"], "username": "u"}, "'username' of Helper goes with the kind BasicHTTP"),
        ({"command": ["x"], "timeout": 0}, "'timeout' of Helper is a number of seconds, at most 600"),
        ({"command": ["x"], "timeout": True}, "'timeout' of Helper is a number of seconds"),
        ({"command": ["x"], "timout": 3}, "a Helper has no member 'timout'"),
    ],
)
def test_an_entry_that_describes_no_helper_is_refused_with_its_place(path: Path, payload: object, said: str) -> None:
    """As a mistake anywhere else in the file is."""
    with pytest.raises(CredentialFileError) as caught:
        OwnFileStore(write(path, {"h": {"Helper": payload}}))
    assert f"({path}): line 1, column 2, key 'h': " in caught.value.message
    assert said in caught.value.message
    assert caught.value.hint


def test_a_helper_in_lower_case_is_told_from_an_unknown_kind(path: Path) -> None:
    """A near miss gets the right word."""
    with pytest.raises(CredentialFileError) as caught:
        OwnFileStore(write(path, {"h": {"helper": {"command": ["x"]}}}))
    assert caught.value.hint == "Did you mean 'Helper'?"


def test_the_files_of_rattler_hold_no_helpers(path: Path) -> None:
    """It would refuse the whole file."""
    with pytest.raises(CredentialFileError, match="unknown kind of credential 'Helper'"):
        FileStore(write(path, {"h": {"Helper": {"command": ["x"]}}}), "AUTH")
