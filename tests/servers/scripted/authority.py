"""Certificate authorities of a private Sigstore: a root and what is right below it, keys that are ECDSA on P-256."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable

ORGANIZATION = "sigstore.example"
STARTED = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
"""From when on everything of a private Sigstore is good."""
_ENDS = dt.datetime(2044, 1, 1, tzinfo=dt.UTC)

Extension = tuple[x509.ExtensionType, bool]
"""An extension, and whether it is critical."""


@dataclass(frozen=True)
class Authority:
    """A certificate and its key, with the certificates above it.

    Attributes:
        certificate: its own certificate.
        key: its key.
        above: the certificates that lead to the root, which is the last of them.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @classmethod
    def root(cls, name: str) -> Authority:
        """An authority that vouches for itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        builder = unsigned(subject, subject, key.public_key(), _authority(0 if name.endswith("tsa") else 1))
        return cls(builder.sign(key, hashes.SHA256()), key)

    def below(self, name: str, extensions: Iterable[Extension] | None = None) -> Authority:
        """What this one vouches for: another authority, or what *extensions* make of it."""
        key = ec.generate_private_key(ec.SECP256R1())
        found = _authority(0) if extensions is None else list(extensions)
        builder = unsigned(_name(name), self.certificate.subject, key.public_key(), [*found, self.key_identifier])
        return Authority(builder.sign(self.key, hashes.SHA256()), key, self.chain)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """Its certificate and those above it."""
        return (self.certificate, *self.above)

    @property
    def key_identifier(self) -> Extension:
        """How a certificate names the key that signed it."""
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False


def unsigned(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    extensions: Iterable[Extension],
    validity: tuple[dt.datetime, dt.datetime] = (STARTED, _ENDS),
) -> x509.CertificateBuilder:
    """A certificate that waits for its signature."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder


def key_usage(*usages: str) -> x509.KeyUsage:
    """What a key may do, and nothing else."""
    all_usages = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    return x509.KeyUsage(**{usage: usage in usages for usage in all_usages.split()})


def _authority(path_length: int) -> list[Extension]:
    return [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (key_usage("key_cert_sign", "crl_sign"), True),
    ]


def _name(name: str) -> x509.Name:
    parts = {NameOID.ORGANIZATION_NAME: ORGANIZATION, NameOID.COMMON_NAME: name}
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts.items()])
