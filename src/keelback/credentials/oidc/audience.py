"""For whom an identity is made that a server is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def audience_of(url: str, services: Mapping[str, str]) -> str:
    """For whom an identity for the server at *url* is made.

    Args:
        url: the server's.
        services: the domains of a service that has one audience for all of its servers, each with that audience.

    Returns:
        The audience of the service; for a server of nobody's in *services* its own host, without the port, so that it
        can use the identity nowhere else.
    """
    host = host_of(url)
    return next((audience for domain, audience in services.items() if is_within(host, domain)), host)


def is_within(host: str, domain: str) -> bool:
    """Whether *host*, as :func:`keelback.hosts.host_of` gives it, is *domain*, or one under it."""
    return host == domain or host.endswith(f".{domain}")
