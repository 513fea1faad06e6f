"""py-rattler finds the attestations in a channel that keelback made, where CEP 50 has them, and verifies them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import keelback
from keelback.channels.delivery import Delivery
from keelback.channels.local import LocalChannel
from keelback.credentials.oidc.idtoken import IdToken
from keelback.provenance.signing import Attester
from keelback.provenance.trust import Trust
from keelback.report import Reporter
from keelback.secret import Secret
from making import make_conda
from peers.test_local_channel import serving
from servers.scripted.issuers import github
from servers.scripted.sigstore_world import SigstoreWorld

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.peer("py-rattler")

NAME = "hull-1.0-h0_0.conda"
ISSUER = "https://token.actions.githubusercontent.com"
BUILDER = "https://github.com/acme/foo/.github/workflows/release.yml@refs/tags/v1"
SOMEBODY = "https://github.com/acme/bar/.github/workflows/release.yml@refs/tags/v1"

_CHILD = Path(__file__).with_name("attestation_child.py")


@dataclass
class Served:
    """A channel in a folder with one package, attested for the URL under which it is served.

    Attributes:
        folder: the channel's.
        url: the channel's.
        asked: the paths that were asked for.
        world: the Sigstore by which it is signed.
        workdir: for what py-rattler keeps.
    """

    folder: Path
    url: str
    asked: list[str]
    world: SigstoreWorld
    workdir: Path

    def publish(self, package: Path) -> None:
        """Put *package* into it, or replace it, with an attestation by the one builder."""
        archive, local = keelback.inspect(package), LocalChannel(self.folder)
        attestation = Attester(self._identity, Trust(self.world.trust_config), self.url).attest(archive)
        local.begin([archive])
        local.send(archive, overwrite=True, delivery=Delivery(archive, Reporter(), attestation=attestation))
        local.finish()
        local.close()

    def verified(self, identity: str = BUILDER, *, sharded: bool = True) -> dict[str, Any]:
        """What py-rattler says of the package, if *identity* has to have signed it; it has read nothing before."""
        question = {
            "channel": self.url,
            "name": "hull",
            "cache": str(self.workdir / "cache"),
            "sharded": sharded,
            "identity": identity,
            "issuer": ISSUER,
            "trusted_root": self.world.trusted_root(),
        }
        env = {"PATH": os.environ["PATH"], "HOME": str(self.workdir)}
        done = subprocess.run(
            [sys.executable, "-P", _CHILD],
            input=json.dumps(question),
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _identity(self) -> IdToken:
        token = Secret(self.world.issuers[0].token("sigstore"), "the job")
        return IdToken.parse(token, audience="sigstore", source="the job")


@pytest.fixture(params=[1, 2], ids=["rekor v1", "rekor v2"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A channel, with either form of the log that signers meet."""
    folder = tmp_path / "web" / "channel"
    folder.mkdir(parents=True)
    with SigstoreWorld(github("acme/foo"), rekor=request.param) as world, serving(tmp_path / "web") as web:
        channel = Served(folder, f"{web.url}/channel", web.asked, world, tmp_path / "workdir")
        channel.publish(make_conda(tmp_path / "dist", "hull"))
        yield channel


@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "repodata"])
def test_py_rattler_verifies_what_keelback_signed_and_where_it_put_it(served: Served, *, sharded: bool) -> None:
    """It learns from the record which file to ask for; signature, log, file name, hash and channel are right."""
    answer = served.verified(sharded=sharded)
    assert answer["refused"] is None
    assert answer["identity"] == BUILDER
    asked = [path for path in served.asked if ".sigs" in path]
    assert asked == [f"/channel/noarch/{NAME}.sigs.{answer['named']}"]


def test_py_rattler_refuses_it_for_somebody_else(served: Served) -> None:
    """So that the one above is no accident."""
    assert "does not match the trusted publisher" in served.verified(SOMEBODY)["refused"]


def test_py_rattler_verifies_a_package_that_was_replaced(served: Served, tmp_path: Path) -> None:
    """The record has another hash by then, and the file of the old one is gone."""
    before = served.verified()["named"]
    served.publish(make_conda(tmp_path / "new", "hull", payload={"share/hull.txt": b"other bytes"}))
    served.workdir /= "new"
    answer = served.verified()
    assert (answer["refused"], answer["identity"]) == (None, BUILDER)
    assert answer["named"] != before
    beside = {path.name for path in (served.folder / "noarch").glob(f"{NAME}.sigs*")}
    assert beside == {f"{NAME}.sigs", f"{NAME}.sigs.{answer['named']}"}


def test_py_rattler_refuses_attestations_that_were_altered(served: Served) -> None:
    """They have not the hash that the record has."""
    (pinned,) = (served.folder / "noarch").glob(f"{NAME}.sigs.*")
    pinned.write_bytes(pinned.read_bytes() + b" ")
    assert "does not match the advertised hash" in served.verified()["refused"]
