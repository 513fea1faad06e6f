"""Tries trusted publishing with the server of a channel, as ``publish`` would, and keeps an account of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from keelback.channels.access import exchanged_access
from keelback.channels.exchange import not_exchanged
from keelback.credentials.oidc.providers import IdentitySource
from keelback.diagnosis.publisher import Registered, publisher_of
from keelback.errors import ExchangeError, ExitStatus, IdentityError, TransportError
from keelback.hosts import host_of, scheme_and_host
from keelback.report import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.channels.access import Access
    from keelback.channels.base import Channel, Session
    from keelback.channels.exchange import Exchange
    from keelback.credentials.oidc.exchanged import Exchanged
    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.credentials.oidc.trusted import TrustedPublishing
    from keelback.diagnosis.asking import AccountingClient
    from keelback.errors import KeelbackError

_NOT_ABOUT_THE_IDENTITY: Final = frozenset({404, 408, 429})
"""Statuses of the 4xx that say nothing of who may have a token."""


class Standing(StrEnum):
    """Whether a server may have an identity, and why."""

    KNOWN = "known"
    """It may: it is known to take identities."""
    NAMED = "named"
    """It may: the user named it."""
    NOT_NAMED = "not-named"
    """It may not: it is not known to take any, and was not named."""
    PLAIN_HTTP = "plain-http"
    """It may not: anyone on the way could read the identity."""
    NO_EXCHANGE = "no-exchange"
    """It would do nothing with it, as far as keelback knows."""
    UNKNOWN_KIND = "unknown-kind"
    """It cannot be told from the URL which kind of server it is."""

    @property
    def permits(self) -> bool:
        """Whether it may."""
        return self in {Standing.KNOWN, Standing.NAMED}


@dataclass
class Attempt:
    """What came of trusted publishing.

    Attributes:
        trusted: what the user said of it.
        offered_by: who offers an identity: a CI system, or an option; ``None`` where nobody does.
        host: the server's.
        standing: whether the server may have an identity.
        preceded_by: the credential that takes precedence, so that no identity was asked for; empty for none.
        precedes: what is stored for the server, and not used because there is a token; empty for none.
        audience: for whom identities for the server are made; empty where that is not known.
        identity: the identity that was sent, or would have been; ``None`` where there is none.
        token: whether the server gave a token.
        expires_in: the seconds after which it says that it expires.
        refused: whether the server said that it gives no token to whoever has this identity.
        problem: why there is no token, where one was wanted; the claims are not repeated in its message.
        lacks_identity: whether that is because there is no identity.
    """

    trusted: TrustedPublishing
    offered_by: str | None
    host: str
    standing: Standing
    preceded_by: str = ""
    precedes: str = ""
    audience: str = ""
    identity: IdToken | None = None
    token: bool = False
    expires_in: int | None = None
    refused: bool = False
    problem: Problem | None = None
    lacks_identity: bool = False

    @property
    def publisher(self) -> Sequence[Registered]:
        """What has to be registered at the server for this identity; empty where there is none, or it is not known."""
        return [] if self.identity is None else publisher_of(self.identity.claims)

    @property
    def exit_status(self) -> ExitStatus:
        """What it adds to the status of the command; a job without an identity may do well with what is stored."""
        if self.problem is None or (self.lacks_identity and not self.trusted.insists):
            return ExitStatus.OK
        return self.problem.exit_status

    @property
    def next_step(self) -> str:
        """What to do about the problem, as a sentence."""
        if self.problem is None:
            return ""
        if not (self.refused and self.publisher):
            return self.problem.hint
        return f"{self.problem.hint} Those are {', '.join(each.words for each in self.publisher)}.".lstrip()

    def to_json(self) -> dict[str, Any]:
        """The member ``trusted_publishing`` of the document of ``keelback auth check --json``."""
        claims = [] if self.identity is None else self.identity.shown()
        return {
            "mode": str(self.trusted.mode),
            "offered_by": self.offered_by,
            "host": self.host,
            "standing": str(self.standing),
            "preceded_by": self.preceded_by or None,
            "precedes": self.precedes or None,
            "audience": self.audience or None,
            "claims": dict(claim.split("=", 1) for claim in claims),
            "publisher": {each.name: each.value for each in self.publisher},
            "token": self.token,
            "expires_in": self.expires_in,
            "error": None if self.problem is None else self.problem.to_json(),
        }


class Exchanging:
    """Trusted publishing with the server of one channel.

    Args:
        session: says what the user and the CI system offer, and sends the requests.
        client: the session's, which keeps an account of them.
        channel: the channel, where it is of a known kind.
        url: where the channel is read.
        now: the time, in Unix seconds.

    Attributes:
        attempt: the account.
    """

    def __init__(
        self, session: Session, client: AccountingClient, channel: Channel | None, url: str, now: float
    ) -> None:
        self._session = session
        self._client = client
        self._channel = channel
        self._exchange = None if channel is None else channel.exchange(session)
        self._server = url if self._exchange is None else self._exchange.server
        self._now = now
        session.identities = _Remembering(session, self._made)
        self.attempt = Attempt(
            session.trusted,
            session.identities.offered_by,
            host_of(self._server),
            self._standing(),
            audience="" if self._exchange is None else self._exchange.audience,
        )

    def carry_out(self) -> Access | None:
        """The token that the server gives; ``None`` where it gives none, which :attr:`attempt` then explains."""
        before = len(self._client.requests)
        exchange = self._exchange
        watched = None if exchange is None else replace(exchange, by=self._watched(exchange))
        try:
            access = exchanged_access(self._session, watched)
            if access is None and self._session.trusted.insists:
                raise self._nothing()
        except (IdentityError, ExchangeError, TransportError) as error:
            self._failed(error, before)
            return None
        self.attempt.token = access is not None
        return access

    def _standing(self) -> Standing:
        exchange = self._exchange
        if self._channel is None:
            return Standing.UNKNOWN_KIND
        if exchange is None:
            return Standing.NO_EXCHANGE
        named = host_of(exchange.server) in self._session.trusted.hosts
        if not (exchange.known or named):
            return Standing.NOT_NAMED
        if not (scheme_and_host(exchange.server)[0] == "https" or self._client.may_be_insecure(exchange.server)):
            return Standing.PLAIN_HTTP
        return Standing.KNOWN if exchange.known else Standing.NAMED

    def _made(self, identity: IdToken) -> None:
        self.attempt.identity = identity

    def _watched(self, exchange: Exchange) -> Callable[[Callable[[], IdToken]], Exchanged]:
        """How *exchange* works, with what it gives kept in the account."""

        def by(identity: Callable[[], IdToken]) -> Exchanged:
            exchanged = exchange.by(identity)
            if exchanged.expires_at is not None:
                self.attempt.expires_in = max(0, round(exchanged.expires_at - self._now))
            return exchanged

        return by

    def _nothing(self) -> KeelbackError:
        """Why there is nothing, where the user wants trusted publishing alone."""
        if self._channel is None:
            return ExchangeError(
                f"it cannot be told from the URL which kind of server {self.attempt.host} is",
                hint=f"Say it in the URL, as for publish: prefix+https://{self.attempt.host}/CHANNEL.",
            )
        return not_exchanged(self._session, self._server, self._exchange)

    def _failed(self, error: KeelbackError, before: int) -> None:
        attempt = self.attempt
        problem = Problem.of(error)
        attempt.lacks_identity = isinstance(error, IdentityError)
        if attempt.identity is not None:
            said = f"; the identity says {', '.join(attempt.identity.shown())}"  # which stands elsewhere in the account
            problem = replace(problem, message=problem.message.replace(said, ""))
            attempt.refused = isinstance(error, ExchangeError) and self._is_refusal(attempt.identity, before)
        attempt.problem = problem

    def _is_refusal(self, identity: IdToken, before: int) -> bool:
        """Whether the last answer, of those since *before*, says that whoever has this *identity* gets no token."""
        status = next((asked.status for asked in reversed(self._client.requests[before:])), None)
        has_expired = identity.expires is not None and identity.expires < self._now
        return status is not None and 400 <= status <= 499 and status not in _NOT_ABOUT_THE_IDENTITY and not has_expired


class _Remembering(IdentitySource):
    """Gives the identities of *session*, and tells *made* of each."""

    def __init__(self, session: Session, made: Callable[[IdToken], None]) -> None:
        super().__init__(session.client, session.environ, session.trusted.id_token)
        self._made = made

    def identity(self, audience: str) -> IdToken | None:
        """See :class:`IdentitySource`."""
        identity = super().identity(audience)
        if identity is not None:
            self._made(identity)
        return identity
