"""The texts of a small XML document that a server wrote: no document type, no entities of its own, no ambiguity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEEPEST: Final = 32


class NotXMLError(ValueError):
    """A document that is not XML, or has more in it than elements and texts."""


def texts(content: bytes) -> Mapping[str, str]:
    """The text of each innermost element of *content*, by the names of all elements that it stands in.

    ``<a><b>1</b><c>2</c></a>`` gives ``{"a/b": "1", "a/c": "2"}``; namespaces are left out, and so is the space around
    a text.

    Raises:
        NotXMLError: it is not XML in UTF-8, has a document type, is nested deeper than 32 elements, or has two texts
            under the same names.
    """
    reader = _Reader()
    parser = expat.ParserCreate("utf-8", namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise NotXMLError(expat.ErrorString(error.code)) from None
    return reader.found


class _Reader:
    """Takes what the parser finds."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._names: list[str] = []
        self._pieces: list[str] = []
        self._is_innermost = False

    def start(self, name: str, _attributes: object) -> None:
        if len(self._names) == _DEEPEST:
            raise NotXMLError("nested too deeply")
        self._names.append(name.rpartition("}")[2])
        self._pieces = []
        self._is_innermost = True

    def text(self, piece: str) -> None:
        self._pieces.append(piece)

    def end(self, _name: str) -> None:
        names = "/".join(self._names)
        if self._is_innermost:
            if names in self.found:
                raise NotXMLError("two texts under the same names")
            self.found[names] = "".join(self._pieces).strip()
        self._names.pop()
        self._is_innermost = False


def _refuse(*_: object) -> None:
    raise NotXMLError("it has a document type")
