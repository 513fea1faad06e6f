"""What the machine has that packages will be installed on."""

from __future__ import annotations

import pytest

from keelback.archive import SUBDIRS
from keelback.errors import UsageError
from keelback.solving import assumed_virtual_packages, solve


@pytest.mark.parametrize("text", ["", "cuda=12", "__cuda=twelve point four", "__cu da=1", "=1"])
def test_what_is_no_virtual_package_is_wrong_usage(text: str) -> None:
    """Before the solver is started; not "there is no solution"."""
    with pytest.raises(UsageError, match="is not a valid virtual package"):
        solve(["numpy"], [], [text])


def test_a_spec_that_is_none_is_wrong_usage() -> None:
    """Likewise."""
    with pytest.raises(UsageError) as caught:
        solve(["numpy >=>"], [], [])
    assert caught.value.code == "bad-spec"


@pytest.mark.parametrize("subdir", sorted(SUBDIRS))
def test_what_is_assumed_of_each_system_are_virtual_packages(subdir: str) -> None:
    """So that an environment for another machine can be solved here."""
    names = [text.partition("=")[0] for text in assumed_virtual_packages(subdir)]
    assert len(set(names)) == len(names)
    assert all(name.startswith("__") for name in names)
    if subdir.partition("-")[0] in {"linux", "osx"}:
        assert "__unix" in names
