"""What a server says it wants, in the ``WWW-Authenticate`` of a 401 (RFC 9110, section 11.6.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PART: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
"""The text between two commas outside of quotes; a quote that is not closed ends with the text."""
_PARAMETER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=(?!=*\s*$)")
_SCHEME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}(?=\s|$)")
_LONGEST: Final = 4096


def offered_schemes(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The schemes of all challenges, each once, as the server spells them: ``("Basic", "Bearer")``.

    Args:
        headers: those of the answer; several fields of one name are joined with commas in it, as httpx2 does.
    """
    schemes: dict[str, str] = {}
    for part in _PART.findall(headers.get("www-authenticate", "")[:_LONGEST]):
        text = part.strip()
        scheme = None if _PARAMETER.match(text) else _SCHEME.match(text)
        if scheme is not None:
            schemes.setdefault(scheme[0].lower(), scheme[0])
    return tuple(schemes.values())
