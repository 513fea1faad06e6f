"""The exchange of an identity for an access token at a JFrog Platform, which Artifactory is a part of.

``POST /access/api/v1/oidc/token`` (JFrog REST APIs, "OIDC Token Exchange"; since Artifactory 7.77.3). What comes back
are the members of RFC 8693, section 2.2.1 (``jfrog-client-go``, ``OidcTokenResponseData``).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from keelback.credentials.oidc.exchanged import Exchanged
from keelback.credentials.oidc.sending import send_identity
from keelback.errors import ExchangeError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.transport import Client

PROVIDER: Final = "KEELBACK_ARTIFACTORY_OIDC_PROVIDER"
"""The variable with the name of the integration, for which JFrog's own tools have an option and no variable."""
AUDIENCE: Final = "KEELBACK_ARTIFACTORY_OIDC_AUDIENCE"
"""The variable with the audience that the integration wants, where that is not the server's host."""
PROJECT: Final = "JF_PROJECT"
"""The variable with the key of the project that the identity mapping belongs to (``setup-jfrog-cli``)."""

_LONGEST_LIFE: Final = 10 * 365 * 86_400
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Integration:
    """An OpenID Connect integration of a JFrog Platform.

    Attributes:
        platform: the platform's URL, without a slash at its end.
        provider: the integration's provider name; empty where it is not known.
        audience: for whom identities are made: the server's host, so that no other server can use them, unless the
            integration wants another.
        project: the key of the project in which identities are mapped; empty for the whole platform.
    """

    platform: str
    provider: str
    audience: str
    project: str = ""

    @classmethod
    def at(cls, server: str, environ: Mapping[str, str]) -> Self:
        """The integration at the Artifactory at *server*, as the variables in *environ* name it.

        Artifactory is at ``/artifactory`` of its platform (``jfrog-cli-core``, ``config.go``).
        """
        provider, audience, project = (environ.get(name, "").strip() for name in (PROVIDER, AUDIENCE, PROJECT))
        return cls(server.removesuffix("/artifactory"), provider, audience or host_of(server), project)


def exchange(
    client: Client, integration: Integration, identity: Callable[[], IdToken], *, clock: Callable[[], float] = time.time
) -> Exchanged:
    """Exchange an identity for an access token.

    Args:
        client: sends the requests; follows no redirect, and sends nothing over plain HTTP to another machine.
        integration: where, and by which name.
        identity: gives an identity for its audience.
        clock: the time, in Unix seconds.

    Raises:
        IdentityError: there is no identity.
        ExchangeError: the provider name is not known, and nothing was sent; or the server gave no token.
    """
    host = host_of(integration.platform)
    if not integration.provider:
        raise ExchangeError(
            f"{host} exchanges identities by the name of an OpenID Connect integration, and none is named",
            hint=f"Set {PROVIDER} to the integration's provider name.",
        )

    def body(token: IdToken) -> bytes:
        members = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_token": token.secret.reveal(),
            "provider_name": integration.provider,
        }
        return json.dumps(members | ({"project_key": integration.project} if integration.project else {})).encode()

    asked = clock()
    headers = {"content-type": "application/json", "accept": "application/json"}
    url = f"{integration.platform}/access/api/v1/oidc/token"
    reply = send_identity(client, url, identity, body, headers, hint=lambda *_: _hint(integration, host))
    token, members = reply.token("access_token"), reply.members()
    if str(members.get("token_type", "Bearer")).lower() != "bearer":
        raise reply.useless("a token that is not sent as 'Bearer'")
    life = _seconds(members.get("expires_in"))
    return Exchanged.dated_by_itself(token) if life is None else Exchanged(token, asked + life, life)


def _seconds(value: object) -> float | None:
    """A life in seconds; ``None`` where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:  # nor NaN
        return None
    return float(min(value, _LONGEST_LIFE))


def _hint(integration: Integration, host: str) -> str:
    project = f" of the project {integration.project!r}" if integration.project else ""
    return (
        f"At {host}, an OpenID Connect integration has to have the provider name {integration.provider!r}, the "
        f"issuer of the identity, the audience {integration.audience!r} or none, and an identity mapping{project} "
        "with the claims of the identity (Administration, Manage Integrations)."
    )
