"""Asks the metadata servers of clouds.

They speak plain HTTP on addresses that lead to no other machine. They are asked without a proxy, with short timeouts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx2

from keelback.credentials.confidential import LARGEST_ANSWER, in_time
from keelback.errors import TransportError
from keelback.hosts import host_of
from keelback.stopping import on_stop
from keelback.transport import Client, Request, Retry
from keelback.transport.pools import proxy_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.transport import Answer

_CONNECT_SECONDS: Final = 1.0
_SECONDS: Final = 5.0
"""For one attempt, once there is a connection; and for all together twice as many."""


def ask_metadata(method: str, url: str, headers: Mapping[str, str], *, attempts: int = 1) -> Answer:
    """What the server at *url* answers, whatever the status; no redirect is followed.

    Args:
        method: the HTTP method.
        url: the caller has made sure of its host, since *headers* may hold a secret.
        headers: of the request.
        attempts: how often at most.

    Raises:
        TransportError: no answer came, or a proxy stands between.
        Interrupted: the user has stopped the run.
    """
    host = host_of(url)
    if proxy_for(httpx2.URL(url)) is not None:
        raise TransportError(
            f"the request to {host} would go through a proxy", hint=f"Add {host} to the variable NO_PROXY."
        )
    retry = Retry(attempts=attempts, base=0.2, patience=1.0)
    request = Request(method, url, headers=headers, limit=LARGEST_ANSWER)
    # a client of its own: those of a run wait longer for a connection than a machine of no cloud should be kept waiting
    with Client(retry=retry, timeout=_SECONDS, connect_timeout=_CONNECT_SECONDS) as client, on_stop(client.stop):
        return in_time(2 * _SECONDS, url, lambda: client.send(request), "keelback-metadata")
