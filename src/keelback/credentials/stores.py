"""Where credentials are kept.

A :class:`Store` is all that the lookup knows of; the auth file of the rattler family is the one that is built here.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, Protocol

from keelback.credentials.kinds import Credential, parse_credential
from keelback.errors import CredentialError, CredentialFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["FileStore", "Store"]

_log = logging.getLogger("keelback.credentials")

_LARGEST_FILE: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"
_warned_of: set[Path] = set()
"""Files open to others that were warned of; once in a process is enough."""

_SHAPE_HINT: Final = 'An auth file looks like {"prefix.dev": {"BearerToken": "..."}}.'


class Store(Protocol):
    """A place that keeps credentials by key, such as a file or the system's keychain."""

    @property
    def name(self) -> str:
        """What a person is told the credential came from: ``RATTLER_AUTH_FILE (/home/ann/auth.json)``."""

    def get(self, key: str) -> Credential | None:
        """The credential under exactly *key*, or nothing.

        Raises:
            CredentialError: there is one, but it cannot be read.
        """

    def keys(self) -> Sequence[str]:
        """All keys of this store, in its own order."""


class FileStore:
    """The auth file that rattler-build, pixi and py-rattler share: one JSON object, from keys to credentials.

    The file is read once, when the store is made; a file with a mistake in it is refused as a whole, as rattler does,
    so that no credential is passed over in silence. Only a token that cannot be one (empty, with a line break) waits
    for :meth:`get` to complain: in CI the secrets of hosts that a job does not use are often empty.

    Args:
        path: the file.
        name: what messages call it; it should hold the path.
        required: whether a file that does not exist is an error; otherwise it is a store without keys.

    Raises:
        CredentialFileError: the file is missing although required, cannot be read, or is malformed. The message says
            which file, where in it and under which key, and shows no value.
    """

    def __init__(self, path: Path, name: str, *, required: bool = False) -> None:
        self.path = path
        self.name = name
        data = _read(path, name)
        if data is None and required:
            hint = "A variable's '~' is not replaced by anybody." if str(path).startswith("~") else "Is the path right?"
            raise CredentialFileError(f"{name}: no such file.", hint=hint)
        self._entries = {} if data is None else _parse(data, name)

    def __repr__(self) -> str:
        return f"FileStore({str(self.path)!r}, {self.name!r})"

    def get(self, key: str) -> Credential | None:
        """The credential under exactly *key*, or nothing.

        Raises:
            CredentialFileError: code ``bad-token``: the token under this key cannot be one.
        """
        entry = self._entries.get(key)
        if isinstance(entry, _Unusable):
            raise CredentialFileError(entry.message, hint=entry.hint, code="bad-token")
        return entry

    def keys(self) -> Sequence[str]:
        """All keys, in the order of the file."""
        return list(self._entries)


@dataclass(frozen=True)
class _Unusable:
    """What to say when a token that cannot be one is asked for."""

    message: str
    hint: str


def _read(path: Path, name: str) -> bytes | None:
    """The bytes of the file, or nothing where there is none; says so when others can read them."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise CredentialFileError(f"{name}: this is a directory, not a file.") from None
    except PermissionError:
        hint = "On Windows a directory looks like this, too." if os.name == "nt" else f"ls -l {path} shows who may."
        raise CredentialFileError(f"{name}: not allowed to read it.", hint=hint) from None
    except (OSError, ValueError) as error:
        raise CredentialFileError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if len(data) > _LARGEST_FILE:
        raise CredentialFileError(f"{name}: larger than 1 MiB; this is no auth file.")
    open_to_others = stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRGRP | stat.S_IROTH)
    if os.name == "posix" and open_to_others and path not in _warned_of:
        _warned_of.add(path)
        _log.warning("%s can be read by other users of this machine; close it with: chmod 600 %s", name, path)
    return data


def _parse(data: bytes, name: str) -> dict[str, Credential | _Unusable]:
    text = _decode(data, name)
    entries: dict[str, Credential | _Unusable] = {}
    for key, value, position in _members(text, name):
        where = f"{_place(text, position, name)}, key {key!r}"
        if key in entries:
            raise CredentialFileError(f"{where}: this key is there twice.", hint="Keep one of the two.")
        try:
            entries[key] = parse_credential(value, source=where)
        except CredentialError as error:
            if error.code != "bad-token":
                raise CredentialFileError(f"{where}: {error.message}", hint=error.hint) from None
            entries[key] = _Unusable(error.message, error.hint)
    return entries


def _decode(data: bytes, name: str) -> str:
    """The text of the file, if it is UTF-8 as JSON has to be."""
    if data.startswith(_BOM):
        raise CredentialFileError(
            f"{name}: line 1, column 1: the file begins with a byte order mark (BOM), which JSON does not allow.",
            hint="Save it as 'UTF-8', not as 'UTF-8 with BOM'; in PowerShell 7: Set-Content -Encoding utf8NoBOM.",
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CredentialFileError(
            f"{name}: line 1, column 1: the file is UTF-16, not UTF-8.",
            hint="Save it as 'UTF-8'; in PowerShell: Set-Content -Encoding utf8NoBOM.",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        place = _place(before, len(before), name)
        raise CredentialFileError(f"{place}: not UTF-8.", hint="Save the file as 'UTF-8'.") from None


class _Member(NamedTuple):
    key: str
    value: object
    position: int


def _members(text: str, name: str) -> Iterator[_Member]:
    """The members of the file's one object, each with the position of its key.

    Raises:
        CredentialFileError: the text is not one JSON object.
    """
    try:
        yield from _Scanner(text).members()
    except _NotJsonError as error:
        problem, position = str(error), error.position
    else:
        return
    raise CredentialFileError(f"{_place(text, position, name)}: {problem}.", hint=_SHAPE_HINT)


class _NotJsonError(Exception):
    """What is wrong with the text, and where; unlike json's own error it does not hold the text with its secrets."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(problem)
        self.position = position


class _Scanner:
    """Reads one JSON object member by member, which the json module does not: it keeps no positions.

    Only the outermost braces, colons and commas are read here; keys and values are left to the module's decoder.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._decoder = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_no_constant)

    def members(self) -> Iterator[_Member]:
        following = self._peek()
        if not following:
            raise _NotJsonError("the file is empty", 0)
        if following != "{":
            raise _NotJsonError("the file does not begin with '{': it has to hold one object", self._position)
        self._position += 1
        if self._peek() == "}":
            self._position += 1
        else:
            yield self._member()
            while self._take(",}", "a value") == ",":
                yield self._member()
        if self._peek():
            raise _NotJsonError("there is something after the end of the object", self._position)

    def _member(self) -> _Member:
        if self._peek() != '"':
            raise _NotJsonError("a key in double quotes is expected here", self._position)
        start = self._position
        key = self._value()
        self._take(":", "a key")
        self._peek()
        return _Member(str(key), self._value(), start)

    def _value(self) -> object:
        try:
            value, self._position = self._decoder.raw_decode(self._text, self._position)
        except json.JSONDecodeError as error:
            problem, position = f"not JSON: {error.msg.removesuffix(' at').lower()}", error.pos
        except _HookError as error:
            problem, position = str(error), self._position
        except ValueError:
            problem, position = "a number is too long", self._position
        except RecursionError:
            problem, position = "this is nested too deeply", self._position
        else:
            return value
        raise _NotJsonError(problem, position)

    def _take(self, expected: str, after: str) -> str:
        found = self._peek()
        if not found or found not in expected:
            raise _NotJsonError(f"{' or '.join(map(repr, expected))} is expected after {after}", self._position)
        self._position += 1
        return found

    def _peek(self) -> str:
        """The next character that is not space; empty at the end."""
        while self._text[self._position : self._position + 1] in {" ", "\t", "\r", "\n"}:
            self._position += 1
        return self._text[self._position : self._position + 1]


class _HookError(ValueError):
    """What a hook of the decoder found; it does not know where."""


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _HookError("a member is there twice in this object")
    return members


def _no_constant(constant: str) -> NoReturn:
    raise _HookError(f"{constant} is not JSON")


def _place(text: str, position: int, name: str) -> str:
    """Line and column, both counted from one, as editors do."""
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"{name}: line {line}, column {column}"
