"""What a channel is, to the rest of keelback."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from keelback.channels.delivery import Arrival
from keelback.channels.service import Service
from keelback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.delivery import Delivery
    from keelback.channels.exchange import Exchange
    from keelback.channels.relay.servercopy import ServerCopy
    from keelback.channels.session import Session
    from keelback.channels.target import Target
    from keelback.errors import KeelbackError
    from keelback.listing import Listed


class Channel(Service):
    """A place that takes archives and serves them, and what is known of its kind of server.

    A run calls, in this order:

    1. :meth:`server_copy` and :meth:`reading_access`, if it is a copy.
    2. :meth:`open`; then :meth:`expect_attestations`, if the archives are attested.
    3. :meth:`examine`, then :meth:`begin`; in a dry run, :meth:`check_credential` in the place of :meth:`begin`.
    4. For each archive, from many threads at once: :meth:`asks_first`, :meth:`find`, :meth:`announce`; then, from
       several, :meth:`send`, or :meth:`keep` where the channel has these bytes already. After a refusal, :meth:`find`
       again, with :meth:`refresh` before each further time. A dry run calls :meth:`find` alone.
    5. :meth:`finish`, then :meth:`rejected`, unless the user has stopped it; in a dry run, :meth:`foreseen` instead.
    6. If it waits until readers see the archives: :meth:`refresh`, :meth:`listed` from many threads at once, and
       :meth:`rejected`, again and again.
    7. :meth:`close`, whatever became of the run.
    8. If it failed before :meth:`finish` was through, and :attr:`arrival` is not ``SENT``: :meth:`refresh` and
       :meth:`listed`, to see what was in the index before.

    It calls :meth:`url_of` at any time after :meth:`open`.

    Attributes:
        takes_credential: whether there is anything to log in to.
        needs_md5: whether the MD5 of an archive is asked for, which takes longer than its SHA-256.
        needs_file: whether :meth:`announce` or :meth:`send` wants what only the archive itself says, or reads it in
            any other order than from its first byte on, so that all of it is needed here.
        overwrites: whether the server silently replaces a file, so that nothing may be sent before :meth:`find`
            has worked.
        takes_attestations: whether :meth:`send` passes on the attestation of a delivery.
        is_named_with_host: whether ``KIND+https://HOST/...`` names one, and not, as for buckets, ``KIND://NAME/...``.
        arrival: when an archive that was sent has arrived.
        serves_attestations: whether the server has attestations that the index does not name.
        url: the channel's public URL, for messages and JSON; never holds a secret.
    """

    takes_credential: ClassVar[bool] = True
    needs_md5: ClassVar[bool] = False
    needs_file: ClassVar[bool] = False
    overwrites: ClassVar[bool] = False
    takes_attestations: ClassVar[bool] = False
    is_named_with_host: ClassVar[bool] = True
    arrival: ClassVar[Arrival] = Arrival.SENT
    serves_attestations: ClassVar[bool] = False
    url: str

    @classmethod
    @abstractmethod
    def from_target(cls, target: Target) -> Channel | None:
        """The channel that *target* names, or ``None`` if this class does not handle it.

        Raises:
            UsageError: it is for this class, but names no channel.
        """

    @property
    def reading_url(self) -> str:
        """The URL under which readers find the channel's subdirs; :attr:`url`, unless the server has another one."""
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

    def reading_access(self, session: Session) -> tuple[str, Access | None] | None:  # noqa: ARG002 - for those that say
        """The URL under which the subdirs are read, and the credential for it, if these depend on the session.

        ``None`` where it is :attr:`reading_url`, with the credential of its host. It may be called before :meth:`open`.

        Raises:
            UsageError, CredentialError: the session says what cannot be.
        """
        return None

    def server_copy(self, source: Channel | None) -> ServerCopy | None:  # noqa: ARG002 - for the servers that can
        """Copies archives from *source* inside the server, if that is on the same one; ``None`` where it cannot.

        Args:
            source: not opened; ``None`` where it is of no known kind.

        Raises:
            UsageError: nothing can be copied into this channel, wherever it comes from.
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
        """Check that the channel, which is open, takes attestations.

        Raises:
            UsageError: its kind of server takes none.
            CredentialError: it does not with this credential.
        """
        if not self.takes_attestations:
            raise UsageError(
                f"{self.url} takes no attestations",
                hint="Keep them with --attestation-dir DIR, or store them with GitHub: --store-github-attestation.",
            )

    def examine(self, archives: Sequence[PackageArchive]) -> None:
        """Check what this channel demands of *archives* beyond what all channels do; nothing by default.

        Raises:
            ArchiveError: one of them cannot go there, so that none is sent.
        """

    def check_credential(self) -> None:
        """Ask the server whether it takes the credential, where there is a cheap way; nothing by default.

        Raises:
            CredentialRefused: it does not.
        """

    def begin(self, archives: Sequence[PackageArchive]) -> None:
        """Do what is to be done once before *archives* are sent; nothing by default."""

    def asks_first(self, archive: PackageArchive) -> bool:  # noqa: ARG002 - for the channels that look at it
        """Whether :meth:`find` is to be asked before *archive* is sent."""
        return True

    @abstractmethod
    def find(self, archive: PackageArchive) -> Listed | None:
        """What the channel has under the name of *archive*, or ``None`` where it has nothing, as far as it can say.

        Where that comes from an index, it may be as old as the last :meth:`refresh`.
        """

    def announce(self, archive: PackageArchive) -> None:
        """Do what has to be done before *archive* is sent, with small requests only; nothing by default.

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
        """The channel has the bytes of *archive* already: put them where they should be; nothing by default.

        Raises:
            KeelbackError: they could not be put there.
        """

    def url_of(self, archive: PackageArchive) -> str:
        """Where readers of the channel get *archive*."""
        return f"{self.url}/{archive.relative_path}"

    def finish(self) -> None:
        """Do what is to be done once after the last archive, whatever became of each; nothing by default.

        Raises:
            KeelbackError: it did not work; what has not arrived by then is told as failed.
        """

    def foreseen(self, archives: Sequence[PackageArchive]) -> Sequence[str]:  # noqa: ARG002 - for those that do more
        """What :meth:`finish` would do once *archives* are sent, for a dry run, a line each; nothing by default."""
        return ()

    def rejected(self) -> Mapping[str, KeelbackError]:
        """By relative path, why the channel refused archives that it had taken before, as far as is known by now.

        That shows in :meth:`finish`, or where the server takes its time, in :meth:`listed`.
        """
        return {}

    def refresh(self) -> None:
        """Forget the index, so that the next :meth:`find` or :meth:`listed` reads it again."""

    @abstractmethod
    def listed(self, archive: PackageArchive) -> Listed | None:
        """What the channel's own index says of *archive* to its readers; ``None`` where it has no such file.

        It may be as old as the last :meth:`refresh`.

        Raises:
            KeelbackError: the index cannot be read, or the channel has refused *archive* since.
        """

    def close(self) -> None:
        """Give back what :meth:`open` or :meth:`begin` took, whatever became of the run; nothing by default."""
