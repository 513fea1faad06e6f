"""From what is asked for - specs, files, whole subdirs - to the archives that the channels have for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from keelback.archive import SUBDIRS
from keelback.channels.indexable import Indexable
from keelback.channels.registry import recognise, target_of
from keelback.channels.scanning import archives_in
from keelback.channels.subdirindex import SubdirIndex, closure
from keelback.channels.target import path_of
from keelback.errors import ChannelError, CredentialError, KeelbackError, UsageError
from keelback.repodata import REPODATA
from keelback.secret import redact
from keelback.selecting import Index, Wanted, best, there_is
from keelback.solving import assumed_virtual_packages, solve

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keelback.channels.indexfiles import IndexFiles
    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive

NOARCH: Final = "noarch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked for; see :func:`keelback.fetch`.

    Attributes:
        everywhere: whether all that matches is meant, in all subdirs that the channel has, instead of *subdirs*.
        in_first: whether each spec has to match in the first channel; the others have dependencies only.
    """

    specs: Sequence[str] = ()
    subdirs: Sequence[str] = ()
    with_deps: bool = False
    all_versions: bool = False
    virtual_packages: Sequence[str] = ()
    everywhere: bool = False
    in_first: bool = False

    def __post_init__(self) -> None:
        for subdir in self.subdirs:
            if subdir not in SUBDIRS:
                raise UsageError(
                    f"{subdir!r} is not a valid subdir", hint="Name one like linux-64, osx-arm64 or noarch."
                )
        if self.with_deps and not self.specs:
            raise UsageError("--with-deps needs specs", hint="Name some.")
        if self.with_deps and self.all_versions:
            raise UsageError("--with-deps and --all cannot be combined", hint="Leave out one of them.")
        if not self.specs and not self.subdirs and not self.everywhere:
            raise UsageError(
                "neither specs nor a subdir were named", hint="For a whole subdir, write --subdir linux-64."
            )


def resolve(
    readers: Sequence[Reader],
    question: Question,
    files: IndexFiles,
    workdir: Path,
    known_subdirs: Mapping[Reader, Collection[str]] | None = None,
) -> tuple[IndexedArchive, ...]:
    """The archives that *readers*' channels have for *question*, each once.

    Args:
        readers: of the channels; where several have a package, the first one counts.
        question: what is asked for.
        files: where indexes are kept between runs.
        workdir: a folder for files of this run.
        known_subdirs: of the channels of which that is known; of the others, each subdir is asked for.

    Raises:
        UsageError: a spec is not valid.
        CredentialError, Forbidden: an index cannot be read with the credentials that there are, or without any.
        ChannelError: code ``no-channel``, ``no-match``, ``no-solution``; or an index is malformed.
        TransportError: no answer came.
    """
    wanted = [Wanted(text) for text in question.specs]
    while True:
        try:
            return _Search(readers, question, files, workdir, known_subdirs or {}).archives(wanted)
        except (CredentialError, ChannelError):
            # not any(): each of them has to be asked; each asks for a server once, so that this comes to an end
            if not [reader for reader in readers if reader.look_again()]:
                raise


class _Search:
    """One go at it: with the credentials that the readers have now."""

    def __init__(
        self,
        readers: Sequence[Reader],
        question: Question,
        files: IndexFiles,
        workdir: Path,
        known_subdirs: Mapping[Reader, Collection[str]],
    ) -> None:
        self._known_subdirs = known_subdirs
        self._readers = readers
        self._question = question
        self._files = files
        self._workdir = workdir

    def archives(self, wanted: Sequence[Wanted]) -> tuple[IndexedArchive, ...]:
        if not wanted:
            indexes = self._load(SUBDIRS if self._question.everywhere else self._question.subdirs, None)
            found = (archive for index in indexes for archive in index.archives(index.everything()))
        elif self._question.with_deps:
            found = (archive for platform in self._platforms(wanted) for archive in self._solved(platform, wanted))
        else:
            indexes = self._load([*self._platforms(wanted), NOARCH], {item.name for item in wanted})
            found = (archive for item in wanted for archive in self._chosen_everywhere(item, indexes))
        return tuple({archive.relative_path: archive for archive in found}.values())

    @property
    def _searched(self) -> Sequence[Reader]:
        """The channels in which a spec may match."""
        return self._readers[:1] if self._question.in_first else self._readers

    def _platforms(self, wanted: Iterable[Wanted]) -> list[str]:
        """The subdirs that were asked for, or that of this machine, without noarch, which belongs to each."""
        if self._question.everywhere and not all(item.subdir for item in wanted):
            return [subdir for subdir in SUBDIRS if subdir != NOARCH]
        named = [*self._question.subdirs, *(item.subdir for item in wanted if item.subdir)] or [_this_platform()]
        return [subdir for subdir in dict.fromkeys(named) if subdir != NOARCH] or [NOARCH]

    def _chosen_everywhere(self, item: Wanted, indexes: Sequence[Index]) -> Iterator[IndexedArchive]:
        """What is taken for each of the platforms, as one that is asked for by itself gets it."""
        if self._question.everywhere and item.subdir is None:
            yield from self._all_of(item, indexes)
            return
        for platform in [item.subdir] if item.subdir else self._platforms([item]):
            yield from self._chosen(item, platform, indexes)

    def _all_of(self, item: Wanted, indexes: Sequence[Index]) -> list[IndexedArchive]:
        """Everything that is *item*, of the first channel that has some, whichever subdirs that is in."""
        for reader in self._readers:
            own = [index for index in indexes if index.channel == reader.url]
            found = [archive for index in own for archive in index.archives(index.matching(item))]
            if found:
                return found
        raise self._no_match(item, None, indexes)

    def _chosen(self, item: Wanted, platform: str, indexes: Sequence[Index]) -> list[IndexedArchive]:
        """What is taken of what there is: of the first channel that has some, the best one or all."""
        everything = self._question.all_versions or item.filename is not None
        for reader in self._readers:
            own = [each for each in indexes if each.channel == reader.url and each.subdir in (platform, NOARCH)]
            found = [(index, index.matching(item)) for index in own]
            if any(records for _, records in found) and everything:
                return [archive for index, records in found for archive in index.archives(records)]
            record = best(record for _, records in found for record in records)
            if record is not None:
                return [
                    archive for index, records in found if record in records for archive in index.archives([record])
                ]
        raise self._no_match(item, platform, indexes)

    def _solved(self, platform: str, wanted: Sequence[Wanted]) -> list[IndexedArchive]:
        indexes = self._load([platform, NOARCH], {item.name for item in wanted}, with_deps=True)
        searched = [index for index in indexes if index.channel in {reader.url for reader in self._searched}]
        for item in wanted:
            if not any(index.matching(item) for index in searched):
                raise self._no_match(item, platform, searched)
        virtual_packages = {text.partition("=")[0]: text for text in assumed_virtual_packages(platform)}
        virtual_packages |= {text.partition("=")[0]: text for text in self._question.virtual_packages}
        return solve([item.as_spec for item in wanted], indexes, list(virtual_packages.values()))

    def _load(self, subdirs: Sequence[str], names: Collection[str] | None, *, with_deps: bool = False) -> list[Index]:
        """The indexes of *subdirs* in all channels, as far as they concern *names*; of all names, where it is ``None``.

        Raises:
            ChannelError: code ``no-channel``: a channel has none of the subdirs; also as for :func:`resolve`.
        """
        parts = [
            SubdirIndex(reader, self._files, subdir, self._workdir)
            for reader in self._readers
            for subdir in dict.fromkeys(subdirs)
            if subdir in {NOARCH, *self._known_subdirs.get(reader, SUBDIRS)}
        ]
        with ThreadPoolExecutor(max(1, len(parts)), thread_name_prefix="index") as pool:
            if names is None:
                paths = list(pool.map(_whole, parts))
            elif with_deps and all(pool.map(_by_names, parts)):
                names = closure([part for part in parts if part.has_shards], names)
                paths = list(pool.map(partial(_of, names), parts))
            else:
                paths = list(pool.map(_whole if with_deps else partial(_of, names), parts))
        for reader in self._readers:
            if not any(path for part, path in zip(parts, paths, strict=True) if part.reader is reader):
                raise self._no_channel(reader, subdirs)
        return [
            Index(part.reader.url, part.subdir, path, part.reader.name)
            for part, path in zip(parts, paths, strict=True)
            if path is not None and path.stat().st_size > 0  # an empty file says nothing (CEP 36)
        ]

    def _no_match(self, item: Wanted, platform: str | None, indexes: Sequence[Index]) -> ChannelError:
        """The error for an *item* that is in no index of *platform*; ``None`` for all of them."""
        subdirs = "any subdir"
        if platform is not None:
            subdirs = " and ".join(dict.fromkeys([platform] if item.subdir else [platform, NOARCH]))
        channels = ", ".join(redact(reader.name) for reader in self._searched)
        known = self._what_there_is(item, platform, indexes)
        hint = known or "Check the spelling; it may be in another subdir (--subdir)."
        if any(reader.may_know_more(f"{reader.url}/{platform or NOARCH}/") for reader in self._searched):
            hint += (
                " The keychain was not asked, as the channel can be read without a credential; to read it with one, "
                "give that with --api-key-file."
            )
        return ChannelError(f"nothing matches {item.text!r} in {subdirs} of {channels}", hint=hint, code="no-match")

    def _what_there_is(self, item: Wanted, platform: str | None, indexes: Sequence[Index]) -> str:
        """What the channel has that is like *item*, as a sentence; empty where it has nothing of the sort."""
        like = [(index, record) for index in indexes for record in index.named(item.name)]
        elsewhere = next((index.subdir for index, record in like if record.file_name == item.filename), None)
        if elsewhere is not None and platform is not None:
            return f"It is in {elsewhere}: write {elsewhere}/{item.filename}."
        found = {record.version for index, record in like if platform is None or index.subdir in (platform, NOARCH)}
        return there_is(item.name, found)

    def _no_channel(self, reader: Reader, subdirs: Sequence[str]) -> ChannelError:
        hint = "Check the URL; where a channel is private, some servers say so only to those who are logged in."
        channel = _indexable(reader)
        if channel is not None:
            channel.require_place(reader.session)
        if indexing := _how_to_index(reader, subdirs, channel):
            hint = indexing
        elif not self._has_noarch(reader, subdirs):
            reader.refused(f"{reader.url}/{subdirs[0]}/")
        else:
            hint = "The channel has packages for every platform: --subdir noarch."
        which = "any subdir" if self._question.everywhere else " or ".join(dict.fromkeys(subdirs))
        return ChannelError(f"{redact(reader.name)} has no index of {which}", hint=hint, code="no-channel")

    def _has_noarch(self, reader: Reader, subdirs: Sequence[str]) -> bool:
        part = SubdirIndex(reader, self._files, NOARCH, self._workdir)
        try:
            return NOARCH not in subdirs and (part.has_shards or part.whole is not None)
        except KeelbackError:  # it is but for the hint
            return False


def _indexable(reader: Reader) -> Indexable | None:
    """The channel of *reader*, if it is one in a bucket."""
    with suppress(UsageError):
        channel = None if reader.is_folder else recognise(target_of(reader.name))
        return channel if isinstance(channel, Indexable) else None
    return None


def _how_to_index(reader: Reader, subdirs: Sequence[str], channel: Indexable | None) -> str:
    """What makes an index of packages in a folder or a bucket that have none; empty where there can be none such."""
    if reader.is_folder:
        folder = path_of(reader.url)
        if folder.name in SUBDIRS:
            return f"It is a subdir; name its channel: {folder.parent}."
        if any(archives_in(folder)):
            return f"It has packages, and is no channel. To publish them: keelback publish --to CHANNEL {folder}"
        unindexed = [folder / subdir for subdir in {*subdirs, NOARCH} if not (folder / subdir / REPODATA).exists()]
        there = any(archive for subdir in unindexed for archive in archives_in(subdir))
        return f"There are packages without an index. Run: keelback index {folder}" if there else ""
    if channel is not None:
        return f"Check the URL; where there are packages without an index, run: keelback index {redact(reader.name)}"
    return ""


def _whole(part: SubdirIndex) -> Path | None:
    return part.whole


def _of(names: Collection[str], part: SubdirIndex) -> Path | None:
    return part.of(names)


def _by_names(part: SubdirIndex) -> bool:
    """Whether what depends on what can be found in *part* name by name: it has shards, or nothing at all."""
    return part.has_shards or part.whole is None


def _this_platform() -> str:
    from rattler import Platform  # noqa: PLC0415 - large, and not for --help

    return str(Platform.current())
