"""The GitLab component: what it becomes with inputs, and what no input can make of it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ci.component import InputRefusedError, pipeline, run
from ci.test_action import ACTION, HOSTILE
from docs.pages import ROOT
from keelback import __version__
from keelback.credentials.oidc.gitlab import variable_for
from making import make_conda

if TYPE_CHECKING:
    from pathlib import Path

COMPONENT = ROOT / "templates" / "publish.yml"
INPUTS: dict[str, Any] = yaml.safe_load(COMPONENT.read_text(encoding="utf-8").split("\n---\n")[0])["spec"]["inputs"]
JOB = "publish-conda-packages"
BREAKING = [
    'x"\n  script: [touch pwned]',
    'x" #',
    "x\\",
    '"}',
    "x\ny",
    "$[[ inputs.to ]]",
    "&a",
    "*a",
    "!reference [a]",
]
"""What would be YAML, or another interpolation, without its quotation marks."""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A project with a package in ``output/``."""
    make_conda(tmp_path / "workspace" / "output")
    return tmp_path / "workspace"


def test_the_component_publishes(workspace: Path) -> None:
    """The outputs are in the file that the job declares as a dotenv report."""
    job = pipeline(COMPONENT, {"to": "./channel"})[JOB]
    done = run(job, workspace)
    assert done.returncode == 0, done.stderr
    assert (workspace / "channel" / "noarch" / "demo-1.0-h0_0.conda").is_file()
    outputs = (workspace / job["artifacts"]["reports"]["dotenv"]).read_text(encoding="utf-8")
    assert "KEELBACK_STATUS=ok\n" in outputs
    assert "KEELBACK_UPLOADED=1\n" in outputs


def test_the_component_asks_for_both_identities() -> None:
    """One for the server and one for Sigstore, under the names by which they are looked up."""
    tokens = pipeline(COMPONENT, {"to": "./channel"})[JOB]["id_tokens"]
    assert tokens == {"KEELBACK_PUBLISH_IDENTITY": {"aud": "prefix.dev"}, "SIGSTORE_ID_TOKEN": {"aud": "sigstore"}}


@pytest.mark.parametrize(
    "audience", ["prefix.dev", "conda.example.com", "9.example-host.com", "api://AzureADTokenExchange"]
)
def test_the_identity_is_where_keelback_looks_for_it(workspace: Path, audience: str) -> None:
    """In the variable that is named after the audience, and in no other."""
    job = pipeline(COMPONENT, {"to": "./channel", "id-token-audience": audience, "attest": True})[JOB]
    assert seen(job, workspace) == {variable_for(audience), "SIGSTORE_ID_TOKEN"}


@pytest.mark.parametrize(
    ("inputs", "left"),
    [
        ({}, {"PREFIX_DEV_ID_TOKEN"}),
        ({"trusted-publishing": "never"}, set()),
        ({"trusted-publishing": "never", "attest": True}, {"SIGSTORE_ID_TOKEN"}),
    ],
)
def test_an_identity_that_is_not_needed_is_taken_away(workspace: Path, inputs: dict[str, Any], left: set[str]) -> None:
    """GitLab makes both for every job; what the job starts has those that it uses."""
    assert seen(pipeline(COMPONENT, {"to": "./channel", **inputs})[JOB], workspace) == left


def seen(job: dict[str, Any], workspace: Path) -> set[str]:
    """The variables that have an identity in them, where keelback would begin."""
    *before, last = job["script"]
    job = {**job, "script": [*before, last.rpartition("keelback publish")[0], "env"]}
    found = run(job, workspace).stdout.splitlines()
    return {line.partition("=")[0] for line in found if "=an identity for" in line}


def test_the_component_publishes_tags_alone_unless_told_otherwise() -> None:
    """Every branch would publish otherwise, those of strangers among them."""
    assert pipeline(COMPONENT, {"to": "./channel"})[JOB]["rules"] == [{"if": "$CI_COMMIT_TAG"}]
    rules = [{"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", "when": "manual"}]
    assert pipeline(COMPONENT, {"to": "./channel", "rules": rules})[JOB]["rules"] == rules


def test_the_component_installs_the_release_that_it_is_of() -> None:
    """Whoever pins the component has pinned keelback."""
    assert INPUTS["version"]["default"] == __version__


def test_the_action_and_the_component_have_the_same_inputs() -> None:
    """But for those that only one of the two systems has a use for."""
    github_alone = {"store-github-attestation", "github-token", "token", "python-version"}
    gitlab_alone = {"id-token-audience", "rules", "version", "job-name", "stage", "image"}
    assert set(ACTION["inputs"]) - github_alone == set(INPUTS) - gitlab_alone


def test_the_component_installs_what_it_needs(workspace: Path) -> None:
    """A version where one is named, and what signs where something is to be signed."""
    job = pipeline(COMPONENT, {"to": "./channel", "attest": True, "version": "0.1.0", "dry-run": True})[JOB]
    run(job, workspace)
    asked = (workspace.parent / "tools" / "pip-arguments").read_text(encoding="utf-8").split("\n")
    assert "keelback[provenance]==0.1.0" in asked
    assert "--only-binary=:all:" in asked
    seen = (workspace.parent / "tools" / "pip-environment").read_text(encoding="utf-8")
    assert "an identity for" not in seen


@pytest.mark.parametrize("value", [*HOSTILE, *BREAKING])
def test_no_input_is_ever_a_script(workspace: Path, value: str) -> None:
    """It is refused, or it stays one value in its place; the script is the same, whatever it is."""
    plain = pipeline(COMPONENT, {"to": "./channel"})
    taken: dict[str, Any] = {"to": "./channel", "dry-run": True}
    for name in INPUTS:
        try:
            changed = pipeline(COMPONENT, {"to": "./channel", name: value})
        except InputRefusedError:
            continue
        taken[name] = value
        ((found, job),) = changed.items()
        assert set(job) == set(plain[JOB])
        assert job["script"] == plain[JOB]["script"]
        assert value in {found, job["stage"], job["image"], *_texts(job["id_tokens"]), *_texts(job["variables"])}
    (job,) = pipeline(COMPONENT, taken).values()
    if value in BREAKING:  # for YAML; to the shell it is nothing
        return
    done = run(job, workspace)
    assert not list(workspace.parent.rglob("pwned*"))
    assert "Usage: keelback" not in done.stdout


def _texts(document: dict[str, Any]) -> set[str]:
    return {text for about in document.values() for text in about.values() if isinstance(text, str)}


def test_outputs_that_came_with_the_checkout_are_not_those_of_the_job(workspace: Path) -> None:
    """They are gone before anything can fail."""
    (workspace / "keelback.env").write_text("KEELBACK_STATUS=ok\n", encoding="utf-8")
    done = run(pipeline(COMPONENT, {"to": "./channel", "version": "0.0"})[JOB], workspace, {"PIP_FAILS": "1"})
    assert done.returncode != 0
    assert not (workspace / "keelback.env").exists()


def test_no_input_is_written_into_a_script() -> None:
    """They are put in as text, before anything knows where the script ends."""
    config = yaml.safe_load(COMPONENT.read_text(encoding="utf-8").split("\n---\n")[1])
    (job,) = config.values()
    assert not any("$[[" in line for line in job["script"])
    for line in job["script"]:
        assert shlex.split(line)


def test_every_input_is_described_and_bounded() -> None:
    """By a type, a choice or a pattern that holds the whole of the value."""
    for name, about in INPUTS.items():
        assert about["description"], name
        pattern = about.get("regex", "")
        assert (
            about.get("type") in {"boolean", "array"}
            or "options" in about
            or (pattern[:2], pattern[-2:]) == (r"\A", r"\z")
        ), name
