"""XML that a server wrote, read without a document type or entities of its own, which can make a document explode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DEEPEST: Final = 32


class NotXMLError(ValueError):
    """A document that is not XML, or has more in it than elements and texts."""


class Reader(Protocol):
    """Takes the elements of a document as they come.

    Both methods get the names of all open elements, from the outermost one to the one that begins or ends.
    """

    def start(self, names: Sequence[str], attributes: Mapping[str, str]) -> None:
        """An element begins, with these *attributes*."""

    def end(self, names: Sequence[str], text: str) -> None:
        """An element ends; *text* is what stands between the last tag and this one."""


def feed(content: bytes, reader: Reader) -> None:
    """Give the elements of *content* to *reader*, with their names but without their namespaces.

    Raises:
        NotXMLError: it is not XML in UTF-8, has a document type, or is nested deeper than 32 elements.
    """
    names: list[str] = []
    pieces: list[str] = []

    def start(name: str, attributes: Mapping[str, str]) -> None:
        if len(names) == _DEEPEST:
            raise NotXMLError("nested too deeply")
        names.append(name.rpartition("}")[2])
        pieces.clear()
        reader.start(names, attributes)

    def end(_name: str) -> None:
        reader.end(names, "".join(pieces))
        names.pop()
        pieces.clear()

    parser = expat.ParserCreate("utf-8", namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = pieces.append
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise NotXMLError(expat.ErrorString(error.code)) from None


def texts(content: bytes) -> Mapping[str, str]:
    """The text of each innermost element of *content*, by the names of all elements that it stands in.

    ``<a><b>1</b><c>2</c></a>`` gives ``{"a/b": "1", "a/c": "2"}``; the space around a text is left out.

    Raises:
        NotXMLError: as :func:`feed`; or it has two texts under the same names.
    """
    reader = _Texts()
    feed(content, reader)
    return reader.found


class _Texts:
    """Collects the texts of innermost elements."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._is_innermost = False

    def start(self, _names: Sequence[str], _attributes: Mapping[str, str]) -> None:
        self._is_innermost = True

    def end(self, names: Sequence[str], text: str) -> None:
        path = "/".join(names)
        if self._is_innermost and path in self.found:
            raise NotXMLError("two texts under the same names")
        if self._is_innermost:
            self.found[path] = text.strip()
        self._is_innermost = False


def _refuse_document_type(*_: object) -> None:
    raise NotXMLError("it has a document type")
