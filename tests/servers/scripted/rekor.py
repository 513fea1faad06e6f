"""Rekor: a log of signatures that anybody may look into, in its first version and in its second.

Version 1 (sigstore/rekor, openapi.yaml) answers with a time and a promise, its SET; version 2 (sigstore/rekor-tiles,
CLIENTS.md) with neither. Both prove that the entry is in the tree under a checkpoint (C2SP, tlog-checkpoint).
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from . import merkle
from .engine import ScriptedServer, route
from .exchange import Exchange, json_answer

if TYPE_CHECKING:
    from .wire import Answer

_NAME = "rekor.sigstore.example"
_BEFORE = (b"an entry", b"another entry", b"a third entry")
"""What is in the log before any test comes to it, so that proofs are not empty."""
_SHARD = 1_000_000
"""How many entries the earlier trees of the log have: an entry's index in the log is not that in its tree."""
_TREE = "2605736670972794746"
_SHA256_ECDSA = "PKIX_ECDSA_P256_SHA_256"


class RekorServer(ScriptedServer, ABC):
    """What both versions have in common.

    Args:
        options: what :class:`ScriptedServer` takes.
    """

    version: int
    origin: str
    """The first line of a checkpoint."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.entries = list(_BEFORE)

    @property
    @abstractmethod
    def key_details(self) -> str:
        """How its key signs, in the words of sigstore_common.proto."""

    @property
    @abstractmethod
    def public_key(self) -> bytes:
        """Its key, as a SubjectPublicKeyInfo."""

    @property
    @abstractmethod
    def log_id(self) -> bytes:
        """What the log goes by; its first four bytes are in front of the signature of a checkpoint."""

    @abstractmethod
    def sign(self, data: bytes) -> bytes:
        """A signature with its key."""

    def refusal(self, status: int, message: str) -> Answer:
        """An error of this protocol."""
        return json_answer(status, {"code": status, "message": message})

    def _append(self, body: bytes) -> int | None:
        """The index of a new entry; None where there is one with that body."""
        with self.lock:
            if body in self.entries:
                return None
            self.entries.append(body)
            return len(self.entries) - 1

    def _proof(self, index: int) -> tuple[bytes, int, list[bytes], str]:
        """The root of the tree, its size, the way to the root, and the checkpoint."""
        with self.lock:
            leaves = [merkle.leaf_hash(entry) for entry in self.entries]
        root = merkle.root(leaves)
        note = f"{self.origin}\n{len(leaves)}\n{_b64(root)}\n"
        signature = _b64(self.log_id[:4] + self.sign(note.encode()))
        return root, len(leaves), merkle.inclusion_proof(index, leaves), f"{note}\n\u2014 {_NAME} {signature}\n"


class RekorV1Server(RekorServer):
    """A Rekor that takes DSSE envelopes.

    Attributes:
        ahead: how many seconds its clock is ahead.
    """

    version = 1
    origin = f"{_NAME} - {_TREE}"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ahead = 0
        self._key = ec.generate_private_key(ec.SECP256R1())

    key_details = _SHA256_ECDSA

    @property
    def public_key(self) -> bytes:
        """Its key, as a SubjectPublicKeyInfo."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def log_id(self) -> bytes:
        """The hash of its key."""
        return hashlib.sha256(self.public_key).digest()

    def sign(self, data: bytes) -> bytes:
        """A signature with its key."""
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))

    @route("POST", r"/api/v1/log/entries", step="entry")
    def new_entry(self, exchange: Exchange) -> Answer:
        """Take in an envelope whose signatures are those of the certificates that come with it."""
        try:
            body = _dsse_body(json.loads(exchange.read()))
        except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError) as error:
            self.flag(exchange, f"Rekor refuses the entry: {error!r}")
            return self.refusal(400, f"error processing entry: {error!r}")
        index = self._append(body)
        if index is None:
            return self.refusal(409, "an equivalent entry already exists in the transparency log")
        root, size, way, checkpoint = self._proof(index)
        entry: dict[str, Any] = {
            "body": _b64(body),
            "integratedTime": int(time.time()) + self.ahead,
            "logID": self.log_id.hex(),
            "logIndex": _SHARD + index,
        }
        promise = self.sign(_canonical(entry))
        proof = {
            "checkpoint": checkpoint,
            "hashes": [each.hex() for each in way],
            "logIndex": index,
            "rootHash": root.hex(),
            "treeSize": size,
        }
        entry["verification"] = {"inclusionProof": proof, "signedEntryTimestamp": _b64(promise)}
        return json_answer(201, {f"{int(_TREE):016x}{merkle.leaf_hash(body).hex()}": entry})


class RekorV2Server(RekorServer):
    """A Rekor that takes hashes and signatures."""

    version = 2
    origin = _NAME

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._key = ed25519.Ed25519PrivateKey.generate()

    key_details = "PKIX_ED25519"

    @property
    def public_key(self) -> bytes:
        """Its key, as a SubjectPublicKeyInfo."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def log_id(self) -> bytes:
        """The hash of its name and its key (C2SP, signed-note)."""
        raw = self._key.public_key().public_bytes_raw()
        return hashlib.sha256(f"{_NAME}\n\x01".encode() + raw).digest()

    def sign(self, data: bytes) -> bytes:
        """A signature with its key."""
        return self._key.sign(data)

    @route("POST", r"/api/v2/log/entries", step="entry")
    def new_entry(self, exchange: Exchange) -> Answer:
        """Take in a hash whose signature is that of the certificate that comes with it."""
        try:
            body = _hashedrekord_body(json.loads(exchange.read()))
        except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError) as error:
            self.flag(exchange, f"Rekor refuses the entry: {error!r}")
            return self.refusal(400, f"invalid request: {error!r}")
        index = self._append(body)
        if index is None:
            return self.refusal(409, "an equivalent entry already exists in the transparency log")
        root, size, way, checkpoint = self._proof(index)
        proof = {
            "logIndex": str(index),
            "rootHash": _b64(root),
            "treeSize": str(size),
            "hashes": [_b64(each) for each in way],
            "checkpoint": {"envelope": checkpoint},
        }
        entry = {
            "logIndex": str(index),
            "logId": {"keyId": _b64(self.log_id)},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "inclusionProof": proof,
            "canonicalizedBody": _b64(body),
        }
        return json_answer(201, entry)


def _dsse_body(asked: dict[str, Any]) -> bytes:
    """The entry of the kind ``dsse`` for what was proposed.

    Raises:
        InvalidSignature: a signature is not that of its certificate.
        ValueError: the proposal is malformed, as are those for which KeyError or TypeError is raised.
    """
    if (asked["kind"], asked["apiVersion"]) != ("dsse", "0.0.1"):
        raise ValueError("the entry is no dsse 0.0.1")
    proposed = asked["spec"]["proposedContent"]
    envelope = json.loads(proposed["envelope"])
    payload = base64.b64decode(envelope["payload"], validate=True)
    kind = envelope["payloadType"]
    encoded = f"DSSEv1 {len(kind.encode())} {kind} {len(payload)} ".encode() + payload
    signatures = []
    for signature, verifier in zip(envelope["signatures"], proposed["verifiers"], strict=True):
        certificate = x509.load_pem_x509_certificate(base64.b64decode(verifier, validate=True))
        raw = base64.b64decode(signature["sig"], validate=True)
        certificate.public_key().verify(raw, encoded, ec.ECDSA(hashes.SHA256()))
        signatures.append({"signature": signature["sig"], "verifier": verifier})
    spec = {
        "envelopeHash": _sha256(proposed["envelope"].encode()),
        "payloadHash": _sha256(payload),
        "signatures": sorted(signatures, key=lambda each: each["signature"]),
    }
    return _canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})


def _hashedrekord_body(asked: dict[str, Any]) -> bytes:
    """The entry of the kind ``hashedrekord`` for what was proposed; raises as :func:`_dsse_body` does."""
    proposed = asked["hashedRekordRequestV002"]
    signature, verifier = proposed["signature"]["content"], proposed["signature"]["verifier"]
    if verifier["keyDetails"] != _SHA256_ECDSA:
        raise ValueError("the key is not ECDSA on P-256")
    certificate = x509.load_der_x509_certificate(base64.b64decode(verifier["x509Certificate"]["rawBytes"]))
    digest = base64.b64decode(proposed["digest"], validate=True)
    certificate.public_key().verify(base64.b64decode(signature), digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    data = {"algorithm": "SHA2_256", "digest": proposed["digest"]}
    spec = {"data": data, "signature": {"content": signature, "verifier": verifier}}
    return _canonical({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": spec}})


def _canonical(value: object) -> bytes:
    """JSON as RFC 8785 has it, for what has neither fractions nor characters beyond ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _sha256(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
