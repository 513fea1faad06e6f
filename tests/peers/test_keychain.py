"""keelback and py-rattler share the entries of a real keychain: GNOME Keyring on a session bus of its own."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from keelback.credentials.codec import to_json
from keelback.credentials.keychain import KeychainStore
from keelback.credentials.keychain.secret_service import SecretService
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken, Credential, OAuth
from keelback.errors import CredentialStoreError
from keelback.secret import Secret
from making import make_conda
from peers import rattler, secret_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peers.secret_service import Desktop

pytestmark = pytest.mark.peer("gnome-keyring-daemon")

LOOPBACK = "127.0.0.1"
SECONDS = 60.0
"""For questions that are answered; a busy machine is no reason for a test to fail."""

Attributes = dict[str, str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require_peer: Callable[[str, bool, str], None]) -> None:
    """The peer is here, and the lock of keychains is the test's own."""
    why_not = secret_service.WHY_NOT
    if not why_not and importlib.util.find_spec("secretstorage") is None:
        why_not = "secretstorage is not installed"
    require_peer("gnome-keyring-daemon", not why_not, why_not)
    monkeypatch.setattr("keelback.credentials.locks.lock_folder", lambda: tmp_path / "locks")


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    """A session whose keyring is unlocked, and which this process takes for its own."""
    with secret_service.desktop(tmp_path / "desktop") as running:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", running.address)
        yield running


@pytest.fixture
def token() -> str:
    """What the channel wants."""
    return leaks.new_secret("keyring-token")


def store(deadline: float = SECONDS) -> KeychainStore:
    """A new store on the session's keychain; nothing is remembered from an earlier one."""
    return KeychainStore(deadline, SecretService())


def items() -> list[tuple[str, Attributes, str]]:
    """Label, attributes and secret of everything of rattler's that the service has, as D-Bus shows it.

    Without the attribute that GNOME Keyring adds by itself, to anybody's items, once it has read them from its file.
    """
    import secretstorage  # noqa: PLC0415 - other systems do not have it

    with contextlib.closing(secretstorage.dbus_init()) as bus:
        found = secretstorage.search_items(bus, {"service": "rattler"})
        told = [(one.get_label(), one.get_attributes(), one.get_secret().decode()) for one in found]
    for _, attributes, _ in told:
        attributes.pop("xdg:schema", None)
    return sorted(told)


def put(attributes: Attributes, secret: str) -> None:
    """Make an item, as another program would."""
    import secretstorage  # noqa: PLC0415 - other systems do not have it

    with contextlib.closing(secretstorage.dbus_init()) as bus:
        secretstorage.get_default_collection(bus).create_item("made by another", attributes, secret.encode())


def lock() -> None:
    """Lock the default collection, as a screen saver does."""
    import secretstorage  # noqa: PLC0415 - other systems do not have it

    with contextlib.closing(secretstorage.dbus_init()) as bus:
        secretstorage.get_default_collection(bus).lock()


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_an_entry_is_made_as_rattler_makes_it(desktop: Desktop, token: str) -> None:
    """Two attributes and no more, rattler's label, rattler's JSON; however often it is written, it is one item."""
    first = store()
    for number in range(3):
        written = BearerToken(Secret(f"{token}{number}"))
        first.update("*.prefix.dev", lambda _, written=written: written)
        store().update("*.prefix.dev", lambda now: BearerToken(now.token))

    attributes = {"service": "rattler", "username": "*.prefix.dev"}
    assert items() == [("keyring:*.prefix.dev@rattler", attributes, f'{{"BearerToken":"{token}2"}}')]
    assert store().keys() == ["*.prefix.dev"]
    assert store().get("*.prefix.dev") == BearerToken(Secret(f"{token}2"))
    assert store().get("prefix.dev") is None

    first.update("*.prefix.dev", lambda _: None)
    assert items() == []
    assert store().keys() == []


@pytest.mark.parametrize(
    "more",
    [{}, {"target": "default", "application": "rust-keyring"}, {"application": "Python keyring library"}],
    ids=["rattler", "older rattler", "Python's keyring"],
)
def test_an_entry_of_another_program_is_read_changed_and_deleted(
    desktop: Desktop, token: str, more: Attributes
) -> None:
    """Other attributes are no hindrance, and stay: who made the item has to find it again."""
    attributes = {"service": "rattler", "username": "a.example", **more}
    put(attributes, json.dumps({"CondaToken": token}))
    assert store().keys() == ["a.example"]
    assert store().get("a.example") == CondaToken(Secret(token))

    store().update("a.example", lambda _: BearerToken(Secret(token)))
    assert items() == [("made by another", attributes, f'{{"BearerToken":"{token}"}}')]
    store().update("a.example", lambda _: None)
    assert items() == []


def test_of_several_items_for_a_key_one_is_left(desktop: Desktop, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """As Python's ``keyring`` leaves behind: rattler uses neither, which is said, and mended by the next login."""
    for more in ({}, {"application": "Python keyring library"}):
        put({"service": "rattler", "username": "a.example", **more}, json.dumps({"CondaToken": token}))
    with caplog.at_level(logging.WARNING, "keelback.credentials"):
        assert store().get("a.example") == CondaToken(Secret(token))
    assert "has 2 items for key 'a.example'" in caplog.text

    store().update("a.example", lambda _: CondaToken(Secret(token)))
    assert len(items()) == 1


# --- py-rattler -------------------------------------------------------------------------------------------------------


class PrivateChannel(SimpleHTTPRequestHandler):
    """Serves a folder to whoever has the token, as basic auth, as a bearer's or in the path."""

    def __init__(self, *args: Any, token: str, **options: Any) -> None:
        self._token = token
        basic = base64.b64encode(f"ann:{token}".encode()).decode()
        self._accepted, self._root = {f"Bearer {token}", f"Basic {basic}"}, f"/t/{token}/"
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        """A file, or 401."""
        if self.path.startswith(self._root):
            self.path = self.path.removeprefix(self._root[:-1])
        elif self.headers["Authorization"] not in self._accepted:
            self.send_error(401)
            return
        super().do_GET()

    def do_HEAD(self) -> None:
        """As GET; the handler leaves the body out by itself."""
        self.do_GET()

    def do_POST(self) -> None:
        """The token, for whoever comes to refresh theirs (RFC 6749, section 6)."""
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        assert "grant_type=refresh_token" in asked
        answer = json.dumps({"access_token": self._token, "token_type": "Bearer", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def channel(tmp_path: Path, token: str) -> Iterator[str]:
    """The URL of a private channel that has the package hull."""
    folder = tmp_path / "channel"
    make_conda(folder / "noarch", "hull")
    rattler.index(folder, tmp_path / "indexer")
    handler = partial(PrivateChannel, token=token, directory=str(folder))
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()


def rattler_finds(channel: str, desktop: Desktop, folder: Path, default: Credential | None = None) -> set[str]:
    """What py-rattler finds in *channel*, in a session that has a keychain.

    Args:
        channel: its URL.
        desktop: the session.
        folder: py-rattler's home.
        default: what to have for the channel's host in the default auth file; without it, there is no such file.

    Raises:
        PermissionError: the channel did not let it in.
    """
    folder.mkdir()
    if default is not None:
        path = leaks.holds_secrets(folder / ".rattler" / "credentials.json")
        path.parent.mkdir()
        path.write_text(json.dumps({LOOPBACK: to_json(default)}))
    question = {"channel": channel, "subdirs": ["noarch"], "sharded": False, "specs": None, "cache": str(folder)}
    done = subprocess.run(
        [sys.executable, "-P", Path(rattler.__file__).with_name("rattler_child.py")],
        input=json.dumps(question),
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **desktop.variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "401" in done.stderr:
        raise PermissionError
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout)["records"])


@pytest.mark.parametrize(
    "credential",
    [
        lambda token: BearerToken(Secret(token)),
        lambda token: CondaToken(Secret(token)),
        lambda token: BasicHTTP("ann", Secret(token)),
    ],
    ids=["BearerToken", "CondaToken", "BasicHTTP"],
)
def test_py_rattler_reads_a_private_channel_with_what_keelback_stored(
    desktop: Desktop, channel: str, token: str, tmp_path: Path, credential: Callable[[str], Credential]
) -> None:
    """One login serves both: before it py-rattler is refused, with it it is let in, and after the logout refused."""
    with pytest.raises(PermissionError):
        rattler_finds(channel, desktop, tmp_path / "before")
    store().update(LOOPBACK, lambda _: credential(token))
    assert rattler_finds(channel, desktop, tmp_path / "with") == {"noarch/hull-1.0-h0_0.conda"}
    store().update(LOOPBACK, lambda _: None)
    with pytest.raises(PermissionError):
        rattler_finds(channel, desktop, tmp_path / "after")


def test_a_login_mends_what_py_rattler_does_not_use(desktop: Desktop, channel: str, token: str, tmp_path: Path) -> None:
    """Two items for one key are none to py-rattler; after keelback has written there, it uses the one that is left."""
    for more in ({}, {"application": "Python keyring library"}):
        put({"service": "rattler", "username": LOOPBACK, **more}, json.dumps({"BearerToken": token}))
    with pytest.raises(PermissionError):
        rattler_finds(channel, desktop, tmp_path / "before")
    store().update(LOOPBACK, lambda _: BearerToken(Secret(token)))
    assert rattler_finds(channel, desktop, tmp_path / "after") == {"noarch/hull-1.0-h0_0.conda"}


@pytest.mark.parametrize("where", ["the keychain", "the auth file"])
def test_keelback_reads_what_py_rattler_wrote(
    desktop: Desktop, channel: str, token: str, tmp_path: Path, where: str
) -> None:
    """The other way round: py-rattler stores a login that it has refreshed, and keelback reads it from there.

    That is the one thing that py-rattler writes by itself: into the entry that keelback made or, where there was only
    one in the auth file, into one that it makes, and which then shows what keelback's own have to look like.
    """
    old, refresh = (Secret(leaks.new_secret(label)) for label in ("old-token", "refresh-token"))
    login = OAuth(old, refresh, 1, f"{channel}/oauth/token", None, "rattler")
    if where == "the keychain":
        store().update(LOOPBACK, lambda _: login)
    default = login if where == "the auth file" else None
    assert rattler_finds(channel, desktop, tmp_path / "rattler", default) == {"noarch/hull-1.0-h0_0.conda"}

    found = store().get(LOOPBACK)
    assert isinstance(found, OAuth)
    assert (found.access_token, found.refresh_token) == (Secret(token), refresh)
    ((label, attributes, text),) = items()
    assert (label, attributes) == (f"keyring:{LOOPBACK}@rattler", {"service": "rattler", "username": LOOPBACK})
    assert text == json.dumps(to_json(found), separators=(",", ":")), "what keelback would have written"


# --- a keychain that does not answer ----------------------------------------------------------------------------------

_ASK = """
import logging, sys
from keelback.credentials.keychain import KeychainStore
from keelback.credentials.authfile import FileStore
from keelback.credentials.lookup import find
from pathlib import Path

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
keychain = KeychainStore(float(sys.argv[1]))
for url in sys.argv[3:]:
    match = find(url, [keychain, FileStore(Path(sys.argv[2]), "the file")])
    print(match.store.name)
"""


def asked_in_a_process_of_its_own(
    desktop: Desktop | None, folder: Path, token: str, deadline: float
) -> tuple[str, str]:
    """Where a program found the credentials for two hosts that its auth file has, and what it logged of the keychain.

    It has to end by itself, whatever still waits for the keychain.
    """
    content = {host: to_json(BearerToken(Secret(token))) for host in ("a.example", "b.example")}
    path = leaks.holds_secrets(folder / "auth.json")
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(deadline), str(path), "https://a.example/x", "https://b.example/x"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **(desktop.variables if desktop else {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    leaks.check(done.stdout + done.stderr, "the program's output")
    return done.stdout, "".join(line for line in done.stderr.splitlines(keepends=True) if "keychain" in line)


def test_a_locked_keychain_is_said_and_the_file_serves(desktop: Desktop, token: str, tmp_path: Path) -> None:
    """There is nobody who could unlock it: that is one warning, in good time."""
    store().update("a.example", lambda _: BearerToken(Secret(token)))
    lock()
    found, told = asked_in_a_process_of_its_own(desktop, tmp_path, token, SECONDS)
    assert found == "the file\nthe file\n"
    assert told == "WARNING the keychain is not used: it is locked\n"
    with pytest.raises(CredentialStoreError, match="cannot be written: it is locked"):
        store().update("a.example", lambda _: None)


def test_a_keychain_that_was_never_unlocked_is_said_too(
    tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over SSH, where nobody has given the password yet: the entries are known to be there, and no more."""
    with secret_service.desktop(tmp_path / "desktop") as first:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", first.address)
        store().update("a.example", lambda _: BearerToken(Secret(token)))
    with secret_service.desktop(tmp_path / "desktop", password=None) as second:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", second.address)
        found, told = asked_in_a_process_of_its_own(second, tmp_path, token, SECONDS)
        assert (found, told) == ("the file\nthe file\n", "WARNING the keychain is not used: it is locked\n")
        assert store().keys() == []
        with pytest.raises(CredentialStoreError, match="cannot be written: it is locked"):
            store().update("new.example", lambda _: BearerToken(Secret(token)))


def test_a_dialog_that_nobody_answers_ends_with_the_deadline(desktop: Desktop, token: str, tmp_path: Path) -> None:
    """The desktop asks for the password, and nobody is there: what is waited for is told."""
    store().update("a.example", lambda _: BearerToken(Secret(token)))
    lock()
    with secret_service.deaf_prompter(desktop):
        found, told = asked_in_a_process_of_its_own(desktop, tmp_path, token, 3)
    assert found == "the file\nthe file\n"
    assert told == "WARNING the keychain is not used: it is locked, and nobody unlocked it within 3 seconds\n"


def test_a_service_that_hangs_holds_nobody_up(desktop: Desktop, token: str, tmp_path: Path) -> None:
    """Neither the lookup nor the end of the program waits for it, and it is asked once."""
    desktop.keyring.send_signal(signal.SIGSTOP)
    try:
        found, told = asked_in_a_process_of_its_own(desktop, tmp_path, token, 0.2)
    finally:
        desktop.keyring.send_signal(signal.SIGCONT)
    assert found == "the file\nthe file\n"
    assert told == "WARNING the keychain is not used: it did not answer within 0.2 seconds\n"


def test_where_there_is_no_keychain_that_is_no_warning(tmp_path: Path, token: str) -> None:
    """Without a session bus, and on one without a Secret Service."""
    found, told = asked_in_a_process_of_its_own(None, tmp_path, token, SECONDS)
    assert found == "the file\nthe file\n"
    assert told.startswith("INFO the keychain is not used: there is no session bus: ")
    with secret_service.session_bus(tmp_path / "bus") as address:
        bare = secret_service.Desktop(address, None)
        found, told = asked_in_a_process_of_its_own(bare, tmp_path, token, SECONDS)
    assert found == "the file\nthe file\n"
    assert told == "INFO the keychain is not used: the session bus has no Secret Service\n"


def test_a_keychain_that_is_locked_later_is_read_from_until_then(desktop: Desktop, token: str) -> None:
    """What was read once is kept for the run."""
    store().update("a.example", lambda _: BearerToken(Secret(token)))
    keychain = store()
    assert keychain.get("a.example") == BearerToken(Secret(token))
    lock()
    assert keychain.get("a.example") == BearerToken(Secret(token))
    assert keychain.problem is None
