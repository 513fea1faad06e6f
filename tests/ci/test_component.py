"""The GitLab component: what it becomes with inputs, and what no input can make of it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ci.component import InputRefusedError, pipeline, run
from ci.test_action import HOSTILE
from docs.pages import ROOT
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
    assert tokens == {"PREFIX_DEV_ID_TOKEN": {"aud": "prefix.dev"}, "SIGSTORE_ID_TOKEN": {"aud": "sigstore"}}


def test_the_component_installs_what_it_needs(workspace: Path) -> None:
    """A version where one is named, and what signs where something is to be signed."""
    job = pipeline(COMPONENT, {"to": "./channel", "attest": True, "version": "0.1.0", "dry-run": True})[JOB]
    run(job, workspace)
    asked = (workspace.parent / "tools" / "pip-arguments").read_text(encoding="utf-8").split("\n")
    assert "keelback[provenance]==0.1.0" in asked


@pytest.mark.parametrize("name", sorted(INPUTS))
@pytest.mark.parametrize("value", [*HOSTILE, *BREAKING])
def test_no_input_is_ever_a_script(workspace: Path, name: str, value: str) -> None:
    """It is refused, or it stays one value in its place; the script is the same, whatever it is."""
    plain = pipeline(COMPONENT, {"to": "./channel"})
    try:
        changed = pipeline(COMPONENT, {"to": "./channel", "dry-run": name != "dry-run", name: value})
    except InputRefusedError:
        return
    assert len(changed) == 1
    (job,) = changed.values()
    assert set(job) == set(plain[JOB])
    assert job["script"] == plain[JOB]["script"]
    assert value in {*changed, job["stage"], job["image"], *_texts(job["id_tokens"]), *_texts(job["variables"])}
    done = run(job, workspace)
    assert not list(workspace.parent.rglob("pwned*"))
    assert "Usage: keelback" not in done.stdout


def _texts(document: dict[str, Any]) -> set[str]:
    return {text for about in document.values() for text in about.values() if isinstance(text, str)}


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
        assert about.get("type") == "boolean" or "options" in about or (pattern[:2], pattern[-2:]) == (r"\A", r"\z"), (
            name
        )
