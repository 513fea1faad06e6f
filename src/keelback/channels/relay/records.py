"""Records as the index of a channel has them, all members included."""

from __future__ import annotations

import itertools
import mmap
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from keelback.archive.fields import check_filename, check_identity, check_index
from keelback.archive.findings import Findings
from keelback.channels.patches import FROM_PACKAGES, INSTRUCTIONS, NONE, sources_of
from keelback.channels.subdirindex import SubdirIndex
from keelback.channels.target import path_of
from keelback.errors import ArchiveError, ChannelError
from keelback.listing import REPODATA_LIMIT
from keelback.repodata import REPODATA, same_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from keelback.channels.indexfiles import IndexFiles
    from keelback.channels.patches import Instructions
    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive
    from keelback.repodata import Record


def read_records(
    reader: Reader, archives: Sequence[IndexedArchive], files: IndexFiles, workdir: Path
) -> dict[str, Record | ChannelError]:
    """What the index says of each of *archives*, by relative path; or why that cannot be used.

    Args:
        reader: of the channel.
        archives: as a first look at the index gave them.
        files: where indexes are kept between runs.
        workdir: a folder for files of this run.

    Raises:
        CredentialError, ChannelError, TransportError: the index cannot be read.
    """
    found: dict[str, Record | ChannelError] = {}
    for subdir, group in itertools.groupby(sorted(archives, key=_subdir), key=_subdir):
        wanted = {archive.filename: archive for archive in group}
        names = {archive.name for archive in wanted.values()}
        file = SubdirIndex(reader, files, subdir, workdir).of(names)
        records = {} if file is None else _records_in(file, wanted)
        for filename, archive in wanted.items():
            found[archive.relative_path] = _usable(records.get(filename), archive)
    return found


def unpatched(
    reader: Reader,
    archives: Sequence[IndexedArchive],
    records: Mapping[str, Record | ChannelError],
    files: IndexFiles,
) -> tuple[dict[str, Record | ChannelError], dict[str, Instructions]]:
    """*records* as they were before the channel patched them, and what it changes about them, by subdir.

    For channels in folders and in buckets, which keep both beside their index; a record that no file there explains
    stays as it is.

    Args:
        reader: of the channel.
        archives: those that the records are of.
        records: what the index says of each of *archives*, by relative path.
        files: where indexes are kept between runs.

    Raises:
        CredentialError, ChannelError, TransportError: these files cannot be read, or are malformed.
    """
    before, patches = dict(records), {}
    for subdir, group in itertools.groupby(sorted(archives, key=_subdir), key=_subdir):
        instructions = _content(reader, files, f"{subdir}/{INSTRUCTIONS}")
        if instructions is None:
            continue
        wanted = {archive.filename: archive for archive in group}
        repodata, from_packages = (_content(reader, files, f"{subdir}/{name}") for name in (REPODATA, FROM_PACKAGES))
        sources = sources_of(repodata, from_packages, instructions)
        patch = sources.instructions.only(wanted)
        for filename in {*patch.members, *patch.revoke}:
            archive = wanted[filename]
            raw = sources.raw.records.get(filename)
            if raw is not None and not isinstance(records[archive.relative_path], ChannelError):
                before[archive.relative_path] = _usable(raw, archive)
        if patch != NONE:
            patches[subdir] = patch
    return before, patches


def _content(reader: Reader, files: IndexFiles, path: str) -> bytes | None:
    """What is at *path* below the channel's URL."""
    url = f"{reader.url}/{path}"
    if reader.is_folder:
        file: Path | None = path_of(url)
    else:
        file = files.get(reader, url, limit=REPODATA_LIMIT)
    return None if file is None or not file.is_file() else file.read_bytes()


def _subdir(archive: IndexedArchive) -> str:
    return archive.subdir


def _records_in(file: Path, wanted: Collection[str]) -> dict[str, Record]:
    """The records of the *wanted* files in *file*, a ``repodata.json`` of any size; no other record is decoded."""
    if not file.stat().st_size:  # an empty file says nothing (CEP 36)
        return {}
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            raw = _cut_out(content, wanted)
        return {filename: msgspec.json.decode(record, type=dict) for filename, record in raw.items()}
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ChannelError(f"malformed index: {error}", code="bad-index") from error


def _cut_out(content: mmap.mmap, wanted: Collection[str]) -> dict[str, bytes]:
    """The records of the *wanted* files in *content*, of which nothing is held on to."""
    document = msgspec.json.decode(content, type=_Repodata)
    return {
        filename: bytes(records[filename])
        for records in (document.packages, document.conda)
        for filename in wanted
        if filename in records
    }


def _usable(record: Record | None, archive: IndexedArchive) -> Record | ChannelError:
    """*record*, if it is still of *archive*, and says what an archive of that name can say of itself."""
    known = {"sha256": archive.sha256, "md5": archive.md5}
    if record is None or (any(known.values()) and not same_file(record, known)):
        return ChannelError(
            f"the index changed while it was read: it has another {archive.relative_path} now",
            hint="Run the same command again.",
            code="bad-index",
        )
    findings = Findings(Path(archive.filename))
    try:
        if check_filename(archive.filename, findings):
            check_identity(record, archive.filename, _extension(archive.filename), findings)
        check_index(record, findings)
        findings.verdict()
    except ArchiveError as error:
        return ChannelError(
            f"what the index says of {archive.relative_path} is of no package: {error.message}",
            hint="Tell those who run the channel to index it anew.",
            code="bad-index",
        )
    return record


def _extension(filename: str) -> str:
    return ".conda" if filename.endswith(".conda") else ".tar.bz2"


class _Repodata(msgspec.Struct):
    packages: dict[str, msgspec.Raw] = {}
    conda: dict[str, msgspec.Raw] = msgspec.field(name="packages.conda", default_factory=dict)
