"""Patches of an index: what it says of packages in place of what their archives say, and which it does not list.

The format is that of conda-index: ``SUBDIR/patch_instructions.json`` in the channel says what to change, and
``SUBDIR/repodata_from_packages.json`` keeps the records as they were before. rattler's indexer and conda-index apply
such instructions in the same way; where these two differ, records of removed packages are left out of the index.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from keelback.channels.membertypes import misfits
from keelback.errors import ChannelError
from keelback.indexed import is_filename
from keelback.repodata import Repodata, decode_repodata, encode_repodata, same_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from keelback.repodata import Record

INSTRUCTIONS: Final = "patch_instructions.json"
"""Its name in a subdir of a channel (conda-index)."""

FROM_PACKAGES: Final = "repodata_from_packages.json"
"""The records of a subdir before they were patched (conda-index, rattler_index)."""

REVOKED: Final = "package_has_been_revoked"
"""A dependency that nothing satisfies, which conda-index gives a revoked package."""

_VERSION: Final = 1
"""Of the format."""

_IDENTITY: Final = frozenset(
    {"name", "version", "build", "subdir", "size", "md5", "sha256", "attestations_sha256", "fn", "filename", "url"}
)
"""The members of a record that identify its file; with others, readers would get another file."""

_CONDA, _TAR_BZ2 = ".conda", ".tar.bz2"


@dataclass(frozen=True, slots=True)
class Instructions:
    """What is changed about the records of one subdir.

    Attributes:
        members: from file name to the members of its record that are replaced; a member that is ``None`` is taken away.
            Those of a ``.tar.bz2`` hold for the ``.conda`` of the same name, too.
        remove: the names of the files that the index does not list, each exactly as it is.
        revoke: the names of those that are listed, and cannot be installed, likewise.
        others: what else is in the document.
    """

    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    remove: frozenset[str] = frozenset()
    revoke: frozenset[str] = frozenset()
    others: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.remove or self.revoke or any(self.members.values()))

    def members_of(self, filename: str) -> dict[str, Any]:
        """What is replaced in the record of *filename*."""
        twin = filename.removesuffix(_CONDA) + _TAR_BZ2 if filename.endswith(_CONDA) else None
        return {**(self.members.get(twin, {}) if twin else {}), **self.members.get(filename, {})}

    def with_patch(self, patch: Instructions) -> Instructions:
        """These, and *patch*: of a file that both name, its members count; empty ones undo those that were there."""
        return replace(
            self,
            members={name: members for name, members in {**self.members, **patch.members}.items() if members},
            remove=self.remove | patch.remove,
            revoke=self.revoke | patch.revoke,
            others={**self.others, **patch.others},
        )

    def removing(self, filenames: Iterable[str]) -> Instructions:
        """These, with *filenames* among the removed."""
        return replace(self, remove=self.remove.union(filenames))

    def only(self, filenames: Collection[str]) -> Instructions:
        """What these change about *filenames*, apart from what is removed; as another channel can take it over."""
        members = {name: self.members_of(name) for name in filenames}
        return Instructions(
            {name: changed for name, changed in members.items() if changed}, revoke=self.revoke & {*filenames}
        )

    def names(self) -> set[str]:
        """The names of all files that are named, whether there are such files or not."""
        return {*self.members, *self.remove, *self.revoke}

    def listing(self, filenames: Iterable[str]) -> Instructions:
        """These, with *filenames* neither removed nor revoked."""
        names = frozenset(filenames)
        return replace(self, remove=self.remove - names, revoke=self.revoke - names)


NONE: Final = Instructions()
"""Nothing is patched."""


@dataclass(slots=True)
class Sources:
    """What the index of a subdir is made from.

    Attributes:
        raw: the records as their archives have them, or as another indexer has written them; those of removed files,
            too. Its ``removed`` has only what the instructions do not remove.
        instructions: what is changed about them.
    """

    raw: Repodata
    instructions: Instructions = NONE

    def put(self, filename: str, record: Record) -> None:
        """Set the *record* of *filename*, which has been published: it is listed from now on."""
        self.raw.put(filename, record)
        self.relist([filename])

    def keep(self, filename: str, record: Record) -> bool:
        """Set the *record* of *filename*, whose bytes the channel had already; returns whether it is listed.

        Publishing the same bytes again undoes nothing: what was removed from the index, or revoked, stays so. Where the
        removed record is of other bytes, these are new, and are listed.
        """
        before = self.raw.records.get(filename)
        if before is not None and not same_file(before, record):
            self.put(filename, record)
            return True
        if before is None and filename in self.removed():
            return False
        self.raw.records[filename] = record
        return filename not in self.instructions.remove

    def relist(self, filenames: Collection[str]) -> None:
        """List *filenames* again: they are neither removed nor revoked."""
        self.raw.relist(filenames)
        self.instructions = self.instructions.listing(filenames)

    def removed(self) -> set[str]:
        """The names of all files that were removed from the index."""
        return {*self.raw.removed, *self.instructions.remove}

    def index(self) -> Repodata:
        """What readers get: the records, patched, without those that are removed."""
        if not self.instructions:
            return self.raw
        removed = self.instructions.remove & self.raw.records.keys()
        records = {
            filename: _patched(record, self.instructions.members_of(filename), filename in self.instructions.revoke)
            for filename, record in self.raw.records.items()
            if filename not in removed
        }
        return Repodata(records, {**self.raw.others, "removed": sorted({*self.raw.removed, *removed})})

    def files(self, subdir: str) -> dict[str, bytes | None]:
        """The files that keep this beside the index, by name; ``None`` for a file that must not be there.

        They are put in place before the index is, and those that are not to be there go after it: until then,
        instructions that are there have to say nothing (:data:`NOTHING`). So, from whatever a writer leaves that stops
        on the way, :func:`sources_of` makes the sources as they were, or as they are to be.

        Raises:
            ChannelError: they cannot be written.
        """
        if not self.instructions:
            return {FROM_PACKAGES: None, INSTRUCTIONS: None}
        return {
            FROM_PACKAGES: encode_repodata(subdir, self.raw),
            INSTRUCTIONS: encode_instructions(self.instructions),
        }


def sources_of(repodata: bytes | None, from_packages: bytes | None, instructions: bytes | None) -> Sources:
    """What the index of a subdir was made from, read from the files beside it; ``None`` for one that is missing.

    Without instructions there is no patch of the channel's own: records that somebody has patched stay as they are.
    With them, a record that is in ``repodata_from_packages.json``, and is of the same bytes as the one in the index, is
    what was patched. All others are taken as the index has them, since somebody else has written it meanwhile.

    Names that no archive can have are left out: they may lead to another file.

    Raises:
        ChannelError: code ``bad-index`` or ``bad-patch``: one of them is malformed, or cannot be added to.
    """
    index = _of_archives(decode_repodata(repodata or b""))
    if instructions is None:
        return Sources(index)
    known = decode_instructions(instructions, INSTRUCTIONS)
    before = _of_archives(decode_repodata(from_packages or b"", FROM_PACKAGES)).records
    records = dict(index.records)
    for filename, record in before.items():
        listed = index.records.get(filename)
        if filename in known.remove if listed is None else same_file(record, listed):
            records[filename] = record
    removed = [name for name in index.removed if name not in known.remove and name not in before]
    return Sources(Repodata(records, {**index.others, "removed": removed}), known)


def decode_instructions(content: bytes, what: str) -> Instructions:
    """The ``patch_instructions.json`` *content*, which is called *what* in errors.

    Where another tool has written it, a ``.tar.bz2`` that it removes or revokes stands for the ``.conda`` of the same
    name, too, as that tool has it. Names that no archive can have are left out.

    Raises:
        ChannelError: code ``bad-patch``: it is malformed, of a kind that is not known here, or changes which file a
            record is of, or a member to what readers do not take.
    """
    try:
        document = msgspec.json.decode(content, type=_Document)
        others = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _bad(what, f"malformed: {error}") from error
    if document.patch_instructions_version > _VERSION or document.v3:
        raise _bad(what, "has instructions of a kind that keelback does not know yet")
    members = {**document.packages, **document.conda}
    members = {filename: changed for filename, changed in members.items() if is_filename(filename)}
    for filename, changed in members.items():
        _check(what, filename, changed)
    remove, revoke = frozenset(filter(is_filename, document.remove)), frozenset(filter(is_filename, document.revoke))
    if not document.exactly:
        remove, revoke = _with_twins(remove), _with_twins(revoke)
    known = {member.encode_name for member in msgspec.structs.fields(_Document)}
    return Instructions(members, remove, revoke, {name: value for name, value in others.items() if name not in known})


_EXACTLY: Final = "names_are_exact"
"""What keelback adds: that a ``.tar.bz2`` in ``remove`` or ``revoke`` does not stand for a ``.conda``."""


def encode_instructions(instructions: Instructions) -> bytes:
    """``patch_instructions.json``; equal instructions give equal bytes."""
    members = instructions.members
    document = {
        **instructions.others,
        "patch_instructions_version": _VERSION,
        "packages": {name: changed for name, changed in members.items() if not name.endswith(_CONDA)},
        "packages.conda": {name: changed for name, changed in members.items() if name.endswith(_CONDA)},
        "remove": sorted(instructions.remove),
        "revoke": sorted(instructions.revoke),
        _EXACTLY: True,
    }
    return msgspec.json.encode(document, order="sorted")


NOTHING: Final = encode_instructions(NONE)
"""Instructions to change nothing."""


class _Document(msgspec.Struct):
    patch_instructions_version: Annotated[int, msgspec.Meta(ge=0)] = _VERSION
    packages: dict[str, dict[str, Any]] = {}
    conda: dict[str, dict[str, Any]] = msgspec.field(name="packages.conda", default_factory=dict)
    remove: list[str] = []
    revoke: list[str] = []
    v3: dict[str, Any] = {}
    exactly: bool = msgspec.field(name=_EXACTLY, default=False)


def _of_archives(repodata: Repodata) -> Repodata:
    """*repodata* without the names that no archive can have."""
    records = {filename: record for filename, record in repodata.records.items() if is_filename(filename)}
    return Repodata(records, {**repodata.others, "removed": list(filter(is_filename, repodata.removed))})


def _patched(record: Record, members: Mapping[str, Any], revoked: bool) -> Record:  # noqa: FBT001 - private
    if not members and not revoked:
        return record
    result = {name: value for name, value in {**record, **members}.items() if name not in members or value is not None}
    if revoked:
        depends = [spec for spec in result.get("depends", ()) if spec != REVOKED]
        result.update(revoked=True, depends=[*depends, REVOKED])
    return result


def _check(what: str, filename: str, members: Mapping[str, Any]) -> None:
    """Check that *members* leave *filename* a record that readers can use, of the same file."""
    fixed = sorted(_IDENTITY & members.keys())
    if fixed:
        says = "which says" if len(fixed) == 1 else "which say"
        raise _bad(what, f"changes {', '.join(fixed)} of {filename}, {says} which file it is")
    for member, why in misfits(members):
        raise _bad(what, f"changes {member} of {filename} to what readers do not take: {why}")


def _with_twins(names: frozenset[str]) -> frozenset[str]:
    return names.union(name.removesuffix(_TAR_BZ2) + _CONDA for name in names if name.endswith(_TAR_BZ2))


def _bad(what: str, why: str) -> ChannelError:
    return ChannelError(
        f"{what} {why}", hint="Correct it, or have the tool that wrote it write it anew.", code="bad-patch"
    )
