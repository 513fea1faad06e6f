"""The exchange of an identity for a token of a Cloudsmith service account.

``POST /openid/ORGANIZATION/`` with ``{"oidc_token", "service_slug"}``, which gives ``{"token"}`` (``cloudsmith-cli``,
``core/credentials/oidc``; Cloudsmith API, "Openid Create"). The token is a JWT, and sent as ``Authorization: Bearer``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

from keelback.credentials.oidc.audience import audience_of
from keelback.credentials.oidc.exchanged import Exchanged
from keelback.credentials.oidc.sending import send_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.transport import Client

API: Final = "https://api.cloudsmith.io"

ORGANIZATION: Final = "CLOUDSMITH_ORG"
SERVICE: Final = "CLOUDSMITH_SERVICE_SLUG"
AUDIENCE: Final = "CLOUDSMITH_OIDC_AUDIENCE"
"""The variables of ``cloudsmith-cli``."""
_AUDIENCE: Final = "cloudsmith"
"""What ``cloudsmith-cli`` asks for where nothing else is said."""
AUDIENCES: Final = {"api.cloudsmith.io": _AUDIENCE}
"""See :func:`~keelback.credentials.oidc.audience.audience_of`."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account of an organization at Cloudsmith.

    Attributes:
        organization: the organization's slug.
        slug: the account's.
        audience: for whom identities are made.
        api: the URL of the API, without a path.
    """

    organization: str
    slug: str
    audience: str = _AUDIENCE
    api: str = API

    @classmethod
    def named_in(cls, environ: Mapping[str, str], api: str = API) -> Self | None:
        """The account that the variables in *environ* name; ``None`` where they name none.

        For another API than Cloudsmith's own, identities are made for its host, so that it can use them nowhere else.
        """
        organization, slug, audience = (environ.get(name, "").strip() for name in (ORGANIZATION, SERVICE, AUDIENCE))
        if not organization or not slug:
            return None
        return cls(organization, slug, audience or audience_of(api, AUDIENCES), api)


def exchange(client: Client, account: ServiceAccount, identity: Callable[[], IdToken]) -> Exchanged:
    """Exchange an identity for a token of *account*.

    Args:
        client: sends the requests; follows no redirect, and sends nothing over plain HTTP to another machine.
        account: whose token.
        identity: gives an identity for its audience.

    Raises:
        IdentityError: there is no identity.
        ExchangeError: Cloudsmith gave no token.
    """

    def body(token: IdToken) -> bytes:
        return json.dumps({"oidc_token": token.secret.reveal(), "service_slug": account.slug}).encode()

    url = f"{account.api}/openid/{quote(account.organization, safe='')}/"
    headers = {"content-type": "application/json", "accept": "application/json"}
    token = send_identity(client, url, identity, body, headers, hint=lambda *_: _hint(account)).token("token")
    return Exchanged.dated_by_itself(token)


def _hint(account: ServiceAccount) -> str:
    return (
        f"In the OpenID Connect settings of {account.organization!r} at Cloudsmith, a provider has to have the issuer "
        f"of the identity, required claims that the identity carries, and the service account {account.slug!r}."
    )
