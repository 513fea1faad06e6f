"""Servers that give a credential for the identity of a CI system, and verify all of it before they do.

- :class:`ArtifactoryPlatform`: JFrog REST APIs, "OIDC Token Exchange".
- :class:`CloudsmithServer`: Cloudsmith API, "Openid Create".
- :class:`TokenService`: AWS STS API Reference, "AssumeRoleWithWebIdentity".
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import leaks

from .artifactory import ArtifactoryServer
from .engine import ScriptedServer, route
from .exchange import Exchange, json_answer
from .issuers import Issuer, RefusedIdentity, claims_of, github, keys_of
from .wire import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = "acme/foo"
PROVIDER = "github-acme"
ORGANIZATION = "acme"
SERVICE = "keelback-ci"
ROLE = "arn:aws:iam::123456789012:role/uploader"
LOOPBACK = "127.0.0.1"

_STS = "https://sts.amazonaws.com/doc/2011-06-15/"


class Gate:
    """Who may have a credential: jobs of one repository, as one CI system says.

    Args:
        audience: for whom identities have to be.
    """

    def __init__(self, audience: str = LOOPBACK) -> None:
        self.issuer: Issuer = github(REPOSITORY)
        self.audience = audience
        self.lets_in = REPOSITORY

    def identity(self, **changes: Any) -> str:
        """An identity that is let in, but for *changes*."""
        return self.issuer.token(changes.pop("aud", self.audience), **changes)

    def claims(self, token: object) -> dict[str, Any]:
        """What *token* says; raises ``RefusedIdentity`` where it is not let in."""
        if not isinstance(token, str):
            raise RefusedIdentity("invalid-payload", "there is no identity")
        claims = claims_of(token, self.audience, keys_of([self.issuer]))
        if self.lets_in not in (claims.get("repository"), claims.get("project_path")):
            raise RefusedIdentity("invalid-publisher", f"no identity mapping for {claims.get('repository')}")
        return claims


class ArtifactoryPlatform(ArtifactoryServer):
    """A JFrog Platform: an Artifactory, and the service that exchanges identities for its tokens.

    Args:
        gate: who may have a token.
        expires_in: what it says of the life of a token.
        stored: a token that is good from the start, as one that somebody has stored.
        options: what :class:`ArtifactoryServer` takes.
    """

    def __init__(
        self, gate: Gate | None = None, *, expires_in: object = 3600, stored: str | None = None, **options: Any
    ) -> None:
        super().__init__(stored, **options)
        self.gate = gate or Gate()
        self.expires_in = expires_in
        self.project: str | None = None
        """The key of the project that the identity mapping is in."""
        self.members: dict[str, Any] = {}
        """Put over what the exchange answers; ``None`` takes a member out."""

    def expire(self) -> None:
        """Have no token be good any more."""
        self._token = None

    @route("POST", r"/access/api/v1/oidc/token", step="exchange")
    def exchange(self, exchange: Exchange) -> Answer:
        """A token for an identity."""
        asked = _json_request(self, exchange)
        wanted = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            **({} if self.project is None else {"project_key": self.project}),
        }
        given = {name: value for name, value in asked.items() if name not in {"subject_token", "provider_name"}}
        self.expect(exchange, given == wanted, f"these are not the members of an exchange: {sorted(asked)}")
        if asked.get("provider_name") != PROVIDER:
            return self.refusal(404, f"No OIDC provider {asked.get('provider_name')} found")
        try:
            self.gate.claims(asked.get("subject_token"))
        except RefusedIdentity as error:
            return self.refusal(401, str(error))
        with self.lock:
            self._token = leaks.new_secret("access-token")
            members = {
                "access_token": self._token,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer",
                "expires_in": self.expires_in,
                "scope": "applied-permissions/groups:publishers",
                "username": "ci",
            }
        return json_answer(
            200, {name: value for name, value in {**members, **self.members}.items() if value is not None}
        )


class CloudsmithServer(ScriptedServer):
    """Cloudsmith's API, as far as it gives tokens of a service account.

    Args:
        gate: who may have a token.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, gate: Gate | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.gate = gate or Gate()
        self.gives = Issuer("https://api.cloudsmith.io", {"sub": SERVICE}, kid="cloudsmith-1")
        self.expires_at = int(time.time()) + 5400

    def refusal(self, status: int, message: str) -> Answer:
        """An error as Cloudsmith puts it."""
        return json_answer(status, {"detail": message})

    @route("POST", rf"/openid/{ORGANIZATION}/", step="exchange")
    def exchange(self, exchange: Exchange) -> Answer:
        """A token for an identity."""
        asked = _json_request(self, exchange)
        self.expect(exchange, set(asked) == {"oidc_token", "service_slug"}, f"other members: {sorted(asked)}")
        if asked.get("service_slug") != SERVICE:
            return self.refusal(422, "There is no such service account.")
        try:
            self.gate.claims(asked.get("oidc_token"))
        except RefusedIdentity as error:
            return self.refusal(401, str(error))
        return json_answer(201, {"token": self.gives.token("cloudsmith", exp=self.expires_at)})


class TokenService(ScriptedServer):
    """A security token service that gives keys of one role.

    Args:
        gate: who may have keys.
        life: how long they last, in seconds.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, gate: Gate | None = None, *, life: float = 3600, **options: Any) -> None:
        super().__init__(**options)
        self.gate = gate or Gate()
        self.life = life
        self.members: dict[str, str] = {}
        """Put over the keys that it gives."""
        self.given: list[Mapping[str, str]] = []
        """All keys that it gave."""

    def refusal(self, status: int, message: str, code: str = "AccessDenied") -> Answer:
        """An error as AWS puts it."""
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        return _xml(status, f'<ErrorResponse xmlns="{_STS}">{error}<RequestId>1</RequestId></ErrorResponse>')

    @route("POST", r"/", step="exchange")
    def exchange(self, exchange: Exchange) -> Answer:
        """Keys for an identity."""
        pairs = parse_qsl(exchange.read().decode(), keep_blank_values=True, strict_parsing=True)
        form = dict(pairs)
        request = exchange.recorded
        self.expect(exchange, len(pairs) == len(form), "a parameter was sent twice")
        self.expect(exchange, request.header("authorization") is None, "this request has no signature")
        self.expect(exchange, not request.query, "the query holds something")
        media = (request.header("content-type") or "").partition(";")[0]
        self.expect(exchange, media == "application/x-www-form-urlencoded", "the body is not announced as a form")
        fixed = (form.pop("Action", None), form.pop("Version", None))
        self.expect(exchange, fixed == ("AssumeRoleWithWebIdentity", "2011-06-15"), "this is another action")
        names = {"RoleArn", "RoleSessionName", "WebIdentityToken"}
        self.expect(exchange, set(form) == names, f"other parameters: {sorted(form)}")
        if form.get("RoleArn") != ROLE:
            return self.refusal(403, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        try:
            self.gate.claims(form.get("WebIdentityToken"))
        except RefusedIdentity as error:
            return self.refusal(400, str(error), "InvalidIdentityToken")
        return _xml(200, self._keys())

    def _keys(self) -> str:
        expires = datetime.fromtimestamp(time.time() + self.life, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {
            "AccessKeyId": f"ASIA{len(self.given):016}",
            "SecretAccessKey": leaks.new_secret("secret-key"),
            "SessionToken": leaks.new_secret("session-token"),
            "Expiration": expires,
            **self.members,
        }
        self.given.append(keys)
        members = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in keys.items())
        return (
            f'<AssumeRoleWithWebIdentityResponse xmlns="{_STS}"><AssumeRoleWithWebIdentityResult>'
            f"<Audience>{LOOPBACK}</Audience><Credentials>{members}</Credentials>"
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )


def _json_request(server: ScriptedServer, exchange: Exchange) -> dict[str, Any]:
    """The JSON object of a request, and a look at who sends it."""
    exchange.read()
    request = exchange.recorded
    server.expect(exchange, request.header("content-type") == "application/json", "the body is not announced as JSON")
    server.expect(exchange, request.header("authorization") is None, "the identity is the only credential")
    server.expect(exchange, not request.query, "the query holds something")
    document = request.json()
    server.expect(exchange, isinstance(document, dict), "the body is no JSON object")
    return document if isinstance(document, dict) else {}


def _xml(status: int, document: str) -> Answer:
    return Answer(status, f'<?xml version="1.0"?>\n{document}'.encode(), [("Content-Type", "text/xml")])
