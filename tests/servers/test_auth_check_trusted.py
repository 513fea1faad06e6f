"""``keelback auth check`` in CI: the tool with which somebody finds out why the first workflow does not publish.

It does what ``keelback publish`` would do with the identity of the CI system, and no more; and it says who offers one,
who may have it, what it says, what the server said to it, and the one next step.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from cli_runner import run_keelback
from in_process import run_here
from keelback import Retry
from servers.scripted import Fault, issuers
from servers.scripted.publishing_world import LOOKALIKES, PublishingWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli_runner import Completed

FORM = "the identity is that of owner acme, repository foo, workflow file release.yml, no environment"


class Examined:
    """What one check came to, for programs and for people.

    Args:
        document: the JSON document.
        text: what a person reads.
        exit_status: of both.
    """

    def __init__(self, document: dict[str, Any], text: str, exit_status: int) -> None:
        self.document = document
        self.text = text
        self.exit_status = exit_status
        self.verdict: str = document["verdict"]
        self.trusted: dict[str, Any] = document["trusted_publishing"]

    @property
    def section(self) -> str:
        """The lines on trusted publishing."""
        head, separator, rest = self.text.partition("1. Trusted publishing\n")
        assert separator or not rest, head
        return rest.partition("\n2. ")[0]

    @property
    def sent(self) -> list[tuple[str, str | None, int | None]]:
        """What was sent, with what, and the status of the answer."""
        return [(asked["method"], asked["sent"], asked["status"]) for asked in self.document["requests"]]


class Job:
    """A world, in which the command is run as a job of GitHub Actions unless it is said otherwise.

    Args:
        world: the servers.
        home: the home folder of the job.
    """

    def __init__(self, world: PublishingWorld, home: Path) -> None:
        self.world = world
        self.home = home

    def check(self, *options: str, env: dict[str, str] | None = None, url: str = PublishingWorld.channel) -> Examined:
        """``keelback auth check``, once for programs and once for people; GitLab's one identity serves both times."""
        env = self.world.github() if env is None else env
        self.world.prefix.takes_again = True
        arguments = [url, "--timeout", "5", *options]
        for_programs, for_people = self.run(*arguments, "--json", env=env), self.run(*arguments, env=env)
        assert (for_programs.stderr, for_people.stderr) == ("", "")
        assert for_programs.returncode == for_people.returncode
        document = for_programs.json()
        assert for_people.stdout.rstrip().endswith(document["verdict"])
        return Examined(document, for_people.stdout, for_people.returncode)

    def run(self, *arguments: str, env: dict[str, str], stdin: str = "") -> Completed:
        """``keelback auth check``, without the pauses between attempts."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("keelback.transport.Retry", lambda **_: Retry(attempts=2, base=0.01))
            return run_here(["auth", "check", *arguments], env=env, home=self.home, stdin=stdin)

    def without_permission(self) -> dict[str, str]:
        """The environment of a job that may not write ID tokens."""
        return {name: value for name, value in self.world.github().items() if not name.startswith("ACTIONS_")}

    def nobody_was_told(self) -> bool:
        """Whether no identity was asked for, and none was sent anywhere."""
        asked = self.world.actions.requests or self.world.prefix.of_step("mint")
        return not asked and not leaks.find(self.world.elsewhere.heard())


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """A job of a workflow that prefix.dev knows."""
    with PublishingWorld(tmp_path) as world:
        yield Job(world, tmp_path)
    world.assert_clean()


def stored(folder: Path, key: str) -> Path:
    """An auth file with a key for prefix.dev."""
    path = leaks.holds_secrets(folder / "auth.json")
    path.write_text(json.dumps({"*.prefix.dev": {"BearerToken": key}}))
    path.chmod(0o600)
    return path


# --- a token ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "name", "claim"),
    [
        ("github", "GitHub Actions", "repository=acme/foo"),
        ("gitlab", "GitLab CI", "project_path=grp/sub/proj"),
    ],
)
def test_a_job_that_gets_a_token_is_told_so_from_the_identity_to_the_next_step(
    job: Job, system: str, name: str, claim: str
) -> None:
    """Who offers an identity, for whom, what it says, how long the token lives; not that it may upload."""
    job.world.prefix.lifetime = 900

    found = job.check(env=getattr(job.world, system)())

    assert found.exit_status == 0
    for line in (f"identity: from {name}", "server: prefix.dev may have it", "audience: prefix.dev", claim):
        assert line in found.section
    assert "exchange: prefix.dev gave a token (expires in" in found.section
    assert found.trusted["token"] is True
    assert 890 <= found.trusted["expires_in"] <= 900
    assert found.document["match"] == {"store": f"trusted publishing ({name})", "key": None, "kind": "ExchangedToken"}
    assert (found.document["upload"], found.document["findings"]) == (None, [])
    assert "upload: the server does not say" in found.text
    assert found.verdict.startswith(f"Trusted publishing works: prefix.dev gave a token for the identity from {name}")
    assert found.verdict.endswith("keelback publish --to https://prefix.dev/my-channel PATHS...")


def test_every_request_is_accounted_for_and_there_is_one_exchange(job: Job) -> None:
    """That for the identity, and that with it, too; what is secret in them is not shown."""
    found = job.check()

    bearer = "Authorization: Bearer ****"
    assert found.sent == [
        ("GET", bearer, 200),
        ("POST", "a secret in its body", 200),
        ("HEAD", None, 200),
        ("HEAD", bearer, 200),
    ]
    assert job.world.audiences == ["prefix.dev"] * 2  # one check for programs, and one for people
    assert job.world.prefix.minted == 2


def test_a_token_that_does_not_say_when_it_expires_is_no_mistake(job: Job) -> None:
    """It is said that it does not."""
    found = job.check()

    assert found.trusted["expires_in"] is None
    assert "it does not say when it expires" in found.section


def test_the_token_comes_before_what_is_stored_and_that_is_named(job: Job, tmp_path: Path) -> None:
    """In the order of ``publish``: the store is not used, and its key is told."""
    auth = stored(tmp_path, leaks.new_secret("stored"))

    found = job.check(env={**job.world.github(), "RATTLER_AUTH_FILE": str(auth)})

    assert found.exit_status == 0
    assert found.trusted["precedes"] == f"key '*.prefix.dev' of RATTLER_AUTH_FILE ({auth})"
    assert found.trusted["precedes"] in found.section


def test_the_variable_of_the_server_comes_before_it_and_no_identity_is_sent(tmp_path: Path) -> None:
    """Nothing is exchanged that ``publish`` would not use."""
    key = leaks.new_secret("variable")
    with PublishingWorld(tmp_path, keys={key: "variable"}) as world:
        job = Job(world, tmp_path)
        found = job.check(env={**world.github(), "PREFIX_API_KEY": key})

        assert job.nobody_was_told()
    assert found.trusted["preceded_by"] == "the variable PREFIX_API_KEY"
    assert "not tried, because the variable PREFIX_API_KEY takes precedence" in found.section
    assert "Without it, trusted publishing is used here." in found.verdict  # for GraphQL does not know this key


def test_a_channel_that_the_token_does_not_open_is_told_apart(job: Job) -> None:
    """The publisher may be registered for another channel; this scripted server lets nobody read with such a token."""
    job.world.prefix.private = True

    found = job.check()

    assert (found.exit_status, found.document["read"]) == (3, False)
    assert "registered for this channel, and not for another" in found.verdict
    assert [finding["code"] for finding in found.document["findings"]] == []


def test_a_channel_that_is_not_there_is_no_matter_of_the_identity(job: Job) -> None:
    """Exit status 1, as without trusted publishing; that it works is said."""
    found = job.check(url="https://prefix.dev/my-chanel")

    assert found.exit_status == 1
    assert found.verdict.startswith("Trusted publishing works: prefix.dev gave a token")
    assert "There is no channel at this URL (404)" in found.verdict


def test_an_identity_that_was_made_elsewhere_is_exchanged_in_its_place(job: Job) -> None:
    """``--oidc-token -``, outside of CI."""
    token = job.world.github_issuer.token("prefix.dev")

    done = job.run(job.world.channel, "--oidc-token", "-", env=job.world.network, stdin=token)

    assert done.returncode == 0, done.stdout
    assert "identity: from --oidc-token" in done.stdout
    assert job.world.actions.requests == []


# --- no token ---------------------------------------------------------------------------------------------------------


def test_a_refused_identity_stands_beside_what_has_to_be_registered(job: Job) -> None:
    """Exit status 3 although everybody may read; with the server's words, each claim, and each field of the form."""
    job.world.prefix.publishers.clear()

    found = job.check()

    assert (found.exit_status, found.document["read"], found.trusted["token"]) == (3, True, False)
    assert "(403): invalid-publisher" in found.section
    for line in (
        "job_workflow_ref=acme/foo/.github/workflows/release.yml@refs/tags/v1",
        "owner: acme (by the claim repository)",
        "workflow file: release.yml (by the claim job_workflow_ref)",
        "environment: none (by the claim environment)",
    ):
        assert f"{line}\n" in f"{found.section}\n"
    assert [finding["code"] for finding in found.document["findings"]] == ["exchange-refused"]
    assert "repository=" not in found.verdict  # the claims are in the section
    assert f"{FORM}. Register a trusted publisher for the channel at prefix.dev" in found.verdict


def test_gitlabs_refused_identity_has_the_fields_of_gitlab(job: Job) -> None:
    """Group, project and the file with the pipeline; the environment, where the job has one."""
    found = job.check(env=job.world.gitlab(project_path="grp/sub/other", environment="release"))

    assert found.exit_status == 3
    assert found.trusted["publisher"] == {
        "group": "grp/sub",
        "project": "other",
        "pipeline file": ".gitlab-ci.yml",
        "environment": "release",
    }


def test_the_file_of_a_reusable_workflow_is_told_with_that_of_its_caller(job: Job) -> None:
    """Servers differ in which of the two they look at."""
    job.world.github_issuer.claims |= {"job_workflow_ref": "acme/shared/.github/workflows/publish.yml@refs/heads/main"}

    publisher = job.check().trusted["publisher"]

    assert publisher["workflow file"] == "publish.yml"
    assert publisher["or the calling workflow's file"] == "release.yml"


@pytest.mark.parametrize(("system", "is_used_up"), [("github", False), ("gitlab", True)])
def test_a_check_that_uses_up_the_only_identity_says_so(job: Job, system: str, *, is_used_up: bool) -> None:
    """GitLab makes one a job, with which that job may then publish nothing."""
    found = job.check(env=getattr(job.world, system)())

    assert ("a server may take it once: publish in another job" in found.section) == is_used_up


def test_what_is_stored_serves_in_its_place_and_the_refusal_is_told_all_the_same(tmp_path: Path) -> None:
    """``publish`` would warn, and use it; somebody has to mend the exchange, so the status is 3."""
    key = leaks.new_secret("stored")
    auth = stored(tmp_path, key)
    with PublishingWorld(tmp_path, keys={key: "stored"}) as world:
        world.prefix.publishers.clear()
        world.prefix._token = key  # whom GraphQL knows
        env = {**world.github(), "RATTLER_AUTH_FILE": str(auth)}
        job = Job(world, tmp_path)
        found, always = job.check(env=env), job.check("--trusted-publishing", "always", env=env)
    assert (found.exit_status, found.document["match"]["key"]) == (3, "*.prefix.dev")
    assert "is used in its place" in found.verdict
    assert FORM in found.verdict
    assert (always.exit_status, always.document["match"]) == (3, None)


def test_a_missing_permission_is_named_with_the_lines_that_give_it(job: Job) -> None:
    """A job that only reads does without: the status is that of reading; who insists on publishing gets a 3."""
    found = job.check(env=job.without_permission())

    assert (found.exit_status, found.trusted["error"]["code"]) == (0, "no-identity")
    assert "identity: GitHub Actions gives none" in found.section
    assert "it lacks the permission id-token: write" in found.section
    assert "Write permissions: {contents: read, id-token: write} into the job" in found.verdict
    assert job.check("--trusted-publishing", "always", env=job.without_permission()).exit_status == 3
    assert job.nobody_was_told()


def test_a_job_without_identity_and_with_a_stored_key_lacks_nothing(tmp_path: Path) -> None:
    """It has the key for that reason; what it would take is in the section, and is no finding."""
    key = leaks.new_secret("stored")
    auth = stored(tmp_path, key)
    with PublishingWorld(tmp_path, keys={key: "stored"}) as world:
        world.prefix._token = key
        job = Job(world, tmp_path)
        found = job.check(env={**job.without_permission(), "RATTLER_AUTH_FILE": str(auth)})
    assert (found.exit_status, found.document["findings"]) == (0, [])
    assert "id-token: write" in found.section
    assert "rusted publishing" not in found.verdict


def test_gitlabs_missing_declaration_comes_with_the_yaml_to_write(job: Job) -> None:
    """The variable, and the lines that make it."""
    found = job.check(env={**job.world.network, "CI": "true", "GITLAB_CI": "true"})

    assert "the variable PREFIX_DEV_ID_TOKEN is not set" in found.section
    assert found.verdict.endswith('id_tokens: {PREFIX_DEV_ID_TOKEN: {aud: "prefix.dev"}} to the job in .gitlab-ci.yml.')


def test_an_identity_for_somebody_else_is_not_sent(job: Job) -> None:
    """Its audience is compared before anybody gets it."""
    job.world.github_issuer.claims |= {"aud": "pypi"}

    found = job.check()

    assert found.trusted["error"]["code"] == "wrong-audience"
    assert job.world.prefix.of_step("mint") == []


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (Fault("status", when="mint", status=404, times=None), "Check the URL of the channel"),
        (Fault("status", when="mint", status=500, times=None), "Try again later."),
        (Fault("status", when="mint", status=200, media="html", times=None), "answers in its place"),
        (Fault("reset", when="mint", times=None), "(2 attempts)"),
    ],
    ids=["404", "500", "html", "reset"],
)
def test_a_failure_that_says_nothing_of_the_identity_advises_to_register_nothing(
    job: Job, fault: Fault, advice: str
) -> None:
    """A server in trouble, another server, no answer: each with its own next step."""
    job.world.prefix.plan(fault)

    found = job.check()

    assert found.exit_status == 3
    assert "the identity is that of" not in found.verdict
    assert "has to know for it" not in found.section
    assert advice in found.verdict


# --- who gets none ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", LOOKALIKES)
def test_a_look_alike_gets_nothing_and_is_called_what_it_is(job: Job, host: str) -> None:
    """No identity is asked for, let alone sent."""
    found = job.check(url=f"prefix+https://{host}/my-channel")

    assert job.nobody_was_told()
    assert (found.trusted["standing"], found.trusted["claims"]) == ("not-named", {})
    assert f"server: {found.trusted['host']} gets none: it is not known to take identities" in found.section
    assert job.check("--trusted-publishing", "always", url=f"prefix+https://{host}/my-channel").exit_status == 3
    assert job.nobody_was_told()


def test_a_look_alike_that_wants_a_credential_is_not_what_one_is_told_to_log_in_to(job: Job) -> None:
    """The next step is to name the server, for whoever knows it."""
    job.world.elsewhere.plan(Fault("status", when="trap", status=401, times=None))

    found = job.check(url="prefix+https://evil-prefix.dev/my-channel")

    assert found.exit_status == 3
    assert found.verdict.endswith("if the server is yours, give --trusted-publishing-host evil-prefix.dev.")


def test_a_server_that_was_named_gets_an_identity_for_itself_alone(job: Job) -> None:
    """Its audience is its own host."""
    found = job.check("--trusted-publishing-host", "example.com", url="prefix+https://example.com/my-channel")

    assert (found.trusted["standing"], found.trusted["audience"]) == ("named", "example.com")
    assert set(job.world.audiences) == {"example.com"}


@pytest.mark.parametrize(
    ("url", "standing"),
    [
        ("http://prefix.dev/my-channel", "plain-http"),
        ("https://anaconda.org/my-org/dev", "no-exchange"),
        ("https://conda.example.com/my-channel", "unknown-kind"),
    ],
)
def test_whoever_cannot_have_one_is_told_why(job: Job, url: str, standing: str) -> None:
    """Plain HTTP, a kind of server that takes none, a URL that does not tell the kind."""
    found = job.check("--trusted-publishing", "always", url=url)

    assert (found.exit_status, found.trusted["standing"]) == (3, standing)
    assert job.nobody_was_told()


def test_never_asks_nobody(job: Job) -> None:
    """``--trusted-publishing never``: no identity, no exchange."""
    found = job.check("--trusted-publishing", "never")

    assert (found.exit_status, found.trusted["token"]) == (0, False)
    assert found.section.strip() == "no identity is asked for (--trusted-publishing never)"
    assert job.nobody_was_told()


def test_outside_ci_there_is_nothing_to_read_about_it(job: Job) -> None:
    """Programs find the member all the same; a CI system that offers nothing is told of."""
    found = job.check(env=job.world.network)
    assert found.section == ""
    assert found.trusted["offered_by"] is None

    other = job.check(env={**job.world.network, "CI": "true"})
    assert "identity: no CI system that keelback knows offers one here" in other.section


def test_a_host_alone_sends_nothing_and_asks_for_the_channel(job: Job) -> None:
    """There is no channel to publish to; whoever insists uses the command wrongly."""
    done = job.run("prefix.dev", env=job.world.github())
    assert "trusted publishing from GitHub Actions" in done.stdout
    assert "name the URL of a channel" in done.stdout

    always = job.run("prefix.dev", "--trusted-publishing", "always", env=job.world.github())
    assert always.returncode == 2
    assert job.nobody_was_told()


# --- not a trace ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["github", "gitlab"])
@pytest.mark.parametrize("echoes", [False, True], ids=["well", "echoing"])
def test_neither_token_nor_identity_is_shown_or_left_behind(tmp_path: Path, *, system: str, echoes: bool) -> None:
    """Not in either form of the output, nor in any file; also where the server echoes what it was sent."""
    below = tmp_path / "home"
    below.mkdir()
    with PublishingWorld(tmp_path) as world:
        if echoes:
            world.prefix.plan(Fault("echo", when="mint", status=403, times=None))
        for options in ((), ("--json",)):
            world.prefix.takes_again = True
            done = run_keelback(["auth", "check", world.channel, *options], home=below, env=getattr(world, system)())
            assert done.returncode == (3 if echoes else 0), done.stdout
            leaks.check(done.stdout + done.stderr, "the output")
    for path in below.rglob("*"):
        if path.is_file():
            leaks.check(path.read_bytes(), str(path.relative_to(below)))


def test_no_claim_steers_the_terminal_or_the_ci_system(job: Job) -> None:
    """Whoever names a branch chooses what is printed here."""
    job.world.github_issuer.claims |= {
        "ref": "refs/heads/\x1b]0;PWNED\x07",
        "environment": "##[add-mask]x\n::error::x",
        "repository": "acme/\u202efoo",
    }
    job.world.prefix.publishers.clear()

    found = job.check()

    assert all(line.isprintable() for line in found.text.splitlines())
    assert "##[" not in found.text + json.dumps(found.document)
    assert not any(line.lstrip().startswith("::") for line in found.text.splitlines())


def test_issuers_of_another_kind_have_their_claims_shown_and_no_form(job: Job) -> None:
    """Which fields a server has for them is not known."""
    for name in ("repository", "workflow_ref", "job_workflow_ref"):
        job.world.github_issuer.claims[name] = issuers.ABSENT

    found = job.check()

    assert (found.exit_status, found.trusted["publisher"]) == (3, {})
    assert "iss=https://token.actions.githubusercontent.com" in found.section
    assert "Register a trusted publisher" in found.verdict
