"""What a channel is, to the rest of keelback."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from keelback.channels.service import Service
from keelback.credentials.oidc.providers import IdentitySource
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.errors import Interrupted, UsageError
from keelback.secret import Secret

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.exchange import Exchange
    from keelback.channels.patches import Instructions
    from keelback.channels.relay.servercopy import ServerCopy
    from keelback.channels.target import Target
    from keelback.credentials.oidc.exchanged import ExchangedToken
    from keelback.credentials.stores import Store
    from keelback.errors import KeelbackError
    from keelback.listing import Listed
    from keelback.report import Reporter
    from keelback.transport import Client


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

    def __bool__(self) -> bool:
        return self.api_key is not None or self.username is not None or self.password is not None

    @property
    def source(self) -> str:
        """Where it came from, for messages."""
        secret = self.api_key or self.password
        return secret.source if secret is not None and secret.source else "the given credential"


@dataclass(frozen=True, slots=True)
class BucketOptions:
    """What the user said of where a bucket is, and with which keys it is spoken to; ``None`` for what was left out.

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


class Refusal(Exception):
    """The channel has a file of that name already, and keeps it.

    Attributes:
        attempts: how often the bytes were sent until the channel said so.
        uncertain: whether one of these attempts may itself have put the file there.
    """

    def __init__(self, attempts: int = 1, *, uncertain: bool = False) -> None:
        super().__init__("the channel has a file of that name")
        self.attempts = attempts
        self.uncertain = uncertain


class Delivery:
    """One archive on its way: what a channel tells about it while it goes out.

    Args:
        archive: what is sent.
        reporter: who is told.
        stop: set when the user has stopped the run.
        attestation: the bundle that goes with it, in JSON; only to channels that take one.
    """

    def __init__(
        self,
        archive: PackageArchive,
        reporter: Reporter,
        stop: threading.Event | None = None,
        attestation: bytes | None = None,
    ) -> None:
        self.archive = archive
        self.attestation = attestation
        self._reporter = reporter
        self._stop = stop
        self._begun = False

    def sent(self, count: int) -> None:
        """*count* more bytes are out; raises :class:`~keelback.errors.Interrupted` where that is enough."""
        if self._stop is not None and self._stop.is_set():
            raise Interrupted("stopped while it was being sent")
        if not self._begun:
            self._begun = True
            self._reporter.started(self.archive)
        self._reporter.sent(self.archive, count)

    def retried(self, seconds: float, why: str) -> None:
        """It is tried again in *seconds*, because of *why*."""
        self._begun = False
        self._reporter.waiting(self.archive, seconds, why)


class Channel(Service):
    """A place that takes archives and serves them, and what is known of its kind of server.

    A run goes: :meth:`open`, :meth:`examine`, :meth:`begin`; :meth:`find` and :meth:`announce` from many threads at
    once; :meth:`send` from several; :meth:`finish`, :meth:`rejected`, :meth:`close`.

    Attributes:
        takes_credential: whether there is anything to log in to.
        needs_md5: whether the MD5 of an archive is asked for, which takes longer than its SHA-256.
        needs_file: whether :meth:`announce` or :meth:`send` wants what only the archive itself says, or reads it in
            any other order than from its first byte on, so that all of it is needed here.
        takes_copies: whether archives may be sent whose bytes are not here, but in another channel.
        overwrites: whether the server replaces a file without a word, so that nothing may be sent before :meth:`find`
            has worked.
        takes_attestations: whether :meth:`send` passes on the attestation of a delivery.
        is_named_with_host: whether ``KIND+https://HOST/...`` names one, and not, as for buckets, ``KIND://NAME/...``.
        indexes_itself: whether :meth:`finish` writes the index, before which nothing has arrived for readers.
        decides_last: whether what becomes of an archive shows only in :meth:`finish`, and is told then.
        keeps_sidecars: whether attestations stand beside the archives, whatever channel they name (CEP 50).
        serves_attestations: whether the server has attestations that the index does not name.
        url: the channel's public URL, for messages and JSON; never holds a secret.
    """

    takes_credential: ClassVar[bool] = True
    needs_md5: ClassVar[bool] = False
    needs_file: ClassVar[bool] = False
    takes_copies: ClassVar[bool] = True
    overwrites: ClassVar[bool] = False
    takes_attestations: ClassVar[bool] = False
    is_named_with_host: ClassVar[bool] = True
    indexes_itself: ClassVar[bool] = False
    decides_last: ClassVar[bool] = False
    keeps_sidecars: ClassVar[bool] = False
    serves_attestations: ClassVar[bool] = False
    url: str

    @classmethod
    @abstractmethod
    def from_target(cls, target: Target) -> Channel | None:
        """The channel that *target* names, or ``None`` if this class does not handle it.

        Raises:
            UsageError: it is, but names no channel.
        """

    @property
    def reading_url(self) -> str:
        """Under which URL readers find the channel's subdirs; :attr:`url`, unless the server reads elsewhere."""
        return self.url

    def given_access(self, session: Session) -> Access | None:  # noqa: ARG002 - for the channels that look at it
        """The credential given with the command or by the server's own variables, before any store; ``None`` for none.

        Raises:
            UsageError: what was given does not go together, or is not for this server.
            CredentialError: it cannot be one.
        """
        return None

    def exchange(self, session: Session) -> Exchange | None:  # noqa: ARG002 - for the channels that do
        """How the server exchanges identities of CI systems for tokens; ``None`` where it does not."""
        return None

    @property
    def wants_endpoint(self) -> bool:
        """Whether it can be said apart from the URL where the service is, as for buckets."""
        return False

    def subdirs(self, session: Session) -> Sequence[str] | None:  # noqa: ARG002 - for the channels that know
        """The subdirs that there are, where that takes a request or none; ``None`` where it cannot be told so."""
        return None

    def readable(self, session: Session) -> tuple[str, Access | None] | None:  # noqa: ARG002 - for the channels that say
        """The URL under which the subdirs are read, and the credential for it, where the session has a say in that.

        ``None`` where it is :attr:`reading_url`, with the credential of its host.

        Raises:
            UsageError, CredentialError: the session says what cannot be.
        """
        return None

    @abstractmethod
    def open(self, session: Session) -> None:
        """Find the credential and check what can be checked before anything is sent.

        Raises:
            CredentialError: there is no credential, or none of a kind that this server takes.
            ChannelError: the channel does not exist, or cannot be written.
        """

    def expect_attestations(self) -> None:
        """See that the channel, once opened, will take attestations.

        Raises:
            UsageError: its kind of server takes none.
            CredentialError: it does not with this credential.
        """
        if not self.takes_attestations:
            raise UsageError(
                f"{self.url} takes no attestations",
                hint="Keep them with --attestation-dir DIR, or store them with GitHub: --store-github-attestation.",
            )

    def asks_first(self, archive: PackageArchive) -> bool:  # noqa: ARG002 - for the channels that look at it
        """Whether :meth:`find` is to be asked before *archive* is sent."""
        return True

    @abstractmethod
    def find(self, archive: PackageArchive) -> Listed | None:
        """What the channel has under the name of *archive*, or ``None`` where it has nothing, as far as it can say.

        Where that comes from an index, it may be as old as the last :meth:`refresh`.
        """

    def announce(self, archive: PackageArchive) -> None:
        """Do what has to be done before *archive* is sent, as far as that takes small requests; nothing by default.

        It is called for every archive that is going to be sent; where :meth:`find` came first, right after that.
        """

    @abstractmethod
    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """Put *archive* into the channel, and return how often its bytes were sent until it had them.

        Args:
            archive: what to send.
            overwrite: whether a file of that name is replaced.
            delivery: told what happens meanwhile.

        Raises:
            Refusal: the channel has a file of that name, and *overwrite* is false.
            KeelbackError: it did not work.
        """

    def keep(self, archive: PackageArchive) -> None:
        """The channel has the bytes of *archive* already: see that they are where they should be; nothing by default.

        Raises:
            KeelbackError: they could not be put there.
        """

    def leaves_out(self, archive: PackageArchive) -> bool:  # noqa: ARG002 - for the channels that do
        """Whether :meth:`finish` has left *archive*, though it is there, out of the index, as a person wants it."""
        return False

    def take_patches(self, patches: Mapping[str, Instructions]) -> bool:  # noqa: ARG002 - for the channels that do
        """Have what comes into the index patched so, by subdir; whether the channel keeps patches at all."""
        return False

    def url_of(self, archive: PackageArchive) -> str:
        """Where readers of the channel get *archive*."""
        return f"{self.url}/{archive.relative_path}"

    def examine(self, archives: Sequence[PackageArchive]) -> None:
        """Check what this channel asks of *archives* beyond what all do, in a dry run, too; nothing by default.

        Raises:
            ArchiveError: one of them cannot go there, so that none is sent.
        """

    def begin(self, archives: Sequence[PackageArchive]) -> None:
        """Do what is to be done once before *archives* are sent; nothing by default."""

    def finish(self) -> None:
        """Do what is to be done once after the last archive, whatever became of them; nothing by default."""

    def foreseen(self, archives: Sequence[PackageArchive]) -> Sequence[str]:  # noqa: ARG002 - for those that do more
        """What :meth:`finish` would do once *archives* are sent, for a dry run, a line each; nothing by default."""
        return ()

    def rejected(self) -> Mapping[str, KeelbackError]:
        """By relative path, why the channel refused archives in :meth:`finish` that it had taken before."""
        return {}

    def close(self) -> None:
        """Give back what :meth:`open` or :meth:`begin` took, whatever became of the run; nothing by default."""

    @abstractmethod
    def listed(self, archive: PackageArchive) -> Listed | None:
        """What the channel's own index says of *archive* to its readers; ``None`` where it has no such file."""

    def copier(self, source: Channel) -> ServerCopy | None:  # noqa: ARG002 - for the servers that can
        """What has the server itself copy archives from *source*, which is on it, too; ``None`` where it cannot."""
        return None

    def refresh(self) -> None:
        """Read the index afresh at the next :meth:`find` or :meth:`listed`; nothing where it is never kept."""

    def check_credential(self) -> None:
        """Ask the server whether it takes the credential, where there is a cheap way; nothing by default.

        Raises:
            CredentialRefused: it does not.
        """
