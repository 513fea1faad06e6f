"""The identity that a CI system makes: an ID token, which is a JWT (OpenID Connect Core 1.0, section 2; RFC 7519)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from keelback.credentials.kinds import check_token
from keelback.credentials.oidc import publisher
from keelback.errors import CredentialError, IdentityError
from keelback.findings import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.secret import Secret

_LONGEST: Final = 64 << 10
_LONGEST_CLAIM: Final = 300

_PUBLISHER_CLAIMS: Final = (
    "iss",
    "aud",
    "sub",
    # GitHub
    "repository",
    "repository_owner",
    "repository_owner_id",
    "workflow_ref",
    "job_workflow_ref",
    "environment",
    "event_name",
    # GitLab
    "project_path",
    "namespace_path",
    "ci_config_ref_uri",
    # both
    "ref",
    "ref_path",
    "ref_protected",
    # Google, Buildkite, CircleCI
    "email",
    "organization_slug",
    "pipeline_slug",
    "oidc.circleci.com/project-id",
)
"""The claims by which servers know a trusted publisher, in the order in which they are shown."""


@dataclass(frozen=True)
class Remedies:
    """What to do about an identity that will not do, as sentences.

    Attributes:
        malformed: it is not an ID token.
        wrong_audience: it is made for somebody else; empty for what can be said of any CI system.
        expired: the server says no, and it has expired.
        used: the server takes it but once, and has had it.
    """

    malformed: str = "Check what makes it: an ID token has three parts with a dot between them (JWT)."
    wrong_audience: str = ""
    expired: str = "Run the job again, and check that the clock of this machine is right."
    used: str = "Run the job again: the server takes each identity once."


ANY: Final = Remedies()
"""For identities of which there is a new one each time."""


@dataclass(frozen=True)
class IdToken:
    """An identity that a CI system made; its signature is the server's to check, not ours.

    Attributes:
        secret: the token itself.
        audience: for whom it was made.
        source: who made it, as a person would say it: ``GitHub Actions``, ``--oidc-token``.
        claims: what it says.
        remedies: what to do where it will not do.
        is_only_one: whether this process can have no other one for this audience.
    """

    secret: Secret
    audience: str
    source: str
    claims: Mapping[str, Any] = field(repr=False)
    remedies: Remedies = field(default=ANY, repr=False)
    is_only_one: bool = False

    @classmethod
    def parse(
        cls, secret: Secret, *, audience: str, source: str, remedies: Remedies = ANY, is_only_one: bool = False
    ) -> Self:
        """The identity that *secret* is.

        Args:
            secret: the token; messages name its own source, where it has one.
            audience: for whom it has to be made, and for nobody else.
            source: see the class.
            remedies: see the class.
            is_only_one: see the class.

        Raises:
            IdentityError: it is not a JWT; code ``wrong-audience``: it is made for another server, or for several, so
                that whoever gets it could use it elsewhere.
        """
        where = secret.source or source
        claims = _claims(secret, where, remedies.malformed)
        for_whom = claims.get("aud")
        if isinstance(for_whom, list) and len(for_whom) == 1:
            for_whom = for_whom[0]
        if for_whom != audience:
            raise IdentityError(
                f"the identity from {where} is made for {_shown(for_whom)}, and not for {audience!r}",
                hint=remedies.wrong_audience
                or f"Ask the CI system for an ID token with the audience {audience!r} (aud), and no other.",
                code="wrong-audience",
            )
        return cls(secret, audience, source, claims, remedies, is_only_one)

    @property
    def expires(self) -> int | None:
        """When it expires, in Unix seconds; ``None`` where it does not say."""
        return expiry(self.claims)

    def shown(self) -> list[str]:
        """``NAME=VALUE`` of the claims by which servers know a publisher; never the token."""
        return [f"{name}={_shown(self.claims[name])}" for name in _PUBLISHER_CLAIMS if name in self.claims]

    def described(self) -> str:
        """Whose it is, as a clause: the trusted publisher that it is, or where none is known all of :meth:`shown`."""
        fields = publisher.described(self.claims)
        if fields:
            return f"the identity is that of {fields}"
        return f"the identity says {', '.join(self.shown()) or 'nothing by which servers know a publisher'}"


def expiry(claims: Mapping[str, Any]) -> int | None:
    """The ``exp`` of *claims*, in Unix seconds (RFC 7519, section 4.1.4); ``None`` where there is no valid one."""
    return _time_in(claims, "exp")


def lifetime(claims: Mapping[str, Any]) -> int | None:
    """The seconds from the ``iat`` of *claims* to their ``exp``; ``None`` where they do not have both in order."""
    issued, expires = _time_in(claims, "iat"), expiry(claims)
    return expires - issued if issued is not None and expires is not None and expires > issued else None


def _time_in(claims: Mapping[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1 << 53:
        return None
    return int(value)


def claims_of(secret: Secret) -> Mapping[str, Any] | None:
    """What *secret* says, if it is a signed JWT (RFC 7515, section 3.1); ``None`` where it is not."""
    parts = secret.reveal().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _claims(secret: Secret, source: str, hint: str) -> Mapping[str, Any]:
    if len(secret.reveal()) > _LONGEST:
        raise IdentityError(f"the identity from {source} is larger than any ID token", hint=hint)
    try:
        check_token(secret, source)
    except CredentialError as error:
        raise IdentityError(str(error), hint=error.hint) from None
    claims = claims_of(secret)
    if claims is None:
        raise IdentityError(f"the identity from {source} is not an ID token", hint=hint)
    return claims


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    text = printable(text)
    return text if len(text) <= _LONGEST_CLAIM else f"{text[:_LONGEST_CLAIM]}…"
