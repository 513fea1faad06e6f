"""netrc, the file of passwords that curl, git and conda share; read, and never written.

Which entries count is rattler's rule (rattler_networking, netrc.rs): a host gets the last entry that names exactly it,
and ``default`` counts for nothing. What rattler reads from a file is read here, with one exception: a value in double
quotes is what stands between them, as it is for curl and for Python. Comments, spaces in quotes and ``user`` in the
place of ``login``, for which rattler drops the whole file, are understood as well.

Python's own parser is not used: it drops backslashes from passwords, and its errors show words of the file.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from keelback.credentials.kinds import BasicHTTP
from keelback.credentials.modes import warn_if_open
from keelback.credentials.stores import Store
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from keelback.credentials.kinds import Credential

__all__ = ["NetrcStore"]

_log = logging.getLogger("keelback.credentials")

_LARGEST_FILE: Final = 1 << 20
_told: set[tuple[Path, str]] = set()
"""Files of which was said that they cannot be used, and why; once in a process is enough."""


class NetrcStore(Store):
    """The entries of a netrc file, by host; the file is read when the first of them is asked for.

    A file that cannot be read or understood is an empty store, as it is for rattler, and a warning in the log says so
    once: it may have been written for other programs alone.

    Args:
        path: the file.
        name: what messages call it; it should hold the path.
        named: whether somebody named the file, so that one which is missing is worth a warning.
    """

    def __init__(self, path: Path, name: str, *, named: bool) -> None:
        self.name = name
        self.path: Path = path
        self._named = named

    def __repr__(self) -> str:
        return f"NetrcStore({str(self.path)!r}, {self.name!r})"

    def get(self, key: str) -> Credential | None:
        """The entry of exactly the host *key*, or nothing."""
        return self._machines.get(key)

    def keys(self) -> Sequence[str]:
        """The hosts, in the order of the file."""
        return list(self._machines)

    @cached_property
    def _machines(self) -> Mapping[str, BasicHTTP]:
        try:
            return _parse(self._read())
        except FileNotFoundError:
            if self._named:
                self._warn("there is no such file, and nothing is read in its place")
        except OSError as error:
            self._warn(f"cannot be read ({error.strerror or 'the system does not say why'}), and is passed over")
        except _MalformedError as error:
            self._warn(f"{error}; nothing of this file is used")
        return {}

    def _read(self) -> str:
        with self.path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
            if data.strip():
                warn_if_open(self.path, file, self.name)
        if len(data) > _LARGEST_FILE:
            raise _MalformedError("larger than 1 MiB, which no netrc file is")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
        raise _MalformedError(f"line {line}: not UTF-8")

    def _warn(self, what: str) -> None:
        if (self.path, what) not in _told:
            _told.add((self.path, what))
            _log.warning("%s: %s", self.name, what)


class _MalformedError(Exception):
    """What is wrong with the file, and in which line; never a word of it."""


@dataclass
class _Entry:
    login: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))


def _parse(text: str) -> dict[str, BasicHTTP]:
    words = _Words(text)
    machines: dict[str, _Entry] = {}
    entry: _Entry | None = None
    while keyword := words.next_keyword():
        if keyword == "macdef":
            words.value_of(keyword)
            words.skip_macro()
        elif keyword == "default":
            entry = _Entry()
        elif keyword == "machine":
            entry = machines[words.value_of(keyword)] = _Entry()
        elif keyword not in {"login", "user", "password", "account"}:
            raise _MalformedError(f"line {words.line}: a word stands there that netrc files do not have")
        elif entry is None:
            raise _MalformedError(f"line {words.line}: {keyword!r} stands before the first 'machine'")
        elif keyword == "password":
            entry.password = Secret(words.value_of(keyword))
        elif keyword == "account":
            words.value_of(keyword)
        else:
            entry.login = words.value_of(keyword)
    return {host: BasicHTTP(entry.login, entry.password) for host, entry in machines.items()}


class _Words:
    """The words of a netrc file: what stands between spaces, or in double quotes.

    In quotes, a backslash makes the next character stand for itself.
    """

    _SPACE: Final = re.compile(r"\s*")
    _WORD: Final = re.compile(r'"(?P<quoted>(?:[^"\\\r\n]|\\[^\r\n])*)"(?!\S)|\S+')
    _REST_OF_LINE: Final = re.compile(r"[^\n]*")
    _MACRO: Final = re.compile(r"\s*(?:[^\r\n]+(?:\r?\n|\Z))*")
    """Lines up to one that is empty."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._start = 0

    @property
    def line(self) -> int:
        """Where the last word was, counted from one."""
        return self._text.count("\n", 0, self._start) + 1

    def next_keyword(self) -> str:
        """The next word that is no comment; empty at the end."""
        word = self._next()
        while word.startswith("#"):
            self._position = self._start
            self._skip(self._REST_OF_LINE)
            word = self._next()
        return word

    def value_of(self, keyword: str) -> str:
        """The next word, which may begin with '#'."""
        self._skip(self._SPACE)
        if self._position == len(self._text):
            raise _MalformedError(f"line {self.line}: the file ends after {keyword!r}")
        return self._next()

    def skip_macro(self) -> None:
        self._skip(self._MACRO)

    def _next(self) -> str:
        self._skip(self._SPACE)
        self._start = self._position
        match = self._WORD.match(self._text, self._position)
        if match is None:
            return ""
        self._position = match.end()
        quoted = match["quoted"]
        return match[0] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._position)
        self._position = match.end() if match else self._position
