"""What the channels of one run work with."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from keelback.credentials.oidc.providers import IdentitySource
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.errors import UsageError
from keelback.secret import Secret, as_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from keelback.credentials.oidc.exchanged import ExchangedToken
    from keelback.credentials.stores import Store
    from keelback.transport import Client


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """The credential that the user gave with the command or the call, if any.

    Attributes:
        api_key: a token; what kind of token is the channel's business.
        username, password: for servers that take those.
    """

    api_key: Secret | None = None
    username: str | None = None
    password: Secret | None = None

    @classmethod
    def of(cls, api_key: Secret | str | None, username: str | None, password: Secret | str | None) -> Self:
        """See the class; text is what a program gave."""
        return cls(as_secret(api_key, "api_key"), username, as_secret(password, "password"))

    def __bool__(self) -> bool:
        return self.api_key is not None or self.username is not None or self.password is not None

    @property
    def source(self) -> str:
        """Where it came from, for messages."""
        secret = self.api_key or self.password
        return secret.source if secret is not None and secret.source else "the given credential"

    def refuse_several(self, channels: int) -> None:
        """Raise ``UsageError`` where there is a credential, and more than one of *channels* that could get it."""
        if self and channels > 1:
            raise UsageError(
                f"{self.source} would go to {channels} channels",
                hint="Store the credential of each server: keelback auth login; or set each server's variable.",
            )


@dataclass(frozen=True, slots=True)
class BucketOptions:
    """Where a bucket is, and the keys for it, as the user gave them; ``None`` for what was left out.

    Attributes:
        endpoint_url: of the service, where it is not that of the cloud itself.
        region: of the bucket, for S3.
        addressing_style: for S3, whether the bucket is in the host (``virtual-host``) or in the path (``path``).
        access_key_id, secret_access_key, session_token: for S3.
    """

    endpoint_url: str | None = None
    region: str | None = None
    addressing_style: str | None = None
    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None


class Session:
    """What the channels of one run work with.

    Args:
        client: sends the requests.
        load_stores: opens the stores in which credentials are looked up; called when one is needed for the first time.
        given: the credential that takes precedence over all others.
        environ: where the servers' own variables are, and those of the CI system.
        trusted: when an identity of the CI system is exchanged for a token, and with whom.
        buckets: where buckets are.
        dry_run: whether nothing may be changed anywhere.

    Attributes:
        client, given, environ, trusted, buckets, dry_run: see above.
        identities: gives the identities.
        exchanged: the tokens that were exchanged for them, by server: one each.
        audiences: the host that got identities for each audience.
        kept: what was found out once for the whole run, by what it depends on.

    Raises:
        UsageError: a credential was given, and trusted publishing alone is to be used.
    """

    def __init__(
        self,
        client: Client,
        load_stores: Callable[[], Sequence[Store]],
        given: Given | None = None,
        environ: Mapping[str, str] = os.environ,
        trusted: TrustedPublishing | None = None,
        buckets: BucketOptions | None = None,
        *,
        dry_run: bool = False,
    ) -> None:
        self.client = client
        self.buckets = buckets or BucketOptions()
        self.dry_run = dry_run
        self.given = given or Given()
        self.environ = environ
        self.trusted = trusted or TrustedPublishing()
        if self.trusted.insists and self.given:
            raise UsageError(
                f"{self.given.source} cannot be combined with {self.trusted.by_option}", hint="Leave out one of them."
            )
        self.identities = IdentitySource(client, environ, self.trusted.id_token)
        self.exchanged: dict[str, ExchangedToken] = {}
        self.audiences: dict[str, str] = {}
        self.kept: dict[Hashable, Any] = {}
        self._load_stores = load_stores
        self._taken: dict[str, str] = {}

    def note_once(self, text: str) -> None:
        """Log *text*, unless this run has logged it before."""
        if ("noted", text) not in self.kept:
            self.kept["noted", text] = True
            _log.info("%s", text)

    @cached_property
    def stores(self) -> Sequence[Store]:
        """Where credentials are looked up, in this order."""
        return self._load_stores()

    def variable(self, name: str, url: str) -> Secret | None:
        """The secret in the variable *name*, for the server at *url*; ``None`` where it is unset or empty.

        Raises:
            UsageError: it has gone to another server of the same run.
        """
        value = self.environ.get(name)
        if not value:
            return None
        first = self._taken.setdefault(name, url)
        if first != url:
            raise UsageError(
                f"{name} would go to {first} and to {url}",
                hint="Keep the credentials of several servers of a kind in the auth file.",
            )
        return Secret(value, f"the variable {name}")
