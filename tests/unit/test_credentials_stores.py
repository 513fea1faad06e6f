"""The auth file as a store of credentials: what is read from it, and what is said of one that cannot be."""

from __future__ import annotations

import codecs
import json
import os
import traceback
from pathlib import Path

import pytest

import leaks
from keelback.credentials.authfile import FileStore
from keelback.credentials.kinds import BasicHTTP, BearerToken
from keelback.errors import CredentialFileError
from keelback.secret import Secret

TOKEN = leaks.watch("kbt-7Hs2-filetoken", "stores")


def write(path: Path, content: str | bytes) -> Path:
    """An auth file that only its owner can read."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    return leaks.holds_secrets(path)


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    """Where the auth file of a test goes."""
    return tmp_path / "auth.json"


def refusal(path: Path, content: str | bytes) -> CredentialFileError:
    """How a file of that content is refused; it never shows the token, not even in a traceback."""
    with pytest.raises(CredentialFileError) as caught:
        FileStore(write(path, content), "AUTH")
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert TOKEN not in caught.value.hint
    assert caught.value.exit_status == 3
    return caught.value


def test_a_file_is_a_store_by_exact_key(auth_file: Path) -> None:
    """Keys are plain strings: found as written, and in no other way."""
    content = {"*.prefix.dev": {"BearerToken": TOKEN}, "a.b": {"BasicHTTP": {"username": "u", "password": "p"}}}
    store = FileStore(write(auth_file, json.dumps(content)), "AUTH")
    assert store.name == "AUTH"
    assert store.keys() == ["*.prefix.dev", "a.b"]
    assert store.get("*.prefix.dev") == BearerToken(Secret(TOKEN))
    assert store.get("a.b") == BasicHTTP("u", Secret("p"))
    assert store.get("prefix.dev") is None
    assert store.get("A.B") is None
    assert TOKEN not in repr(store)


def test_a_file_is_read_once(auth_file: Path) -> None:
    """What a run began with is what it ends with."""
    store = FileStore(write(auth_file, json.dumps({"a": {"BearerToken": TOKEN}})), "AUTH")
    auth_file.unlink()
    assert store.get("a") == BearerToken(Secret(TOKEN))


@pytest.mark.parametrize(
    "content",
    [
        '{\r\n  "a": {\r\n    "BearerToken": "x"\r\n  }\r\n}\r\n',
        ' \n\t{"a":{"BearerToken":"x"}}',
        '{"\\u0061": {"BearerToken": "\\u0078"}}',
    ],
)
def test_json_may_be_written_in_any_way(auth_file: Path, content: str) -> None:
    """Windows line ends, space anywhere, escapes: it is the same file."""
    assert FileStore(write(auth_file, content), "AUTH").get("a") == BearerToken(Secret("x"))


@pytest.mark.parametrize("content", ["{}", " {\r\n} "])
def test_a_file_may_have_no_keys(auth_file: Path, content: str) -> None:
    """An empty object is an empty store."""
    assert FileStore(write(auth_file, content), "AUTH").keys() == []


def test_a_file_that_nobody_named_may_be_missing(auth_file: Path) -> None:
    """The default file need not exist."""
    assert FileStore(auth_file, "AUTH").keys() == []


@pytest.mark.parametrize(("path", "hint"), [("none.json", "Is the path right?"), ("~/none.json", "'~'")])
def test_a_file_that_was_named_has_to_be_there(path: str, hint: str) -> None:
    """With rattler a missing file is an empty one, and the upload then fails with 401; here it is said."""
    with pytest.raises(CredentialFileError, match=r"AUTH: no such file\.") as caught:
        FileStore(Path(path), "AUTH", required=True)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "AUTH: line 1, column 1: the file is empty."),
        ("\n \n", "AUTH: line 1, column 1: the file is empty."),
        ("[]", "AUTH: line 1, column 1: the file does not begin with '{': it has to hold one object."),
        (f'["{TOKEN}"]', "AUTH: line 1, column 1: the file does not begin with '{': it has to hold one object."),
        (f'\n  "{TOKEN}"', "AUTH: line 2, column 3: the file does not begin with '{': it has to hold one object."),
        (TOKEN, "AUTH: line 1, column 1: the file does not begin with '{': it has to hold one object."),
        (f'{{"a" {{"BearerToken": "{TOKEN}"}}}}', "AUTH: line 1, column 6: ':' is expected after a key."),
        (f"{{'a': {{'BearerToken': '{TOKEN}'}}}}", "AUTH: line 1, column 2: a key in double quotes is expected here."),
        (
            f'{{\n  "a": {{"BearerToken": "{TOKEN}"}}\n  "b": {{}}\n}}',
            "AUTH: line 3, column 3: ',' or '}' is expected after a value.",
        ),
        (
            f'{{\r\n"a": {{"BearerToken": "{TOKEN}"}},\r\n}}',
            "AUTH: line 3, column 1: a key in double quotes is expected here.",
        ),
        (f'{{"a": {{"BearerToken": "{TOKEN}"}}', "AUTH: line 1, column 44: ',' or '}' is expected after a value."),
        (f'{{"a": {{"BearerToken": "{TOKEN}', "AUTH: line 1, column 23: not JSON: unterminated string starting."),
        (f'{{"a": {{"BearerToken": "{TOKEN}\n"}}}}', "AUTH: line 1, column 42: not JSON: invalid control character."),
        (f'{{"a": {{"BearerToken": {TOKEN}}}}}', "AUTH: line 1, column 23: not JSON: expecting value."),
        (
            f'{{}}\n{{"a": "{TOKEN}"}}',
            "AUTH: line 2, column 1: there is something after the end of the object.",
        ),
        ('{"a": NaN}', "AUTH: line 1, column 7: NaN is not JSON."),
        ('{"a": ' + "9" * 5000 + "}", "AUTH: line 1, column 7: a number is too long."),
        ('{"a": ' + "[" * 100_000, "AUTH: line 1, column 7: this is nested too deeply."),
        (
            '{"a": {"BasicHTTP": {"username": "u", "username": "v", "password": "p"}}}',
            "AUTH: line 1, column 7: a member is there twice in this object.",
        ),
    ],
)
def test_what_is_not_json_is_placed(auth_file: Path, content: str, message: str) -> None:
    """A file that is no JSON object is refused with line and column."""
    error = refusal(auth_file, content)
    assert error.message == message
    assert error.hint == 'An auth file looks like {"prefix.dev": {"BearerToken": "..."}}.'
    assert error.code == "bad-credential-file"


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        (f'"{TOKEN}"', "a credential is an object that names its kind, not a string.", "prefix.dev"),
        (f'{{"Bearer": "{TOKEN}"}}', "unknown kind of credential 'Bearer'.", "BearerToken, BasicHTTP, CondaToken"),
        (f'{{"condatoken": "{TOKEN}"}}', "unknown kind of credential 'condatoken'.", "Did you mean 'CondaToken'?"),
        (
            f'{{"BasicHTTP": {{"username": "u", "pasword": "{TOKEN}"}}}}',
            "BasicHTTP has no member 'password'.",
            "Is 'pasword' meant to be 'password'?",
        ),
        (f'{{"BearerToken": ["{TOKEN}"]}}', "the value of BearerToken is a string, not a list.", ""),
        (
            f'{{"BearerToken": "{TOKEN}", "CondaToken": "{TOKEN}"}}',
            "a credential has exactly one member, its kind; this one has 2 members.",
            "prefix.dev",
        ),
    ],
)
def test_a_malformed_entry_is_named_by_place_and_key(auth_file: Path, value: str, message: str, hint: str) -> None:
    """One bad entry spoils the file, as for rattler; line, column and key say which, and no value is shown."""
    error = refusal(auth_file, f'{{\n  "fine": {{"BearerToken": "x"}},\n    "*.a.b": {value}\n}}')
    assert error.message == f"AUTH: line 3, column 5, key '*.a.b': {message}"
    assert hint in error.hint
    assert error.code == "bad-credential-file"


def test_a_key_may_not_be_there_twice(auth_file: Path) -> None:
    """Which one would count is no question that should come up."""
    entry = f'"a": {{"BearerToken": "{TOKEN}"}}'
    assert refusal(auth_file, f"{{{entry},\n {entry}}}").message == (
        "AUTH: line 2, column 2, key 'a': this key is there twice."
    )


def test_a_byte_order_mark_is_named_with_the_way_out(auth_file: Path) -> None:
    """What a Windows editor calls UTF-8 may be UTF-8 with BOM, which rattler does not read either."""
    error = refusal(auth_file, codecs.BOM_UTF8 + b'{"a": {"BearerToken": "x"}}')
    assert "line 1, column 1: the file begins with a byte order mark (BOM)" in error.message
    assert "Save it as 'UTF-8'" in error.hint


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_named(auth_file: Path, encoding: str) -> None:
    """PowerShell's > writes UTF-16."""
    error = refusal(auth_file, ("\ufeff" + f'{{"a": {{"BearerToken": "{TOKEN}"}}}}').encode(encoding))
    assert "the file is UTF-16, not UTF-8" in error.message


def test_bytes_that_are_not_utf_8_are_placed(auth_file: Path) -> None:
    """The column counts characters, not bytes."""
    error = refusal(auth_file, '{\n"ä": "'.encode() + b"\xe4" + TOKEN.encode() + b'"}')
    assert error.message == "AUTH: line 2, column 7: not UTF-8."


def test_a_token_that_can_be_none_waits_until_it_is_asked_for(auth_file: Path) -> None:
    """An empty secret of another host, common in CI, hinders nothing; asked for, it says where it stands."""
    content = f'{{"a": {{"BearerToken": ""}},\n "b": {{"CondaToken": "{TOKEN}\\n"}}, "c": {{"BearerToken": "x"}}}}'
    store = FileStore(write(auth_file, content), "AUTH")
    assert store.keys() == ["a", "b", "c"]
    assert store.get("c") == BearerToken(Secret("x"))
    with pytest.raises(CredentialFileError, match=r"^The token from AUTH: line 1, column 2, key 'a' is empty\.$"):
        store.get("a")
    with pytest.raises(CredentialFileError, match="line 2, column 2, key 'b' has a line break in it") as caught:
        store.get("b")
    assert caught.value.code == "bad-token"
    assert TOKEN not in str(caught.value)


def test_a_directory_is_no_auth_file(tmp_path: Path) -> None:
    """Named by mistake, it is called what it is."""
    with pytest.raises(CredentialFileError, match="AUTH: this is a directory, not a file"):
        FileStore(tmp_path, "AUTH")


def test_a_file_below_a_file_cannot_be_read(auth_file: Path) -> None:
    """The system's own words are passed on."""
    with pytest.raises(CredentialFileError, match=r"AUTH: cannot be read: Not a directory\."):
        FileStore(write(auth_file, "{}") / "more.json", "AUTH")


def test_a_path_that_no_system_takes_cannot_be_read() -> None:
    """A NUL in the path is Python's error, and still a credential error."""
    with pytest.raises(CredentialFileError, match="AUTH: cannot be read"):
        FileStore(Path("a\0b"), "AUTH")


def test_a_file_that_may_not_be_read_is_named(auth_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said as it is, with the command that shows why; simulated, as root may read everything."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CredentialFileError, match=r"AUTH: not allowed to read it\.") as caught:
        FileStore(auth_file, "AUTH")
    assert str(auth_file) in caught.value.hint or os.name == "nt"


def test_a_file_of_any_size_is_not_read_into_memory(auth_file: Path) -> None:
    """A package given as auth file by mistake is refused after its first megabyte."""
    with auth_file.open("wb") as file:
        file.truncate((1 << 20) + 1)
    auth_file.chmod(0o600)
    with pytest.raises(CredentialFileError, match="larger than 1 MiB"):
        FileStore(auth_file, "AUTH")


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps permissions elsewhere")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_warned_of(auth_file: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    """It is used all the same; the warning comes once, with the command that closes the file."""
    write(auth_file, "{}").chmod(mode)
    FileStore(auth_file, "AUTH")
    FileStore(auth_file, "AUTH")
    assert caplog.messages == [f"AUTH can be read by other users of this machine; close it with: chmod 600 {auth_file}"]
    assert {record.name for record in caplog.records} == {"keelback.credentials"}


def test_a_file_for_its_owner_alone_is_not_warned_of(auth_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing to say, nothing said."""
    FileStore(write(auth_file, "{}"), "AUTH")
    assert caplog.messages == []
