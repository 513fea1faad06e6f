"""Where tokens for Azure Storage come from: Entra ID, the metadata service of machines, and the service beside apps.

(Microsoft identity platform, "OAuth 2.0 client credentials flow"; Microsoft Entra documentation, "How to use managed
identities on an Azure VM to acquire an access token"; Azure App Service documentation, "REST endpoint reference".)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import leaks

from .engine import ScriptedServer, route
from .exchange import Exchange, json_answer
from .issuers import Issuer, RefusedIdentity, claims_of, github, keys_of

if TYPE_CHECKING:
    from .wire import Answer

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
AUDIENCE = "api://AzureADTokenExchange"
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class EntraServer(ScriptedServer):
    """All three of them at one port; the tokens that it gave are in :attr:`given`.

    Args:
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.issuer: Issuer = github("acme/foo")
        self.client_secret = leaks.new_secret("client-secret")
        self.header = leaks.new_secret("identity-header")
        self.given: list[str] = []
        self.expires_in: int | str = 3600
        self.trouble: tuple[int, str] | None = None
        """A status, and what is said with it, in place of a token."""

    def refusal(self, status: int, message: str) -> Answer:
        """See :class:`ScriptedServer`."""
        return json_answer(status, {"error": "invalid_request", "error_description": message})

    @route("POST", rf"/{TENANT}/oauth2/v2\.0/token", step="entra")
    def entra(self, exchange: Exchange) -> Answer:
        """A token for a secret, or for an identity."""
        form = dict(parse_qsl(exchange.read().decode()))
        self.expect(exchange, form.get("grant_type") == "client_credentials", "another grant")
        self.expect(exchange, form.get("client_id") == CLIENT, "another application")
        self.expect(exchange, form.get("scope") == "https://storage.azure.com/.default", "another scope")
        if "client_assertion" in form:
            self.expect(exchange, form.get("client_assertion_type") == _JWT_BEARER, "another kind of assertion")
            try:
                claims_of(form["client_assertion"], AUDIENCE, keys_of([self.issuer]))
            except RefusedIdentity as error:
                return self._said(400, f"AADSTS700213: No matching federated identity record found: {error}")
        elif form.get("client_secret") != self.client_secret:
            return self._said(401, "AADSTS7000215: Invalid client secret provided.")
        return self._token()

    @route("GET", r"/metadata/identity/oauth2/token", step="metadata")
    def metadata(self, exchange: Exchange) -> Answer:
        """A token of the machine's managed identity."""
        self.expect(exchange, exchange.recorded.header("metadata") == "true", "the header Metadata is missing")
        self._check_query(exchange, "2018-02-01")
        return self._token()

    @route("GET", r"/msi/token", step="app")
    def app(self, exchange: Exchange) -> Answer:
        """A token of the app's managed identity."""
        self._check_query(exchange, "2019-08-01")
        if exchange.recorded.header("x-identity-header") != self.header:
            return self._said(401, "the header is another")
        return self._token()

    def _check_query(self, exchange: Exchange, version: str) -> None:
        query = dict(exchange.recorded.query)
        self.expect(exchange, query.pop("client_id", CLIENT) == CLIENT, "another identity")
        self.expect(
            exchange, query == {"api-version": version, "resource": "https://storage.azure.com"}, "other fields"
        )

    def _token(self) -> Answer:
        if self.trouble is not None:
            return self._said(*self.trouble)
        token = leaks.new_secret("entra-token")
        with self.lock:
            self.given.append(token)
        members = {"token_type": "Bearer", "expires_in": self.expires_in, "access_token": token}
        return json_answer(200, members)

    def _said(self, status: int, description: str) -> Answer:
        support = "\r\nTrace ID: 0f0f0f0f\r\nCorrelation ID: 1e1e1e1e\r\nTimestamp: 2030-01-01 00:00:00Z"
        return json_answer(status, {"error": "bad", "error_description": description + support})
