"""``keelback auth status``: every entry of every store, what wins, what expires, what nobody can match."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

import leaks
from cli_runner import run_keelback
from keelback.credentials.opening import default_stores
from keelback.diagnosis.stores import open_stores

if TYPE_CHECKING:
    from pathlib import Path

NO_KEYCHAIN = {"KEELBACK_NO_KEYCHAIN": "1"}


def write(path: Path, content: object, mode: int = 0o600) -> Path:
    """A file with secrets in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return leaks.holds_secrets(path)


def bearer(label: str = "token") -> dict[str, str]:
    """A credential."""
    return {"BearerToken": leaks.new_secret(label)}


def status(home: Path, *args: str, exit_status: int = 0, **variables: str):
    """The document of ``keelback auth status --json``."""
    done = run_keelback(["auth", "status", "--json", *args], home=home, env={**NO_KEYCHAIN, **variables})
    assert (done.returncode, done.stderr) == (exit_status, "")
    return done.json()


def entries(document) -> dict[str, dict]:
    """All entries of all stores, by key."""
    return {entry["key"]: entry for store in document["stores"] for entry in store["entries"]}


def codes(entry) -> list[str]:
    """The codes of what is wrong with an entry."""
    return [finding["code"] for finding in entry["findings"]]


def jwt(expires: int) -> str:
    """A JSON Web Token that expires; nobody checks its signature."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"e30.{claims}.{leaks.new_secret('signature')}"


def test_every_store_is_listed_in_the_order_of_the_lookup(tmp_path: Path):
    """Named file, keychain, default file, netrc, own file, anaconda login: what is not there is named as well."""
    auth = write(tmp_path / "auth.json", {"prefix.dev": bearer()})
    stores = status(tmp_path, RATTLER_AUTH_FILE=str(auth))["stores"]
    names = [store["name"].partition(" (")[0] for store in stores]
    assert names == [
        "RATTLER_AUTH_FILE",
        "the keychain",
        "default auth file",
        "netrc",
        "keelback's own file",
        "anaconda login",
    ]
    assert [store["state"] for store in stores][:4] == ["ok", "off", "absent", "absent"]
    assert stores[1]["why"] == "KEELBACK_NO_KEYCHAIN"


def test_on_a_new_machine_it_says_how_to_begin(tmp_path: Path):
    """And of every store that it is not there."""
    document = status(tmp_path)
    assert {store["state"] for store in document["stores"]} == {"off", "absent"}
    text = run_keelback(["auth", "status"], home=tmp_path).stdout
    assert text.endswith("No credentials yet. Log in with: keelback auth login HOST\n")


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems have a keychain")
def test_a_machine_without_a_keychain_has_none_rather_than_one_that_is_silent(tmp_path: Path):
    """As in a container."""
    nowhere = {"KEELBACK_NO_KEYCHAIN": "", "DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path / 'no-bus'}"}
    assert status(tmp_path, **nowhere)["stores"][0]["state"] == "absent"
    text = run_keelback(["auth", "status"], home=tmp_path, env=nowhere).stdout
    assert text.startswith("1. the keychain: none on this machine (there is no session bus")


def test_the_order_is_that_of_the_lookup_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is listed first is what ``find`` looks in first."""
    auth = write(tmp_path / "auth.json", {"prefix.dev": bearer()})
    environ = {"RATTLER_AUTH_FILE": str(auth)}
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    looked = [store.name for store in default_stores(None, environ, tmp_path)]
    assert [opened.name for opened in open_stores(None, environ, tmp_path, keychain=True)] == looked


def test_all_kinds_are_shown_by_the_names_of_rattler_and_without_their_secrets(tmp_path: Path):
    """The runner fails this test where a secret is printed; the user name is none."""
    token = leaks.new_secret("various")
    write(
        tmp_path / ".rattler" / "credentials.json",
        {
            "a.example.com": {"BearerToken": token},
            "b.example.com": {"BasicHTTP": {"username": "ann", "password": token}},
            "c.example.com": {"CondaToken": token},
            "bucket": {"S3Credentials": {"access_key_id": "AK", "secret_access_key": token}},
            "d.example.com": {"OAuth": {"access_token": token, "token_endpoint": "https://d", "client_id": "x"}},
        },
    )
    found = entries(status(tmp_path))
    assert {key: entry["kind"] for key, entry in found.items()} == {
        "a.example.com": "BearerToken",
        "b.example.com": "BasicHTTP",
        "c.example.com": "CondaToken",
        "bucket": "S3",
        "d.example.com": "OAuth",
    }
    assert found["b.example.com"]["username"] == "ann"
    assert found["bucket"]["serves"] == "the bucket bucket"


def test_an_entry_that_is_never_reached_names_the_store_that_takes_precedence(tmp_path: Path):
    """The same key in two stores: the first one wins."""
    auth = write(tmp_path / "auth.json", {"prefix.dev": bearer()})
    write(tmp_path / ".rattler" / "credentials.json", {"prefix.dev": bearer("second")})
    first, _, second, *_ = status(tmp_path, RATTLER_AUTH_FILE=str(auth))["stores"]
    assert first["entries"][0]["shadowed_by"] is None
    assert second["entries"][0]["shadowed_by"] == first["name"]


def test_a_wildcard_names_the_nearer_keys_that_take_precedence(tmp_path: Path):
    """Keys are tried before stores: an exact host in the last store wins over a wildcard in the first."""
    auth = write(tmp_path / "auth.json", {"*.example.com": bearer()})
    password = leaks.new_secret("netrc")
    write(tmp_path / ".netrc", f"machine repo.example.com login ann password {password}\n")
    entry = entries(status(tmp_path, RATTLER_AUTH_FILE=str(auth)))["*.example.com"]
    assert codes(entry) == ["nearer-key"]
    assert "repo.example.com" in entry["findings"][0]["message"]


def test_what_only_keelback_reads_comes_after_all_that_rattler_finds(tmp_path: Path):
    """A wildcard of rattler's takes precedence over the exact host of a token that ``anaconda login`` saved."""
    auth = write(tmp_path / "auth.json", {"*.anaconda.org": {"CondaToken": leaks.new_secret("rattler")}})
    saved = tmp_path / "binstar" / "data" / "https%3A%2F%2Fapi.anaconda.org.token"
    write(saved, leaks.new_secret("anaconda"))
    document = status(tmp_path, RATTLER_AUTH_FILE=str(auth), BINSTAR_CONFIG_DIR=str(tmp_path / "binstar"))
    found = entries(document)
    assert found["*.anaconda.org"]["shadowed_by"] is None
    assert found["api.anaconda.org"]["shadowed_by"] == f"key '*.anaconda.org' of RATTLER_AUTH_FILE ({auth})"


def test_what_expires_says_when_and_what_has_expired_says_how_to_log_in(tmp_path: Path):
    """OAuth by its expires_at, a JSON Web Token by its exp; with a refresh token it renews itself."""
    now = int(time.time())
    token = leaks.new_secret("oauth")
    plain = {"access_token": token, "token_endpoint": "https://x", "client_id": "x"}
    auth = write(
        tmp_path / "auth.json",
        {
            "a.example.com": {"OAuth": {**plain, "expires_at": now - 90000}},
            "b.example.com": {"OAuth": {**plain, "expires_at": now - 90000, "refresh_token": token}},
            "c.example.com": {"OAuth": {**plain, "expires_at": now + 3 * 3600 + 60}},
            "d.example.com": {"BearerToken": jwt(now - 7300)},
        },
    )
    found = entries(status(tmp_path, "--auth-file", str(auth)))
    assert [codes(entry) for entry in found.values()] == [["expired"], [], [], ["expired"]]
    assert found["b.example.com"]["renews"]
    text = run_keelback(["auth", "status", "--auth-file", auth], home=tmp_path).stdout
    assert "a.example.com: OAuth, expired 1 day ago" in text
    assert "b.example.com: OAuth, renews itself when it is next used" in text
    assert "c.example.com: OAuth, expires in 3 hours" in text
    assert "Log in again with: keelback auth login d.example.com." in text


def test_keys_that_nobody_can_match_come_with_the_key_that_would_work(tmp_path: Path):
    """A port, a scheme, a path, upper case; and a wildcard that serves half of the internet."""
    keys = ["localhost:8080", "https://example.com", "example.com/chan", "Example.org", "*.dev"]
    auth = write(tmp_path / "auth.json", {key: bearer() for key in keys})
    found = entries(status(tmp_path, "--auth-file", str(auth)))
    assert [codes(found[key])[0] for key in keys] == ["dead-key"] * 4 + ["broad-key"]
    assert [found[key]["serves"] for key in keys] == [None] * 4 + ["dev and every host under it"]
    assert found["localhost:8080"]["findings"][0]["hint"] == "Write 'localhost' in its place."


def test_a_malformed_file_is_named_with_its_line_and_hides_no_other_store(tmp_path: Path):
    """Exit status 3, and the other stores all the same."""
    auth = write(tmp_path / "auth.json", '{\n  "prefix.dev": {"BearerToken": "x",}\n}')
    write(tmp_path / ".rattler" / "credentials.json", {"example.com": bearer()})
    document = status(tmp_path, exit_status=3, RATTLER_AUTH_FILE=str(auth))
    assert document["stores"][0]["state"] == "broken"
    assert "line 2, column" in document["stores"][0]["findings"][0]["message"]
    assert "example.com" in entries(document)


def test_a_named_file_that_is_missing_is_broken(tmp_path: Path):
    """Whoever names a file wants it read."""
    document = status(tmp_path, exit_status=3, RATTLER_AUTH_FILE=str(tmp_path / "nowhere.json"))
    assert document["stores"][0]["state"] == "broken"
    assert "no such file" in document["stores"][0]["why"]


def test_a_token_that_cannot_be_one_spoils_its_own_entry_only(tmp_path: Path):
    """Quotes around it are the usual reason."""
    quoted = {"BearerToken": f'"{leaks.new_secret("quoted")}"'}
    auth = write(tmp_path / "auth.json", {"a.example.com": quoted, "b.example.com": bearer()})
    found = entries(status(tmp_path, "--auth-file", str(auth)))
    assert codes(found["a.example.com"]) == ["bad-token"]
    assert found["b.example.com"]["kind"] == "BearerToken"


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems tell who may read a file")
def test_a_file_that_others_can_read_comes_with_the_command_that_closes_it(tmp_path: Path):
    """It is a warning of the store, and printed once."""
    auth = write(tmp_path / "auth.json", {"a.example.com": bearer()}, mode=0o644)
    done = run_keelback(["auth", "status"], home=tmp_path, env={**NO_KEYCHAIN, "RATTLER_AUTH_FILE": str(auth)})
    assert done.stdout.count(f"chmod 600 {auth}") == 1
    assert done.stderr == ""


def test_variables_that_take_precedence_over_the_stores_and_files_that_nobody_reads_are_listed(tmp_path: Path):
    """A variable by its name alone."""
    write(tmp_path / ".rattler" / "rattler_auth_store.json", {"prefix.dev": bearer()})
    document = status(tmp_path, PREFIX_API_KEY=leaks.new_secret("variable"))
    assert document["variables"] == [{"name": "PREFIX_API_KEY", "for": "prefix.dev"}]
    assert [finding["code"] for finding in document["findings"]] == ["unread-file"]


def test_a_helper_is_listed_and_not_run(tmp_path: Path):
    """Listing has no effects."""
    mark = tmp_path / "it-ran"
    command = ["python3", "-c", f"open({str(mark)!r}, 'w')"]
    own = write(tmp_path / "own.json", {"example.com/chan": {"Helper": {"command": command}}})
    entry = entries(status(tmp_path, KEELBACK_CREDENTIALS_FILE=str(own)))["example.com/chan"]
    assert (entry["kind"], entry["serves"]) == ("Helper", "example.com/chan and what is under it")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"GITHUB_ACTIONS": "true"}, "GitHub Actions"),
        ({"GITLAB_CI": "true"}, "GitLab CI"),
        ({"CI": "true"}, None),
    ],
)
def test_the_ci_system_that_offers_identities_is_named_and_not_asked(
    tmp_path: Path, variables: dict[str, str], name: str | None
):
    """In one line; a job without the permission is named, too, for nothing is sent to find out."""
    nowhere = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x" * 8}
    assert status(tmp_path, **variables, **nowhere)["ci_system"] == name
    text = run_keelback(["auth", "status"], home=tmp_path, env={**variables, **nowhere}).stdout
    assert text.count("CI system: ") == (name is not None)
    assert text.startswith(f"CI system: {name};") == (name is not None)
    assert ("auth login HOST" in text) == (name is None)
