"""On the wire: retries, time-outs, early answers, TLS, proxies and redirects, through ``keelback.publish``."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import select
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpcore2
import pytest
import trustme

import leaks
from keelback import ExitStatus, KeelbackError, Problem, Report, Retry, Status, publish
from keelback.errors import Interrupted, TransportError, UsageError
from keelback.report import Reporter
from keelback.transport import Client, Request
from making import make_big_conda, make_conda
from servers.scripted import (
    AnacondaServer,
    ArtifactoryServer,
    Fault,
    PrefixServer,
    QuetzServer,
    ScriptedServer,
    Trap,
)

if TYPE_CHECKING:
    from keelback import Outcome, PackageArchive

SERVERS = {"prefix": PrefixServer, "anaconda": AnacondaServer, "quetz": QuetzServer, "artifactory": ArtifactoryServer}
QUICK = Retry(attempts=3, base=0.01)
HOST = "registry.example"
"""A host that no resolver knows: it can be reached through a proxy only."""
MEGABYTE = 1 << 20


class Notes(Reporter):
    """Keeps what a run says of itself."""

    def __init__(self) -> None:
        self.waits: list[tuple[float, str]] = []
        self.notes: list[str] = []

    def waiting(self, _archive: PackageArchive, seconds: float, why: str) -> None:
        """Something is tried again."""
        self.waits.append((seconds, why))

    def note(self, text: str) -> None:
        """A sentence for the user."""
        self.notes.append(text)


def attempt(server: ScriptedServer, token: str, *paths: Path, to: str | None = None, **options) -> Report:
    """The report of a run, also of one that ends before anything is sent."""
    options = {"retry": QUICK, "timeout": 10.0, **options}
    try:
        return publish(paths, to or server.publish_url, api_key=token, **options)
    except KeelbackError as error:
        return Report(error=Problem.of(error))


def outcome_of(report: Report) -> Outcome:
    """The one outcome of a run with one archive and one channel."""
    assert report.error is None, report.error
    (outcome,) = report.outcomes
    return outcome


def problem_of(report: Report) -> Problem:
    """What went wrong, wherever in the report it stands."""
    found = [report.error, *(channel.error for channel in report.channels), *(one.error for one in report.outcomes)]
    return next(problem for problem in found if problem is not None)


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server."""
    return request.param


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of more bytes than sockets and buffers hold."""
    return make_big_conda(tmp_path_factory.mktemp("big") / "big-1.0-0.conda", 24 * MEGABYTE)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority that no system trusts."""
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its certificate, as a bundle."""
    path = tmp_path_factory.mktemp("ca") / "bundle.pem"
    authority.cert_pem.write_to_path(path)
    return path


def tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """What a server for *names* speaks TLS 1.3 with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    return context


# --- trying again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_temporary_answer_is_tried_again(kind: str, token: str, demo: Path, status: int) -> None:
    """408, 425, 429 and 5xx to an upload cost one more attempt, and no failure."""
    with SERVERS[kind](token, faults=[Fault("status", status=status)]) as server:
        outcome = outcome_of(attempt(server, token, demo))
    assert (outcome.status, outcome.attempts, outcome.error) == (Status.UPLOADED, 2, None)
    assert server.files[f"noarch/{demo.name}"].times_stored == 1
    server.assert_clean()


@pytest.mark.parametrize("status", [400, 404, 405, 413, 422, 501, 505])
def test_a_final_answer_is_not_tried_again(kind: str, token: str, demo: Path, status: int) -> None:
    """What waiting does not mend is told at once, with the server's own words."""
    with SERVERS[kind](token, faults=[Fault("status", status=status, times=None)]) as server:
        outcome = outcome_of(attempt(server, token, demo))
    assert (outcome.status, outcome.attempts) == (Status.FAILED, 1)
    assert str(status) in outcome.error.message
    assert f"scripted {status}" in outcome.error.message
    assert len(server.of_step("upload")) == 1


def test_it_gives_up_after_all_attempts(kind: str, token: str, demo: Path) -> None:
    """A server that stays broken is asked as often as was allowed, and no more; the message says how often."""
    with SERVERS[kind](token, faults=[Fault("status", status=500, times=None)]) as server:
        report = attempt(server, token, demo)
    outcome = outcome_of(report)
    assert (outcome.status, outcome.attempts, report.exit_status) == (Status.FAILED, 3, ExitStatus.FAILED)
    assert "500 after 3 attempts" in outcome.error.message
    assert len(server.of_step("upload")) == 3


BREAKS = ["reset", "reset-body", "stall", "stall-answer", "keepalive-closed", "keepalive-cut"]


@pytest.mark.parametrize("fault", BREAKS)
def test_a_connection_that_breaks_or_stalls_is_tried_again(kind: str, token: str, tmp_path: Path, fault: str) -> None:
    """Whatever happens to a connection, every file arrives, whole and once."""
    paths = [make_conda(tmp_path, f"demo{number}", payload=300_000) for number in range(3)]
    with SERVERS[kind](token, faults=[Fault(fault, after_bytes=100_000)]) as server:
        report = attempt(server, token, *paths, jobs=1, timeout=0.5)
    assert [outcome.status for outcome in report.outcomes] == [Status.UPLOADED] * 3
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths} == {
        name.partition("/")[2]: stored.sha256 for name, stored in server.files.items()
    }
    assert {stored.times_stored for stored in server.files.values()} == {1}
    server.assert_clean()


@pytest.mark.parametrize("fault", ["lost-answer", "garbage", "truncated"])
def test_an_answer_that_is_lost_or_no_answer_is_no_failure(kind: str, token: str, demo: Path, fault: str) -> None:
    """The server has the file, and could not say so: that is an upload, not a conflict."""
    with SERVERS[kind](token, faults=[Fault(fault)]) as server:
        outcome = outcome_of(attempt(server, token, demo))
    assert outcome.status == Status.UPLOADED
    assert f"noarch/{demo.name}" in server.files
    server.assert_clean()


def test_a_server_that_always_resets_is_a_transport_error(kind: str, token: str, demo: Path) -> None:
    """The message names the host and the number of attempts."""
    with SERVERS[kind](token, faults=[Fault("reset", times=None)]) as server:
        outcome = outcome_of(attempt(server, token, demo))
    assert (outcome.status, outcome.error.code, outcome.attempts) == (Status.FAILED, "transport", 3)
    assert f"127.0.0.1:{server.port}" in outcome.error.message
    assert "3 attempts" in outcome.error.message


def test_a_server_that_never_answers_is_said_to_be_silent(token: str, demo: Path) -> None:
    """A time-out is called one."""
    with QuetzServer(token, faults=[Fault("stall-answer", times=None)]) as server:
        outcome = outcome_of(attempt(server, token, demo, timeout=0.2, retry=Retry(attempts=1)))
    assert "did not answer in time" in outcome.error.message


def test_a_server_that_stops_reading_is_said_to_have_stopped(token: str, big: Path) -> None:
    """The time-out is one for progress: it strikes in the middle of a body as well."""
    with PrefixServer(token, faults=[Fault("stall", times=None)]) as server:
        outcome = outcome_of(attempt(server, token, big, timeout=0.2, retry=Retry(attempts=1)))
    assert "stopped reading" in outcome.error.message
    assert server.of_step("upload")[0].body_size < big.stat().st_size


@pytest.mark.parametrize("value", ["0", formatdate(0, usegmt=True)])
def test_the_server_says_when(kind: str, token: str, demo: Path, value: str) -> None:
    """``Retry-After``, in seconds or as a date, replaces the own wait; the user is told why it waits."""
    notes = Notes()
    with SERVERS[kind](token, faults=[Fault("status", status=503, retry_after=value)]) as server:
        outcome = outcome_of(
            attempt(server, token, demo, retry=Retry(attempts=2, base=1000.0, cap=1000.0), reporter=notes)
        )
    assert outcome.status == Status.UPLOADED
    assert notes.waits == [(0.0, "HTTP 503")]


def test_a_wait_is_as_long_as_the_server_asked_for(token: str) -> None:
    """Not jittered, and not cut to the cap of one's own waits."""
    waits: list[float] = []
    with Trap() as server, Client(retry=Retry(cap=1.0)) as client:
        server.plan(Fault("status", when="any", status=429, retry_after=40))

        def told(seconds: float, why: str) -> None:
            waits.append(seconds)
            client.stop()

        with pytest.raises(Interrupted):
            client.send(Request("GET", server.url, retried=told))
    assert waits == [40.0]


def test_patience_ends_the_wait(kind: str, token: str, demo: Path) -> None:
    """A server that asks for more patience than there is has said no."""
    retry = Retry(attempts=5, base=0.01, patience=30)
    with SERVERS[kind](token, faults=[Fault("status", status=429, retry_after=31)]) as server:
        outcome = outcome_of(attempt(server, token, demo, retry=retry))
    assert (outcome.status, outcome.error.code, outcome.attempts) == (Status.FAILED, "rate-limited", 1)


def test_connections_are_kept(kind: str, token: str, tmp_path: Path) -> None:
    """Ten files one after the other take one connection for the uploads."""
    paths = [make_conda(tmp_path, f"demo{number}") for number in range(10)]
    with SERVERS[kind](token) as server:
        assert attempt(server, token, *paths, jobs=1).ok
    assert len({request.connection for request in server.of_step("upload")}) == 1


def test_a_connection_that_never_was_leaves_nothing_in_doubt(
    token: str, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first attempt did not even connect, a file that is there was there before: identical, not uploaded."""
    connect, calls = httpcore2.SyncBackend.connect_tcp, []

    def refuse_once(*args: object, **options: object) -> object:
        calls.append(args)
        if len(calls) == 1:
            raise httpcore2.ConnectError("Connection refused")
        return connect(*args, **options)

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", refuse_once)
    with PrefixServer(token) as server:
        server.put(f"noarch/{demo.name}", demo.read_bytes())
        outcome = outcome_of(attempt(server, token, demo))
    assert (outcome.status, outcome.attempts) == (Status.IDENTICAL, 2)


# --- big bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("then", ["close", "hold", "drain"])
def test_an_early_answer_is_heard(
    kind: str, token: str, big: Path, then: str, scheme: str, authority: trustme.CA, bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A server that refuses a big file at once is heard, whatever it does with the connection, and not asked again."""
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    fault = Fault("early", status=413, then=then, times=None)
    with SERVERS[kind](token, faults=[fault], tls=tls(authority) if scheme == "https" else None) as server:
        outcome = outcome_of(attempt(server, token, big))
    assert (outcome.status, outcome.error.code, outcome.attempts) == (Status.FAILED, "too-large", 1)
    assert sum(request.body_size for request in server.of_step("upload")) < big.stat().st_size


def test_an_early_refusal_of_the_credential_is_heard(token: str, big: Path) -> None:
    """A 401 in the middle of a body is a refused credential, not a broken connection."""
    with PrefixServer(token, faults=[Fault("early", status=401, then="close")]) as server:
        report = attempt(server, token, big)
    assert report.exit_status == ExitStatus.CREDENTIAL
    assert len(server.of_step("upload")) == 1


@pytest.mark.parametrize("size", [MEGABYTE, 3 * MEGABYTE, 24 * MEGABYTE])
def test_session_tickets_are_not_taken_for_an_answer(
    token: str, tmp_path: Path, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """TLS 1.3 sends tickets after the handshake, while the first body is on its way: that is no answer."""
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    path = make_big_conda(tmp_path / "ticket-1.0-0.conda", size)
    with PrefixServer(token, tls=tls(authority)) as server:
        outcome = outcome_of(attempt(server, token, path, retry=Retry(attempts=1)))
    assert (outcome.status, outcome.attempts) == (Status.UPLOADED, 1)
    server.assert_clean()


MEASURE = """
import sys, keelback
report = keelback.publish([sys.argv[1]], sys.argv[2], api_key=sys.stdin.read())
assert report.ok, report.to_json()
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell what a process used")
def test_memory_does_not_grow_with_the_package(
    kind: str, token: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """A body is never whole in memory: 160 MB go through less than 80."""
    path = make_big_conda(tmp_path / "large-1.0-0.conda", 160 * MEGABYTE)
    with SERVERS[kind](token) as server:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path), server.publish_url],
            input=token, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        path.unlink()
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 80 * 1024
    server.assert_clean()


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_ones_own(
    token: str, demo: Path, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The usual variables name the bundle that servers are checked against."""
    monkeypatch.setenv(variable, str(bundle))
    with QuetzServer(token, tls=tls(authority)) as server:
        assert attempt(server, token, demo).ok
    server.assert_clean()


@pytest.mark.parametrize("name", ["127.0.0.1", "other.example"], ids=["unknown authority", "wrong name"])
def test_a_certificate_that_is_not_trusted_is_told_once(
    token: str, demo: Path, name: str, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be the same a moment later: no further attempts, nothing sent, and a hint at the variable."""
    if name != "127.0.0.1":
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    notes = Notes()
    with PrefixServer(token, tls=tls(authority, name)) as server:
        outcome = outcome_of(attempt(server, token, demo, retry=Retry(attempts=5, base=0.01), reporter=notes))
    assert (outcome.status, outcome.error.code, outcome.attempts) == (Status.FAILED, "transport", 1)
    assert "certificate" in outcome.error.message.lower()
    assert "SSL_CERT_FILE" in outcome.error.hint
    assert notes.waits == []
    assert server.requests == []


def test_an_insecure_host_needs_no_certificate(token: str, demo: Path, authority: trustme.CA) -> None:
    """Who names the host in ``--allow-insecure-host`` goes without verification there, and only there."""
    with PrefixServer(token, tls=tls(authority)) as server:
        assert attempt(server, token, demo, insecure_hosts=["127.0.0.1"]).ok
        assert not attempt(server, token, demo, insecure_hosts=["localhost"], force=True).ok
    server.assert_clean()


@pytest.mark.parametrize("content", [None, "", "no certificate\n"], ids=["missing", "empty", "text"])
def test_a_bundle_that_is_none_is_told_by_its_variable(
    token: str, demo: Path, tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """The variable and the file are named; nothing is sent, least of all without verification."""
    wrong = tmp_path / "bundle.pem"
    if content is not None:
        wrong.write_text(content, encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(wrong))
    with QuetzServer(token, tls=tls(authority)) as server:
        report = attempt(server, token, demo)
    assert report.exit_status == ExitStatus.USAGE
    assert f"SSL_CERT_FILE names {wrong}" in problem_of(report).message
    assert server.requests == []


def test_tls_to_a_server_without_it_is_told(token: str, demo: Path) -> None:
    """TLS to a plain server is a mistake in the URL; the error names that URL."""
    with QuetzServer(token) as server:
        to = server.publish_url.replace("http:", "https:")
        problem = problem_of(attempt(server, token, demo, to=to, retry=Retry(attempts=1)))
    assert problem.code == "transport"
    assert f"https://127.0.0.1:{server.port}" in problem.message


# --- plain HTTP, and proxies ------------------------------------------------------------------------------------------


class Proxy(socketserver.ThreadingTCPServer):
    """A forwarding proxy that takes every host for one server.

    Args:
        to: the port behind it.
        credential: what it wants in ``Proxy-Authorization``, if anything.
        context: speak TLS with this.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, to: int, credential: str | None = None, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.to = to
        self.credential = credential
        self.context = context
        self.heads: list[str] = []
        """The head of every request, as it came."""
        self.passed = bytearray()
        """Everything else that was sent through it."""
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def targets(self) -> list[str]:
        """Method and target of every request."""
        return [head.partition(" HTTP/")[0] for head in self.heads]


class _Forward(socketserver.StreamRequestHandler):
    """One connection: a CONNECT is spliced; of anything else, one request is passed on."""

    server: Proxy
    rbufsize = 0

    def setup(self) -> None:
        if self.server.context:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        head = b"".join(iter(self.rfile.readline, b"\r\n"))
        self.server.heads.append(head.decode("latin-1"))
        if self.server.credential and f"proxy-authorization: {self.server.credential}" not in _folded(head):
            self.wfile.write(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.to)) as behind:
            if head.startswith(b"CONNECT "):
                self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                method, target, rest = head.split(b" ", 2)
                path = b"/" + target.split(b"/", 3)[3]
                behind.sendall(b" ".join([method, path, rest]) + b"Connection: close\r\n\r\n")
            with contextlib.suppress(OSError):
                _splice(self.connection, behind, self.server.passed)

    def finish(self) -> None:
        super().finish()
        self.connection.close()


def _folded(head: bytes) -> str:
    """A head whose field names are in lower case."""
    lines = head.decode("latin-1").split("\r\n")
    return "\n".join(name.lower() + colon + value for name, colon, value in (line.partition(":") for line in lines))


def _splice(front: socket.socket, behind: socket.socket, record: bytearray) -> None:
    """Copy both ways until either end closes; keep a record of what goes to the server."""
    while True:
        waiting = isinstance(front, ssl.SSLSocket) and front.pending()
        for one in [front] if waiting else select.select([front, behind], [], [])[0]:
            data = one.recv(65536)
            if not data:
                return
            (behind if one is front else front).sendall(data)
            if one is front:
                record += data


def clean_but_for_its_name(server: ScriptedServer) -> bool:
    """Whether a server that was called :data:`HOST` objects to nothing else."""
    return not server.crashes and all("the Host field" in error for error in server.protocol_errors)


def test_no_secret_goes_over_plain_http(token: str, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is not loopback gets no credential without TLS: not even a connection is made."""
    with QuetzServer(token) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        report = attempt(server, token, demo, to=f"quetz+http://{HOST}/{server.channel}")
    problem = problem_of(report)
    assert problem.code == "plain-http"
    assert f"--allow-insecure-host {HOST}" in problem.hint
    assert proxy.targets == []
    assert server.requests == []


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_host_that_was_named_may_be_spoken_to_through_a_proxy(
    kind: str, token: str, demo: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """``--allow-insecure-host`` and a proxy from the environment: everything goes through the proxy."""
    with SERVERS[kind](token) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv(name, f"http://{proxy.address}")
        to = server.publish_url.replace(f"127.0.0.1:{server.port}", HOST)
        report = attempt(server, token, demo, to=to, insecure_hosts=[HOST.upper()])
    assert report.ok, problem_of(report)
    by_proxy = [request for request in server.requests if request.header("host") == HOST]
    assert len(proxy.heads) == len(by_proxy)
    assert {request.step for request in server.requests if request not in by_proxy} <= {"upload"}  # anaconda's store
    assert all(f"http://{HOST}/" in target for target in proxy.targets)
    assert clean_but_for_its_name(server)


def test_no_proxy_names_hosts_that_are_spoken_to_directly(
    token: str, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in ``NO_PROXY`` is not asked of the proxy, with and without a port."""
    with QuetzServer(token) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        for value in (HOST, ".example", f"other.example,{HOST}:80", "*"):
            monkeypatch.setenv("NO_PROXY", value)
            report = attempt(
                server, token, demo, to=f"quetz+http://{HOST}:80/chan", insecure_hosts=[HOST], retry=Retry(attempts=1)
            )
            assert problem_of(report).code == "transport", value
    assert proxy.targets == []


def test_loopback_is_never_asked_of_a_proxy(kind: str, token: str, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets may go to loopback without TLS because they stay on this machine: so they do, whatever the proxy."""
    with SERVERS[kind](token) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        assert attempt(server, token, demo).ok
    assert proxy.targets == []
    server.assert_clean()


def test_https_goes_through_a_tunnel(
    kind: str, token: str, demo: Path, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy sees the host's name and no more; the certificate is checked against that name."""
    with SERVERS[kind](token, tls=tls(authority, HOST, "127.0.0.1")) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        to = server.publish_url.replace(f"127.0.0.1:{server.port}", HOST)
        report = attempt(server, token, demo, to=to)
    assert report.ok, problem_of(report)
    assert set(proxy.targets) == {f"CONNECT {HOST}:443"}
    assert server.requests
    assert leaks.find("".join(proxy.heads)) == []
    assert clean_but_for_its_name(server)


def test_a_proxy_that_speaks_tls_hears_no_more_than_another(
    kind: str, token: str, demo: Path, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS to the proxy and TLS through it: the inner one is not for the proxy to read."""
    inner, outer = tls(authority, HOST, "127.0.0.1"), tls(authority)
    with SERVERS[kind](token, tls=inner) as server, Proxy(server.port, context=outer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"https://{proxy.address}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        to = server.publish_url.replace(f"127.0.0.1:{server.port}", HOST)
        report = attempt(server, token, demo, to=to)
    leaks.check(bytes(proxy.passed), "what went through the proxy")
    assert report.ok, problem_of(report)
    assert b"HTTP/1.1" not in proxy.passed
    assert set(proxy.targets) == {f"CONNECT {HOST}:443"}
    assert clean_but_for_its_name(server)


def test_a_proxy_gets_its_password_and_nobody_else(
    token: str, demo: Path, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name and password in the proxy's URL go to the proxy, decoded, and not to the server behind it."""
    password = leaks.new_secret("proxy") + "@/%"
    wanted = "Basic " + base64.b64encode(f"ann:{password}".encode()).decode()
    with PrefixServer(token, tls=tls(authority, HOST)) as server, Proxy(server.port, wanted) as proxy:
        monkeypatch.setenv(
            "HTTPS_PROXY",
            f"http://ann:{password.replace('%', '%25').replace('@', '%40').replace('/', '%2F')}@{proxy.address}",
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        report = attempt(server, token, demo, to=f"prefix+https://{HOST}/my-channel")
    assert report.ok, problem_of(report)
    assert all(request.header("proxy-authorization") is None for request in server.requests)
    assert clean_but_for_its_name(server)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_is_a_clear_error(
    token: str, demo: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """It says that the proxy refused, not the server; once, and without the password that was tried."""
    context = tls(authority, HOST) if scheme == "https" else None
    with PrefixServer(token, tls=context) as server, Proxy(server.port, "Basic something-else") as proxy:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://ann:{leaks.new_secret('proxy')}@{proxy.address}")
        report = attempt(server, token, demo, to=f"prefix+{scheme}://{HOST}/my-channel", insecure_hosts=[HOST])
    outcome = outcome_of(report)
    assert outcome.status == Status.FAILED
    assert "407" in outcome.error.message
    assert "proxy" in f"{outcome.error.message} {outcome.error.hint}"
    assert len(proxy.heads) == 1
    assert server.requests == []


def test_a_proxy_of_another_kind_is_wrong_usage(token: str, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheme that is not spoken is named; the password in the URL is not."""
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://ann:{leaks.new_secret('proxy')}@127.0.0.1:9")
    with pytest.raises(UsageError, match="HTTPS_PROXY"):
        publish([demo], f"quetz+https://{HOST}/chan", api_key=token, retry=QUICK)


def test_a_proxy_that_is_not_there_is_a_transport_error(
    token: str, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint points at the proxy's variables."""
    with socket.create_server(("127.0.0.1", 0)) as taken:  # taken, and gone before it is asked
        port = taken.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    with pytest.raises(TransportError) as caught:
        publish([demo], f"quetz+https://{HOST}/chan", api_key=token, retry=QUICK)
    assert "proxy" in caught.value.hint


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("step", ["any", "upload"])
def test_an_upload_is_not_redirected(kind: str, token: str, demo: Path, status: int, step: str) -> None:
    """Neither bytes nor a credential go where a redirect points to, of whatever request of an upload."""
    with Trap() as trap, SERVERS[kind](token) as server:
        server.plan(Fault("redirect", when=step, status=status, to=trap.url, times=None))
        report = attempt(server, token, demo)
    problem = problem_of(report)
    assert report.exit_status == ExitStatus.FAILED
    assert problem.code == "redirect"
    assert f"127.0.0.1:{trap.port}" in problem.message
    assert trap.requests == []


def test_a_redirect_is_not_repeated_with_its_secrets(token: str, demo: Path) -> None:
    """Of a redirect's target, only the host is shown."""
    location = f"https://ann:{leaks.new_secret('userinfo')}@elsewhere.example/t/{leaks.new_secret('path')}/x"
    fault = Fault("status", status=307, media="empty", headers=(("Location", location),))
    with PrefixServer(token, faults=[fault]) as server:
        problem = problem_of(attempt(server, token, demo))
    assert "elsewhere.example" in problem.message
    leaks.check(f"{problem!r}", "the problem")


def test_an_index_elsewhere_is_read_without_the_credential(token: str, demo: Path) -> None:
    """Reading follows a redirect to another origin, where no credential goes."""
    with Trap() as trap, PrefixServer(token, private=True) as server:
        server.plan(Fault("redirect", when="get", status=302, to=trap.url, times=None))
        report = attempt(server, token, demo, verify=0.0)
    assert outcome_of(report).status == Status.UPLOADED
    assert trap.requests
    assert all(request.header("authorization") is None for request in trap.requests)
    leaks.check(trap.heard(), "what another origin heard")
    assert all(request.header("authorization") for request in server.requests)


def test_an_index_that_moved_on_the_same_origin_is_read_with_the_credential(token: str, demo: Path) -> None:
    """The same origin has the same rights."""
    with PrefixServer(token, private=True) as server:
        server.plan(Fault("redirect", when="get", status=301, to=server.url))
        report = attempt(server, token, demo, verify=5.0)
    assert outcome_of(report).visible
    server.assert_clean()


def test_no_redirect_leads_out_of_tls(
    token: str, demo: Path, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From https to http nothing is followed, not even for reading."""
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    notes = Notes()
    with Trap() as trap, PrefixServer(token, tls=tls(authority)) as server:
        server.plan(Fault("redirect", when="get", status=302, to=trap.url, times=None))
        report = attempt(server, token, demo, verify=0.0, reporter=notes)
    assert outcome_of(report).visible is False
    assert trap.requests == []
    assert any("refused" in note for note in notes.notes)


def test_redirects_end(token: str, demo: Path) -> None:
    """A server that redirects for ever is left."""
    notes = Notes()
    with PrefixServer(token) as server:
        server.plan(Fault("redirect", when="get", status=302, to=server.url, times=None))
        report = attempt(server, token, demo, verify=0.0, reporter=notes)
    assert outcome_of(report).visible is False
    assert any("redirects too often" in note for note in notes.notes)


@pytest.mark.parametrize(
    "location", ["http://[", "http://ho st.example/", "ftp://127.0.0.1/x", "file:///etc/passwd", "//", "http:///x"]
)
def test_a_redirect_to_nowhere_is_an_error_and_no_more(token: str, demo: Path, location: str) -> None:
    """Whatever stands in a Location, for reading and for uploading."""
    fault = Fault("status", when="any", status=302, media="empty", headers=(("Location", location),), times=None)
    with PrefixServer(token, faults=[fault]) as server:
        uploading = attempt(server, token, demo)
        server.behave()
        server.plan(Fault("status", when="get", status=302, media="empty", headers=fault.headers, times=None))
        reading = attempt(server, token, demo, verify=0.0)
    assert problem_of(uploading).code == "redirect"
    assert outcome_of(reading).status == Status.UPLOADED
    assert reading.exit_status == ExitStatus.NOT_VISIBLE
