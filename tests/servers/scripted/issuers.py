"""CI systems as the makers of ID tokens, and how whoever is shown such a token makes sure of it.

The tokens are JWTs that are signed RS256 (OpenID Connect Core 1.0; RFC 7519). Their claims are those of GitHub Docs,
"OpenID Connect reference", and of GitLab Docs, "OpenID Connect (OIDC) Authentication Using ID Tokens".
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

import leaks

from .engine import ScriptedServer, route
from .exchange import Exchange, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .wire import Answer

GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.com"
COMMIT = "2b1f0c5d8a4e3b6f9c7d0e1a2b3c4d5e6f708192"
WORKFLOW_COMMIT = "9c8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e2d1c0b"
LIFETIME = 300
"""Seconds for which an ID token is good."""
ABSENT = object()
"""As a claim's value: leave the claim out."""


class RefusedIdentity(Exception):
    """An ID token that is not accepted.

    Args:
        code: one word for it, of those that PyPI has.
        text: why.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Issuer:
    """Makes ID tokens in the name of a CI system.

    Args:
        url: whose they are: the claim ``iss``.
        claims: what they say of every job.
        kid: what the key goes by.
    """

    def __init__(self, url: str, claims: Mapping[str, Any] | None = None, *, kid: str = "key-1") -> None:
        self.url = url
        self.claims = dict(claims or {})
        self.kid = kid
        self.made = 0
        """How many tokens were made."""
        self._key = _rsa_key(kid)

    def token(self, audience: Any, **changes: Any) -> str:
        """A token for *audience*, made now; *changes* are claims to set, or to leave out with :data:`ABSENT`."""
        self.made += 1
        now = int(time.time())
        claims = {"iss": self.url, "aud": audience, "iat": now, "nbf": now, "exp": now + LIFETIME}
        claims |= {"jti": str(uuid.uuid4()), **self.claims, **changes}
        return self.sign({name: value for name, value in claims.items() if value is not ABSENT})

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A token with these claims and no others."""
        made = jwt.encode(dict(claims), self._key, "RS256", headers={"kid": self.kid, **header})
        return leaks.watch(made, "id-token")

    def jwks(self) -> dict[str, Any]:
        """The public key, as a JSON Web Key Set (RFC 7517)."""
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "RS256"}]}


def github(repository: str = "acme/foo", **changes: Any) -> Issuer:
    """GitHub Actions, for a job of *repository* that builds a tag; *changes* are claims to set or leave out."""
    owner = repository.partition("/")[0]
    workflow = f"{repository}/.github/workflows/release.yml@refs/tags/v1"
    claims = {
        "sub": f"repo:{repository}:ref:refs/tags/v1",
        "repository": repository,
        "repository_id": "67890",
        "repository_owner": owner,
        "repository_owner_id": "12345",
        "repository_visibility": "public",
        "job_workflow_ref": workflow,
        "job_workflow_sha": WORKFLOW_COMMIT,
        "workflow_ref": workflow,
        "workflow_sha": WORKFLOW_COMMIT,
        "workflow": "release",
        "ref": "refs/tags/v1",
        "ref_type": "tag",
        "sha": COMMIT,
        "event_name": "push",
        "run_id": "1234567",
        "run_number": "7",
        "run_attempt": "1",
        "actor": "ann",
        "actor_id": "17",
        "runner_environment": "github-hosted",
    }
    return Issuer(GITHUB, {**claims, **changes}, kid="github-1")


def gitlab(project: str = "grp/sub/proj", **changes: Any) -> Issuer:
    """GitLab CI, for a job of *project* on its main branch; *changes* are claims to set or leave out."""
    claims = {
        "sub": f"project_path:{project}:ref_type:branch:ref:main",
        "project_path": project,
        "project_id": "4242",
        "project_visibility": "public",
        "namespace_path": project.rpartition("/")[0],
        "namespace_id": "77",
        "ci_config_ref_uri": f"gitlab.com/{project}//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": WORKFLOW_COMMIT,
        "ref": "main",
        "ref_type": "branch",
        "ref_path": "refs/heads/main",
        "ref_protected": "true",
        "sha": COMMIT,
        "pipeline_id": "991",
        "pipeline_source": "push",
        "job_id": "4711",
        "runner_id": 12,
        "runner_environment": "gitlab-hosted",
        "user_login": "ann",
    }
    return Issuer(GITLAB, {**claims, **changes}, kid="gitlab-1")


class IssuerServer(ScriptedServer):
    """Where the public keys of an issuer are found (OpenID Connect Discovery 1.0).

    Args:
        issuer: whose keys.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, issuer: Issuer, **options: Any) -> None:
        super().__init__(**options)
        self.issuer = issuer

    @route("GET", r"/\.well-known/openid-configuration", step="discovery")
    def discovery(self, _exchange: Exchange) -> Answer:
        """What the issuer says of itself."""
        members = {"issuer": self.issuer.url, "jwks_uri": f"{self.url}/jwks.json"}
        return json_answer(200, {**members, "id_token_signing_alg_values_supported": ["RS256"]})

    @route("GET", r"/jwks\.json", step="jwks")
    def jwks(self, _exchange: Exchange) -> Answer:
        """The keys."""
        return json_answer(200, self.issuer.jwks())


def keys_of(issuers: Iterable[Issuer]) -> Callable[[str], Mapping[str, Any] | None]:
    """A table of the keys of *issuers*, for :func:`claims_of`."""
    table = {issuer.url: issuer.jwks() for issuer in issuers}
    return table.get


def claims_of(
    token: str,
    audience: str,
    keys: Callable[[str], Mapping[str, Any] | None],
    *,
    leeway: int = 0,
    require: Iterable[str] = (),
) -> dict[str, Any]:
    """What an ID token says, once everything about it has been verified.

    Args:
        token: the token.
        audience: whom it must be for, and for nobody else beside.
        keys: the key set of an issuer, or None where that issuer is not known; nothing is fetched from elsewhere.
        leeway: how many seconds the clocks may differ.
        require: claims that must be there, beside those that say who made it, for whom, and when.

    Raises:
        RefusedIdentity: it is not accepted.
    """
    try:
        header = jwt.get_unverified_header(token)
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        key_set = keys(issuer) if isinstance(issuer, str) else None
        if key_set is None:
            raise RefusedIdentity("invalid-publisher", "the issuer of the token is not known here")
        known = {each.key_id: each.key for each in jwt.PyJWKSet.from_dict(dict(key_set)).keys}
        if header.get("kid") not in known:
            raise RefusedIdentity("invalid-token", "the token is signed with a key that its issuer does not have")
        return jwt.decode(
            token,
            known[header["kid"]],
            algorithms=["RS256"],
            audience=audience,
            issuer=issuer,
            leeway=leeway,
            options={"require": ["iss", "iat", "exp", "aud", *require], "strict_aud": True},
        )
    except jwt.PyJWTError as error:
        raise RefusedIdentity("invalid-token", f"malformed or invalid token: {error}") from error


@functools.cache
def _rsa_key(_name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
