"""The keychain as a store: what is asked of it, and what becomes of a run when it does not answer as it should."""

from __future__ import annotations

import ctypes
import json
import logging
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from keelback.credentials.keychain import KeychainStore, KeychainUnavailable
from keelback.credentials.keychain.advapi32 import NO_SUCH_LOGON_SESSION, NOT_FOUND, Advapi32, Credential
from keelback.credentials.keychain.macos import accounts
from keelback.credentials.keychain.secret_service import SecretService
from keelback.credentials.keychain.windows import CredentialManager
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, OAuth
from keelback.errors import CredentialError, CredentialStoreError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "*.prefix.dev"


@pytest.fixture(autouse=True)
def lock_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the lock that is this test's own."""
    folder = tmp_path / "locks"
    monkeypatch.setattr("keelback.credentials.locks.lock_folder", lambda: folder)
    return folder


@pytest.fixture
def token() -> str:
    """What the keychain has to keep to itself."""
    return leaks.new_secret("keychain")


class Scripted:
    """A keychain in memory that counts what it is asked, and first does whatever it was told to."""

    waits_for_unlocking = False

    def __init__(self, **texts: str) -> None:
        self.texts = {key.replace("_", "."): text for key, text in texts.items()}
        self.asked: list[str] = []
        self.first: Callable[[], None] = lambda: None

    def read(self, key: str) -> str | None:
        """What is under *key*."""
        self._ask(f"read {key}")
        return self.texts.get(key)

    def write(self, key: str, text: str) -> None:
        """Keep *text*."""
        self._ask(f"write {key}")
        self.texts[key] = text

    def delete(self, key: str) -> bool:
        """Forget *key*."""
        self._ask(f"delete {key}")
        return self.texts.pop(key, None) is not None

    def keys(self) -> list[str]:
        """All keys."""
        self._ask("keys")
        return sorted(self.texts)

    def deletion_command(self, key: str) -> str:
        """What a person would type."""
        return f"forget {key}"

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        self.first()


@pytest.fixture
def hanging() -> Iterator[Scripted]:
    """A keychain that answers nothing before the test is over."""
    over = threading.Event()
    keychain = Scripted()
    keychain.first = lambda: [None, over.wait()][0]
    yield keychain
    over.set()


def raising(error: Exception) -> Scripted:
    """A keychain that has nothing but *error* for an answer."""

    def fail() -> None:
        raise error

    keychain = Scripted()
    keychain.first = fail
    return keychain


def test_an_entry_is_one_value_of_an_auth_file(token: str) -> None:
    """Read: any JSON of a known kind. Written: rattler's own spelling, compact and with null for what is absent."""
    keychain = Scripted(a=json.dumps({"BearerToken": token}, indent=2))
    store = KeychainStore(backend=keychain)
    assert store.get("a") == BearerToken(Secret(token))
    assert store.get("b") is None

    oauth = OAuth(Secret(token), None, 7, "https://id.example/token", None, "me")
    assert store.update("b", lambda _: oauth) == oauth
    assert keychain.texts["b"] == (
        f'{{"OAuth":{{"access_token":"{token}","refresh_token":null,"expires_at":7,'
        '"token_endpoint":"https://id.example/token","revocation_endpoint":null,"client_id":"me"}}'
    )
    assert store.update("ü", lambda _: BasicHTTP("bärbel", Secret(token))) is not None
    assert "bärbel" in keychain.texts["ü"]
    assert store.keys() == ["a", "b", "ü"]
    assert token not in repr(store)
    assert store.problem is None


def test_each_key_is_asked_for_once_and_an_update_looks_again(token: str) -> None:
    """What was not there is remembered, too; only an update wants to know what is there now."""
    keychain = Scripted()
    store = KeychainStore(backend=keychain)
    assert [store.get("a"), store.get("a")] == [None, None]
    assert keychain.asked == ["read a"]

    keychain.texts["a"] = json.dumps({"CondaToken": token})
    seen: list[object] = []
    assert store.update("a", lambda now: [seen.append(now), now][1]) == CondaToken(Secret(token))
    assert seen == [CondaToken(Secret(token))]
    assert store.get("a") == CondaToken(Secret(token))
    assert keychain.asked == ["read a", "read a"], "what was returned as it was given is not written"

    assert store.update("a", lambda _: None) is None
    assert store.get("a") is None
    assert keychain.texts == {}


def test_a_login_with_the_token_that_is_there_is_written(token: str) -> None:
    """The keychain may have several entries for the key, and writing leaves one."""
    keychain = Scripted(a=json.dumps({"CondaToken": token}))
    KeychainStore(backend=keychain).update("a", lambda _: CondaToken(Secret(token)))
    assert keychain.asked == ["read a", "write a"]


def test_a_keychain_that_hangs_is_given_up_once(
    hanging: Scripted, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It has its deadline, is asked no second time, and that is said in one warning."""
    store = KeychainStore(0.01, hanging)
    with caplog.at_level(logging.INFO, "keelback.credentials"):
        assert [store.get("a"), store.get("b"), store.keys()] == [None, None, []]
    assert hanging.asked == ["read a"]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the keychain is not used: it did not answer within 0.01 seconds")
    ]
    assert store.problem == "it did not answer within 0.01 seconds"
    with pytest.raises(CredentialStoreError, match=r"key 'a' cannot be written: it did not answer") as caught:
        store.update("a", lambda _: BearerToken(Secret(token)))
    assert caught.value.code == "store"
    assert "--no-keychain" in caught.value.hint


def test_a_dialog_that_nobody_answers_is_told_from_a_service_that_hangs(
    hanging: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """A person can do something about a keychain that waits to be unlocked."""
    hanging.waits_for_unlocking = True
    store = KeychainStore(0.01, hanging)
    with caplog.at_level(logging.INFO, "keelback.credentials"):
        assert store.get("a") is None
    assert "it is locked, and nobody unlocked it within 0.01 seconds" in caplog.text


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeychainUnavailable("it is locked"), "WARNING the keychain is not used: it is locked"),
        (RuntimeError("boom"), "WARNING the keychain is not used: it failed with RuntimeError: boom"),
        (TimeoutError("late"), "WARNING the keychain is not used: it failed with TimeoutError: late"),
        (KeychainUnavailable("no bus", absent=True), "INFO the keychain is not used: no bus"),
    ],
)
def test_a_keychain_that_fails_is_a_store_without_keys(
    error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises; where there is none, that is no more than an info."""
    keychain = raising(error)
    store = KeychainStore(backend=keychain)
    with caplog.at_level(logging.INFO, "keelback.credentials"):
        assert [store.keys(), store.get("a")] == [[], None]
    assert keychain.asked == ["keys"]
    assert [f"{record.levelname} {record.getMessage()}" for record in caplog.records] == [told]
    with pytest.raises(CredentialStoreError):
        store.update("a", lambda _: None)


def test_a_bus_address_that_is_none_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as an empty one; the library's own words say nothing to a person."""
    pytest.importorskip("secretstorage")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "")
    with pytest.raises(KeychainUnavailable, match="DBUS_SESSION_BUS_ADDRESS is not the address of one"):
        SecretService().keys()


def test_an_error_of_a_keychain_shows_no_secret(token: str, caplog: pytest.LogCaptureFixture) -> None:
    """A library may put what it was given into its error; the leak check looks at the log."""
    keychain = Scripted()
    store = KeychainStore(backend=keychain)

    def fail() -> None:
        if keychain.asked[-1].startswith("write"):
            raise ValueError(f"cannot keep {token}")

    keychain.first = fail
    with pytest.raises(CredentialStoreError) as caught:
        store.update("a", lambda _: BearerToken(Secret(token)))
    assert "ValueError: cannot keep ****" in caught.value.message
    with caplog.at_level(logging.DEBUG, "keelback"):
        assert store.get("b") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{secret}", "the entry is not JSON"),
        ('"{secret}"', "a credential is an object that names its kind, not a string"),
        ('{{"BearerToken": ["{secret}"]}}', "the value of BearerToken is a string, not a list"),
        ('{{"Passkey": "{secret}"}}', "unknown kind of credential 'Passkey'"),
        ("[" * 10_000, "the entry is not JSON"),
    ],
)
def test_a_malformed_entry_is_named_and_not_shown(text: str, problem: str, token: str) -> None:
    """The error has the key and the command that takes the entry away, and not even its traceback has the value."""
    store = KeychainStore(backend=Scripted(a=text.format(secret=token)))
    for _ in range(2):
        with pytest.raises(CredentialError, match="the keychain, key 'a': ") as caught:
            store.get("a")
        assert problem in caught.value.message
        assert "delete the entry: forget a." in caught.value.hint
        assert caught.value.code == "bad-credential"
        assert token not in "".join(traceback.format_exception(caught.value))
    assert store.problem is None, "the keychain itself works"


def test_a_token_that_can_be_none_is_an_error_of_its_own(token: str) -> None:
    """As in an auth file, what is wrong with the token is told, and where it is."""
    store = KeychainStore(backend=Scripted(a=json.dumps({"BearerToken": f"{token}\n"})))
    with pytest.raises(CredentialError, match="The token from the keychain, key 'a' has a line break") as caught:
        store.get("a")
    assert caught.value.code == "bad-token"


def test_a_malformed_entry_is_replaced_by_a_login_and_left_alone_by_a_logout(token: str) -> None:
    """A login is meant to replace what is there; what is not understood may be somebody else's."""
    keychain = Scripted(a="what is this")
    store = KeychainStore(backend=keychain)
    with pytest.raises(CredentialError, match="not JSON"):
        store.update("a", lambda _: None)
    assert keychain.texts == {"a": "what is this"}
    store.update("a", lambda now: BearerToken(Secret(token)) if now is None else now)
    assert store.get("a") == BearerToken(Secret(token))


@pytest.mark.parametrize("key", ["a\0b", "a\nb", "\udcff"])
def test_a_key_that_no_keychain_can_hold_is_not_asked_for(key: str) -> None:
    """Else a strange URL would look like a keychain that does not work."""
    keychain = Scripted()
    assert KeychainStore(backend=keychain).get(key) is None
    assert keychain.asked == []


def test_updates_at_the_same_time_lose_nothing(token: str) -> None:
    """Each reads, changes and writes under the lock: of 8 threads that add to an entry, all are seen."""
    keychain = Scripted()
    start = threading.Barrier(8)

    def add() -> None:
        start.wait()
        own = KeychainStore(backend=keychain)
        own.update("a", lambda now: BasicHTTP((now.username if now else "") + "x", Secret(token)))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads(keychain.texts["a"])["BasicHTTP"]["username"] == "x" * 8


def test_a_lock_that_cannot_be_made_is_explained(
    lock_folder: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that is read-only altogether; the login then goes elsewhere."""
    lock_folder.write_text("a file where the folder should be")
    monkeypatch.setattr("keelback.credentials.locks._spare_folder", lambda: lock_folder)
    keychain = Scripted()
    with pytest.raises(CredentialStoreError, match="the keychain: the lock file"):
        KeychainStore(backend=keychain).update("a", lambda _: BearerToken(Secret(token)))
    assert keychain.asked == []


def test_what_change_raises_is_passed_on(token: str) -> None:
    """It may be an error of the network, and says nothing of the keychain."""

    def change(_: object) -> None:
        raise OSError("the network is down")

    store = KeychainStore(backend=Scripted())
    with pytest.raises(OSError, match="the network is down"):
        store.update("a", change)
    assert store.problem is None


# --- Windows ----------------------------------------------------------------------------------------------------------


class FakeAdvapi32:
    """The functions of Windows over a dictionary; what they get and give are the same structures in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, bytes]] = {}
        self.error = 0
        self.freed: list[Any] = []
        self._alive: list[Any] = []
        self.CredReadW, self.CredWriteW, self.CredDeleteW = self._read, self._write, self._delete
        self.CredEnumerateW, self.CredFree = self._enumerate, self.freed.append

    def last_error(self) -> int:
        """Why the last function did nothing."""
        return self.error or NOT_FOUND

    def _read(self, target: str, kind: int, flags: int, found: Any) -> int:
        assert (kind, flags) == (1, 0)
        if self.error or target not in self.kept:
            return 0
        found._obj.contents = self._made(target)
        return 1

    def _write(self, credential: Any, flags: int) -> int:
        one = credential._obj
        assert (flags, one.Type, one.Persist) == (0, 1, 3)
        self.kept[one.TargetName] = (one.UserName, ctypes.string_at(one.CredentialBlob, one.CredentialBlobSize))
        return 1

    def _delete(self, target: str, kind: int, flags: int) -> int:
        assert (kind, flags) == (1, 0)
        return int(self.kept.pop(target, None) is not None)

    def _enumerate(self, pattern: None, flags: int, count: Any, found: Any) -> int:
        assert (pattern, flags) == (None, 0)
        if self.error or not self.kept:
            return 0
        pointers = [ctypes.pointer(self._made(target)) for target in self.kept]
        array = (ctypes.POINTER(Credential) * len(pointers))(*pointers)
        self._alive.append(array)
        count._obj.value = len(pointers)
        found._obj.contents = array[0]
        return 1

    def _made(self, target: str) -> Credential:
        user, content = self.kept[target]
        blob = (ctypes.c_ubyte * len(content)).from_buffer_copy(content)
        one = Credential(Type=1, TargetName=target, UserName=user, CredentialBlobSize=len(content), CredentialBlob=blob)
        self._alive.append(one)
        return one


@pytest.fixture
def windows() -> FakeAdvapi32:
    """A Windows with no credentials."""
    return FakeAdvapi32()


def credential_manager(windows: FakeAdvapi32) -> CredentialManager:
    """The backend on top of it."""
    return CredentialManager(Advapi32(windows, windows.last_error))


def test_windows_entries_have_rattlers_names_and_encoding(windows: FakeAdvapi32, token: str) -> None:
    """Target ``KEY.rattler``, user KEY, UTF-16; entries of others are no keys of this store."""
    store = KeychainStore(backend=credential_manager(windows))
    assert store.keys() == []
    assert store.get(KEY) is None
    store.update(KEY, lambda _: BearerToken(Secret(token)))
    assert windows.kept == {"*.prefix.dev.rattler": (KEY, f'{{"BearerToken":"{token}"}}'.encode("utf-16-le"))}

    windows.kept["git:https://github.com"] = ("ann", b"odd")
    again = KeychainStore(backend=credential_manager(windows))
    assert again.get(KEY) == BearerToken(Secret(token))
    assert again.keys() == [KEY]
    assert len(windows.freed) == 2, "what Windows allocated is given back"
    again.update(KEY, lambda _: None)
    assert list(windows.kept) == ["git:https://github.com"]
    assert credential_manager(windows).delete(KEY) is False


def test_a_credential_too_long_for_windows_says_so(windows: FakeAdvapi32, token: str) -> None:
    """2560 bytes are 1280 characters, and a long OAuth token has more: the error names the way out."""
    store = KeychainStore(backend=credential_manager(windows))
    with pytest.raises(CredentialStoreError, match="too long: Windows takes 1280 characters, it has 13") as caught:
        store.update(KEY, lambda _: BearerToken(Secret(token + "x" * (1300 - len(token)))))
    assert "auth file" in caught.value.hint
    assert windows.kept == {}
    assert store.problem is None, "the keychain works, and is asked again"
    fits = Secret(token + "x" * (1280 - len(token) - len('{"BearerToken":""}')))
    assert store.update(KEY, lambda _: BearerToken(fits)) == BearerToken(fits)


@pytest.mark.parametrize(("error", "level"), [(NO_SUCH_LOGON_SESSION, "INFO"), (5, "WARNING")])
def test_a_windows_that_says_no_is_a_store_without_keys(
    windows: FakeAdvapi32, error: int, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In a session without credentials, as over the network, there simply is no keychain."""
    windows.error = error
    store = KeychainStore(backend=credential_manager(windows))
    with caplog.at_level(logging.INFO, "keelback.credentials"):
        assert store.get(KEY) is None
    assert [record.levelname for record in caplog.records] == [level]


# --- macOS ------------------------------------------------------------------------------------------------------------

_DUMP = r"""keychain: "/Users/ann/Library/Keychains/login.keychain-db"
version: 512
class: "genp"
attributes:
    0x00000007 <blob>="rattler"
    0x00000008 <blob>=<NULL>
    "acct"<blob>="*.prefix.dev"
    "cdat"<timedate>=0x32303236303130313030303030305A00  "20260101000000Z\000"
    "desc"<blob>=<NULL>
    "svce"<blob>="rattler"
    "type"<uint32>=<NULL>
keychain: "/Users/ann/Library/Keychains/login.keychain-db"
version: 512
class: "genp"
attributes:
    "acct"<blob>=0x62C3BC636B6574  "b\303\274cket"
    "svce"<blob>="rattler"
keychain: "/Users/ann/Library/Keychains/login.keychain-db"
version: 512
class: "genp"
attributes:
    "acct"<blob>="ann"
    "svce"<blob>="rattler-of-somebody-else"
keychain: "/Users/ann/Library/Keychains/login.keychain-db"
version: 512
class: "inet"
attributes:
    "acct"<blob>="ann"
    "srvr"<blob>="github.com"
"""


def test_the_keys_of_a_mac_are_the_accounts_of_rattlers_entries() -> None:
    """``security dump-keychain`` lists all entries; what is not ASCII is in hexadecimal."""
    assert list(accounts(_DUMP)) == ["*.prefix.dev", "bücket"]
    assert list(accounts("")) == []
