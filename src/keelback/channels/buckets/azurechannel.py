"""Channels in containers of Azure Blob Storage: ``az://ACCOUNT/CONTAINER/CHANNEL``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from keelback.channels.buckets.keycheck import CheckedBucketChannel
from keelback.channels.service import Identity
from keelback.channels.session import Session
from keelback.credentials.kinds import BasicHTTP, BearerToken
from keelback.credentials.stores import Store
from keelback.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.channels.buckets.azureplace import Place
    from keelback.channels.buckets.bucket import Bucket
    from keelback.channels.service import Site
    from keelback.credentials.kinds import Credential


class AzureChannel(CheckedBucketChannel):
    """A channel in a container of Azure Blob Storage."""

    kind: ClassVar[str] = "az"
    title: ClassVar[str] = "a container of Azure Blob Storage"
    shape: ClassVar[str] = "az://ACCOUNT/CONTAINER/CHANNEL"
    takes: ClassVar[tuple[type[Credential], ...]] = (BasicHTTP, BearerToken)
    variables: ClassVar[tuple[str, ...]] = (
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_CONNECTION_STRING",
    )
    login_hint: ClassVar[str] = (
        "Run az login, or set AZURE_STORAGE_ACCOUNT, and AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; with keelback "
        "auth login az://ACCOUNT, --password - stores a key of the account, and --token - a shared access signature."
    )

    def bucket(self, session: Session) -> Bucket:
        """See :class:`BucketChannel`."""
        from keelback.channels.buckets.azure import AzureContainer  # noqa: PLC0415 - for those who have one

        return AzureContainer.of(session, self.name, self.path)

    @classmethod
    def usual_username(cls, site: Site) -> str:
        """See :class:`Service`: that of the account, which is the user of its keys."""
        return site.host.partition(".")[0]

    def _place(self, session: Session) -> Place:
        """Where the channel is; a login may be for all containers of the account, and name none."""
        from keelback.channels.buckets.azureplace import Place  # noqa: PLC0415 - for those who have one

        return Place.of(session, self.name, self.path or [_ANY])

    def stored_for(self, session: Session) -> str:
        """See :class:`CheckedBucketChannel`: one of the container, whatever is in it."""
        place = self._place(session)
        return place.container_url if self.path else place.endpoint

    def settings(self, session: Session) -> Mapping[str, str]:
        """See :class:`CheckedBucketChannel`."""
        return {"endpoint": self._place(session).endpoint}

    def opened_with(self, session: Session, credential: Credential) -> Bucket:
        """See :class:`CheckedBucketChannel`."""
        from keelback.channels.buckets.azure import AzureContainer  # noqa: PLC0415 - for those who have one
        from keelback.channels.buckets.azureaccess import find_azure  # noqa: PLC0415 - likewise

        place, store = self._place(session), _OneCredential(credential)
        alone = Session(session.client, lambda: [store], environ={})
        return AzureContainer(session.client, place, find_azure(alone, place))

    def no_credential(self, session: Session) -> CredentialError:
        """See :class:`BucketChannel`; a host that is not Azure's gets no token that was not given for it."""
        from keelback.channels.buckets.azureaccess import GIVE_ONE, no_token  # noqa: PLC0415 - for those who have one

        place = self._place(session)
        if place.takes_any_token:
            return super().no_credential(session)
        return CredentialError(f"No credential for {self.url}: {no_token(place)}", hint=GIVE_ONE)

    def ask(self, session: Session, credential: Credential) -> Identity:
        """See :class:`CheckedBucketChannel`."""
        if not self.path:
            return Identity.unknown(f"name a container to have it tried: {self.url}/CONTAINER")
        return super().ask(session, credential)


_ANY: Final = "any"
"""Stands for a container where none is named."""


class _OneCredential(Store):
    """A store that has *credential*, whatever it is asked for."""

    name = "the command line"

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def get(self, key: str) -> Credential | None:  # noqa: ARG002 - a store's signature
        return self._credential

    def keys(self) -> Sequence[str]:
        return []
