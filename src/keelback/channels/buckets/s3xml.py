"""The XML of the S3 protocol: lists, errors, and the body that completes an upload in parts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from keelback.xmltexts import NotXMLError, feed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
        NotXMLError: as :func:`keelback.xmltexts.feed`.
    """
    reader = _DocumentReader(frozenset(repeated))
    feed(content.lstrip(), reader)  # S3 sends spaces in front while it takes its time
    return reader.document


class _DocumentReader:
    """Makes a document of its elements."""

    def __init__(self, repeated: frozenset[str]) -> None:
        self.document = Document(rows={name: [] for name in repeated})
        self._row: dict[str, str] | None = None

    def start(self, names: Sequence[str], _attributes: Mapping[str, str]) -> None:
        match names:
            case [root]:
                self.document.root = root
            case [_, name] if name in self.document.rows:
                self._row = {}
                self.document.rows[name].append(self._row)

    def end(self, names: Sequence[str], text: str) -> None:
        match names:
            case [_, _] if self._row is not None:
                self._row = None
            case [_, name]:
                self.document.texts.setdefault(name, text)
            case [_, _, name] if self._row is not None:
                self._row.setdefault(name, text)


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
