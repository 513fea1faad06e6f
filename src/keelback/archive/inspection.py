"""From a path to a :class:`~keelback.archive.PackageArchive`, or to everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from keelback.archive.conda import read_conda
from keelback.archive.fields import check_filename, check_identity, check_index
from keelback.archive.findings import Findings, Unreadable, archive_error, quoted
from keelback.archive.formats import CONDA, EXTENSIONS, check_magic
from keelback.archive.info import INDEX
from keelback.archive.package import PackageArchive
from keelback.archive.source import LazyDigest, Source, reason
from keelback.archive.strictjson import parse_object
from keelback.archive.subdirs import SUBDIRS, implied_subdir
from keelback.archive.tarbz2 import read_tar_bz2
from keelback.errors import UsageError

if TYPE_CHECKING:
    from keelback.archive.info import InfoFiles


def inspect(path: str | Path, *, subdir: str | None = None) -> PackageArchive:
    """Read what a package says of itself, and check it.

    Of a ``.conda`` the zip directory and ``info-*.tar.zst`` are read, of a ``.tar.bz2`` the beginning, up to the end of
    ``info/``, and the last bytes. Hashes are computed when they are asked for.

    An archive without ``subdir`` gets the one that its ``noarch``, or its ``platform`` and ``arch``, stand for; failing
    that, the one after which its folder is named. Both are warnings.

    Args:
        path: a ``.conda`` or ``.tar.bz2``.
        subdir: where an archive belongs that does not say so itself.

    Raises:
        ArchiveError: it cannot be published; its ``findings`` say why.
        keelback.errors.UsageError: *subdir* is none that clients know.
    """
    if subdir is not None and subdir not in SUBDIRS:
        raise UsageError(f"{quoted(subdir)} is no subdir that clients know", hint=f"Known are {', '.join(SUBDIRS)}.")
    path = Path(path)
    findings = Findings(path)
    try:
        return _inspect(path, subdir, findings)
    except Unreadable as problem:
        findings.add(problem)
    raise archive_error(findings.all())


def _inspect(path: Path, subdir: str | None, findings: Findings) -> PackageArchive:
    extension = next((extension for extension in EXTENSIONS if path.name.endswith(extension)), None)
    if extension is None:
        raise Unreadable("file-type", "is no package: its name ends neither in .conda nor in .tar.bz2")
    source = Source(path)
    well_named = check_filename(path.name, findings)
    files = _read(source, extension, findings)
    if files.index is None:
        raise Unreadable("no-index", f"has no {INDEX}", field=INDEX, hint="Build the package again.")
    index = parse_object(files.index, "index.json")
    about = {} if files.about is None else _parse_about(files.about, findings)
    check_index(index, findings)
    if well_named:
        check_identity(index, path.name, extension, findings)
    place = _subdir(index, path, subdir, findings)
    warnings = findings.verdict()
    return PackageArchive(
        path=path,
        extension=extension,
        name=index["name"],
        version=index["version"],
        build=index["build"],
        subdir=place,
        index=MappingProxyType(index),
        about=MappingProxyType(about),
        findings=warnings,
        _source=source,
        _sha256=LazyDigest(source, "sha256"),
        _md5=LazyDigest(source, "md5"),
    )


def _read(source: Source, extension: str, findings: Findings) -> InfoFiles:
    size = source.stamp.size
    try:
        with source.path.open("rb") as file:
            check_magic(file.read(32), extension)
            if extension == CONDA:
                return read_conda(file, size, source.path.name.removesuffix(CONDA), findings)
            return read_tar_bz2(file, size, findings)
    except OSError as error:
        raise Unreadable(
            "unreadable", f"cannot be read: {reason(error)}", hint="Check the permissions of the file and its folders."
        ) from error


def _parse_about(raw: bytes, findings: Findings) -> dict[str, Any]:
    try:
        return parse_object(raw, "about.json")
    except Unreadable as problem:
        findings.add(problem)
        return {}


def _subdir(index: dict[str, Any], path: Path, wanted: str | None, findings: Findings) -> str:
    """Where the archive belongs; empty, with an error reported, when nobody says."""
    field = "index.json: subdir"
    own = index.get("subdir")
    if own is not None:
        if wanted is not None and own != wanted:
            message = f"index.json says that it belongs in {quoted(own)}, not in {wanted}"
            findings.error("subdir-mismatch", message, field=field, hint="Leave --subdir out for this file.")
        return str(own)
    if wanted is not None:
        return wanted
    implied = implied_subdir(index)
    folder = path.absolute().parent.name
    hint = "Some servers and indexers insist on the field: build the package again with a current tool."
    if implied is not None:
        message = f"index.json has no 'subdir'; from its other fields, it belongs in {implied}"
        findings.warning("implied-subdir", message, field=field, hint=hint)
        return implied
    if folder in SUBDIRS:
        message = f"index.json has no 'subdir'; by the folder it is in, it belongs in {folder}"
        findings.warning("implied-subdir", message, field=field, hint=hint)
        return folder
    hint = "Say where it belongs with --subdir, or put it into a folder of that name, such as linux-64."
    findings.error(
        "no-subdir", "index.json has no 'subdir', and nothing else says where it belongs", field=field, hint=hint
    )
    return ""
