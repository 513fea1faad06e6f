"""``copy`` and attestations: which go along, and what is not copied where they are required."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

import keelback
from keelback.credentials.oidc.idtoken import IdToken
from keelback.provenance.signing import Attester
from keelback.provenance.trust import Trust
from keelback.secret import Secret
from making import make_conda
from reading_channels import records
from servers.fetch_runs import statuses
from servers.scripted import PrefixServer, QuetzServer
from servers.scripted.channel_server import channel
from servers.scripted.issuers import github
from servers.scripted.sigstore_world import SigstoreWorld
from servers.test_copy import BOAT, HULL, SourceServer, attempt, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def bundle_for(package: Path, signature: str = "c2ln") -> bytes:
    """A bundle that says what one for *package* says; no signature of it holds, which a channel does not look at."""
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    statement = {"subject": [{"name": package.name, "digest": {"sha256": digest}}]}
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps({"dsseEnvelope": {"payload": payload, "signatures": [{"sig": signature}]}}).encode()


def attest(source: SourceServer, package: Path, *bundles: bytes, named: str | None = None) -> str:
    """Have *bundles* beside *package*, and the index name them, or something else; their hash."""
    content = b"[" + b",".join(bundles) + b"]"
    digest = hashlib.sha256(content).hexdigest()
    source.contents[f"noarch/{package.name}.sigs.{digest}"] = content
    source.index(attestations_sha256=named or digest)
    return digest


@pytest.fixture
def hull(tmp_path: Path) -> Path:
    """A package."""
    return make_conda(tmp_path / "dist", "hull")


@pytest.fixture
def source(hull: Path) -> Iterator[SourceServer]:
    """A channel with it."""
    with SourceServer(hull) as running:
        yield running


@pytest.mark.parametrize("count", [1, 3])
def test_attestations_go_along_into_a_folder(count: int, source: SourceServer, tmp_path: Path, hull: Path) -> None:
    """All of them, byte for byte, and the index that is written names them."""
    digest = attest(source, hull, *(bundle_for(hull, f"c2ln{number}") for number in range(count)))
    report = attempt(source.channel_url, tmp_path / "to", workdir=tmp_path)
    assert statuses(report) == {HULL: "uploaded"}
    assert records(tmp_path / "to")[HULL]["attestations_sha256"] == digest
    there = tmp_path / "to" / "noarch" / f"{HULL}.sigs"
    assert hashlib.sha256(there.read_bytes()).hexdigest() == digest


def test_from_folder_to_folder_they_go_along_too(tmp_path: Path, source: SourceServer, hull: Path) -> None:
    """A second copy of a copy has the same."""
    digest = attest(source, hull, bundle_for(hull))
    attempt(source.channel_url, tmp_path / "one", workdir=tmp_path)
    attempt(tmp_path / "one", tmp_path / "two", workdir=tmp_path)
    assert records(tmp_path / "two")[HULL]["attestations_sha256"] == digest


def test_attestations_of_something_else_stay_behind(source: SourceServer, tmp_path: Path, hull: Path) -> None:
    """What is not about the package has no place beside it."""
    other = make_conda(tmp_path / "other", "hull", payload={"other": b""})
    attest(source, hull, bundle_for(other))
    assert statuses(attempt(source.channel_url, tmp_path / "to", workdir=tmp_path)) == {HULL: "uploaded"}
    assert "attestations_sha256" not in records(tmp_path / "to")[HULL]


@pytest.mark.parametrize(("named", "code"), [("0" * 64, "attestations-missing"), (None, "attestations-mismatch")])
def test_attestations_that_are_not_those_that_the_index_names(
    named: str | None, code: str, source: SourceServer, tmp_path: Path, hull: Path
) -> None:
    """The package is not copied without what it should have."""
    digest = attest(source, hull, bundle_for(hull), named=named)
    if named is None:
        source.contents[f"noarch/{HULL}.sigs.{digest}"] = b"[]"
    report = attempt(source.channel_url, tmp_path / "to", workdir=tmp_path)
    assert error_of(report).code == code
    assert not (tmp_path / "to" / "noarch" / HULL).exists()


def test_prefix_dev_gets_none_of_another_channel(source: SourceServer, token: str, tmp_path: Path, hull: Path) -> None:
    """It takes those alone that name it; the user is told."""
    attest(source, hull, bundle_for(hull))
    notes: list[str] = []

    class Listening(keelback.Reporter):
        def note(self, text: str) -> None:
            notes.append(text)

    with PrefixServer(token) as target:
        report = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token, reporter=Listening())
    assert statuses(report) == {HULL: "uploaded"}
    assert any("attestations do not go along" in note for note in notes)
    assert source.of_step("sidecar") == []
    target.assert_clean()


@pytest.fixture(scope="module")
def world() -> Iterator[SigstoreWorld]:
    """A Sigstore that knows the jobs of ``acme/foo``."""
    with SigstoreWorld(github("acme/foo")) as running:
        yield running


@pytest.fixture
def sign(world: SigstoreWorld, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], bytes]:
    """``sign(package)``: an attestation that holds, by a job of that repository."""
    monkeypatch.setenv("KEELBACK_TRUST_CONFIG", str(world.trust_config))
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")

    def sign(package: Path) -> bytes:
        def identity() -> IdToken:
            token = Secret(world.issuers[0].token("sigstore"), "the job")
            return IdToken.parse(token, audience="sigstore", source="the job")

        return Attester(identity, Trust(world.trust_config), None).attest(keelback.inspect(package))

    return sign


@pytest.mark.parametrize("kind", ["server", "folder"])
def test_only_what_is_attested_is_copied(
    kind: str, source: SourceServer, sign: Callable[[Path], bytes], token: str, tmp_path: Path, hull: Path
) -> None:  # fmt: skip
    """What is not fails, and is not read; what is says by whom."""
    boat = make_conda(tmp_path / "dist", "boat")
    source.contents |= channel(hull, boat)
    attest(source, hull, sign(hull))
    options: dict[str, Any] = {"workdir": tmp_path, "require_attestation": "repo:acme/foo"}
    if kind == "server":
        with QuetzServer(token) as target:
            report = attempt(source.channel_url, target.publish_url, api_key=token, **options)
        assert list(target.files) == [f"noarch/{HULL}"]
    else:
        report = attempt(source.channel_url, tmp_path / "to", **options)
        assert list(records(tmp_path / "to")) == [HULL]
    assert statuses(report) == {BOAT: "failed", HULL: "uploaded"}
    by_name = {outcome.filename: outcome.attested_by for outcome in report.outcomes}
    assert "acme/foo" in str(by_name[HULL])
    assert source.reads(BOAT) == []


def test_what_an_index_says_of_an_attested_package_is_not_believed(
    source: SourceServer, sign: Callable[[Path], bytes], tmp_path: Path, hull: Path
) -> None:
    """An attestation is of the package: whoever has the index could else give it dependencies of their choice."""
    attest(source, hull, sign(hull))
    source.index(depends=["evil"])
    trusting = attempt(source.channel_url, tmp_path / "trusting", workdir=tmp_path)
    wary = attempt(source.channel_url, tmp_path / "wary", workdir=tmp_path, require_attestation="repo:acme/foo")
    assert [outcome.error for outcome in (*trusting.outcomes, *wary.outcomes)] == [None, None]
    assert records(tmp_path / "trusting")[HULL]["depends"] == ["evil"]
    assert records(tmp_path / "wary")[HULL]["depends"] == []
