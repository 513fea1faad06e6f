"""Managed identities: tokens that Azure gives to machines and apps on it.

Machines ask the Instance Metadata Service, apps a service beside them (Microsoft Entra documentation, "How to use
managed identities on an Azure VM to acquire an access token"; Azure App Service documentation, "REST endpoint
reference").
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlencode

import httpx2

from keelback.credentials.azure.entra import CLIENT, token_in, words_of
from keelback.credentials.azure.wire import RESOURCE
from keelback.credentials.confidential import LARGEST_ANSWER
from keelback.credentials.oidc.asking import replied
from keelback.errors import IdentityError
from keelback.hosts import host_of, scheme_and_host
from keelback.secret import remember
from keelback.transport import Request, is_loopback
from keelback.transport.pools import proxy_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.credentials.oidc.exchanged import Exchanged
    from keelback.transport import Client

METADATA: Final = "AZURE_POD_IDENTITY_AUTHORITY_HOST"
"""The variable of Azure's own libraries for another metadata service."""
_METADATA: Final = "http://169.254.169.254"
"""A link-local address, which only the machine itself reaches; it speaks no https."""
_ENDPOINT: Final = "IDENTITY_ENDPOINT"
_HEADER: Final = "IDENTITY_HEADER"

_ASSET_TAG: Final = Path("/sys/class/dmi/id/chassis_asset_tag")
_AZURES_TAG: Final = "7783-7084-3265-9085-8269-3286-77"
"""What the firmware of every machine on Azure says there (cloud-init, ``DataSourceAzure``)."""
_SECONDS: Final = 5.0

NAME: Final = "the managed identity"


@dataclass(frozen=True)
class ManagedIdentity:
    """Who gives the tokens.

    Attributes:
        url: of the service, with the query.
        headers: what it wants to see in a request.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def there(cls, environ: Mapping[str, str], *, wanted: bool, asset_tag: Path = _ASSET_TAG) -> Self | None:
        """The managed identity that this process has, as far as can be told without a request.

        Args:
            environ: the variables.
            wanted: whether the user wants one, so that there must be a metadata service.
            asset_tag: the file by which a machine on Azure can be told, on Linux.
        """
        query = {"resource": RESOURCE}
        client_id = environ.get(CLIENT, "").strip()
        if client_id:  # one of several, which its own identifier tells apart
            query["client_id"] = client_id
        endpoint, header = (environ.get(name, "").strip() for name in (_ENDPOINT, _HEADER))
        if endpoint and header:
            url = f"{endpoint}?{urlencode({'api-version': '2019-08-01', **query})}"
            remember(header)
            return cls(url, {"X-IDENTITY-HEADER": header})
        metadata = environ.get(METADATA, "").strip().rstrip("/")
        if not (metadata or wanted or _is_on_azure(asset_tag)):
            return None
        url = f"{metadata or _METADATA}/metadata/identity/oauth2/token"
        url = f"{url}?{urlencode({'api-version': '2018-02-01', **query})}"
        return cls(url, {"Metadata": "true"})

    def token(self, client: Client) -> Exchanged:
        """A token for Azure Storage.

        Raises:
            IdentityError: there is none.
        """
        host = host_of(self.url)
        self._check(host)
        request = Request("GET", self.url, headers=self.headers, limit=LARGEST_ANSWER)
        reply = replied(
            self.url,
            lambda: client.send(request),
            failure=lambda: "there is no token of a managed identity",
            error=IdentityError,
            source=NAME,
            seconds=_SECONDS,
        )
        if reply.answer.status != 200:
            raise reply.refusal(words_of(reply.answer), hint=_HINT)
        return token_in(reply)

    def _check(self, host: str) -> None:
        """See that what is secret in request and answer stays on this machine, or is encrypted.

        Raises:
            IdentityError: it does not.
        """
        if proxy_for(httpx2.URL(self.url)) is not None:
            raise IdentityError(
                f"there is no token of a managed identity: the request to {host} would go through a proxy",
                hint=f"Add {host} to the variable NO_PROXY.",
            )
        if scheme_and_host(self.url)[0] != "https" and not _is_near(host):
            raise IdentityError(
                f"there is no token of a managed identity: {host} would be asked over plain HTTP, where anyone on the "
                "way can read it",
                hint=f"Check {_ENDPOINT} and {METADATA}.",
                code="plain-http",
            )


_HINT: Final = (
    f"Give the machine or the app a managed identity; if it has several, name one by its client id in {CLIENT}."
)


def _is_on_azure(asset_tag: Path) -> bool:
    try:
        return asset_tag.read_text(encoding="utf-8").strip() == _AZURES_TAG
    except (OSError, UnicodeDecodeError):
        return False


def _is_near(host: str) -> bool:
    """Whether *host* is this machine, or an address that only this machine's own network reaches."""
    if is_loopback(host):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_link_local
    except ValueError:
        return False
