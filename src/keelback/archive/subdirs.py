"""The subdirs of a channel, and the one in which a package without a ``subdir`` of its own belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NOARCH: Final = "noarch"

SUBDIRS: Final[tuple[str, ...]] = (
    NOARCH,
    "android-32",
    "android-64",
    "android-aarch64",
    "android-armv7a",
    "emscripten-wasm32",
    "emscripten-wasm64",
    "freebsd-32",
    "freebsd-64",
    "freebsd-arm64",
    "freebsd-ppc64",
    "freebsd-ppc64le",
    "ios-arm64",
    "iossimulator-64",
    "iossimulator-arm64",
    "linux-32",
    "linux-64",
    "linux-aarch64",
    "linux-armv6l",
    "linux-armv7l",
    "linux-loongarch64",
    "linux-ppc",
    "linux-ppc64",
    "linux-ppc64le",
    "linux-riscv32",
    "linux-riscv64",
    "linux-s390x",
    "osx-64",
    "osx-arm64",
    "wasi-wasm32",
    "win-32",
    "win-64",
    "win-arm64",
    "zos-z",
)
"""Those that conda (``KNOWN_SUBDIRS``) and rattler (``Subdir``) know; no client looks into another one."""

_PLATFORMS: Final = {"darwin": "osx", "windows": "win"}
_ARCHITECTURES: Final = {"x86_64": "64", "amd64": "64", "x86": "32", "i386": "32", "i686": "32"}


def implied_subdir(index: Mapping[str, Any]) -> str | None:
    """The subdir that ``noarch``, or ``platform`` and ``arch``, of an ``index.json`` without ``subdir`` stand for.

    conda-build wrote no ``subdir`` before version 2 (2016); conda then took it from these fields, too.
    """
    if index.get("noarch"):
        return NOARCH
    platform, arch = index.get("platform"), index.get("arch")
    if not isinstance(platform, str) or not isinstance(arch, str):
        return None
    platform = _PLATFORMS.get(platform, platform)
    arch = _ARCHITECTURES.get(arch, arch)
    other_word = {"aarch64": "arm64", "arm64": "aarch64"}.get(arch, arch)
    return next((subdir for word in (arch, other_word) if (subdir := f"{platform}-{word}") in SUBDIRS), None)
