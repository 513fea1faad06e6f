"""Identities over HTTP, from endpoints that check every byte, or that refuse, stall, redirect and lie as told."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from keelback.credentials.oidc.github import GitHub
from keelback.credentials.oidc.google import Google
from keelback.credentials.oidc.providers import IdentitySource
from keelback.errors import IdentityError
from keelback.secret import Secret
from keelback.transport import Client, Retry
from servers.scripted import Fault, Trap
from servers.scripted.ci_identity import GitHubIdentityServer, GoogleIdentityServer
from servers.scripted.issuers import Issuer, claims_of, github, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from keelback.credentials.oidc.providers import Provider

AUDIENCE = "prefix.dev"
PAGE = "<!doctype html><html><head><title>Sign in</title></head><body>Hello</body></html>"
SHORT = 0.2
"""Seconds: enough for an answer that comes, and little to wait for one that does not."""


@pytest.fixture
def server() -> Iterator[GitHubIdentityServer]:
    """GitHub's endpoint for one job."""
    with GitHubIdentityServer(github()) as running:
        yield running
    running.assert_clean()


@pytest.fixture
def google(tmp_path: Path) -> Iterator[GoogleIdentityServer]:
    """A machine at Google."""
    with GoogleIdentityServer(Issuer("https://accounts.google.com", {"email_verified": True})) as running:
        yield running
    running.assert_clean()


@pytest.fixture
def client() -> Iterator[Client]:
    """Sends each request once."""
    with Client(retry=Retry(attempts=1)) as one:
        yield one


def at(google: GoogleIdentityServer, product: Path | None = None, **options: Any) -> Google:
    """Google Cloud as it is on a machine whose product is in the file *product*."""
    origins = {"metadata": google.url, "iam": google.url, **options}
    return Google(**origins) if product is None else Google(product_name=product, **origins)


def refused(provider: Provider, client: Client, environ: Mapping[str, str]) -> IdentityError:
    """How *provider* fails; no secret is in the error, nor in anything that led to it, and the hint is a sentence."""
    with pytest.raises(IdentityError) as caught:
        provider.id_token(AUDIENCE, environ, client)
    error = caught.value
    leaks.check(f"{error.hint} {error!r} {''.join(traceback.format_exception(error))}", "the error")
    assert error.hint.endswith(".")
    assert error.exit_status == 3
    return error


# -- GitHub Actions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["?api-version=2.0", ""])
@pytest.mark.parametrize("audience", [AUDIENCE, "sigstore", "https://pkg.example:8443/a b?c&d=e+f#g%20", "päckchen"])
def test_github_makes_an_identity_for_the_audience(client: Client, audience: str, query: str) -> None:
    """Whatever characters it has, and whatever the URL has behind its path already; a new one each time."""
    with GitHubIdentityServer(github(), query=query) as server:
        source = IdentitySource(client, server.environ)
        found = source.identity(audience)
        assert found is not None
        assert (found.source, found.audience) == ("GitHub Actions", audience)
        claims = claims_of(found.secret.reveal(), audience, keys_of([server.issuer]))
        assert claims["repository"] == "acme/foo"
        again = source.identity(audience)
        assert again is not None
        assert again.secret != found.secret
    server.assert_clean()


@pytest.mark.parametrize("missing", ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "both", "blank"])
def test_a_job_without_the_permission_is_told_which_one_it_lacks(
    client: Client, server: GitHubIdentityServer, missing: str
) -> None:
    """By the name that it has in a workflow, and with the lines to write there; nobody is asked."""
    environ = server.environ
    for name in [name for name in environ if name.startswith("ACTIONS_")]:
        if missing in {name, "both"}:
            del environ[name]
        elif missing == "blank":
            environ[name] = " \n"
    error = refused(GitHub(), client, environ)
    assert "the permission id-token: write" in error.message
    assert "permissions: {contents: read, id-token: write}" in error.hint
    assert "for a reusable workflow also into the job that calls it" in error.hint
    assert "never gives it to a pull request from a fork" in error.hint
    assert error.code == "no-identity"
    assert not server.requests


@pytest.mark.parametrize(
    ("about", "first"),
    [
        ({"GITHUB_EVENT_NAME": "pull_request"}, "This run is for a pull request."),
        ({"GITHUB_EVENT_NAME": "pull_request_review"}, "This run is for a pull request."),
        ({"GITHUB_EVENT_NAME": "", "GITHUB_HEAD_REF": "fix"}, "This run is for a pull request."),
        ({"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_HEAD_REF": "fix"}, "Write permissions:"),
        ({"GITHUB_EVENT_NAME": "push", "GITHUB_HEAD_REF": ""}, "Write permissions:"),
    ],
)
def test_a_pull_request_is_told_first_that_it_may_come_from_a_fork(
    client: Client, about: dict[str, str], first: str
) -> None:
    """No permission in the workflow helps there; the events that run with the rights of the base are not meant."""
    assert refused(GitHub(), client, {"GITHUB_ACTIONS": "true", **about}).hint.startswith(first)


@pytest.mark.parametrize(
    ("fault", "told", "hint"),
    [
        (Fault("status", when="id-token", status=401), "(401): scripted 401", "Run keelback in the job itself"),
        (Fault("status", when="id-token", status=403, body=PAGE, media="html"), "(403): Sign in", "Run keelback"),
        (Fault("status", when="id-token", status=404, media="empty"), "no identity (404)", "Run keelback"),
        (Fault("status", when="id-token", status=429), "(429): scripted 429", "Try again later."),
        (Fault("status", when="id-token", status=500, media="text", body="oh no"), "(500): oh no", "Try again later."),
        (Fault("status", when="id-token", status=503, body=PAGE, media="html"), "(503): Sign in", "Try again later."),
        (Fault("status", when="id-token", status=200, body=PAGE, media="html"), "200 with a web page", "proxy"),
        (Fault("status", when="id-token", status=200, body=PAGE), "200 with a web page", "proxy"),
        (Fault("status", when="id-token", status=200, body="", media="text"), "what is not a JSON object", "proxy"),
        (Fault("status", when="id-token", status=200, body="[" * 60_000), "what is not a JSON object", "proxy"),
        (Fault("status", when="id-token", status=200, body=f'"{"x" * 70_000}"'), "is larger than", "network"),
        (Fault("status", when="id-token", status=204, media="empty"), "no identity (204)", "Run keelback"),
        (Fault("garbage", when="id-token"), "no identity: ", "Check the"),
        (Fault("reset", when="id-token"), "no identity: ", "Check the"),
        (Fault("truncated", when="id-token"), "no identity: ", "Check the"),
        (Fault("stall", when="id-token"), "the server did not answer in time", "Check the"),
        (Fault("echo", when="id-token", status=400), "(400): rejected credential: ", "Run keelback"),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
def test_an_endpoint_that_gives_none_is_reported_in_its_own_words(
    client: Client, server: GitHubIdentityServer, fault: Fault, told: str, hint: str
) -> None:
    """Status and words where it has some, without the token that it may repeat; and what to do next."""
    server.plan(fault)
    error = refused(GitHub(seconds=SHORT), client, server.environ)
    assert error.message.startswith("GitHub Actions gave no identity")
    assert told in error.message
    assert hint in error.hint
    assert error.code == "no-identity"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({}, "JSON that has no 'value'"),
        ([], "what is not a JSON object"),
        ({"value": None}, "JSON that has no 'value'"),
        ({"value": ["TOKEN"]}, "JSON that has no 'value'"),
        ({"value": " "}, "JSON that has no 'value'"),
        ({"token": "TOKEN"}, "JSON that has no 'value'"),
        ({"value": "TOKEN\r\nX-Evil: 1"}, "has a line break in it"),
    ],
)
def test_json_without_a_token_is_refused_and_not_shown(
    client: Client, server: GitHubIdentityServer, answer: Any, told: str
) -> None:
    """What has a token in another place is a secret all the same."""
    token = server.issuer.token(AUDIENCE)
    server.answer = (
        {name: _with(value, token) for name, value in answer.items()} if isinstance(answer, dict) else answer
    )
    assert told in refused(GitHub(), client, server.environ).message


def _with(value: Any, token: str) -> Any:
    if isinstance(value, list):
        return [_with(item, token) for item in value]
    return value.replace("TOKEN", token) if isinstance(value, str) else value


def test_an_identity_in_a_refusal_is_not_shown(client: Client, server: GitHubIdentityServer) -> None:
    """One that keelback has not seen before is known by its form."""
    token = server.issuer.token("elsewhere")
    server.plan(Fault("status", when="id-token", status=500, media="text", body=f"could not store {token} today"))
    assert refused(GitHub(), client, server.environ).message.endswith("(500): could not store **** today")


def test_no_redirect_is_followed(client: Client, server: GitHubIdentityServer) -> None:
    """What the request holds gets an identity for any audience."""
    with Trap() as elsewhere:
        server.plan(Fault("redirect", when="id-token", status=307, to=elsewhere.url))
        error = refused(GitHub(), client, server.environ)
        assert "redirects the request elsewhere (307)" in error.message
        assert not elsewhere.requests


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://tokens.example/idtoken?api-version=2.0", "over plain HTTP"),
        ("//tokens.example/idtoken", "is no http(s) URL"),
        ("file:///etc/passwd", "is no http(s) URL"),
        ("https:///idtoken", "is no http(s) URL"),
    ],
)
def test_a_url_that_is_not_https_is_not_asked(client: Client, url: str, told: str) -> None:
    """Nobody on the way may read the identity, nor what it is asked for with."""
    token = leaks.new_secret("request-token")
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token}
    error = refused(GitHub(), client, environ)
    assert told in error.message
    assert "--allow-insecure-host" not in error.hint


def test_a_request_token_that_cannot_be_sent_is_refused(client: Client, server: GitHubIdentityServer) -> None:
    """A line break in it would end the header field, and begin another."""
    environ = {**server.environ, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": f"{server.request_token}\r\nX-Evil: 1"}
    assert "ACTIONS_ID_TOKEN_REQUEST_TOKEN has a line break in it" in refused(GitHub(), client, environ).message
    assert not server.requests


def test_an_endpoint_that_is_busy_is_asked_again(server: GitHubIdentityServer) -> None:
    """As often as the run asks anybody."""
    server.plan(Fault("status", when="id-token", status=503, times=2))
    with Client(retry=Retry(attempts=3, base=0)) as patient:
        token = GitHub().id_token(AUDIENCE, server.environ, patient)
    assert token == Secret(server.given or "")
    assert server.steps() == ["id-token"] * 3


def test_all_attempts_together_have_an_end(server: GitHubIdentityServer) -> None:
    """Whatever a server does to stretch a single one, or many."""
    server.plan(Fault("stall", when="id-token", times=None))
    with Client(retry=Retry(attempts=1000, base=0)) as patient:
        error = refused(GitHub(seconds=60, seconds_in_all=SHORT), patient, server.environ)
        patient.stop()
    assert "did not answer in time (0.2 seconds)" in error.message


def test_an_identity_for_another_audience_is_refused(client: Client, server: GitHubIdentityServer) -> None:
    """Whoever it was made for, it is not sent there."""
    server.audience = "other.example"
    with pytest.raises(IdentityError, match=r"is made for other\.example, and not for 'prefix\.dev'") as caught:
        IdentitySource(client, server.environ).identity(AUDIENCE)
    assert caught.value.code == "wrong-audience"
    leaks.check(f"{caught.value!r} {caught.value.hint}", "the error")


# -- Google Cloud ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", [AUDIENCE, "https://pkg.example:8443/a?b&c=d"])
def test_a_machine_at_google_has_an_identity(client: Client, google: GoogleIdentityServer, audience: str) -> None:
    """The metadata server has it, which is asked without any secret."""
    token = at(google).id_token(audience, {}, client)
    assert claims_of(token.reveal(), audience, keys_of([google.issuer]))
    assert google.steps() == ["identity"]


@pytest.mark.parametrize("account", ["ci@acme.iam.gserviceaccount.com", "123456789", "a/../b?c#d:e"])
def test_a_machine_at_google_acts_as_the_account_that_is_named(client: Client, account: str) -> None:
    """Its own access token goes to IAM and to nobody else; a name that is none cannot lead to another place there."""
    with GoogleIdentityServer(Issuer("https://accounts.google.com"), account=account) as google:
        environ = {"GOOGLE_SERVICE_ACCOUNT_NAME": f" {account}\n"}
        token = at(google).id_token(AUDIENCE, environ, client)
        assert claims_of(token.reveal(), AUDIENCE, keys_of([google.issuer]))
        assert google.steps() == ["access-token", "generate"]
    google.assert_clean()


def test_a_machine_is_known_by_its_product_or_by_the_account(google: GoogleIdentityServer, tmp_path: Path) -> None:
    """Nobody is asked for that."""
    product = tmp_path / "product_name"
    provider = at(google, product)
    assert not provider.is_here({})
    assert not provider.is_here({"GOOGLE_SERVICE_ACCOUNT_NAME": " "})
    assert provider.is_here({"GOOGLE_SERVICE_ACCOUNT_NAME": "ci@acme.iam.gserviceaccount.com"})
    for name, is_google in (
        (b"Google\n", True),
        (b"Google Compute Engine\n", True),
        (b"Googlebook\n", False),
        (b"\xff\n", False),
    ):
        product.write_bytes(name)
        assert provider.is_here({}) is is_google
    assert not google.requests


ACCOUNT = {"GOOGLE_SERVICE_ACCOUNT_NAME": "ci@acme.iam.gserviceaccount.com"}


@pytest.mark.parametrize(
    ("fault", "environ", "told", "hint"),
    [
        (
            Fault("status", when="identity", status=404),
            {},
            "(404): scripted 404",
            "Give the machine a service account.",
        ),
        (Fault("status", when="identity", status=503), {}, "(503): scripted 503", "Try again later."),
        (Fault("status", when="identity", status=200, body=PAGE, media="html"), {}, "200 with a web page", "proxy"),
        (Fault("stall", when="identity"), {}, "did not answer in time", "Check the network"),
        (Fault("status", when="access-token", status=404), ACCOUNT, "(404)", "Give the machine a service account."),
        (Fault("status", when="access-token", status=200, body="{}"), ACCOUNT, "no 'access_token'", "proxy"),
        (Fault("status", when="generate", status=403), ACCOUNT, "(403)", "roles/iam.serviceAccountOpenIdTokenCreator"),
        (Fault("echo", when="generate", status=400), ACCOUNT, "(400): rejected credential", "the role"),
        (Fault("status", when="generate", status=500), ACCOUNT, "(500)", "Try again later."),
        (Fault("status", when="generate", status=200, body='{"token": 7}'), ACCOUNT, "no 'token'", "proxy"),
        (Fault("stall", when="generate"), ACCOUNT, "did not answer in time", "Check the"),
    ],
    ids=lambda value: f"{value.when}-{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
def test_what_google_does_not_give_is_reported(
    client: Client, google: GoogleIdentityServer, fault: Fault, environ: dict[str, str], told: str, hint: str
) -> None:
    """With status, words, and the role or the account that is missing."""
    google.plan(fault)
    error = refused(at(google, seconds=SHORT), client, environ)
    assert error.message.startswith("Google Cloud gave no identity")
    assert told in error.message
    assert hint in error.hint


def test_another_server_in_the_place_of_the_metadata_server_is_refused(
    client: Client, google: GoogleIdentityServer
) -> None:
    """Off Google, that name may lead anywhere; the metadata server says of itself what it is in every answer."""
    google.flavor = None
    for environ in ({}, ACCOUNT):
        assert "is not the metadata server" in refused(at(google), client, environ).message
    assert google.steps() == ["identity", "access-token"]


@pytest.mark.parametrize("text", ["", "not a token", "a.b", "a.b.c d", "ä.b.c"])
def test_an_answer_that_is_no_token_is_refused(client: Client, google: GoogleIdentityServer, text: str) -> None:
    """The metadata server answers with the token itself, so that anything could be taken for one."""
    google.identity = text
    assert "200 with what is not an ID token" in refused(at(google), client, {}).message


def test_the_access_token_never_goes_over_plain_http(client: Client, google: GoogleIdentityServer) -> None:
    """It came so, from the machine itself; it goes to a server far away."""
    error = refused(at(google, iam="http://iam.example"), client, ACCOUNT)
    assert "over plain HTTP" in error.message
    assert google.steps() == ["access-token"]


def test_the_metadata_server_is_not_asked_through_a_proxy(
    client: Client, google: GoogleIdentityServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy would read what comes back, or answer for a machine of its own."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    error = refused(at(google, metadata="http://metadata.google.internal"), client, {})
    assert "would go through a proxy" in error.message
    assert error.hint == "Add metadata.google.internal to the variable NO_PROXY."
