"""What ``import keelback`` gives: names, all of them, typed, and none before it is asked for."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.resources import files

import pytest

import keelback


def test_the_list_of_names_is_sorted_and_without_repetitions() -> None:
    """A reader finds a name in it, and a new one has one place to go."""
    assert keelback.__all__ == sorted(set(keelback.__all__))
    assert dir(keelback) == keelback.__all__


@pytest.mark.parametrize("name", keelback.__all__)
def test_each_name_is_there_and_documented(name: str) -> None:
    """Every public name can be imported, and says what it is."""
    value = getattr(keelback, name)
    if name != "__version__":
        assert inspect.getdoc(value)


def test_every_public_name_is_listed() -> None:
    """What can be imported lazily and what is listed are the same."""
    assert set(keelback._HOMES) | {"__version__"} == set(keelback.__all__)


@pytest.mark.parametrize("name", [name for name in keelback.__all__ if name != "__version__"])
def test_each_name_says_where_it_is_from(name: str) -> None:
    """The table of homes names a module in which the name really is."""
    value = getattr(keelback, name)
    assert value.__name__ == name
    assert value.__module__.startswith(f"keelback.{keelback._HOMES[name]}")


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As with any module."""
    with pytest.raises(AttributeError, match="no attribute 'publsh'"):
        _ = keelback.publsh


def test_the_package_is_typed() -> None:
    """Type checkers look for the marker (PEP 561)."""
    assert files("keelback").joinpath("py.typed").is_file()


def test_importing_is_cheap() -> None:
    """The name alone brings in nothing but itself: no client, no click, no typing."""
    code = "import sys; before = set(sys.modules); import keelback; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"__future__", "keelback", "keelback._version"}


@pytest.mark.parametrize("name", [name for name in keelback.__all__ if inspect.isfunction(getattr(keelback, name))])
def test_each_argument_of_a_function_is_documented(name: str) -> None:
    """What goes in is in the docstring, by its name; or in that of the function to which it refers for the others."""
    function = getattr(keelback, name)
    text = inspect.getdoc(function) or ""
    if refers := re.search(r"other\s+arguments are as for :func:`(\w+)`", text):
        text += inspect.getdoc(getattr(keelback, refers[1])) or ""
    for argument in inspect.signature(function).parameters:
        assert f"{argument}:" in text or f"{argument}," in text or f"*{argument}*" in text, argument
