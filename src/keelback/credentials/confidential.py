"""Requests with secrets in them, or for them, that are no header: never over plain HTTP, and never waited for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx2

from keelback.credentials.deadlines import DeadlinePassed, within
from keelback.errors import TransportError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from keelback.transport import Answer

LARGEST_ANSWER: Final = 64 << 10
"""Bytes; no answer with a token or an identity in it is larger."""
_CONNECT_SECONDS: Final = 10.0


class Confidential(httpx2.Auth):
    """Marks a request as one with secrets in it or for them, so that the client keeps it off plain HTTP.

    It also gives the request time-outs of its own, where they are shorter than those of the client.

    Args:
        seconds: how long each step of the request may take.
        auth: puts a credential on the request, where there is one besides.
    """

    def __init__(self, seconds: float, auth: httpx2.Auth | None = None) -> None:
        self._seconds = seconds
        self._auth = auth

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Set the time-outs of *request*, and send it with the credential."""
        allowed = request.extensions.get("timeout", {}).get("read") or self._seconds
        seconds = min(self._seconds, allowed)
        timeout = httpx2.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS), pool=None)
        request.extensions["timeout"] = timeout.as_dict()
        if self._auth is None:
            yield request
        else:
            yield from self._auth.auth_flow(request)


def in_time(seconds: float, url: str, send: Callable[[], Answer], name: str) -> Answer:
    """What *send* returns within *seconds*, which no time-out between two bytes can promise.

    Args:
        seconds: for all attempts together.
        url: where the request goes, for messages.
        send: sends it.
        name: of the thread in which it is sent.

    Raises:
        TransportError: no answer came in time.
    """
    try:
        return within(seconds, send, name)
    except DeadlinePassed:
        raise TransportError(
            f"{host_of(url)}: the server did not answer in time ({seconds:g} seconds)",
            hint="Check the network, or try again later.",
        ) from None
