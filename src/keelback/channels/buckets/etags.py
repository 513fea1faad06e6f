"""Conditions by ETags, as S3 services and Azure Blob Storage take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.channels.buckets.bucket import ABSENT
from keelback.errors import ServerError

if TYPE_CHECKING:
    from keelback.channels.buckets.bucket import Condition


def condition_headers(condition: Condition, service: str) -> dict[str, str]:
    """The header fields by which a request depends on *condition*; raises ``ServerError`` as :func:`strong`."""
    if condition is None:
        return {}
    return {"if-none-match": "*"} if condition is ABSENT else {"if-match": strong(condition, service)}


def strong(version: str, service: str) -> str:
    """*version*, where it can be a condition: a weak one never holds (RFC 9110, section 13.1.1).

    Raises:
        ServerError: it is weak, which those of the services themselves never are.
    """
    if version.startswith("W/"):
        raise ServerError(
            f"{service} gives weak ETags, on which no write can depend: a proxy in front of the service weakens them",
            status=200,
            hint="Have the proxy leave answers as they are (no compression), or name the service itself as the "
            "endpoint.",
            code="weak-etag",
        )
    return version
