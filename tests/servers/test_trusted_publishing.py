"""Runs with trusted publishing, from the command line: a CI system's identity, exchanged at a server that verifies it.

The server is prefix.dev by its name, and so are those that only look like it. What is promised here: one exchange a
run, the right order of credentials, a reason where there is no token, nothing for anybody else, and not a trace of
token or identity in anything that keelback says or leaves behind.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from cli_runner import run_keelback
from in_process import run_here
from keelback import ExitStatus, KeelbackError, Problem, Report, Retry, UsageError, fetch, publish
from keelback.secret import Secret, listening, redact
from making import make_conda
from servers.scripted import Fault, Trap, issuers
from servers.scripted.minting import Publisher
from servers.scripted.publishing_world import LOOKALIKES, PublishingWorld
from servers.scripted.sigstore_world import SigstoreWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli_runner import Completed

QUICK = ("--retries", "1", "--retry-delay", "0.01")
CREDENTIAL = ExitStatus(3)


class Setting:
    """A world, and a folder of packages."""

    def __init__(self, world: PublishingWorld, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.packages = folder / "dist"
        self.home = folder / "home"
        self.home.mkdir()

    def make(self, count: int = 1) -> None:
        """Put *count* packages into the folder."""
        for number in range(count):
            make_conda(self.packages, f"demo{number}")

    def publish(self, *options: str, env: dict[str, str] | None = None) -> Completed:
        """``keelback publish``, as a job of GitHub Actions unless *env* is another."""
        env = self.world.github() if env is None else env
        arguments = ["publish", "--to", self.world.channel, *QUICK, *options, str(self.packages)]
        return run_here(arguments, env=env, home=self.home)

    def attempt(
        self, mode: str = "auto", *, env: dict[str, str] | None = None, to: str | None = None, **options: Any
    ) -> Report:
        """The same from Python: the report, also of a run that ends before anything is sent."""
        options = {"retry": Retry(attempts=2, base=0.01), "timeout": 10.0, "trusted_publishing": mode, **options}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self.world.github() if env is None else env).items():
                patch.setenv(name, value)
            try:
                return publish([self.packages], to or self.world.channel, **options)
            except KeelbackError as error:
                return Report(error=Problem.of(error))

    def nobody_was_told(self) -> bool:
        """Whether no identity was asked for, and none was sent anywhere."""
        asked = self.world.actions.requests or self.world.prefix.of_step("mint")
        return not asked and not leaks.find(self.world.elsewhere.heard())


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    """A world with one package in the folder."""
    with PublishingWorld(tmp_path) as world:
        found = Setting(world, tmp_path)
        found.make()
        yield found
    world.assert_clean()


def error_of(report: Report) -> Problem:
    """The error that ended a run before anything was sent."""
    assert report.error is not None
    assert not any(outcome.status.value == "uploaded" for outcome in report.outcomes)
    return report.error


def statuses(report: Report) -> list[str]:
    """What became of the archives, in one word each."""
    assert report.error is None, report.error
    return [outcome.status.value for outcome in report.outcomes]


# --- the way it is meant ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_a_job_publishes_without_any_secret(setting: Setting, system: str) -> None:
    """In a job of a registered workflow, ``keelback publish`` needs nothing else."""
    arguments = ["publish", "--to", setting.world.channel, str(setting.packages)]

    done = run_keelback(arguments, env=getattr(setting.world, system)())

    assert done.returncode == 0, done.stderr
    assert sorted(setting.world.prefix.files) == ["noarch/demo0-1.0-h0_0.conda"]
    assert setting.world.prefix.used == ["token 1"]
    assert all(name == "prefix.dev:443" for _, name in map(str.split, setting.world.proxy.asked))


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_fifty_packages_take_one_exchange(setting: Setting, system: str) -> None:
    """However many archives, and however many at once: one identity, one exchange."""
    setting.make(50)
    issuer = getattr(setting.world, f"{system}_issuer")

    done = setting.publish("-j", "16", env=getattr(setting.world, system)())

    assert done.returncode == 0, done.stderr
    assert len(setting.world.prefix.files) == 50
    assert (setting.world.prefix.minted, issuer.made) == (1, 1)
    assert set(setting.world.prefix.used) == {"token 1"}


@pytest.mark.parametrize("lifetime", [None, 900], ids=["opaque", "jwt"])
def test_a_token_that_expires_half_way_is_exchanged_anew(setting: Setting, lifetime: int | None) -> None:
    """A run outlives its token: a second exchange, with a new identity, and no archive fails."""
    setting.make(50)
    setting.world.prefix.uploads_per_token = 30
    setting.world.prefix.lifetime = lifetime

    report = setting.attempt(jobs=16)

    assert statuses(report) == ["uploaded"] * 50
    used = setting.world.prefix.used
    assert (used.count("token 1"), used.count("token 2")) == (30, 20)
    assert len(setting.world.audiences) == setting.world.prefix.minted == 2


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_a_clock_that_is_fast_takes_no_exchange_for_each_package(
    setting: Setting, system: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By it, each token has expired when it comes; the server has the last word, and the user is told once."""
    setting.make(10)
    setting.world.prefix.lifetime = -3600

    report = setting.attempt(env=getattr(setting.world, system)())

    assert statuses(report) == ["uploaded"] * 10
    assert (setting.world.prefix.minted, len(setting.world.prefix.of_step("mint"))) == (1, 1)
    assert caplog.text.count("check that clock") == 1


def test_gitlabs_one_identity_does_for_a_second_token_where_the_server_takes_it_again(setting: Setting) -> None:
    """GitLab makes one identity a job: whether it buys a second token is up to the server."""
    setting.make(6)
    setting.world.prefix.uploads_per_token = 3
    setting.world.prefix.takes_again = True

    report = setting.attempt(jobs=1, env=setting.world.gitlab())

    assert statuses(report) == ["uploaded"] * 6
    assert setting.world.prefix.minted == 2


def test_where_it_does_not_the_run_says_that_the_identity_was_used_before(setting: Setting) -> None:
    """What was sent until then stays; the rest names the server's own reason."""
    setting.make(6)
    setting.world.prefix.uploads_per_token = 3

    done = setting.publish("--json", "-j", "1", env=setting.world.gitlab())

    assert done.returncode == CREDENTIAL
    ((channel,),) = [done.json()["channels"]]
    assert [outcome["status"] for outcome in channel["outcomes"]].count("uploaded") == 3
    assert "invalid-reuse-token" in done.stdout
    assert "GitLab CI makes one identity for each job and audience, and the server takes each once." in done.stdout


@pytest.mark.parametrize(
    "fault", [None, Fault("stall-answer", when="mint", nth=2, times=None)], ids=["refused", "silent"]
)
def test_a_renewal_that_fails_is_tried_once_however_many_packages_are_left(
    setting: Setting, fault: Fault | None
) -> None:
    """An identity that is used up is not shown again by every package, and a silent server is waited for once."""
    setting.make(20)
    setting.world.prefix.uploads_per_token = 5
    if fault is not None:
        setting.world.prefix.plan(fault)

    report = setting.attempt(jobs=8, env=setting.world.gitlab(), timeout=0.5, retry=Retry(attempts=1))

    assert statuses(report).count("uploaded") == 5
    codes = {outcome.error.code for outcome in report.outcomes if outcome.error}
    assert "exchange-refused" in codes <= {"exchange-refused", "not-attempted"}
    assert len(setting.world.prefix.of_step("mint")) == 2


@pytest.mark.parametrize("other", ["https://prefix.dev:443/no-such-channel", "https://PREFIX.dev/no-such-channel"])
def test_one_server_takes_one_exchange_however_it_is_written(setting: Setting, other: str) -> None:
    """The port that https has anyway, and capitals, make no other server; GitLab's identity serves once."""
    done = setting.publish("--to", other, env=setting.world.gitlab())

    assert done.returncode == 1
    assert len(setting.world.prefix.of_step("mint")) == 1
    assert list(setting.world.prefix.files) == ["noarch/demo0-1.0-h0_0.conda"]


def test_a_token_that_its_own_server_does_not_take_is_not_called_somebody_elses(setting: Setting) -> None:
    """What is wrong is what it was registered for; a new token would be no other."""
    setting.world.prefix.plan(Fault("status", when="upload", status=401, times=None))

    (outcome,) = setting.attempt().outcomes

    assert outcome.error is not None
    assert outcome.error.code == "credential-refused"
    assert outcome.error.hint.endswith("check for which channel the trusted publisher is registered.")


def test_two_channels_of_one_server_share_one_token(setting: Setting) -> None:
    """The token is the server's, whatever channel it is for."""
    done = setting.publish("--to", "https://prefix.dev/no-such-channel")

    assert done.returncode == 1
    assert (setting.world.prefix.minted, setting.world.prefix.used) == (1, ["token 1", "token 1"])


def test_a_dry_run_tries_the_exchange_and_sends_nothing(setting: Setting) -> None:
    """Whether the set-up is right can be seen beforehand; the token is nobody's that the server could name."""
    report = setting.attempt(dry_run=True)

    assert statuses(report) == ["uploaded"]
    assert (setting.world.prefix.minted, setting.world.prefix.used) == (1, [])


def test_the_identity_can_be_given(setting: Setting) -> None:
    """``--oidc-token -`` takes one that was made elsewhere, in any CI or none."""
    token = setting.world.github_issuer.token("prefix.dev")
    arguments = ["publish", "--to", setting.world.channel, "--oidc-token", "-", str(setting.packages)]

    done = run_here(arguments, env=setting.world.network, stdin=token, home=setting.home)

    assert done.returncode == 0, done.stderr
    assert setting.world.prefix.used == ["token 1"]
    assert setting.world.actions.requests == []


# --- with attestations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("system", "rekor"), [("github", 1), ("github", 2), ("gitlab", 1)])
def test_packages_are_attested_and_what_the_server_was_given_verifies(
    setting: Setting, system: str, rekor: int
) -> None:
    """``--attest``: a bundle for each archive, all of one certificate, and readers find what they can verify."""
    setting.make(5)
    issuer = getattr(setting.world, f"{system}_issuer")
    policy = {"github": "repo:acme/foo,workflow:release.yml", "gitlab": "project:grp/sub/proj"}[system]
    names = [f"demo{number}" for number in range(5)]
    fetched = setting.folder / "fetched"
    fetched.mkdir()
    with SigstoreWorld(issuer, rekor=rekor) as sigstore:
        env = getattr(setting.world, system)()
        if system == "gitlab":
            env["SIGSTORE_ID_TOKEN"] = sigstore.identity()
        trust = ("--trust-config", str(sigstore.trust_config))

        done = setting.publish("--attest", *trust, env=env)

        assert done.returncode == 0, done.stderr
        assert setting.world.prefix.minted == len(sigstore.fulcio.requests) == 1
        assert sorted(setting.world.prefix.attestations) == [f"noarch/{name}-1.0-h0_0.conda" for name in names]
        assert all(len(bundles) == 1 for bundles in setting.world.prefix.attestations.values())
        for asked, status in ((policy, 0), ("repo:acme/other", 1)):
            arguments = ["fetch", setting.world.channel, *names, "--require-attestation", asked, *trust]
            got = run_here([*arguments, "-o", str(fetched)], env=setting.world.network, home=setting.home)
            assert got.returncode == status, got.stderr
    sigstore.assert_clean()
    assert len(list(fetched.rglob("*.conda"))) == 5


@pytest.mark.parametrize(("server", "step"), [("fulcio", "certificate"), ("rekor", "entry")], ids=["fulcio", "rekor"])
def test_nothing_is_sent_where_it_cannot_be_attested(setting: Setting, server: str, step: str) -> None:
    """An archive without the attestation that was asked for is not published."""
    with SigstoreWorld(setting.world.github_issuer) as sigstore:
        getattr(sigstore, server).plan(Fault("status", when=step, status=500, times=None))
        done = setting.publish("--json", "--attest", "--trust-config", str(sigstore.trust_config))

    assert done.returncode == 1
    assert setting.world.prefix.files == {}
    assert '"code": "signing"' in done.stdout


def test_an_api_key_carries_no_attestation(tmp_path: Path) -> None:
    """prefix.dev takes attestations with trusted publishing only; the run says so before it sends anything."""
    key = leaks.new_secret("key")
    with PublishingWorld(tmp_path, keys={key: "key"}) as world, SigstoreWorld(world.github_issuer) as sigstore:
        setting = Setting(world, tmp_path)
        setting.make()
        env = {**world.github(), "PREFIX_API_KEY": key}

        trust = ("--trust-config", str(sigstore.trust_config))

        for options, status, hint in [
            ([], CREDENTIAL, "Unset PREFIX_API_KEY, or use --trusted-publishing always."),
            (["--trusted-publishing", "never"], ExitStatus.USAGE, "Leave out --trusted-publishing never"),
        ]:
            done = setting.publish("--attest", *trust, *options, env=env)
            assert (done.returncode, hint in done.stderr) == (status, True), done.stderr
        assert world.prefix.requests == sigstore.requests == []


# --- which credential -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "used"),
    [
        (("option", "variable", "identity", "store"), "option"),
        (("variable", "identity", "store"), "variable"),
        (("identity", "store"), "token 1"),
        (("store",), "store"),
    ],
)
def test_an_explicit_key_goes_before_the_identity_and_the_identity_before_the_stores(
    tmp_path: Path, present: tuple[str, ...], used: str
) -> None:
    """The order: the option, the variable, trusted publishing, the stores; what is not needed is not asked for."""
    keys = {name: leaks.new_secret(f"key-{name}") for name in ("option", "variable", "store")}
    with PublishingWorld(tmp_path, keys={key: name for name, key in keys.items()}) as world:
        setting = Setting(world, tmp_path)
        setting.make()
        env = world.github() if "identity" in present else dict(world.network)
        options = []
        if "option" in present:
            key_file = tmp_path / "key"
            key_file.write_text(keys["option"])
            options = ["--api-key-file", str(key_file)]
        if "variable" in present:
            env["PREFIX_API_KEY"] = keys["variable"]
        env["RATTLER_AUTH_FILE"] = str(stored(tmp_path, keys["store"]))

        done = setting.publish(*options, env=env)

        assert done.returncode == 0, done.stderr
        assert world.prefix.used == [used]
        assert (used == "token 1") == bool(world.actions.requests)
    world.assert_clean()


def stored(folder: Path, key: str) -> Path:
    """An auth file with a key for prefix.dev."""
    path = leaks.holds_secrets(folder / "auth.json")
    path.write_text(json.dumps({"*.prefix.dev": {"BearerToken": key}}))
    return path


def test_never_asks_nobody(setting: Setting) -> None:
    """``--trusted-publishing never``: no identity is asked for, and none is sent."""
    error = error_of(setting.attempt("never"))

    assert (error.code, error.exit_status) == ("no-credential", CREDENTIAL)
    assert setting.nobody_was_told()


def test_always_does_not_fall_back(tmp_path: Path) -> None:
    """``--trusted-publishing always``: no store is used in its place, and the exchange's own error is the run's."""
    key = leaks.new_secret("store")
    with PublishingWorld(tmp_path, keys={key: "store"}) as world:
        setting = Setting(world, tmp_path)
        setting.make()
        world.prefix.publishers.clear()
        env = {**world.github(), "RATTLER_AUTH_FILE": str(stored(tmp_path, key))}

        error = error_of(setting.attempt("always", env=env))
        assert (error.code, error.exit_status) == ("exchange-refused", CREDENTIAL)
        assert world.prefix.used == []

        done = setting.publish("--trusted-publishing", "auto", env=env)
        assert done.returncode == 0
        assert world.prefix.used == ["store"]
        assert "trusted publishing failed" in done.stderr


def test_always_needs_a_ci_system(setting: Setting) -> None:
    """Outside CI there is nothing to exchange, and the message says where there is."""
    error = error_of(setting.attempt("always", env=setting.world.network))

    assert error.code == "no-identity"
    assert "GitHub Actions" in error.hint


def test_auto_outside_ci_goes_on_to_the_stores(setting: Setting) -> None:
    """On a machine that is no CI nothing changes."""
    error = error_of(setting.attempt(env=setting.world.network))

    assert error.code == "no-credential"
    assert setting.nobody_was_told()


# --- identities that are refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"repository": "acme/other"}, "invalid-publisher"),
        ({"repository_owner_id": "666"}, "invalid-publisher"),
        ({"job_workflow_ref": "acme/foo/.github/workflows/other.yml@refs/tags/v1"}, "invalid-publisher"),
        ({"job_workflow_ref": "evil/foo/.github/workflows/release.yml@refs/tags/v1"}, "invalid-publisher"),
        ({"event_name": "pull_request_target"}, "invalid-publisher"),
        ({"iss": "https://token.actions.evil.example"}, "invalid-publisher"),
        ({"iss": issuers.GITLAB}, "invalid-token"),
        ({"nbf": 4_000_000_000}, "invalid-token"),
        ({"jti": issuers.ABSENT}, "invalid-token"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_an_identity_of_somebody_else_gets_no_token(setting: Setting, changes: dict[str, Any], reason: str) -> None:
    """The error has the server's words, whose identity it is, and what to set up."""
    setting.world.github_issuer.claims |= changes

    error = error_of(setting.attempt())

    assert error.code == "exchange-refused"
    assert reason in error.message
    assert "the identity is that of owner acme, repository " in error.message
    assert ", no environment" in error.message
    assert error.message.endswith("event pull_request_target") == ("event_name" in changes)
    assert "trusted publisher" in error.hint


def test_an_identity_of_no_known_form_is_shown_by_its_claims(setting: Setting) -> None:
    """What a server has registered for it is not known; the claims that it may look at are."""
    setting.world.github_issuer.claims |= dict.fromkeys(("repository", "job_workflow_ref"), issuers.ABSENT)

    error = error_of(setting.attempt())

    assert f"; the identity says iss={issuers.GITHUB}, aud=prefix.dev, sub=" in error.message
    assert "trusted publisher" in error.hint


@pytest.mark.parametrize(
    ("system", "hint"),
    [
        ("github", "Run the job again, and check that the clock of this machine is right."),
        ("gitlab", "GitLab CI makes one identity for each job and audience, which ends with the timeout of the job."),
        ("given", "Give a new ID token, and check that the clock of this machine is right."),
    ],
)
def test_an_expired_identity_is_called_that(setting: Setting, system: str, hint: str) -> None:
    """What helps depends on who made it; nothing has to be registered for it."""
    long_ago = {"exp": 1_700_000_000}
    setting.world.github_issuer.claims |= long_ago
    env = setting.world.gitlab(**long_ago) if system == "gitlab" else None
    given = {"oidc_token": setting.world.github_issuer.token("prefix.dev")} if system == "given" else {}

    error = error_of(setting.attempt(env=env, **given))

    assert hint in error.hint
    assert "trusted publisher" not in error.hint


@pytest.mark.parametrize(
    ("value", "message"),
    [("pypi", "is made for pypi, and not for 'prefix.dev'"), (None, "is not an ID token")],
)
def test_gitlabs_variable_is_named_where_it_holds_something_else(
    setting: Setting, value: str | None, message: str
) -> None:
    """With the line that declares it."""
    env = setting.world.gitlab(value or "prefix.dev")
    if value is None:
        env["PREFIX_DEV_ID_TOKEN"] = leaks.new_secret("not-a-jwt")

    error = error_of(setting.attempt(env=env))

    assert f"the identity from the variable PREFIX_DEV_ID_TOKEN {message}" in error.message
    assert 'id_tokens: {PREFIX_DEV_ID_TOKEN: {aud: "prefix.dev"}} in the job in .gitlab-ci.yml' in error.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"project_path": "grp/sub/other"},
        {"ci_config_ref_uri": "gitlab.com/grp/sub/proj//other.yml@refs/heads/main"},
        {"ci_config_ref_uri": "gitlab.com/evil/proj//.gitlab-ci.yml@refs/heads/main"},
    ],
)
def test_gitlabs_identities_are_looked_at_likewise(setting: Setting, changes: dict[str, Any]) -> None:
    """Another project, another file, another project's file."""
    error = error_of(setting.attempt(env=setting.world.gitlab(**changes)))

    assert error.code == "exchange-refused"
    assert "the identity is that of group grp/sub, project " in error.message


def test_a_publisher_with_an_environment_wants_it_named(setting: Setting) -> None:
    """The message shows what is to be compared, also where the identity names none."""
    setting.world.prefix.publishers[:] = [
        Publisher(issuers.GITHUB, "acme/foo", "release.yml", environment="release"),
    ]
    assert error_of(setting.attempt()).message.endswith("workflow file release.yml, no environment")

    setting.world.github_issuer.claims["environment"] = "test"
    assert error_of(setting.attempt()).message.endswith("workflow file release.yml, environment test")

    setting.world.github_issuer.claims["environment"] = "release"
    assert setting.publish().returncode == 0


@pytest.mark.parametrize("changes", [{"aud": "pypi"}, {"aud": ["prefix.dev", "pypi"]}, {"aud": issuers.ABSENT}])
def test_an_identity_for_another_audience_is_not_sent(setting: Setting, changes: dict[str, Any]) -> None:
    """Whoever else could use it is not given the chance."""
    setting.world.github_issuer.claims |= changes

    error = error_of(setting.attempt())

    assert error.code == "wrong-audience"
    assert setting.world.prefix.of_step("mint") == []


def test_a_missing_permission_is_named(setting: Setting) -> None:
    """Without ``id-token: write``, GitHub does not say where to ask."""
    env = {name: value for name, value in setting.world.github().items() if not name.startswith("ACTIONS_")}

    done = setting.publish("--json", env=env)

    assert done.returncode == CREDENTIAL
    error = done.json()["error"]
    assert error["code"] == "no-identity"
    assert all("id-token: write" in text for text in (error["message"], error["hint"], done.stderr))


@pytest.mark.parametrize("status", [400, 403, 500])
def test_an_identity_endpoint_that_refuses_is_told_apart(setting: Setting, status: int) -> None:
    """The error is that of the CI system, with its status."""
    setting.world.actions.plan(Fault("status", when="id-token", status=status, times=None))

    error = error_of(setting.attempt())

    assert error.code == "no-identity"
    assert str(status) in error.message


# --- a mint endpoint that misbehaves ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("status", when="mint", status=200, media="html", times=None), "answered 200 with a web page"),
        (Fault("status", when="mint", status=200, body='{"token": "abc"}', times=None), "200 with a document in place"),
        (Fault("status", when="mint", status=200, media="empty", times=None), "answered 200 with an empty token"),
        (
            Fault("status", when="mint", status=200, media="text", body="a word, and another", times=None),
            "has a space in it",
        ),
        (Fault("status", when="mint", status=403, media="text", body="not on a Sunday", times=None), "not on a Sunday"),
        (Fault("status", when="mint", status=404, times=None), "404"),
        (Fault("status", when="mint", status=500, times=None), "500"),
        (Fault("reset", when="mint", times=None), "(2 attempts)"),
        (Fault("garbage", when="mint", times=None), "(2 attempts)"),
    ],
    ids=["html", "json", "empty", "words", "403", "404", "500", "reset", "garbage"],
)
def test_what_is_no_token_is_not_used_as_one(setting: Setting, fault: Fault, said: str) -> None:
    """Nothing is uploaded, and the error says what came instead."""
    setting.world.prefix.plan(fault)

    error = error_of(setting.attempt())

    assert said in error.message
    assert error.hint
    assert (error.code, error.exit_status) == ("exchange-refused", CREDENTIAL)
    assert setting.world.prefix.of_step("upload") == []


def test_a_mint_endpoint_that_never_answers_is_given_up(setting: Setting) -> None:
    """The run ends with an error that says who did not answer."""
    setting.world.prefix.plan(Fault("stall-answer", when="mint", times=None))

    error = error_of(setting.attempt(timeout=0.3))

    assert (error.code, error.exit_status) == ("exchange-refused", CREDENTIAL)
    assert error.message.startswith("prefix.dev gave no token for the identity from GitHub Actions: ")


def test_a_newline_behind_the_token_ends_up_in_no_header(setting: Setting) -> None:
    """The body is the token, verbatim; what cannot be one is refused before it is sent anywhere."""
    setting.world.prefix.written = "{}\n".format

    report = setting.attempt()

    assert error_of(report).code == "exchange-refused"
    assert setting.world.prefix.of_step("upload") == []


@pytest.mark.parametrize(
    "written",
    ['"{}"', "null", "true", "12345", "1" * 40, "OK", "a", "token={}", "token={}&type=upload", "{}:{}"],
)
def test_nothing_but_a_token_is_taken_as_one(setting: Setting, written: str) -> None:
    """JSON, a form, a word: it is not sent on, and nobody is told to hide it wherever it appears."""
    setting.world.prefix.written = written.replace("{}", "{0}").format
    heard: list[Secret] = []

    with listening(heard.append):
        error = error_of(setting.attempt())

    assert error.code == "exchange-refused"
    assert [secret.source for secret in heard] == ["GitHub Actions"]
    assert setting.world.prefix.of_step("upload") == []
    assert redact("null and true are OK") == "null and true are OK"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_identity_follows_a_redirect(setting: Setting, status: int) -> None:
    """Not even the bare request arrives there."""
    with Trap() as trap:
        setting.world.prefix.plan(Fault("redirect", when="mint", status=status, to=trap.url, times=None))
        error = error_of(setting.attempt())

    assert error.code == "exchange-refused"
    assert trap.requests == []


def test_a_mint_endpoint_that_shows_the_identity_again_does_not_have_it_shown(setting: Setting) -> None:
    """The server's words are part of the message, and what is secret in them is not."""
    token = setting.world.github_issuer.token("prefix.dev")
    said = f"this is not good enough: {token}"
    setting.world.prefix.plan(Fault("status", when="mint", status=403, media="text", body=said, times=None))
    arguments = ["publish", "--to", setting.world.channel, "--oidc-token", "-", "--verbose", str(setting.packages)]

    done = run_here(arguments, env=setting.world.network, stdin=token, home=setting.home)

    assert done.returncode == CREDENTIAL
    assert "this is not good enough: ****" in done.stderr


def test_a_mint_endpoint_that_is_down_for_a_moment_is_asked_again_with_a_new_identity(setting: Setting) -> None:
    """A server that takes each identity once is not shown the same one twice."""
    setting.world.prefix.plan(Fault("lost-answer", when="mint"))

    done = setting.publish()

    assert done.returncode == 0, done.stderr
    assert len(setting.world.audiences) == 2


# --- who gets none ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "always"])
@pytest.mark.parametrize(
    "channel",
    [
        *(f"prefix+https://{host}/my-channel" for host in LOOKALIKES),
        "https://evil-prefix.dev/my-channel",
        "https://prefix.dev.evil.com/my-channel",
        "https://prefix.dev./my-channel",
        "https://prefix.dev@example.com/my-channel",
        "prefix+https://prefix.dev@example.com/my-channel",
        "prefix+https://prefix.dev:x@example.com/my-channel",
        "prefix+https://example.com\\@prefix.dev/my-channel",
        "prefix+https://example.com#@prefix.dev/my-channel",
        "prefix+https://pref\u0131x.dev/my-channel",
        "prefix+https://prefix\u3002dev.example.com/my-channel",
        "http://prefix.dev/my-channel",
        "prefix+http://prefix.dev/my-channel",
        "prefix+http://example.com/my-channel",
    ],
)
def test_whoever_is_not_prefix_dev_gets_nothing(setting: Setting, channel: str, mode: str) -> None:
    """No identity is asked for, let alone sent: not to a name that looks like prefix.dev, and not over plain HTTP."""
    error = error_of(setting.attempt(mode, to=channel))

    assert error.exit_status in {ExitStatus.USAGE, CREDENTIAL}
    assert setting.nobody_was_told()
    assert not any(asked.split()[0] != "CONNECT" for asked in setting.world.proxy.asked)


def test_a_server_that_was_named_gets_an_identity_of_its_own(setting: Setting) -> None:
    """Its audience is its own host, so that it cannot be used anywhere else."""
    setting.attempt(trusted_publishing_hosts=["example.com"], to="prefix+https://example.com/my-channel")

    assert setting.world.audiences == ["example.com"]


def test_a_server_that_would_have_to_be_named_is_called_by_its_own_name(setting: Setting) -> None:
    """Where an identity is offered and nothing is stored, the hint names the option; the host is not prefix.dev."""
    error = error_of(setting.attempt(to="prefix+https://example.com/my-channel"))

    assert error.message.startswith("No credential for example.com: ")
    assert "--trusted-publishing-host example.com" in error.hint
    outside = error_of(setting.attempt(to="prefix+https://example.com/my-channel", env=setting.world.network))
    assert "--trusted-publishing-host" not in outside.hint


def test_a_key_cannot_be_combined_with_always(setting: Setting) -> None:
    """Nor with an ID token; both options are named."""
    error = error_of(setting.attempt("always", api_key=leaks.new_secret("key")))

    assert (error.code, error.exit_status) == ("usage", ExitStatus.USAGE)
    assert error.message.endswith(" cannot be combined with --trusted-publishing always")
    assert setting.nobody_was_told()


def test_nor_can_it_be_where_something_is_fetched(setting: Setting) -> None:
    """A key that is not used would be thought to have worked."""
    with pytest.raises(UsageError, match="cannot be combined with --trusted-publishing always"):
        fetch(setting.world.channel, "demo", api_key=leaks.new_secret("key"), trusted_publishing="always")
    assert setting.nobody_was_told()


def test_naming_one_server_names_no_other(setting: Setting) -> None:
    """A name counts for itself, not for what is under it or next to it."""
    named = ["evil.com", "prefix.dev.evil"]
    setting.attempt(trusted_publishing_hosts=named, to="prefix+https://prefix.dev.evil.com/my-channel")

    assert setting.nobody_was_told()


# --- not a trace ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "options"),
    [("github", ["--json"]), ("github", ["-vv", "--attest"]), ("github", ["--quiet"]), ("gitlab", ["-vv", "--attest"])],
)
@pytest.mark.parametrize("goes_well", [True, False], ids=["well", "badly"])
def test_neither_token_nor_identity_is_shown_or_left_behind(
    tmp_path: Path, *, system: str, options: list[str], goes_well: bool
) -> None:
    """Not in any output, nor in any file: home, working directory, temporary folder and caches are searched."""
    below = tmp_path / "all"
    below.mkdir()
    with PublishingWorld(tmp_path) as world, SigstoreWorld(world.github_issuer, world.gitlab_issuer) as sigstore:
        setting = Setting(world, below)
        setting.make(3)
        if not goes_well:
            world.prefix.plan(Fault("echo", when="upload", status=403, times=None))
        variables = {
            "SIGSTORE_ID_TOKEN": world.gitlab_issuer.token("sigstore"),
            "KEELBACK_TRUST_CONFIG": str(sigstore.trust_config),
            "XDG_CACHE_HOME": str(below / "cache"),
            "XDG_CONFIG_HOME": str(below / "config"),
            "XDG_DATA_HOME": str(below / "data"),
            "GITHUB_STEP_SUMMARY": str(below / "summary.md"),
            "GITHUB_OUTPUT": str(below / "outputs"),
        }

        arguments = ["publish", "--to", world.channel, *QUICK, *options, str(setting.packages)]

        done = run_keelback(arguments, env={**getattr(world, system)(), **variables}, home=setting.home)

        assert (done.returncode == 0) == goes_well
        assert bool(sigstore.rekor.requests) == ("--attest" in options)
        leaks.check(done.stdout + done.stderr, "the output")
        for path in below.rglob("*"):
            if path.is_file():
                leaks.check(path.read_bytes(), str(path.relative_to(below)))
