"""The exchange of an identity for an upload token at prefix.dev, or at a server like it.

``POST /api/oidc/mint_token`` with ``{"token": ID_TOKEN}``; the body of a 2xx is the token itself (rattler,
``rattler_networking``, ``trusted_publishing.rs``; prefix.dev documentation, "Trusted publishing").
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from keelback.credentials.confidential import LARGEST_ANSWER, Confidential, in_time
from keelback.credentials.kinds import check_token
from keelback.credentials.oidc.exchanged import Exchanged
from keelback.credentials.oidc.idtoken import claims_of, expiry
from keelback.errors import CredentialError, ExchangeError
from keelback.hosts import host_of, scheme_and_authority
from keelback.secret import Secret
from keelback.transport import Request, servers_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.transport import Answer, Client

_FAMILY: Final = "prefix.dev"
_SECONDS: Final = 30.0
_SECONDS_IN_ALL: Final = 120.0


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

    Each attempt has an identity of its own, where the CI system makes more than one: a server may take each but once.

    Args:
        client: sends the requests; follows no redirect, and sends nothing over plain HTTP to another machine.
        server: its URL.
        identity: gives an identity for it.

    Raises:
        IdentityError: there is no identity.
        ExchangeError: the server gave no token; the message has its words, and what the identity said.
        TransportError: no answer came.
    """
    url = mint_url(server)
    used: list[IdToken] = []

    def request() -> Request:
        used.append(identity())
        body = json.dumps({"token": used[-1].secret.reveal()}).encode()
        headers = {"content-type": "application/json"}
        return Request("POST", url, auth=Confidential(_SECONDS), headers=headers, body=body, limit=LARGEST_ANSWER)

    def send() -> Answer:
        return client.persist(Request("POST", url), lambda: client.send_once(request()))

    answer = in_time(_SECONDS_IN_ALL, url, send, "keelback-exchange")
    return _token_in(answer, used[-1])


def _token_in(answer: Answer, identity: IdToken) -> Exchanged:
    host = host_of(answer.url)
    if not answer.ok:
        words = servers_words(answer)
        raise ExchangeError(
            f"{host} gave no token for the identity from {identity.source} ({answer.status})"
            f"{f': {words}' if words else ''}; {what_it_said(identity)}",
            hint=_hint(answer.status, host),
        )
    text = answer.content.decode(errors="replace")
    if text.lstrip()[:1] in ("<", "{", "["):
        raise ExchangeError(_nonsense(answer, host, "It is a document."), hint=_NO_SUCH_SERVER)
    token = Secret(text, f"the exchange at {host}")
    try:
        check_token(token, token.source)
    except CredentialError as error:
        raise ExchangeError(_nonsense(answer, host, str(error)), hint=_NO_SUCH_SERVER) from None
    return Exchanged(token, expiry(claims_of(token) or {}))


_NO_SUCH_SERVER: Final = "Is this the server of the channel, and does it speak prefix.dev's trusted publishing?"


def _nonsense(answer: Answer, host: str, why: str) -> str:
    return f"{host} answered the exchange with {answer.status}, and what is no token: {why}"


def what_it_said(identity: IdToken) -> str:
    """Which claims *identity* carries, for messages: never the token."""
    return f"the identity says {', '.join(identity.shown()) or 'nothing by which servers know a publisher'}"


def _hint(status: int, host: str) -> str:
    if 300 <= status <= 399:
        return f"{host} redirects the exchange elsewhere, and no identity follows it: give the server's own URL."
    if status == 404:
        return _NO_SUCH_SERVER
    if status >= 500:
        return "Try again later."
    return (
        f"Register a trusted publisher for the channel at {host}: owner, repository, workflow file and environment "
        "have to be those that the identity says."
    )
