"""Sends an identity to a server that gives a credential for it, and says what is wrong where it gives none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keelback.credentials.confidential import LARGEST_ANSWER, Confidential, in_time
from keelback.credentials.kinds import check_token
from keelback.errors import CredentialError, ExchangeError
from keelback.hosts import host_of
from keelback.secret import Secret
from keelback.transport import Request, servers_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.transport import Answer, Client

_SECONDS: Final = 30.0
_SECONDS_IN_ALL: Final = 120.0


def send_identity(
    client: Client,
    url: str,
    identity: Callable[[], IdToken],
    body: Callable[[IdToken], bytes],
    headers: Mapping[str, str],
) -> tuple[Answer, IdToken]:
    """POST an identity to *url*, again where that may help.

    Each attempt has an identity of its own, where the CI system makes more than one: a server may take each but once.

    Args:
        client: sends the requests; follows no redirect, and sends nothing over plain HTTP to another machine.
        url: where the server exchanges identities.
        identity: gives an identity for it.
        body: the request that is made of an identity.
        headers: what the server needs to know of the request.

    Returns:
        The last answer, whatever its status, and the identity that it is for.

    Raises:
        IdentityError: there is no identity.
        TransportError: no answer came.
    """
    used: list[IdToken] = []

    def once() -> Answer:
        used.append(identity())
        request = Request(
            "POST", url, auth=Confidential(_SECONDS), headers=headers, body=body(used[-1]), limit=LARGEST_ANSWER
        )
        return client.send_once(request)

    answer = in_time(_SECONDS_IN_ALL, url, lambda: client.persist(Request("POST", url), once), name="keelback-exchange")
    return answer, used[-1]


def members_of(answer: Answer, identity: IdToken, *, hint: str) -> Mapping[str, Any]:
    """The JSON object that *answer* is, which is a success.

    Raises:
        ExchangeError: it is no success, for which *hint* is the remedy; or it is something else.
    """
    if not answer.ok:
        raise refusal(answer, identity, servers_words(answer), hint=hint)
    document = answer.json()
    if not isinstance(document, dict):
        raise nonsense(answer, "is no JSON object")
    return document


def token_in(members: Mapping[str, Any], name: str, answer: Answer) -> Secret:
    """The token called *name* among the *members* of *answer*.

    Raises:
        ExchangeError: there is none, or what is there can be none; nothing of it is shown.
    """
    value = members.get(name)
    if not isinstance(value, str) or not value:
        words = servers_words(answer)
        raise nonsense(answer, f"has no {name!r}{f': {words}' if words else ''}")
    return checked(value, answer)


def checked(value: str, answer: Answer) -> Secret:
    """*value*, a token out of *answer*, as a secret; raises ``ExchangeError`` where it can be none."""
    secret = Secret(value, f"the exchange at {host_of(answer.url)}")
    try:
        return check_token(secret, secret.source)
    except CredentialError as error:
        raise nonsense(answer, f"holds what is no token: {error}") from None


def refusal(answer: Answer, identity: IdToken, words: str, *, hint: str) -> ExchangeError:
    """The error that *answer*, which is no success, stands for.

    Args:
        answer: what the server said.
        identity: what it was shown.
        words: its own words, redacted.
        hint: what to do where the server knows no publisher by this identity.
    """
    host = host_of(answer.url)
    said = ", ".join(identity.shown()) or "nothing by which servers know a publisher"
    if 300 <= answer.status <= 399:
        hint = f"{host} redirects the exchange elsewhere, and no identity follows it: give the server's own URL."
    elif answer.status == 429 or answer.status >= 500:
        hint = "Try again later."
    return ExchangeError(
        f"{host} gave no token for the identity from {identity.source} ({answer.status})"
        f"{f': {words}' if words else ''}; the identity says {said}",
        hint=hint,
    )


def nonsense(answer: Answer, why: str) -> ExchangeError:
    """The error for an *answer* that is a success, and yet of no use; *why* shows nothing that may be a secret."""
    return ExchangeError(
        f"{host_of(answer.url)} answered the exchange of the identity with {answer.status}, and the answer {why}",
        hint="Is this the server, and nothing else that answers in its place?",
    )
