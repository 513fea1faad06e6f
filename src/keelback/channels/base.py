"""What a channel is, to the rest of keelback."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from keelback.channels.service import Service
from keelback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.delivery import Delivery
    from keelback.channels.exchange import Exchange
    from keelback.channels.patches import Instructions
    from keelback.channels.relay.servercopy import ServerCopy
    from keelback.channels.session import Session
    from keelback.channels.target import Target
    from keelback.errors import KeelbackError
    from keelback.listing import Listed


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
