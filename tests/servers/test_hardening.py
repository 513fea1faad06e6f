"""What a hostile, confused or half-broken world cannot do.

Make a failure look like a success, take one file's trouble to the others, get hold of a secret that is not meant for
it, or end a run by not listening to it.
"""

from __future__ import annotations

import hashlib
import json
import signal
import ssl
import threading
from typing import TYPE_CHECKING, Any, Self

import msgspec
import pytest
import trustme
import zstandard

import leaks
from cli_runner import run_keelback, start_keelback
from keelback import ExitStatus, KeelbackError, Outcome, Problem, Report, Retry, Secret, Status, publish
from keelback.channels import fileserver
from keelback.channels.anaconda import AnacondaChannel
from keelback.channels.registry import channel_for
from keelback.credentials.kinds import BearerToken
from keelback.errors import CredentialFileError, ServerError, UsageError
from keelback.report import Reporter
from keelback.transport import Client, Request
from making import make_big_conda, make_conda
from servers.scripted import (
    AnacondaServer,
    Answer,
    ArtifactoryServer,
    Exchange,
    Fault,
    PrefixServer,
    QuetzServer,
    ScriptedServer,
    Trap,
    route,
)

if TYPE_CHECKING:
    from pathlib import Path

    from keelback import PackageArchive
    from servers.scripted import Recorded

SERVERS = {"prefix": PrefixServer, "anaconda": AnacondaServer, "quetz": QuetzServer, "artifactory": ArtifactoryServer}
VARIABLES = {
    "prefix": "PREFIX_API_KEY",
    "anaconda": "ANACONDA_API_KEY",
    "quetz": "QUETZ_API_KEY",
    "artifactory": "ARTIFACTORY_TOKEN",
}
QUICK = Retry(attempts=3, base=0.01)
ONCE = Retry(attempts=1)
INDEXED = "noarch/demo-1.0-h0_0.conda"
PAGE = "<!doctype html><html><head><title>Sign in</title></head><body>Hello</body></html>"
BIG = 5 << 20
"""Bytes of a package that prefix.dev's index is asked for before it is sent."""


def attempt(server: ScriptedServer, token: str, *paths: Path, **options) -> Report:
    """The report of a run that reaches its channel."""
    return publish(paths, server.publish_url, **{"api_key": token, "retry": QUICK, "timeout": 10.0, **options})


def statuses(report: Report) -> list[str]:
    """What became of the archives, in order."""
    return [outcome.status.value for outcome in report.outcomes]


def outcome_of(report: Report) -> Outcome:
    """The one outcome of a run with one archive and one channel."""
    (outcome,) = report.outcomes
    return outcome


def everything_said(error: KeelbackError) -> str:
    """Whatever somebody who caught *error* may print of it."""
    return f"{error} {error!r} {error.args} {error.message} {error.hint}"


def changed(server: ScriptedServer) -> list[Recorded]:
    """The requests that were more than questions."""
    return [request for request in server.requests if request.method not in {"GET", "HEAD"}]


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server."""
    return request.param


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A package that prefix.dev's index is asked for before it is sent."""
    return make_big_conda(tmp_path / "big-1.0-0.conda", BIG)


@pytest.fixture
def ten(tmp_path: Path) -> list[Path]:
    """Ten packages, in the order in which a run takes them."""
    return [make_conda(tmp_path / "ten", f"demo{number}") for number in range(10)]


# --- stopping a local channel -----------------------------------------------------------------------------------------


class Stopping(Reporter):
    """Presses Ctrl-C when the first file is done, and lets the run go on when the main thread has felt it.

    Args:
        sent: press it when bytes are out, which is before a file is done.
    """

    def __init__(self, *, sent: bool = False) -> None:
        self._felt = threading.Event()
        self._when_sent = sent

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, *_: object) -> None:
        self._felt.set()
        raise KeyboardInterrupt

    def sent(self, _archive: PackageArchive, _count: int) -> None:
        """Bytes are out."""
        if self._when_sent and not self._felt.is_set():
            self._press()

    def finished(self, _outcome: Outcome) -> None:
        """One file is done."""
        if not self._when_sent:
            self._press()

    def _press(self) -> None:
        signal.raise_signal(signal.SIGINT)
        assert self._felt.wait(30)


def test_a_stopped_run_does_not_claim_what_readers_of_a_folder_do_not_see(
    demo: Path, other: bytes, tmp_path: Path
) -> None:
    """Files that replace others wait for the end: stopped before that, nothing is replaced, and nobody is told so."""
    channel = tmp_path / "channel"
    publish(demo, str(channel))
    before = (channel / INDEXED).read_bytes()
    demo.write_bytes(other)
    second = make_conda(demo.parent, "second")
    with Stopping(sent=True) as reporter:
        report = publish([demo, second], str(channel), force=True, jobs=1, reporter=reporter)
    assert report.exit_status == ExitStatus.INTERRUPTED == 130
    assert statuses(report) == ["failed", "not-attempted"]
    assert [outcome.error.code for outcome in report.outcomes] == ["interrupted", "not-attempted"]
    assert (channel / INDEXED).read_bytes() == before
    again = publish([demo, second], str(channel), force=True)
    assert (statuses(again), again.exit_status) == (["replaced", "uploaded"], ExitStatus.OK)
    assert (channel / INDEXED).read_bytes() == other


def test_a_stopped_run_does_not_claim_what_is_not_in_the_index_of_a_folder(demo: Path, tmp_path: Path) -> None:
    """A new file that no index names yet has not arrived; the next run finds its bytes there, and names it."""
    channel = tmp_path / "channel"
    publish(make_conda(tmp_path, "first"), str(channel))
    index = channel / "noarch" / "repodata.json"
    with Stopping() as reporter:
        report = publish(demo, str(channel), reporter=reporter)
    assert (statuses(report), report.exit_status) == (["failed"], ExitStatus.INTERRUPTED)
    assert outcome_of(report).error.code == "interrupted"
    assert demo.name not in index.read_text()
    again = publish(demo, str(channel))
    assert (statuses(again), again.exit_status) == (["identical"], ExitStatus.OK)
    assert demo.name in index.read_text()


# --- one archive fails alone ------------------------------------------------------------------------------------------

STAGED = {"post_url": "http://127.0.0.1:1/", "form_data": {"key": "k"}, "dist_id": "d"}
BAD_STAGES = {
    "a host that has no name": ({**STAGED, "post_url": "http://a..b/"}, "transport"),
    "no URL": ({**STAGED, "post_url": "http://[bad/"}, "transport"),
    "half a character in the URL": ({**STAGED, "post_url": "http://127.0.0.1:1/\ud800"}, "transport"),
    "half a character in the host": ({**STAGED, "post_url": "http://\udc80/"}, "transport"),
    "another scheme": ({**STAGED, "post_url": "ftp://127.0.0.1/x"}, "server"),
    "half a character in a field": ({**STAGED, "form_data": {"key": "\ud800"}}, "server"),
    "half a character in a field's name": ({**STAGED, "form_data": {"\udc00": "v"}}, "server"),
}


@pytest.mark.parametrize("case", BAD_STAGES)
def test_an_absurd_answer_about_one_file_is_that_files_alone(token: str, ten: list[Path], case: str) -> None:
    """anaconda.org says where a file goes; where that is nonsense, this file fails with a reason, and nine arrive."""
    answer, code = BAD_STAGES[case]
    fault = Fault("status", when="stage", file=ten[4].name, status=200, body=json.dumps(answer), times=None)
    with AnacondaServer(token, faults=[fault]) as server:
        args = ["publish", "--json", "--retries", "0", "--to", server.publish_url, *ten]
        done = run_keelback(args, env={"ANACONDA_API_KEY": token})
    (channel,) = done.json()["channels"]
    assert done.returncode == ExitStatus.FAILED
    assert channel["summary"] == {"uploaded": 9, "failed": 1}
    assert (channel["outcomes"][4]["status"], channel["outcomes"][4]["error"]["code"]) == ("failed", code)
    assert len(server.files) == 9
    assert "Traceback" not in done.stderr


class Misleading(PrefixServer):
    """Says that the shards of ``linux-64`` are at *base*."""

    def __init__(self, token: str, base: str, **options: Any) -> None:
        super().__init__(token, **options)
        self._base = base

    def read(self, exchange: Exchange, subdir: str, name: str, label: str | None = None) -> Answer:
        """See :class:`ChannelServer`."""
        if (subdir, name) != ("linux-64", "repodata_shards.msgpack.zst"):
            return super().read(exchange, subdir, name, label)
        info = {"subdir": subdir, "base_url": "./", "shards_base_url": self._base}
        index = {"info": info, "version": 1, "shards": {"poisoned": hashlib.sha256(b"x").digest()}}
        return Answer(200, zstandard.compress(msgspec.msgpack.encode(index)))


@pytest.mark.parametrize(
    "base",
    [
        "ftp://h/x/", "http://[bad/", "http://h:999999/", "http://h:abc/", "http:///x", "http://a..b/", "http://h\0/",
        "https://%zz/", "file:///etc/", "https://\u2028exa mple/", "http://" + "a" * 70 + ".x/", "\\\\evil\\x",
    ],
)  # fmt: skip
def test_an_absurd_index_of_one_subdir_is_that_subdirs_alone(token: str, ten: list[Path], base: str) -> None:
    """An index that leads nowhere is a bad index, not a mistake of keelback's; the files of other subdirs arrive."""
    poisoned = make_conda(ten[0].parent.parent, "poisoned", subdir="linux-64")
    with Misleading(token, base) as server:
        report = attempt(server, token, *ten[:9], poisoned, force=True, retry=ONCE)
    assert report.channels[0].summary == {"uploaded": 9, "failed": 1}
    (failed,) = [outcome for outcome in report.outcomes if outcome.status is Status.FAILED]
    assert (failed.name, failed.error.code) == ("poisoned", "bad-index")


def test_whatever_is_raised_for_one_file_is_that_files_alone(
    kind: str, token: str, ten: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a mistake in keelback itself: one file has it for a reason, and the report tells of the other nine."""
    channel = type(channel_for(f"{kind}+https://server.example/artifactory/chan"))
    send = channel.send

    def mistaken(self: object, archive: PackageArchive, **options: Any) -> int:
        if archive.filename == ten[4].name:
            raise ZeroDivisionError("division by zero")
        return send(self, archive, **options)

    monkeypatch.setattr(channel, "send", mistaken)
    with SERVERS[kind](token) as server:
        report = attempt(server, token, *ten)
    assert statuses(report) == ["uploaded"] * 4 + ["failed"] + ["uploaded"] * 5
    error = report.outcomes[4].error
    assert (error.code, error.message) == ("internal", "ZeroDivisionError: division by zero")
    assert "report it" in error.hint


# --- secrets stay where they belong -----------------------------------------------------------------------------------

BAD_PROXIES = [
    "http://user:{}/x@proxy:8080",
    "http://user:{}@[bad",
    "http://user:{}@h:80800",
    "socks5://user:{}@h:1",
    "http://user:{}@h:port",
]


@pytest.mark.parametrize("proxy", BAD_PROXIES)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
def test_a_proxy_that_is_none_is_named_by_its_variables(token: str, demo: Path, proxy: str, variable: str) -> None:
    """The library that cannot read it would quote it, password and all."""
    password = leaks.new_secret("proxy")
    args = ["publish", "--retries", "0", "--to", "quetz+https://server.example/chan", demo]
    done = run_keelback(args, env={"QUETZ_API_KEY": token, variable: proxy.format(password)})
    assert done.returncode == ExitStatus.USAGE
    assert "the proxy that the environment names (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY)" in done.stderr
    assert "user" not in done.stderr


@pytest.mark.parametrize("proxy", BAD_PROXIES)
def test_a_proxy_that_is_none_does_not_show_to_callers(
    kind: str, token: str, demo: Path, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a caller prints of the error or of the report; nothing that it grew from says more."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.format(leaks.new_secret("proxy")))
    try:
        report = publish(demo, f"{kind}+https://server.example/chan", api_key=token, retry=ONCE)
    except UsageError as error:
        leaks.check(everything_said(error) + repr(error.__cause__), "the error")
    else:
        assert report.exit_status == ExitStatus.USAGE
        leaks.check(json.dumps(report.to_json()), "the report")


@pytest.mark.parametrize(
    "shape",
    [
        "quetz+https://server.example/t/{}/get/chan",
        "quetz+https://server.example/base/t/{}/get/chan",
        "quetz+https://server.example/%74/{}/get/chan",
        "quetz+https://server.example/t//{}/get/chan",
        "https://conda.anaconda.org/t/{}/org",
        "https://prefix.dev/t/{}/chan",
        "artifactory+https://server.example/t/{}/api/conda/repo",
        "artifactory+https://server.example/artifactory/api/conda/t/{}/repo",
        "https://server.example/t/{}/chan",
    ],
)
def test_a_token_in_the_destination_is_refused(demo: Path, shape: str) -> None:
    """The destination is in every log, report and URL of a file: nothing goes on from there, nor shows the token."""
    to = shape.format(leaks.new_secret("in-path"))
    with pytest.raises(UsageError) as caught:
        publish(demo, to, api_key="unused-key")
    leaks.check(everything_said(caught.value), "the error")
    done = run_keelback(["publish", "--json", "--to", to, demo], env={"QUETZ_API_KEY": "unused-key"})
    assert (done.returncode, done.json()["error"]["code"]) == (ExitStatus.USAGE, "usage")


@pytest.mark.parametrize("kind", ["prefix", "quetz", "artifactory"])
def test_a_token_in_the_address_of_the_server_is_refused(kind: str, demo: Path) -> None:
    """``--url`` is no other place."""
    url = f"https://server.example/t/{leaks.new_secret('in-url')}/base"
    done = run_keelback(["upload", kind, "--url", url, "-c", "chan", demo], env={VARIABLES[kind]: "unused-key"})
    assert done.returncode == ExitStatus.USAGE
    assert "token" in done.stderr


def baking(kind: str, cookie: str) -> type[ScriptedServer]:
    """A kind of server that sets a cookie with every answer."""
    plain = SERVERS[kind]

    def dress(self: ScriptedServer, answer: Answer) -> Answer:
        answer.headers.append(("Set-Cookie", f"session={cookie}; Path=/"))
        return plain.dress(self, answer)

    return type("Baking", (plain,), {"dress": dress})


def test_no_server_sees_a_cookie_again(kind: str, token: str, ten: list[Path]) -> None:
    """A run is no browser: each request says by its own credential who is asking."""
    with baking(kind, leaks.new_secret("cookie"))(token) as server:
        report = attempt(server, token, *ten, verify=5.0)
    assert report.ok
    assert [request for request in server.requests if request.header("cookie")] == []


def test_a_cookie_does_not_go_to_another_origin(token: str, demo: Path) -> None:
    """Cookies know no ports: the host of the shards, next door, would get that of the server."""
    cookie = leaks.new_secret("cookie")

    class Both(baking("prefix", cookie), Misleading):
        """Sets cookies, and names another origin."""

    poisoned = make_conda(demo.parent, "poisoned", subdir="linux-64")
    with Trap() as trap, Both(token, f"{trap.url}/") as server:
        attempt(server, token, poisoned, force=True)
    assert trap.steps() == ["trap"]
    assert [request.header("cookie") for request in trap.requests] == [None]
    leaks.check(trap.heard(), "what the other origin heard")


@pytest.mark.parametrize(
    ("kind", "variables"),
    [
        ("prefix", ["PREFIX_API_KEY"]),
        ("anaconda", ["ANACONDA_API_KEY"]),
        ("quetz", ["QUETZ_API_KEY"]),
        ("artifactory", ["ARTIFACTORY_TOKEN"]),
        ("artifactory", ["ARTIFACTORY_PASSWORD", "ARTIFACTORY_USERNAME"]),
    ],
)
def test_a_variable_is_for_one_server(
    kind: str, variables: list[str], token: str, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers of a kind in one run: the secret of one is none of the other's business, and nothing is sent."""
    secret, name = variables[0], variables[1:]
    monkeypatch.setenv(secret, token)
    for variable in name:
        monkeypatch.setenv(variable, "ann")
    options = {"username": "ann", "password": token} if name else {"token": token}
    make = ArtifactoryServer if kind == "artifactory" else SERVERS[kind]
    options = options if kind == "artifactory" else {"key" if kind == "quetz" else "token": token}
    with make(**options) as one, make(**options) as two:
        with pytest.raises(UsageError, match=f"{secret} would go to .*{one.port}.* and to .*{two.port}"):
            publish(demo, [one.publish_url, two.publish_url], retry=QUICK)
        assert (changed(one), two.requests) == ([], [])
        twice = publish(demo, [one.publish_url, one.publish_url], retry=QUICK)
    assert statuses(twice) == ["uploaded", "identical"]


def test_a_broken_auth_file_matters_only_where_a_credential_is_looked_up(
    kind: str, token: str, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for a folder, nor where the key is given; where it would be searched, it is an error that names it."""
    broken = tmp_path / "auth.json"
    broken.write_text("[]")
    monkeypatch.setenv("RATTLER_AUTH_FILE", str(broken))
    assert publish(demo, str(tmp_path / "channel")).ok
    with SERVERS[kind](token) as server:
        assert attempt(server, token, demo).ok
        sent = len(server.requests)
        with pytest.raises(CredentialFileError, match="RATTLER_AUTH_FILE"):
            publish(demo, server.publish_url, retry=QUICK)
        monkeypatch.setenv(VARIABLES[kind], token)
        assert len(server.requests) == sent
        assert publish(demo, server.publish_url, retry=QUICK).ok


# --- Quetz ------------------------------------------------------------------------------------------------------------


class Untyped(QuetzServer):
    """Answers without a content type where a fault names none."""

    def dress(self, answer: Answer) -> Answer:
        """See :class:`ScriptedServer`."""
        answer.headers = [(name, value) for name, value in answer.headers if value]
        return answer


NO_SUCCESS = {
    "page": {"status": 200, "media": "html", "body": PAGE},
    "page without a type": {"status": 200, "media": "", "body": PAGE},
    "page created": {"status": 201, "media": "html", "body": PAGE},
    "nothing": {"status": 200, "media": "empty"},
    "not logged in": {"status": 200, "body": '{"detail": "Not logged in"}'},
    "a part of something": {"status": 206, "media": "empty"},
}


@pytest.mark.parametrize("case", NO_SUCCESS)
def test_only_what_quetz_says_of_an_upload_is_a_success(token: str, demo: Path, case: str) -> None:
    """Quetz says 201 (Quetz main.py, upload); whatever else is called a success came from something in between."""
    with Untyped(token, faults=[Fault("status", times=None, **NO_SUCCESS[case])]) as server:
        report = attempt(server, token, demo)
    assert (statuses(report), report.exit_status) == (["failed"], ExitStatus.FAILED)
    assert outcome_of(report).error.code == "server"
    assert server.files == {}


@pytest.mark.parametrize("media", ["html", ""])
def test_a_page_in_place_of_a_quetz_channel_ends_it_all(token: str, demo: Path, media: str) -> None:
    """What answers is not Quetz: it is told before anything goes there."""
    fault = Fault("status", when="channel", status=200, media=media, body=PAGE, times=None)
    with Untyped(token, faults=[fault]) as server:
        with pytest.raises(ServerError, match="web page"):
            attempt(server, token, demo)
        assert server.steps() == ["channel"]


# --- Artifactory and WebDAV -------------------------------------------------------------------------------------------


class Polite(ArtifactoryServer):
    """A WebDAV server that says with a page what it created, as nginx does."""

    def dress(self, answer: Answer) -> Answer:
        """See :class:`ScriptedServer`."""
        if answer.status == 201:
            answer.headers.append(("Content-Type", "text/html"))
            answer.body = b"<html><head><title>201 Created</title></head></html>"
        return super().dress(answer)


def test_a_page_that_says_created_is_a_success_of_webdav(token: str, demo: Path) -> None:
    """nginx, and Apache, describe what they made."""
    with Polite(token, plain_webdav=True) as server:
        report = attempt(server, token, demo)
    assert statuses(report) == ["uploaded"]
    assert server.files[INDEXED].sha256 == hashlib.sha256(demo.read_bytes()).hexdigest()


@pytest.mark.parametrize("plain", [False, True], ids=["Artifactory", "WebDAV"])
def test_any_other_page_is_no_success_of_artifactory(token: str, demo: Path, plain: bool) -> None:  # noqa: FBT001 - a parameter
    """200 and a page is what a log-in in front of a server says to everything."""
    fault = Fault("status", status=200, media="html", body=PAGE, times=None)
    with ArtifactoryServer(token, plain_webdav=plain, faults=[fault]) as server:
        report = attempt(server, token, demo)
    assert (statuses(report), outcome_of(report).error.code) == (["failed"], "server")
    assert "web page" in outcome_of(report).error.message


class Crowded(ArtifactoryServer):
    """Has a file put there by somebody else right after it said that it has none."""

    def __init__(self, token: str, content: bytes) -> None:
        super().__init__(token)
        self._content = content

    def read(self, exchange: Exchange, subdir: str, name: str, label: str | None = None) -> Answer:
        """See :class:`ChannelServer`."""
        answer = super().read(exchange, subdir, name, label)
        if answer.status == 404:
            self.put(f"{subdir}/{name}", self._content)
        return answer


def test_a_file_that_came_since_it_was_asked_for_is_not_overwritten(
    token: str, demo: Path, other: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PUT replaces without a word: an answer that is some time old is not relied on, and the question repeated."""
    monkeypatch.setattr(fileserver, "_GOOD_FOR_SECONDS", -1.0)  # every answer is old
    with Crowded(token, other) as server:
        report = attempt(server, token, demo)
    assert (statuses(report), outcome_of(report).error.code) == (["failed"], "conflict")
    assert (server.files[INDEXED].content, server.files[INDEXED].times_stored) == (other, 1)
    assert server.of_step("upload") == []


def test_an_answer_of_a_moment_ago_is_relied_on(token: str, demo: Path) -> None:
    """One question a file, where nothing else takes time."""
    with ArtifactoryServer(token) as server:
        attempt(server, token, demo)
    assert [request.method for request in server.requests] == ["HEAD", "PUT"]


class Endless(ArtifactoryServer):
    """Sends a file of which the end does not come, whatever size it said."""

    most = 64 << 20

    def __init__(self, token: str) -> None:
        super().__init__(token, plain_webdav=True)
        self.sent = 0

    @route("GET", r"/artifactory/(?P<repo>[^/]+)/(?P<subdir>[^/]+)/(?P<filename>[^/]+)", step="get")
    def flood(self, exchange: Exchange, **_: str) -> Answer:
        """Send until nobody takes it, or it is too much."""
        wire, block = exchange._wire, b"x" * (64 << 10)
        wire.send_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while self.sent < self.most:
            wire.send_raw(b"10000\r\n" + block + b"\r\n")
            self.sent += len(block)
        return Answer(200)


def test_no_more_is_read_of_a_file_than_it_can_have(token: str, demo: Path, other: bytes) -> None:
    """A WebDAV server's own bytes tell what it has, up to the size of what is to be sent, and one more."""
    with Endless(token) as server:
        server.put(INDEXED, demo.read_bytes())
        report = attempt(server, token, demo)
    assert 0 < server.sent < server.most  # what the buffers of two sockets hold
    assert (statuses(report), outcome_of(report).error.code) == (["failed"], "conflict")
    assert "does not say whether with the same bytes" in outcome_of(report).error.message


@pytest.mark.parametrize("plain", [False, True], ids=["Artifactory", "WebDAV"])
def test_sizes_and_bytes_are_asked_for_as_they_are(token: str, demo: Path, plain: bool) -> None:  # noqa: FBT001 - a parameter
    """A proxy that packs what it serves would tell another size, and another length of the bytes."""
    with ArtifactoryServer(token, plain_webdav=plain) as server:
        server.put(INDEXED, demo.read_bytes())
        assert statuses(attempt(server, token, demo)) == ["identical"]
    assert [request.method for request in server.requests] == ["HEAD", "GET"][: 1 + plain]
    assert [request.all("accept-encoding") for request in server.requests] == [["identity"]] * (1 + plain)


# --- prefix.dev -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(401, "credential-refused"), (403, "forbidden"), (500, "server")])
def test_an_index_that_may_not_be_read_stops_no_upload(token: str, big: Path, status: int, code: str) -> None:
    """The server itself refuses what it has; with ``--force`` it would not, and so nothing is sent unseen."""
    second = make_big_conda(big.with_name("big-1.0-1.conda"), BIG)
    with PrefixServer(token, faults=[Fault("status", when="get", status=status, times=None)]) as server:
        forced = attempt(server, token, big, force=True)
        assert server.of_step("upload") == []
        report = attempt(server, token, big, second)
        again = attempt(server, token, big)
    assert (statuses(forced), outcome_of(forced).error.code) == (["failed"], code)
    assert (statuses(report), report.exit_status) == (["uploaded", "uploaded"], ExitStatus.OK)
    assert (statuses(again), outcome_of(again).error.code) == (["failed"], "conflict")
    assert "does not say whether with the same bytes" in outcome_of(again).error.message


def test_a_shard_that_fails_once_is_asked_for_again(token: str, demo: Path) -> None:
    """``--verify`` waits for the index; what could not be read a moment ago is read anew."""
    fault = Fault("status", when="shard", status=404)
    with PrefixServer(token, faults=[fault]) as server:
        report = attempt(server, token, demo, verify=20.0)
    assert (outcome_of(report).visible, report.exit_status) == (True, ExitStatus.OK)
    assert [request.status for request in server.of_step("shard")] == [404, 200]


# --- anaconda.org -----------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_and_is_not_is_not_skipped(token: str, demo: Path) -> None:
    """An upload that was broken off blocks its name: calling that skipped would leave the channel without the file."""
    with AnacondaServer(token, faults=[Fault("status", when="stage", status=409, times=None)]) as server:
        report = attempt(server, token, demo, skip_existing=True)
    error = outcome_of(report).error
    assert (statuses(report), report.exit_status, error.code) == (["failed"], ExitStatus.FAILED, "server")
    assert "as being there, and says that it is not" in error.message


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=413, times=None), Fault("status", when="commit", status=422, times=None)],
    ids=["storage", "commit"],
)
def test_force_says_what_it_has_removed(token: str, demo: Path, other: bytes, fault: Fault) -> None:
    """The API replaces by deleting first: where nothing follows that, the user must know that the old one is gone."""
    with AnacondaServer(token) as server:
        server.put(INDEXED, other)
        server.plan(fault)
        report = attempt(server, token, demo, force=True)
        assert server.files == {}
        server.behave()
        again = attempt(server, token, demo, force=True)
    assert statuses(report) == ["failed"]
    assert "The old file is already removed: run it again" in outcome_of(report).error.hint
    assert statuses(again) == ["uploaded"]


class Chatty(AnacondaServer):
    """A storage that repeats in its answer what it was sent in the form.

    Args:
        token: see :class:`AnacondaServer`.
        status: of that answer.
        shape: of its body, where ``{}`` stands for the fields.
    """

    def __init__(self, token: str, status: int, shape: str) -> None:
        super().__init__(token)
        self._status, self._shape = status, shape

    @route("POST", r"/_upload/(?P<upload_id>[^/]+)", step="upload")
    def form(self, exchange: Exchange, upload_id: str) -> Answer:
        """See :class:`AnacondaServer`."""
        exchange.discard()
        return Answer(self._status, self._shape.format(" and ".join(self.staged[upload_id].form.values())).encode())


SHAPES = {
    "text": "not with {}",
    "JSON": '{{"error": "not with {}"}}',
    "XML": "<Error><Message>not with {}</Message></Error>",
    "at the cut": "x" * 240 + " not with {}",
    "right at the cut": "x" * 290 + " {}",
}


@pytest.mark.parametrize(
    ("status", "shape"), [*((status, shape) for status in (401, 403, 413, 422) for shape in SHAPES), (200, "JSON")]
)
def test_what_the_form_held_does_not_show(token: str, demo: Path, status: int, shape: str) -> None:
    """The policy and the signature of a form let anybody put a file there, as long as they last."""
    with Chatty(token, status, SHAPES[shape]) as server:
        report = attempt(server, token, demo, retry=ONCE)
    assert statuses(report) == ["failed"]
    document = json.dumps(report.to_json())
    leaks.check(document, "the report")
    (staged,) = server.staged.values()
    assert not any(
        value[:10] in document for name, value in staged.form.items() if name in {"policy", "x-amz-signature"}
    )
    assert report.exit_status == ExitStatus.FAILED  # 401 of the storage is no refusal of our token


def test_an_archive_does_not_decide_how_it_is_registered(token: str, tmp_path: Path) -> None:
    """Only what describes a package is taken from its about.json, not what the API is told beside that."""
    about = {
        "name": "evil", "announce": True, "requirements": ["x"], "public": True, "publish": True, "package_types": [],
        "summary": "a summary", "description": "a description", "home": "https://example.com",
    }  # fmt: skip
    demo = make_conda(tmp_path / "dist", about=about)
    with AnacondaServer(token) as server:
        attempt(server, token, demo)
        second = make_conda(tmp_path / "dist", version="2.0", about=about)
        attempt(server, token, second)
    shown = {
        "license": "BSD-3-Clause",
        "summary": "a summary",
        "description": "a description",
        "home": "https://example.com",
    }
    package, update = [request.json() for request in server.of_step("package") if request.method != "GET"]
    release, *_ = [request.json() for request in server.of_step("release") if request.method == "POST"]
    described = {**shown, "package_types": ["conda"], "name": "demo"}
    assert package == {"public": True, "publish": False, "public_attrs": described}
    assert update == {"public_attrs": described}
    assert release == {**shown, "requirements": [], "announce": False}
    server.assert_clean()


def test_a_file_that_is_there_costs_one_question(token: str, ten: list[Path]) -> None:
    """Nothing is registered, staged or labelled for what is there already."""
    with AnacondaServer(token) as server:
        attempt(server, token, *ten)
        before = len(server.requests)
        assert statuses(attempt(server, token, *ten)) == ["identical"] * 10
        cost = [(request.method, request.step) for request in server.requests[before:]]
    assert cost == [("GET", "dist")] * 10


def test_labels_that_a_file_lacks_are_added_once(token: str, demo: Path) -> None:
    """The same file under another label is the same file: it gets the label, and after that costs one question."""
    with AnacondaServer(token) as server:
        server.put(INDEXED, demo.read_bytes())
        channel = AnacondaChannel(server.channel, ["main", "dev"], url=server.service_url)
        first = publish(demo, channel, api_key=token, retry=QUICK)
        asked = [(request.method, request.path) for request in server.requests]
        labels = server.files[INDEXED].labels
        again = publish(demo, channel, api_key=token, retry=QUICK)
    assert (statuses(first), statuses(again)) == (["identical"], ["identical"])
    assert labels == {"main", "dev"}
    assert asked[1:] == [("POST", f"/channels/{server.channel}/dev")]
    assert server.steps() == ["dist", "label", "dist"]
    server.assert_clean()


# --- whoever watches --------------------------------------------------------------------------------------------------


class Broken(Reporter):
    """Raises when one thing is told."""

    def __init__(self, event: str) -> None:
        self.met = 0
        setattr(self, event, self._fail)

    def _fail(self, *_: object) -> None:
        self.met += 1
        raise OSError("the terminal is gone")


@pytest.mark.parametrize("event", ["checked", "channel", "started", "sent", "waiting", "finished", "note"])
def test_a_reporter_that_fails_ends_nothing(token: str, big: Path, demo: Path, event: str) -> None:
    """The archives come first: whoever cannot listen is not told any more."""
    faults = [Fault("status", when="get", status=403, times=None), Fault("status", status=503)]
    reporter = Broken(event)
    with PrefixServer(token, faults=faults) as server:
        report = attempt(server, token, big, demo, reporter=reporter)
    assert (statuses(report), report.exit_status) == (["uploaded", "uploaded"], ExitStatus.OK)
    assert reporter.met == 1
    server.assert_clean()


@pytest.mark.parametrize("form", ["lines", "json"])
@pytest.mark.parametrize("where", ["server", "folder"])
def test_a_reader_that_is_gone_ends_nothing(token: str, ten: list[Path], tmp_path: Path, where: str, form: str) -> None:
    """``keelback publish ... | head -1``: everything is sent, and indexed, to whom ever it cannot be told."""
    channel = tmp_path / "channel"
    with QuetzServer(token) as server:
        to = server.publish_url if where == "server" else str(channel)
        args = ["publish", "-j", "1", "--to", to, *["--json"] * (form == "json"), *ten]
        running = start_keelback(args, env={"QUETZ_API_KEY": token} if where == "server" else {})
        running.process.stdout.close()
        running.process.stdin.close()
        said = running.process.stderr.read().decode()
        running.process.stderr.close()
        running.process.wait(30)
    leaks.check(said, "standard error")
    if where == "server":
        assert len(server.files) == 10
    else:
        records = json.loads((channel / "noarch" / "repodata.json").read_bytes())["packages.conda"]
        assert set(records) == {path.name for path in ten}
    assert "Traceback" not in said
    assert "Exception ignored" not in said


# --- what is given wrongly --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["prefix", "quetz", "anaconda"])
@pytest.mark.parametrize(
    "given", [{"username": "ann", "password": "secret-1"}, {"username": "ann"}, {"password": "x1"}]
)
def test_a_server_of_tokens_takes_no_password(kind: str, token: str, demo: Path, given: dict[str, str]) -> None:
    """Taking no notice of it would leave the user with the thought that it was used."""
    with SERVERS[kind](token) as server:
        with pytest.raises(UsageError, match="takes a token, not a user name and a password"):
            publish(demo, server.publish_url, retry=QUICK, **given)
        with pytest.raises(UsageError, match="takes a token, not a user name and a password"):
            publish(demo, server.publish_url, retry=QUICK, api_key=token, **given)
    assert server.requests == []


@pytest.mark.parametrize(
    "given", [{"username": "ann", "password": "secret-1"}, {"username": "ann"}, {"password": "x1"}]
)
def test_a_token_and_a_password_are_one_too_many(token: str, demo: Path, given: dict[str, str]) -> None:
    """Artifactory takes either; which of two was meant, nobody but the user knows."""
    with ArtifactoryServer(token) as server, pytest.raises(UsageError, match="both a token, and a user name"):
        publish(demo, server.publish_url, api_key=token, retry=QUICK, **given)
    assert server.requests == []


@pytest.mark.parametrize(
    "given", [{"api_key": "secret-1"}, {"username": "ann", "password": "secret-1"}, {"username": "ann"}]
)
def test_a_folder_takes_no_credential(demo: Path, tmp_path: Path, given: dict[str, str]) -> None:
    """A folder with a password does not keep anybody out: who gives one means another channel."""
    with pytest.raises(UsageError, match="takes no credential"):
        publish(demo, str(tmp_path / "channel"), **given)
    assert not (tmp_path / "channel").exists()


@pytest.mark.parametrize("host", ["https://127.0.0.1", "http://127.0.0.1/", "127.0.0.1/chan", "", "a b", "[::1"])
def test_an_insecure_host_is_a_host(token: str, demo: Path, host: str) -> None:
    """What is no host would protect nothing and allow nothing, without a word."""
    with QuetzServer(token) as server:
        args = ["publish", "--to", server.publish_url, "--allow-insecure-host", host, demo]
        done = run_keelback(args, env={"QUETZ_API_KEY": token})
    assert done.returncode == ExitStatus.USAGE
    assert f"{host!r} is not a host name" in done.stderr
    assert server.requests == []


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1:{}", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("LOCALHOST", "localhost"),
        ("LocalHost:1", "localhost"),
    ],
)
def test_an_insecure_host_is_one_however_it_is_written(token: str, demo: Path, host: str, name: str) -> None:
    """With a port, which is of no account, or in capitals: its certificate is not verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1", "localhost").configure_cert(context)
    with QuetzServer(token, tls=context) as server:
        to = server.publish_url.replace("127.0.0.1", name)
        report = publish(demo, to, api_key=token, retry=ONCE, insecure_hosts=[host.format(server.port)])
    assert statuses(report) == ["uploaded"]


@pytest.mark.parametrize("host", ["[2001:db8::1]", "[2001:DB8:0:0::1]", "[2001:db8::1]:8080"])
def test_an_insecure_host_may_be_an_ipv6_address(token: str, host: str) -> None:
    """In brackets, as a URL has it; any spelling of the address is that address."""
    request = Request("GET", "http://[2001:db8::1]/", auth=BearerToken(Secret(token)))
    with Client(insecure_hosts=[host]) as client:
        client._checked_url(request)  # nothing is raised
    with Client(insecure_hosts=["[2001:db8::2]"]) as client, pytest.raises(KeelbackError, match="plain HTTP"):
        client._checked_url(request)


@pytest.mark.parametrize("to", ["prefix.dev/chan", "conda.anaconda.org/org", "registry.example.com:8080/chan"])
def test_a_host_without_a_scheme_is_no_folder(demo: Path, tmp_path: Path, to: str) -> None:
    """Who writes that means the server: a folder of that name would be a success that nobody wanted."""
    done = run_keelback(["publish", "--to", to, demo], cwd=tmp_path)
    assert done.returncode == ExitStatus.USAGE
    assert f"Write https://{to} for the server, or ./{to} for the folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_a_folder_may_be_called_as_a_host_is(demo: Path, tmp_path: Path) -> None:
    """With ``./`` it is a folder, whatever its name."""
    done = run_keelback(["publish", "--to", "./prefix.dev/chan", demo], cwd=tmp_path)
    assert done.returncode == ExitStatus.OK, done.stderr
    assert (tmp_path / "prefix.dev" / "chan" / INDEXED).is_file()


@pytest.mark.parametrize(
    "make", [str, lambda path: path, lambda path: [path], lambda path: [str(path)], lambda path: (path,)]
)
def test_paths_and_folders_may_be_text_or_paths(demo: Path, tmp_path: Path, make: Any) -> None:
    """One or many, text or ``pathlib``: for what is published and for where it goes."""
    report = publish(make(demo), make(tmp_path / "channel"))
    assert (statuses(report), report.ok) == (["uploaded"], True)
    assert (tmp_path / "channel" / INDEXED).is_file()


def test_what_was_not_attempted_says_so_by_one_code(token: str, ten: list[Path], tmp_path: Path) -> None:
    """Whatever stopped the run: a refused credential, an archive that is none, a user."""
    with PrefixServer(token, faults=[Fault("status", status=401, times=None)]) as server:
        refused = attempt(server, token, *ten, jobs=1)
    with Stopping() as reporter:
        stopped = publish(ten, [tmp_path / "first", tmp_path / "second"], jobs=1, reporter=reporter)
    ten[3].write_bytes(b"no package")
    unsound = publish(ten, str(tmp_path / "third"))
    for report in (refused, stopped, unsound):
        left = [outcome for outcome in report.outcomes if outcome.status is Status.NOT_ATTEMPTED]
        assert left
        assert {outcome.error.code for outcome in left} == {"not-attempted"}
    assert [channel.summary for channel in stopped.channels] == [
        {"failed": 1, "not-attempted": 9},
        {"not-attempted": 10},
    ]
    assert stopped.channels[0].error == stopped.channels[0].outcomes[0].error
    assert isinstance(stopped.channels[0].error, Problem)
