"""The fields of ``info/index.json``: what has to be there (CEP 34), and how names are spelt (CEP 26)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from keelback.archive.findings import Findings, named, quoted
from keelback.archive.subdirs import NOARCH, SUBDIRS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_NAME: Final = 64
"""Characters of a name, a version or a build string (CEP 26)."""
MAX_FILENAME: Final = 211
"""Characters of a file name (CEP 26)."""

_FILENAME: Final = re.compile(r"[A-Za-z0-9_.+!-]+")
_CORRECT_RECIPE: Final = "Correct the recipe and build the package again."

_SPELLING: Final = {
    "name": (
        re.compile(r"(?:[a-z0-9]|[a-z0-9_](?!_))[._-]?(?:[a-z0-9]+(?:[._-]|$))*", re.IGNORECASE),
        "letters, digits, '_', '-' and '.', no two of the latter together",
    ),
    "version": (re.compile(r"[A-Za-z0-9_.+!]+"), "letters, digits, '_', '.', '+' and '!'"),
    "build": (re.compile(r"[A-Za-z0-9_.+]+"), "letters, digits, '_', '.' and '+'"),
}
_LOWERCASE: Final = ("name", "version")


def check_filename(filename: str, findings: Findings) -> bool:
    """Whether *filename* has only characters that every file system, URL and server takes, and not too many."""
    good = True
    if not _FILENAME.fullmatch(filename):
        good = False
        findings.error(
            "file-name",
            f"the file name {quoted(filename)} has characters that file names of packages cannot have (CEP 26)",
            hint="Only ASCII letters, digits and _ . + ! - can be there.",
        )
    if len(filename) > MAX_FILENAME:
        good = False
        findings.error(
            "too-long", f"the file name has {len(filename)} characters, at most {MAX_FILENAME} work (CEP 26)"
        )
    return good


def check_index(index: Mapping[str, Any], findings: Findings) -> None:
    """Findings every field that is missing, of the wrong type, or spelt so that clients do not take it."""
    for field in _SPELLING:
        _check_spelling(index, field, findings)
    for field, (accepts, expected) in _TYPES.items():
        if field in index and not accepts(index[field]):
            message = f"index.json has {quoted(index[field])} as {field!r}, which should be {expected}"
            findings.error("bad-field", message, field=f"index.json: {field}", hint=_CORRECT_RECIPE)
    if "build_number" not in index:
        _report_missing("build_number", findings)
    _check_subdir(index, findings)


def check_identity(index: Mapping[str, Any], filename: str, extension: str, findings: Findings) -> None:
    """Findings a file name that is not the one that name, version and build give (CEP 26, Filenames)."""
    parts = [index.get(field) for field in _SPELLING]
    if not all(isinstance(part, str) and part for part in parts):
        return
    expected = "-".join(map(str, parts)) + extension
    if filename != expected:
        findings.error(
            "file-name",
            f"index.json says that the file is called {named(expected)}",
            field="index.json: name, version, build",
            hint="Give the file that name, if it is the one you mean to publish; a .conda has to be built again.",
        )


def _check_spelling(index: Mapping[str, Any], field: str, findings: Findings) -> None:
    place = f"index.json: {field}"
    value = index.get(field)
    if value is None:
        _report_missing(field, findings)
        return
    if not isinstance(value, str) or not value:
        message = f"index.json has {quoted(value)} as {field!r}, which should be a string that is not empty"
        findings.error("bad-field", message, field=place, hint=_CORRECT_RECIPE)
        return
    pattern, allowed = _SPELLING[field]
    if len(value) > MAX_NAME:
        message = f"the {field} in index.json has {len(value)} characters, at most {MAX_NAME} work (CEP 26)"
        findings.error("too-long", message, field=place, hint=_CORRECT_RECIPE)
    elif not pattern.fullmatch(value):
        message = f"the {field} {quoted(value)} in index.json is not spelt as packages are: {allowed} (CEP 26)"
        findings.error("bad-spelling", message, field=place, hint=_CORRECT_RECIPE)
    elif field in _LOWERCASE and value != value.lower():
        message = f"the {field} {quoted(value)} has upper-case letters, which clients turn into lower case or refuse"
        findings.warning("upper-case", message, field=place, hint=_CORRECT_RECIPE)


def _check_subdir(index: Mapping[str, Any], findings: Findings) -> None:
    subdir = index.get("subdir")
    if subdir is None:
        return
    place = "index.json: subdir"
    if not isinstance(subdir, str):
        message = f"index.json has {quoted(subdir)} as 'subdir', which should be a string"
        findings.error("bad-field", message, field=place, hint=_CORRECT_RECIPE)
    elif subdir not in SUBDIRS:
        message = f"index.json has {quoted(subdir)} as 'subdir', into which no client looks"
        hint = "Known are noarch, linux-64, osx-arm64, win-64 and the like."
        findings.error("unknown-subdir", message, field=place, hint=hint)
    elif index.get("noarch") and subdir != NOARCH:
        message = f"index.json says both noarch and the subdir {subdir}"
        findings.warning(
            "noarch-in-subdir", message, field=place, hint="A noarch package belongs in the subdir noarch."
        )


def _report_missing(field: str, findings: Findings) -> None:
    findings.error("missing-field", f"index.json has no {field!r}", field=f"index.json: {field}", hint=_CORRECT_RECIPE)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_string_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_noarch(value: object) -> bool:
    return value is None or isinstance(value, bool) or value in ("python", "generic")  # a list cannot be hashed


_TYPES: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "build_number": (_is_count, "a number from 0 up"),
    "depends": (_is_string_list, "a list of strings"),
    "constrains": (_is_string_list, "a list of strings"),
    "timestamp": (_is_count, "a number: milliseconds since 1970"),
    "license": (lambda value: value is None or isinstance(value, str), "a string"),
    "noarch": (_is_noarch, "'python' or 'generic'"),
}
