"""Packages that were built by others: conda-build of 2014 to 2024, rattler-build, and by hand.

They are public test data of conda, rattler, Quetz and anaconda-client; the folder that holds them is named by the
environment variable ``KEELBACK_PACKAGES``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keelback.archive import inspect
from keelback.errors import ArchiveError

GOOD = {
    "bcj-cffi-0.5.1-py310h295c915_0.tar.bz2": "linux-64",
    "clobber-1-0.1.0-h4616a5c_0.tar.bz2": "noarch",
    "clobber-1-0.2.0-h4616a5c_0.tar.bz2": "noarch",
    "clobber-2-0.1.0-h4616a5c_0.tar.bz2": "noarch",
    "clobber-2-0.2.0-h4616a5c_0.tar.bz2": "noarch",
    "clobber-3-0.1.0-h4616a5c_0.tar.bz2": "noarch",
    "clobber-3-0.2.0-h4616a5c_0.tar.bz2": "noarch",
    "clobber-directory-upgrade-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-directory-upgrade-0.2.0-h4616a5c_0.conda": "noarch",
    "clobber-fd-1-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-fd-2-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-fd-2-conflicting-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-fd-3-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-fd-rev-1-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-fd-rev-2-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-fd-rev-3-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-nested-1-0.1.0-h4616a5c_0.tar.bz2": "noarch",
    "clobber-nested-2-0.1.0-h4616a5c_0.tar.bz2": "noarch",
    "clobber-nested-3-0.1.0-h4616a5c_0.tar.bz2": "noarch",
    "clobber-pynoarch-1-0.1.0-pyh4616a5c_0.tar.bz2": "noarch",
    "clobber-pynoarch-2-0.1.0-pyh4616a5c_0.tar.bz2": "noarch",
    "clobber-pypy-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-python-0.1.0-cpython.conda": "noarch",
    "clobber-python-0.1.0-pypy.conda": "noarch",
    "clobber-with-dir-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-with-symlink-a-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-with-symlink-b-0.1.0-h4616a5c_0.conda": "noarch",
    "clobber-without-dir-0.1.0-h4616a5c_0.conda": "noarch",
    "conda_gc_test-1.2.1-3.tar.bz2": "linux-64",
    "conda_gc_test-1.2.1-py27_3.tar.bz2": "osx-64",
    "conda_gc_test-2.2.1-py27_3.tar.bz2": "linux-64",
    "dup-5e8b0f/test-package-0.1-0.tar.bz2": "linux-64",
    "empty-0.1.0-h4616a5c_0.conda": "noarch",
    "link-scripts-0.1.0-h4616a5c_0.conda": "noarch",
    "mock-2.0.0-py37_1000.conda": "osx-64",
    "other-package-0.1-0.tar.bz2": "linux-64",
    "other-package-0.2-0.conda": "linux-64",
    "other-package-0.2-0.tar.bz2": "linux-64",
    "test-app-package-icon-0.1-0.tar.bz2": "linux-64",
    "test-package-0.1-0.tar.bz2": "noarch",
    "test-package-0.2-0.tar.bz2": "linux-64",
    "xtensor-io-0.10.3-hb585cf6_0.tar.bz2": "linux-64",
}

WARNED = {
    "conda_gc_test-2.2.1-py27_3.conda": ("linux-64", {"no-format-version"}),
    "foo-0.1-0.tar.bz2": ("osx-64", {"implied-subdir"}),
}

REFUSED = {
    "ca-certificates-2024.7.4-hbcca054_0.conda": {"no-info"},
    "dotslash-test-1.0.0-0.conda": {"no-subdir"},
    "info-only-1.0.0-0.conda": {"no-payload", "no-subdir"},
    "sparse-test-1.0.0-0.conda": {"no-subdir"},
    "symlink-test-1.0.0-0.conda": {"no-subdir"},
    "zip64-test-1.0.0-0.conda": {"no-subdir"},
    "test-package-0.1-0_copy.tar.bz2": {"file-name"},
}

READABLE_WITH_SUBDIR = ["dotslash-test-1.0.0-0", "sparse-test-1.0.0-0", "symlink-test-1.0.0-0", "zip64-test-1.0.0-0"]


@pytest.fixture(scope="module")
def folder():
    """The folder with the packages."""
    named = os.environ.get("KEELBACK_PACKAGES")
    if not named:
        pytest.skip("KEELBACK_PACKAGES does not name a folder with packages built by others")
    return Path(named)


@pytest.mark.parametrize("name", GOOD)
def test_packages_built_by_others_are_read(name, folder):
    """What their names say is what they say, without a warning."""
    archive = inspect(folder / name)
    assert f"{archive.name}-{archive.version}-{archive.build}{archive.extension}" == Path(name).name
    assert (archive.subdir, archive.findings) == (GOOD[name], ())


@pytest.mark.parametrize("name", WARNED)
def test_old_habits_are_warnings(name, folder):
    """An empty metadata.json, and no subdir but platform and arch."""
    archive = inspect(folder / name)
    subdir, warnings = WARNED[name]
    assert archive.subdir == subdir
    assert {finding.code for finding in archive.findings} == warnings


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_work_is_refused(name, folder):
    """Zipped with its folder, without payload, without subdir, or under another name."""
    with pytest.raises(ArchiveError) as caught:
        inspect(folder / name)
    assert {finding.code for finding in caught.value.findings if finding.severity == "error"} == REFUSED[name]


@pytest.mark.parametrize("stem", READABLE_WITH_SUBDIR)
def test_only_the_subdir_is_missing(stem, folder):
    """With it, packages made for the edge cases of rattler's reader are read: zip64, links, './' before names."""
    archive = inspect(folder / f"{stem}.conda", subdir="noarch")
    assert f"{archive.name}-{archive.version}-{archive.build}" == stem


def test_every_package_is_accounted_for(folder):
    """None of the folder is left out of these tables."""
    there = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name.endswith((".conda", ".bz2"))
    }
    assert there == {*GOOD, *WARNED, *REFUSED}
