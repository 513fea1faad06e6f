"""The private Sigstore is one that Sigstore's own code signs and verifies with, and misbehaves as told."""

from __future__ import annotations

import base64
import json

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sigstore.dsse import StatementBuilder, Subject
from sigstore.errors import CertValidationError, VerificationError
from sigstore.models import Bundle, ClientTrustConfig, InvalidBundle
from sigstore.oidc import IdentityToken
from sigstore.sign import ExpiredCertificate, SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity, OIDCIssuerV2, OIDCSourceRepositoryURI, UnsafeNoOp

from servers.scripted import Fault, issuers
from servers.scripted.sigstore_world import SigstoreWorld

DIGEST = "5f" * 32
PREDICATE = "https://schemas.conda.org/attestations-publish-1.schema.json"
WORKFLOW = "https://github.com/acme/foo/.github/workflows/release.yml@refs/tags/v1"


@pytest.fixture(params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def world(request):
    """A Sigstore with either version of the log."""
    with SigstoreWorld(rekor=request.param) as running:
        yield running
    running.assert_clean()


def sign(world):
    """A bundle for a package, as JSON."""
    statement = (
        StatementBuilder()
        .subjects([Subject(name="demo-1.0-h0_0.conda", digest={"sha256": DIGEST})])
        .predicate_type(PREDICATE)
        .predicate({"targetChannel": "https://prefix.dev/my-channel"})
        .build()
    )
    config = ClientTrustConfig.from_json(world.trust_config.read_text())
    context = SigningContext.from_trust_config(config)
    with context.signer(IdentityToken(world.identity())) as signer:
        return json.loads(signer.sign_dsse(statement).to_json())


def signing_request(*, forged=False):
    """A PKCS #10 request as Fulcio's API has it, or one with a wrong signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    raw = request.public_bytes(Encoding.DER)
    if forged:
        raw = raw[:-1] + bytes([raw[-1] ^ 1])
    body = base64.encodebytes(raw).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    return base64.b64encode(pem.encode()).decode()


def ask_fulcio(world, token, request):
    """What Fulcio answers."""
    return requests.post(
        f"{world.fulcio.url}/api/v2/signingCert",
        json={"certificateSigningRequest": request},
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )


def verify(world, bundle, policy=None):
    """What the bundle states, where it verifies."""
    config = ClientTrustConfig.from_json(world.trust_config.read_text())
    found = Bundle.from_json(json.dumps(bundle))
    kind, payload = Verifier(trusted_root=config.trusted_root).verify_dsse(found, policy or UnsafeNoOp())
    assert kind == "application/vnd.in-toto+json"
    return json.loads(payload)


def test_sigstores_own_code_signs_and_verifies(world):
    """A bundle that was made with the private Sigstore verifies against its root, with all that a bundle has."""
    bundle = sign(world)

    statement = verify(world, bundle, Identity(identity=WORKFLOW, issuer=issuers.GITHUB))

    assert statement["subject"] == [{"name": "demo-1.0-h0_0.conda", "digest": {"sha256": DIGEST}}]
    material = bundle["verificationMaterial"]
    (entry,) = material["tlogEntries"]
    assert len(material["timestampVerificationData"]["rfc3161Timestamps"]) == 1
    assert ("inclusionPromise" in entry) == (world.rekor.version == 1)
    assert [request.step for request in world.requests] == ["certificate", "entry", "timestamp"]


def test_every_entry_of_a_growing_log_is_proved(world):
    """Whatever the size of the tree, each new entry verifies."""
    for _ in range(9):
        verify(world, sign(world))


def test_a_certificate_says_what_fulcios_say_of_a_gitlab_job():
    """Identity, issuer and project of GitLab are where policies look for them."""
    with SigstoreWorld(issuers.gitlab()) as world:
        bundle = sign(world)
        verify(world, bundle, Identity(identity="https://gitlab.com/grp/sub/proj//.gitlab-ci.yml@refs/heads/main"))
        verify(world, bundle, OIDCIssuerV2(issuers.GITLAB))
        verify(world, bundle, OIDCSourceRepositoryURI("https://gitlab.com/grp/sub/proj"))
        with pytest.raises(VerificationError):
            verify(world, bundle, OIDCSourceRepositoryURI("https://gitlab.com/grp/sub/other"))


def test_another_sigstore_does_not_vouch_for_it(world):
    """A bundle of one private Sigstore does not verify against the root of another."""
    bundle = sign(world)
    with SigstoreWorld() as other, pytest.raises(VerificationError):
        verify(other, bundle)


@pytest.mark.parametrize(
    ("issuer", "audience", "changes"),
    [
        (issuers.github(), "prefix.dev", {}),
        (issuers.github(), "sigstore", {"exp": 1}),
        (issuers.gitlab(), "sigstore", {}),
        (issuers.Issuer(issuers.GITHUB, issuers.github().claims, kid="not-githubs"), "sigstore", {}),
        (issuers.github(job_workflow_ref=issuers.ABSENT), "sigstore", {}),
    ],
    ids=["audience", "expired", "unknown-issuer", "another-key", "no-workflow"],
)
def test_fulcio_looks_at_the_identity(issuer, audience, changes):
    """A token that is for somebody else, expired, of an issuer that is not known, forged, or incomplete is refused."""
    with SigstoreWorld() as world:
        answer = ask_fulcio(world, issuer.token(audience, **changes), signing_request())
    assert answer.status_code == 400
    assert "token" in answer.json()["message"].lower()


def test_fulcio_wants_the_private_key_shown():
    """A request that was signed with another key than its own is refused."""
    with SigstoreWorld() as world:
        answer = ask_fulcio(world, world.identity(), signing_request(forged=True))
    assert answer.status_code == 400
    assert answer.json()["message"] == "The signature supplied in the request could not be verified"


def test_certificates_can_be_of_somebody_else():
    """Fulcio names whom it is told to name."""
    with SigstoreWorld() as world:
        world.fulcio.names = {"repository": "evil/foo"}
        bundle = sign(world)
        verify(world, bundle, OIDCSourceRepositoryURI("https://github.com/evil/foo"))


def test_without_a_time_nothing_verifies():
    """What is signed with the second log and no timestamp authority has no time at all, and is no bundle."""
    with SigstoreWorld(rekor=2, timestamps=False) as world, pytest.raises(InvalidBundle, match="signed timestamp"):
        sign(world)


def test_a_signature_after_the_certificate_has_ended_does_not_verify(world):
    """Whoever says the time, it must be within the ten minutes."""
    world.tsa.ahead = world.rekor.ahead = 3600
    with pytest.raises(CertValidationError):
        verify(world, sign(world))


def test_an_expired_certificate_is_issued_on_demand(world):
    """Signers notice by themselves that a certificate has ended before they could use it."""
    world.fulcio.lifetime = (-1200, -600)
    with pytest.raises(ExpiredCertificate):
        sign(world)


def test_a_certificate_without_the_timestamp_of_the_ct_log_is_issued_on_demand(world):
    """Signers look for the timestamp themselves."""
    world.fulcio.embeds_timestamp = False
    with pytest.raises(VerificationError, match="does not contain a signed certificate timestamp"):
        sign(world)


@pytest.mark.parametrize(("server", "step"), [("fulcio", "certificate"), ("rekor", "entry")])
@pytest.mark.parametrize("status", [401, 409, 500])
def test_each_server_refuses_on_demand(world, server, step, status):
    """Signing fails where a server that it cannot do without refuses."""
    getattr(world, server).plan(Fault("status", when=step, status=status, times=None))
    with pytest.raises(Exception, match=r".*"):
        sign(world)
