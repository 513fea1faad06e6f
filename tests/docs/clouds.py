"""The buckets of a page's network: at Amazon, Google and Azure, and at services that speak Amazon's protocol.

They are reached by the names that they really have. Those who give credentials for the identity of a CI job are here,
too: a job of the page's own repository gets one.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final

from leaks import new_secret
from servers.scripted import azure, issuers
from servers.scripted.azure import AzureBlobServer
from servers.scripted.azureidentity import EntraServer
from servers.scripted.gcs_tokens import POOL, GoogleServer
from servers.scripted.proxy import NamedServer
from servers.scripted.s3 import S3Server
from servers.scripted.token_exchanges import Gate, TokenService

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from servers.scripted.engine import ScriptedServer
    from servers.scripted.exchange import Exchange, Recorded
    from servers.scripted.issuers import Issuer
    from servers.scripted.wire import Answer

BUCKET: Final = "my-bucket"
KEY_ID: Final = "your-key-id"
REGION: Final = "eu-central-1"
ACCOUNT: Final = "0123456789abcdef0123456789abcdef"
"""Of the owner of a bucket at R2."""
_AWS_AUDIENCE: Final = "sts.amazonaws.com"


class _S3(S3Server):
    """An object store with :data:`BUCKET`, in the host or in the path; URLs may be signed, too.

    Args:
        endpoints: the hosts of the service.
        secret: of :data:`KEY_ID`.
        bucket: another bucket, in the path.
        options: what :class:`S3Server` takes.
    """

    def __init__(self, *endpoints: str, secret: str, bucket: str = BUCKET, **options: Any) -> None:
        self.secrets = {KEY_ID: secret}
        super().__init__(self.secrets, bucket=bucket, **options)
        self.names = [f"{before}{host}" for host in endpoints for before in ("", f"{BUCKET}.")]

    def arrived(self, exchange: Exchange) -> None:
        """Put the bucket into the path, where it is in the host."""
        request = exchange.recorded
        target = request.target
        if (request.header("host") or "").startswith(f"{BUCKET}."):
            request.target = f"/{BUCKET}{target}"
        super().arrived(exchange)
        request.target = target

    def _check_head(self, exchange: Exchange) -> None:
        """Look for one of the names where the address is expected; signatures are over the name."""
        headers = exchange.recorded.headers
        own = f"127.0.0.1:{self.port}"
        exchange.recorded.headers = [
            (name, own if name.lower() == "host" and value in self.names else value) for name, value in headers
        ]
        super()._check_head(exchange)
        exchange.recorded.headers = headers

    def _refused(self, request: Recorded, operation: str, bucket: str) -> Answer | None:
        query = dict(request.query)
        if "X-Amz-Signature" not in query:
            return super()._refused(request, operation, bucket)
        if not hmac.compare_digest(_signature_of_url(request, query, self.secrets[KEY_ID]), query["X-Amz-Signature"]):
            return self.error("SignatureDoesNotMatch")
        return None


def _signature_of_url(request: Recorded, query: Mapping[str, str], secret: str) -> str:
    """The signature that a URL has to have ("Authenticating Requests: Using Query Parameters")."""
    path, _, fields = request.target.partition("?")
    signed = sorted(field for field in fields.split("&") if not field.startswith("X-Amz-Signature="))
    host = f"host:{request.header('host')}\n"
    canonical = "\n".join([request.method, path, "&".join(signed), host, "host", "UNSIGNED-PAYLOAD"])
    scope = query["X-Amz-Credential"].partition("/")[2]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{query['X-Amz-Date']}\n{scope}\n{digest}"
    return hmac.digest(key, text.encode(), "sha256").hex()


class _TokenService(NamedServer, TokenService):
    """Amazon's security token service, which gives keys that *bucket* takes."""

    names = ("sts.amazonaws.com", f"sts.{REGION}.amazonaws.com")

    def __init__(self, gate: Gate, bucket: _S3, **options: Any) -> None:
        super().__init__(gate, **options)
        self._bucket = bucket

    def _keys(self) -> str:
        document = super()._keys()
        keys = self.given[-1]
        self._bucket.secrets[keys["AccessKeyId"]] = keys["SecretAccessKey"]
        return document


class _Google(NamedServer, GoogleServer):
    """Google Cloud: its buckets, and whoever gives tokens for them."""

    names = (
        "storage.googleapis.com",
        "oauth2.googleapis.com",
        "sts.googleapis.com",
        "iamcredentials.googleapis.com",
    )

    @property
    def url(self) -> str:
        """The origin of the buckets."""
        return "https://storage.googleapis.com"


class _Azure(NamedServer, AzureBlobServer):
    """The Blob Storage of an account."""

    names = (f"{azure.ACCOUNT}.blob.core.windows.net",)

    def arrived(self, exchange: Exchange) -> None:
        """Put the account into the path, as the scripted server has it."""
        super().arrived(exchange)
        exchange.path = f"/{azure.ACCOUNT}{exchange.path}"


class _Entra(NamedServer, EntraServer):
    """Microsoft Entra ID, which gives tokens that *storage* takes."""

    names = ("login.microsoftonline.com",)

    def __init__(self, storage: _Azure, **options: Any) -> None:
        super().__init__(**options)
        self._storage = storage

    def _token(self) -> Answer:
        answer = super()._token()
        self._storage.tokens.add(self.given[-1])
        return answer


class Clouds:
    """All buckets that pages name.

    Args:
        repository: the jobs of which get a credential: ``OWNER/NAME``.
        tls: makes the certificate for names.

    Attributes:
        servers: all servers.
        hosts: the server that answers for each host.
        secrets: what variables hold.
        google_login: the file that ``gcloud auth application-default login`` leaves.
    """

    def __init__(self, repository: str, tls: Callable[..., ssl.SSLContext]) -> None:
        secret = new_secret("docs-s3")
        amazon = _S3(f"s3.{REGION}.amazonaws.com", "s3.us-east-1.amazonaws.com", secret=secret, region=REGION)
        r2 = _S3(f"{ACCOUNT}.r2.cloudflarestorage.com", secret=secret, region="auto")
        minio = _S3("minio.example.com", secret=secret)
        old = _S3("old-store.example.com", secret=secret, conditions="ignored")
        own_secrets = {"MINIO_SECRET": new_secret("docs-minio"), "CEPH_SECRET": new_secret("docs-ceph")}
        minio.secrets["minio-key-id"] = own_secrets["MINIO_SECRET"]
        ceph = _S3("ceph.example.com", secret=own_secrets["CEPH_SECRET"], bucket="releases")
        gate = Gate(_AWS_AUDIENCE)
        sts = _TokenService(gate, amazon)
        self._google = google = _Google(bucket=BUCKET)
        self._gates = [gate, google.gate]
        for each in self._gates:
            each.lets_in = repository
        storage = _Azure()
        self._entra = entra = _Entra(storage)
        google_token = google.mint()
        self.secrets = {
            "AWS_SECRET_ACCESS_KEY": secret,
            "S3_SECRET_ACCESS_KEY": secret,
            **own_secrets,
            "GOOGLE_OAUTH_ACCESS_TOKEN": google_token,
            "AZURE_STORAGE_KEY": storage.key,
            "AZURE_STORAGE_SAS_TOKEN": storage.sas,
        }
        self.google_login = {
            "type": "authorized_user",
            "client_id": "gcloud",
            "client_secret": google.client_secret,
            "refresh_token": google.refresh_token,
        }
        named: dict[ScriptedServer, list[str]] = {each: each.names for each in (amazon, r2, minio, old, ceph)}
        named |= {each: list(each.names) for each in (sts, google, storage, entra)}
        self.servers = list(named)
        self.hosts = {name: server for server, names in named.items() for name in names}
        context = tls(*self.hosts)
        for server in self.servers:
            server._tls = context

    def know(self, issuer: Issuer) -> None:
        """Give credentials to the jobs of the CI system *issuer*, and of no other."""
        for gate in self._gates:
            gate.issuer = issuer
        self._entra.issuer = issuer
        provider = "gitlab" if issuer.url == issuers.GITLAB else "github"
        self._google.gate.audience = f"https://iam.googleapis.com/{POOL.rpartition('/')[0]}/{provider}"
