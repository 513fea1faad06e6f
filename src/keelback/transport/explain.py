"""A server's own words, short enough to read and free of secrets."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, Final

from keelback.secret import redact

if TYPE_CHECKING:
    from keelback.transport.messages import Answer

_LONGEST: Final = 300
_JSON_WORDS: Final = ("detail", "error", "message", "errors", "msg", "title", "reason")


def servers_words(answer: Answer) -> str:
    """What *answer* says of itself: the message in its JSON, the text of its HTML, or the start of its body.

    Returns:
        one line of at most 300 characters, redacted; empty where the body is.
    """
    document = answer.json()
    if isinstance(document, dict | list):
        text = _from_json(document)
    elif answer.content.lstrip()[:1] == b"<":
        text = _from_markup(answer.text)
    else:
        text = answer.text
    text = " ".join(redact(text).split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


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


def _from_markup(text: str) -> str:
    title = re.search(r"<(?:title|h1|Message)[^>]*>(.*?)</", text, re.IGNORECASE | re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", title[1] if title else text))
