"""The exchange of an identity for an upload token at prefix.dev, or at a server like it.

``POST /api/oidc/mint_token`` with ``{"token": ID_TOKEN}``; the body of a 2xx is the token itself (rattler,
``rattler_networking``, ``trusted_publishing.rs``; prefix.dev documentation, "Trusted publishing").
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from keelback.credentials.oidc.audience import is_within
from keelback.credentials.oidc.exchanged import Exchanged
from keelback.credentials.oidc.publisher import publisher_of
from keelback.credentials.oidc.sending import send_identity
from keelback.hosts import host_of, scheme_and_authority

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.transport import Answer, Client

_FAMILY: Final = "prefix.dev"
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What can stand behind ``Bearer`` (RFC 6750, section 2.1, ``b64token``), and a form with a token in it is not."""
AUDIENCES: Final = {_FAMILY: _FAMILY}
"""See :func:`~keelback.credentials.oidc.audience.audience_of`."""


def is_of_family(host: str) -> bool:
    """Whether *host*, as :func:`keelback.hosts.host_of` gives it, is prefix.dev, or one under it."""
    return is_within(host, _FAMILY)


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
        ExchangeError: the server gave no token; the message has its words, and whose identity it refused.
    """
    headers = {"content-type": "application/json"}
    reply = send_identity(client, mint_url(server), identity, _body, headers, hint=_hint)
    text = reply.answer.content.decode(errors="replace")
    if not text.strip():
        raise reply.useless("an empty token")
    if text.lstrip()[0] in "<{[" or _is_json(text):
        raise reply.foreign("a document in place of a token")
    token = reply.checked(text)
    if not _TOKEN.fullmatch(text):
        raise reply.useless("what is no token by its characters")
    return Exchanged.dated_by_itself(token)


def _is_json(text: str) -> bool:
    """Whether *text* is JSON, as of a server that answers ``null``, or puts the token into quotes."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _body(identity: IdToken) -> bytes:
    return json.dumps({"token": identity.secret.reveal()}).encode()


def _hint(answer: Answer, identity: IdToken) -> str:
    host = host_of(answer.url)
    if answer.status == 404:
        return f"Check the URL of the channel: {host} does not offer the trusted publishing of prefix.dev."
    if not publisher_of(identity.claims):
        return f"Register a trusted publisher for the channel at {host} that is the one of this identity."
    return (
        f"Register a trusted publisher for the channel at {host} with exactly these fields, or correct the one that "
        "is registered."
    )
