"""What ``keelback index`` asks of a channel that keelback indexes itself, and what it hears of it.

::

    class SomeChannel(Channel):
        def index(self, changes: IndexChanges, session: Session) -> list[SubdirChange]: ...

For each subdir, such a channel reads what is there (:func:`~keelback.channels.patches.sources_of`), applies
:func:`restore`, brings the records up to the files, and applies :func:`patch_and_remove`. Then it has
:func:`require_found` see that everything was found, writes the index, and deletes what is :func:`deletable`. What has
changed, :func:`change_of` says.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from keelback.errors import UsageError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from keelback.channels.patches import Instructions, Sources
    from keelback.channels.session import Session
    from keelback.findings import Finding
    from keelback.repodata import Record, Repodata


logger = logging.getLogger(__name__)


class Selection(Protocol):
    """What a person names packages with: the name of a file, or a spec."""

    @property
    def text(self) -> str:
        """As it was given."""

    def matches(self, subdir: str, filename: str, record: Record | None) -> bool:
        """Whether it means *filename*, of which there may be no *record* any more."""


@dataclass(frozen=True, slots=True)
class IndexChanges:
    """What is to be done to the index of a channel, besides bringing it up to the files that are there.

    Attributes:
        rebuild: whether every archive is read anew, and what somebody else has written into their records is lost.
        remove: what the index is not to list any more.
        restore: what it is to list again, and not as revoked.
        patches: from subdir to instructions that come to those that are there.
        delete_files: whether the files that *remove* means are deleted once the index is in force.
        dry_run: whether nothing is written.
        subdirs: those that are looked at; all that are there, where it is empty.
    """

    rebuild: bool = False
    remove: Sequence[Selection] = ()
    restore: Sequence[Selection] = ()
    patches: Mapping[str, Instructions] = field(default_factory=dict)
    delete_files: bool = False
    dry_run: bool = False
    subdirs: Collection[str] = ()


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
    findings: Sequence[Finding] = ()

    def to_json(self) -> dict[str, Any]:
        """What the document of ``--json`` says of the subdir."""
        counts = {"total": self.total, "unmatched": self.unmatched}
        return {"subdir": self.subdir, **{name: list(getattr(self, name)) for name in _LISTS}, **counts}


_SHOWN: Final = 8
"""How many files a message names."""

_LISTS: Final = ("added", "changed", "removed", "missing", "patched", "deleted")


@runtime_checkable
class Indexable(Protocol):
    """A channel whose index keelback writes."""

    url: str

    def index(self, changes: IndexChanges, session: Session) -> list[SubdirChange]:
        """Bring the index up to the files that are there, with *changes*; what changed in each subdir.

        Raises:
            UsageError: something is to be removed or restored that the channel does not have.
            KeelbackError: it did not work; the index is as it was, or as it is to be, in each subdir.
        """


def restore(changes: IndexChanges, subdir: str, sources: Sources, there: Collection[str]) -> set[str]:
    """Have *sources* list again what *changes* restore; before they are brought up to the files that are *there*.

    Returns:
        The texts of *changes* that mean something in this subdir, for :func:`require_found`.

    Raises:
        UsageError: code ``no-such-package``: a file that is to be restored is gone.
    """
    restored, found = _selected(changes.restore, subdir, sources, sources.removed() | sources.instructions.revoke)
    gone = sorted(restored.difference(there))
    if gone:
        raise UsageError(
            f"{', '.join(f'{subdir}/{name}' for name in gone)} cannot be restored: "
            f"{'its file is' if len(gone) == 1 else 'their files are'} gone",
            hint=f"Publish {'it' if len(gone) == 1 else 'them'} again.",
            code="no-such-package",
        )
    sources.relist(restored)
    return found


def patch_and_remove(changes: IndexChanges, subdir: str, sources: Sources) -> set[str]:
    """Have *sources*, which say what the files that are there say, be patched as *changes* ask; returns as above.

    Raises:
        UsageError: a file is to be both removed and restored.
    """
    patch = changes.patches.get(subdir)
    if patch is not None:
        sources.instructions = sources.instructions.with_patch(patch)
    removed, found = _selected(changes.remove, subdir, sources, _known(sources))
    both = sorted(_selected(changes.restore, subdir, sources, removed)[0])
    if both:
        raise UsageError(
            f"{', '.join(f'{subdir}/{name}' for name in both)} cannot be both removed and restored",
            hint="Name each package with --remove or with --restore, and not with both.",
        )
    sources.instructions = sources.instructions.removing(removed)
    return found


def require_found(changes: IndexChanges, found: Collection[str]) -> None:
    """See that everything to be removed or restored was *found* in some subdir.

    Raises:
        UsageError: code ``no-such-package``.
    """
    asked = {"lists no package": changes.remove, "has neither removed nor revoked": changes.restore}
    for what, selections in asked.items():
        missing = [selection.text for selection in selections if selection.text not in found]
        if missing:
            raise UsageError(
                f"the index {what} {redact(', '.join(missing))}",
                hint="Name a file, such as demo-1.0-h0_0.conda, or write a spec, such as 'demo <1.0'.",
                code="no-such-package",
            )


def deletable(changes: IndexChanges, subdir: str, sources: Sources) -> set[str]:
    """The names of the files that *changes* remove, and that are to be deleted with that."""
    if not changes.delete_files:
        return set()
    return _selected(changes.remove, subdir, sources, _known(sources))[0]


def unmatched(changes: IndexChanges, subdir: str, sources: Sources) -> int:
    """How many names the patches in *changes* have of which *sources* know no file, nor one in the other format."""
    patch = changes.patches.get(subdir)
    if patch is None:
        return 0
    known = {_stem(name) for name in (*sources.raw.records, *sources.raw.removed)}
    return sum(_stem(name) not in known for name in patch.names())


def warn_of_removed(channel: str, relative_paths: Collection[str]) -> None:
    """Say that *relative_paths*, which are in *channel* and were published again, stay removed from its index."""
    if relative_paths:
        shown = sorted(relative_paths)[:_SHOWN]
        left = len(relative_paths) - len(shown)
        logger.warning(
            "%s%s: removed from the index, and not listed again. To list them again, run: keelback index %s%s%s",
            ", ".join(shown),
            f" and {left} more" if left else "",
            channel,
            "".join(f" --restore {path}" for path in shown),
            " ..." if left else "",
        )


def change_of(subdir: str, before: Repodata, sources: Sources, **others: Any) -> SubdirChange:
    """What has changed in a subdir.

    Args:
        subdir: the subdir.
        before: what its index said.
        sources: what its index is made from now.
        others: further members of the result: *deleted*, *unmatched*, *findings*.
    """
    after = sources.index()
    gone = before.records.keys() - after.records.keys()
    removed = sources.removed()
    raw = sources.raw.records
    return SubdirChange(
        subdir,
        added=sorted(after.records.keys() - before.records.keys()),
        changed=sorted(
            name for name, record in after.records.items() if name in before.records and before.records[name] != record
        ),
        removed=sorted(gone & removed),
        missing=sorted((gone - removed) | ({*before.removed} - removed - after.records.keys())),
        patched=sorted(name for name, record in after.records.items() if record != raw[name]),
        total=len(after.records),
        **others,
    )


def _stem(filename: str) -> str:
    return filename.removesuffix(".conda").removesuffix(".tar.bz2")


def _known(sources: Sources) -> set[str]:
    return {*sources.raw.records, *sources.removed()}


def _selected(
    selections: Sequence[Selection], subdir: str, sources: Sources, names: Collection[str]
) -> tuple[set[str], set[str]]:
    """Those of *names* that *selections* mean, and the texts of the selections that mean any."""
    records = sources.raw.records
    chosen, texts = set(), set()
    for selection in selections:
        meant = {name for name in names if selection.matches(subdir, name, records.get(name))}
        if meant:
            chosen |= meant
            texts.add(selection.text)
    return chosen, texts
