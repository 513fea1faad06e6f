"""For which label of conda-forge a package is: ``channel_targets`` in its ``info/recipe/variant_config.yaml``.

rattler-build keeps there the variant that a package was built of. Of that file one key is read: a mapping in YAML with
this key at its top level, and a string or a list of strings behind it (conda-smithy, ``.ci_support/*.yaml``), or the
same in JSON.
"""

from __future__ import annotations

import bz2
import json
import re
from typing import TYPE_CHECKING, BinaryIO, Final

from keelback.archive.conda import MAX_WINDOW
from keelback.archive.findings import Unreadable, quoted
from keelback.archive.formats import CONDA, MAX_INFO
from keelback.archive.info import INDEX
from keelback.archive.streams import BoundedReader
from keelback.archive.tar import TarReader
from keelback.archive.tarbz2 import MAX_RATIO
from keelback.archive.zip import EntryReader, read_directory
from keelback.channels.target import check_name
from keelback.errors import ArchiveError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.archive import PackageArchive
    from keelback.archive.streams import Readable

OWNER: Final = "conda-forge"
VARIANT_CONFIG: Final = "info/recipe/variant_config.yaml"

_LARGEST: Final = 1 << 20
_KEY: Final = re.compile(r"""(["']?)channel_targets\1[ \t]*:(?:[ \t]+(?P<value>.*))?""")
_ITEM: Final = re.compile(r"[ \t]*-[ \t]+(?P<value>.+)")
_NOTHING: Final = re.compile(r"[ \t]*(?:#.*)?")
_SCALAR: Final = re.compile(r"""(?:"(?P<double>[^"\\]*)"|'(?P<single>[^']*)'|(?P<plain>[^"'].*?))[ \t]*(?:[ \t]#.*)?""")
_HINT: Final = "Packages of a feedstock say it: build it with rattler-build and the feedstock's variant configuration."


def label_of(archive: PackageArchive) -> str:
    """The label of conda-forge that *archive* is for, such as ``main``.

    Raises:
        ArchiveError: it does not say, or it is for another owner, or for several labels.
    """
    targets = targets_in(_variant_config(archive))
    if not targets:
        raise _error(archive, f"its {VARIANT_CONFIG} has no channel_targets that can be read")
    if len(targets) > 1:
        raise _error(archive, f"it is for several targets ({', '.join(map(quoted, targets))}); one of them can be met")
    owner, _, label = targets[0].strip().partition(" ")
    if owner != OWNER:
        raise _error(archive, f"it is for {quoted(targets[0])}, which is not in {OWNER}")
    try:
        return check_name(label.strip(), "the label")
    except UsageError as error:
        raise _error(archive, f"its target is {quoted(targets[0])}: {error}") from error


def targets_in(config: bytes) -> list[str]:
    """The ``channel_targets`` of a variant configuration; empty where it has none, or none in a form that is known."""
    text = config.decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        return _targets_in_json(text)
    lines = iter(text.splitlines())
    found: list[list[str]] = [_value(match["value"] or "", lines) for line in lines if (match := _KEY.fullmatch(line))]
    return found[0] if len(found) == 1 else []


def _targets_in_json(text: str) -> list[str]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return []
    value = document.get("channel_targets")
    values = value if isinstance(value, list) else [value]
    return values if all(isinstance(each, str) for each in values) else []


def _value(value: str, lines: Iterator[str]) -> list[str]:
    """The value after a key: a scalar, a list in brackets, or items on the next of *lines*."""
    if _NOTHING.fullmatch(value):
        return _scalars(_items(lines))
    inner = re.fullmatch(r"\[(.*)\][ \t]*(?:[ \t]#.*)?", value)
    return _scalars(inner[1].split(",") if inner else [value])


def _items(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        item = _ITEM.fullmatch(line)
        if item is not None:
            yield item["value"]
        elif not _NOTHING.fullmatch(line):
            return


def _scalars(texts: Iterator[str] | list[str]) -> list[str]:
    """*texts* without quotes and comments; empty where one of them is no such scalar."""
    matches = [_SCALAR.fullmatch(text.strip()) for text in texts]
    found = [next((text for text in match.groups() if text is not None), "") for match in matches if match]
    return found if len(found) == len(matches) else []


def _variant_config(archive: PackageArchive) -> bytes:
    """The file of that name in *archive*, which has passed its checks.

    Raises:
        ArchiveError: there is none, or it cannot be read.
    """
    import zstandard  # noqa: PLC0415 - takes long to import, and is for packages of conda-forge only

    try:
        with archive.path.open("rb") as file:
            content = _find(_info_tar(archive, file))
    except (Unreadable, OSError, EOFError, zstandard.ZstdError) as error:
        raise _error(archive, f"its {VARIANT_CONFIG} cannot be read: {error}") from error
    if content is None:
        raise _error(archive, f"it has no {VARIANT_CONFIG}")
    return content


def _info_tar(archive: PackageArchive, file: BinaryIO) -> TarReader:
    import zstandard  # noqa: PLC0415 - see above

    stream: Readable
    if archive.extension == CONDA:
        entries = read_directory(file, archive.size)
        entry = next(entry for entry in entries if entry.name.startswith("info-"))
        packed = EntryReader(file, entry)
        unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        stream = unpacker.stream_reader(packed, read_across_frames=True)  # type: ignore[arg-type] # wants only read()
        return TarReader(BoundedReader(stream, MAX_INFO, "its info"), "its info")
    stream = bz2.BZ2File(file)
    return TarReader(BoundedReader(stream, MAX_INFO + MAX_RATIO * archive.size, "its tar"), "its tar")


def _find(tar: TarReader) -> bytes | None:
    """The content of the file, looked for up to the first member behind ``info/``."""
    is_past_index = False
    for member in tar.members():
        name = member.name.removeprefix("./")
        if name == VARIANT_CONFIG and member.is_file and member.size <= _LARGEST:
            return tar.content()
        if is_past_index and not name.startswith("info/"):
            return None
        is_past_index = is_past_index or name == INDEX
    return None


def _error(archive: PackageArchive, why: str) -> ArchiveError:
    return ArchiveError(
        f"{archive.filename}: for which label of {OWNER} it is cannot be told: {why}",
        hint=_HINT,
        code="no-label",
    )
