"""``info/index.json`` and ``info/about.json``, out of the tar that holds them."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keelback.archive.findings import Findings, Unreadable, quoted

if TYPE_CHECKING:
    from keelback.archive.tar import Member, TarReader

INDEX: Final = "info/index.json"
ABOUT: Final = "info/about.json"

_LARGEST: Final = {INDEX: 1 << 20, ABOUT: 1 << 20}
"""Bytes, ten times the largest known: an ``index.json`` has some 100 kB of dependencies, and so has an ``about.json``
that lists whole environments."""

_UNSAFE: Final = re.compile(r"^/|^[A-Za-z]:|\\|(?:^|/)\.\.(?:/|$)")


@dataclass(slots=True)
class InfoFiles:
    """The files of the ``info/`` folder that keelback reads, as bytes, by their path."""

    found: dict[str, bytes] = field(default_factory=dict)

    @property
    def index(self) -> bytes | None:
        """``info/index.json``."""
        return self.found.get(INDEX)

    @property
    def about(self) -> bytes | None:
        """``info/about.json``."""
        return self.found.get(ABOUT)


def read_info(tar: TarReader, findings: Findings) -> InfoFiles:
    """Read *tar* up to the first member behind ``info/``, or to its end.

    Builders put ``info/`` first, so that of a ``.tar.bz2`` no more than its beginning is unpacked. One that has it last
    is read to its end. Members that are not read are not checked either.

    Raises:
        Unreadable: the tar cannot be read, or one of the two files is too large or is there twice.
    """
    info = InfoFiles()
    for member in tar.members():
        name = _normal(member.name)
        inside = name == "info" or name.startswith("info/")
        if not inside and info.index is not None:
            break
        _check_member(member, findings, inside=inside)
        if name in _LARGEST:
            _take(info, name, member, tar, findings)
    return info


def _take(info: InfoFiles, name: str, member: Member, tar: TarReader, findings: Findings) -> None:
    if name in info.found:
        raise Unreadable("duplicate-member", f"has {name} twice; readers differ in which one they take", field=name)
    if not member.is_file:
        raise Unreadable(
            "not-a-plain-file", f"has {name} as a link or something else that is not a plain file", field=name
        )
    if member.size > _LARGEST[name]:
        raise Unreadable("too-large", f"has an {name} of {member.size} bytes", field=name)
    if member.name != name:
        findings.warning(
            "member-name",
            f"has {name} under the name {quoted(member.name)}, by which some indexers do not find it",
            field=name,
            hint="Pack the content of the package's folder, not the folder '.'.",
        )
    info.found[name] = tar.content()


def _check_member(member: Member, findings: Findings, *, inside: bool) -> None:
    """Names may not lead out of the folder that a package is unpacked into, nor may links.

    Symbolic links of the payload are left alone: system packages have absolute ones for good reason.
    """
    if _UNSAFE.search(member.name) or not member.name:
        findings.error(
            "unsafe-path",
            f"has a member {quoted(member.name)}: an absolute path, a drive, a backslash or '..'",
            field=member.name,
            hint="Do not unpack this file; a package's members are relative paths with forward slashes.",
        )
    if member.is_hardlink:
        target = member.link
    elif member.is_symlink and inside:
        target = posixpath.join(posixpath.dirname(_normal(member.name)), member.link)
    else:
        return
    if _leads_out(target):
        findings.error(
            "unsafe-path",
            f"has a link {quoted(member.name)} that points to {quoted(member.link)}, outside the package",
            field=member.name,
            hint="Do not unpack this file; links in a package stay inside it.",
        )


def _leads_out(target: str) -> bool:
    if re.match(r"/|[A-Za-z]:", target) or "\\" in target:
        return True
    depth = 0
    for part in target.split("/"):
        depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
        if depth < 0:
            return True
    return False


def _normal(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in {"", "."})
