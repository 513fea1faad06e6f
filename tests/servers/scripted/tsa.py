"""A timestamp authority: the time at which somebody had a signature, signed (RFC 3161, RFC 5652, RFC 5816)."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from . import der
from .authority import Authority, key_usage
from .engine import ScriptedServer, route
from .wire import Answer

if TYPE_CHECKING:
    from .exchange import Exchange

_POLICY = "1.3.6.1.4.1.57264.2"
_SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
_SHA256_NULL = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.NULL)
_ECDSA_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))
_TST_INFO = der.oid("1.2.840.113549.1.9.16.1.4")
_SIGNED_DATA = der.oid("1.2.840.113549.1.7.2")
_CONTENT_TYPE = der.oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = der.oid("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE = der.oid("1.2.840.113549.1.9.16.2.47")
_GRANTED, _REJECTION = 0, 2


@dataclass(frozen=True)
class _Query:
    """What is to be stamped.

    Attributes:
        imprint: the hash, with its algorithm, as it came.
        nonce: the INTEGER that the answer must repeat, as it came, or nothing.
        wants_certificate: whether the answer must have the certificate of whoever signed it.
    """

    imprint: bytes
    nonce: bytes
    wants_certificate: bool

    @classmethod
    def read(cls, request: bytes) -> _Query:
        """The query of a TimeStampReq.

        Raises:
            ValueError: it is none, or its hash is no SHA-256.
        """
        ((tag, content),) = der.read(request)
        (_, version), (_, imprint), *rest = der.read(content)
        (_, algorithm), (_, digest) = der.read(imprint)
        known = der.tlv(der.SEQUENCE, algorithm) in {_SHA256, _SHA256_NULL}
        if tag != der.SEQUENCE or version != b"\x01" or not known or len(digest) != 32:
            raise ValueError("no TimeStampReq of version 1 with a SHA-256")
        optional = dict(rest)
        nonce = der.tlv(der.INTEGER, optional[der.INTEGER]) if der.INTEGER in optional else b""
        return cls(der.tlv(der.SEQUENCE, imprint), nonce, optional.get(der.BOOLEAN) == b"\xff")


class TimestampServer(ScriptedServer):
    """A timestamp authority.

    Args:
        options: what :class:`ScriptedServer` takes.

    Attributes:
        ahead: how many seconds its clock is ahead.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        usage = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
        self.authority = Authority.root("sigstore-tsa").below("tsa", [(key_usage("digital_signature"), True), usage])
        self.ahead = 0

    @property
    def timestamp_url(self) -> str:
        """Where timestamps are made."""
        return f"{self.url}/api/v1/timestamp"

    @route("POST", r"/api/v1/timestamp", step="timestamp")
    def timestamp(self, exchange: Exchange) -> Answer:
        """A timestamp."""
        media = exchange.recorded.header("content-type")
        self.expect(exchange, media == "application/timestamp-query", "the body is not announced as a query")
        try:
            query = _Query.read(exchange.read())
        except ValueError as error:
            self.flag(exchange, str(error))
            return _reply(der.sequence(der.sequence(der.integer(_REJECTION))))
        return _reply(der.sequence(der.sequence(der.integer(_GRANTED)), self._token(query)))

    def _token(self, query: _Query) -> bytes:
        """A TimeStampToken: the time as CMS signed data."""
        now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.ahead)
        info = der.sequence(
            der.integer(1),
            der.oid(_POLICY),
            query.imprint,
            der.integer(secrets.randbits(63)),
            der.generalized_time(now),
            query.nonce,
        )
        certificate = self.authority.certificate.public_bytes(Encoding.DER)
        signed = der.sequence(
            der.integer(3),
            der.set_of(_SHA256),
            der.sequence(_TST_INFO, der.tagged(0, der.octets(info))),
            der.tagged(0, certificate) if query.wants_certificate else b"",
            der.set_of(self._signer(info, certificate)),
        )
        return der.sequence(_SIGNED_DATA, der.tagged(0, signed))

    def _signer(self, info: bytes, certificate: bytes) -> bytes:
        """A SignerInfo, whose signature is over its own attributes (RFC 5652, section 5.4)."""
        fingerprint = der.sequence(der.sequence(der.sequence(der.octets(hashlib.sha256(certificate).digest()))))
        attributes = [
            der.sequence(_CONTENT_TYPE, der.set_of(_TST_INFO)),
            der.sequence(_MESSAGE_DIGEST, der.set_of(der.octets(hashlib.sha256(info).digest()))),
            der.sequence(_SIGNING_CERTIFICATE, der.set_of(fingerprint)),
        ]
        own = self.authority.certificate
        return der.sequence(
            der.integer(1),
            der.sequence(own.issuer.public_bytes(), der.integer(own.serial_number)),
            _SHA256,
            der.tagged(0, b"".join(sorted(attributes))),
            _ECDSA_SHA256,
            der.octets(self.authority.key.sign(der.set_of(*attributes), ec.ECDSA(hashes.SHA256()))),
        )


def _reply(content: bytes) -> Answer:
    return Answer(200, content, [("Content-Type", "application/timestamp-reply")])
