"""Sends an identity to a server that gives a credential for it, and says what is wrong where it gives none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from keelback.credentials.confidential import LARGEST_ANSWER, Confidential
from keelback.credentials.oidc.asking import SECONDS, SECONDS_IN_ALL, Reply, is_trouble, replied
from keelback.errors import CredentialError, ExchangeError
from keelback.hosts import host_of
from keelback.transport import Request, servers_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.transport import Answer, Client

_USED_BEFORE: Final = "invalid-reuse-token"
"""The code for an identity that comes a second time (PyPI, ``warehouse/oidc/views.py``)."""


def send_identity(
    client: Client,
    url: str,
    identity: Callable[[], IdToken],
    body: Callable[[IdToken], bytes],
    headers: Mapping[str, str],
    *,
    hint: Callable[[Answer, IdToken], str],
    words: Callable[[Answer], str] = servers_words,
) -> Reply:
    """POST an identity to *url*, again where that may help.

    Each attempt has an identity of its own, where the CI system makes more than one: a server may take each but once.

    Args:
        client: sends the requests; follows no redirect, and sends nothing over plain HTTP to another machine.
        url: where the server exchanges identities.
        identity: gives an identity for it.
        body: the request that is made of an identity.
        headers: what the server needs to know of the request.
        hint: what to set up where the server refuses the identity that it was shown.
        words: the server's own in an answer that is no success, redacted.

    Returns:
        The last reply, which is a success.

    Raises:
        IdentityError: there is no identity.
        ExchangeError: no answer came, or one that is no success.
    """
    used: list[IdToken] = []
    host = host_of(url)

    def once() -> Answer:
        used.append(identity())
        request = Request(
            "POST", url, auth=Confidential(SECONDS), headers=headers, body=body(used[-1]), limit=LARGEST_ANSWER
        )
        return client.send_once(request)

    def failure() -> str:
        return f"{host} gave no token for the identity{f' from {used[-1].source}' if used else ''}"

    reply = replied(
        url,
        lambda: client.persist(Request("POST", url), once),
        failure=failure,
        error=ExchangeError,
        source=f"the exchange at {host}",
        seconds=SECONDS_IN_ALL,
    )
    if not reply.answer.ok:
        raise _refusal(reply, used[-1], words(reply.answer), hint(reply.answer, used[-1]))
    return reply


def _refusal(reply: Reply, identity: IdToken, words: str, hint: str) -> CredentialError:
    """The error for a reply that is no success, with what the *identity* says where that may be the reason."""
    status = reply.answer.status
    if not 400 <= status <= 499 or status == 404 or is_trouble(status):
        return reply.refusal(words, hint=hint)
    claims = tuple(identity.shown())
    if identity.expires is not None and identity.expires < time.time():
        claims, hint = (), identity.remedies.expired
    elif _USED_BEFORE in words:
        claims, hint = (), identity.remedies.used
    said = f": {words}" if words else ""
    return ExchangeError(f"{reply.failure} ({status}){said}; {identity.described()}", hint=hint, claims=claims)
