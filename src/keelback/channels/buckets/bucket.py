"""What a channel needs of a bucket: objects under keys, and writes on conditions.

Keys are relative to the channel: ``noarch/foo-1.0-0.conda``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.delivery import Delivery

SHA256: Final = "package-sha256"
MD5: Final = "package-md5"
"""The metadata under which an archive's hashes are kept, in hex: the names that rattler gives them."""


class Absent(Enum):
    """The type of :data:`ABSENT`."""

    ABSENT = "nothing is there"


ABSENT: Final = Absent.ABSENT
"""The condition that nothing is under the key."""

Condition = Absent | str | None
"""On what a write depends: :data:`ABSENT`; the version that has to be there; or nothing at all."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is there.

    Attributes:
        key: its own.
        size: in bytes.
        version: what a condition names: the ``ETag`` with its quotes, or the generation.
        modified: when it was written, in Unix seconds; ``None`` where the service did not say.
        seen: when the service said all this, by the same clock of its own; ``None`` where it did not say that.
        sha256: of its content, hex, as whoever wrote it said; ``None`` where unknown. Listings do not say.
        md5: likewise, or as the service itself knows it. In a listing of S3 it is a guess, which is wrong for what is
            encrypted with a key of its own.
    """

    key: str
    size: int
    version: str
    modified: float | None = None
    sha256: str | None = None
    md5: str | None = None
    seen: float | None = field(default=None, compare=False)

    @property
    def age(self) -> float | None:
        """For how many seconds it has been there, by the service's own clock; ``None`` where unknown."""
        return None if self.seen is None or self.modified is None else self.seen - self.modified


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is kept with an object, beside its content.

    Attributes:
        content_type, cache_control, content_disposition: the header fields with which it is served.
        metadata: names, in lower case with dashes, and values of the writer's own.
    """

    content_type: str
    cache_control: str
    content_disposition: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Changed(Exception):
    """A condition did not hold: something else is under the key than the writer said.

    Attributes:
        attempts: how often the bytes were sent.
        uncertain: whether one of these attempts may itself have changed it.
    """

    def __init__(self, attempts: int = 1, *, uncertain: bool = False) -> None:
        super().__init__("something else is there")
        self.attempts = attempts
        self.uncertain = uncertain


class Staged(ABC):
    """An archive that is ready to become visible: its bytes are with the service, or still here if they are few."""

    @abstractmethod
    def publish(self, condition: Condition) -> int:
        """Make it visible under its key, all at once; returns how often its bytes were sent.

        Raises:
            Changed: *condition* does not hold. What was sent is discarded.
            KeelbackError: it did not work; likewise.
        """

    @abstractmethod
    def discard(self) -> None:
        """Have the service discard what was sent, so that it costs nothing; works when the run is stopped, too.

        Failures are logged, not raised: :meth:`Bucket.sweep` finds what is left. Where a service has no request for
        it, what was sent stays, invisible, until the service discards it: for up to a week at Azure.
        """


class Bucket(ABC):
    """A bucket, or a place in one, with the credential for it.

    Attributes:
        url: of the channel, for messages: ``s3://bucket/channel``, without a slash at its end.
        reading_url: ``https`` URL under which the objects are read: ``reading_url/noarch/foo-1.0-0.conda``.
        conditional: whether the service honours conditions; known after :meth:`probe`.
    """

    url: str
    reading_url: str
    conditional: bool = True

    @abstractmethod
    def access(self) -> Access | None:
        """The credential of all requests, which is good for reading, too; ``None`` where there is none."""

    def locate(self) -> None:  # noqa: B027 - for those that need a request to tell
        """Find out :attr:`reading_url`, where that takes a request; does nothing by default."""

    @abstractmethod
    def probe(self) -> None:
        """See that the bucket is there and can be written, and whether it honours conditions.

        Raises:
            CredentialError: the credential is refused.
            Forbidden: it may not write.
            ChannelError, ServerError: there is no such bucket; or it is elsewhere, or not usable.
        """

    @abstractmethod
    def stat(self, key: str) -> Stored | None:
        """What is under *key*, with its metadata; ``None`` where there is nothing."""

    @abstractmethod
    def read(self, key: str, *, limit: int) -> tuple[bytes, Stored] | None:
        """The content under *key*, of at most *limit* bytes, and what it is; ``None`` where there is nothing.

        Raises:
            TransportError: it is larger.
        """

    @abstractmethod
    def write(self, key: str, content: bytes, attributes: Attributes, condition: Condition = None) -> str:
        """Put *content* under *key*, where *condition* holds; returns its version.

        Raises:
            Changed: it does not hold.
        """

    @abstractmethod
    def stage(
        self, key: str, archive: PackageArchive, attributes: Attributes, delivery: Delivery, *, ahead: bool
    ) -> Staged:
        """Get *archive* ready to be published under *key*.

        Args:
            key: where to.
            archive: what.
            attributes: kept with it.
            delivery: told how far it is.
            ahead: whether all of its bytes go out now, however few; for what is to become visible with other things.

        Raises:
            SourceChanged: the archive is no longer what it was; nothing of it is left with the service.
        """

    @abstractmethod
    def list(self, prefix: str = "", *, folder: bool = False) -> Iterator[Stored]:
        """The objects whose keys begin with *prefix*; with *folder*, those without a further slash in their key."""

    @abstractmethod
    def prefixes(self) -> Sequence[str]:
        """The names before the first slash in the keys: the subdirs, and what else looks like one."""

    @abstractmethod
    def delete(self, key: str, version: str | None = None) -> None:
        """Delete what is under *key*; a success where nothing is there.

        Args:
            key: of the object.
            version: only if it is still this one, as far as the service honours conditions for that; otherwise
                whatever is there.

        Raises:
            Changed: another version is there.
        """

    def sweep(self) -> int:
        """Have the service discard uploads that dead runs left unfinished; returns how many.

        A run is dead if nothing of its upload came for a day. Failures are logged, not raised. Does nothing by default:
        some services discard such uploads by themselves.
        """
        return 0
