"""A server's own words, short enough to read and free of secrets.

A server answers with whatever it likes, so that what is looked at is cut to a size before anything is searched in it.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, Final

from keelback.secret import redact, redact_cut

if TYPE_CHECKING:
    from keelback.transport.messages import Answer

_LONGEST: Final = 300
_LOOKED_AT: Final = 16 << 10
"""Bytes of a body, or characters of a message in JSON; error pages say what they have to say in the first few kB."""
_LARGEST_JSON: Final = 64 << 10
"""Bytes; errors are small, and whatever is larger is shown as the text that it is."""
_JSON_WORDS: Final = ("detail", "error", "message", "errors", "msg", "title", "reason")
_TITLE: Final = re.compile(r"<(title|h1|Message)\b[^<>]*>", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^<>]*(?:>|\Z)")
_NO_CHARACTER: Final = re.compile(r"&#[0-9]{8,};?")
"""No character has such a number; with thousands of digits, Python itself refuses to read it."""


def servers_words(answer: Answer) -> str:
    """What *answer* says of itself: the message in its JSON, the text of its HTML, or the start of its body.

    Returns:
        one line of at most 300 characters, redacted; empty where the body is.
    """
    text, cut = _message(answer)
    text = redact_cut(text) if cut else redact(text)
    text = " ".join(text.split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _message(answer: Answer) -> tuple[str, bool]:
    """The words in *answer*, and whether they go on behind what was looked at."""
    content = answer.content
    document = answer.json() if len(content) <= _LARGEST_JSON else None
    if isinstance(document, dict | list):
        text = _from_json(document)
        return text[:_LOOKED_AT], len(text) > _LOOKED_AT
    text = content[:_LOOKED_AT].decode("utf-8-sig", "replace")
    cut = len(content) > _LOOKED_AT
    return _from_markup(text, cut=cut) if text.lstrip()[:1] == "<" else (text, cut)


def _from_json(document: Any, depth: int = 0) -> str:
    if isinstance(document, str):
        return document
    if depth > 5:
        return ""
    if isinstance(document, list):
        return "; ".join(filter(None, (_from_json(item, depth + 1) for item in document[:5])))
    if isinstance(document, dict):
        for word in _JSON_WORDS:
            if document.get(word):
                return _from_json(document[word], depth + 1)
    return ""


def _from_markup(text: str, *, cut: bool) -> tuple[str, bool]:
    """The title of a page, or all of its text, and whether that goes on behind *text*, which was *cut*."""
    title = _TITLE.search(text)
    if title:
        text = text[title.end() :]
        end = re.search(f"</{title[1]}", text, re.IGNORECASE)
        text = text[: end.start()] if end else text
        cut = cut and not end
    text = _NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", _TAG.sub(" ", text))
    return html.unescape(text), cut
