"""Runs the ``keelback`` command as its user would: in a process of its own, with an environment that says nothing.

Every stream of every run is searched for secrets before a test sees it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import leaks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIMEOUT_SECONDS = 120
NO_CLOUD = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_GCE_CHECK": "true",
    "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
}
"""Variables with which no machine is asked for the identity that it has in a cloud."""
_KEPT_VARIABLES = ("PATH", "SYSTEMROOT", "PYTHONPATH")

_room: Path | None = None


@contextmanager
def homes_below(folder: Path):
    """Put the home folders of all runs below *folder*, where the leak check looks at the files in them."""
    global _room  # noqa: PLW0603 - set once for the test session
    before, _room = _room, folder
    try:
        yield
    finally:
        _room = before


@dataclass(frozen=True)
class Completed:
    """A finished run."""

    returncode: int
    stdout: str
    stderr: str
    home: Path
    """The home folder the run had."""

    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.stdout)


class Running:
    """A run under way."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path) -> None:
        self.process = process
        self.home = home

    def finish(self, stdin: bytes | None = None, timeout: float = TIMEOUT_SECONDS) -> Completed:
        """Wait for its end.

        Raises:
            AssertionError: a secret is in its output, or it did not end in time.
        """
        try:
            streams = self.process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            streams = self.process.communicate()
            late = True
        else:
            late = False
        for text, name in zip(streams, ("stdout", "stderr"), strict=True):
            leaks.check(text, f"keelback's {name}")
        stdout, stderr = (stream.decode().replace("\r\n", "\n") for stream in streams)
        if late:
            raise AssertionError(f"keelback did not end within {timeout} s; it said:\n{stdout}\n{stderr}")
        return Completed(self.process.returncode, stdout, stderr, self.home)


def start_keelback(
    args: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    home: Path | None = None,
) -> Running:
    """Start ``python -m keelback ARGS``; end it with :meth:`Running.finish`.

    Args:
        args: the arguments.
        env: variables that the run has beside ``PATH``, ``HOME``, the locale and :data:`NO_CLOUD`; with
            ``KEELBACK_NO_KEYCHAIN`` empty, it asks the keychain.
        cwd: where it runs; its home by default.
        home: its home folder; a new, empty one by default.
    """
    home = home or Path(tempfile.mkdtemp(prefix="home-", dir=_room))
    process = subprocess.Popen(
        [sys.executable, "-m", "keelback", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd or home,
        env={**_plain_environment(home), **(env or {})},
    )
    return Running(process, home)


def run_keelback(
    args: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    input: str | bytes | None = None,  # noqa: A002 - the name that subprocess.run gives it
    cwd: Path | None = None,
    home: Path | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Completed:
    """Run ``python -m keelback ARGS`` to its end; arguments as for :func:`start_keelback`.

    Raises:
        AssertionError: a secret is in its output, or it did not end in time.
    """
    stdin = input.encode() if isinstance(input, str) else input
    return start_keelback(args, env=env, cwd=cwd, home=home).finish(stdin or b"", timeout)


def _plain_environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        **NO_CLOUD,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "120",
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "KEELBACK_NO_KEYCHAIN": "1",
    }
