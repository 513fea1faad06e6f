"""Text of others as it may stand in Markdown: it shows as it is, and does nothing."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlsplit

from keelback.findings import printable

_PLAIN: Final = re.compile(r"[^A-Za-z0-9 ,/+=?'\"()%.-]|(?<=www)\.", re.IGNORECASE)
"""What could mean something: marks of Markdown and HTML, and what makes an address a link without being asked."""


def text_cell(text: str, longest: int = 2000) -> str:
    """*text* with its line breaks, and with nothing else that Markdown or HTML would understand (CommonMark 0.31, 2.5).

    Letters of other scripts are written as references, too, which show the same.
    """
    lines = text.split("\n") if len(text) <= longest else [*text[:longest].split("\n"), "..."]
    return "<br>".join(_PLAIN.sub(lambda match: f"&#{ord(match[0])};", printable(line)) for line in lines)


def link_cell(text: str, url: str | None) -> str:
    """*text* as a link to *url*, where that is an address of the web without a user in it; otherwise *text* alone."""
    shown = text_cell(text)
    if url is None or not _is_web(url):
        return shown
    target = quote(url, safe=":/?=&%+,@~-._").replace("&", "&amp;")
    return f"[{shown}](<{target}>)"


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
