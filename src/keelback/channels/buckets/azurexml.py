"""The XML of Azure Blob Storage: listings, lists of blocks, and the codes of errors.

(Azure Storage REST API, "List Blobs", "Put Block List", "Status and error codes".)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from keelback.xmltexts import NotXMLError, feed, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
        NotXMLError: it is something else.
    """
    reader = _PageReader()
    feed(content, reader)
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


class _PageReader:
    """Makes a page of the elements of a listing."""

    def __init__(self) -> None:
        self.page = Page()
        self.is_listing = False
        self._blob: dict[str, str] = {}
        self._is_encoded = False

    def start(self, names: Sequence[str], attributes: Mapping[str, str]) -> None:
        self._is_encoded = attributes.get("Encoded") == "true"  # a name that XML cannot hold
        if names == _BLOB:
            self._blob = {}
        elif names == _BLOB[:1]:
            self.is_listing = True

    def end(self, names: Sequence[str], text: str) -> None:
        text = unquote(text) if self._is_encoded else text
        self._is_encoded = False
        if names == _BLOB:
            self.page.blobs.append(self._blob)
        elif names[:3] == _BLOB:
            self._blob.setdefault("/".join(names[3:]), text)
        elif names == [*_PREFIX, "Name"]:
            self.page.prefixes.append(text)
        elif names == _MARKER:
            self.page.marker = text
