"""Tries trusted publishing with the server of a channel, as ``publish`` would, and keeps an account of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keelback.channels.access import exchanged_access
from keelback.channels.exchange import Standing, not_exchanged, standing_of
from keelback.credentials.oidc.providers import IdentitySource
from keelback.credentials.oidc.publisher import Registered, publisher_of
from keelback.errors import ExchangeError, ExitStatus, IdentityError
from keelback.hosts import host_of
from keelback.report import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.channels.access import Access
    from keelback.channels.base import Channel
    from keelback.channels.exchange import Exchange
    from keelback.channels.session import Session
    from keelback.credentials.oidc.exchanged import Exchanged
    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.credentials.oidc.trusted import TrustedPublishing
    from keelback.errors import CredentialError


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
        problem: why there is no token, where one was wanted.
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
        return "" if self.problem is None else self.problem.hint

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
        channel: the channel, where it is of a known kind.
        url: where the channel is read.
        now: the time, in Unix seconds.

    Attributes:
        attempt: the account.
    """

    def __init__(self, session: Session, channel: Channel | None, url: str, now: float) -> None:
        self._session = session
        self._channel = channel
        self._exchange = None if channel is None else channel.exchange(session)
        self._server = url if self._exchange is None else self._exchange.server
        self._now = now
        session.identities = _Remembering(session, self._made)
        self.attempt = Attempt(
            session.trusted,
            session.identities.offered_by,
            host_of(self._server),
            Standing.UNKNOWN_KIND if channel is None else standing_of(session, self._exchange),
            audience="" if self._exchange is None else self._exchange.audience,
        )

    def carry_out(self) -> Access | None:
        """The token that the server gives; ``None`` where it gives none, which :attr:`attempt` then explains."""
        exchange = self._exchange
        watched = None if exchange is None else replace(exchange, by=self._watched(exchange))
        try:
            access = exchanged_access(self._session, watched)
            if access is None and self._session.trusted.insists:
                raise self._nothing()
        except (IdentityError, ExchangeError) as error:
            self._failed(error)
            return None
        self.attempt.token = access is not None
        return access

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

    def _nothing(self) -> CredentialError:
        """Why there is nothing, where the user wants trusted publishing alone."""
        if self._channel is None:
            return ExchangeError(
                f"it cannot be told from the URL which kind of server {self.attempt.host} is",
                hint=f"Put its kind before the URL, as for publish: prefix+https://{self.attempt.host}/CHANNEL.",
            )
        return not_exchanged(self._session, self._server, self._exchange)

    def _failed(self, error: IdentityError | ExchangeError) -> None:
        self.attempt.problem = Problem.of(error)
        self.attempt.lacks_identity = isinstance(error, IdentityError)
        self.attempt.refused = isinstance(error, ExchangeError) and bool(error.claims)


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
