"""Access tokens: what gives them, how they are requested, and how they are renewed."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import urlencode

from keelback.credentials.confidential import LARGEST_ANSWER, Confidential
from keelback.credentials.kinds import Credential, HeaderAuth
from keelback.credentials.oauth.endpoints import error_words
from keelback.credentials.oidc.asking import SECONDS, SECONDS_IN_ALL, Reply, replied
from keelback.credentials.oidc.exchanged import Exchanged
from keelback.credentials.oidc.renewed import Renewed
from keelback.errors import ExchangeError
from keelback.secret import announce
from keelback.transport import RenewableAuth, Request, servers_words

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    import httpx2

    from keelback.transport import Answer, Client

_AHEAD: Final = 225.0
"""Seconds before its end at which a token is renewed; the metadata server has a new one from 300 on."""
_LONGEST_LIFE: Final = 43200.0
"""Seconds; no token of Google's is good for longer than twelve hours."""


class Account(ABC):
    """Somebody for whom Google gives access tokens.

    Attributes:
        described: who, as a person would say it: ``the file .../key.json (ci@acme.iam.gserviceaccount.com)``.
    """

    described: str

    @abstractmethod
    def token(self, client: Client, scope: str) -> Exchanged:
        """A new access token for *scope*.

        Raises:
            CredentialError: there is none; the hint says what to do.
        """


class GoogleToken(Credential, RenewableAuth):
    """An access token of an account, sent as ``Authorization: Bearer TOKEN``; safe to use from several threads at once.

    It is fetched when it is first needed, and renewed as :class:`Renewed` says; it is kept nowhere but in memory.

    Args:
        account: whose token.
        client: sends the requests for it.
        scope: what it is for.
    """

    kind: ClassVar[str] = "GoogleToken"
    noun: ClassVar[str] = "access token"

    def __init__(self, account: Account, client: Client, scope: str) -> None:
        def get() -> Exchanged:
            new = account.token(client, scope)
            announce(new.token)
            return new

        self._renewed = Renewed(get, name=f"the access token of {account.described}", ahead=_AHEAD)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def generation(self) -> int:
        """See :class:`RenewableAuth`."""
        return self._renewed.generation

    def renew(self, generation: int) -> None:
        """See :class:`RenewableAuth`; raises as :meth:`Account.token`."""
        self._renewed.renew(generation)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Put the token onto *request* unless it has an ``Authorization`` already, and send it once."""
        yield from HeaderAuth("Authorization", self._renewed.current().token, "Bearer ").auth_flow(request)


def ask(
    client: Client,
    url: str,
    body: bytes,
    *,
    content_type: str,
    whose: str,
    hint: str,
    auth: httpx2.Auth | None = None,
) -> Reply:
    """The reply to a request for a token, which is a success. No redirect is followed.

    Args:
        client: sends it, again where that may help.
        url: where to.
        body: what is sent; may hold secrets.
        content_type: of the body.
        whose: the account, for messages.
        hint: what to do where Google says no.
        auth: a credential for the request, where it needs one.

    Raises:
        ExchangeError: no answer came, or one that is no success.
    """
    headers = {"content-type": content_type, "accept": "application/json"}
    request = Request("POST", url, Confidential(SECONDS, auth), headers, body, LARGEST_ANSWER)
    reply = replied(
        url,
        lambda: client.send(request),
        failure=lambda: f"Google gave no access token for {whose}",
        error=ExchangeError,
        source="Google",
        seconds=SECONDS_IN_ALL,
    )
    if not reply.answer.ok:
        raise reply.refusal(oauth_words(reply.answer), hint=hint)
    return reply


def ask_with_form(client: Client, url: str, form: Mapping[str, str], *, whose: str, hint: str) -> Exchanged:
    """The access token that *url* gives for *form* (RFC 6749, section 4); raises as :func:`ask`."""
    asked = time.time()
    body = urlencode(form).encode()
    content_type = "application/x-www-form-urlencoded"
    return token_in(ask(client, url, body, content_type=content_type, whose=whose, hint=hint), asked)


def token_in(reply: Reply, asked: float) -> Exchanged:
    """The access token in *reply* (RFC 6749, section 5.1).

    Args:
        reply: a success.
        asked: when it was asked for, in Unix seconds.

    Raises:
        CredentialError: there is none, or it is not sent as ``Bearer``.
    """
    token, members = reply.token("access_token"), reply.members()
    if str(members.get("token_type", "Bearer")).lower() != "bearer":
        raise reply.useless("a token that is not sent as 'Bearer'")
    life = members.get("expires_in")
    if isinstance(life, bool) or not isinstance(life, int | float) or not life > 0:  # nor NaN
        return Exchanged(token)
    life = float(min(life, _LONGEST_LIFE))
    return Exchanged(token, asked + life, life)


def oauth_words(answer: Answer) -> str:
    """What Google says of an error, in one line, redacted: OAuth's words, or those of its APIs."""
    document = answer.json()
    if isinstance(document, dict) and isinstance(document.get("error"), str):
        return error_words(document)
    return servers_words(answer)
