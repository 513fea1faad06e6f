"""A ``.conda`` (CEP 35): a zip with two tars, the metadata and the payload, of which only the metadata is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO, Final

from keelback.archive.findings import BUILD_AGAIN, Findings, Unreadable, named, quoted
from keelback.archive.formats import MAX_INFO
from keelback.archive.info import InfoFiles, read_info
from keelback.archive.streams import BoundedReader, Readable
from keelback.archive.strictjson import parse_object
from keelback.archive.tar import TarReader
from keelback.archive.zip import STORED, EntryReader, ZipEntry, read_directory

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WINDOW: Final = 128 << 20
"""The memory that a zstd frame may ask for; no reader of packages allows more."""
MAX_METADATA: Final = 1 << 16
"""Bytes of ``metadata.json``, which has 31."""

_COMPONENT: Final = re.compile(r"(info|pkg)-(.+)\.tar\.zst", re.DOTALL)
_UNSAFE_NAME: Final = re.compile(r"^/|^[A-Za-z]:|\\|(?:^|/)\.\.(?:/|$)|[\x00-\x1f]")


def read_conda(file: BinaryIO, size: int, stem: str, findings: Findings) -> InfoFiles:
    """The ``info/`` folder of a ``.conda``; of its payload no byte is read.

    Args:
        file: the archive.
        size: its size.
        stem: its name without the extension.
        findings: takes what is wrong.

    Raises:
        Unreadable: it cannot be read any further.
    """
    entries = read_directory(file, size)
    for entry in entries:
        _check_entry(entry, findings)
    components = _components(entries, stem, findings)
    _check_format_version(file, entries, findings)
    if "pkg" not in components:
        findings.error(
            "no-payload",
            f"has no pkg-{named(stem)}.tar.zst: conda cannot install it (CEP 35)",
            hint="Build the package again; one without files has an empty payload, not none.",
        )
    entry = components["info"]
    what = f"its {named(entry.name)}"
    stream = BoundedReader(_zstd_reader(EntryReader(file, entry), what), MAX_INFO, what)
    info = read_info(TarReader(stream, what), findings)
    stream.drain()
    return info


def _check_entry(entry: ZipEntry, findings: Findings) -> None:
    if _UNSAFE_NAME.search(entry.name) or not entry.name:
        findings.error(
            "unsafe-path",
            f"has an entry {quoted(entry.name)}: an absolute path, a drive, a backslash, '..' or a control character",
            field=entry.name,
            hint="Do not unpack this file.",
        )
    elif entry.length_behind:
        findings.warning(
            "zip-streamed",
            f"has the length of its entry {quoted(entry.name)} behind it only: rattler and pixi cannot install that",
            field=entry.name,
            hint="Write the .conda to a file, not to a pipe.",
        )
    elif entry.method != STORED and entry.packed:
        findings.warning(
            "zip-compressed",
            f"has a compressed entry {quoted(entry.name)}; entries of a .conda are stored as they are (CEP 35)",
            field=entry.name,
            hint="Pack it with 'zip -0', or build it again.",
        )


def _components(entries: list[ZipEntry], stem: str, findings: Findings) -> dict[str, ZipEntry]:
    """The entries with the metadata (``info``) and the payload (``pkg``)."""
    found: dict[str, ZipEntry] = {}
    for entry in entries:
        match = _COMPONENT.fullmatch(entry.name)
        if not match:
            continue
        if match[1] in found:
            raise Unreadable("duplicate-entry", f"has more than one {match[1]}-*.tar.zst; readers take different ones")
        found[match[1]] = entry
        if match[2] != stem:
            findings.warning(
                "inner-name",
                f"has an entry {quoted(entry.name)}; conda looks for {match[1]}-{named(stem)}.tar.zst only",
                field=entry.name,
                hint="Do not rename a .conda; build it under its own name.",
            )
    if "info" not in found:
        nested = next((entry.name for entry in entries if re.search(r"/info-[^/]+\.tar\.zst$", entry.name)), None)
        if nested:
            hint = "It was zipped with its folder around it: zip the three files at the top level, or build it again."
            raise Unreadable(
                "no-info", f"has its metadata in a folder, as {quoted(nested)}, where nobody looks", hint=hint
            )
        hint = "A .conda holds metadata.json, info-*.tar.zst and pkg-*.tar.zst (CEP 35)."
        raise Unreadable("no-info", "is a zip, but not a package: it has no info-*.tar.zst", hint=hint)
    return found


def _check_format_version(file: BinaryIO, entries: list[ZipEntry], findings: Findings) -> None:
    """``metadata.json`` has to say 2 if it says anything; no client known insists on it."""
    entry = next((entry for entry in entries if entry.name == "metadata.json"), None)
    if entry is None or entry.size == 0:
        findings.warning(
            "no-format-version",
            f"has {'no' if entry is None else 'an empty'} metadata.json",
            field="metadata.json",
            hint='It should be {"conda_pkg_format_version": 2} (CEP 35).',
        )
        return
    if entry.size > MAX_METADATA:
        raise Unreadable("too-large", f"has a metadata.json of {entry.size} bytes", field="metadata.json")
    version = parse_object(EntryReader(file, entry).read_all(), "metadata.json").get("conda_pkg_format_version")
    if version != 2 or isinstance(version, bool):
        findings.error(
            "format-version",
            f"says in its metadata.json that its format is {quoted(version)}; the one that is known is 2",
            field="metadata.json: conda_pkg_format_version",
            hint="Build the package with a current conda-build or rattler-build.",
        )


def _zstd_reader(stream: EntryReader, what: str) -> Readable:
    import zstandard  # noqa: PLC0415 - costs more to import than to use, and a .tar.bz2 does not need it

    reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(stream, read_across_frames=True)  # type: ignore[arg-type] # wants only read()
    return _Guarded(reader.read, zstandard.ZstdError, what)


class _Guarded:
    """A stream whose own kind of error says that the archive is damaged."""

    def __init__(self, read: Callable[[int], bytes], error: type[Exception], what: str) -> None:
        self._read = read
        self._error = error
        self._what = what

    def read(self, size: int, /) -> bytes:
        """Up to *size* bytes; none at the end."""
        try:
            return self._read(size)
        except self._error as error:
            raise Unreadable(
                "damaged", f"is damaged: {self._what} does not unpack ({error})", hint=BUILD_AGAIN
            ) from None
