"""Which archives of a channel a person means: a file, a spec (MatchSpec), or all of a subdir.

Specs and versions are read and compared by rattler, so that they mean here what they mean to pixi and rattler-build.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from keelback.archive import SUBDIRS
from keelback.errors import ChannelError, UsageError
from keelback.hosts import scheme_and_host
from keelback.indexed import IndexedArchive, is_filename, package_name
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import rattler

_SUFFIXES: Final = (".conda", ".tar.bz2")


class Wanted:
    """What one argument of ``fetch`` asks for.

    Args:
        text: a MatchSpec, or the name of a file, with or without ``SUBDIR/`` before it.

    Attributes:
        text: see above.
        filename: the file that is asked for by its name; ``None`` for a spec.
        subdir: the subdir that is asked for; ``None`` where it is not.
        name: the package's.

    Raises:
        UsageError: code ``bad-spec``: it is neither.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.subdir: str | None = None
        self.filename: str | None = None
        if text.endswith(_SUFFIXES) and not any(letter in text for letter in " =<>[:"):
            subdir, _, self.filename = text.rpartition("/")
            self.subdir = subdir or None
            if not is_filename(self.filename):
                raise _bad_spec(text, "no archive has such a file name")
            self.name = package_name(self.filename).lower()
        else:
            spec = match_spec(text)
            if spec.channel is not None:
                raise _bad_spec(text, "the channel is an argument of its own")
            self.subdir = spec.subdir
            self.name = spec.name.normalized
        if self.subdir is not None and self.subdir not in SUBDIRS:
            raise _bad_spec(text, f"{self.subdir!r} is no subdir")

    @property
    def as_spec(self) -> str:
        """What is wanted, as a MatchSpec."""
        if self.filename is None:
            return self.text
        name, version, build = self.filename.removesuffix(".conda").removesuffix(".tar.bz2").rsplit("-", 2)
        return f"{name.lower()} =={version} {build}"


def match_spec(text: str) -> rattler.MatchSpec:
    """*text* as a MatchSpec of one package; raises ``UsageError``."""
    from rattler import MatchSpec  # noqa: PLC0415 - large, and not for --help
    from rattler.exceptions import InvalidMatchSpecError  # noqa: PLC0415 - likewise

    try:
        return MatchSpec(text)
    except InvalidMatchSpecError as error:
        raise _bad_spec(text, str(error)) from None


class Index:
    """The index of one subdir of a channel, searched.

    Args:
        channel: its URL.
        subdir: the subdir.
        file: a ``repodata.json``.

    Raises:
        ChannelError: code ``bad-index``: it is malformed.
    """

    def __init__(self, channel: str, subdir: str, file: Path) -> None:
        from rattler import Channel, SparseRepoData  # noqa: PLC0415 - large, and not for --help

        self.channel = channel
        self.subdir = subdir
        self.file = file
        with _explained(channel, subdir):
            self._data = SparseRepoData(Channel(channel), subdir, file)

    def matching(self, wanted: Wanted) -> list[rattler.RepoDataRecord]:
        """The records of what is *wanted*: of a spec, those that match; ``ChannelError`` where one is malformed."""
        from rattler import MatchSpec, PackageFormatSelection, PackageName  # noqa: PLC0415 - see above

        if wanted.subdir not in (None, self.subdir):
            return []
        with _explained(self.channel, self.subdir):
            if wanted.filename is None:
                return self._data.load_matching_records([MatchSpec(wanted.text)], PackageFormatSelection.BOTH)
            records = self._data.load_records(PackageName(wanted.name), PackageFormatSelection.BOTH)
        return [record for record in records if record.file_name == wanted.filename]

    def everything(self) -> list[rattler.RepoDataRecord]:
        """All records, of both formats; raises as :meth:`matching`."""
        from rattler import PackageFormatSelection  # noqa: PLC0415 - see above

        with _explained(self.channel, self.subdir):
            return self._data.load_all_records(PackageFormatSelection.BOTH)


def best(records: Iterable[rattler.RepoDataRecord]) -> rattler.RepoDataRecord | None:
    """The one that a solver would rather take: no tracked features, then the highest version, build number, time."""
    return max(records, key=_rank, default=None)


def _rank(record: rattler.RepoDataRecord) -> tuple[Any, ...]:
    made = record.timestamp.timestamp() if record.timestamp is not None else 0.0
    return not record.track_features, record.version, record.build_number, made, record.file_name.endswith(".conda")


def indexed(record: rattler.RepoDataRecord) -> IndexedArchive:
    """What is needed of *record* to fetch its file.

    Raises:
        ChannelError: code ``bad-index``: it names a file, or a place, that no archive can have.
    """
    last = record.url.rpartition("/")[2]
    # Only a channel in a folder has archives in a folder: no server says which files of this machine are read.
    schemes = ("file", "http", "https") if (record.channel or "").startswith("file:") else ("http", "https")
    if scheme_and_host(record.url)[0] not in schemes or unquote(last) != record.file_name:
        shown = redact(record.url[:200])
        raise ChannelError(
            f"the index has {record.file_name!r} at {shown!r}, which is no place for it", code="bad-index"
        )
    return IndexedArchive(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        subdir=record.subdir,
        filename=record.file_name,
        url=record.url,
        size=record.size,
        sha256=None if record.sha256 is None else record.sha256.hex(),
        md5=None if record.md5 is None else record.md5.hex(),
    )


@contextlib.contextmanager
def _explained(channel: str, subdir: str) -> Iterator[None]:
    """Turn what rattler says of a malformed index into an error that says whose it is."""
    try:
        yield
    except BaseException as error:
        # PanicException, which rattler raises of some URLs, has no module that it could be imported from.
        if not isinstance(error, (OSError, ValueError, TypeError)) and type(error).__name__ != "PanicException":
            raise
        raise ChannelError(
            f"malformed index of {redact(channel)}/{subdir}: {redact(str(error))[:200]}",
            hint="Whoever runs the channel has to index it anew.",
            code="bad-index",
        ) from error


def _bad_spec(text: str, why: str) -> UsageError:
    return UsageError(
        f"{redact(text)!r} is no spec: {why}",
        hint="Write it like 'numpy >=2', or name a file: numpy-2.1.0-py312h1_0.conda.",
        code="bad-spec",
    )
