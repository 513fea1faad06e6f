"""Which archives of a channel a person means: a file, a spec (MatchSpec), or all of a subdir.

Specs and versions are read and compared by rattler, so that they mean here what they mean to pixi and rattler-build.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from keelback.archive import SUBDIRS
from keelback.errors import ChannelError, UsageError
from keelback.hosts import scheme_and_host
from keelback.indexed import (
    IndexedArchive,
    holds_credential,
    is_file_here,
    is_filename,
    package_name,
    without_credential,
)
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import rattler

SUFFIXES: Final = (".conda", ".tar.bz2")
"""Of the names of archives."""

_SHOWN: Final = 4
"""How many versions are named where none of them is wanted."""
_LINES: Final = 20
_LONGEST_LINE: Final = 300
_LONGEST_TEXT: Final = 2000
"""How much of what rattler says is shown."""


def without_file(channel: str) -> tuple[str, list[str]]:
    """The channel, and what is asked for in it, where *channel* is the URL or the path of an archive in a subdir."""
    if "://" in channel:
        base, _, name = channel.rpartition("/")
        base, _, subdir = base.rpartition("/")
        place, name = base if "://" in base else "", unquote(name)
    else:
        path = Path(channel)
        path = path if path.parent.name else path.absolute()
        name, subdir = path.name, path.parent.name
        place = "" if path.is_dir() else str(path.parent.parent)
    if not place or not name.endswith(SUFFIXES) or subdir not in SUBDIRS:
        return channel, []
    return place, [f"{subdir}/{name}"]


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
        if text.endswith(SUFFIXES) and not any(letter in text for letter in " =<>[:"):
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
            raise _bad_spec(text, f"{self.subdir!r} is not a valid subdir")

    @property
    def as_spec(self) -> str:
        """What is wanted, as a MatchSpec."""
        if self.filename is None:
            return self.text
        name, version, build = self.filename.removesuffix(".conda").removesuffix(".tar.bz2").rsplit("-", 2)
        return f"{name.lower()} =={version} {build}"


def there_is(name: str, versions: Iterable[rattler.VersionWithSource]) -> str:
    """The *versions* of the package *name* that a channel has, as a sentence; empty where there are none."""
    found = [str(version) for version in sorted({*versions}, reverse=True)]
    if not found:
        return ""
    *most, last = found[:_SHOWN] if len(found) <= _SHOWN else [*found[:_SHOWN], f"{len(found) - _SHOWN} more"]
    return f"The channel has {name} {', '.join(most)}{' and ' if most else ''}{last}."


def match_spec(text: str) -> rattler.MatchSpec:
    """*text* as a MatchSpec of one package; raises ``UsageError``."""
    from rattler import MatchSpec  # noqa: PLC0415 - large, and not for --help
    from rattler.exceptions import InvalidMatchSpecError  # noqa: PLC0415 - likewise

    try:
        return MatchSpec(text)
    except InvalidMatchSpecError as error:
        raise _bad_spec(text, in_few_words(str(error))) from None


class Index:
    """The index of one subdir of a channel, searched.

    Args:
        channel: the URL under which it is read.
        subdir: the subdir.
        file: a ``repodata.json``.
        name: what to call the channel in errors; *channel* by default.

    Raises:
        ChannelError: code ``bad-index``: it is malformed.
    """

    def __init__(self, channel: str, subdir: str, file: Path, name: str = "") -> None:
        from rattler import Channel, SparseRepoData  # noqa: PLC0415 - large, and not for --help

        self.channel = channel
        self.subdir = subdir
        self.file = file
        self._name = name or channel
        with _explained(self._name, subdir):
            self._data = SparseRepoData(Channel(channel), subdir, file)

    def archives(self, records: Iterable[rattler.RepoDataRecord]) -> list[IndexedArchive]:
        """*records*, which are of this index, as :func:`indexed`."""
        return [indexed(record, [self.subdir]) for record in records]

    def matching(self, wanted: Wanted) -> list[rattler.RepoDataRecord]:
        """The records of what is *wanted*: of a spec, those that match; ``ChannelError`` where one is malformed."""
        from rattler import MatchSpec, PackageFormatSelection  # noqa: PLC0415 - see above

        if wanted.subdir not in (None, self.subdir):
            return []
        if wanted.filename is not None:
            return [record for record in self.named(wanted.name) if record.file_name == wanted.filename]
        with _explained(self._name, self.subdir):
            return self._data.load_matching_records([MatchSpec(wanted.text)], PackageFormatSelection.BOTH)

    def named(self, name: str) -> list[rattler.RepoDataRecord]:
        """The records of the package *name*; raises as :meth:`matching`."""
        from rattler import PackageFormatSelection, PackageName  # noqa: PLC0415 - see above

        with _explained(self._name, self.subdir):
            return self._data.load_records(PackageName(name), PackageFormatSelection.BOTH)

    def everything(self) -> list[rattler.RepoDataRecord]:
        """All records, of both formats; raises as :meth:`matching`."""
        from rattler import PackageFormatSelection  # noqa: PLC0415 - see above

        with _explained(self._name, self.subdir):
            return self._data.load_all_records(PackageFormatSelection.BOTH)


def best(records: Iterable[rattler.RepoDataRecord]) -> rattler.RepoDataRecord | None:
    """The one that a solver would rather take: no tracked features, then the highest version, build number, time."""
    return max(records, key=_rank, default=None)


def _rank(record: rattler.RepoDataRecord) -> tuple[Any, ...]:
    made = record.timestamp.timestamp() if record.timestamp is not None else 0.0
    return not record.track_features, record.version, record.build_number, made, record.file_name.endswith(".conda")


def indexed(record: rattler.RepoDataRecord, subdirs: Collection[str]) -> IndexedArchive:
    """What is needed of *record*, of the index of one of *subdirs*, to fetch its file.

    Raises:
        ChannelError: code ``bad-index``: it names a file, or a place, that no archive can have; or a place where
            anybody on the way can change the bytes, and no hash.
    """
    url = without_credential(record.url)
    shown = redact(url[:200])
    # Only a channel in a folder has archives in a folder: no server says which files of this machine are read.
    scheme, channel = scheme_and_host(url)[0], record.channel or ""
    possible = is_file_here(url) if scheme == "file" and channel.startswith("file:") else scheme in ("http", "https")
    if not possible or holds_credential(url) or unquote(url.rpartition("/")[2]) != record.file_name:
        raise ChannelError(
            f"the index has {record.file_name!r} at {shown!r}, which is not a valid place for it", code="bad-index"
        )
    if record.subdir not in subdirs:
        raise ChannelError(
            f"the index of {' and '.join(subdirs)} has {record.file_name!r}, which says that it is of "
            f"{record.subdir[:40]!r}",
            code="bad-index",
        )
    if record.sha256 is None and record.md5 is None and scheme == "http" and channel.startswith("https:"):
        raise ChannelError(
            f"the index has no hash of {record.file_name!r}, which is at {shown!r} without encryption",
            code="bad-index",
        )
    return IndexedArchive(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        subdir=record.subdir,
        filename=record.file_name,
        url=url,
        size=record.size,
        sha256=None if record.sha256 is None else record.sha256.hex(),
        md5=None if record.md5 is None else record.md5.hex(),
        attestations_sha256=None if record.attestations_sha256 is None else record.attestations_sha256.hex(),
        has_record=True,
    )


def in_few_words(text: str) -> str:
    """*text*, in which an index may be quoted at length, as far as a person reads it; no line of it is empty."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    short = "\n".join([line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..." for line in lines[:_LINES]])
    return short if len(lines) <= _LINES and len(short) <= _LONGEST_TEXT else f"{short[:_LONGEST_TEXT]}\n..."


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
        f"{redact(text)!r} is not a valid spec: {why}",
        hint="Write it like 'numpy >=2', or name a file: numpy-2.1.0-py312h1_0.conda.",
        code="bad-spec",
    )
