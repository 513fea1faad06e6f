"""Which kind of server is at a place, and whose a credential is, as far as the server tells.

Every kind of server is asked the cheapest question whose answer tells a good credential from a bad one. What a server
does not tell is left out, and said.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keelback.channels.registry import services
from keelback.channels.service import Identity, Service, Site
from keelback.credentials.kinds import S3Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.credentials.kinds import Credential
    from keelback.transport import Client

__all__ = ["Identity", "service_of", "whoami"]


def service_of(place: str) -> type[Service] | None:
    """The kind of server at *place*, if how it is written shows that.

    Args:
        place: a host, a URL, or a URL with the kind before it: ``quetz+https://conda.example.com``.
    """
    site = Site.of(place)
    if site.kind:
        return next((service for service in services() if service.kind == site.kind), None)
    return next((service for service in services() if service.is_at(site.host, site.segments)), None)


def whoami(client: Client, place: str, credential: Credential, environ: Mapping[str, str] | None = None) -> Identity:
    """Ask the server at *place* whose *credential* is.

    Args:
        client: sends the requests.
        place: a host, or any URL of the server; a kind may stand before it: ``anaconda+https://HOST/api``.
        credential: what to ask about; one that the server does not take is not sent.
        environ: the variables, in place of the process's own.

    Raises:
        TransportError: no answer came.
        ServerError: an answer that says nothing about the credential, such as a 500.
        CredentialError: an OAuth login that has expired, and could not be renewed.
    """
    site, service = Site.of(place), service_of(place)
    if service is None and not isinstance(credential, S3Credentials):
        service = _found_by_asking(client, site, credential)
    if service is None:
        return Service.whoami(client, site, credential, {})
    if not isinstance(credential, service.takes):
        kinds = " or ".join(kind.kind for kind in service.takes)
        return Identity.unknown(f"{service.title} takes {kinds}; a {credential.kind} was not sent")
    return service.whoami(client, site, credential, os.environ if environ is None else environ)


def _found_by_asking(client: Client, site: Site, credential: Credential) -> type[Service] | None:
    """The first kind that takes *credential* and that the server at *site*, when asked, turns out to be."""
    would = (service for service in services() if isinstance(credential, service.takes))
    return next((service for service in would if service.answers(client, site)), None)
