"""The accounts that credential files hold: people, service accounts, and those as which others act.

(Google Cloud documentation, "Application Default Credentials" and "Using OAuth 2.0 for Server to Server Applications";
IAM Service Account Credentials API, ``projects.serviceAccounts.generateAccessToken``.)
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from keelback.credentials.gcloud.places import CLOUD_PLATFORM
from keelback.credentials.gcloud.tokens import Account, ask, ask_with_form
from keelback.credentials.kinds import BearerToken
from keelback.credentials.oidc.exchanged import Exchanged
from keelback.errors import CredentialError, CredentialFileError
from keelback.secret import remember
from keelback.transport.dates import iso_time

if TYPE_CHECKING:
    from keelback.secret import Secret
    from keelback.transport import Client

_LIFE: Final = 3600
"""Seconds for which tokens are asked."""
_LOG_IN: Final = "Log in again with: gcloud auth application-default login."


@dataclass(frozen=True)
class Person(Account):
    """Somebody who logged in with gcloud (``authorized_user``).

    Attributes:
        described: see :class:`Account`.
        url: where the refresh token is exchanged.
        client_id, client_secret: gcloud's own.
        refresh_token: from the login.
    """

    described: str
    url: str
    client_id: str
    client_secret: Secret
    refresh_token: Secret

    def token(self, client: Client, scope: str) -> Exchanged:  # noqa: ARG002 - the login said what it is for
        """See :class:`Account`: for what the person agreed to."""
        form = {
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "client_secret": self.client_secret.reveal(),
            "refresh_token": self.refresh_token.reveal(),
        }
        return ask_with_form(client, self.url, form, whose=self.described, hint=_LOG_IN)


@dataclass(frozen=True)
class ServiceAccount(Account):
    """A service account with a key of its own (``service_account``), which signs what is exchanged for a token.

    Attributes:
        described: see :class:`Account`.
        url: where that is exchanged.
        email: of the account.
        private_key: in PEM.
        key_id: of the key; may be empty.
    """

    described: str
    url: str
    email: str
    private_key: Secret
    key_id: str

    def token(self, client: Client, scope: str) -> Exchanged:
        """See :class:`Account`.

        Raises:
            CredentialError: code ``missing-extra``: what signs is not installed; or as :class:`Account` says.
        """
        assertion = self._assertion(scope, int(time.time()))
        remember(assertion)
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        hint = "Check that the account and its key are still there, and that the clock of this machine is right."
        return ask_with_form(client, self.url, form, whose=self.described, hint=hint)

    def _assertion(self, scope: str, now: int) -> str:
        """A JWT that says what is wanted, signed with RS256 (RFC 7523; RFC 7518, section 3.3)."""
        header = {"alg": "RS256", "typ": "JWT"} | ({"kid": self.key_id} if self.key_id else {})
        claims = {"iss": self.email, "scope": scope, "aud": self.url, "iat": now, "exp": now + _LIFE}
        signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        return f"{signed}.{_encoded(self._signature(signed.encode()))}"

    def _signature(self, content: bytes) -> bytes:
        try:
            from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra, and slow to import
            from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
            from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
            from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
            from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
        except ImportError:
            raise CredentialError(
                f"The key in {self.described} cannot be used: what signs with it is not installed",
                hint="Install it with: pip install 'keelback[gcs]'; or use a credential without a key.",
                code="missing-extra",
            ) from None
        try:
            key = load_pem_private_key(self.private_key.reveal().encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise CredentialFileError(
                f"{self.described}: 'private_key' is not an RSA key in PEM", hint="Get the key of the account anew."
            ) from None
        return key.sign(content, PKCS1v15(), SHA256())


@dataclass(frozen=True)
class ActingAs(Account):
    """A service account as which another account acts.

    Attributes:
        described: see :class:`Account`.
        other: who acts.
        url: where the tokens of the service account are asked for.
        delegates: the service accounts in between, if any.
        life: for how many seconds a token is asked for.
    """

    described: str
    other: Account
    url: str
    delegates: tuple[str, ...] = ()
    life: int = _LIFE

    def token(self, client: Client, scope: str) -> Exchanged:
        """See :class:`Account`."""
        own = self.other.token(client, CLOUD_PLATFORM)
        return impersonated(
            client, self.url, own.token, scope, whose=self.described, delegates=self.delegates, life=self.life
        )


def impersonation_url(iam: str, email: str) -> str:
    """Where the tokens of the service account *email* are asked for, at the API *iam*."""
    return f"{iam}/v1/projects/-/serviceAccounts/{quote(email, safe='@')}:generateAccessToken"


def impersonated(
    client: Client,
    url: str,
    own: Secret,
    scope: str,
    *,
    whose: str,
    delegates: tuple[str, ...] = (),
    life: int = _LIFE,
) -> Exchanged:
    """An access token of a service account, for which *own* is good.

    Args:
        client: sends the request.
        url: see :func:`impersonation_url`.
        own: the access token of whoever acts as the account.
        scope: what the token is for.
        whose: the account, for messages.
        delegates: see :class:`ActingAs`.
        life: see :class:`ActingAs`.

    Raises:
        ExchangeError: there is none.
    """
    wanted = {"scope": [scope], "lifetime": f"{life}s"} | ({"delegates": list(delegates)} if delegates else {})
    reply = ask(
        client,
        url,
        json.dumps(wanted).encode(),
        content_type="application/json",
        whose=whose,
        hint="Whoever acts as the service account needs the role roles/iam.serviceAccountTokenCreator on it, or, for "
        "identities of CI systems, roles/iam.workloadIdentityUser.",
        auth=BearerToken(own),
    )
    return Exchanged(reply.token("accessToken"), iso_time(reply.members().get("expireTime")), float(life))


def _encoded(content: bytes) -> str:
    """In base64 for URLs, without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
