"""Attestations are made and verified with Sigstore's own code, against a private deployment on loopback."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from sigstore import dsse
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext

import leaks
from cli_runner import run_keelback, start_keelback
from keelback.attestationfiles import sidecar_of
from keelback.cli.standardinput import StandardInput
from keelback.credentials.oidc.idtoken import IdToken
from keelback.credentials.oidc.providers import IdentitySource
from keelback.errors import AttestationError, CredentialError, IdentityError, TransportError, UsageError
from keelback.provenance.github import GitHubStore
from keelback.provenance.packages import attest
from keelback.provenance.packages import verify as verify_packages
from keelback.provenance.policy import Policy
from keelback.provenance.searching import Source, verify_first
from keelback.provenance.signing import Attester, signing_identity
from keelback.provenance.trust import Trust
from keelback.provenance.verifying import open_bundle, verify
from keelback.secret import Secret
from keelback.transport import Client, Retry
from making import make_conda
from servers.scripted import Answer, Exchange, Fault, ScriptedServer, issuers
from servers.scripted.ci_identity import GitHubIdentityServer
from servers.scripted.engine import route
from servers.scripted.exchange import json_answer
from servers.scripted.sigstore_world import SigstoreWorld

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "demo-1.0-h0_0.conda"
SHA256 = "5f" * 32
CHANNEL = "https://prefix.dev/my-channel"
MINE = Policy.parse("repo:acme/foo")
TRUST_TYPE = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
WORKFLOW = "https://github.com/acme/foo/.github/workflows/release.yml@refs/tags/v1"
SHARED = "https://github.com/shared/ci/.github/workflows/publish.yml@refs/heads/main"
"""A public workflow, which anybody may have run."""
AT_ONCE = Retry(attempts=2, base=0)


class Package(NamedTuple):
    """What can be attested."""

    filename: str = NAME
    sha256: str = SHA256


def attester(world, channel=CHANNEL, identity=None, **claims):
    """What makes attestations in *world*, in the name of its first issuer."""

    def fresh():
        return IdToken.parse(Secret(world.identity(**claims)), audience="sigstore", source="the job")

    return Attester(identity or fresh, Trust(world.trust_config), channel, retry=AT_ONCE)


def checked(world, bundle, policy=MINE, **changes):
    """What is verified of *bundle*, for the package above."""
    wanted = {"filename": NAME, "sha256": SHA256, "channel": CHANNEL, **changes}
    return verify(bundle, policy=policy, trust=Trust(world.trust_config), **wanted)


@pytest.fixture(params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def world(request):
    """A Sigstore with either version of the log."""
    with SigstoreWorld(rekor=request.param) as running:
        yield running
    running.assert_clean()


@pytest.fixture(scope="module")
def worlds():
    """A Sigstore of each version of the log, for tests that change nothing there."""
    with SigstoreWorld(issuers.github(), issuers.gitlab()) as one, SigstoreWorld(rekor=2) as two:
        yield {1: one, 2: two}


# --- made and verified ------------------------------------------------------------------------------------------------


def test_what_is_attested_verifies_and_says_who_built_it_from_what(world):
    """With either version of the log; the identity is asked for once, and none of its token is in the bundle."""
    bundle = attester(world).attest(Package())
    found = checked(world, bundle)
    assert (found.identity, found.issuer) == (WORKFLOW, issuers.GITHUB)
    assert (found.repository, found.ref) == ("https://github.com/acme/foo", "refs/tags/v1")
    assert (found.workflow, found.commit) == (WORKFLOW, issuers.COMMIT)
    assert found.statement.channel == CHANNEL
    leaks.check(bundle, "the bundle")
    assert json.loads(bundle)["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"


def test_an_attestation_of_a_gitlab_job_verifies():
    """By project and by the file of its pipeline."""
    with SigstoreWorld(issuers.gitlab("grp/sub/proj")) as world:
        bundle = attester(world).attest(Package())
        policy = Policy.parse("project:grp/sub/proj,workflow:.gitlab-ci.yml,ref:refs/heads/main")
        assert checked(world, bundle, policy).issuer == issuers.GITLAB


def test_a_tag_with_an_at_sign_in_it_is_a_tag():
    """One of several packages of a repository: the workflow is the file before the whole of it."""
    ref = "refs/tags/demo@1.0.0"
    workflow = f"acme/foo/.github/workflows/release.yml@{ref}"
    with SigstoreWorld() as world:
        bundle = attester(world, ref=ref, workflow_ref=workflow, job_workflow_ref=workflow).attest(Package())
        policy = Policy.parse(f"repo:acme/foo,workflow:release.yml,ref:{ref}")
        assert checked(world, bundle, policy).workflow == f"https://github.com/{workflow}"


@pytest.mark.parametrize(
    ("claims", "policy", "why"),
    [
        ({"event_name": "pull_request_target"}, "repo:acme/foo", "anybody can start"),
        (
            {"job_workflow_ref": SHARED.removeprefix("https://github.com/")},
            f"identity:{SHARED},issuer:{issuers.GITHUB}",
            "another repository had this workflow run",
        ),
    ],
)
def test_a_run_that_strangers_can_have_is_refused(claims, policy, why):
    """By what the certificate authority writes into the certificate of such a run."""
    with SigstoreWorld() as world:
        bundle = attester(world, **claims).attest(Package())
        with pytest.raises(AttestationError, match=why) as caught:
            checked(world, bundle, Policy.parse(policy))
    assert caught.value.code == "attestation-identity"


def test_many_threads_share_one_certificate(world):
    """Eight threads and forty packages: one identity, one certificate, forty entries."""
    asked = []

    def identity():
        asked.append(threading.get_ident())
        return IdToken.parse(Secret(world.identity()), audience="sigstore", source="the job")

    signer = attester(world, identity=identity)
    packages = [Package(f"p{number}-1-0.conda", f"{number:064x}") for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        bundles = list(pool.map(signer.attest, packages))
    for package, bundle in zip(packages, bundles, strict=True):
        checked(world, bundle, filename=package.filename, sha256=package.sha256)
    assert len(asked) == 1
    assert [request.step for request in world.requests].count("certificate") == 1


def test_a_certificate_about_to_expire_is_replaced_with_a_fresh_identity(world):
    """Sixty seconds before its end: the time stamp comes after the signature."""
    world.fulcio.lifetime = (0, 45)
    signer = attester(world)
    for _ in range(3):
        checked(world, signer.attest(Package()))
    assert [request.step for request in world.requests].count("certificate") == 3


def test_a_certificate_that_had_expired_at_once_points_to_the_clock(world):
    """It is asked for again, and then given up."""
    world.fulcio.lifetime = (-1200, -600)
    with pytest.raises(AttestationError, match="had expired before it was used") as caught:
        attester(world).attest(Package())
    assert "clock" in caught.value.hint


# --- ten and more that do not hold ------------------------------------------------------------------------------------


def b64(change: Callable[[bytes], bytes], text: str) -> str:
    """Base64 with other bytes in it."""
    return base64.b64encode(change(base64.b64decode(text))).decode()


def flipped(raw: bytes, at: int = -1) -> bytes:
    """*raw* with another bit."""
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at:][1:]


def edit(*path: Any, by: Callable[[Any], Any]) -> Callable[[Any], None]:
    """What changes a member of a bundle."""

    def change(bundle: Any) -> None:
        for step in path[:-1]:
            bundle = bundle[step]
        bundle[path[-1]] = by(bundle[path[-1]])

    return change


MATERIAL = "verificationMaterial"
ENTRY = (MATERIAL, "tlogEntries", 0)
PROOF = (*ENTRY, "inclusionProof")


def flip_text(text: str) -> str:
    """A signed note with another root."""
    lines = text.split("\n")
    lines[2] = b64(flipped, lines[2])
    return "\n".join(lines)


def replace_bytes(old: bytes, new: bytes) -> Callable[[str], str]:
    """Base64 with *new* in the place of *old*."""
    return lambda text: b64(lambda raw: raw.replace(old, new), text)


def drop(*path: Any, member: str) -> Callable[[Any], None]:
    """What takes a member out of a bundle."""

    def change(bundle: Any) -> None:
        for step in path:
            bundle = bundle[step]
        bundle.pop(member)

    return change


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    """*members* but for one."""
    return {key: value for key, value in members.items() if key != name}


def make_old(bundle):
    """The same in the form of version 0.1, in which a proof may be missing."""
    bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1"
    material = bundle[MATERIAL]
    material["x509CertificateChain"] = {"certificates": [material.pop("certificate")]}
    drop(*ENTRY, member="inclusionProof")(bundle)


ALTERED = {
    "payload": (
        edit("dsseEnvelope", "payload", by=replace_bytes(b"demo-1.0", b"demo-1.1")),
        "attestation-signature",
    ),
    "payload type": (edit("dsseEnvelope", "payloadType", by=lambda _: "text/plain"), "attestation-signature"),
    "two signatures": (edit("dsseEnvelope", "signatures", by=lambda given: given * 2), "attestation-signature"),
    "no envelope": (drop(member="dsseEnvelope"), "attestation-form"),
    "certificate's signature": (
        edit(MATERIAL, "certificate", "rawBytes", by=lambda text: b64(flipped, text)),
        "attestation-certificate",
    ),
    "name in the certificate": (
        edit(MATERIAL, "certificate", "rawBytes", by=replace_bytes(b"acme/foo", b"evil/foo")),
        "attestation-certificate",
    ),
    "log entry": (
        edit(*ENTRY, "canonicalizedBody", by=lambda text: b64(lambda raw: raw + b" ", text)),
        "attestation-log",
    ),
    "root of the log": (edit(*PROOF, "rootHash", by=lambda text: b64(flipped, text)), "attestation-log"),
    "place in the log": (edit(*PROOF, "logIndex", by=lambda index: str(int(index) + 1)), "attestation-form"),
    "checkpoint": (edit(*PROOF, "checkpoint", "envelope", by=flip_text), "attestation-log"),
    "no proof": (drop(*ENTRY, member="inclusionProof"), "attestation-form"),
    "a member that nobody knows": (lambda bundle: bundle.update({"\x1b[31m": 1}), "attestation-form"),
    "a key in the place of a certificate": (
        edit(MATERIAL, by=lambda given: {**without(given, "certificate"), "publicKey": {"hint": "x"}}),
        "attestation-form",
    ),
    "two log entries": (edit(MATERIAL, "tlogEntries", by=lambda entries: entries * 2), "attestation-form"),
    "an older form, without a proof": (make_old, "attestation-form"),
    "media type": (
        edit("mediaType", by=lambda _: "application/vnd.dev.sigstore.bundle.v9+json"),
        "attestation-media-type",
    ),
}
OF_VERSION_1 = {
    "signature": (
        edit("dsseEnvelope", "signatures", 0, "sig", by=lambda text: b64(flipped, text)),
        "attestation-signature",
    ),
    "log's key": (edit(*ENTRY, "logId", "keyId", by=lambda text: b64(flipped, text)), "attestation-log"),
    "promise of the log": (
        edit(*ENTRY, "inclusionPromise", "signedEntryTimestamp", by=lambda text: b64(flipped, text)),
        "attestation-log",
    ),
    "time a minute later": (edit(*ENTRY, "integratedTime", by=lambda time: str(int(time) + 60)), "attestation-log"),
    "time an hour later": (edit(*ENTRY, "integratedTime", by=lambda time: str(int(time) + 3600)), "attestation-time"),
    "time beyond calendars": (edit(*ENTRY, "integratedTime", by=lambda _: str(10**18)), "bad-attestation"),
}
OF_VERSION_2 = {
    "signature, and so what was stamped": (
        edit("dsseEnvelope", "signatures", 0, "sig", by=lambda text: b64(flipped, text)),
        "attestation-time",
    ),
    "time stamp": (
        edit(
            MATERIAL,
            "timestampVerificationData",
            "rfc3161Timestamps",
            0,
            "signedTimestamp",
            by=lambda text: b64(flipped, text),
        ),
        "attestation-time",
    ),
    "no time stamp": (drop(MATERIAL, member="timestampVerificationData"), "attestation-time"),
}
CASES = [
    *((version, name, *case) for version in (1, 2) for name, case in ALTERED.items()),
    *((1, name, *case) for name, case in OF_VERSION_1.items()),
    *((2, name, *case) for name, case in OF_VERSION_2.items()),
]


@pytest.fixture(scope="module")
def signed(worlds):
    """A bundle of each version."""
    return {version: attester(world).attest(Package()) for version, world in worlds.items()}


@pytest.mark.parametrize(
    ("version", "change", "code"),
    [pytest.param(version, change, code, id=f"v{version}: {name}") for version, name, change, code in CASES],
)
def test_an_altered_bundle_is_refused_with_its_reason(worlds, signed, version, change, code):
    """Every part of it, each by itself, in bundles of both versions of the log."""
    document = json.loads(signed[version])
    before = copy.deepcopy(document)
    change(document)
    assert document != before
    with pytest.raises(AttestationError, match=re.escape(f"{NAME}: the attestation")) as caught:
        checked(worlds[version], json.dumps(document).encode())
    assert caught.value.code == code, caught.value.message
    assert caught.value.hint
    assert "pydantic" not in caught.value.message
    assert "tampered" not in caught.value.hint or code != "attestation-form"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("part", ["dsseEnvelope", MATERIAL])
def test_parts_of_two_good_bundles_are_no_bundle(worlds, signed, version, part):
    """The certificate, the log entry and the time stamp of another signature do not fit."""
    other = json.loads(attester(worlds[version]).attest(Package("other-1-0.conda")))
    document = {**json.loads(signed[version]), part: other[part]}
    with pytest.raises(AttestationError) as caught:
        checked(worlds[version], json.dumps(document).encode())
    assert caught.value.code == {1: "attestation-signature", 2: "attestation-time"}[version]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"filename": "other-1.0-h0_0.conda"}, "attestation-name"),
        ({"sha256": "60" * 32}, "attestation-digest"),
        ({"channel": "https://prefix.dev/other"}, "attestation-channel"),
        ({"policy": Policy.parse("repo:acme/bar")}, "attestation-identity"),
        ({"policy": Policy.parse("repo:acme/foo,ref:refs/heads/main")}, "attestation-identity"),
        ({"policy": Policy.parse("project:acme/foo")}, "attestation-issuer"),
    ],
)
def test_a_good_bundle_is_refused_for_anything_but_what_it_says(worlds, signed, changes, code):
    """Another file, other bytes, another channel, somebody else's signature."""
    with pytest.raises(AttestationError) as caught:
        checked(worlds[1], signed[1], **changes)
    assert caught.value.code == code


def test_a_certificate_of_another_authority_is_refused(worlds, signed):
    """Whoever runs a Sigstore of his own can sign as anybody."""
    with SigstoreWorld() as other, pytest.raises(AttestationError) as caught:
        checked(other, signed[1])
    assert caught.value.code == "attestation-certificate"


def test_a_signature_after_the_certificate_had_expired_is_refused(world):
    """Whoever says the time; and it is not handed out in the first place."""
    world.tsa.ahead = world.rekor.ahead = 3600
    with pytest.raises(AttestationError, match="while its certificate was valid") as caught:
        attester(world).attest(Package())
    assert caught.value.code == "attestation-time"


@pytest.mark.parametrize(
    "statement",
    [
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"predicateType": "https://docs.pypi.org/attestations/publish/v1", "predicate": None},
        {"subject": [{"name": NAME, "digest": {"sha256": SHA256}}, {"name": "x", "digest": {"sha256": SHA256}}]},
        {"subject": [{"name": NAME, "digest": {"sha256": SHA256, "sha512": "00"}}]},
        {"predicate": {"targetChannel": CHANNEL + "/"}},
    ],
)
def test_a_statement_that_is_not_cep_27_is_refused_however_well_it_is_signed(worlds, statement):
    """Sigstore itself does not look into what it verifies."""
    members = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": NAME, "digest": {"sha256": SHA256}}],
        "predicateType": "https://schemas.conda.org/attestations-publish-1.schema.json",
        "predicate": {"targetChannel": CHANNEL},
        **statement,
    }
    bundle = sign_anything(worlds[1], members)
    with pytest.raises(AttestationError) as caught:
        checked(worlds[1], bundle)
    assert caught.value.code == "attestation-statement"


def sign_anything(world, members):
    """A good bundle with whatever statement."""
    config = ClientTrustConfig.from_json(world.trust_config.read_text())
    with SigningContext.from_trust_config(config).signer(IdentityToken(world.identity())) as signer:
        return signer.sign_dsse(dsse.Statement(json.dumps(members).encode())).to_json().encode()


def test_nothing_that_somebody_makes_of_a_bundle_ends_in_another_error(worlds, signed):
    """Members that are missing, or of another type, wherever they are."""
    trust = Trust(worlds[1].trust_config)
    document = json.loads(signed[1])
    seen = 0
    for path in paths_in(document):
        for value in (None, "", "x", 0, -1, [], {}, "AAAA"):
            damaged = copy.deepcopy(document)
            edit(*path, by=lambda _, value=value: value)(damaged)
            try:
                open_bundle(json.dumps(damaged).encode(), filename=NAME, trust=trust)
            except AttestationError:
                seen += 1
    assert seen > 100


def paths_in(node, path=()):
    """The way to every member."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from paths_in(child, (*path, key))


def test_one_good_bundle_among_several_is_enough_and_otherwise_each_reason_is_said(worlds, signed):
    """Those that are for other files are passed over."""
    other = attester(worlds[1]).attest(Package("other-1-0.conda"))
    altered = json.loads(signed[1])
    OF_VERSION_1["signature"][0](altered)
    bad = json.dumps(altered).encode()
    elsewhere = attester(worlds[1], "https://prefix.dev/elsewhere").attest(Package())
    wanted = {"filename": NAME, "sha256": SHA256, "policy": MINE, "trust": Trust(worlds[1].trust_config)}

    def verified(*bundles: bytes, channel: str | None = None):
        return verify_first([Source(lambda: bundles)], channel=channel, **wanted)

    assert verified(other, bad, signed[1]).identity == WORKFLOW
    with pytest.raises(AttestationError, match="does not verify") as caught:
        verified(bad, bad, other)
    assert caught.value.code == "attestation-signature"
    with pytest.raises(AttestationError, match=r"no attestation of it verifies: .*; .*another channel") as caught:
        verified(bad, elsewhere, channel=CHANNEL)
    assert caught.value.code == "bad-attestation"
    with pytest.raises(AttestationError, match="another file"):
        verified(other, other)
    with pytest.raises(AttestationError) as caught:
        verified()
    assert caught.value.code == "no-attestation"


# --- servers that do not do their part --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403])
def test_an_identity_that_is_refused_is_said_by_its_claims(world, status):
    """And by the server's own words; the token itself is nowhere, which the leak check sees to."""
    world.fulcio.plan(Fault("status", when="certificate", status=status, times=None))
    with pytest.raises(AttestationError, match="certificate authority answered HTTP") as caught:
        attester(world).attest(Package())
    assert "repository=acme/foo" in caught.value.message
    assert caught.value.code == "signing"


@pytest.mark.parametrize(
    ("server", "step", "who"),
    [("fulcio", "certificate", "certificate authority"), ("rekor", "entry", "transparency log")],
)
def test_a_server_that_fails_is_asked_again_and_then_named(world, server, step, who):
    """Once more here; with a new signature each time."""
    getattr(world, server).plan(Fault("status", when=step, status=503))
    signer = attester(world)
    checked(world, signer.attest(Package()))
    getattr(world, server).plan(Fault("status", when=step, status=500, times=None))
    with pytest.raises(AttestationError, match=f"{who} answered HTTP 500") as caught:
        (signer if server == "rekor" else attester(world)).attest(Package())
    assert caught.value.attempts == 2


def test_a_log_that_has_the_entry_already_is_not_asked_again(world):
    """409: nothing that waiting mends."""
    world.rekor.plan(Fault("status", when="entry", status=409, times=None))
    with pytest.raises(AttestationError, match="HTTP 409") as caught:
        attester(world).attest(Package())
    assert "again" not in caught.value.hint
    assert [request.step for request in world.requests].count("entry") == 1


@pytest.mark.parametrize("kind", ["reset", "stall"])
def test_a_server_that_does_not_answer_ends_the_attempt(world, kind, monkeypatch):
    """Sigstore's client would wait for ever."""
    monkeypatch.setattr("keelback.provenance.signing._SECONDS", 1.0)
    world.rekor.plan(Fault(kind, when="entry", times=None))
    with pytest.raises(TransportError):
        attester(world).attest(Package())


def test_without_a_time_stamp_nothing_is_published_where_the_log_gives_no_time():
    """The second version of the log has no time of its own; the first has."""
    with SigstoreWorld(rekor=2) as world:
        world.tsa.plan(Fault("status", when="timestamp", status=500, times=None))
        with pytest.raises(AttestationError, match="no time stamp"):
            attester(world).attest(Package())
    with SigstoreWorld(rekor=1) as world:
        world.tsa.plan(Fault("status", when="timestamp", status=500, times=None))
        checked(world, attester(world).attest(Package()))


def test_the_identity_does_not_follow_a_redirect(world):
    """It was meant for one server."""
    with SigstoreWorld() as other:
        world.fulcio.plan(Fault("redirect", when="certificate", status=307, to=other.fulcio.url))
        with pytest.raises(AttestationError) as caught:
            attester(world).attest(Package())
        assert caught.value.code == "redirect"
        assert other.requests == []


def test_a_netrc_file_has_no_say_in_what_sigstore_is_sent(world, tmp_path, monkeypatch):
    """Its default entry is for any server: it must neither take the identity's place nor go to the log."""
    password = leaks.new_secret("netrc")
    netrc = leaks.holds_secrets(tmp_path / "netrc")
    netrc.write_text(f"default login ann password {password}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    checked(world, attester(world).attest(Package()))
    for request in world.requests:
        if request.step != "certificate":
            assert request.header("authorization") is None


def test_an_identity_is_not_sent_over_plain_http(worlds, tmp_path):
    """Whatever the trust configuration says."""
    document = json.loads(worlds[1].trust_config.read_text())
    document["signingConfig"]["caUrls"][0]["url"] = "http://fulcio.example"
    config = tmp_path / "trust.json"
    config.write_text(json.dumps(document))
    identity = IdToken.parse(Secret(worlds[1].identity()), audience="sigstore", source="the job")
    with pytest.raises(TransportError, match="is not https") as caught:
        Attester(lambda: identity, Trust(config)).attest(Package())
    assert caught.value.code == "plain-http"


def test_an_identity_that_has_expired_is_not_sent(worlds):
    """The claims are said, and what to do."""
    with pytest.raises(IdentityError, match="expired") as caught:
        attester(worlds[1], exp=1).attest(Package())
    assert "repository=acme/foo" in caught.value.message


def test_outside_of_ci_there_is_nobody_to_sign_as():
    """Named as such, with where it works."""
    with Client() as client, pytest.raises(IdentityError, match="none is offered here") as caught:
        signing_identity(IdentitySource(client, {}))()
    assert "GitHub Actions" in caught.value.hint
    assert "--oidc-token" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("", "it is not JSON"),
        ("{}", "mediaType is missing"),
        ("[]", "it is not what it has to be: Input should be an object"),
        ("nonsense", "it is not JSON"),
        ('{"mediaType": "x"}', "mediaType is not what it has to be: Input should be 'application/"),
        ("\x00", "it is not JSON"),
        (f'{{"mediaType": "{TRUST_TYPE}", "trustedRoot": {{}}}}', "trustedRoot.mediaType is missing"),
    ],
)
def test_a_trust_configuration_that_is_none_is_named(tmp_path, content, wrong):
    """With the first thing that is wrong with it, and no more of what sigstore says."""
    file = tmp_path / "trust.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"trust\.json is no trust configuration") as caught:
        Trust(file).load()
    assert caught.value.message.partition(": ")[2].startswith(wrong)
    assert "pydantic" not in caught.value.message
    with pytest.raises(UsageError, match="cannot be read"):
        Trust(tmp_path / "none.json").load()


@pytest.mark.parametrize("offline", [False, None])
def test_public_keys_that_do_not_come_are_not_waited_for_without_end(monkeypatch, offline):
    """Nor again by whoever has waited for the first; an option is named where the command has it."""
    asked, ended = [], threading.Event()

    def update(*_, **__):
        asked.append(1)
        ended.wait(60)

    monkeypatch.setattr(ClientTrustConfig, "production", update)
    monkeypatch.setattr("keelback.provenance.trust._SECONDS", 0.01)
    trust = Trust(offline=offline)
    for _ in range(2):
        with pytest.raises(TransportError, match=r"cannot be brought up to date: .* 0\.01 seconds") as caught:
            trust.verifier()
    ended.set()
    assert len(asked) == 1
    assert ("--offline" in caught.value.hint) is (offline is not None)


def test_without_the_extra_the_hint_says_what_to_install(worlds, signed, monkeypatch):
    """Nothing else of keelback needs it."""
    monkeypatch.setitem(__import__("sys").modules, "sigstore", None)
    for action in (lambda: checked(worlds[1], signed[1]), lambda: attester(worlds[1]).attest(Package())):
        with pytest.raises(AttestationError, match="not installed") as caught:
            action()
        assert caught.value.code == "no-sigstore"
        assert "keelback[provenance]" in caught.value.hint


# --- GitHub's own store -----------------------------------------------------------------------------------------------


class GitHubApi(ScriptedServer):
    """GitHub's API for the attestations of ``acme/foo``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.token = leaks.new_secret("github-token")
        self.kept: list[Any] = []

    def environ(self, **changes):
        """What a job has, or not."""
        variables = {
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": "acme/foo",
            "GITHUB_TOKEN": self.token,
            **changes,
        }
        return {name: value for name, value in variables.items() if value is not None}

    @route("POST", r"/repos/acme/foo/attestations", step="store")
    def store(self, exchange: Exchange) -> Answer:
        """Keep one."""
        self._check(exchange)
        self.kept.append(json.loads(exchange.read())["bundle"])
        return json_answer(201, {"id": len(self.kept)})

    @route("GET", r"/repos/acme/foo/attestations/sha256:(?P<sha256>[0-9a-f]{64})", step="read")
    def read(self, exchange: Exchange, sha256: str) -> Answer:
        """Give them back."""
        self._check(exchange)
        if sha256 != SHA256:
            return json_answer(404, {"message": "Not Found"})
        return json_answer(200, {"attestations": [{"bundle": kept, "repository_id": 1} for kept in self.kept]})

    def refusal(self, status: int, message: str) -> Answer:
        """An error of GitHub's."""
        return json_answer(status, {"message": message, "documentation_url": "https://docs.github.com"})

    def _check(self, exchange: Exchange) -> None:
        request = exchange.recorded
        self.expect(exchange, request.header("authorization") == f"Bearer {self.token}", "another token")
        self.expect(exchange, request.header("accept") == "application/vnd.github+json", "another type")
        self.expect(exchange, request.header("x-github-api-version") == "2022-11-28", "another version")


def test_github_keeps_attestations_and_gives_them_back(worlds, signed):
    """What comes back verifies."""
    with GitHubApi() as api, Client(retry=AT_ONCE) as client:
        store = GitHubStore.from_environ(client, api.environ())
        assert store.store(signed[1], NAME) == "1"
        (back,) = store.read(SHA256)
        assert store.read("60" * 32) == []
    api.assert_clean()
    checked(worlds[1], back)


@pytest.mark.parametrize(
    ("variable", "hint"), [("GITHUB_REPOSITORY", "OWNER/NAME"), ("GITHUB_TOKEN", "attestations: write")]
)
def test_github_is_not_asked_without_the_variables_of_a_job(variable, hint):
    """The one that is missing is named, and how to get it."""
    with GitHubApi() as api, Client() as client, pytest.raises(CredentialError, match=variable) as caught:
        GitHubStore.from_environ(client, api.environ(**{variable: None}))
    assert hint in caught.value.hint


@pytest.mark.parametrize("repository", ["acme", "acme/foo/bar", "../../x", "acme/foo?x", "acme/foo#"])
def test_a_repository_that_is_none_becomes_no_request(repository):
    """The variable is the environment's, and ends up in a URL."""
    with GitHubApi() as api, Client() as client:
        with pytest.raises(AttestationError, match="no repository"):
            GitHubStore.from_environ(client, api.environ(GITHUB_REPOSITORY=repository))
        assert api.requests == []


@pytest.mark.parametrize(
    ("status", "error", "hint"),
    [
        (401, CredentialError, "github.token"),
        (403, AttestationError, "attestations: write"),
        (404, AttestationError, "Enterprise"),
        (422, AttestationError, ""),
    ],
)
def test_what_github_refuses_is_said_with_what_to_set_up(signed, status, error, hint):
    """Permissions above all."""
    with GitHubApi() as api, Client(retry=AT_ONCE) as client:
        api.plan(Fault("status", when="store", status=status, times=None))
        with pytest.raises(error, match=f"HTTP {status}") as caught:
            GitHubStore.from_environ(client, api.environ()).store(signed[1], NAME)
    assert hint in caught.value.hint


# --- commands and library ---------------------------------------------------------------------------------------------


@pytest.fixture
def job(worlds):
    """The environment of a job of ``acme/foo``, with the private Sigstore."""
    with GitHubIdentityServer(worlds[1].issuers[0]) as server:
        yield {**server.environ, "KEELBACK_TRUST_CONFIG": str(worlds[1].trust_config)}
    server.assert_clean()


@pytest.fixture(scope="module")
def attested(worlds, tmp_path_factory):
    """A folder with a package and its attestation."""
    folder = tmp_path_factory.mktemp("attested")
    make_conda(folder)
    token, config = worlds[1].identity(), worlds[1].trust_config
    attest(folder, channel=CHANNEL, oidc_token=token, attestation_dir=folder, trust_config=config)
    return folder


def trusting(worlds):
    """The environment of somebody who is in no job."""
    return {"KEELBACK_TRUST_CONFIG": str(worlds[1].trust_config)}


def test_attest_pipes_into_verify(worlds, job, tmp_path):
    """Several packages in one run; outside of the job, with nothing but the pipe."""
    files = [make_conda(tmp_path, name) for name in ("one", "two", "three")]
    made = run_keelback(["attest", *files], env=job)
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.splitlines()) == 3
    command = ["verify", files[1], "--identity", WORKFLOW, "--issuer", issuers.GITHUB]
    done = run_keelback(command, env=trusting(worlds), input=made.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"verified  {files[1].name}  by {WORKFLOW} from https://github.com/acme/foo at ")
    assert done.stdout.endswith(f" UTC, by the keys in {worlds[1].trust_config}\n")


def test_verify_waits_for_what_is_piped_in_and_says_so(worlds, attested, tmp_path):
    """Whoever writes into the pipe may take a while; nothing is lost meanwhile."""
    file = make_conda(tmp_path)
    bundle = (attested / f"{NAME}.sigstore.json").read_bytes()
    run = start_keelback(["verify", file, "--policy", "repo:acme/foo"], env=trusting(worlds))
    assert run.process.stderr.readline().strip() == b"waiting for an attestation on standard input"
    done = run.finish(bundle)
    assert (done.returncode, done.stdout.startswith("verified  ")) == (0, True), done.stderr


def test_what_is_piped_in_counts_beside_what_lies_there(worlds, attested, tmp_path):
    """An attestation of yesterday does not hide the one that was made just now, nor the reverse."""
    file = make_conda(tmp_path)
    good = (attested / f"{NAME}.sigstore.json").read_bytes()
    stale = attester(worlds[1]).attest(Package())
    beside = tmp_path / f"{NAME}.sigstore.json"
    command = ["verify", file, "--policy", "repo:acme/foo"]
    for kept, piped in ((stale, good), (b"nonsense", good), (good, b"nonsense"), (good, b"")):
        beside.write_bytes(kept)
        done = run_keelback(command, env=trusting(worlds), input=piped)
        assert (done.returncode, done.stderr) == (0, ""), (kept[:9], piped[:9])
    beside.write_bytes(stale)
    done = run_keelback(command, env=trusting(worlds), input=b"")
    assert (done.returncode, "for other bytes" in done.stderr) == (1, True), done.stderr


def test_what_holds_beside_the_package_is_not_kept_waiting_by_an_idle_pipe(worlds, attested):
    """Many programs start others with a pipe that they leave open: it is read only where something is missing."""
    run = start_keelback(["verify", attested / NAME, "--policy", "repo:acme/foo"], env=trusting(worlds))
    assert run.process.stdout.readline().startswith(b"verified  ")
    assert run.process.wait(60) == 0
    run.process.communicate()


@pytest.mark.parametrize("bad", [".sigstore.json", ".v0.sigs", ".sigs"])
@pytest.mark.parametrize("content", [b"garbage", b"[]", b"[1]", b"<html>"])
def test_a_file_of_no_use_beside_the_package_does_not_hide_another(worlds, attested, tmp_path, bad, content):
    """Whoever left one there would keep a good package from being verified. It is told where nothing else holds."""
    file = make_conda(tmp_path)
    good = (attested / f"{NAME}.sigstore.json").read_bytes()
    for suffix in (".sigstore.json", ".v0.sigs", ".sigs"):
        (tmp_path / f"{NAME}{suffix}").write_bytes(content if suffix == bad else b"[" + good + b"]")
    (found,) = verify_packages(file, policy=MINE, trust_config=worlds[1].trust_config)
    assert found.ok, found.error
    for suffix in {".sigstore.json", ".v0.sigs", ".sigs"} - {bad}:
        (tmp_path / f"{NAME}{suffix}").unlink()
    (found,) = verify_packages(file, policy=MINE, trust_config=worlds[1].trust_config)
    assert f"{NAME}{bad}" in found.error.message


def test_a_pipe_that_nobody_writes_to_is_not_waited_for_without_end(capsys):
    """Whoever starts a process may leave it one; after the first package, the others do not wait again."""
    reading, writing = os.pipe()
    piped = StandardInput(reading, quiet=0, longest=0.05)
    with pytest.raises(AttestationError, match="none came on standard input") as caught:
        piped.piped()
    assert (caught.value.code, piped.piped()) == ("no-attestation", [])
    assert "--attestation -" in caught.value.hint
    assert caught.value.message == "none came on standard input in 0.05 seconds"
    assert "waiting" in capsys.readouterr().err
    os.close(writing)


def test_what_is_no_pipe_is_read_only_where_it_is_named(signed, tmp_path):
    """A socket that is left open, or a file that is meant for somebody else."""
    kept = tmp_path / "bundle.json"
    kept.write_bytes(signed[1])
    ours, theirs = socket.socketpair()
    with ours, theirs, kept.open("rb") as file:
        assert StandardInput(ours.fileno()).piped() == StandardInput(file.fileno()).piped() == []
        assert StandardInput(file.fileno()).named() == [signed[1]]


def test_verify_takes_what_attest_has_kept(worlds, attested, tmp_path):
    """As a folder, as a file, and from standard input; a path that is not there is a mistake."""
    file = make_conda(tmp_path)
    bundle = attested / f"{NAME}.sigstore.json"
    command = ["verify", file, "--policy", "repo:acme/foo", "--attestation"]
    for given in (attested, bundle, "-"):
        done = run_keelback([*command, given], env=trusting(worlds), input=bundle.read_bytes())
        assert done.returncode == 0, done.stderr
    assert run_keelback([*command, "nowhere"], env=trusting(worlds)).returncode == 2


def test_a_failure_of_one_package_hides_no_attestation_of_another(tmp_path):
    """What is signed is in a public log for ever: it is printed, and the exit status tells of the other."""
    files = [make_conda(tmp_path / "dist", name) for name in ("one", "two")]
    with SigstoreWorld() as world, GitHubIdentityServer(world.issuers[0]) as server:
        environ = {**server.environ, "KEELBACK_TRUST_CONFIG": str(world.trust_config)}
        world.rekor.plan(Fault("status", when="entry", status=400))
        shown = run_keelback(["attest", *files], env=environ)
        world.rekor.plan(Fault("status", when="entry", status=400))
        document = run_keelback(["attest", *files, "--json"], env=environ).json()
        good = run_keelback(["attest", *files, "--json"], env=environ)
    assert (shown.returncode, len(shown.stdout.splitlines())) == (1, 1)
    assert "the transparency log answered HTTP 400" in shown.stderr
    assert "Run the same command again" not in shown.stderr
    assert (document["ok"], document["error"]) == (False, None)
    assert sorted(entry["attested"] for entry in document["files"]) == [False, True]
    for entry in document["files"]:
        assert (entry["error"] is None) is entry["attested"] is (entry["bundle"] is not None)
    (one, _) = good.json()["files"]
    assert (good.returncode, good.json()["ok"], one["file"]) == (0, True, str(files[0]))
    assert (one["sha256"], one["kept"]) == (hashlib.sha256(files[0].read_bytes()).hexdigest(), None)
    assert one["attestation"]["identity"] == WORKFLOW
    assert one["bundle"]["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"


def test_what_cannot_be_kept_is_printed(worlds, tmp_path):
    """A folder that cannot be written is no reason to lose what is signed."""
    file = make_conda(tmp_path)
    (tmp_path / "taken").write_text("")
    token = worlds[1].identity()
    command = ["attest", file, "--oidc-token", "-", "--attestation-dir", tmp_path / "taken"]
    done = run_keelback(command, env=trusting(worlds), input=token)
    assert (done.returncode, "cannot be written" in done.stderr) == (1, True)
    assert json.loads(done.stdout)["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"


def test_a_log_that_does_not_answer_ends_the_run(tmp_path, monkeypatch):
    """Packages that were not tried yet fail for the same reason, without asking."""
    monkeypatch.setattr("keelback.provenance.signing._pause", lambda _: None)
    for number in range(30):
        make_conda(tmp_path, f"p{number}")
    with SigstoreWorld() as world:
        world.rekor.plan(Fault("reset", when="entry", times=None))
        found = attest(tmp_path, oidc_token=world.identity(), trust_config=world.trust_config)
        asked = [request.step for request in world.requests].count("entry")
    assert len(found) == 30
    assert all(isinstance(one.error, TransportError) for one in found)
    assert len({one.error for one in found}) <= 8
    assert asked <= 8 * Retry().attempts


def test_who_cannot_get_a_certificate_is_told_once(tmp_path):
    """Before anything is signed, and however many packages there are."""
    for name in ("one", "two", "three"):
        make_conda(tmp_path, name)
    with SigstoreWorld() as world:
        world.fulcio.plan(Fault("status", when="certificate", status=403, times=None))
        with pytest.raises(AttestationError, match="certificate authority answered HTTP 403"):
            attest(tmp_path, oidc_token=world.identity(), trust_config=world.trust_config)
        assert [request.step for request in world.requests] == ["certificate"]


@pytest.mark.parametrize(
    ("channel", "signed_as"),
    [
        ("prefix+https://conda.example.com/ch", "https://conda.example.com/ch"),
        ("https://repo.prefix.dev/my-channel/", CHANNEL),
        ("quetz+https://Conda.example.com/get/ch", "https://conda.example.com/get/ch"),
        ("https://somewhere.example/a/b/", "https://somewhere.example/a/b"),
    ],
)
def test_a_channel_is_signed_under_the_url_that_publish_signs(worlds, tmp_path, channel, signed_as):
    """The log is public and for ever: what the user typed is not for it."""
    make_conda(tmp_path)
    token, config = worlds[1].identity(), worlds[1].trust_config
    (found,) = attest(tmp_path, channel=channel, oidc_token=token, trust_config=config)
    assert found.verified.statement.channel == signed_as


@pytest.mark.parametrize("channel", ["./my-channel", "https://ann:{secret}@prefix.dev/my-channel", "ftp://x/y"])
def test_what_is_no_url_of_a_channel_is_not_signed(tmp_path, channel):
    """Nobody is asked for anything."""
    make_conda(tmp_path)
    with pytest.raises(UsageError):
        attest(tmp_path, channel=channel.format(secret=leaks.new_secret("in-url")), oidc_token="x")


def test_attest_keeps_and_verify_finds(worlds, job, tmp_path):
    """Attestations beside the packages need no option; --json has all that is known."""
    dist = tmp_path / "dist"
    file = make_conda(dist)
    made = run_keelback(["attest", dist, "--attestation-dir", dist, "--channel", f"{CHANNEL}/"], env=job)
    assert made.returncode == 0, made.stderr
    assert f"attested  noarch/{NAME}" in made.stdout
    done = run_keelback(["verify", dist, "--policy", "repo:acme/foo", "--json"], env=trusting(worlds))
    document = done.json()
    (entry,) = document["files"]
    assert (done.returncode, document["version"], document["ok"], document["error"]) == (0, 1, True, None)
    assert entry["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert entry["verified"] is True
    assert entry["attestation"]["channel"] == CHANNEL
    assert entry["attestation"]["trust"] == str(worlds[1].trust_config)
    assert entry["attestation"]["workflow"] == WORKFLOW


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (["--policy", "repo:acme/bar"], 1, "attestation-identity"),
        (["--policy", "repo:acme/foo", "--channel", "https://prefix.dev/other"], 1, "attestation-channel"),
        (["--policy", "repo:acme"], 2, "usage"),
        (["--policy", "repo:acme/foo", "--channel", "my-channel"], 2, "usage"),
        (["--policy", "repo:acme/foo", "--channel", f"{CHANNEL}?x"], 2, "usage"),
        (["--identity", WORKFLOW], 2, "usage"),
        ([], 2, "usage"),
        (["--policy", "repo:acme/foo", "--identity", WORKFLOW], 2, "usage"),
        (["--policy", "repo:acme/foo", "--trust-config", "/no/such/file"], 2, "usage"),
        (["--policy", "repo:acme/foo", "--attestation", "/no/such/file"], 2, "usage"),
    ],
)
def test_verify_says_what_is_wrong_by_its_exit_status(worlds, attested, options, status, code):
    """1 for an attestation that does not hold, 2 for a command that was put wrongly."""
    done = run_keelback(["verify", attested, "--json", *options], env=trusting(worlds))
    document = done.json()
    error = document["error"] or document["files"][0]["error"]
    assert (done.returncode, error["code"], document["ok"]) == (status, code, False)


@pytest.mark.parametrize(
    "channel",
    [CHANNEL, f"{CHANNEL}/", "https://repo.prefix.dev/my-channel", "prefix+https://prefix.dev/my-channel", None],
)
def test_a_channel_may_go_by_any_of_its_names(worlds, attested, channel):
    """Where packages are sent to it, and where they are read."""
    (found,) = verify_packages(attested, policy=MINE, channel=channel, trust_config=worlds[1].trust_config)
    assert found.ok, found.error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--policy repo:OWNER/NAME, or --identity with --issuer"),
        (["--identity", WORKFLOW], "--identity needs --issuer"),
        (["--issuer", issuers.GITHUB], "--issuer needs --identity"),
        (["--policy", "acme/foo"], "repo:acme/foo"),
    ],
)
def test_verify_says_how_to_name_whom_one_expects(worlds, tmp_path, options, said):
    """In the words of its own options."""
    done = run_keelback(["verify", make_conda(tmp_path), *options], env=trusting(worlds))
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_trust_configuration_is_read_before_anything_is_missed(tmp_path):
    """A file that is not there is a mistake in the command, whether there are attestations or not."""
    command = ["verify", make_conda(tmp_path), "--policy", "repo:acme/foo", "--trust-config", "nope"]
    done = run_keelback(command)
    assert (done.returncode, "nope cannot be read" in done.stderr) == (2, True), done.stderr


def test_verify_shows_a_person_what_is_wrong(worlds, attested):
    """An error and a hint for each package, and nothing on standard output that could be taken for a success."""
    done = run_keelback(["verify", attested, "--policy", "repo:acme/bar"], env=trusting(worlds))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {NAME}: somebody else signed it: ")
    assert "\nhint:  " in done.stderr


def test_a_package_with_other_bytes_is_not_verified(worlds, signed, tmp_path):
    """Even if it is a package of the same name."""
    file = make_conda(tmp_path)
    (found,) = verify_packages(file, policy=MINE, attestations=[signed[1]], trust_config=worlds[1].trust_config)
    assert (found.verified, found.error.code) == (None, "attestation-digest")


def test_without_an_attestation_nothing_is_verified(worlds, tmp_path):
    """Neither beside it nor piped in."""
    file = make_conda(tmp_path)
    done = run_keelback(["verify", file, "--policy", "repo:acme/foo"], env=trusting(worlds))
    assert (done.returncode, "there is no attestation" in done.stderr) == (1, True)


def test_attest_outside_of_ci_says_so(worlds, tmp_path):
    """Exit status 3, as for any credential that is missing, and no request; an ID token by hand is enough."""
    file = make_conda(tmp_path)
    done = run_keelback(["attest", file])
    assert (done.returncode, done.stdout) == (3, "")
    assert "none is offered here" in done.stderr
    token = worlds[1].identity()
    made = run_keelback(["attest", file, "--oidc-token", "-"], env=trusting(worlds), input=token)
    assert made.returncode == 0, made.stderr
    wrong = worlds[1].issuers[0].token("prefix.dev")
    done = run_keelback(["attest", file, "--oidc-token", "-"], env=trusting(worlds), input=wrong)
    assert (done.returncode, "made for" in done.stderr) == (3, True)


def test_programs_attest_and_verify_without_a_terminal(worlds, tmp_path):
    """The same as the commands, with results that can be looked at."""
    config = worlds[1].trust_config
    files = [make_conda(tmp_path, "one"), make_conda(tmp_path, "two")]
    made = attest(tmp_path, channel=CHANNEL, oidc_token=worlds[1].identity(), trust_config=config)
    assert [one.archive.path.name for one in made] == [file.name for file in files]
    bundles = [one.bundle for one in made]
    good = verify_packages(files, policy="repo:acme/foo", attestations=bundles, trust_config=config)
    assert [found.verified.identity for found in good] == [WORKFLOW, WORKFLOW]
    (tmp_path / f"{files[0].name}.sigs").write_bytes(sidecar_of(bundles))
    one, two = verify_packages(tmp_path, policy=MINE, trust_config=config)
    assert (one.verified is not None, two.verified, two.error.code) == (True, None, "no-attestation")
