"""Where a channel in Azure Blob Storage is: the account, its endpoint, the container, and the path in that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

from keelback.channels.buckets.listings import checked_key
from keelback.channels.target import check_server
from keelback.credentials.azure.connection import Connection
from keelback.errors import UsageError
from keelback.hosts import host_of
from keelback.transport import is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.channels.session import Session

ENDPOINT: Final = "AZURE_STORAGE_BLOB_ENDPOINT"

_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
"""("Naming and referencing containers, blobs, and metadata".)"""
_CLOUDS: Final = re.compile(
    r"[a-z0-9]{3,24}\.(?:blob\.core\.(?:windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)|z[0-9]{1,2}\.blob\.storage\.azure\.net)"
)
"""The hosts of Azure's own clouds ("Storage account endpoints"). A token of Entra ID is good for everything that its
owner may do with any account: none goes by itself to any other host, whoever names that as the endpoint."""
_SAFE: Final = "/~"
"""What Azure's own libraries leave as it is in the path of a blob: signatures are made over the path as it is sent."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place for a channel.

    Attributes:
        account: the name of the storage account.
        container: the name of the container.
        prefix: the path in it, without slashes at its ends; may be empty.
        endpoint: the URL of the account's Blob Storage, without a slash at its end.
    """

    account: str
    container: str
    prefix: str
    endpoint: str

    @classmethod
    def of(cls, session: Session, account: str, segments: Sequence[str]) -> Self:
        """The place that ``az://ACCOUNT/CONTAINER/PATH`` names.

        The endpoint is that of ``--endpoint-url``, of ``AZURE_STORAGE_BLOB_ENDPOINT``, of the connection string in
        ``AZURE_STORAGE_CONNECTION_STRING`` if that is for this account, or that of Azure's public cloud.

        Args:
            session: where an endpoint may be named.
            account: the name of the account; or its host, as in other clouds: ``acme.blob.core.usgovcloudapi.net``.
            segments: the container, and the path in it.

        Raises:
            UsageError: one of them is missing or invalid.
        """
        name, dot, _ = account.partition(".")
        if dot and not _CLOUDS.fullmatch(account):
            raise UsageError(
                f"{account} is not a host of Azure Blob Storage",
                hint="Write az://ACCOUNT/CONTAINER/CHANNEL, and give another endpoint with --endpoint-url URL.",
            )
        if not _ACCOUNT.fullmatch(name):
            raise UsageError(
                f"{name!r} is not the name of a storage account",
                hint="Names have 3 to 24 lower-case letters and digits.",
            )
        if not segments:
            raise UsageError(f"az://{account} names no container", hint="Write it like az://ACCOUNT/CONTAINER/CHANNEL.")
        container = segments[0]
        if not _CONTAINER.fullmatch(container):
            raise UsageError(
                f"{container!r} is not the name of a container",
                hint="Names have 3 to 63 lower-case letters, digits and single hyphens.",
            )
        endpoint = f"https://{account}" if dot else _endpoint(session, name)
        return cls(name, container, "/".join(segments[1:]), endpoint)

    @property
    def takes_any_token(self) -> bool:
        """Whether tokens of Entra ID may be sent to the endpoint although nobody gave them for it."""
        host = host_of(self.endpoint)
        return is_loopback(host) or (self.endpoint.startswith("https:") and _CLOUDS.fullmatch(host) is not None)

    @property
    def url(self) -> str:
        """The channel's own, for messages: ``az://ACCOUNT/CONTAINER/PATH``."""
        return "/".join(filter(None, (f"az://{self.account}", self.container, self.prefix)))

    @property
    def container_url(self) -> str:
        """Where the container is."""
        return f"{self.endpoint}/{self.container}"

    @property
    def reading_url(self) -> str:
        """Where the channel's objects are."""
        return "/".join(filter(None, (self.container_url, quote(self.prefix, safe=_SAFE))))

    def key(self, name: str) -> str:
        """The key in the container of what the channel calls *name*."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def blob_url(self, name: str) -> str:
        """Where the blob is that the channel calls *name*.

        Raises:
            ChannelError: it is a name that could be taken for another one.
        """
        return f"{self.container_url}/{quote(checked_key(self.key(name)), safe=_SAFE)}"


def _endpoint(session: Session, account: str) -> str:
    if session.buckets.endpoint_url:
        return check_server(session.buckets.endpoint_url, "--endpoint-url")
    named = session.environ.get(ENDPOINT, "").strip()
    if named:
        return check_server(named, ENDPOINT)
    connection = Connection.named_in(session.environ)
    if connection is not None and connection.account == account:
        return check_server(connection.blob_endpoint, "the endpoint in AZURE_STORAGE_CONNECTION_STRING")
    return f"https://{account}.blob.core.windows.net"
