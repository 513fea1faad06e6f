"""One JSON object of a file that people write: strict, and with errors that say line and column.

The json module keeps no positions, takes duplicate members in silence, and holds the text, with its secrets, in its
errors.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from keelback.errors import CredentialFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOM: Final = b"\xef\xbb\xbf"

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")

_SHAPE_HINT: Final = 'An auth file looks like {"prefix.dev": {"BearerToken": "..."}}.'


class Member(NamedTuple):
    """A member of the object: its key, its value as json gives it, and where its key stands, for messages."""

    key: str
    value: object
    place: str


def read_members(data: bytes, name: str) -> Iterator[Member]:
    """The members of the one JSON object that *data* is, in its own order.

    Args:
        data: the content of a file.
        name: what messages call the file.

    Raises:
        CredentialFileError: it is not UTF-8, or not one JSON object, or has a key twice, or one that is no text. No
            value is shown.
    """
    text = _decode(data, name)
    seen = set()
    for key, value, position in _members(text, name):
        place = f"{_place(text, position, name)}, key {key!r}"
        if key in seen:
            raise CredentialFileError(f"{place}: this key is there twice.", hint="Keep one of the two.")
        seen.add(key)
        if _SURROGATE.search(key):  # a lone "\ud800" is JSON, and yet no bytes can be made of it
            raise CredentialFileError(f"{place}: this key holds half of a character.", hint="Write the key again.")
        yield Member(key, value, place)


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


class _Found(NamedTuple):
    key: str
    value: object
    position: int


def _members(text: str, name: str) -> Iterator[_Found]:
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

    def members(self) -> Iterator[_Found]:
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

    def _member(self) -> _Found:
        if self._peek() != '"':
            raise _NotJsonError("a key in double quotes is expected here", self._position)
        start = self._position
        key = self._value()
        self._take(":", "a key")
        self._peek()
        return _Found(str(key), self._value(), start)

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
