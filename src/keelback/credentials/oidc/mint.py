"""The exchange of an identity for an upload token at prefix.dev, or at a server like it.

``POST /api/oidc/mint_token`` with ``{"token": ID_TOKEN}``; the body of a 2xx is the token itself (rattler,
``rattler_networking``, ``trusted_publishing.rs``; prefix.dev documentation, "Trusted publishing").
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from keelback.credentials.oidc.exchanged import Exchanged
from keelback.credentials.oidc.idtoken import claims_of, expiry
from keelback.credentials.oidc.sending import checked, nonsense, refusal, send_identity
from keelback.hosts import host_of, scheme_and_authority
from keelback.transport import servers_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.transport import Answer, Client

_FAMILY: Final = "prefix.dev"


def is_of_family(host: str) -> bool:
    """Whether *host*, as :func:`keelback.hosts.host_of` gives it, is prefix.dev, or one under it."""
    return host == _FAMILY or host.endswith(f".{_FAMILY}")


def audience_of(server: str) -> str:
    """For whom an identity for the server at *server* is made: ``prefix.dev``, or else the host, without its port."""
    host = host_of(server)
    return _FAMILY if is_of_family(host) else host


def mint_url(server: str) -> str:
    """Where the server at *server* exchanges identities: a fixed path of its origin, whatever path it has."""
    scheme, authority = scheme_and_authority(server)
    return f"{scheme}://{authority}/api/oidc/mint_token"


def mint(client: Client, server: str, identity: Callable[[], IdToken]) -> Exchanged:
    """Exchange an identity for a token at *server*.

    Args:
        client: sends the requests.
        server: its URL.
        identity: gives an identity for it; a new one for each attempt, where the CI system makes more than one.

    Raises:
        IdentityError: there is no identity.
        ExchangeError: the server gave no token; the message has its words, and what the identity said.
        TransportError: no answer came.
    """
    headers = {"content-type": "application/json"}
    answer, used = send_identity(client, mint_url(server), identity, _body, headers)
    if not answer.ok:
        raise refusal(answer, used, servers_words(answer), hint=_hint(answer, used))
    text = answer.content.decode(errors="replace")
    if text.lstrip()[:1] in ("<", "{", "["):
        raise nonsense(answer, "is a document, and no token")
    token = checked(text, answer)
    return Exchanged(token, expiry(claims_of(token) or {}))


def _body(identity: IdToken) -> bytes:
    return json.dumps({"token": identity.secret.reveal()}).encode()


def _hint(answer: Answer, identity: IdToken) -> str:
    host = host_of(answer.url)
    if answer.status == 404:
        return "Is this the server of the channel, and does it speak prefix.dev's trusted publishing?"
    if identity.expires is not None and identity.expires < time.time():
        return f"The identity from {identity.source} has expired: let it live as long as the job may take."
    return (
        f"Register a trusted publisher for the channel at {host}: owner, repository, workflow file and environment "
        "have to be those that the identity says."
    )
