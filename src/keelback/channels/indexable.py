"""Channels whose index keelback writes; the changes that ``keelback index`` asks for, and what they changed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from keelback.channels.base import Channel
from keelback.channels.delivery import Arrival
from keelback.options import JOBS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.patches import Instructions
    from keelback.channels.session import Session
    from keelback.findings import Finding
    from keelback.repodata import Record


class Indexable(Channel):
    """A channel whose index keelback writes.

    Attestations stand beside its archives, whatever channel they name (CEP 50).
    """

    is_named_with_host: ClassVar[bool] = False
    needs_md5: ClassVar[bool] = True
    takes_attestations: ClassVar[bool] = True
    arrival: ClassVar[Arrival] = Arrival.INDEXED

    @abstractmethod
    def index(self, changes: IndexChanges, session: Session) -> list[SubdirChange]:
        """Bring the index up to date with the files that are there, with *changes*; returns the changes by subdir.

        The channel need not be open.

        Raises:
            ChannelError: code ``no-such-package``: something is to be removed or restored that the channel does not
                have.
            KeelbackError: it did not work; the index is as it was, or as it is to be, in each subdir.
        """

    @abstractmethod
    def subdirs(self, session: Session) -> Sequence[str] | None:
        """The subdirs that there are, without opening the channel; ``None`` where they cannot be listed."""

    def require_place(self, session: Session) -> None:
        """See that the channel's place is there, after no index was found in it, without opening the channel.

        Raises:
            ChannelError: it is not.
            CredentialError, TransportError: it cannot be asked.
        """

    @abstractmethod
    def take_patches(self, patches: Mapping[str, Instructions]) -> None:
        """Patch what :meth:`finish` adds to the index with *patches*, which are by subdir."""

    @abstractmethod
    def leaves_out(self, archive: PackageArchive) -> bool:
        """Whether :meth:`finish` has left *archive* out of the index, because it was removed from that before."""


class Selection(Protocol):
    """How a person names packages: by the name of a file, or a spec."""

    @property
    def text(self) -> str:
        """As it was given."""

    def matches(self, subdir: str, filename: str, record: Record | None) -> bool:
        """Whether it means *filename*, of which there may be no *record* any more."""

    def like(self, filenames: Collection[str]) -> str:
        """What of the same package is among *filenames*, as a sentence; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class IndexChanges:
    """What is to be done to the index of a channel, besides bringing it up to date with the files that are there.

    Attributes:
        rebuild: whether every archive is read anew, and what somebody else has written into their records is lost.
        remove: what the index is not to list any more.
        restore: what it is to list again, and not as revoked.
        patches: from subdir to instructions that come to those that are there.
        delete_files: whether the files that *remove* means are deleted once the index is in force.
        dry_run: whether nothing is written.
        subdirs: those that are looked at, and noarch; all that are there, where it is empty.
        jobs: how many archives of a bucket are read at once.
    """

    rebuild: bool = False
    remove: Sequence[Selection] = ()
    restore: Sequence[Selection] = ()
    patches: Mapping[str, Instructions] = field(default_factory=dict)
    delete_files: bool = False
    dry_run: bool = False
    subdirs: Collection[str] = ()
    jobs: int = JOBS

    def within(self, subdir: str) -> IndexChanges:
        """The changes for *subdir*; none where other subdirs are named."""
        return self if not self.subdirs or subdir in self.subdirs else IndexChanges(dry_run=self.dry_run)


@dataclass(frozen=True, slots=True)
class SubdirChange:
    """What has changed in the index of a subdir, or would; each a sorted list of file names.

    Attributes:
        subdir: the subdir.
        added: what it lists now, and did not before.
        changed: what it lists with another record.
        removed: what it does not list any more, because that was asked for.
        missing: what it does not list, though it did or was to be restored: the file is gone, or is no package.
        unmatched: how many names the patches that were asked for have of which there is no package yet.
        unlisted: how many names these have of packages that are removed, though not by them.
        patched: what it lists otherwise than the archive has it.
        deleted: the files that were deleted.
        total: how many it lists.
        findings: what is wrong with the files that are no packages, and with those that could not be read. The files of
            a bucket have a relative path: ``SUBDIR/FILE``.
    """

    subdir: str
    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    removed: Sequence[str] = ()
    missing: Sequence[str] = ()
    patched: Sequence[str] = ()
    deleted: Sequence[str] = ()
    total: int = 0
    unmatched: int = 0
    unlisted: int = 0
    findings: Sequence[Finding] = ()

    def to_json(self) -> dict[str, Any]:
        """The subdir in the document of ``--json``."""
        counts = {"total": self.total, "unmatched": self.unmatched, "unlisted": self.unlisted}
        return {"subdir": self.subdir, **{name: list(getattr(self, name)) for name in _LISTS}, **counts}


_LISTS: Final = ("added", "changed", "removed", "missing", "patched", "deleted")
