"""Asks a bucket whether it takes a credential, before anything is published with that."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from keelback.channels.buckets.channel import BucketChannel
from keelback.channels.registry import KINDS, channel_class, target_of
from keelback.channels.service import Identity, Site
from keelback.channels.session import Session
from keelback.credentials.keys import keys_for
from keelback.credentials.lookup import in_no_store
from keelback.errors import ChannelError, CredentialError, CredentialRefused, Forbidden, UsageError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from keelback.archive import PackageArchive
    from keelback.channels.buckets.bucket import Bucket
    from keelback.credentials.kinds import Credential
    from keelback.transport import Client


class CheckedBucketChannel(BucketChannel):
    """A channel in a bucket that can be asked about a credential, which is in no store yet."""

    bucket_options: ClassVar[frozenset[str]] = frozenset({"endpoint_url"})

    @classmethod
    def named(cls, url: str) -> Self:
        """The channel at *url*.

        Raises:
            UsageError: it is none of this kind.
        """
        channel = cls.from_target(target_of(url))
        if channel is None:
            raise UsageError(f"{redact(url)} is not in {cls.title}", hint=f"Write it like {cls.kind}://...")
        return channel

    @abstractmethod
    def stored_for(self, session: Session) -> str:
        """The URL for which a credential is looked up in the stores.

        Raises:
            UsageError: what the session says of the bucket is invalid.
        """

    @abstractmethod
    def settings(self, session: Session) -> Mapping[str, str]:
        """Where the bucket is, by all that the session says: ``endpoint``, and what else counts for its service.

        Raises:
            UsageError: something of that is invalid.
            CredentialFileError: a file with settings cannot be read.
        """

    def configuration(self, session: Session) -> str:  # noqa: ARG002 - for those that have one
        """How to say once for all where the bucket is, as the session has it, as a clause; empty for no way."""
        return ""

    @abstractmethod
    def opened_with(self, session: Session, credential: Credential) -> Bucket:
        """The bucket, used with *credential* and no other; raises as :meth:`bucket`."""

    def no_credential(self, session: Session) -> CredentialError:
        """See :class:`BucketChannel`."""
        return CredentialError(
            f"No credential for {self.url}: {in_no_store(self.keys_for(session), session.stores)}, and there is none "
            "in the variables and files of its cloud's own tools, or of this machine.",
            hint=f"{self.how_to_log_in} To see where it was looked: keelback auth check {self.url}.",
        )

    @property
    def how_to_log_in(self) -> str:
        """How to give a credential for this bucket, as sentences."""
        return re.sub(r"://(?:BUCKET|ACCOUNT)", f"://{self.name}", self.login_hint)

    def keys_for(self, session: Session) -> list[str]:
        """The keys under which the stores may have a credential, the first to look at first."""
        return keys_for(self.stored_for(session))

    def foreseen(self, archives: Sequence[PackageArchive]) -> Sequence[str]:  # noqa: ARG002 - whatever they are
        """See :class:`Channel`: what a dry run cannot know, since only writing shows it."""
        return [f"{self.url}: whether it may be written was not tried (dry run)"]

    def ask(self, session: Session, credential: Credential) -> Identity:
        """What the bucket says to *credential*; raises as :func:`check_keys` and :meth:`opened_with`."""
        return check_keys(self.opened_with(session, credential))

    @classmethod
    def whoami(cls, client: Client, site: Site, credential: Credential, environ: Mapping[str, str]) -> Identity:
        """Ask for the first of the bucket's objects, since no service says whose a credential is."""
        return cls.named(site.text).ask(Session(client, list, environ=environ), credential)


def bucket_channel(place: str) -> CheckedBucketChannel | None:
    """The channel that *place*, a host or a URL, names in a bucket; ``None`` where it names something else.

    Raises:
        UsageError: it names a bucket, and no valid one.
    """
    kind = Site.of(place).kind
    found = channel_class(kind) if kind in KINDS else None
    return found.named(place) if found is not None and issubclass(found, CheckedBucketChannel) else None


def check_keys(bucket: Bucket) -> Identity:
    """Ask for the first of the bucket's objects: a refusal tells bad credentials from those that may not list.

    Args:
        bucket: with the keys to ask about.

    Returns:
        ``valid`` where the objects are listed, not ``valid`` where the keys are refused; unknown where the service
        knows the keys and does not let them list, and where what is asked is no such service.

    Raises:
        TransportError: no answer came.
        ChannelError: code ``not-found``: there is no such bucket.
        CredentialError: the credential cannot be used, so that it was not sent.
    """
    try:
        see_first(bucket)
    except CredentialRefused as error:
        return Identity(valid=False, said=error.message)
    except Forbidden:
        return Identity.unknown(
            f"{bucket.url} does not let these credentials list it; what they permit shows when they are used"
        )
    except ChannelError as error:
        if error.code == "not-found":
            raise
        return Identity.unknown(error.message)
    return Identity(valid=True)


def see_first(bucket: Bucket) -> None:
    """Ask for the first of the objects of *bucket*, whatever it is; there need not be any.

    Raises:
        KeelbackError: it cannot be seen. The error says why, and what to do.
    """
    next(iter(bucket.list()), None)
