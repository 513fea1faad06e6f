"""Packages and releases on anaconda.org: they are described before a file can be sent (anaconda-client)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keelback.channels.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.archive import PackageArchive
    from keelback.channels.anaconda_api import Owner

_SHOWN: Final = (
    "description",
    "dev_url",
    "doc_url",
    "home",
    "license",
    "license_family",
    "license_url",
    "source_url",
    "summary",
)


class Releases:
    """The packages and releases of an owner, each described once in a run for all files of it.

    Args:
        owner: whose they are.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._described: Memo[bool] = Memo()

    def describe(self, archive: PackageArchive) -> None:
        """Create or update package and release of *archive*, unless that was done in this run."""
        package = archive.name.lower()
        is_new = self._described.get(package, lambda: self._describe_package(archive))
        self._described.get((package, archive.version), lambda: self._describe_release(archive, of_new=is_new))

    def restore(self, archive: PackageArchive) -> None:
        """Create again what the server removed with the last file of a release or a package."""
        if not self._owner.exists(self._package(archive)):
            self._describe_package(archive)
        if not self._owner.exists(self._release(archive)):
            self._describe_release(archive, of_new=True)

    def _describe_package(self, archive: PackageArchive) -> bool:
        """Create or update the package; returns whether it is new."""
        path = self._package(archive)
        about = {**_about(archive), "package_types": ["conda"], "name": archive.name.lower()}
        exists = self._owner.exists(path)
        if exists:
            # without "public": sending it, as others do, would turn a private package public
            self._change("PATCH", path, {"public_attrs": about})
        else:
            self._change("POST", path, {"public": True, "publish": False, "public_attrs": about})
        return not exists

    def _describe_release(self, archive: PackageArchive, *, of_new: bool) -> bool:
        """Create or update the release, which a package that is *of_new* cannot have yet; returns whether it is new."""
        path = self._release(archive)
        exists = not of_new and self._owner.exists(path)
        if exists:
            self._change("PATCH", path, {"public_attrs": _about(archive)})
        else:
            self._change("POST", path, {"description": None, **_about(archive), "requirements": [], "announce": False})
        return not exists

    def _package(self, archive: PackageArchive) -> str:
        return self._owner.path("package", archive, depth=1)

    def _release(self, archive: PackageArchive) -> str:
        return self._owner.path("release", archive, depth=2)

    def _change(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        answer = self._owner.call(method, path, body)
        if method == "POST" and answer.status == 409:  # somebody else was quicker, or an answer to us got lost
            return
        self._owner.demand(answer)


def _about(archive: PackageArchive) -> dict[str, Any]:
    """What the server shows of a package (anaconda-client, ``inspect_package/conda.py``), from its about.json."""
    return {key: archive.about[key] for key in _SHOWN if key in archive.about}
