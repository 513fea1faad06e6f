"""Whole jobs without a secret: the action and the component, trusted publishing and attestations, all of it verified.

The runner's part of hiding what is short-lived is done as the runner does it: from the masks that it was told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import leaks
from ci.component import pipeline, run
from ci.runner import Runner
from ci.test_action import INSTALLED, clean
from ci.test_component import COMPONENT, JOB
from cli_runner import run_keelback
from docs.pages import ROOT
from making import make_conda
from servers.scripted import Fault
from servers.scripted.minting import Publisher
from servers.scripted.publishing_world import PublishingWorld
from servers.scripted.sigstore_world import SigstoreWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("demo", "other")
ARCHIVES = [f"noarch/{name}-1.0-h0_0.conda" for name in NAMES]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PublishingWorld]:
    """A prefix.dev that trusts the workflow, and what the jobs of GitHub and GitLab have."""
    with PublishingWorld(tmp_path) as world:
        yield world
    world.assert_clean()


@pytest.fixture
def runner(world: PublishingWorld, tmp_path: Path) -> Runner:
    """A job of GitHub Actions with two packages in ``output/``."""
    runner = Runner(ROOT, tmp_path / "job", env=world.github(), given=INSTALLED)
    for name in NAMES:
        make_conda(runner.workspace / "output", name)
    return runner


def nothing_on_disk(folder: Path) -> None:
    """Check that no file below *folder* has anything of a token or an identity."""
    for file in folder.rglob("*"):
        if file.is_file():
            leaks.check(file.read_bytes(), str(file))


def test_the_action_publishes_and_attests(world: PublishingWorld, runner: Runner) -> None:
    """One exchange; what the server got verifies; both identities and the token are masked, and are nowhere else."""
    with SigstoreWorld(world.github_issuer) as sigstore:
        trust = str(sigstore.trust_config)
        job = runner.run(
            to=world.channel, attest="true", trusted_publishing="always", trust_config=trust, attestation_dir="kept"
        )
        sigstore.assert_clean()
        assert job.exit_status == 0, job.text
        verified = run_keelback(
            ["verify", "--policy", "repo:acme/foo,workflow:release.yml", "--channel", world.channel]
            + ["--trust-config", trust, "--offline"]
            + [f"--attestation={file}" for file in sorted((runner.workspace / "kept").iterdir())]
            + [str(runner.workspace / "output")]
        )
    clean(job, runner)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert sorted(world.prefix.attestations) == sorted(world.prefix.files) == ARCHIVES
    assert (world.prefix.minted, sorted(world.audiences)) == (1, ["prefix.dev", "sigstore"])
    assert sorted(label for mask in job.masks for label in leaks.find(mask)) == ["id-token", "id-token", "minted"]
    assert len(job.masks) == 3
    assert job.commands == []
    assert (job.outputs["status"], job.outputs["uploaded"]) == ("ok", "2")
    assert "| uploaded | https&#58;//github.com/acme/foo/" in job.summary
    nothing_on_disk(runner.workspace.parent)


def test_a_failed_exchange_is_annotated_and_nothing_of_it_leaks(world: PublishingWorld, runner: Runner) -> None:
    """With the server's words, what the identity says, and what to set up; the identity was masked all the same."""
    world.prefix.publishers = [Publisher(world.github_issuer.url, "acme/foo", "another.yml")]
    job = runner.run(to=world.channel, trusted_publishing="always")
    clean(job, runner)
    assert (job.exit_status, job.outputs["status"]) == (3, "credential")
    (shown,) = job.annotations
    assert "invalid-publisher" in shown.data
    assert "release.yml" in shown.data
    assert job.text.count("invalid-publisher") == 1
    assert [leaks.find(mask) for mask in job.masks] == [["id-token"]]
    nothing_on_disk(runner.workspace.parent)


def test_a_server_that_repeats_the_token_shows_nobody_anything(world: PublishingWorld, runner: Runner) -> None:
    """In an error about every file: neither log nor annotations, summary or outputs have it."""
    minted: list[str] = []

    def written(token: str) -> str:
        minted.append(token)
        world.prefix.plan(Fault("status", when="upload", status=422, body=f"no: {token}", media="text", times=None))
        return token

    world.prefix.written = written
    job = runner.run(to=world.channel)
    clean(job, runner)
    assert (job.exit_status, job.outputs["failed"]) == (1, "2")
    assert minted[0] in job.masks
    nothing_on_disk(runner.workspace.parent)


def test_the_component_publishes_and_attests(world: PublishingWorld, tmp_path: Path) -> None:
    """With the identities that GitLab makes for the job, of which nothing is seen or left."""
    workspace = tmp_path / "job" / "workspace"
    for name in NAMES:
        make_conda(workspace / "output", name)
    with SigstoreWorld(world.gitlab_issuer) as sigstore:
        inputs: dict[str, Any] = {
            "to": world.channel,
            "attest": True,
            "attestation-dir": "kept",
            "trust-config": str(sigstore.trust_config),
            "trusted-publishing": "always",
        }
        done = run(pipeline(COMPONENT, inputs)[JOB], workspace, world.network, world.gitlab_issuer.token)
        sigstore.assert_clean()
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, done.stderr):
        leaks.check(text, "the log")
    assert sorted(world.prefix.attestations) == sorted(world.prefix.files) == ARCHIVES
    assert (world.prefix.minted, world.gitlab_issuer.made) == (1, 2)
    assert len(list((workspace / "kept").iterdir())) == 2
    assert "KEELBACK_UPLOADED=2\n" in (workspace / "keelback.env").read_text(encoding="utf-8")
    nothing_on_disk(workspace.parent)


def test_the_component_publishes_to_a_server_of_ones_own(world: PublishingWorld, tmp_path: Path) -> None:
    """Where that server is named, with the audience that it has; nobody else gets the identity."""
    workspace = tmp_path / "job" / "workspace"
    make_conda(workspace / "output")
    inputs = {"to": "prefix+https://example.com/my-channel", "id-token-audience": "example.com"}
    named = {**inputs, "trusted-publishing-hosts": "other.example.com example.com"}
    for given, heard in ((inputs, []), (named, ["id-token"])):
        done = run(pipeline(COMPONENT, given)[JOB], workspace, world.network, world.gitlab_issuer.token)
        assert done.returncode == 3, done.stderr
        assert leaks.find(world.elsewhere.heard()) == heard
