"""What the environment says of the CI system, and what of it the programs see that keelback starts: real ones."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import TYPE_CHECKING

import pytest
import yaml

import leaks
from keelback import solving
from keelback.childenv import for_child, for_interpreter
from keelback.credentials.helpers import Helper
from keelback.credentials.oidc.buildkite import Buildkite
from keelback.credentials.oidc.circleci import CircleCI
from keelback.credentials.oidc.gitlab import GitLab, variable_for
from keelback.credentials.oidc.providers import IdentitySource, provider_in
from keelback.errors import IdentityError
from keelback.secret import Secret
from keelback.transport import Client
from servers.scripted.issuers import gitlab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from keelback.credentials.oidc.providers import Provider

AUDIENCE = "prefix.dev"
IDENTITIES = (
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_RUNTIME_TOKEN",
    "PREFIX_DEV_ID_TOKEN",
    "SIGSTORE_ID_TOKEN",
    "CI_JOB_JWT",
    "CI_JOB_JWT_V2",
    "CIRCLE_OIDC_TOKEN",
    "CIRCLE_OIDC_TOKEN_V2",
    "BITBUCKET_STEP_OIDC_TOKEN",
    "BUILDKITE_AGENT_ACCESS_TOKEN",
)
"""Variables that are an identity, or with which one can be had."""
API_KEYS = ("PREFIX_API_KEY", "QUETZ_API_KEY", "ANACONDA_API_KEY", "ARTIFACTORY_PASSWORD", "S3_SECRET", "GITHUB_TOKEN")

posix = pytest.mark.skipif(os.name != "posix", reason="scripts in the place of a program are POSIX's")


@pytest.fixture
def client() -> Iterator[Client]:
    """Is given to all, and used by none of these."""
    with Client() as one:
        yield one


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The process's own variables, with every identity among them, and every API key."""
    for name in (*IDENTITIES, *API_KEYS):
        monkeypatch.setenv(name, leaks.new_secret(name.replace("_", "-")))
    return os.environ


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """``install(name, code)``: a program of that name on the PATH; where it puts its arguments and its variables."""

    def make(name: str, code: str) -> Path:
        seen, folder = tmp_path / "seen", tmp_path / "bin"
        folder.mkdir()
        script = folder / name
        record = f"open({str(seen)!r}, 'w').write(json.dumps([sys.argv[1:], dict(os.environ)]))"
        script.write_text(f"#!{sys.executable} -S\nimport json, os, sys\n{record}\n{code}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return seen

    return make


def refused(provider: Provider, client: Client, environ: Mapping[str, str], audience: str = AUDIENCE) -> IdentityError:
    """How *provider* fails; no secret is in the error, nor in anything that led to it, and the hint is a sentence."""
    with pytest.raises(IdentityError) as caught:
        provider.id_token(audience, environ, client)
    error = caught.value
    leaks.check(f"{error.hint} {error!r} {''.join(traceback.format_exception(error))}", "the error")
    assert error.hint.endswith(".")
    assert (error.code, error.exit_status) == ("no-identity", 3)
    return error


# -- which CI system it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"GITHUB_ACTIONS": "true"}, "GitHub Actions"),
        ({"GITLAB_CI": "true"}, "GitLab CI"),
        ({"BUILDKITE": "true"}, "Buildkite"),
        ({"CIRCLECI": "true"}, "CircleCI"),
        ({"GOOGLE_SERVICE_ACCOUNT_NAME": "ci@acme.iam.gserviceaccount.com"}, "Google Cloud"),
        ({"GITHUB_ACTIONS": "true", "GOOGLE_SERVICE_ACCOUNT_NAME": "ci"}, "GitHub Actions"),
    ],
)
def test_a_ci_system_is_known_by_its_variable(environ: dict[str, str], name: str) -> None:
    """The one whose job this is goes before the machine that it runs on."""
    found = provider_in(environ)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("value", ["", "false", "1", "True"])
def test_any_other_value_is_no_ci_system(client: Client, value: str) -> None:
    """Each sets its variable to ``true``; and outside of all there is no identity, which is no error."""
    names = ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI", "CI")
    environ = dict.fromkeys(names, value)
    assert provider_in(environ) is None
    assert IdentitySource(client, environ).identity(AUDIENCE) is None


# -- GitLab ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audience", "variable"),
    [
        ("prefix.dev", "PREFIX_DEV_ID_TOKEN"),
        ("sigstore", "SIGSTORE_ID_TOKEN"),
        ("https://gitlab.example:8443", "HTTPS___GITLAB_EXAMPLE_8443_ID_TOKEN"),
        ("10.0.0.1", "_0_0_0_1_ID_TOKEN"),
        ("a_b-c", "A_B_C_ID_TOKEN"),
        ("päckchen", "P_CKCHEN_ID_TOKEN"),
    ],
)
def test_gitlab_has_the_identity_in_a_variable_of_the_audience(client: Client, audience: str, variable: str) -> None:
    """Named as the other programs name it that look for one."""
    token = gitlab().token(audience)
    environ = {"GITLAB_CI": "true", variable: f"{token}\n"}
    assert variable_for(audience) == variable
    found = IdentitySource(client, environ).identity(audience)
    assert found is not None
    assert (found.secret, found.source) == (Secret(token), "GitLab CI")


@pytest.mark.parametrize("audience", ["prefix.dev", "https://pkg.example:8443", "[::1]", 'odd"} x'])
@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_job_without_the_variable_is_told_the_lines_to_add(client: Client, audience: str, value: str | None) -> None:
    """As YAML that can be copied, which nothing takes for a secret; a blank variable is none."""
    name = variable_for(audience)
    environ = {"GITLAB_CI": "true", "OTHER_ID_TOKEN": gitlab().token("other")}
    if value is not None:
        environ[name] = value
    error = refused(GitLab(), client, environ, audience)
    assert f"the variable {name} is not set" in error.message
    lines = error.hint.removeprefix("Add ").removesuffix(" to the job in .gitlab-ci.yml.")
    assert yaml.safe_load(lines) == {"id_tokens": {name: {"aud": audience}}}


@pytest.mark.parametrize("aud", ["other.example", ["prefix.dev", "other.example"], [], None, 7])
def test_an_identity_of_gitlab_for_another_audience_is_refused(client: Client, aud: object) -> None:
    """The job says for whom it is, and may be wrong; for several, the server could use it at the others."""
    environ = {"GITLAB_CI": "true", "PREFIX_DEV_ID_TOKEN": gitlab().token(aud)}
    with pytest.raises(IdentityError, match=r"and not for 'prefix\.dev'") as caught:
        IdentitySource(client, environ).identity(AUDIENCE)
    assert caught.value.code == "wrong-audience"
    leaks.check(f"{caught.value!r} {caught.value.hint}", "the error")


# -- Buildkite and CircleCI ------------------------------------------------------------------------------------------

AGENTS = [
    (Buildkite, "buildkite-agent", ["oidc", "request-token", "--audience", AUDIENCE]),
    (CircleCI, "circleci", ["run", "oidc", "get", "--root-issuer", "--claims", '{"aud":"prefix.dev"}']),
]


@posix
@pytest.mark.parametrize(("system", "name", "arguments"), AGENTS)
def test_an_agent_prints_the_identity(
    client: Client, install: Callable[[str, str], Path], system: type[Provider], name: str, arguments: list[str]
) -> None:
    """It is asked with these arguments, and no shell sees them."""
    token = gitlab().token(AUDIENCE)
    seen = install(name, f"print('  {token}')\nprint('a warning', file=sys.stderr)")
    assert system().id_token(AUDIENCE, os.environ, client) == Secret(token)
    assert json.loads(seen.read_text())[0] == arguments
    odd = '"; touch /tmp/x $(id) `id` --x'
    system().id_token(odd, os.environ, client)
    given = json.loads(seen.read_text())[0][-1]
    assert given == odd or json.loads(given) == {"aud": odd}


@posix
@pytest.mark.parametrize(("system", "name", "arguments"), AGENTS)
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("sys.exit('no such job\\x1b[31m: TOKEN.')", "failed with exit status 1: no such job?[31m: ****."),
        ("print('TOKEN'); sys.exit('not TOKEN\\nagain')", "failed with exit status 1: not **** again."),
        ("sys.exit(3)", "failed with exit status 3: it does not say why."),
        ("print(' ')", "printed nothing."),
        ("print('x' * 70_000)", "printed more than 64 KiB."),
        ("import time; time.sleep(600)", "gave no answer within 0.5 seconds, and was ended."),
    ],
)
def test_an_agent_that_gives_none_is_reported_in_its_own_words(
    client: Client,
    install: Callable[[str, str], Path],
    system: Callable[..., Provider],
    name: str,
    arguments: list[str],
    code: str,
    told: str,
) -> None:
    """In one line without secrets, also one that it was about to give, and with a way to see for oneself."""
    install(name, code.replace("TOKEN", gitlab().token(AUDIENCE)))
    seconds = 0.5 if "sleep" in code else 30
    error = refused(system(seconds=seconds), client, os.environ)
    assert error.message == f"{system.name} gave no identity: {name} {told}"
    assert error.hint == f"Run {' '.join([name, *arguments[:2]])} in a step of this job to see what is wrong."


@pytest.mark.parametrize(
    ("system", "name", "hint"), [(Buildkite, *AGENTS[0][1:2], "mount"), (CircleCI, "circleci", "step")]
)
def test_an_agent_that_is_not_there_is_named(
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: type[Provider],
    name: str,
    hint: str,
) -> None:
    """In a container, it usually is not."""
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refused(system(), client, os.environ)
    assert error.message == f"{system.name} gave no identity: {name} is in no folder of the PATH."
    assert hint in error.hint


# -- what programs see -----------------------------------------------------------------------------------------------


def secrets_in(variables: Mapping[str, str]) -> set[str]:
    """The names of those that hold a secret."""
    return {name for name, value in variables.items() if leaks.find(value)}


@posix
@pytest.mark.parametrize(
    ("system", "name", "kept"),
    [(Buildkite, "buildkite-agent", {"BUILDKITE_AGENT_ACCESS_TOKEN"}), (CircleCI, "circleci", set())],
)
def test_an_agent_sees_no_identity_but_what_it_works_with(
    client: Client,
    environ: Mapping[str, str],
    install: Callable[[str, str], Path],
    system: type[Provider],
    name: str,
    kept: set[str],
) -> None:
    """Buildkite's has a token of its own in a variable."""
    seen = install(name, f"print({gitlab().token(AUDIENCE)!r})")
    system().id_token(AUDIENCE, environ, client)
    _, variables = json.loads(seen.read_text())
    assert secrets_in(variables) & set(IDENTITIES) == kept


def test_a_helper_sees_no_identity(environ: Mapping[str, str], tmp_path: Path) -> None:
    """It is a program that somebody else wrote; the API keys that it may have been written for are there."""
    seen = tmp_path / "seen"
    code = f"import json, os; open({str(seen)!r}, 'w').write(json.dumps(dict(os.environ))); print('abc')"
    assert Helper((sys.executable, "-S", "-c", code)).credential_for("https://pkg.example")
    assert secrets_in(json.loads(seen.read_text())) == set(API_KEYS)


def test_the_solver_sees_no_secret_at_all(
    environ: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads indexes that anybody may have written, and needs none. It is the real one, and solves something."""
    seen = tmp_path / "seen"
    record = f"import json, os\nopen({str(seen)!r}, 'w').write(json.dumps(dict(os.environ)))\n"
    (tmp_path / "sitecustomize.py").write_text(record)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("DATABASE_URL", f"postgres://u:{leaks.new_secret('database')}@h/d")
    assert solving.solve([], [], []) == []
    variables = json.loads(seen.read_text())
    assert variables["PATH"] == os.environ["PATH"]
    assert secrets_in(variables) == set()


def test_names_are_compared_as_windows_compares_them() -> None:
    """There, a variable has whatever case it was set with."""
    variables = {"Prefix_Dev_Id_Token": "x", "SystemRoot": "C:\\Windows", "Path": "C:\\", "Secret": "x"}
    assert for_child(variables) == {"SystemRoot": "C:\\Windows", "Path": "C:\\", "Secret": "x"}
    assert for_interpreter(variables) == {"SystemRoot": "C:\\Windows", "Path": "C:\\"}
