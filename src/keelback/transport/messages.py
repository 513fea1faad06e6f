"""Requests that can be sent more than once, and the answers to them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.transport.body import Body

ANSWER_LIMIT: Final = 1 << 20
"""How much of an answer is read where nobody asked for more: enough for any API, too little to do harm."""

Origin = tuple[str, str, int | None]
"""Scheme, host and port; ``None`` for the scheme's own port."""


def origin_of(url: str | httpx2.URL) -> Origin:
    """The origin of *url* (RFC 6454); raises ``httpx2.InvalidURL`` where it is none."""
    parts = httpx2.URL(url)
    return parts.scheme, parts.host, parts.port


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        status: the HTTP status.
        headers: the answer's headers; names in any case.
        content: its body, decoded, of at most the bytes that were asked for.
        url: where it came from.
        attempts: how often the request was sent, this answer's included.
        uncertain: whether an earlier attempt may have been carried out although no success was heard of it.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str
    attempts: int = 1
    uncertain: bool = False

    @property
    def ok(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status <= 299

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 in it is replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON, or ``None`` where it is none."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be sent more than once.

    Attributes:
        method: the HTTP method.
        url: absolute.
        auth: puts the credential on it, or ``None``.
        headers: more headers.
        body: bytes, or a replayable :class:`~keelback.transport.body.Body`; ``None`` for none.
        limit: how many bytes of the answer are read at most; more is an error.
        scope: the path under which the credential counts, on a server that has others elsewhere; it does not follow a
            redirect out of it.
        retried: told the wait in seconds and the reason whenever it is about to be sent again.
    """

    method: str
    url: str
    auth: httpx2.Auth | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Body | None = None
    limit: int = ANSWER_LIMIT
    scope: str = "/"
    retried: Callable[[float, str], None] | None = None
