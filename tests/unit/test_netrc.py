"""netrc: whose password a host gets, which files are passed over, and what is said of those."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest

import leaks
from keelback.credentials import modes, netrcfile
from keelback.credentials.kinds import BasicHTTP
from keelback.credentials.netrcfile import NetrcStore
from keelback.credentials.paths import netrc_file
from keelback.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process says only once has not been said yet."""
    monkeypatch.setattr(netrcfile, "_told", set())
    monkeypatch.setattr(modes, "_warned_of", set())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the netrc file of a test goes."""
    return tmp_path / "netrc"


def store(path: Path, content: str | bytes, *, named: bool = False) -> NetrcStore:
    """The store of a file with that content, which only its owner can read."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    return NetrcStore(path, "NETRC", named=named)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def basic(username: str, password: str) -> BasicHTTP:
    """A name and a password."""
    return BasicHTTP(username, Secret(password))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("machine h login u password p", ("u", "p")),
        ("machine h\r\n\tlogin u\r\n\tpassword p\r\n", ("u", "p")),
        ("machine h password p", ("", "p")),
        ("machine h login u", ("u", "")),
        ("machine h login u account a password p", ("u", "p")),
        ("machine h login login password machine", ("login", "machine")),
        ("machine h login u password #p", ("u", "#p")),
        ("machine h login u password a\\b", ("u", "a\\b")),
        ('machine h login u password a"b', ("u", 'a"b')),
        ('machine h login u password "half', ("u", '"half')),
        ("machine h login u password pä", ("u", "pä")),
        ("machine h login a password b\nmachine h login u", ("u", "")),
        ("default login d password e", None),
        ("default login d password e machine h login u password p", ("u", "p")),
        ("machine H login u password p", None),
        ("macdef init\nls\nmachine h\n\nmachine h login u password p", ("u", "p")),
        ("machine h login u password p\nmacdef init\nls", ("u", "p")),
        ("machine h login u password p macdef init\r\nls\r\n\r\nmachine other", ("u", "p")),
        ("", None),
    ],
)
def test_a_host_gets_what_rattler_would_give_it(
    path: Path, caplog: pytest.LogCaptureFixture, content: str, expected: tuple[str, str] | None
) -> None:
    """Exact hosts, the last entry of each, any layout; ``default`` and macros count for nothing."""
    assert store(path, content).get("h") == (None if expected is None else basic(*expected))
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# mine\n\n#another\nmachine h login u password p # here, too\n#end", ("u", "p")),
        ('machine h login u password "a b"', ("u", "a b")),
        (r'machine h login "u" password "a\"b\\c"', ("u", 'a"b\\c')),
        ("machine h user u password p", ("u", "p")),
        (b"\xef\xbb\xbfmachine h login u password p", ("u", "p")),
    ],
)
def test_what_curl_and_python_understand_is_understood(
    path: Path, caplog: pytest.LogCaptureFixture, content: str | bytes, expected: tuple[str, str]
) -> None:
    """Comments, quotes, ``user``, a byte order mark: rattler would drop the file, or send the quotes."""
    assert store(path, content).get("h") == basic(*expected)
    assert warnings(caplog) == []


def test_all_hosts_are_listed_in_the_order_of_the_file(path: Path) -> None:
    """``auth status`` shows them so."""
    assert store(path, "machine b login u machine a password p default login d").keys() == ["b", "a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("machine h login u password {}\nmachine\n", "line 2: the file ends after 'machine'"),
        ("machine h\n login u\n password {}\n\n password", "line 5: the file ends after 'password'"),
        ("login u password {}", "line 1: 'login' stands before the first 'machine'"),
        ("machine h login u password a {}", "line 1: a word stands there that netrc files do not have"),
        ("machine h port 80 login u password {}", "line 1: a word stands there that netrc files do not have"),
        (b"machine h login u\npassword \xff", "line 2: not UTF-8"),
        (b"# " + b"x" * (1 << 20), "larger than 1 MiB, which no netrc file is"),
    ],
)
def test_a_malformed_file_is_an_empty_store_and_said_once_without_a_word_of_it(
    path: Path, caplog: pytest.LogCaptureFixture, content: str | bytes, said: str
) -> None:
    """File and line, and nothing that could be a password."""
    if isinstance(content, str):
        content = content.format(leaks.new_secret("netrc"))
    for _ in range(2):
        assert store(path, content).keys() == []
    assert warnings(caplog) == [f"NETRC: {said}; nothing of this file is used"]


def test_a_missing_file_is_worth_a_word_only_where_it_was_named(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Few people have a netrc file."""
    assert NetrcStore(path, "netrc", named=False).get("h") is None
    assert warnings(caplog) == []
    assert NetrcStore(path, "NETRC", named=True).get("h") is None
    assert warnings(caplog) == ["NETRC: there is no such file, and nothing is read in its place"]


def test_a_file_that_cannot_be_read_is_an_empty_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A directory, say; there is no traceback."""
    assert NetrcStore(tmp_path, "netrc", named=False).keys() == []
    (said,) = warnings(caplog)
    assert said.startswith("netrc: cannot be read (")


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have modes")
def test_a_file_that_others_can_read_is_warned_of_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the command that mends it; the password is used all the same."""
    password = leaks.new_secret("netrc")
    found = store(path, f"machine h login u password {password}")
    path.chmod(0o644)
    assert found.get("h") == basic("u", password)
    assert NetrcStore(path, "netrc", named=False).get("h") is not None
    assert warnings(caplog) == [f"NETRC can be read by other users of this machine; close it with: chmod 600 {path}"]


def test_the_file_is_read_when_it_is_asked_for(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run that finds its credential elsewhere does not hear of it."""
    store(path, "garbage")
    assert warnings(caplog) == []


def test_the_variable_goes_before_the_home_directory(tmp_path: Path) -> None:
    """And an empty one means none, as for rattler and requests."""
    usual = tmp_path / ("_netrc" if os.name == "nt" else ".netrc")
    other = tmp_path / "other"
    usual.write_text("machine usual login u")
    other.write_text("machine other login u")
    for file in (usual, other):
        file.chmod(0o600)

    def hosts(environ: dict[str, str], home: Path | None = tmp_path) -> list[str] | None:
        file = netrc_file(environ, home)
        return None if file is None else list(NetrcStore(file, "netrc", named=False).keys())

    assert hosts({}) == ["usual"]
    assert hosts({"NETRC": str(other)}) == ["other"]
    assert hosts({"NETRC": ""}) is None
    assert hosts({}, None) is None


def test_nothing_shows_a_password(path: Path) -> None:
    """Neither the store nor an entry prints it."""
    found = store(path, f"machine h login u password {leaks.new_secret('netrc')}")
    leaks.check(f"{found!r} {found.get('h')!r} {found.name}", "a repr")
