"""A Sigstore of one's own on loopback: Fulcio with its CT log, Rekor, and a timestamp authority.

::

    with SigstoreWorld(issuers.github("acme/foo")) as world:
        config = ClientTrustConfig.from_json(world.trust_config.read_text())
        context = SigningContext.from_trust_config(config)
        with context.signer(IdentityToken(world.identity())) as signer:
            bundle = signer.sign_dsse(statement)
    world.assert_clean()

Each of the servers takes faults: ``world.fulcio.plan(Fault("status", when="certificate", status=401))``; their steps
are ``certificate``, ``entry`` and ``timestamp``. Wrong names and wrong times are attributes of theirs.
"""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from .authority import ORGANIZATION, STARTED, Authority
from .fulcio import AUDIENCE, FulcioServer
from .issuers import Issuer, github, keys_of
from .rekor import RekorV1Server, RekorV2Server
from .tsa import TimestampServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .engine import ScriptedServer
    from .exchange import Recorded

_START = STARTED.isoformat().replace("+00:00", "Z")


class SigstoreWorld:
    """All servers of a Sigstore, and the file that has clients trust and use them; a context.

    Args:
        issuers: whose ID tokens are taken; GitHub's for ``acme/foo`` by default.
        rekor: the version of the log: 1, as the public log has it, or 2.
        timestamps: whether signers are told of the timestamp authority.
        keys: where the keys of an issuer come from, in place of *issuers*.

    Attributes:
        fulcio: the certificate authority.
        rekor: the log.
        tsa: the timestamp authority.
        trust_config: the file, a ``ClientTrustConfig`` of sigstore_trustroot.proto; there within the context.
    """

    def __init__(
        self,
        *issuers: Issuer,
        rekor: int = 1,
        timestamps: bool = True,
        keys: Callable[[str], Mapping[str, Any] | None] | None = None,
    ) -> None:
        self.issuers = issuers or (github(),)
        self.fulcio = FulcioServer(keys or keys_of(self.issuers))
        self.rekor = RekorV1Server() if rekor == 1 else RekorV2Server()
        self.tsa = TimestampServer()
        self.trust_config = Path()
        self._timestamps = timestamps
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        folder = self._running.enter_context(tempfile.TemporaryDirectory(prefix="sigstore-"))
        for server in self.servers:
            self._running.enter_context(server)
        self.trust_config = Path(folder) / "trust.json"
        self.trust_config.write_text(json.dumps(self.configuration(), indent=2), encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def servers(self) -> tuple[ScriptedServer, ...]:
        """All of them."""
        return self.fulcio, self.rekor, self.tsa

    @property
    def requests(self) -> list[Recorded]:
        """Everything that any of them was asked, one server after the other."""
        return [request for server in self.servers for request in server.requests]

    def identity(self, **changes: Any) -> str:
        """An ID token of the first issuer for Sigstore, with other claims where they are given."""
        return self.issuers[0].token(AUDIENCE, **changes)

    def assert_clean(self) -> None:
        """Fail where a client broke a protocol, or a server broke itself."""
        for server in self.servers:
            server.assert_clean()

    def configuration(self) -> dict[str, Any]:
        """What is in :attr:`trust_config`."""
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": self.signing_config(),
        }

    def trusted_root(self) -> dict[str, Any]:
        """The keys and certificates to trust."""
        fulcio, rekor, tsa = self.fulcio, self.rekor, self.tsa
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_log(rekor.url, rekor.public_key, rekor.key_details, rekor.log_id)],
            "certificateAuthorities": [_authority(fulcio.url, fulcio.authority)],
            "ctlogs": [_log(fulcio.url, fulcio.log.public_key, "PKIX_ECDSA_P256_SHA_256", fulcio.log.log_id)],
            "timestampAuthorities": [_authority(tsa.timestamp_url, tsa.authority)],
        }

    def signing_config(self) -> dict[str, Any]:
        """The services to sign with."""
        return {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [_service(self.fulcio.url)],
            "oidcUrls": [],
            "rekorTlogUrls": [_service(self.rekor.url, self.rekor.version)],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": [_service(self.tsa.timestamp_url)] if self._timestamps else [],
            "tsaConfig": {"selector": "ANY"},
        }


def _service(url: str, version: int = 1) -> dict[str, Any]:
    return {"url": url, "majorApiVersion": version, "validFor": {"start": _START}, "operator": ORGANIZATION}


def _log(url: str, key: bytes, details: str, log_id: bytes) -> dict[str, Any]:
    public_key = {"rawBytes": _b64(key), "keyDetails": details, "validFor": {"start": _START}}
    return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public_key, "logId": {"keyId": _b64(log_id)}}


def _authority(uri: str, authority: Authority) -> dict[str, Any]:
    root = authority.chain[-1].subject
    (name,) = root.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {
        "subject": {"organization": ORGANIZATION, "commonName": name.value},
        "uri": uri,
        "certChain": {
            "certificates": [{"rawBytes": _b64(each.public_bytes(Encoding.DER))} for each in authority.chain]
        },
        "validFor": {"start": _START},
    }


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
