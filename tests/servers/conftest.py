"""What the tests against scripted servers have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import leaks
from making import make_conda

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def token() -> str:
    """What the servers want to see."""
    return leaks.new_secret("token")


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A small package."""
    return make_conda(tmp_path / "dist")


@pytest.fixture
def other(tmp_path: Path) -> bytes:
    """Other bytes for the same name."""
    return make_conda(tmp_path / "other", payload={"share/demo/hello.txt": b"something else\n"}).read_bytes()
