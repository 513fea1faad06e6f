"""A login that ``keelback auth login`` makes serves py-rattler, and one that py-rattler keeps serves keelback."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import stat
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs

import pytest

import leaks
from cli_runner import run_keelback
from making import make_conda
from peers import rattler
from peers.rattler_watched import Sent, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.peer("py-rattler")

LOOPBACK = "127.0.0.1"
HULL = "noarch/hull-1.0-h0_0.conda"


@pytest.fixture(autouse=True)
def _here(require_peer: Callable[[str, bool, str], None]) -> None:
    """The peer is here."""
    require_peer("py-rattler", importlib.util.find_spec("rattler") is not None, "it is not installed")


# --- a private channel ------------------------------------------------------------------------------------------------


class PrivateChannel(ThreadingHTTPServer):
    """A channel for those who have its secret, or an access token that it gave.

    Attributes:
        secret: the bearer token, the conda token, and ann's password.
        lifetime: how many seconds an access token is good for.
        refresh_token: the one for which it gives new tokens, once.
        given: the access tokens that it gave, the newest one last.
        refused: how often it was asked for tokens with another.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__((LOOPBACK, 0), partial(_Door, directory=str(folder)))
        self.secret = leaks.new_secret("channel")
        self.lifetime = 3600
        self.refresh_token = leaks.new_secret("refresh-0")
        self.given: list[str] = []
        self.refused = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self.server_port}"

    def login(self, access_token: str, expires_at: int) -> dict[str, Any]:
        """An entry of an auth file, as rattler writes it, that can be renewed here."""
        return {
            "OAuth": {
                "access_token": access_token,
                "refresh_token": self.refresh_token,
                "expires_at": expires_at,
                "token_endpoint": f"{self.url}/token",
                "revocation_endpoint": None,
                "client_id": "rattler",
            }
        }

    def admits(self, authorization: str | None) -> bool:
        """Whether a request with that header may read."""
        basic = base64.b64encode(f"ann:{self.secret}".encode()).decode()
        return authorization in {f"Basic {basic}", *(f"Bearer {token}" for token in (self.secret, *self.given))}

    def renewed(self, refresh_token: str) -> dict[str, Any] | None:
        """New tokens for *refresh_token*, which is good for nothing from then on (RFC 9700, section 4.14.2)."""
        with self._lock:
            if refresh_token != self.refresh_token:
                self.refused += 1
                return None
            number = len(self.given) + 1
            self.given.append(leaks.new_secret(f"access-{number}"))
            self.refresh_token = leaks.new_secret(f"refresh-{number}")
            return {
                "access_token": self.given[-1],
                "refresh_token": self.refresh_token,
                "token_type": "Bearer",
                "expires_in": self.lifetime,
            }


class _Door(SimpleHTTPRequestHandler):
    server: PrivateChannel

    def do_GET(self) -> None:
        root = f"/t/{self.server.secret}/"
        if self.path.startswith(root):
            self.path = self.path.removeprefix(root[:-1])
        elif not self.server.admits(self.headers["Authorization"]):
            self.send_error(401)
            return
        super().do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()  # the handler leaves the body out by itself

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        tokens = self.server.renewed(form["refresh_token"][0])
        answer = json.dumps(tokens or {"error": "invalid_grant"}).encode()
        self.send_response(200 if tokens else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[PrivateChannel]:
    """A private channel that has the package hull."""
    folder = tmp_path / "channel"
    make_conda(folder / "noarch", "hull")
    rattler.index(folder, tmp_path / "indexer")
    with PrivateChannel(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# --- a place for logins -----------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """An auth file that keelback and py-rattler share.

    Attributes:
        home: the home of both.
        file: the file.
        is_named: whether ``RATTLER_AUTH_FILE`` names it; it is the default file otherwise.
    """

    home: Path
    file: Path
    is_named: bool

    @property
    def variables(self) -> dict[str, str]:
        """What the environment says of it."""
        return {"RATTLER_AUTH_FILE": str(self.file)} if self.is_named else {}

    def keelback(self, *arguments: str, secret: str = "", status: int = 0) -> str:
        """What ``keelback ARGUMENTS`` prints, with *secret* on its standard input."""
        done = run_keelback([*arguments], env=self.variables, home=self.home, input=f"{secret}\n")
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def rattler_reads(self, channel: PrivateChannel) -> set[str]:
        """What py-rattler finds in *channel*; nothing where it is not let in."""
        shutil.rmtree(self.home / "cache", ignore_errors=True)
        try:
            found = rattler.records(channel.url, self.home, auth=self.file if self.is_named else None)
        except rattler.RattlerError as error:
            if "401" not in str(error):
                raise
            return set()
        return set(found)

    def write(self, entries: dict[str, Any]) -> None:
        """Write the file as rattler does: compact, sorted, for its owner alone."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(entries, separators=(",", ":"), sort_keys=True))
        self.file.chmod(0o600)

    def read(self) -> dict[str, Any]:
        """The file's entries; it still is its owner's alone."""
        if os.name == "posix":
            assert stat.S_IMODE(self.file.stat().st_mode) == 0o600
        entries = json.loads(self.file.read_text(encoding="utf-8"))
        assert isinstance(entries, dict)
        return entries


@pytest.fixture(params=["named", "default"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An auth file that does not exist yet, in a folder that does not either."""
    is_named = request.param == "named"
    home = tmp_path / "home"
    home.mkdir()
    file = tmp_path / "secrets" / "auth.json" if is_named else home / ".rattler" / "credentials.json"
    return Place(home, leaks.holds_secrets(file), is_named)


# --- from keelback to py-rattler --------------------------------------------------------------------------------------

OPTIONS = {
    "BearerToken": ["--token", "-"],
    "CondaToken": ["--conda-token", "-"],
    "BasicHTTP": ["--username", "ann", "--password", "-"],
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_py_rattler_reads_a_private_channel_after_a_login_and_not_after_the_logout(
    channel: PrivateChannel, place: Place, kind: str
) -> None:
    """One login serves both, whichever auth file it went into; that file is its owner's alone, and so is its folder."""
    place.keelback("auth", "login", channel.url, *OPTIONS[kind], secret=channel.secret)
    assert [(key, *value) for key, value in place.read().items()] == [(LOOPBACK, kind)]
    if os.name == "posix":
        assert stat.S_IMODE(place.file.parent.stat().st_mode) == 0o700
    assert place.rattler_reads(channel) == {HULL}

    place.keelback("auth", "logout", channel.url)
    assert place.rattler_reads(channel) == set()


class Login(NamedTuple):
    """What is logged in to, how, and what py-rattler then sends where."""

    place: str
    kind: str
    hosts: list[str]


LOGINS = [
    Login("harbour.example", "BearerToken", ["harbour.example", "a.harbour.example", "b.a.harbour.example"]),
    Login("https://PIER.example:8443/some/channel/", "CondaToken", ["pier.example", "repo.pier.example:9000"]),
    Login("conda.quay.example", "BasicHTTP", ["conda.quay.example"]),
    Login("localhost:8000", "BearerToken", ["localhost", "localhost:9000"]),
    Login("10.0.0.1", "BasicHTTP", ["10.0.0.1"]),
    Login("http://[::1]:8000", "BearerToken", ["[::1]:9000"]),
    Login("bücher.dock.example", "BearerToken", ["bücher.dock.example", "xn--bcher-kva.dock.example"]),
    Login("prefix.dev", "BearerToken", ["prefix.dev", "repo.prefix.dev"]),
    Login("anaconda.org", "CondaToken", ["anaconda.org", "conda.anaconda.org", "api.anaconda.org"]),
]
STRANGERS = ["example", "a.conda.quay.example", "quay.example", "a.localhost", "dock.example", "10.0.0.2", "dev"]


def test_py_rattler_sends_a_login_to_the_hosts_that_it_is_for_and_to_no_other(tmp_path: Path) -> None:
    """A name with one dot serves the hosts under it; any other serves itself, however it was typed, on every port."""
    secrets = [leaks.new_secret(f"login-{number}") for number in range(len(LOGINS))]
    place = Place(tmp_path, leaks.holds_secrets(tmp_path / "auth.json"), is_named=True)
    for login, secret in zip(LOGINS, secrets, strict=True):
        place.keelback("auth", "login", login.place, *OPTIONS[login.kind], "--no-verify", secret=secret)

    hosts = [(host, kept) for kept in zip(LOGINS, secrets, strict=True) for host in kept[0].hosts]
    hosts += [(host, None) for host in STRANGERS]
    urls = [f"http://{host}/channel/{number}" for number, (host, _) in enumerate(hosts)]
    with watched(tmp_path) as peer:
        peer.variables = place.variables
        theirs, ours = peer.sends(urls), peer.keelback_sends(urls)

    wanted = [_credential(sent, path=f"/channel/{number}") for number, sent in enumerate(theirs)]
    assert wanted == [None if kept is None else (kept[0].kind, kept[1]) for _, kept in hosts]
    assert ours == theirs


def _credential(sent: Sent | None, path: str) -> tuple[str, str] | None:
    """The kind of credential that was sent with a request for *path*, and its secret."""
    assert sent is not None
    if sent.path != path:
        return "CondaToken", sent.path.removeprefix("/t/").removesuffix(path)
    if sent.authorization is None:
        return None
    scheme, _, value = sent.authorization.partition(" ")
    if scheme == "Bearer":
        return "BearerToken", value
    return "BasicHTTP", base64.b64decode(value).decode().removeprefix("ann:")


# --- logins that are renewed ------------------------------------------------------------------------------------------


def test_py_rattler_uses_the_login_that_keelback_has_renewed(channel: PrivateChannel, place: Place) -> None:
    """It is written back to where it was found; the server is asked for new tokens once."""
    other = {"BearerToken": leaks.new_secret("other")}
    place.write({LOOPBACK: channel.login(leaks.new_secret("expired"), 1), "other.example": other})
    place.keelback("auth", "check", channel.url)
    kept = place.read()
    assert kept[LOOPBACK]["OAuth"]["access_token"] == channel.given[-1]
    assert kept["other.example"] == other

    assert place.rattler_reads(channel) == {HULL}
    assert place.read() == kept
    assert (len(channel.given), channel.refused) == (1, 0)


def test_keelback_uses_the_login_that_py_rattler_has_renewed(channel: PrivateChannel, place: Place) -> None:
    """The other way round: what py-rattler writes, keelback reads as it is, and has nothing to complain of."""
    other = {"BearerToken": leaks.new_secret("other")}
    place.write({LOOPBACK: channel.login(leaks.new_secret("expired"), 1), "other.example": other})
    assert place.rattler_reads(channel) == {HULL}
    kept = place.read()
    assert kept[LOOPBACK]["OAuth"]["access_token"] == channel.given[-1]
    assert kept["other.example"] == other

    told = json.loads(place.keelback("auth", "check", "--json", channel.url))
    assert (told["read"], told["match"]["kind"], told["match"]["key"]) == (True, "OAuth", LOOPBACK)
    assert told["findings"] == []
    assert place.read() == kept
    assert (len(channel.given), channel.refused) == (1, 0)


def test_keelback_and_py_rattler_renew_one_login_by_turns(channel: PrivateChannel, tmp_path: Path) -> None:
    """Each finds the refresh token that the other was given, of which every one is good for one use only."""
    channel.lifetime = 60  # both renew what ends within five minutes
    place = Place(tmp_path, leaks.holds_secrets(tmp_path / "auth.json"), is_named=True)
    place.write({"harbour.example": channel.login(leaks.new_secret("expired"), 1)})
    url = "http://harbour.example/0"
    with watched(tmp_path) as peer:
        peer.variables = place.variables
        sent = [ask([url]) for _ in range(2) for ask in (peer.keelback_sends, peer.sends)]
    assert sent == [[Sent("harbour.example", "/0", f"Bearer {token}")] for token in channel.given]
    assert (len(channel.given), channel.refused) == (4, 0)
    assert place.read()["harbour.example"]["OAuth"]["refresh_token"] == channel.refresh_token
