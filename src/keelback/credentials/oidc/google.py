"""Identities from Google Cloud: of the machine's service account, or of another one that it may act as.

(Google Cloud documentation, "Get an ID token" and "About VM metadata"; IAM Service Account Credentials API,
``projects.serviceAccounts.generateIdToken``.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote, urlencode

import httpx2

from keelback.credentials.confidential import LARGEST_ANSWER, Confidential
from keelback.credentials.kinds import BearerToken
from keelback.credentials.oidc.asking import SECONDS, SECONDS_IN_ALL, Reply, ask
from keelback.credentials.oidc.providers import Provider
from keelback.errors import IdentityError
from keelback.hosts import host_of
from keelback.secret import Secret, announce
from keelback.transport import Request
from keelback.transport.pools import proxy_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.transport import Client

_METADATA: Final = "http://metadata.google.internal"
"""On a link-local address, which only the machine itself reaches; it speaks no https."""
_IAM: Final = "https://iamcredentials.googleapis.com"
_ACCOUNT: Final = "GOOGLE_SERVICE_ACCOUNT_NAME"
_PRODUCTS: Final = frozenset({"Google", "Google Compute Engine"})
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


class Google(Provider):
    """Google Cloud: its machines, and its builds on them.

    Args:
        metadata: the origin of the metadata server.
        iam: the origin of the IAM Service Account Credentials API.
        product_name: the file in which Linux has the name of the machine's product.
        seconds: how long the metadata server may take, and one attempt at IAM.
        seconds_in_all: how long all attempts at IAM together may take.
    """

    name: ClassVar[str] = "Google Cloud"

    def __init__(
        self,
        *,
        metadata: str = _METADATA,
        iam: str = _IAM,
        product_name: Path = Path("/sys/class/dmi/id/product_name"),
        seconds: float = SECONDS,
        seconds_in_all: float = SECONDS_IN_ALL,
    ) -> None:
        self._metadata = metadata
        self._iam = iam
        self._product_name = product_name
        self._seconds = seconds
        self._seconds_in_all = seconds_in_all

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """See :class:`Provider`."""
        if _account_in(environ):
            return True
        try:
            return self._product_name.read_text(encoding="utf-8").strip() in _PRODUCTS
        except (OSError, UnicodeDecodeError):
            return False

    def id_token(self, audience: str, environ: Mapping[str, str], client: Client) -> Secret:
        """See :class:`Provider`; a new one each time, or one of a few minutes ago."""
        account = _account_in(environ)
        if account:
            return self._token_of(account, audience, client)
        reply = self._ask_metadata(client, "identity", audience=audience, format="full")
        text = reply.answer.text.strip()
        if not text.isascii() or text.count(".") != 2 or " " in text:
            raise reply.foreign("what is not an ID token")
        return Secret(text, self.name)

    def _token_of(self, account: str, audience: str, client: Client) -> Secret:
        """An ID token of the service account *account*, as which the machine's own acts."""
        own = announce(self._ask_metadata(client, "token", scopes=_SCOPE).token("access_token"))
        request = Request(
            "POST",
            f"{self._iam}/v1/projects/-/serviceAccounts/{quote(account, safe='@')}:generateIdToken",
            auth=Confidential(self._seconds, BearerToken(own)),
            headers={"content-type": "application/json", "accept": "application/json"},
            body=json.dumps({"audience": audience, "includeEmail": True}).encode(),
            limit=LARGEST_ANSWER,
        )
        hint = (
            f"Give the machine's service account the role roles/iam.serviceAccountOpenIdTokenCreator on {account}, "
            f"which {_ACCOUNT} names."
        )
        return ask(client, request, provider=self.name, hint=hint, seconds=self._seconds_in_all).token("token")

    def _ask_metadata(self, client: Client, what: str, **query: str) -> Reply:
        """What the metadata server answers; the request holds no secret, so that it may go over plain HTTP."""
        url = f"{self._metadata}/computeMetadata/v1/instance/service-accounts/default/{what}?{urlencode(query)}"
        host = host_of(url)
        if proxy_for(httpx2.URL(url)) is not None:
            raise IdentityError(
                f"Google Cloud gave no identity: the request to {host} would go through a proxy",
                hint=f"Add {host} to the variable NO_PROXY.",
            )
        request = Request("GET", url, headers={"Metadata-Flavor": "Google"}, limit=LARGEST_ANSWER)
        hint = "Give the machine a service account."
        reply = ask(client, request, provider=self.name, hint=hint, seconds=self._seconds)
        if reply.answer.headers.get("metadata-flavor") != "Google":  # as it says of itself in every answer
            raise IdentityError(
                f"Google Cloud gave no identity: what answers as {host} is not the metadata server",
                hint=f"Run this on a machine of Google Cloud; elsewhere, unset {_ACCOUNT}.",
            )
        return reply


def _account_in(environ: Mapping[str, str]) -> str:
    return environ.get(_ACCOUNT, "").strip()
