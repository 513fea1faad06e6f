"""Strings that never print.

A :class:`Secret` shows itself as ``****`` wherever text is made of it, and remembers its value for :func:`redact`,
which takes every known secret, and everything that looks like one, out of text that somebody else wrote: a server's
answer, a redirect's target, an exception of a library.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MASK: Final = "****"

_SHORTEST_REDACTED = 4
_CUT_MARGIN = 1024
"""Characters in which the beginning of a secret may stand that is not known; tokens of the field have fewer."""
_known: dict[str, int] = {}
_pattern: re.Pattern[str] | None = None
_lock = threading.Lock()
_listeners: list[Callable[[Secret], None]] = []

_NAMES: Final = r"""(?:authorization|password|passwd|api[_-]?key|(?:secret|private)(?:[_-]?access)?[_-]?key|secret
    |(?:access|refresh|security|session|auth|api|id)[_-]?token|x-(?:amz|goog)-signature)"""
_NAMES_IN_PROSE: Final = r"(?:token|signature|sig|policy|api[ ]key)"
"""Names of secrets that are ordinary words, too: "invalid token: expired" has to stay as it is."""

_LOOKS_SECRET: Final = re.compile(
    rf"""
      (?P<path>/t/)[^/\s"'<>?\#]+                                              # conda's /t/<token>/ in a URL path
    | (?P<userinfo>://)[^/\s"'<>?\#]+(?=@)                                     # user:password@ in a URL
    | (?P<scheme>\b(?:Bearer|Basic|token)[ ]+)(?=[^\s"',;]*[0-9_~+/=])[A-Za-z0-9._~+/=-]{{8,}}  # not "token expired."
    | (?P<jwt>(?<![a-z0-9_-]))eyJ[a-z0-9_-]{{8,}}+\.[a-z0-9_-]++\.[a-z0-9_-]*  # a signed JWT (RFC 7515, section 3.1)
    | (?P<field>(?<![a-z0-9])(?!id-token:[ ](?:write|read|none)(?![\w-]))      # a permission of GitHub's, no secret
      {_NAMES}(?:\\?["'])?\s*[:=]\s*(?:\\?["'])?(?:(?:Bearer|Basic|token)[ ]+)?)
      (?:(?<=")(?:[^"\\\n]|\\.)+|[^\s"'&,;<>{{}}]+)                              # a string may have spaces in it
    | (?P<word>(?<![a-z0-9]){_NAMES_IN_PROSE}(?:
          =(?=[^\s"'&,;<>{{}}])                                                 # a query, a form
        | (?:\\?["']\s*:\s*|=)\\?["'](?=[^\s"']++(?!\s))                      # JSON, an attribute: a word alone
        | (?:\\?["'])?\s*[:=]\s*(?:\\?["'])?                                  # prose: what has no digit is a word
          (?=[A-Za-z._/-]*[0-9~+=])(?=[A-Za-z0-9._~+/=-]{{8}})
      ))[^\s"'&,;<>{{}}]+
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What has the shape of a secret. The text may be a hostile server's, so the time that this takes grows as the text
does, and not faster: a run of characters whose end an alternative may not like never holds another start of it."""


class Secret:
    """A string that prints as ``****``.

    Args:
        value: the secret itself. Every form of it that could turn up in text from outside is from then on known to
            :func:`redact`, for the life of the process.
        source: where it came from, for messages: ``--api-key-file``, ``the variable QUETZ_API_KEY``.
    """

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str = "") -> None:
        self._value = value
        self.source = source
        remember(value)

    def reveal(self) -> str:
        """The secret itself; call it where it is put on the wire, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        raise TypeError("a Secret is not written anywhere by itself; reveal() it on purpose")


def as_secret(value: str | Secret | None, source: str) -> Secret | None:
    """*value*, which a program gave, as a secret from *source* if it is none yet."""
    return Secret(value, source) if isinstance(value, str) else value


def announce(secret: Secret) -> Secret:
    """Tell those who are :func:`listening` of a *secret* that somebody made during this run, and return it.

    It is for the short-lived ones, an identity and the token for which it was exchanged: a CI system knows the secrets
    that it was given beforehand, and has to be told of these.
    """
    for listener in _listeners.copy():
        listener(secret)
    return secret


@contextmanager
def listening(listener: Callable[[Secret], None]) -> Iterator[None]:
    """Have *listener* called, from any thread, with every secret that is announced meanwhile."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def remember(value: str) -> None:
    """Make *value* known to :func:`redact` in every spelling in which it may come back.

    Values of fewer than four characters are not redacted by value: replacing every ``a`` would destroy the message
    and give the secret away.
    """
    global _pattern  # noqa: PLW0603 - one compiled pattern for the process, guarded by the lock
    spellings = {
        value,
        quote(value, safe="", errors="surrogatepass"),  # a variable's bytes need not be text
        quote(value, errors="surrogatepass"),
        quote_plus(value, errors="surrogatepass"),
        json.dumps(value)[1:-1],
        base64.b64encode(value.encode(errors="surrogatepass")).decode(),
    }
    with _lock:
        before = len(_known)
        for spelling in spellings:
            if len(spelling) >= _SHORTEST_REDACTED:
                _known.setdefault(spelling, len(spelling))
        if len(_known) != before:
            longest_first = sorted(_known, key=len, reverse=True)
            _pattern = re.compile("|".join(map(re.escape, longest_first)))


def redact(text: str) -> str:
    """*text* without any secret known to this process, and without anything that has the shape of one."""
    pattern = _pattern
    if pattern is not None:
        text = pattern.sub(MASK, text)
    return _LOOKS_SECRET.sub(_mask_value, text)


def redact_cut(text: str) -> str:
    """*text*, of which the end was cut off, redacted and without its last characters: half a secret is not recognised.

    What is left is at least 1024 characters, and the longest secret known, shorter; it may be nothing.
    """
    with _lock:
        longest = max(_known.values(), default=0)
    return redact(text)[: -max(_CUT_MARGIN, longest)]


def _mask_value(match: re.Match[str]) -> str:
    return match[match.lastgroup or 0] + MASK
