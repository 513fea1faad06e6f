"""A server that is asked whose a credential is, in the ways of anaconda.org, Quetz and Artifactory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .channel import basic_credential, credential
from .engine import ScriptedServer, route
from .exchange import Exchange, json_answer
from .wire import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence


class IdentityServer(ScriptedServer):
    """Knows one secret, which is anybody's token, API key or password.

    Args:
        secret: the secret.
        scopes: what anaconda.org says that it permits; ``None`` for a server that does not say.
        open_to_all: whether Artifactory answers those without a credential.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(
        self, secret: str, *, scopes: Sequence[str] | None = None, open_to_all: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self._secret = secret
        self._scopes = scopes
        self._open_to_all = open_to_all

    @route("GET", r"/api/user", step="user")
    def user(self, exchange: Exchange) -> Answer:
        """Whose token it is (anaconda.org)."""
        if credential(exchange, "token") != self._secret:
            return self.refusal(401, "Unauthorized")
        return json_answer(200, {"login": "ann", "created_at": "2026-01-02T03:04:05Z"})

    @route("GET", r"/api/authentication", step="authentication")
    def authentication(self, exchange: Exchange) -> Answer:
        """What the token permits (anaconda.org)."""
        if credential(exchange, "token") != self._secret or self._scopes is None:
            return self.refusal(404, "not here")
        return json_answer(200, {"id": "1", "application": "test", "scopes": list(self._scopes)})

    @route("GET", r"/api/paginated/users", step="users")
    def users(self, exchange: Exchange) -> Answer:
        """The users that a key may see (Quetz)."""
        if exchange.recorded.header("x-api-key") != self._secret:
            return json_answer(401, {"detail": "Not logged in"})
        return json_answer(200, {"pagination": {"skip": 0, "limit": 1, "all_records_count": 1}, "result": []})

    @route("GET", r"/artifactory/api/system/ping", step="ping")
    def ping(self, exchange: Exchange) -> Answer:
        """Whether it is well (Artifactory)."""
        anonymous = exchange.recorded.header("authorization") is None
        pair = basic_credential(exchange)
        known = credential(exchange, "Bearer") == self._secret or (pair is not None and pair[1] == self._secret)
        if known or (anonymous and self._open_to_all):
            return Answer(200, b"OK", [("Content-Type", "text/plain")])
        return self.refusal(401, "Bad credentials")
