"""Logins by OAuth against a server that follows the RFCs to the letter, or lies, stalls and breaks off as told."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

import leaks
from keelback.credentials.authfile import FileStore
from keelback.credentials.kinds import BearerToken, OAuth
from keelback.credentials.logins import log_out
from keelback.credentials.oauth.login import Login, log_in
from keelback.credentials.oauth.renewal import renewal_for, renewing
from keelback.credentials.oauth.revocation import revoke
from keelback.credentials.oauth.settings import Interaction, Prompt, Settings
from keelback.errors import (
    CredentialError,
    CredentialStoreError,
    ExitStatus,
    KeelbackError,
    TransportError,
    UsageError,
)
from keelback.secret import Secret
from keelback.transport import Client, Retry
from servers.scripted import Fault, Trap
from servers.scripted.oauth import NAME, USER_CODE, OAuthServer, visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = 1_800_000_000
HOUR = 3600
PAGE = "<!doctype html><html><head><title>Sign in</title></head><body>Hello</body></html>"


class Person:
    """Somebody in front of a terminal: keeps what was shown, and how long was waited, in no time."""

    def __init__(self, open_browser: Callable[[str], bool] = lambda _: False, browser_seconds: float = 30.0) -> None:
        self.prompts: list[Prompt] = []
        self.waits: list[float] = []
        self.interaction = Interaction(self.prompts.append, open_browser, self.waits.append, browser_seconds)


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    """A server that logs ann in."""
    with OAuthServer() as running:
        yield running
    running.assert_clean()


@pytest.fixture
def client() -> Iterator[Client]:
    """What the login sends its requests with."""
    with Client(retry=Retry(attempts=1)) as one:
        yield one


def login(
    client: Client, server: OAuthServer, person: Person | None = None, *, now: float = NOW, **settings: Any
) -> Login:
    """A login in the browser, which is the server's own unless *person* has another."""
    settings = {"flow": "auth-code", **settings}
    interaction = (person or Person(server.browse)).interaction
    return log_in(client, Settings(server.issuer, **settings), interaction, now=lambda: now)


def refused(client: Client, server: OAuthServer, person: Person | None = None, **settings: Any) -> KeelbackError:
    """The error of a login that does not succeed; nothing that it says may hold a secret."""
    with pytest.raises(KeelbackError) as caught:
        login(client, server, person, **settings)
    error = caught.value
    leaks.check(f"{error} {error!r} {error.hint}", "the error")
    return error


# --- discovery --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"issuer": "https://elsewhere.example"}, "calls itself 'https://elsewhere.example'"),
        ({"issuer": None}, "is not the issuer"),
        ({"token_endpoint": None}, "The token_endpoint of 127.0.0.1 is not a string"),
        ({"token_endpoint": "http://elsewhere.example/token"}, "The token_endpoint of 127.0.0.1 is not https"),
        (
            {"authorization_endpoint": "http://elsewhere.example/"},
            "authorization_endpoint of 127.0.0.1 is not https",
        ),
        ({"authorization_endpoint": "file:///etc/passwd"}, "is no https URL"),
        ({"authorization_endpoint": "https://e.example/#x"}, "is no https URL"),
        ({"revocation_endpoint": "https://u:p@e.example/"}, "is no https URL"),
        ({"device_authorization_endpoint": ["https://e.example/"]}, "is not a string"),
    ],
)
def test_a_server_that_describes_itself_badly_is_refused(
    client: Client, server: OAuthServer, metadata: dict[str, Any], told: str
) -> None:
    """Another issuer, or an endpoint that is missing or could be listened to, ends the login before it begins."""
    server.metadata = metadata
    error = refused(client, server)
    assert (error.code, error.exit_status) == ("login-failed", ExitStatus.CREDENTIAL)
    assert told in error.message
    assert server.steps() == ["discovery"]


def test_a_slash_too_many_is_told(client: Client, server: OAuthServer) -> None:
    """The issuer has to be exactly equal; where only a slash differs, the hint has what to write."""
    with pytest.raises(CredentialError) as caught:
        log_in(client, Settings(f"{server.issuer}/"), Person().interaction)
    assert caught.value.hint == f"Write it exactly so: --oauth-issuer-url {server.issuer}."


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "discovery", status=404),
        Fault("status", "discovery", status=200, media="html", body=PAGE),
        Fault("status", "discovery", status=200, body="[]"),
        Fault("redirect", "discovery", status=302, to="https://elsewhere.example"),
    ],
    ids=["404", "a page", "a list", "a redirect"],
)
def test_a_server_without_oauth_says_so(client: Client, server: OAuthServer, fault: Fault) -> None:
    """Any web server answers something; what is no description means that it takes no such logins."""
    server.plan(fault)
    error = refused(client, server)
    assert error.code == "no-oauth"
    assert "127.0.0.1 does not offer OAuth logins" in error.message
    assert "--oauth-issuer-url" in error.hint


def test_a_description_of_many_megabytes_is_not_read(client: Client, server: OAuthServer) -> None:
    """What a server says of itself is short."""
    server.metadata = {"padding": "x" * (1 << 20)}
    assert refused(client, server).code == "transport"


@pytest.mark.parametrize("issuer", ["idp.example", "https://idp.example?x", "ftp://idp.example", ""])
def test_an_issuer_is_a_url(client: Client, issuer: str) -> None:
    """What is no URL, or has a query, is told before anything is sent."""
    with pytest.raises(KeelbackError, match=r"no issuer|no http"):
        log_in(client, Settings(issuer), Person().interaction)


def test_nothing_is_asked_over_plain_http(client: Client) -> None:
    """Anybody on the way could answer with endpoints of their own."""
    with pytest.raises(TransportError) as caught:
        log_in(client, Settings("http://idp.example"), Person().interaction)
    assert caught.value.code == "plain-http"


# --- authorization code -----------------------------------------------------------------------------------------------


def test_a_login_in_the_browser(client: Client, server: OAuthServer) -> None:
    """What is stored is what the server gave, and the browser is told that it is done."""
    person = Person(server.browse)
    done = login(client, server, person)
    credential = done.credential
    assert done.name == NAME
    assert server.live[credential.access_token.reveal()] == "access_token"
    assert credential.refresh_token is not None
    assert server.live[credential.refresh_token.reveal()] == "refresh_token"
    assert credential.expires_at == NOW + HOUR
    assert credential.token_endpoint == f"{server.url}/token"
    assert credential.revocation_endpoint == f"{server.url}/revoke"
    assert credential.client_id == "rattler"
    assert server.page.status == 200
    assert "go back to the terminal" in server.page.text
    (prompt,) = person.prompts
    assert prompt.opened
    assert prompt.code is None
    assert prompt.url.startswith(f"{server.url}/authorize?response_type=code&client_id=rattler&")
    with pytest.raises(urllib.error.URLError):  # nobody listens any more
        visit(server.page.url)


def test_an_application_with_a_password_shows_it(client: Client) -> None:
    """It goes into the header that is made for it, and nowhere else."""
    secret = leaks.new_secret("client-secret", special=True)
    with OAuthServer(client_secret=secret) as server:
        login(client, server, client_secret=Secret(secret))
    server.assert_clean()


def test_a_server_that_knows_one_address_only_gets_it(client: Client, server: OAuthServer) -> None:
    """A redirect URI that was registered is used as it is, port and path."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    login(client, server, redirect_uri=f"http://127.0.0.1:{port}/callback")
    assert server.page.url.startswith(f"http://127.0.0.1:{port}/callback?code=")


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1",
        "https://127.0.0.1:80",
        "http://example.com:80/",
        "http://[::1",
        "nonsense",
        "http://localhost:0",
    ],
)
def test_a_redirect_uri_is_one_of_this_machine_with_a_port(client: Client, server: OAuthServer, uri: str) -> None:
    """Anything else could not be listened on, or would send the code away."""
    with pytest.raises(UsageError, match="no address on this machine with a port"):
        login(client, server, redirect_uri=uri)


def test_a_port_that_is_taken_is_told(client: Client, server: OAuthServer) -> None:
    """The message names it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = refused(client, server, redirect_uri=f"http://127.0.0.1:{port}")
    assert f"port {port}" in error.message
    assert "device-code" in error.hint


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("code=x", 400),
        ("code=x&state=wrong", 400),
        ("code=x&state=w%C3%A9%ED%A0%80", 400),
        ("code=x&state=STATE&state=STATE", 400),
        ("error=access_denied&state=wrong", 400),
        ("state=STATE&" + "&".join(f"p{n}=" for n in range(50)), 400),
    ],
)
def test_a_request_with_a_wrong_state_is_refused_and_does_not_end_the_wait(
    client: Client, server: OAuthServer, query: str, status: int
) -> None:
    """Any page in the browser can send one; the right one may still come."""
    answers = []

    def browse(url: str) -> bool:
        asked = httpx2.URL(url).params
        back = asked["redirect_uri"]
        answers.append(visit(f"{back}/?{query.replace('STATE', asked['state'])}"))
        answers.append(visit(f"{back}/favicon.ico"))
        answers.append(visit(back, b"posted"))
        return server.browse(url)

    assert login(client, server, Person(browse)).name == NAME
    assert [answer.status for answer in answers] == [status, 404, 501]
    assert "not the answer to the login" in answers[0].text


def test_a_browser_that_connects_and_says_nothing_is_not_waited_for(client: Client, server: OAuthServer) -> None:
    """Browsers open connections in advance; the answer comes on another."""
    with contextlib.ExitStack() as stack:

        def browse(url: str) -> bool:
            back = httpx2.URL(httpx2.URL(url).params["redirect_uri"])
            for _ in range(3):
                stack.enter_context(socket.create_connection((back.host, back.port)))
            return server.browse(url)

        assert login(client, server, Person(browse)).name == NAME


def test_an_error_in_the_browser_is_shown_there_and_told_here(client: Client, server: OAuthServer) -> None:
    """What the server says is shown as text, whatever it is."""
    server.redirect = {
        "error": "access_denied",
        "error_description": "<script>alert(1)</script>\x1b[31m not today",
        "state": "STATE",
    }
    error = refused(client, server)
    assert error.message == ("127.0.0.1 did not log you in: access_denied: <script>alert(1)</script>?[31m not today")
    assert "&lt;script&gt;" in server.page.text
    assert "<script>" not in server.page.text
    assert "default-src 'none'" in server.page.headers["content-security-policy"]
    assert server.of_step("token") == []


@pytest.mark.parametrize(
    ("redirect", "metadata"),
    [
        ({"code": "c", "state": "STATE", "iss": "https://elsewhere.example"}, {}),
        ({"code": "c", "state": "STATE"}, {"authorization_response_iss_parameter_supported": True}),
    ],
    ids=["another issuer", "no issuer"],
)
def test_the_answer_of_another_server_is_refused(
    client: Client, server: OAuthServer, redirect: dict[str, str], metadata: dict[str, Any]
) -> None:
    """A code that another server gave is not sent to this one (RFC 9207)."""
    server.redirect = redirect
    server.metadata = metadata
    assert "another server" in refused(client, server).message
    assert server.of_step("token") == []


def test_an_answer_with_nothing_in_it_ends_the_login(client: Client, server: OAuthServer) -> None:
    """Neither a code nor an error: there is nothing to wait for."""
    server.redirect = {"state": "STATE"}
    assert "neither a code nor an error" in refused(client, server).message


def test_a_browser_that_never_comes_back_is_not_waited_for_forever(client: Client, server: OAuthServer) -> None:
    """After the deadline, the error says what to do without a browser."""
    person = Person(lambda _: True, browser_seconds=0.01)
    error = refused(client, server, person)
    assert "no answer came from the browser" in error.message
    assert "device-code" in error.hint


def test_without_a_browser_the_person_is_shown_what_to_open(client: Client, server: OAuthServer) -> None:
    """Asked for the browser of this machine, keelback waits for it, whoever opens it."""
    person = Person()
    person.interaction = Interaction(lambda prompt: server.browse(prompt.url), lambda _: False)
    assert login(client, server, person).name == NAME


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": "somebody"}, "aud"),
        ({"aud": ["somebody", "else"]}, "aud"),
        ({"aud": ["rattler", "else"], "azp": "else"}, "azp"),
        ({"iss": "https://elsewhere.example"}, "iss"),
        ({"exp": NOW - HOUR}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": "tomorrow"}, "exp"),
    ],
)
def test_an_id_token_that_is_not_for_this_login_ends_it(
    client: Client, server: OAuthServer, claims: dict[str, Any], told: str
) -> None:
    """Another login's, another application's, another server's, or an old one."""
    server.claims = claims
    with pytest.raises(CredentialError, match=rf"\({told}\)") as caught:
        login(client, server)
    assert caught.value.code == "login-failed"


@pytest.mark.parametrize("id_token", ["x", "a.b.c", "a.W10.c", "a.bnVsbA.c", "a.b.c.d.e"])
def test_an_id_token_that_cannot_be_read_ends_the_login(client: Client, server: OAuthServer, id_token: str) -> None:
    """It would say who it is for."""
    server.tokens = {"id_token": id_token}
    assert "cannot be read" in refused(client, server).message


def test_a_server_that_does_not_say_who_logged_in_is_fine(client: Client, server: OAuthServer) -> None:
    """OAuth without OpenID Connect; and a person with a number for a name."""
    server.claims = {"email": None}
    assert login(client, server).name == "7"
    server.tokens = {"id_token": None}
    assert login(client, server).name is None


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "expires_at"),
    [
        ({}, NOW + HOUR),
        ({"expires_in": None}, None),
        ({"expires_in": "600"}, NOW + 600),
        ({"expires_in": 0.5}, NOW),
        ({"expires_in": -7}, NOW),
        ({"expires_in": "soon"}, None),
        ({"expires_in": True}, None),
        ({"expires_in": 10**40}, NOW + 100 * 365 * 86_400),
        ({"token_type": "bEARER"}, NOW + HOUR),
        ({"refresh_token": None}, NOW + HOUR),
    ],
)
def test_what_a_server_may_say_of_a_token(
    client: Client, server: OAuthServer, tokens: dict[str, Any], expires_at: int | None
) -> None:
    """A token without expiry is one, and so is one without a refresh token."""
    server.tokens = tokens
    done = login(client, server)
    assert done.credential.expires_at == expires_at
    assert (done.credential.refresh_token is None) == ("refresh_token" in tokens)


@pytest.mark.parametrize(
    ("tokens", "code"),
    [
        ({"access_token": None}, "login-failed"),
        ({"access_token": 7}, "login-failed"),
        ({"access_token": "two\nlines"}, "bad-token"),
        ({"refresh_token": ""}, "bad-token"),
        ({"token_type": "mac"}, "login-failed"),
        ({"token_type": None}, "login-failed"),
    ],
)
def test_tokens_that_cannot_be_used_end_the_login(
    client: Client, server: OAuthServer, tokens: dict[str, Any], code: str
) -> None:
    """What is stored could be sent."""
    server.tokens = tokens
    assert refused(client, server).code == code


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("status", "token", status=200, media="html", body=PAGE), "no JSON object: Sign in"),
        (Fault("status", "token", status=200, media="empty"), "no JSON object"),
        (Fault("status", "token", status=500, media="html"), "HTTP 500"),
        (Fault("status", "token", status=400, body='{"error": "invalid_client"}'), "invalid_client"),
        (Fault("status", "token", status=403, body="{}"), "HTTP 403"),
        (Fault("redirect", "token", status=307), "sends the request elsewhere"),
        (Fault("truncated", "token"), "(1 attempt)"),
        (Fault("lost-answer", "token"), "(1 attempt)"),
        (Fault("garbage", "token"), "(1 attempt)"),
        (Fault("status", "token", status=200, body='{"x": "' + "x" * (1 << 17) + '"}'), "larger than"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_a_code_is_shown_once_whatever_comes_of_it(server: OAuthServer, fault: Fault, told: str) -> None:
    """It is good for one use: whatever the client would do with other requests, this one is not sent again."""
    with Trap() as elsewhere, Client(retry=Retry(attempts=5, base=0.001)) as patient:
        fault.to = elsewhere.url
        server.plan(fault)
        assert told in refused(patient, server).message
    assert len(server.of_step("token")) == 1
    assert elsewhere.requests == []


@pytest.mark.parametrize("kind", ["stall", "stall-answer"])
def test_a_token_endpoint_that_stalls_is_not_waited_for(
    client: Client, server: OAuthServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a request has a deadline of its own, whatever the client's is."""
    monkeypatch.setattr("keelback.credentials.oauth.tokens.SECONDS", 0.05)
    server.plan(Fault(kind, "token"))
    assert "the server did not answer in time" in refused(client, server).message


# --- device code ------------------------------------------------------------------------------------------------------


def test_a_login_with_a_device_code(client: Client, server: OAuthServer) -> None:
    """The person is shown where to go and what to type; the server is asked as often as it wants to be."""
    server.polls.extend(["authorization_pending", "authorization_pending", "slow_down", "authorization_pending"])
    opened = []
    person = Person(lambda url: opened.append(url) or True)
    done = login(client, server, person, flow="device-code")
    assert done.name == NAME
    assert person.prompts == [Prompt(f"{server.url}/activate", USER_CODE, opened=True)]
    assert opened == [f"{server.url}/activate?user_code={USER_CODE}"]
    assert person.waits == [5, 5, 5, 10, 10]
    (asked,) = server.of_step("device")
    assert b"scope=openid+profile+offline_access" in (asked.body or b"")


@pytest.mark.parametrize(
    ("device", "waits"),
    [
        ({}, [5, 10, 15, 20]),
        ({"interval": None}, [5, 10, 15, 20]),
        ({"interval": 0}, [5, 10, 15, 20]),
        ({"interval": "soon"}, [5, 10, 15, 20]),
        ({"interval": 1e300}, [60, 65]),
        ({"interval": 0.001}, [1, 6, 11, 16, 21]),
    ],
)
def test_an_endless_slow_down_ends_with_the_code(
    client: Client, server: OAuthServer, device: dict[str, Any], waits: list[float]
) -> None:
    """Five seconds more each time, until the code is good no longer."""
    server.device = {"expires_in": 60 if waits[0] < 60 else 130, **device}
    server.polls.extend(["slow_down", "..."])
    person = Person()
    error = refused(client, server, person, flow="device-code")
    assert "was not confirmed while its code was good" in error.message
    assert person.waits == waits


def test_a_code_that_is_said_to_live_forever_does_not(client: Client, server: OAuthServer) -> None:
    """After an hour, whoever was to confirm it has gone."""
    server.device = {"expires_in": 1e18, "interval": 60}
    server.polls.extend(["authorization_pending", "..."])
    person = Person()
    refused(client, server, person, flow="device-code")
    assert sum(person.waits) == HOUR


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("access_denied", "the login was refused in the browser"),
        ("expired_token", "was not confirmed while its code was good"),
        ("invalid_scope", "invalid_scope: as scripted"),
    ],
)
def test_an_error_ends_the_wait(client: Client, server: OAuthServer, error: str, told: str) -> None:
    """A no, in the browser or by the server, is no reason to go on asking."""
    server.polls.extend(["authorization_pending", error])
    assert told in refused(client, server, Person(), flow="device-code").message
    assert len(server.of_step("token")) == 2


def test_trouble_on_the_way_makes_the_wait_longer_and_does_not_end_it(client: Client, server: OAuthServer) -> None:
    """A connection that breaks, or a server that is busy: twice as long until the next question (RFC 8628, 3.5)."""
    server.plan(Fault("reset", "token"), Fault("status", "token", status=503))
    person = Person()
    assert login(client, server, person, flow="device-code").name == NAME
    assert person.waits == [5, 10, 20]


def test_a_server_that_is_gone_ends_the_wait(client: Client, server: OAuthServer) -> None:
    """Five times nothing is an answer."""
    server.plan(Fault("reset", "token", times=None))
    person = Person()
    assert refused(client, server, person, flow="device-code").code == "transport"
    assert person.waits == [5, 10, 20, 40, 60]


@pytest.mark.parametrize(
    "device",
    [
        {"device_code": None},
        {"user_code": None},
        {"user_code": "\x1b]0;evil\x07"},
        {"user_code": "x" * 100},
        {"verification_uri": None},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "http://elsewhere.example/"},
        {"verification_uri_complete": "file:///etc/passwd"},
    ],
)
def test_what_cannot_be_shown_or_opened_is_not(client: Client, server: OAuthServer, device: dict[str, Any]) -> None:
    """A code with control characters could write anything into a terminal; a URL could be no page."""
    server.device = device
    opened: list[str] = []
    person = Person(lambda url: opened.append(url) or True)
    assert refused(client, server, person, flow="device-code").code == "login-failed"
    assert (opened, person.prompts) == ([], [])


def test_ctrl_c_ends_the_wait(client: Client, server: OAuthServer) -> None:
    """Whoever does not want to wait need not."""
    server.polls.extend(["authorization_pending", "..."])

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    person = Person()
    person.interaction = replace(person.interaction, wait=interrupted)
    with pytest.raises(KeyboardInterrupt):
        login(client, server, person, flow="device-code")


@pytest.mark.parametrize("flow", ["device-code", "auth-code", "auto"])
def test_a_server_without_device_codes(client: Client, server: OAuthServer, flow: str) -> None:
    """Who asked for one is told of the other way; who did not is not disturbed."""
    server.metadata = {"device_authorization_endpoint": None}
    if flow == "device-code":
        error = refused(client, server, flow=flow)
        assert error.code == "no-oauth"
        assert "--oauth-flow auth-code" in error.hint
    else:
        assert login(client, server, flow=flow).name == NAME


def test_without_a_browser_auto_means_a_device_code(client: Client, server: OAuthServer) -> None:
    """The browser of this machine if there is one, any other if there is none."""
    person = Person(lambda _: False)
    assert login(client, server, person, flow="auto").name == NAME
    assert [prompt.code for prompt in person.prompts] == [USER_CODE]
    assert login(client, server, flow="auto").name == NAME
    assert server.grants("authorization_code") == 1


def test_a_refused_device_request_is_told(client: Client, server: OAuthServer) -> None:
    """In the server's words."""
    body = json.dumps({"error": "unauthorized_client", "error_description": "device flow is off"})
    server.plan(Fault("status", "device", status=400, body=body))
    error = refused(client, server, Person(), flow="device-code")
    assert error.message == "127.0.0.1 gave no device code: unauthorized_client: device flow is off"


# --- renewal ----------------------------------------------------------------------------------------------------------

KEY = "*.conda.example"


class Kept:
    """A login as some earlier run of keelback left it in a file."""

    def __init__(self, path: Path, server: OAuthServer) -> None:
        self.path = leaks.holds_secrets(path)
        self.server = server
        access, refresh = server.new_login()
        self.login = OAuth(Secret(access), Secret(refresh), NOW + 10, f"{server.url}/token", None, "rattler")
        self.write(self.login)

    def write(self, login: OAuth | BearerToken | None) -> None:
        """Put *login* into the file, as another program would."""
        self.store().update(KEY, lambda _: login)

    def store(self) -> FileStore:
        """The file as it is now."""
        return FileStore(self.path, f"the file ({self.path})")

    def stored(self) -> OAuth:
        """What is in the file now."""
        login = self.store().get(KEY)
        assert isinstance(login, OAuth)
        return login

    def current(self, store: FileStore | None = None, *, now: float = NOW) -> OAuth:
        """What a request is sent with at the time *now*."""
        return renewal_for(store or self.store(), KEY, now=lambda: now).current()

    def ended(self, *, now: float = NOW, code: str = "login-expired") -> KeelbackError:
        """The error of a login that is no longer good at the time *now*."""
        with pytest.raises(KeelbackError) as caught:
            self.current(now=now)
        error = caught.value
        leaks.check(f"{error} {error!r} {error.hint}", "the error")
        status = ExitStatus.CREDENTIAL if code == "login-expired" else ExitStatus.FAILED
        assert (error.code, error.exit_status) == (code, status)
        assert (
            error.hint
            == {
                "login-expired": "Log in again: keelback auth login conda.example.",
                "transport": "Check the network; the login itself may still be good.",
                "server": "Try again later; the login itself may still be good.",
            }[code]
        )
        return error

    @property
    def renewals(self) -> int:
        """How many renewals the server was asked for."""
        return len(self.server.of_step("token"))


@pytest.fixture
def kept(tmp_path: Path, server: OAuthServer) -> Kept:
    """A login whose token ends in ten seconds."""
    return Kept(tmp_path / "auth.json", server)


@pytest.mark.parametrize(("left", "renewals"), [(None, 0), (HOUR, 0), (301, 0), (299, 1), (1, 1), (-HOUR, 1)])
def test_a_token_is_renewed_five_minutes_before_its_end(kept: Kept, left: int | None, renewals: int) -> None:
    """What is said to have no end is never renewed."""
    login = replace(kept.login, expires_at=None if left is None else NOW + left)
    kept.write(login)
    current = kept.current()
    assert kept.renewals == renewals
    assert (current == login) == (renewals == 0)
    assert kept.stored() == current
    if renewals:
        assert kept.server.live[current.access_token.reveal()] == "access_token"
        assert current.expires_at == NOW + HOUR
        assert current.refresh_token != login.refresh_token


def test_eight_threads_at_once_renew_once(kept: Kept) -> None:
    """All of them go on with the same new token, through one store or through several."""
    together = threading.Barrier(8)
    stores = [kept.store(), kept.store()]

    def ask(number: int) -> OAuth:
        together.wait(30)
        return kept.current(stores[number % 2])

    with ThreadPoolExecutor(8) as threads:
        logins = set(threads.map(ask, range(8)))
    assert logins == {kept.stored()}
    assert kept.renewals == 1


CHILD = """
import sys
from pathlib import Path
from keelback.credentials.authfile import FileStore
from keelback.credentials.oauth.renewal import renewal_for
_, path, key, now = sys.argv
store = FileStore(Path(path), "the file")
print("ready", flush=True)
sys.stdin.readline()
print(renewal_for(store, key, now=lambda: float(now)).current().expires_at)
"""


def test_three_processes_at_once_renew_once(kept: Kept) -> None:
    """Whoever comes second finds what the first one wrote; a refresh token is used once."""
    kept.server.expires_in = 250  # less than what counts as about to end
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, kept.path, KEY, str(NOW)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    assert [child.communicate(timeout=60)[0].strip() for child in children] == [str(NOW + 250)] * 3
    assert kept.renewals == 1


def test_a_token_that_lives_for_five_minutes_is_not_renewed_at_every_request(kept: Kept) -> None:
    """It is renewed when a fifth of its life is left."""
    kept.server.expires_in = 300
    store = kept.store()
    first = kept.current(store)
    assert kept.current(store, now=NOW + 200) == first
    assert kept.current(now=NOW + 239) == first
    assert kept.renewals == 1
    assert kept.current(now=NOW + 241) != first
    assert kept.renewals == 2


def test_what_the_server_does_not_give_anew_stays(tmp_path: Path) -> None:
    """The same refresh token goes on, and a token without expiry is kept as one."""
    with OAuthServer(rotating=False, expires_in=None) as server:
        kept = Kept(tmp_path / "auth.json", server)
        current = kept.current()
        assert current.refresh_token == kept.login.refresh_token
        assert current.expires_at is None
        assert kept.stored() == current
        assert kept.current(now=NOW + 1000 * HOUR) == current
    server.assert_clean()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "token", status=500, times=None),
        Fault("status", "token", status=429, times=None),
        Fault("reset", "token", times=None),
        Fault("truncated", "token", times=None),
        Fault("status", "token", status=200, media="html", body=PAGE, times=None),
        Fault("redirect", "token", status=307, to="http://127.0.0.1:9", times=None),
        Fault("echo", "token", status=400, times=None),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
def test_a_renewal_that_fails_is_a_warning_while_the_token_is_good_and_an_error_afterwards(
    kept: Kept, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """One request, one warning, and another try a minute later; what is stored stays."""
    kept.server.plan(fault)
    for _ in range(3):
        assert kept.current() == kept.login
    assert kept.renewals == 1
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.startswith("The login for conda.example ends soon, and could not be renewed: ")
    code = "server" if fault.status in {429, 500} and fault.kind == "status" else "login-expired"
    code = "transport" if fault.kind in {"reset", "truncated"} else code
    assert "has expired, and could not be renewed" in kept.ended(now=NOW + 20, code=code).message
    assert kept.renewals == 1
    kept.ended(now=NOW + 61, code=code)
    assert kept.renewals == 2
    assert kept.stored() == kept.login
    if fault.kind != "truncated":  # then the server had done its part, and the refresh token is gone
        kept.server.behave()
        assert kept.current(now=NOW + 122) == kept.stored() != kept.login


def test_a_login_that_the_server_has_ended_asks_for_a_new_one(kept: Kept) -> None:
    """At once, and without asking again and again; a new login is found as soon as it is there."""
    kept.server.live.clear()
    assert "has ended: " in kept.ended().message
    assert "invalid_grant" in kept.ended(now=NOW + HOUR).message
    assert kept.renewals == 1
    access, refresh = kept.server.new_login()
    new = replace(kept.login, access_token=Secret(access), refresh_token=Secret(refresh), expires_at=NOW + HOUR)
    kept.write(new)
    assert kept.current() == new


def test_a_renewal_by_a_program_that_knows_no_lock_is_found(kept: Kept) -> None:
    """Another tool may use the refresh token first: what it stored meanwhile is used."""
    rattlers = kept.current()
    stale = kept.login
    path = kept.path.with_name("other.json")
    other = Kept(path, kept.server)
    other.write(stale)

    class Overtaken(FileStore):
        def update(self, key: str, change: Any) -> Any:
            try:
                return super().update(key, change)
            finally:
                other.write(rattlers)

    kept.server.live[rattlers.access_token.reveal()] = "access_token"
    store = Overtaken(path, f"the file ({path})")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keelback.credentials.oauth.renewal._histories", {})  # as another process, which made no renewal
        assert renewal_for(store, KEY, now=lambda: NOW).current() == rattlers


def test_a_login_without_a_refresh_token_is_used_to_its_end(kept: Kept) -> None:
    """Then it has expired, and the error says what to do."""
    kept.write(replace(kept.login, refresh_token=None))
    assert kept.current(now=NOW + 9).access_token == kept.login.access_token
    assert "gave nothing with which it could be renewed" in kept.ended(now=NOW + 10).message
    assert kept.renewals == 0


@pytest.mark.parametrize("instead", [None, "token"])
def test_a_login_that_was_removed_meanwhile_is_not_used(kept: Kept, instead: str | None, token: str) -> None:
    """Logged out is logged out, in a process that has the token in its memory, too."""
    store = kept.store()
    kept.write(None if instead is None else BearerToken(Secret(token)))
    with pytest.raises(CredentialError, match="is no longer in the file") as caught:
        kept.current(store)
    assert caught.value.code == "login-expired"
    assert kept.renewals == 0


class ReadOnly(FileStore):
    """A file that can be read, and not be written: like a full disk, after all has been asked."""

    def update(self, key: str, change: Any) -> Any:
        """Read it anew, and fail to write what is changed."""
        before = super().update(key, lambda now: now)
        if change(before) == before:
            return before
        raise CredentialStoreError(f"{self.name}: cannot be written: No space left on device.")


class Locked(FileStore):
    """A file whose lock cannot be had: nothing is asked at all."""

    def update(self, *_: Any) -> Any:
        """Fail."""
        raise CredentialStoreError(f"{self.name}: cannot be written: Read-only file system.")


def test_a_renewed_login_that_cannot_be_written_is_good_for_this_run(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """It is used from memory, by everybody in the process, and said once; written as soon as that is possible."""
    store = ReadOnly(kept.path, f"the file ({kept.path})")
    first = kept.current(store)
    assert first != kept.login
    assert kept.current(store) == kept.current() == first
    assert kept.renewals == 1
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "was renewed for this run, and cannot be kept" in warning
    assert "No space left on device" in warning
    second = kept.current(now=NOW + HOUR)
    assert second == kept.stored() != first
    assert kept.renewals == 2


def test_a_store_that_cannot_be_read_anew_is_no_reason_to_use_a_refresh_token(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody else may have used it a moment ago, and who shows it twice is taken for a thief."""
    store = Locked(kept.path, f"the file ({kept.path})")
    assert kept.current(store) == kept.login
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "ends soon, and cannot be renewed" in warning
    with pytest.raises(CredentialStoreError, match="has expired, and cannot be renewed: the file") as caught:
        kept.current(store, now=NOW + 11)
    assert (caught.value.code, caught.value.exit_status) == ("store", ExitStatus.CREDENTIAL)
    assert kept.renewals == 0


@pytest.mark.parametrize("now", [NOW, NOW + 11])
def test_a_renewal_by_another_program_is_not_made_twice_however_long_it_takes(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, now: int
) -> None:
    """Whose turn it is not never asks the server; it goes on with a token that is still good, and says so if not."""
    monkeypatch.setattr("keelback.credentials.locks._DEADLINE", 0.0)
    with renewing(kept.store(), KEY):  # as another program
        if now == NOW:
            assert kept.current(now=now) == kept.login
            assert "has kept it locked" in caplog.text
        else:
            with pytest.raises(CredentialStoreError, match="has kept it locked") as caught:
                kept.current(now=now)
            assert caught.value.code == "locked"
            assert "remove" not in caught.value.hint
    assert kept.renewals == 0


def test_a_server_that_sends_a_byte_now_and_then_holds_up_nobody_else(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole answer has a deadline, head included; other logins of the same store need not wait for it."""
    monkeypatch.setattr("keelback.credentials.oauth.tokens.SECONDS", 0.5)
    asked, enough = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as slow:

        def drip() -> None:
            connection, _ = slow.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
                asked.set()
                while not enough.wait(0.05):
                    connection.sendall(b"x")

        kept.write(replace(kept.login, token_endpoint=f"http://127.0.0.1:{slow.getsockname()[1]}/token"))
        with ThreadPoolExecutor(2) as threads:
            threads.submit(drip)
            renewal = threads.submit(kept.current)
            assert asked.wait(30)
            kept.store().update("other.example", lambda _: kept.login)
            assert not renewal.done()
            assert renewal.result(30).access_token == kept.login.access_token
            enough.set()


def test_a_login_that_cannot_be_renewed_for_want_of_a_network_is_not_asked_for_again(kept: Kept) -> None:
    """Nobody can log in then, and need not: it may be good as soon as there is one."""
    kept.server.plan(Fault("reset", "token", times=None))
    with pytest.raises(TransportError, match="has expired, and could not be renewed") as caught:
        kept.current(now=NOW + 11)
    error = caught.value
    assert (error.code, error.exit_status) == ("transport", ExitStatus.FAILED)
    assert error.hint == "Check the network; the login itself may still be good."


def test_a_request_is_sent_with_the_renewed_token(kept: Kept) -> None:
    """The credential that a lookup gives renews itself when it is used."""
    store = kept.store()
    credential = replace(kept.login, renewal=renewal_for(store, KEY, now=lambda: NOW))
    with Trap() as trap, httpx2.Client(trust_env=False) as http:
        http.get(trap.url, auth=credential)
        http.get(trap.url, auth=credential)
    sent = {request.header("authorization") for request in trap.requests}
    assert sent == {f"Bearer {kept.stored().access_token.reveal()}"}
    assert kept.renewals == 1


def test_a_refresh_token_does_not_go_over_plain_http(kept: Kept) -> None:
    """Whoever wrote the store, the endpoint in it is held to the rule."""
    kept.write(replace(kept.login, token_endpoint="http://idp.example/token", expires_at=NOW - 1))
    assert "plain HTTP" in kept.ended().message


def test_a_logout_ends_what_a_renewal_under_way_brings(kept: Kept) -> None:
    """It waits for it: what was read before would be dead already, and the new tokens would live on."""
    revoked: list[OAuth] = []
    new = replace(kept.login, access_token=Secret(kept.server.new_login()[0]), expires_at=NOW + HOUR)
    store = kept.store()
    with ThreadPoolExecutor(1) as thread:
        with renewing(store, KEY):
            logout = thread.submit(log_out, [store], KEY, lambda login: revoked.append(login) or [])
            kept.write(new)
            assert not logout.done()
        assert logout.result(60).removed == [(store, KEY)]
    assert revoked == [new]
    assert kept.store().keys() == []


# --- revocation -------------------------------------------------------------------------------------------------------


def test_revocation_ends_both_tokens(client: Client, server: OAuthServer) -> None:
    """The refresh token first: from it, others could be made."""
    credential = login(client, server).credential
    assert revoke(client, credential) == []
    assert server.live == {}
    assert b"token_type_hint=refresh_token" in (server.of_step("revoke")[0].body or b"")


def test_revocation_is_best_effort(client: Client, server: OAuthServer) -> None:
    """What does not work is told, without the token, and the rest is done all the same."""
    credential = login(client, server).credential
    assert credential.refresh_token is not None
    words = json.dumps({"error": "unsupported_token_type", "error_description": credential.refresh_token.reveal()})
    server.plan(
        Fault("status", "revoke", status=400, body=words),
        Fault("reset", "revoke"),
        Fault("status", "revoke", status=503, media="html"),
    )
    first, second = revoke(client, credential)
    assert first == "127.0.0.1 did not revoke the refresh token: unsupported_token_type: ****"
    assert second.startswith("127.0.0.1 did not revoke the access token: ")
    (third,) = revoke(client, credential)
    assert third == "127.0.0.1 did not revoke the refresh token: HTTP 503"


def test_a_server_without_revocation_is_not_asked(client: Client, server: OAuthServer) -> None:
    """There is nothing to tell, and no way to."""
    server.metadata = {"revocation_endpoint": None}
    assert revoke(client, login(client, server).credential) == []
    insecure = replace(login(client, server).credential, revocation_endpoint="http://idp.example/revoke")
    assert all("plain HTTP" in failure for failure in revoke(client, insecure))
