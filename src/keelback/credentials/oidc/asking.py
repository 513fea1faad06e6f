"""Asks for an identity, or for a token in exchange for one, and reads the token in the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keelback.credentials.confidential import in_time
from keelback.credentials.kinds import check_token
from keelback.errors import CredentialError, IdentityError, TransportError
from keelback.hosts import host_of
from keelback.secret import Secret
from keelback.transport import servers_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.transport import Answer, Client, Request

SECONDS: Final = 30.0
"""How long one attempt may take."""
SECONDS_IN_ALL: Final = 120.0
"""How long all attempts together may take."""

_SHORTEST: Final = 16
"""Characters that a token has at least. What is one is kept out of every log, by the CI system and by keelback, and
nobody else is to choose a word for that."""

_IN_ITS_PLACE: Final = "Look for a proxy or a log-in page that answers in its place."


def is_trouble(status: int) -> bool:
    """Whether an answer with this *status* may be another one later, whatever was asked."""
    return status in {408, 429} or status >= 500


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is to have a token in it, and the words for where it has none.

    Attributes:
        answer: what the server said.
        failure: how the message of an error begins: ``GitHub Actions gave no identity``.
        error: its class.
        source: where a token in the answer came from, as a person would say it.
    """

    answer: Answer
    failure: str
    error: type[CredentialError]
    source: str

    def members(self) -> Mapping[str, Any]:
        """The JSON object that the answer is.

        Raises:
            CredentialError: it is something else.
        """
        document = self.answer.json()
        if not isinstance(document, dict):
            raise self.foreign("what is not a JSON object")
        return document

    def token(self, name: str) -> Secret:
        """The token that is the member *name* of the JSON object in the answer.

        Raises:
            CredentialError: there is none, or what is there can be none. The message shows nothing of the answer, which
                may hold a token elsewhere.
        """
        value = self.members().get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.useless(f"JSON that has no {name!r}")
        return self.checked(value)

    def checked(self, value: str) -> Secret:
        """*value*, out of the answer, as a token; raises ``CredentialError`` where it can be none."""
        if len(value.strip()) < _SHORTEST:
            raise self.useless("what is too short for a token")
        token = Secret(value, self.source)
        try:
            return check_token(token, token.source)
        except CredentialError as error:
            raise self.error(error.message, hint=_IN_ITS_PLACE) from None

    def useless(self, what: str) -> CredentialError:
        """The error for an answer that is a success, and yet *what* is in it is no token; nothing else is shown."""
        return self.error(
            f"{self.failure}: {host_of(self.answer.url)} answered {self.answer.status} with {what}",
            hint=_IN_ITS_PLACE,
        )

    def foreign(self, what: str) -> CredentialError:
        """The same for an answer that may be that of another program; a web page is called one."""
        return self.useless("a web page" if self.answer.content.lstrip()[:1] == b"<" else what)

    def refusal(self, words: str, *, hint: str) -> CredentialError:
        """The error for an answer that is no success.

        Args:
            words: the server's own, redacted.
            hint: what to do where it is neither a redirect nor trouble that may pass.
        """
        status = self.answer.status
        if 300 <= status <= 399:
            return self.error(
                f"{self.failure}: {host_of(self.answer.url)} redirects the request elsewhere ({status})",
                hint="Use the server's own URL, and look for a proxy that redirects: nothing that has to do with an "
                "identity follows a redirect.",
            )
        said = f": {words}" if words else ""
        return self.error(f"{self.failure} ({status}){said}", hint="Try again later." if is_trouble(status) else hint)


def replied(
    url: str,
    send: Callable[[], Answer],
    *,
    failure: Callable[[], str],
    error: type[CredentialError],
    source: str,
    seconds: float,
) -> Reply:
    """What *send*, which asks *url*, returns; whatever the status.

    Args:
        url: who is asked, for messages.
        send: sends the request, again where that may help.
        failure: see :class:`Reply`; called when it is known whether there is an answer.
        error: see :class:`Reply`.
        source: see :class:`Reply`.
        seconds: for all attempts together.

    Raises:
        CredentialError: the *error*, where no answer came.
    """
    try:
        answer = in_time(seconds, url, send, "keelback-identity")
    except TransportError as problem:
        code = problem.code if problem.code == "plain-http" else None  # for which nothing was sent at all
        hint = problem.hint or "Check the network, or try again later."
        raised = error(f"{failure()}: {problem}", hint=hint, code=code)
        raised.attempts = problem.attempts
        raise raised from problem
    return Reply(answer, failure(), error, source)


def ask(client: Client, request: Request, *, provider: str, hint: str, seconds: float) -> Reply:
    """The reply to *request*, which is a success. No redirect is followed.

    Args:
        client: sends it, again where that may help.
        request: for an identity, or for what one can be had with.
        provider: who is asked, as a person would say it.
        hint: what to do where the answer is that this job may not have it.
        seconds: for all attempts together.

    Raises:
        IdentityError: no answer came, or another one than 200; the message has the server's own words.
    """
    reply = replied(
        request.url,
        lambda: client.send(request),
        failure=lambda: f"{provider} gave no identity",
        error=IdentityError,
        source=provider,
        seconds=seconds,
    )
    if reply.answer.status != 200:
        raise reply.refusal(servers_words(reply.answer), hint=hint)
    return reply
