"""Any program that speaks httpx2 reads private channels with ``keelback.StoredAuth``."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx2
import pytest

import keelback
from keelback.credentials import auth as stored_auth
from keelback.credentials.kinds import BearerToken, Credential
from keelback.credentials.stores import Store
from keelback.errors import CredentialFileError, TransportError
from keelback.secret import Secret
from leaks import new_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class _Server(ThreadingHTTPServer):
    """Answers 200 to who has the right ``Authorization`` or path, 401 to others, and redirects ``/elsewhere``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.right: str | None = None
        self.elsewhere = ""
        self.seen: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        authorization = self.headers["Authorization"]
        self.server.seen.append((self.path, authorization))
        good = self.server.right in (None, authorization) or self.path.startswith(f"/t/{self.server.right}/")
        self.send_response(302 if self.server.elsewhere and good else 200 if good else 401)
        if self.server.elsewhere and good:
            self.send_header("Location", self.server.elsewhere)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _running() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[_Server]:
    """A server on loopback."""
    with _running() as running:
        yield running


@pytest.fixture
def other() -> Iterator[_Server]:
    """Another one."""
    with _running() as running:
        yield running


def auth_file(folder: Path, value: dict[str, object]) -> Path:
    """An auth file with *value* for loopback."""
    path = folder / "auth.json"
    path.write_text(json.dumps({"127.0.0.1": value}), encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("kind", ["BearerToken", "BasicHTTP", "CondaToken"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_program_reads_a_private_channel(server: _Server, tmp_path: Path, kind: str, *, asynchronous: bool) -> None:
    """The credential goes onto the request as its kind wants it, in programs of both manners."""
    token = new_secret("token")
    value: object = {"username": "ann", "password": token} if kind == "BasicHTTP" else token
    basic = base64.b64encode(f"ann:{token}".encode()).decode()
    server.right = {"BearerToken": f"Bearer {token}", "BasicHTTP": f"Basic {basic}", "CondaToken": token}[kind]
    path = auth_file(tmp_path, {kind: value})
    auth = keelback.StoredAuth(auth_file=path)
    if asynchronous:

        async def read() -> httpx2.Response:
            async with httpx2.AsyncClient(auth=auth, trust_env=False) as client:
                return await client.get(f"{server.url}/channel/noarch/repodata.json")

        response = asyncio.run(read())
    else:
        with httpx2.Client(auth=auth, trust_env=False) as client:
            response = client.get(f"{server.url}/channel/noarch/repodata.json")
    path.unlink()
    assert response.status_code == 200
    assert len(server.seen) == 1


def test_a_credential_does_not_follow_a_redirect(server: _Server, other: _Server, tmp_path: Path) -> None:
    """Storage hosts are told no secret."""
    token = new_secret("token")
    server.right = f"Bearer {token}"
    server.elsewhere = f"{other.url.replace('127.0.0.1', 'localhost')}/storage"
    path = auth_file(tmp_path, {"BearerToken": token})
    with httpx2.Client(auth=keelback.StoredAuth(auth_file=path), trust_env=False, follow_redirects=True) as client:
        assert client.get(f"{server.url}/channel").status_code == 200
    path.unlink()
    assert other.seen == [("/storage", None)]


def test_no_credential_goes_over_plain_http_to_another_machine(tmp_path: Path) -> None:
    """Anyone on the way could read it; the request is not sent at all."""
    token = new_secret("token")
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"*.example": {"BearerToken": token}}), encoding="utf-8")
    path.chmod(0o600)
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200))
    with httpx2.Client(auth=keelback.StoredAuth(auth_file=path), transport=transport) as client:
        with pytest.raises(TransportError) as caught:
            client.get("http://private.example/channel")
        assert client.get("https://private.example/channel").status_code == 200
    assert caught.value.code == "plain-http"
    named = keelback.StoredAuth(auth_file=path, insecure_hosts=["private.example"])
    with httpx2.Client(auth=named, transport=transport) as client:
        assert client.get("http://private.example/channel").status_code == 200
    path.unlink()


def test_a_missing_auth_file_is_told_at_once(tmp_path: Path) -> None:
    """Not at the first request, deep in somebody's program."""
    with pytest.raises(CredentialFileError, match="no such file"):
        keelback.StoredAuth(auth_file=tmp_path / "none.json")


class _Keychain(Store):
    """A keychain that counts how often it is asked."""

    name = "the keychain"
    is_keychain = True

    def __init__(self, credential: Credential | None) -> None:
        self.credential = credential
        self.asked = 0

    def get(self, key: str) -> Credential | None:
        self.asked += 1
        return self.credential if key == "127.0.0.1" else None

    def keys(self) -> Sequence[str]:
        return []


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_the_keychain_is_asked_when_the_server_refuses(
    server: _Server, monkeypatch: pytest.MonkeyPatch, *, private: bool, known: bool, asynchronous: bool
) -> None:
    """Never for what everybody may read; and where it knows nothing, the server's answer stands."""
    token = new_secret("token")
    keychain = _Keychain(BearerToken(Secret(token)) if known else None)
    monkeypatch.setattr(stored_auth, "default_stores", lambda *_, **__: [keychain])
    server.right = f"Bearer {token}" if private else None
    if asynchronous:

        async def read() -> int:
            async with httpx2.AsyncClient(auth=keelback.StoredAuth(), trust_env=False) as client:
                return (await client.get(server.url)).status_code

        status = asyncio.run(read())
    else:
        with httpx2.Client(auth=keelback.StoredAuth(), trust_env=False) as client:
            status = client.get(server.url).status_code
    assert status == (200 if known or not private else 401)
    assert bool(keychain.asked) is private
    assert len(server.seen) == (2 if private and known else 1)
