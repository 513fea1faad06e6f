"""Writing the auth file: nothing is lost, nobody else can read it, and what keelback does not know stays."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from keelback.credentials.authfile import FileStore
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, Credential, OAuth, S3Credentials
from keelback.errors import CredentialFileError, CredentialStoreError
from keelback.secret import Secret
from leaks import new_secret

if TYPE_CHECKING:
    from pathlib import Path

POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")

_WRITER = """
import sys
from pathlib import Path
from keelback.credentials.authfile import FileStore
from keelback.credentials.kinds import BearerToken
from keelback.secret import Secret

for number in range(5):
    store = FileStore(Path(sys.argv[1]), "AUTH")
    token = BearerToken(Secret(f"token-{sys.argv[2]}-{number}"))
    store.update(f"host-{sys.argv[2]}-{number}", lambda _: token)
"""


def secret(name: str) -> Secret:
    """A secret that the leak check watches."""
    return Secret(new_secret(name))


def store_at(path: Path) -> FileStore:
    """The auth file *path* as a store."""
    return FileStore(path, f"AUTH ({path})")


@pytest.mark.parametrize(
    "credential",
    [
        BearerToken(Secret("pfx-a-token")),
        CondaToken(Secret("xy-1234-5678")),
        BasicHTTP("änn", Secret('p"w\\ü')),
        S3Credentials("AKIA", Secret("secret-key-of-s3"), Secret("session-of-s3")),
        S3Credentials("AKIA", Secret("secret-key-of-s3")),
        OAuth(Secret("access-1"), Secret("refresh-1"), 1790000000, "https://h/token", "https://h/revoke", "rattler"),
        OAuth(Secret("access-1"), None, None, "https://h/token", None, "rattler"),
    ],
    ids=lambda credential: credential.kind,
)
def test_every_kind_comes_back_as_it_was_stored(tmp_path: Path, credential: Credential) -> None:
    """What is stored is read by the next run, and by the tools of the rattler family, whose form it has."""
    path = tmp_path / "auth.json"
    assert store_at(path).update("example.com", lambda _: credential) == credential
    assert store_at(path).get("example.com") == credential
    path.unlink()  # these tokens are not made for the leak check


def test_what_is_not_changed_stays_as_it_was_written(tmp_path: Path) -> None:
    """Members that keelback does not know, and tokens that cannot be one, are not its business to mend."""
    path = tmp_path / "auth.json"
    others = {
        "b.example": {"BasicHTTP": {"username": "ann", "password": new_secret("pw"), "note": "of 2021"}},
        "a.example": {"BearerToken": ""},
    }
    path.write_text(json.dumps(others), encoding="utf-8")
    store = store_at(path)
    token = secret("token")
    store.update("new.example", lambda _: BearerToken(token))
    written = json.loads(path.read_text(encoding="utf-8"))
    assert list(written) == ["b.example", "a.example", "new.example"]
    assert {key: written[key] for key in others} == others
    store.update("new.example", lambda _: None)
    assert json.loads(path.read_text(encoding="utf-8")) == others
    assert list(store.keys()) == list(others)
    path.unlink()


@POSIX
def test_only_the_owner_can_read_what_was_written(tmp_path: Path) -> None:
    """0600 in a 0700 folder, also where the file was open to others before."""
    path = tmp_path / "new" / "folder" / "auth.json"
    token = secret("token")
    store_at(path).update("a.example", lambda _: BearerToken(token))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    store_at(path).update("b.example", lambda _: BearerToken(token))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["auth.json"]
    path.unlink()


@POSIX
def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    """Whoever keeps the file elsewhere, under version control of dotfiles say, keeps it there."""
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("{}", encoding="utf-8")
    link.symlink_to(real)
    token = secret("token")
    store_at(link).update("a.example", lambda _: BearerToken(token))
    assert link.is_symlink()
    assert store_at(real).get("a.example") == BearerToken(token)
    real.unlink()


def test_what_somebody_else_wrote_meanwhile_is_seen_and_kept(tmp_path: Path) -> None:
    """The change is told what is there now, not what was there when the store was opened."""
    path = tmp_path / "auth.json"
    first, second = store_at(path), store_at(path)
    one, two = BearerToken(secret("one")), BearerToken(secret("two"))
    first.update("a.example", lambda _: one)
    seen = []

    def replace(before: Credential | None) -> Credential:
        seen.append(before)
        return two

    second.update("a.example", replace)
    assert seen == [one]
    assert store_at(path).get("a.example") == two
    path.unlink()


def test_a_change_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    """A read-only folder is no obstacle to finding out that there is nothing to do."""
    path = tmp_path / "auth.json"
    token = BearerToken(secret("token"))
    store_at(path).update("a.example", lambda _: token)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    store_at(path).update("a.example", lambda found: found)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    path.unlink()


def test_a_malformed_file_is_not_written_over(tmp_path: Path) -> None:
    """What a person got wrong by one comma still has all their credentials in it."""
    path = tmp_path / "auth.json"
    store = store_at(path)
    path.write_text('{"a": ', encoding="utf-8")
    with pytest.raises(CredentialFileError, match="line 1"):
        store.update("b.example", lambda _: BearerToken(Secret("never")))
    assert path.read_text(encoding="utf-8") == '{"a": '


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A folder in the way of the file, as any user's doing; the hint says how to name another place."""
    obstacle = tmp_path / "file"
    obstacle.write_text("", encoding="utf-8")
    store = FileStore(tmp_path / "none" / "auth.json", "AUTH")
    store.path = obstacle / "auth.json"
    with pytest.raises(CredentialStoreError) as caught:
        store.update("a.example", lambda _: BearerToken(Secret("never")))
    assert caught.value.message.startswith("AUTH: cannot be written: ")
    assert "RATTLER_AUTH_FILE" in caught.value.hint


def test_what_json_can_hold_and_python_hardly_stays_or_is_refused(tmp_path: Path) -> None:
    """Half of a character in a member that nobody reads stays; a number that became infinite is not written."""
    path = tmp_path / "auth.json"
    token = secret("token")
    entry = '{"a.example": {"BasicHTTP": {"username": "ann", "password": "pw", "note": %s}}}'
    path.write_text(entry % '"\\ud800"', encoding="utf-8")
    store_at(path).update("b.example", lambda _: BearerToken(token))
    assert store_at(path).get("b.example") == BearerToken(token)
    assert json.loads(path.read_bytes())["a.example"]["BasicHTTP"]["note"] == "\ud800"
    path.write_text(entry % "1e999", encoding="utf-8")
    with pytest.raises(CredentialStoreError, match="a number in it is too large"):
        store_at(path).update("b.example", lambda _: BearerToken(token))
    assert path.read_text(encoding="utf-8") == entry % "1e999"
    path.write_text('{"a\\ud800.example": {"BearerToken": "x"}}', encoding="utf-8")
    with pytest.raises(CredentialFileError, match=r"line 1, column 2, key 'a\\ud800\.example': this key holds half"):
        store_at(path)


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    """A name that came from a terminal in another encoding, say: it would spoil the whole file."""
    path = tmp_path / "auth.json"
    token = secret("token")
    for credential, key in ((S3Credentials("ann\udcff", token), "a.example"), (BearerToken(token), "a\udcff.example")):
        with pytest.raises(CredentialFileError, match="half of a character"):
            store_at(path).update(key, lambda _, credential=credential: credential)
    assert not path.exists()


@POSIX
def test_a_folder_in_which_others_can_put_another_file_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the command that closes it; /tmp and its like, where everybody has only their own, are not open."""
    loose, sticky = tmp_path / "loose", tmp_path / "sticky"
    token = secret("token")
    for folder, mode in ((loose, 0o777), (sticky, 0o1777)):
        folder.mkdir()
        folder.chmod(mode)
        store_at(folder / "auth.json").update("a.example", lambda _: BearerToken(token))
        store_at(folder / "auth.json")
        (folder / "auth.json").unlink()
    (warning,) = caplog.messages
    assert warning.startswith(f"AUTH ({loose / 'auth.json'}): other users of this machine can put another file in")
    assert warning.endswith(f"chmod 700 {loose}")


@POSIX
def test_a_file_that_others_may_write_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Even where they cannot read it."""
    path = tmp_path / "auth.json"
    path.write_text("{}", encoding="utf-8")
    path.chmod(0o620)
    store_at(path)
    assert caplog.messages == [f"AUTH ({path}) is open to other users of this machine; close it with: chmod 600 {path}"]


def test_logins_at_once_lose_none(tmp_path: Path) -> None:
    """Six processes write five entries each, all at the same time; thirty entries are there."""
    path = tmp_path / "auth.json"
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, path, str(number)]) for number in range(6)]
    assert [writer.wait(60) for writer in writers] == [0] * 6
    assert sorted(store_at(path).keys()) == sorted(f"host-{each}-{number}" for each in range(6) for number in range(5))
