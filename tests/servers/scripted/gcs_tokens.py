"""Google's token endpoints, beside a bucket that takes the tokens; all of it at one origin.

- OAuth 2.0: refresh tokens, and assertions of service accounts (RFC 6749; RFC 7523).
- Security Token Service API, ``token`` (RFC 8693).
- IAM Service Account Credentials API, ``generateAccessToken``.
- the metadata server of a machine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import leaks

from .channel import credential
from .engine import route
from .exchange import Exchange, json_answer
from .gcs import GCSServer
from .issuers import RefusedIdentity
from .token_exchanges import Gate

if TYPE_CHECKING:
    from .wire import Answer

POOL = "projects/123/locations/global/workloadIdentityPools/ci/providers/github"
AUDIENCE = f"https://iam.googleapis.com/{POOL}"
EMAIL = "uploader@acme.iam.gserviceaccount.com"
STORAGE = "https://www.googleapis.com/auth/devstorage.read_write"
EVERYTHING = "https://www.googleapis.com/auth/cloud-platform"
_FORM = "application/x-www-form-urlencoded"


class GoogleServer(GCSServer):
    """A bucket, and everybody who gives tokens for it.

    Args:
        options: what :class:`GCSServer` takes.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(leaks.new_secret("nobodys"), **options)
        self.gate = Gate(AUDIENCE)
        self.client_secret = leaks.new_secret("client-secret")
        self.refresh_token = leaks.new_secret("refresh-token")
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.expires_in: Any = 3599
        """What is said of the life of a token."""
        self.members: dict[str, Any] = {}
        """Put over what is answered; ``None`` takes a member out."""
        self.flavor: str | None = "Google"
        """What the metadata server calls itself."""
        self._for_others: set[str] = set()

    @property
    def pem(self) -> str:
        """The key of the service account."""
        private = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return leaks.watch(private.decode(), "private-key")

    def expire(self) -> None:
        """Have no token be good any more."""
        self.tokens.clear()

    @route("POST", r"/token", step="token")
    def token(self, exchange: Exchange) -> Answer:
        """An access token for a refresh token, or for an assertion."""
        form = self._form(exchange)
        if form.get("grant_type") == "refresh_token":
            given = (form.get("client_id"), form.get("client_secret"), form.get("refresh_token"))
            if given != ("gcloud", self.client_secret, self.refresh_token):
                return json_answer(
                    400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
                )
            return self._gives({"scope": EVERYTHING})
        self.expect(
            exchange, form.get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer", "no known grant_type"
        )
        public = self.key.public_key()
        try:
            claims = jwt.decode(form.get("assertion", ""), public, ["RS256"], audience=f"{self.url}/token")
        except jwt.InvalidTokenError as error:
            return json_answer(400, {"error": "invalid_grant", "error_description": f"Invalid JWT: {error}"})
        self.expect(exchange, claims["exp"] - claims["iat"] == 3600, "an assertion for another time than an hour")
        self.expect(exchange, jwt.get_unverified_header(form["assertion"]).get("kid") == "key-1", "another kid")
        if claims["iss"] != EMAIL:
            return json_answer(400, {"error": "invalid_grant", "error_description": "account not found"})
        return self._gives({}, scope=claims["scope"])

    @route("POST", r"/v1/token", step="sts")
    def sts(self, exchange: Exchange) -> Answer:
        """An access token for an identity."""
        form = self._form(exchange)
        fixed = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "audience": self.gate.audience.removeprefix("https:"),
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }
        given = {name: value for name, value in form.items() if name not in {"subject_token", "scope"}}
        self.expect(exchange, given == fixed, f"these are not the fields of an exchange: {sorted(form)}")
        try:
            self.gate.claims(form.get("subject_token"))
        except RefusedIdentity as error:
            return json_answer(400, {"error": "invalid_grant", "error_description": str(error)})
        return self._gives(
            {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}, scope=form.get("scope", "")
        )

    @route("POST", r"/v1/projects/-/serviceAccounts/(?P<account>[^/]+):generateAccessToken", step="impersonate")
    def impersonate(self, exchange: Exchange, account: str) -> Answer:
        """An access token of a service account."""
        exchange.discard()
        if credential(exchange, "Bearer") not in self._for_others:
            return self.refusal(403, "Permission 'iam.serviceAccounts.getAccessToken' denied", "forbidden")
        wanted = {"scope": [STORAGE], "lifetime": "3600s"}
        self.expect(exchange, exchange.recorded.json() == wanted, "another request than for an hour of storage")
        self.expect(exchange, account == EMAIL, "another account")
        token = self.mint()
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        return json_answer(200, {"accessToken": token, "expireTime": until})

    @route("GET", r"/computeMetadata/v1/instance/service-accounts/default/token", step="metadata")
    def metadata(self, exchange: Exchange) -> Answer:
        """An access token of the machine."""
        request = exchange.recorded
        self.expect(exchange, request.header("metadata-flavor") == "Google", "no Metadata-Flavor")
        self.expect(exchange, request.header("authorization") is None, "a credential for the metadata server")
        answer = self._gives({}, scope=dict(request.query).get("scopes", ""))
        if self.flavor is not None:
            answer.headers.append(("Metadata-Flavor", self.flavor))
        return answer

    @route("GET", r"/identity", step="identity")
    def identity(self, exchange: Exchange) -> Answer:
        """An identity, as a CI system gives it."""
        self.expect(exchange, exchange.recorded.header("x-for") == "keelback", "a header field is missing")
        return json_answer(200, {"value": self.gate.identity()})

    def _gives(self, more: dict[str, Any], scope: str = EVERYTHING) -> Answer:
        token = self.mint()
        if scope == EVERYTHING:
            self._for_others.add(token)
        members = {"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer", **more, **self.members}
        return json_answer(200, {name: value for name, value in members.items() if value is not None})

    def mint(self) -> str:
        """A new access token."""
        token = f"ya29.{leaks.new_secret('access-token')}"
        self.tokens.add(token)
        return token

    def _form(self, exchange: Exchange) -> dict[str, str]:
        exchange.discard()
        request = exchange.recorded
        self.expect(exchange, request.header("content-type") == _FORM, "the body is not announced as a form")
        self.expect(exchange, request.header("authorization") is None, "a credential beside the one in the form")
        body = (request.body or b"").decode()
        return dict(parse_qsl(body, keep_blank_values=True))
