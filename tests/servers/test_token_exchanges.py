"""The identity of a CI system is exchanged at Artifactory, at Cloudsmith, and at security token services."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from keelback import ExitStatus, Report, Retry, Status, publish
from keelback.credentials.oidc import artifactory, cloudsmith, webidentity
from keelback.credentials.oidc.audience import audience_of
from keelback.credentials.oidc.gitlab import variable_for
from keelback.credentials.oidc.idtoken import IdToken
from keelback.credentials.oidc.roles import AUDIENCES, Role
from keelback.credentials.oidc.webidentity import Keys, assumed_role
from keelback.errors import CredentialError, ExchangeError, IdentityError, KeelbackError, UsageError
from keelback.secret import Secret
from keelback.transport import Client
from making import make_conda
from servers.scripted import Fault, Trap
from servers.scripted.token_exchanges import (
    LOOPBACK,
    ORGANIZATION,
    PROVIDER,
    ROLE,
    SERVICE,
    ArtifactoryPlatform,
    CloudsmithServer,
    TokenService,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keelback.credentials.oidc.exchanged import Exchanged

QUICK = Retry(attempts=3, base=0.01)
PAGE = "<!doctype html><html><head><title>Sign in</title></head><body>Hello</body></html>"


@pytest.fixture
def client() -> Iterator[Client]:
    """What sends the requests."""
    with Client(retry=QUICK, timeout=10.0) as one:
        yield one


def identity(server: Any, **changes: Any) -> IdToken:
    """An identity that *server* takes, but for *changes*."""
    secret = Secret(server.gate.identity(**changes))
    return IdToken.parse(secret, audience=changes.get("aud", server.gate.audience), source="a test")


# --- Artifactory, through the public door -----------------------------------------------------------------------------


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArtifactoryPlatform]:
    """An Artifactory that exchanges identities, whose integration this environment names."""
    monkeypatch.setenv("KEELBACK_ARTIFACTORY_OIDC_PROVIDER", PROVIDER)
    with ArtifactoryPlatform() as server:
        yield server
    server.assert_clean()


@pytest.fixture
def in_gitlab(platform: ArtifactoryPlatform, monkeypatch: pytest.MonkeyPatch) -> ArtifactoryPlatform:
    """The same in a job of GitLab CI, which has an identity for it."""
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv(variable_for(LOOPBACK), platform.gate.identity())
    return platform


def run(server: ArtifactoryPlatform, *paths: Path, **options: Any) -> Report:
    """The report of a run that reaches its channel."""
    trusted = {"trusted_publishing_hosts": [LOOPBACK]}
    options = {"insecure_hosts": [LOOPBACK], "retry": QUICK, "timeout": 10.0, "jobs": 2, **trusted, **options}
    return publish(paths, server.publish_url, **options)


def packages(tmp_path: Path, count: int) -> list[Path]:
    """So many small packages."""
    return [make_conda(tmp_path / "dist", f"demo{number}") for number in range(count)]


def stored(tmp_path: Path, token: str) -> Path:
    """An auth file with a token for the scripted servers."""
    path = leaks.holds_secrets(tmp_path / "auth.json")
    path.write_text(json.dumps({LOOPBACK: {"BearerToken": token}}), encoding="utf-8")
    return path


def uploaded(report: Report) -> int:
    """How many files arrived."""
    return sum(outcome.status is Status.UPLOADED for outcome in report.outcomes)


def test_a_run_in_ci_needs_no_secret(in_gitlab: ArtifactoryPlatform, tmp_path: Path) -> None:
    """One exchange serves all packages of the run."""
    assert uploaded(run(in_gitlab, *packages(tmp_path, 5))) == 5
    assert in_gitlab.steps().count("exchange") == 1


def test_an_identity_that_was_made_elsewhere_is_exchanged(platform: ArtifactoryPlatform, demo: Path) -> None:
    """As by ``--oidc-token``, outside of any CI system."""
    assert uploaded(run(platform, demo, oidc_token=platform.gate.identity())) == 1


def test_the_integration_may_want_another_audience_and_a_project(
    in_gitlab: ArtifactoryPlatform, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are named by variables; the identity is then made for that audience."""
    in_gitlab.gate.audience, in_gitlab.project = "jfrog-acme", "conda"
    monkeypatch.setenv("KEELBACK_ARTIFACTORY_OIDC_AUDIENCE", "jfrog-acme")
    monkeypatch.setenv("JF_PROJECT", "conda")
    monkeypatch.setenv("JFROG_ACME_ID_TOKEN", in_gitlab.gate.identity())
    assert uploaded(run(in_gitlab, demo)) == 1


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_token_that_was_given_goes_before_the_identity(
    in_gitlab: ArtifactoryPlatform, demo: Path, by: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The identity is not even shown."""
    in_gitlab._token = token
    if by == "variable":
        monkeypatch.setenv("ARTIFACTORY_TOKEN", token)
    assert uploaded(run(in_gitlab, demo, **({"api_key": token} if by == "option" else {}))) == 1
    assert "exchange" not in in_gitlab.steps()


@pytest.mark.parametrize("without", ["mode", "provider", "host", "ci"])
def test_no_identity_is_sent_where_nobody_asked_for_it(
    in_gitlab: ArtifactoryPlatform,
    demo: Path,
    tmp_path: Path,
    without: str,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor outside of CI, or where the server is not named as one that takes identities: the stores serve as ever."""
    in_gitlab._token = token
    if without == "provider":
        monkeypatch.delenv("KEELBACK_ARTIFACTORY_OIDC_PROVIDER")
    if without == "ci":
        monkeypatch.delenv("GITLAB_CI")
    options: dict[str, Any] = {"trusted_publishing": "never" if without == "mode" else "auto"}
    if without == "host":
        options["trusted_publishing_hosts"] = ["artifactory.example.com"]
    assert uploaded(run(in_gitlab, demo, auth_file=stored(tmp_path, token), **options)) == 1
    assert "exchange" not in in_gitlab.steps()
    assert "trusted publishing failed" not in caplog.text


def test_who_insists_without_naming_the_integration_is_told_its_variable(
    in_gitlab: ArtifactoryPlatform, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent."""
    monkeypatch.delenv("KEELBACK_ARTIFACTORY_OIDC_PROVIDER")
    with pytest.raises(ExchangeError, match="none is named") as caught:
        run(in_gitlab, demo, trusted_publishing="always")
    assert "KEELBACK_ARTIFACTORY_OIDC_PROVIDER" in caught.value.hint
    assert in_gitlab.requests == []


def test_a_refused_identity_says_what_it_carried_and_what_to_set_up(in_gitlab: ArtifactoryPlatform, demo: Path) -> None:
    """The server's words, the claims and not the token, and where the integration is configured."""
    in_gitlab.gate.lets_in = "acme/bar"
    with pytest.raises(ExchangeError) as caught:
        run(in_gitlab, demo, trusted_publishing="always")
    error = caught.value
    assert (error.code, error.exit_status) == ("exchange-refused", ExitStatus.CREDENTIAL)
    for words in ("(401)", "no identity mapping for acme/foo", "owner acme, repository foo", "GitLab CI"):
        assert words in error.message
    assert f"the provider name '{PROVIDER}'" in error.hint
    assert in_gitlab.steps() == ["exchange"]


def test_what_is_stored_serves_where_the_exchange_fails(
    in_gitlab: ArtifactoryPlatform, demo: Path, tmp_path: Path, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning that says why it did, unless trusted publishing was insisted on."""
    in_gitlab._token = token
    in_gitlab.gate.lets_in = "acme/bar"
    auth_file = stored(tmp_path, token)
    assert uploaded(run(in_gitlab, demo, auth_file=auth_file)) == 1
    assert "no identity mapping for acme/foo" in caplog.text
    with pytest.raises(ExchangeError):
        run(in_gitlab, demo, auth_file=auth_file, trusted_publishing="always")


def test_a_token_that_expires_half_way_is_exchanged_again(platform: ArtifactoryPlatform, tmp_path: Path) -> None:
    """Once, whoever finds it out; every package arrives."""
    expired = threading.Event()

    def expires_now(request: Any) -> bool:
        if request.step == "upload" and len(platform.files) == 2 and not expired.is_set():
            expired.set()
            platform.expire()
        return False

    platform.plan(Fault("status", expires_now))
    assert uploaded(run(platform, *packages(tmp_path, 6), oidc_token=platform.gate.identity(), jobs=1)) == 6
    assert expired.is_set()
    assert platform.steps().count("exchange") == 2


def test_a_token_is_renewed_before_the_server_says_it_ends(platform: ArtifactoryPlatform, client: Client) -> None:
    """``expires_in`` counts from the question; where there is none, nothing is made up."""
    integration = artifactory.Integration.at(platform.service_url, {"KEELBACK_ARTIFACTORY_OIDC_PROVIDER": PROVIDER})
    ask = partial(artifactory.exchange, client, integration, partial(identity, platform), clock=lambda: 1000.0)
    assert ask().expires_at == 4600.0
    for no_life in (None, "3600", -1, 0, True):
        platform.members = {"expires_in": no_life}
        assert ask().expires_at is None
    platform.members = {"expires_in": 10**400}
    assert ask().expires_at == 1000.0 + 10 * 365 * 86_400


def test_the_platform_is_beside_its_artifactory() -> None:
    """Under whatever path both are; a server without ``/artifactory`` is the platform itself."""
    for server, platform in {
        "https://acme.jfrog.io/artifactory": "https://acme.jfrog.io",
        "https://conda.acme.example/jfrog/artifactory": "https://conda.acme.example/jfrog",
        "https://artifactory.acme.example": "https://artifactory.acme.example",
    }.items():
        assert artifactory.Integration.at(server, {}).platform == platform
    assert artifactory.Integration.at("https://ACME.jfrog.io:8443/artifactory", {}).audience == "acme.jfrog.io"


# --- What holds for every exchange ------------------------------------------------------------------------------------


def at_artifactory(client: Client, server: Any, given: Callable[[], IdToken]) -> Exchanged:
    """The exchange at Artifactory."""
    integration = artifactory.Integration(server.url, PROVIDER, LOOPBACK)
    return artifactory.exchange(client, integration, given)


def at_cloudsmith(client: Client, server: Any, given: Callable[[], IdToken]) -> Exchanged:
    """The exchange at Cloudsmith."""
    account = cloudsmith.ServiceAccount(ORGANIZATION, SERVICE, LOOPBACK, server.url)
    return cloudsmith.exchange(client, account, given)


def at_token_service(client: Client, server: Any, given: Callable[[], IdToken]) -> Keys:
    """The exchange at a security token service."""
    return webidentity.exchange(client, Role(ROLE, server.url, LOOPBACK), given)


EXCHANGES = {
    "artifactory": (ArtifactoryPlatform, at_artifactory),
    "cloudsmith": (CloudsmithServer, at_cloudsmith),
    "sts": (TokenService, at_token_service),
}
every_exchange = pytest.mark.parametrize(("make", "exchange"), EXCHANGES.values(), ids=EXCHANGES)


def failure(exchange: Any, client: Client, server: Any, **changes: Any) -> KeelbackError:
    """How an exchange fails; its message and hint hold neither the identity nor anything that came for it."""
    with pytest.raises(KeelbackError) as caught:
        exchange(client, server, partial(identity, server, **changes))
    leaks.check(f"{caught.value.message} {caught.value.hint} {caught.value!r}", "the error")
    return caught.value


@every_exchange
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"repository": "evil/fork"}, "no identity mapping for evil/fork"),
        ({"exp": 1}, "expired"),
        ({"iss": "https://evil.example"}, "the issuer of the token is not known here"),
        ({"aud": "elsewhere.example"}, "Audience doesn't match"),
    ],
)
def test_an_identity_that_is_not_let_in_gives_nothing(
    make: Any, exchange: Any, changes: dict[str, Any], why: str, client: Client
) -> None:
    """The server has verified it: signature, issuer, audience, times, repository."""
    with make() as server:
        error = failure(exchange, client, server, **changes)
    assert isinstance(error, ExchangeError)
    assert why in error.message
    assert "; the identity is that of owner " in error.message
    assert error.hint
    server.assert_clean()


@every_exchange
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"status": 200, "media": "html", "body": PAGE}, "a web page|the XML"),
        ({"status": 200, "media": "empty"}, "not a JSON object|the XML"),
        ({"status": 200, "body": "[]"}, "not a JSON object|the XML"),
        ({"status": 200, "body": "{}"}, "has no '|the XML"),
        ({"status": 200, "body": "[" * 50_000}, "not a JSON object|the XML"),
        ({"status": 200, "body": '{"access_token": 7, "token": {}}'}, "has no '|the XML"),
        ({"status": 200, "body": '{"access_token": "a\\nb", "token": " a"}'}, "too short for a token|the XML"),
        (
            {"status": 200, "body": json.dumps({"access_token": "a\n" * 20, "token": " " + "a" * 20})},
            "line break|begins or ends|the XML",
        ),
        ({"status": 200, "body": " " * 100_000}, "is larger than 65536 bytes"),
        ({"status": 404, "media": "html", "body": PAGE}, r"\(404\): Sign in"),
        ({"status": 503, "media": "html", "times": None}, r"\(503\)"),
        ({"kind": "reset", "times": None}, r"\(3 attempts\)"),
    ],
    ids=["page", "empty", "list", "nothing", "nested", "numbers", "short", "spaces", "large", "404", "503", "reset"],
)
def test_an_answer_of_no_use_is_an_error_that_says_so(
    make: Any, exchange: Any, said: dict[str, Any], why: str, client: Client
) -> None:
    """Whatever it is, nothing of it goes on as a credential."""
    with make(faults=[Fault(**{"kind": "status", "when": "exchange", **said})]) as server:
        error = failure(exchange, client, server)
    assert isinstance(error, ExchangeError)
    assert re.search(why, error.message)
    server.assert_clean()


@every_exchange
def test_an_identity_that_is_echoed_is_not_shown(make: Any, exchange: Any, client: Client) -> None:
    """A careless server puts what it refuses into its answer."""
    with make() as server:
        token = server.gate.identity(repository="evil/fork")
        secret = IdToken.parse(Secret(token), audience=LOOPBACK, source="a test")
        server.plan(Fault("status", "exchange", status=400, media="text", body=f"rejected: {token}"))
        with pytest.raises(ExchangeError, match=r"rejected: \*\*\*\*") as caught:
            exchange(client, server, lambda: secret)
    leaks.check(f"{caught.value} {caught.value.hint}", "the error")


@every_exchange
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_identity_follows_a_redirect(make: Any, exchange: Any, status: int, client: Client) -> None:
    """Nothing arrives there, and the error says that it would have had to."""
    with Trap() as trap, make(faults=[Fault("redirect", "exchange", status=status, to=trap.url)]) as server:
        error = failure(exchange, client, server)
    assert f"redirects the request elsewhere ({status})" in error.message
    assert trap.requests == []


@every_exchange
def test_no_identity_goes_over_plain_http(make: Any, exchange: Any, client: Client) -> None:
    """To another machine."""
    with make() as server:
        given = partial(identity, server)

        class Elsewhere:
            url = "http://server.example"

        with pytest.raises(ExchangeError) as caught:
            exchange(client, Elsewhere, given)
    assert caught.value.code == "plain-http"


@every_exchange
def test_a_server_that_had_no_time_is_asked_again_with_a_new_identity(make: Any, exchange: Any, client: Client) -> None:
    """It may take each identity but once."""
    with make(faults=[Fault("status", "exchange", status=503), Fault("lost-answer", "exchange")]) as server:
        assert "****" in repr(exchange(client, server, partial(identity, server)))
        bodies = {request.body for request in server.of_step("exchange")}
    assert len(bodies) == 3
    server.assert_clean()


@every_exchange
def test_what_was_given_is_in_no_repr(make: Any, exchange: Any, client: Client) -> None:
    """Neither keys nor tokens, nor the identity."""
    with make() as server:
        token = identity(server)
        leaks.check(repr((exchange(client, server, lambda: token), token)), "a repr")


# --- Cloudsmith -------------------------------------------------------------------------------------------------------


def test_a_token_of_cloudsmith_lives_as_long_as_it_says_itself(client: Client) -> None:
    """It is a JWT; nothing else in the answer tells."""
    with CloudsmithServer() as server:
        given = at_cloudsmith(client, server, partial(identity, server))
    assert given.expires_at == server.expires_at
    server.assert_clean()


def test_the_variables_of_cloudsmiths_own_tool_name_the_account() -> None:
    """Both have to be set; the audience is that tool's, but for an API that is not Cloudsmith's."""
    named = {"CLOUDSMITH_ORG": "acme", "CLOUDSMITH_SERVICE_SLUG": "ci"}
    find = cloudsmith.ServiceAccount.named_in
    assert find({}) is None
    assert find({"CLOUDSMITH_ORG": "acme"}) is None
    assert find(named) == cloudsmith.ServiceAccount("acme", "ci", "cloudsmith", "https://api.cloudsmith.io")
    found = find({**named, "CLOUDSMITH_OIDC_AUDIENCE": "acme-ci"})
    assert found is not None
    assert found.audience == "acme-ci"
    elsewhere = find(named, "https://api.cloudsmith.io.evil.example")
    assert elsewhere is not None
    assert elsewhere.audience == "api.cloudsmith.io.evil.example"


def test_an_organization_cannot_lead_elsewhere(client: Client) -> None:
    """Whatever its name, it is one part of the path."""
    with CloudsmithServer() as server:
        account = cloudsmith.ServiceAccount("../v1/x?y#", SERVICE, LOOPBACK, server.url)
        with pytest.raises(ExchangeError):
            cloudsmith.exchange(client, account, partial(identity, server))
        assert [request.target for request in server.requests] == ["/openid/..%2Fv1%2Fx%3Fy%23/"]


# --- Web identity -----------------------------------------------------------------------------------------------------


def test_keys_of_a_role_are_given_for_an_identity(client: Client) -> None:
    """Exactly those that the service gave, to the second."""
    with TokenService() as server:
        keys = at_token_service(client, server, partial(identity, server))
    (given,) = server.given
    credentials = keys.credentials
    assert credentials.session_token is not None
    assert credentials.access_key_id == given["AccessKeyId"]
    assert credentials.secret_access_key.reveal() == given["SecretAccessKey"]
    assert credentials.session_token.reveal() == given["SessionToken"]
    assert 3590 < keys.expires_at - time.time() < 3601
    server.assert_clean()


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("ExpiredTokenException", "clock"),
        ("IDPCommunicationError", "Try again later"),
        ("RegionDisabledException", "AWS_REGION"),
        ("InvalidIdentityToken", f"trust policy of {ROLE}"),
        ("No.Such-Code;", "trust policy"),
    ],
)
def test_an_error_of_the_service_is_named_and_explained(code: str, hint: str, client: Client) -> None:
    """By its own word for it, where that is a word."""
    with TokenService() as server:
        body = server.refusal(400, "it says no", code).body.decode()
        server.plan(Fault("status", "exchange", status=400, body=body, media="text/xml"))
        error = failure(at_token_service, client, server)
    assert (f"{code}: it says no" in error.message) == (code != "No.Such-Code;")
    assert "it says no" in error.message
    assert hint in error.hint


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
FOREIGN = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (BOMB, "document type"),
        (FOREIGN, "document type"),
        ('<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>', "document type"),
        ("<x>" * 100_00, "nested too deeply"),
        ("<x><y>1</y><y>2</y></x>", "two texts"),
        ("<x>", "no element found"),
        ("<x>&undefined;</x>", "undefined entity"),
        ("<x/>", "no valid 'AccessKeyId'"),
        (BOMB.encode("utf-16").decode("latin-1"), "the XML"),
    ],
)
def test_hostile_xml_is_refused(document: str, why: str, client: Client) -> None:
    """No entity is expanded, nothing is fetched, nothing is taken that could be read in two ways."""
    with TokenService() as server:
        server.plan(Fault("status", "exchange", status=200, body=document, media="text/xml"))
        assert why in failure(at_token_service, client, server).message


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("AccessKeyId", ""),
        ("AccessKeyId", "ASIA\r\nx-evil: 1"),
        ("SecretAccessKey", ""),
        ("SecretAccessKey", "with a space"),
        ("SessionToken", "\N{SNOWMAN}"),
        ("Expiration", "soon"),
        ("Expiration", ""),
    ],
)
def test_keys_that_can_be_none_are_refused(member: str, value: str, client: Client) -> None:
    """They would break the header that they go into, or never be renewed."""
    with TokenService() as server:
        server.members = {member: value}
        assert isinstance(failure(at_token_service, client, server), ExchangeError)


class Assuming:
    """A role that is assumed on demand, in a time of its own."""

    def __init__(self, client: Client, server: TokenService) -> None:
        self._client = client
        self._server = server
        self.now = time.time()
        self.role = assumed_role(self._assume, clock=lambda: self.now)

    def _assume(self) -> Keys:
        return at_token_service(self._client, self._server, partial(identity, self._server))

    def key(self) -> str:
        """Which keys are in use."""
        return self.role.current().credentials.access_key_id


@pytest.fixture
def service() -> Iterator[TokenService]:
    """A service whose keys last an hour."""
    with TokenService() as server:
        yield server
    server.assert_clean()


def test_keys_are_renewed_before_they_expire(service: TokenService, client: Client) -> None:
    """Five minutes before; not earlier."""
    assuming = Assuming(client, service)
    first = assuming.key()
    assuming.now += 3600 - 310
    assert assuming.key() == first
    assuming.now += 20
    assert assuming.key() != first
    assert len(service.given) == 2
    leaks.check(repr(assuming.role), "a repr")


def test_eight_threads_assume_a_role_once(service: TokenService, client: Client) -> None:
    """One asks, the others wait for what it gets."""
    assuming = Assuming(client, service)
    together = threading.Barrier(8)

    def ask(_number: int) -> str:
        together.wait(30)
        return assuming.key()

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, range(8)))) == 1
    assert len(service.given) == 1


def test_keys_that_cannot_be_renewed_are_used_to_their_end(
    service: TokenService, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning, and another try a minute later; afterwards it is an error."""
    assuming = Assuming(client, service)
    first = assuming.key()
    service.gate.lets_in = "acme/bar"
    assuming.now += 3600 - 200
    assert [assuming.key() for _ in range(3)] == [first] * 3
    assert caplog.text.count("not renewed") == 1
    assert len(service.of_step("exchange")) == 2
    assuming.now += 61
    assert assuming.key() == first
    assert len(service.of_step("exchange")) == 3
    assuming.now += 200
    with pytest.raises(ExchangeError, match="no identity mapping"):
        assuming.key()
    service.gate.lets_in = "acme/foo"
    assuming.now += 61
    assert assuming.key() != first


@pytest.mark.parametrize(
    ("variables", "endpoint", "audience"),
    [
        ({}, "https://sts.amazonaws.com", "sts.amazonaws.com"),
        ({"AWS_REGION": "eu-central-1"}, "https://sts.eu-central-1.amazonaws.com", "sts.amazonaws.com"),
        ({"AWS_DEFAULT_REGION": "us-gov-west-1"}, "https://sts.us-gov-west-1.amazonaws.com", "sts.amazonaws.com"),
        ({"AWS_REGION": "cn-north-1"}, "https://sts.cn-north-1.amazonaws.com.cn", "sts.amazonaws.com.cn"),
        ({"AWS_ENDPOINT_URL": "https://s3.acme.example/"}, "https://s3.acme.example", "s3.acme.example"),
        (
            {"AWS_ENDPOINT_URL": "https://s3.acme.example", "AWS_ENDPOINT_URL_STS": "https://sts.acme.example:8443"},
            "https://sts.acme.example:8443",
            "sts.acme.example",
        ),
        (
            {"AWS_ENDPOINT_URL": "https://s3.acme.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            "https://sts.amazonaws.com",
            "sts.amazonaws.com",
        ),
    ],
)
def test_the_variables_of_the_sdks_say_where_a_role_is_assumed(
    variables: dict[str, str], endpoint: str, audience: str
) -> None:
    """And no service gets an identity that another one would take."""
    role = Role.named_in({"AWS_ROLE_ARN": ROLE, **variables})
    assert role is not None
    assert (role.arn, role.endpoint, role.audience) == (ROLE, endpoint, audience)


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_REGION": "evil.example/?"},
        {"AWS_ROLE_SESSION_NAME": "a b"},
        {"AWS_ENDPOINT_URL_STS": "ftp://sts.example"},
        {"AWS_ENDPOINT_URL_STS": "https://"},
        {"AWS_ENDPOINT_URL_STS": "https://sts.amazonaws.com@evil.example"},
        {"AWS_ENDPOINT_URL_STS": "https://evil.example\\@sts.amazonaws.com"},
        {"AWS_ENDPOINT_URL_STS": "https://sts.example/?x=1"},
        {"AWS_ENDPOINT_URL_STS": "https://[sts.example"},
    ],
)
def test_variables_that_lead_elsewhere_are_refused(variables: dict[str, str]) -> None:
    """Before any identity is asked for."""
    with pytest.raises(UsageError) as caught:
        Role.named_in({"AWS_ROLE_ARN": ROLE, **variables})
    assert next(iter(variables)) in caught.value.message


@pytest.mark.parametrize("host", ["amazonaws.com.evil.example", "evil-amazonaws.com", "sts.amazonaws.com."])
def test_a_look_alike_of_aws_gets_no_identity_for_aws(host: str) -> None:
    """Its identity is for itself."""
    assert audience_of(f"https://{host}", AUDIENCES) == host


def test_without_a_role_there_is_nothing_to_assume() -> None:
    """Naming one is what opts in."""
    assert Role.named_in({"AWS_REGION": "eu-central-1", "AWS_WEB_IDENTITY_TOKEN_FILE": "token"}) is None


def test_an_identity_in_a_file_is_read_anew_each_time(service: TokenService, tmp_path: Path) -> None:
    """As where a cluster writes a new one into it; it goes before that of a CI system."""
    path = leaks.holds_secrets(tmp_path / "token")
    role = Role.named_in(
        {"AWS_ROLE_ARN": ROLE, "AWS_ENDPOINT_URL_STS": service.url, "AWS_WEB_IDENTITY_TOKEN_FILE": str(path)}
    )
    assert role is not None
    seen = []
    for _ in range(2):
        path.write_text(service.gate.identity() + "\n", encoding="ascii")
        seen.append(role.identity(lambda _: pytest.fail("the CI system was asked")).secret)
    assert seen[0] != seen[1]
    path.write_text(service.gate.identity(aud="elsewhere.example"), encoding="ascii")
    with pytest.raises(IdentityError) as caught:
        role.identity(lambda _: None)
    assert caught.value.code == "wrong-audience"
    path.unlink()
    with pytest.raises(IdentityError, match="cannot be read"):
        role.identity(lambda _: None)


def test_a_role_without_an_identity_is_an_error() -> None:
    """It names both variables that could change that."""
    role = Role.named_in({"AWS_ROLE_ARN": ROLE})
    assert role is not None
    with pytest.raises(CredentialError, match="AWS_ROLE_ARN is set") as caught:
        role.identity(lambda _: None)
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in caught.value.hint
