"""Attestations that others made, with the public Sigstore, verified against the keys that come with ``sigstore``."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from cli_runner import run_keelback
from keelback.attestationfiles import sidecar_bundles
from keelback.errors import AttestationError
from keelback.provenance.policy import Policy
from keelback.provenance.trust import Trust
from keelback.provenance.verifying import open_bundle, verify

HOME = Path(__file__).resolve().parents[2] / ".peers" / "public-bundles"
WHY_NOT = "" if (HOME / "ready").is_file() else "there is no .peers/public-bundles: `make peers` says why"

ACTIONLINT = "actionlint-1.7.12-h60d57d3_0.conda"
ACTIONLINT_SHA256 = "e3e0f35dec5b09b18baac8729d14115903b5adfd25065f8bbb90a2b3be5401e4"
SKILL = "agent-skill-conda-forge-0.0.21-h4616a5c_0.conda"

pytestmark = pytest.mark.peer("public-bundles")


@pytest.fixture
def carried(require_peer):
    """``carried(name)``: a file out of one of the source distributions, by its name."""
    require_peer("public-bundles", not WHY_NOT, WHY_NOT)

    def read(name):
        for distribution in sorted(HOME.glob("*.tar.gz")):
            with tarfile.open(distribution) as archive:
                for member in archive:
                    if member.isfile() and member.name.rpartition("/")[2] == name:
                        return archive.extractfile(member).read()
        raise LookupError(name)

    return read


@pytest.fixture
def trust():
    """The public deployment, as it was when ``sigstore`` was released."""
    return Trust(offline=True)


def test_an_attestation_that_prefix_dev_serves_verifies_in_full(carried, trust):
    """By signature, log, file name, hash, channel, repository, workflow and branch."""
    (bundle,) = sidecar_bundles(carried("prefix-actionlint.v0.sigs"), "the sidecar")
    found = verify(
        bundle,
        filename=ACTIONLINT,
        sha256=ACTIONLINT_SHA256,
        policy=Policy.parse("repo:hunger/octoconda,workflow:octoconda.yaml,ref:refs/heads/main"),
        channel="https://prefix.dev/github-releases",
        trust=trust,
    )
    assert found.identity == "https://github.com/hunger/octoconda/.github/workflows/octoconda.yaml@refs/heads/main"
    assert found.commit == "3486769623122fdddade1fb57e1b4728f162608a"
    assert f"{found.signed_at:%Y-%m-%d}" == "2026-03-31"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"filename": SKILL}, "attestation-name"),
        ({"sha256": "00" * 32}, "attestation-digest"),
        ({"channel": "https://prefix.dev/conda-forge"}, "attestation-channel"),
        ({"policy": Policy.parse("repo:pavelzw/skill-forge")}, "attestation-identity"),
        ({"policy": Policy.parse("project:hunger/octoconda")}, "attestation-issuer"),
    ],
)
def test_the_same_attestation_says_nothing_of_anything_else(carried, trust, changes, code):
    """Another file, other bytes, another channel, another publisher."""
    (bundle,) = sidecar_bundles(carried("prefix-actionlint.v0.sigs"), "the sidecar")
    wanted = {
        "filename": ACTIONLINT,
        "sha256": ACTIONLINT_SHA256,
        "policy": Policy.parse("repo:hunger/octoconda"),
        "channel": None,
        **changes,
    }
    with pytest.raises(AttestationError) as caught:
        verify(bundle, trust=trust, **wanted)
    assert caught.value.code == code


def test_the_command_verifies_a_real_package_with_its_real_attestation(carried, tmp_path):
    """Both as they were published, lying beside each other, without a network; and no package with a byte more."""
    package = tmp_path / SKILL
    package.write_bytes(carried(SKILL))
    (tmp_path / f"{SKILL}.sigs").write_bytes(carried(f"{SKILL}.sigs"))
    command = ["verify", tmp_path, "--offline", "--policy", "repo:pavelzw/skill-forge,workflow:package.yml", "--json"]
    done = run_keelback([*command, "--channel", "https://prefix.dev/skill-forge"])
    assert (done.returncode, done.stderr) == (0, "")
    (entry,) = done.json()["files"]
    assert entry["sha256"] == hashlib.sha256(package.read_bytes()).hexdigest()
    assert entry["attestation"]["repository"] == "https://github.com/pavelzw/skill-forge"
    package.write_bytes(package.read_bytes() + b"\0")
    done = run_keelback(command)
    assert (done.returncode, done.json()["files"][0]["error"]["code"]) == (1, "attestation-digest")


def test_an_attestation_for_pypi_is_good_and_no_attestation_of_a_conda_package(carried, trust):
    """Its signature holds: it gets as far as what is said, and that is something else."""
    bundle = carried("pypi_attestation_models-0.0.4a2.tar.gz.sigstore")
    with pytest.raises(AttestationError, match=r"docs\.pypi\.org/attestations/publish/v1") as caught:
        open_bundle(bundle, filename="pypi_attestation_models-0.0.4a2.tar.gz", trust=trust)
    assert caught.value.code == "attestation-statement"
    document = json.loads(bundle)
    document["dsseEnvelope"]["payload"] = document["dsseEnvelope"]["payload"][:-8] + "fX0K"
    with pytest.raises(AttestationError) as caught:
        open_bundle(json.dumps(document).encode(), filename="x", trust=trust)
    assert caught.value.code == "attestation-signature"


def test_a_signature_of_the_staging_deployment_is_not_one_of_the_public_one(carried, trust):
    """Anybody can have those, in anybody's name."""
    with pytest.raises(AttestationError) as caught:
        open_bundle(carried("rfc8785-0.1.2-py3-none-any.whl.sigstore"), filename="x", trust=trust)
    assert caught.value.code == "attestation-certificate"
