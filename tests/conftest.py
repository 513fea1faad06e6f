"""What holds for every test: no network but loopback, an environment that says nothing, and no secret in any output."""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import cli_runner
import leaks

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

REQUIRE_PEERS = "KEELBACK_REQUIRE_PEERS"
PACKAGES = "KEELBACK_PACKAGES"

_TELLING = re.compile(
    r"""(?ix)
    .*_proxy
    | CI | CONTINUOUS_INTEGRATION | GITHUB_.* | GITLAB_.* | CI_.* | BUILDKITE.* | CIRCLE.* | TF_BUILD | SYSTEM_.*
    | ACTIONS_.* | AGENT_.* | JENKINS_.* | TRAVIS.*
    | SSL_CERT_.* | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE | SSLKEYLOGFILE | NETRC
    | RATTLER_.* | PREFIX_.* | ANACONDA_.* | QUETZ_.* | ARTIFACTORY_.* | CLOUDSMITH_.* | S3_.* | AWS_.*
    | AZURE_.* | IDENTITY_.* | MSI_.*
    | GOOGLE_.* | CLOUDSDK_.* | GCE_.* | NO_GCE_CHECK | STORAGE_EMULATOR_HOST
    | K_SERVICE | CLOUD_RUN_.* | FUNCTION_TARGET | GAE_.*
    | CONDA_.* | BINSTAR_.* | STAGING_.* | FEEDSTOCK_.*
    | XDG_.* | DBUS_SESSION_BUS_ADDRESS | NETRC | .*_API_KEY | .*_TOKEN | .*_PASSWORD
    | NO_COLOR | FORCE_COLOR | CLICOLOR.* | COLUMNS | LINES
    | KEELBACK_(?!REQUIRE_PEERS$|PACKAGES$).*
    """
)
_NO_HOST = (".invalid", ".example", ".test")
"""Names that no resolver knows (RFC 6761): they fail here as they do everywhere, and nobody is asked."""

_home: dict[str, str] = {}
"""The variables that say where home is, once there is an empty one, and that this machine is in nobody's cloud."""


class NetworkBlockedError(BaseException):
    """A test reached for something beyond loopback; no code under test may swallow that."""


def pytest_configure(config: pytest.Config) -> None:
    """Bring in the leak check; property tests try the same examples everywhere, and are not timed."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a job in the background: no test could press Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("keelback", derandomize=True, deadline=None)
    settings.load_profile("keelback")
    config.pluginmanager.register(leaks.LeakCheck(), "keelback-leak-check")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Hide the variables that programs listen to, around each test and its fixtures."""
    before = dict(os.environ)
    for name in before:
        if _TELLING.fullmatch(name):
            del os.environ[name]
    os.environ.update(_home)
    try:
        return (yield)
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def _only_loopback() -> Iterator[None]:
    """Block every way out of this machine, within this process."""
    patch = pytest.MonkeyPatch()
    connect, connect_ex, lookup = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(sock: socket.socket, address: object) -> None:
        _allow(sock, address)
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: object) -> int:
        _allow(sock, address)
        return connect_ex(sock, address)

    def guarded_lookup(host: str | bytes | None, *args: object, **options: object) -> object:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name.rstrip(".").endswith(_NO_HOST):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not _is_loopback(name):
            raise NetworkBlockedError(f"a test wanted to look up {name!r}")
        return lookup(host, *args, **options)

    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    patch.setattr(socket, "getaddrinfo", guarded_lookup)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home without anything in it; at the end, no file that a test left may hold a secret."""
    home = str(tmp_path_factory.mktemp("home"))
    _home.update(HOME=home, USERPROFILE=home, KEELBACK_NO_KEYCHAIN="1")  # that keychain would be the developer's own
    _home.update(cli_runner.NO_CLOUD)
    os.environ.update(_home)
    with cli_runner.homes_below(tmp_path_factory.mktemp("cli")):
        yield
    wrong = leaks.check_files(tmp_path_factory.getbasetemp())
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test redacts its own secrets only: an ordinary word among them would spoil the texts of all that follow."""
    monkeypatch.setattr("keelback.secret._known", {})
    monkeypatch.setattr("keelback.secret._pattern", None)


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder of real packages that others built, or a skip."""
    named = os.environ.get(PACKAGES)
    if not named:
        pytest.skip(f"{PACKAGES} names no folder of real packages")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"{PACKAGES} names {folder}, which is no folder")
    return folder


@pytest.fixture
def require_peer():
    """``require_peer(name, available, reason)``: skip where a peer cannot be had, fail where it is required."""

    def require(name: str, available: bool, reason: str) -> None:  # noqa: FBT001 - reads well where it is called
        if available:
            return
        if os.environ.get(REQUIRE_PEERS, "") not in {"", "0"}:
            pytest.fail(f"{REQUIRE_PEERS} is set, and {name} cannot be had: {reason}", pytrace=False)
        pytest.skip(f"{name} cannot be had: {reason}")

    return require


def _allow(sock: socket.socket, address: object) -> None:
    inet = sock.family in {socket.AF_INET, socket.AF_INET6}
    if inet and isinstance(address, tuple) and not _is_loopback(address[0]):
        raise NetworkBlockedError(f"a test wanted to connect to {address[0]!r}")


def _is_loopback(host: str | None) -> bool:
    if host in {None, "", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
