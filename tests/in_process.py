"""Runs the ``keelback`` command within the process of the tests: as :mod:`cli_runner` does, but for the process.

It saves what starting Python and importing ``sigstore`` takes, which is a second for some commands. What a process
leaves behind, and that it needs nothing of the tests', is for :func:`cli_runner.run_keelback` to show.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

import leaks
from cli_runner import Completed
from keelback.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_KEPT = frozenset({"PATH", "SYSTEMROOT", "PYTHONPATH"})


def run_here(
    args: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str] | None = None, home: Path, stdin: str = ""
) -> Completed:
    """``keelback ARGS`` to its end; arguments as for :func:`cli_runner.run_keelback`.

    Raises:
        AssertionError: a secret is in its output.
    """
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    streams = {name: io.TextIOWrapper(buffer, encoding="utf-8", newline="") for name, buffer in written.items()}
    variables = {"HOME": str(home), "USERPROFILE": str(home), "KEELBACK_NO_KEYCHAIN": "1", "COLUMNS": "120"}
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(home), _handlers_kept():
        for name in os.environ.keys() - _KEPT:
            patch.delenv(name)
        for name, value in {**variables, **(env or {})}.items():
            patch.setenv(name, value)
        patch.setattr("keelback.cli.secrets._readers", [])
        patch.setattr(sys, "argv", ["keelback", *map(os.fspath, args)])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        with pytest.raises(SystemExit) as ended:
            run()
    for stream in streams.values():
        stream.flush()
    stdout, stderr = (buffer.getvalue().decode() for buffer in written.values())
    for name, text in (("stdout", stdout), ("stderr", stderr)):
        leaks.check(text, f"keelback's {name}")
    assert isinstance(ended.value.code, int)
    return Completed(ended.value.code, stdout, stderr, home)


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """What the command changes for all of its process, put back at the end."""
    logger = logging.getLogger("keelback")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    at_the_end = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as Python itself does for a command
            yield
    finally:
        signal.signal(signal.SIGTERM, at_the_end)
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
