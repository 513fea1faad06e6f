"""The types of the members of a record.

One record with a member of another type makes rattler refuse the index that has it. (CEP 36, package record metadata;
rattler, ``rattler_conda_types::PackageRecord``.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_207_200_000)]
"""Since 1970; what rattler takes ends with the year 9999."""
_Text = str | None
_Texts = list[str]

MEMBERS: Final[Mapping[str, Any]] = {
    "arch": _Text,
    "build_number": _Count,
    "constrains": _Texts | None,
    "depends": _Texts,
    "extra_depends": dict[str, _Texts] | None,
    "features": _Text,
    "flags": _Texts | None,
    "indexed_timestamp": _Milliseconds | None,
    "legacy_bz2_md5": Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f]{32}$")] | None,
    "legacy_bz2_size": _Count | None,
    "license": _Text,
    "license_family": _Text,
    "noarch": bool | Literal["generic", "python"] | None,
    "platform": _Text,
    "purls": list[Annotated[str, msgspec.Meta(pattern="^pkg:[a-z][a-z0-9.+-]*/[^/@?#]")]] | None,
    "python_site_packages_path": _Text,
    "run_exports": dict[str, _Texts] | None,
    "timestamp": _Milliseconds | None,
    "track_features": str | _Texts | None,
}
"""Of each member that readers know, apart from those that say which file a record is of; ``None``: it may be absent."""


def misfits(members: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names of those of *members* that have another type, in order, each with what is wrong with it."""
    for member in sorted(MEMBERS.keys() & members.keys()):
        try:
            msgspec.convert(members[member], MEMBERS[member])
        except msgspec.ValidationError as error:
            yield member, str(error)
