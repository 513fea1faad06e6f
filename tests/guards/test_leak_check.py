"""The guards of the test run work: the leak check, the plain environment, the closed network.

A check that cannot fail would be no check.
"""

from __future__ import annotations

import base64
import html
import json
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

import leaks
from cli_runner import run_keelback

SPELLINGS = {
    "plain": str,
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "form-encoded": quote_plus,
    "JSON": json.dumps,
    "repr": repr,
    "HTML": html.escape,
    "upper case": str.upper,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "Basic, user of 1": lambda secret: base64.b64encode(f"u:{secret}".encode()).decode(),
    "Basic, user of 2": lambda secret: base64.b64encode(f"us:{secret}".encode()).decode(),
    "Basic, user of 3": lambda secret: base64.b64encode(f"use:{secret}".encode()).decode(),
    "cut short": lambda secret: secret[:-6],
    "its end only": lambda secret: secret[-12:],
    "wrapped": lambda secret: "\n    ".join(textwrap.wrap(secret, 10)),
    "coloured": lambda secret: f"{secret[:15]}\x1b[31m{secret[15:]}",
    "bytes": lambda secret: repr(secret.encode()),
}

PARTIAL = {"upper case", "HTML", "cut short", "its end only"}
"""Spellings in which only the random runs of a test's own secret can be found."""


@pytest.mark.parametrize("special", [False, True], ids=["simple", "special"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_secret_is_found(spelling, special):
    """A secret is found however it is spelt, named by its label, and gone from the masked text."""
    text = f"before {SPELLINGS[spelling](leaks.new_secret('spelt', special=special))} after"
    found, rest = leaks.find(text), leaks.find(leaks.masked(text))
    assert (found, rest) == (["spelt"], [])


def test_text_without_a_secret_is_left_alone():
    """Hashes, base64 and prose are not taken for secrets."""
    text = f"sha256 {'0123456789abcdef' * 4}, {base64.b64encode(bytes(range(200))).decode()} and some words\n"
    assert leaks.find(text) == []
    assert leaks.masked(text) == text


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if name not in PARTIAL])
def test_a_watched_secret_of_another_program_is_found(spelling):
    """A secret that a real server made is searched for as a whole."""
    secret = leaks.watch("Zq8" + "x&/" + "-made-by-somebody-else", "foreign")
    assert leaks.find(SPELLINGS[spelling](secret)) == ["foreign"]


def test_check_names_the_label_and_the_place_and_not_the_secret():
    """The accusation can be printed without leaking."""
    secret = leaks.new_secret("accused")
    with pytest.raises(AssertionError, match="'accused' can be read in a log") as caught:
        leaks.check(f"x{secret}".encode(), "a log")
    assert leaks.find(str(caught.value)) == []


def test_files_are_searched_unless_they_hold_secrets_on_purpose(tmp_path):
    """Logs, JSON and texts are searched; auth files that were named as such are not."""
    (tmp_path / "deep").mkdir()
    written = [tmp_path / name for name in ("a.log", "deep/b.json", "c.txt", "d.out", "e.conda")]
    for path in written:
        path.write_text(leaks.new_secret("written"))
    leaks.holds_secrets(tmp_path / "c.txt")
    wrong = leaks.check_files(tmp_path)
    assert [sentence.rpartition(" ")[2] for sentence in wrong] == ["a.log", "d.out", "deep/b.json"]
    for path in written:
        path.unlink()  # or this session's own search would find them


LEAKING_TESTS = """
import logging, sys
import leaks, pytest

def test_clean(tmp_path):
    print("nothing", leaks.new_secret("unused")[:5])

def test_prints():
    print(leaks.new_secret("printed"))

def test_prints_to_stderr():
    sys.stderr.write(leaks.new_secret("stderr"))

def test_logs():
    logging.getLogger("keelback.transport").debug("sending %s", leaks.new_secret("logged"))

@pytest.fixture
def talkative():
    yield
    print(leaks.new_secret("torn-down"))

def test_fixture_prints(talkative):
    pass

def test_raises():
    raise RuntimeError(leaks.new_secret("raised"))

@pytest.mark.xfail
def test_expected_failure():
    raise RuntimeError(leaks.new_secret("expected"))

def test_skips():
    pytest.skip(leaks.new_secret("skipping"))

def test_takes_the_output(capsys):
    print(leaks.new_secret("taken"))
    capsys.readouterr()
"""
LEAKING_FILE = """
import leaks

def test_leaves_a_log(tmp_path):
    (tmp_path / "run.log").write_text(leaks.new_secret("left-behind"))

def test_leaves_an_auth_file(tmp_path):
    leaks.holds_secrets(tmp_path / "auth.json").write_text(leaks.new_secret("on-purpose"))
"""


@pytest.fixture
def run_pytest(tmp_path):
    """Runs pytest in a process of its own on the text of a test file, with this conftest; gives its output."""
    tests = Path(leaks.__file__).parent

    def run(text, *options):
        (tmp_path / "test_leaking.py").write_text(text)
        (tmp_path / "conftest.py").write_text((tests / "conftest.py").read_text())
        (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {tests}\n")
        command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["alone", "xdist"])
def test_a_test_that_leaks_fails(run_pytest, options):
    """Output, logs, fixtures, failure texts, skips, expected failures: each fails by label, and no secret is shown."""
    returncode, output = run_pytest(LEAKING_TESTS, *options)
    assert returncode == 1
    assert "7 failed, 2 passed, 1 error" in output
    for label in ("printed", "stderr", "logged", "torn-down", "raised", "expected", "skipping", "taken"):
        assert f"the secret(s) '{label}' can be read in" in output
    assert "kbsec-" not in output.replace(LEAKING_TESTS, "")


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["alone", "xdist"])
def test_a_file_that_leaks_fails_the_run(run_pytest, options):
    """At the end of the session the files that tests left are searched, but for those that hold secrets on purpose."""
    returncode, output = run_pytest(LEAKING_FILE, *options)
    assert returncode == 1
    assert "'left-behind' can be read in the file" in output
    assert "on-purpose" not in output


FAKE_KEELBACK = """
import os, sys
print(os.environ.get("SHOWN", "nothing"), "on stdout")
print(os.environ.get("SHOWN_TOO", "nothing"), "on stderr", file=sys.stderr)
print(sorted(os.environ.keys() & {"CI", "QUETZ_API_KEY", "https_proxy", "RATTLER_AUTH_FILE"}), sys.stdin.read())
sys.exit(7)
"""


@pytest.fixture
def fake_keelback(tmp_path):
    """The environment in which ``python -m keelback`` says what this file tells it to."""
    (tmp_path / "keelback").mkdir()
    (tmp_path / "keelback" / "__init__.py").touch()
    (tmp_path / "keelback" / "__main__.py").write_text(FAKE_KEELBACK)
    return {"PYTHONPATH": str(tmp_path)}


def test_a_run_of_keelback_is_plain(fake_keelback, monkeypatch):
    """A run has nothing of the tests' environment, an empty home, and only the input it is given."""
    for name in ("CI", "QUETZ_API_KEY", "https_proxy", "RATTLER_AUTH_FILE"):
        monkeypatch.setenv(name, "set")
    done = run_keelback([], env=fake_keelback, input="what it reads")
    assert (done.returncode, done.stderr) == (7, "nothing on stderr\n")
    assert done.stdout == "nothing on stdout\n[] what it reads\n"
    assert list(done.home.iterdir()) == []


@pytest.mark.parametrize(("variable", "stream"), [("SHOWN", "stdout"), ("SHOWN_TOO", "stderr")])
def test_a_run_of_keelback_that_leaks_fails(fake_keelback, variable, stream):
    """Both streams of a run are searched before the test sees them."""
    with pytest.raises(AssertionError, match=f"'run' can be read in keelback's {stream}"):
        run_keelback([], env={**fake_keelback, variable: leaks.new_secret("run")})


def test_tests_reach_nothing_but_loopback():
    """No name is looked up and no connection made beyond this machine; reserved names fail as they do everywhere."""
    with pytest.raises(BaseException, match="wanted to look up"):
        socket.getaddrinfo("keelback.dev", 443)
    with socket.socket() as sock, pytest.raises(BaseException, match="wanted to connect to"):
        sock.connect(("192.0.2.1", 443))
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("nowhere.invalid", 443)


HIDDEN = (
    "CI",
    "GITHUB_ACTIONS",
    "HTTPS_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "RATTLER_AUTH_FILE",
    "MY_API_KEY",
    "NETRC",
)


def test_tests_do_not_see_what_programs_listen_to(run_pytest, monkeypatch):
    """Variables that change what keelback does are hidden around each test, and home is an empty folder."""
    for name in HIDDEN:
        monkeypatch.setenv(name, "1")
    text = f"""
import os, pathlib, pytest
@pytest.mark.parametrize("turn", [1, 2])
def test_environment(turn, monkeypatch):
    assert not os.environ.keys() & set({HIDDEN!r})
    assert os.environ["KEELBACK_PACKAGES"] == "kept"
    assert list(pathlib.Path.home().iterdir()) == []
    os.environ["CI"] = "left behind by a test"
"""
    monkeypatch.setenv("KEELBACK_PACKAGES", "kept")
    returncode, output = run_pytest(text)
    assert (returncode, "2 passed" in output) == (0, True), output


@pytest.mark.parametrize(("required", "result"), [("", "1 skipped"), ("0", "1 skipped"), ("1", "1 failed")])
def test_a_peer_that_cannot_be_had_is_skipped_or_fails_where_it_is_required(run_pytest, monkeypatch, required, result):
    """Elsewhere a missing peer is a skip with its reason; where peers are required it is a failure."""
    monkeypatch.setenv("KEELBACK_REQUIRE_PEERS", required)
    text = "def test_peer(require_peer):\n    require_peer('quetz', False, 'not installed')\n"
    _, output = run_pytest(text)
    assert result in output
    assert "quetz cannot be had: not installed" in output
