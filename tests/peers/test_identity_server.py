"""keelback logs in at a real identity server, renews what it got there once, and ends it."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import leaks
from keelback.credentials.authfile import FileStore
from keelback.credentials.oauth.login import Login, log_in
from keelback.credentials.oauth.renewal import renewal_for
from keelback.credentials.oauth.revocation import revoke
from keelback.credentials.oauth.settings import PREFIX_SCOPES, Interaction, Settings
from keelback.errors import CredentialError
from keelback.transport import Client
from peers import identity_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keelback.credentials.kinds import OAuth
    from keelback.secret import Secret

pytestmark = pytest.mark.peer("oidc-provider")

KEY = "conda.example"


@pytest.fixture
def server(
    require_peer: Callable[[str, bool, str], None], request: pytest.FixtureRequest
) -> identity_server.IdentityServer:
    """The identity server of this module; each test logs in anew."""
    require_peer("oidc-provider", not identity_server.WHY_NOT, identity_server.WHY_NOT)
    running = request.getfixturevalue("running_server")  # not before it is known that there is one
    assert isinstance(running, identity_server.IdentityServer)
    return running


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[identity_server.IdentityServer]:
    """It takes a second to start, so it is started once."""
    folder = tmp_path_factory.mktemp("identity") / "server"
    with identity_server.serving(folder, inspector_secret=leaks.new_secret("inspector")) as running:
        yield running


@pytest.fixture
def client() -> Iterator[Client]:
    """What sends the requests."""
    with Client() as one:
        yield one


def login(client: Client, server: identity_server.IdentityServer, **settings: str) -> Login:
    """A login in the browser of this machine."""
    person = Interaction(lambda _: None, server.browse)
    return watched(log_in(client, Settings(server.issuer, PREFIX_SCOPES, **{"flow": "auth-code", **settings}), person))


def watched(done: Login) -> Login:
    """*done*, whose tokens are looked for in everything that is printed."""
    for token in tokens(done.credential):
        leaks.watch(token.reveal(), "token")
    return done


def tokens(credential: OAuth) -> list[Secret]:
    """Access and refresh token."""
    assert credential.refresh_token is not None
    return [credential.access_token, credential.refresh_token]


def check(done: Login, server: identity_server.IdentityServer) -> None:
    """The login is ann's, and good."""
    assert done.name == "ann"
    assert all(server.knows(token.reveal()) for token in tokens(done.credential))
    assert 3500 < (done.credential.expires_at or 0) - time.time() <= 3600


def test_a_login_in_the_browser_of_this_machine(client: Client, server: identity_server.IdentityServer) -> None:
    """Authorization code with PKCE: the server checks the proof, and knows the address but for its port."""
    check(login(client, server), server)


def test_a_login_at_a_fixed_address(client: Client, server: identity_server.IdentityServer) -> None:
    """An address that was registered, with a path, on the port that was given."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    check(login(client, server, redirect_uri=f"http://127.0.0.1:{port}/callback"), server)


def test_a_login_with_a_device_code(client: Client, server: identity_server.IdentityServer) -> None:
    """The code is confirmed while keelback waits, and the server is asked until it has heard of it."""
    shown: list[str] = []
    opened: list[str] = []
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            server.browse(opened[0])

    person = Interaction(lambda prompt: shown.append(prompt.code or ""), lambda url: not opened.append(url), wait)
    done = watched(log_in(client, Settings(server.issuer, PREFIX_SCOPES), person))
    check(done, server)
    assert len(waits) == 2
    assert shown[0] in opened[0]


def test_eight_threads_renew_once(client: Client, server: identity_server.IdentityServer, tmp_path: Path) -> None:
    """The server takes a refresh token once; all threads go on with what the one renewal brought."""
    path = leaks.holds_secrets(tmp_path / "auth.json")
    credential = login(client, server).credential
    FileStore(path, "the file").update(KEY, lambda _: replace(credential, expires_at=int(time.time()) + 60))
    before = server.grants()
    together = threading.Barrier(8)

    def ask(_number: int) -> OAuth:
        store = FileStore(path, f"the file ({path})")
        together.wait(30)
        return renewal_for(store, KEY).current()

    with ThreadPoolExecutor(8) as threads:
        (renewed,) = set(threads.map(ask, range(8)))
    watched(Login(renewed, None))
    assert renewed.access_token != credential.access_token
    assert renewed.refresh_token != credential.refresh_token
    assert FileStore(path, "the file").get(KEY) == renewed
    assert all(server.knows(token.reveal()) for token in tokens(renewed))
    after = server.grants()
    assert after["refresh_token given"] - before.get("refresh_token given", 0) == 1
    assert after.get("refresh_token refused") == before.get("refresh_token refused")


def test_revocation_ends_a_login(client: Client, server: identity_server.IdentityServer, tmp_path: Path) -> None:
    """Afterwards neither token is good for anything, and the renewal says to log in again."""
    path = leaks.holds_secrets(tmp_path / "auth.json")
    credential = login(client, server).credential
    assert revoke(client, credential) == []
    assert not any(server.knows(token.reveal()) for token in tokens(credential))
    store = FileStore(path, f"the file ({path})")
    store.update(KEY, lambda _: replace(credential, expires_at=int(time.time()) + 60))
    with pytest.raises(CredentialError) as caught:
        renewal_for(store, KEY).current()
    assert caught.value.code == "login-expired"
    assert "invalid_grant" in caught.value.message
    assert caught.value.hint == "Log in again: keelback auth login conda.example."
