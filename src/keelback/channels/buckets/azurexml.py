"""The XML of Azure Blob Storage: listings, lists of blocks, and the codes of errors.

(Azure Storage REST API, "List Blobs", "Put Block List", "Status and error codes".)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote
from xml.parsers import expat

from keelback.credentials.oidc.xmltexts import NotXMLError, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DEEPEST: Final = 16
_CODE: Final = re.compile(r"[A-Za-z0-9]{1,80}")
_BLOB: Final = ["EnumerationResults", "Blobs", "Blob"]
_PREFIX: Final = ["EnumerationResults", "Blobs", "BlobPrefix"]
_MARKER: Final = ["EnumerationResults", "NextMarker"]


@dataclass(slots=True)
class Page:
    """One page of a listing.

    Attributes:
        blobs: of each blob, its texts by the names of their elements: ``Name``, ``Properties/Etag``.
        prefixes: the names up to a slash behind which there are more blobs.
        marker: where the next page begins; empty where there is none.
    """

    blobs: list[Mapping[str, str]] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    marker: str = ""


def page_in(content: bytes) -> Page:
    """The page of a listing that *content* is.

    Raises:
        NotXMLError: it is something else; or it has a document type, with which XML is made to grow.
    """
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise NotXMLError(expat.ErrorString(error.code)) from None
    if not reader.is_listing:
        raise NotXMLError("it is no listing")
    return reader.page


def block_list(ids: Iterable[str]) -> bytes:
    """The body by which a blob is made of uncommitted blocks, in this order; *ids* are in Base64."""
    blocks = "".join(f"<Uncommitted>{block}</Uncommitted>" for block in ids)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'.encode()


def error_code(headers: Mapping[str, str], content: bytes) -> str:
    """The word by which the service calls its error; empty where there is none."""
    code = headers.get("x-ms-error-code", "")
    if not code and content:
        try:
            code = texts(content).get("Error/Code", "")
        except NotXMLError:
            return ""
    return code if _CODE.fullmatch(code) else ""


class _Reader:
    """Takes what the parser finds."""

    def __init__(self) -> None:
        self.page = Page()
        self.is_listing = False
        self._names: list[str] = []
        self._pieces: list[str] = []
        self._blob: dict[str, str] = {}
        self._is_encoded = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if len(self._names) == _DEEPEST:
            raise NotXMLError("nested too deeply")
        self._names.append(name)
        self._pieces = []
        self._is_encoded = attributes.get("Encoded") == "true"  # a name that XML cannot hold
        if self._names == _BLOB:
            self._blob = {}
        elif self._names == _BLOB[:1]:
            self.is_listing = True

    def text(self, piece: str) -> None:
        self._pieces.append(piece)

    def end(self, _name: str) -> None:
        text = "".join(self._pieces)
        text = unquote(text) if self._is_encoded else text
        if self._names == _BLOB:
            self.page.blobs.append(self._blob)
        elif self._names[:3] == _BLOB:
            self._blob.setdefault("/".join(self._names[3:]), text)
        elif self._names == [*_PREFIX, "Name"]:
            self.page.prefixes.append(text)
        elif self._names == _MARKER:
            self.page.marker = text
        self._names.pop()
        self._pieces = []
        self._is_encoded = False


def _refuse(*_: object) -> None:
    raise NotXMLError("it has a document type")
