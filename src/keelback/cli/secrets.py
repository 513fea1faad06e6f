"""Reads a secret from a file, from standard input, or from a person at a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from keelback.errors import UsageError
from keelback.secret import Secret, redact

_LARGEST: Final = 64 << 10
"""Characters; no secret is longer."""
_readers: list[str] = []
"""The options that have read standard input, which can be read once."""


def interactive() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def read_secret(file_or_dash: str, option: str, *, prompt: str = "Secret") -> Secret:
    """The secret that is all of a file, or all of standard input; one line break at its end is no part of it.

    Args:
        file_or_dash: the file; ``-`` for standard input, where a person is asked if that is a terminal.
        option: the option that names it, for messages.
        prompt: what a person is asked for.

    Raises:
        UsageError: it cannot be read, is empty, or has more than one line; or two options want standard input.
    """
    if file_or_dash != "-":
        name, text = redact(file_or_dash), _read_file(file_or_dash, option)
    elif interactive():
        return Secret(click.prompt(prompt, hide_input=True, err=True), option)
    else:
        name, text = "standard input", _read_stdin(option)
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UsageError(f"{option} reads {name}, which is empty")
    if len(text) > _LARGEST:
        raise UsageError(f"{option} reads {name}, which has more than 64 kB: this is not a secret")
    if "\n" in text:
        raise UsageError(f"{option} reads {name}, which has more than one line", hint="Give the secret alone.")
    return Secret(text, option)


def _read_file(file: str, option: str) -> str:
    try:
        with Path(file).open(encoding="utf-8", newline="") as stream:
            return stream.read(_LARGEST + 3)
    except (OSError, ValueError) as error:  # ValueError: it is not UTF-8, or its name has a zero byte
        raise UsageError(f"{option} reads {redact(file)}, which is not possible: {_reason(error)}") from None


def _read_stdin(option: str) -> str:
    if _readers:
        raise UsageError(
            f"{_readers[0]} and {option} are both to come from standard input",
            hint="Run it at a terminal, where both are asked for, or give one of them in another way.",
        )
    _readers.append(option)
    if sys.stdin is None:
        return ""
    try:
        return sys.stdin.buffer.read(_LARGEST + 3).decode()
    except (OSError, ValueError) as error:
        raise UsageError(f"{option} reads standard input, which is not possible: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    return getattr(error, "strerror", None) or "it is not a valid name of a file"
