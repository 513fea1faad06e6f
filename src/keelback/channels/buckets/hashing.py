"""The hash of what is in a bucket, by reading it: for archives with which none, or a wrong one, is kept."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from keelback.transport import Request

if TYPE_CHECKING:
    import httpx2

    from keelback.transport import Client


def read_hash(client: Client, url: str, auth: httpx2.Auth, size: int) -> str | None:
    """The SHA-256, in hex, of what is at *url*; ``None`` where it cannot be read.

    Args:
        client: sends the request.
        url: of an object.
        auth: puts the credential on it.
        size: how many bytes there are, as the service says; ``None`` comes back where more come.

    Raises:
        TransportError: it broke off.
    """
    digest, left = hashlib.sha256(), size
    request = Request("GET", url, auth=auth, headers={"accept-encoding": "identity"})
    with client.stream(request) as (status, _, pieces):
        if status != 200:
            return None
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                return None
            digest.update(piece)
    return digest.hexdigest()
