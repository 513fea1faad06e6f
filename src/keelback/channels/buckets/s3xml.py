"""The XML that object stores with the S3 protocol speak: read without entities or a document type, and written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from keelback.credentials.oidc.xmltexts import NotXMLError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Document", "NotXMLError", "complete_upload", "error_in", "number", "parse", "unix_time"]

_DEEPEST: Final = 16
_LARGEST_ERROR: Final = 64 << 10
_CODE: Final = re.compile(r"[A-Za-z0-9.]{1,64}")
_COMPLETE: Final = (
    '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}</CompleteMultipartUpload>'
)


@dataclass(slots=True)
class Document:
    """A document with a list in it.

    Attributes:
        root: the name of its outermost element.
        texts: of the elements directly in that, by name; the first one counts.
        rows: for each name of a repeated element, the texts in each of them.
    """

    root: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[Mapping[str, str]]] = field(default_factory=dict)


def parse(content: bytes, *repeated: str) -> Document:
    """What *content* says, where the elements directly in the root that are *repeated* are rows.

    Namespaces are left out. What stands in elements further inside is left out as well.

    Raises:
        NotXMLError: it is not XML, has a document type, or is nested deeper than 16 elements.
    """
    reader = _Reader(frozenset(repeated))
    parser = expat.ParserCreate("utf-8", namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(content.lstrip(), True)  # S3 sends spaces in front while it takes its time
    except expat.ExpatError as error:
        raise NotXMLError(expat.ErrorString(error.code)) from None
    return reader.document


class _Reader:
    """Takes what the parser finds."""

    def __init__(self, repeated: frozenset[str]) -> None:
        self.document = Document(rows={name: [] for name in repeated})
        self._depth = 0
        self._row: dict[str, str] | None = None
        self._pieces: list[str] = []

    def start(self, name: str, _attributes: object) -> None:
        name = name.rpartition("}")[2]
        self._depth += 1
        if self._depth > _DEEPEST:
            raise NotXMLError("nested too deeply")
        if self._depth == 1:
            self.document.root = name
        elif self._depth == 2 and name in self.document.rows:
            self._row = {}
            self.document.rows[name].append(self._row)
        self._pieces = []

    def text(self, piece: str) -> None:
        self._pieces.append(piece)

    def end(self, name: str) -> None:
        name = name.rpartition("}")[2]
        if self._depth == 2 and self._row is not None:
            self._row = None
        elif self._depth == 2:
            self.document.texts.setdefault(name, "".join(self._pieces))
        elif self._depth == 3 and self._row is not None:
            self._row.setdefault(name, "".join(self._pieces))
        self._depth -= 1
        self._pieces = []


def _refuse(*_: object) -> None:
    raise NotXMLError("it has a document type")


def error_in(content: bytes) -> Mapping[str, str]:
    """The texts of an ``Error`` document, with a ``Code`` that can be one; empty where *content* is none.

    (Amazon S3 API Reference, "REST error responses".)
    """
    if len(content) > _LARGEST_ERROR:
        return {}
    try:
        document = parse(content)
    except NotXMLError:
        return {}
    is_error = document.root == "Error" and _CODE.fullmatch(document.texts.get("Code", "").strip())
    return {name: text.strip() for name, text in document.texts.items()} if is_error else {}


def complete_upload(etags: Iterable[str]) -> bytes:
    """The body of ``CompleteMultipartUpload`` for parts with *etags*, the first of which is part 1."""
    parts = (
        f"<Part><PartNumber>{position}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
        for position, etag in enumerate(etags, start=1)
    )
    return _COMPLETE.format("".join(parts)).encode()


def number(text: str | None) -> int | None:
    """*text* as a number of bytes; ``None`` where it is none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None


def unix_time(text: str | None) -> float | None:
    """*text*, a time as S3 writes it (ISO 8601), in Unix seconds; ``None`` where it is none."""
    try:
        when = datetime.fromisoformat(text or "")
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
