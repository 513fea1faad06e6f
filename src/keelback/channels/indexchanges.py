"""The changes that ``keelback index`` makes to what the index of a subdir is made from.

For each subdir, a channel reads what is there (:func:`~keelback.channels.patches.sources_of`), applies
:func:`restore`, brings the records up to the files, and applies :func:`patch_and_remove`. Then it has
:func:`require_found` see that everything was found, writes the index, and deletes what is :func:`deletable`.
:func:`change_of` says what has changed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from keelback.channels.indexable import SubdirChange
from keelback.errors import ChannelError, UsageError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from keelback.channels.indexable import IndexChanges, Selection
    from keelback.channels.patches import Sources
    from keelback.repodata import Repodata

logger = logging.getLogger(__name__)

_SHOWN: Final = 8
"""How many files a message names."""


def require_subdirs(changes: IndexChanges, there: Collection[str], channel: str) -> None:
    """Check that the subdirs that are named are *there*, in *channel*, or get patches: none is made for nothing.

    Raises:
        UsageError: one is not.
    """
    missing = [subdir for subdir in changes.subdirs if subdir not in {*there, *changes.patches, "noarch"}]
    if missing:
        hint = f"It has {', '.join(sorted(there)) or 'no subdir yet'}."
        raise UsageError(f"{redact(channel)} has no {', '.join(missing)}", hint=hint)


def restore(changes: IndexChanges, subdir: str, sources: Sources, there: Collection[str]) -> set[str]:
    """List again in *sources* what *changes* restore; called before they are brought up to date with the files *there*.

    Returns:
        The texts of *changes* that mean something in this subdir, for :func:`require_found`.

    Raises:
        ChannelError: code ``no-such-package``: a file that is to be restored is gone.
    """
    restored = to_restore(changes, subdir, sources)
    gone = sorted(restored.difference(there))
    if gone:
        raise ChannelError(
            f"{', '.join(f'{subdir}/{name}' for name in gone)} cannot be restored: "
            f"{'its file is' if len(gone) == 1 else 'their files are'} gone",
            hint=f"Publish {'it' if len(gone) == 1 else 'them'} again.",
            code="no-such-package",
        )
    found = _selected(changes.within(subdir).restore, subdir, sources, _known(sources) | restored)[1]
    sources.relist(restored)
    return found  # what is listed already is found, too: restoring it again changes nothing


def to_restore(changes: IndexChanges, subdir: str, sources: Sources) -> set[str]:
    """The names of the files that *changes* restore."""
    selections = changes.within(subdir).restore
    return _selected(selections, subdir, sources, sources.removed() | sources.instructions.revoke)[0]


def patch_and_remove(changes: IndexChanges, subdir: str, sources: Sources) -> set[str]:
    """Patch *sources*, which are up to date with the files, as *changes* ask.

    Returns:
        As :func:`restore`.

    Raises:
        UsageError: a file is to be both removed and restored.
    """
    changes = changes.within(subdir)
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


def require_found(changes: IndexChanges, found: Collection[str], sources: Mapping[str, Sources]) -> None:
    """Check that everything to be removed or restored was *found* in some subdir.

    Args:
        changes: what is to be done.
        found: the texts of those that mean something in some subdir.
        sources: from each subdir that was looked at to what its index is made from.

    Raises:
        ChannelError: code ``no-such-package``.
    """
    missing = [selection for selection in (*changes.remove, *changes.restore) if selection.text not in found]
    if missing:
        named = [each for subdir, each in sources.items() if not changes.subdirs or subdir in changes.subdirs]
        known = {name for of_subdir in named for name in _known(of_subdir)}
        hints = [hint for selection in missing if (hint := selection.like(known))]
        raise ChannelError(
            f"nothing in the index matches {redact(', '.join(repr(selection.text) for selection in missing))}",
            hint=" ".join(dict.fromkeys(hints)) or "Check the spelling; it may be in another subdir.",
            code="no-such-package",
        )


def deletable(changes: IndexChanges, subdir: str, sources: Sources) -> set[str]:
    """The names of the files that *changes* remove, and that are to be deleted with that."""
    changes = changes.within(subdir)
    return _selected(changes.remove, subdir, sources, _known(sources))[0] if changes.delete_files else set()


def without_effect(changes: IndexChanges, subdir: str, sources: Sources) -> dict[str, int]:
    """How many names in the patches of *changes* change nothing that *sources* list.

    Returns:
        ``unmatched``: of how many there is no file, in either format; ``unlisted``: how many are removed, and not by
        the patches themselves.
    """
    patch = changes.within(subdir).patches.get(subdir)
    if patch is None:
        return {}
    known = {_stem(name) for name in (*sources.raw.records, *sources.raw.removed)}
    return {
        "unmatched": sum(_stem(name) not in known for name in patch.names()),
        "unlisted": len((patch.names() - patch.remove) & sources.removed()),
    }


def warn_of_removed(channel: str, relative_paths: Collection[str]) -> None:
    """Log that *relative_paths* of *channel*, which were published again, stay removed from its index."""
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
        others: further members of the result: *deleted*, *unmatched*, *unlisted*, *findings*.
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
