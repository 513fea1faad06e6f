"""Fulcio: certificates of ten minutes for whoever an ID token names, each with a timestamp of a CT log.

The interface is that of Fulcio's REST API (sigstore/fulcio, fulcio.proto); what the certificates say is in its
"Fulcio OID Information"; the timestamp is that of RFC 6962, embedded.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from . import der
from .authority import Authority, key_usage, unsigned
from .channel import credential
from .engine import ScriptedServer, route
from .exchange import Exchange, json_answer
from .issuers import GITHUB, GITLAB, RefusedIdentity, claims_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .wire import Answer

AUDIENCE = "sigstore"
_ARC = "1.3.6.1.4.1.57264.1"
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_STATUSES = {400: 3, 401: 16, 500: 13}
"""The gRPC code that goes with an HTTP status."""


class CTLog:
    """A log of certificates (RFC 6962), which promises to take in whatever it is shown."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> bytes:
        """Its key, as a SubjectPublicKeyInfo."""
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def log_id(self) -> bytes:
        """What it goes by: the hash of its key."""
        return hashlib.sha256(self.public_key).digest()

    def timestamp_list(self, tbs: bytes, issuer: ec.EllipticCurvePublicKey, moment: dt.datetime) -> bytes:
        """A SignedCertificateTimestampList with one timestamp, for the precertificate *tbs* (sections 3.2 and 3.3)."""
        issuer_key = issuer.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        milliseconds = int(moment.timestamp() * 1000)
        entry = hashlib.sha256(issuer_key).digest() + len(tbs).to_bytes(3, "big") + tbs
        signed = struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + b"\0\0"
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        timestamp = struct.pack("!B32sQH", 0, self.log_id, milliseconds, 0)
        timestamp += struct.pack("!BBH", 4, 3, len(signature)) + signature  # SHA-256, ECDSA (RFC 5246, section 7.4.1.4)
        listed = struct.pack("!H", len(timestamp)) + timestamp
        return struct.pack("!H", len(listed)) + listed


class FulcioServer(ScriptedServer):
    """A Fulcio.

    Args:
        keys: the key set of an issuer, or None where it is not known.
        options: what :class:`ScriptedServer` takes.

    Attributes:
        names: claims that certificates are made from in place of those of the token, to name somebody else.
        lifetime: from when to when a certificate is good, in seconds from now.
        embeds_timestamp: whether certificates carry the timestamp of the CT log.
    """

    def __init__(self, keys: Callable[[str], Mapping[str, Any] | None], **options: Any) -> None:
        super().__init__(**options)
        self.log = CTLog()
        self.authority = Authority.root("sigstore-root").below("sigstore-intermediate")
        self.names: dict[str, Any] = {}
        self.lifetime = (0, 600)
        self.embeds_timestamp = True
        self._keys = keys

    @route("POST", r"/api/v2/signingCert", step="certificate")
    def signing_certificate(self, exchange: Exchange) -> Answer:
        """A certificate for the key that the client has shown to be its own."""
        self.expect(exchange, exchange.recorded.header("content-type") == "application/json", "the body is not JSON")
        try:
            asked = json.loads(exchange.read())
            token = credential(exchange, "Bearer") or asked["credentials"]["oidcIdentityToken"]
            claims = claims_of(token, AUDIENCE, self._keys, require=["sub"])
        except (RefusedIdentity, ValueError, KeyError, TypeError):
            return self.refusal(400, "There was an error processing the identity token")
        try:
            public_key = _proven_key(asked, claims["sub"])
        except InvalidSignature:
            return self.refusal(400, "The signature supplied in the request could not be verified")
        except (ValueError, KeyError, TypeError, binascii.Error):
            return self.refusal(400, "The certificate signing request could not be parsed")
        try:
            leaf = self._issue(public_key, {**claims, **self.names})
        except KeyError as error:
            return self.refusal(400, f"missing {error.args[0]} claim in ID token")
        chain = [each.public_bytes(Encoding.PEM).decode() for each in (leaf, *self.authority.chain)]
        return json_answer(200, {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}})

    def refusal(self, status: int, message: str) -> Answer:
        """An error as gRPC's gateway writes it."""
        return json_answer(status, {"code": _STATUSES.get(status, 2), "message": message, "details": []})

    def _issue(self, public_key: ec.EllipticCurvePublicKey, claims: Mapping[str, Any]) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        validity = (
            now + dt.timedelta(seconds=self.lifetime[0]),
            now + dt.timedelta(seconds=self.lifetime[1]),
        )
        identity, numbered = _described(claims)
        extensions = [
            (key_usage("digital_signature"), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
            self.authority.key_identifier,
            (x509.SubjectAlternativeName([identity]), True),
            *[(x509.UnrecognizedExtension(_oid(number), value), False) for number, value in numbered.items()],
        ]
        issuer = self.authority.certificate.subject
        builder = unsigned(x509.Name([]), issuer, public_key, extensions, validity)
        if self.embeds_timestamp:
            tbs = builder.sign(self.authority.key, hashes.SHA256()).tbs_certificate_bytes
            listed = self.log.timestamp_list(tbs, self.authority.key.public_key(), now)
            builder = builder.add_extension(x509.UnrecognizedExtension(_SCT_LIST, der.octets(listed)), critical=False)
        return builder.sign(self.authority.key, hashes.SHA256())


def _oid(number: int) -> x509.ObjectIdentifier:
    return x509.ObjectIdentifier(f"{_ARC}.{number}")


def _proven_key(asked: Mapping[str, Any], subject: str) -> ec.EllipticCurvePublicKey:
    """The key of a request whose sender has the private key, too: its own signature says so, or one of the subject.

    Raises:
        InvalidSignature: the sender has not.
        ValueError: the request, or the key, is none that Fulcio takes; as do KeyError and TypeError.
    """
    if "certificateSigningRequest" in asked:
        request = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"], validate=True))
        if not request.is_signature_valid:
            raise InvalidSignature
        key = request.public_key()
    else:
        shown = asked["publicKeyRequest"]
        key = load_pem_public_key(shown["publicKey"]["content"].encode())
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(base64.b64decode(shown["proofOfPossession"]), subject.encode(), ec.ECDSA(hashes.SHA256()))
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("the key is not ECDSA")
    return key


def _described(claims: Mapping[str, Any]) -> tuple[x509.GeneralName, dict[int, bytes]]:
    """Whom a certificate names, and its extensions by the last number of their identifier."""
    described = {GITHUB: _github, GITLAB: _gitlab}.get(claims["iss"], _email)
    identity, deprecated, texts = described(claims)
    raw = {1: claims["iss"], **deprecated}
    texts = {8: claims["iss"], **texts}
    encoded = {number: text.encode() for number, text in raw.items()}
    return identity, encoded | {number: der.utf8(text) for number, text in texts.items()}


_Description = tuple[x509.GeneralName, dict[int, str], dict[int, str]]


def _github(claims: Mapping[str, Any]) -> _Description:
    signer = f"https://github.com/{claims['job_workflow_ref']}"
    repository = f"https://github.com/{claims['repository']}"
    raw = {2: "event_name", 3: "sha", 4: "workflow", 5: "repository", 6: "ref"}
    texts = {
        9: signer,
        10: claims["job_workflow_sha"],
        11: claims["runner_environment"],
        12: repository,
        13: claims["sha"],
        14: claims["ref"],
        15: claims["repository_id"],
        16: f"https://github.com/{claims['repository_owner']}",
        17: claims["repository_owner_id"],
        18: f"https://github.com/{claims['workflow_ref']}",
        19: claims["workflow_sha"],
        20: claims["event_name"],
        21: f"{repository}/actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}",
        22: claims["repository_visibility"],
    }
    return x509.UniformResourceIdentifier(signer), {number: claims[claim] for number, claim in raw.items()}, texts


def _gitlab(claims: Mapping[str, Any]) -> _Description:
    signer = f"https://{claims['ci_config_ref_uri']}"
    project = f"https://gitlab.com/{claims['project_path']}"
    kinds = {"branch": "heads", "tag": "tags"}
    texts = {
        9: signer,
        10: claims["ci_config_sha"],
        11: claims["runner_environment"],
        12: project,
        13: claims["sha"],
        14: f"refs/{kinds[claims['ref_type']]}/{claims['ref']}",
        15: claims["project_id"],
        16: f"https://gitlab.com/{claims['namespace_path']}",
        17: claims["namespace_id"],
        18: signer,
        19: claims["ci_config_sha"],
        20: claims["pipeline_source"],
        21: f"{project}/-/jobs/{claims['job_id']}",
        22: claims["project_visibility"],
    }
    return x509.UniformResourceIdentifier(signer), {}, texts


def _email(claims: Mapping[str, Any]) -> _Description:
    return x509.RFC822Name(claims["email"]), {}, {}
