"""The endpoints at which CI systems and clouds give identities: GitHub Actions' own, and those of Google Cloud.

(GitHub Docs, "OpenID Connect reference"; Google Cloud documentation, "Get an ID token" and "About VM metadata"; IAM
Service Account Credentials API, ``projects.serviceAccounts.generateIdToken``.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import leaks

from .engine import ScriptedServer, route
from .exchange import Exchange, json_answer
from .wire import Answer

if TYPE_CHECKING:
    from .issuers import Issuer

_SENT = frozenset({"host", "user-agent", "accept", "accept-encoding", "connection"})
"""Header fields that every request of any client has, and that say nothing."""
_SCOPES = "https://www.googleapis.com/auth/cloud-platform"


class _IdentityServer(ScriptedServer):
    """What both have in common: a maker of tokens, and a close look at what is sent.

    Args:
        issuer: makes the tokens.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, issuer: Issuer, **options: Any) -> None:
        super().__init__(**options)
        self.issuer = issuer
        self.audience: str | None = None
        """For whom tokens are made, in place of whom they are asked for."""
        self.given: str | None = None
        """The token that was given last."""

    def make(self, audience: str) -> str:
        """A token for *audience*."""
        self.given = self.issuer.token(self.audience or audience)
        return self.given

    def check(self, exchange: Exchange, *, target: str, header: str, value: str) -> None:
        """Make sure of the whole target, and that *header* is the only field beside those of every request."""
        request = exchange.recorded
        self.expect(exchange, request.target == target, "the target is another, or spelled in another way")
        names = {name.lower() for name, _ in request.headers} - _SENT
        if request.method == "POST":
            names -= {"content-type", "content-length"}
        self.expect(exchange, names == {header}, f"other header fields than {header}: {sorted(names)}")
        self.expect(exchange, request.header(header) == value, f"the value of {header} is another")


class GitHubIdentityServer(_IdentityServer):
    """What ``ACTIONS_ID_TOKEN_REQUEST_URL`` leads to.

    Args:
        issuer: makes the tokens.
        query: what the URL has behind its path already.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, issuer: Issuer, *, query: str = "?api-version=2.0", **options: Any) -> None:
        super().__init__(issuer, **options)
        self.request_token = leaks.new_secret("request-token")
        self._query = query
        self.answer: Any = None
        """What is answered in place of a token."""

    @property
    def environ(self) -> dict[str, str]:
        """What the runner puts into the environment of a job that may ask."""
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "push",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/42//idtoken/plan/job{self._query}",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.request_token,
        }

    @route("GET", r"/42//idtoken/plan/job", step="id-token")
    def id_token(self, exchange: Exchange) -> Answer:
        """An ID token for the audience that is asked for."""
        audience = dict(exchange.recorded.query).get("audience", "")
        between = "&" if self._query else "?"
        target = f"/42//idtoken/plan/job{self._query}{between}audience={quote(audience, safe='')}"
        self.check(exchange, target=target, header="authorization", value=f"Bearer {self.request_token}")
        if self.answer is not None:
            return json_answer(200, self.answer)
        return json_answer(200, {"count": 1, "value": self.make(audience)})


class GoogleIdentityServer(_IdentityServer):
    """The metadata server of a machine, and the IAM Service Account Credentials API.

    Args:
        issuer: makes the tokens.
        account: the service account for which the API makes tokens.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, issuer: Issuer, *, account: str = "ci@acme.iam.gserviceaccount.com", **options: Any) -> None:
        super().__init__(issuer, **options)
        self.account = account
        self.access_token = f"ya29.{leaks.new_secret('access-token')}"
        self.flavor: str | None = "Google"
        """What the metadata server calls itself; None for a server that is none."""
        self.identity: str | None = None
        """What the metadata server gives in place of an identity."""
        self.answers: dict[str, Any] = {}
        """What is answered in place of a token, by step."""

    def dress(self, answer: Answer) -> Answer:
        """See :class:`ScriptedServer`."""
        if self.flavor is not None:
            answer.headers.append(("Metadata-Flavor", self.flavor))
        return answer

    @route("GET", r"/computeMetadata/v1/instance/service-accounts/default/identity", step="identity")
    def own_identity(self, exchange: Exchange) -> Answer:
        """An ID token of the machine's service account."""
        audience = dict(exchange.recorded.query).get("audience", "")
        target = f"{exchange.path}?audience={quote(audience, safe='')}&format=full"
        self.check(exchange, target=target, header="metadata-flavor", value="Google")
        body = self.make(audience) if self.identity is None else self.identity
        return Answer(200, body.encode(), [("Content-Type", "text/html")])  # as the real one has it

    @route("GET", r"/computeMetadata/v1/instance/service-accounts/default/token", step="access-token")
    def own_token(self, exchange: Exchange) -> Answer:
        """An access token of the machine's service account."""
        target = f"{exchange.path}?scopes={quote(_SCOPES, safe='')}"
        self.check(exchange, target=target, header="metadata-flavor", value="Google")
        members = {"access_token": self.access_token, "expires_in": 3599, "token_type": "Bearer"}
        return json_answer(200, self.answers.get("access-token", members))

    @route("POST", r"/v1/projects/-/serviceAccounts/(?P<account>[^/]+):generateIdToken", step="generate")
    def generate(self, exchange: Exchange, account: str) -> Answer:
        """An ID token of another service account."""
        self.check(
            exchange,
            target=f"/v1/projects/-/serviceAccounts/{quote(self.account, safe='@')}:generateIdToken",
            header="authorization",
            value=f"Bearer {self.access_token}",
        )
        self.expect(exchange, unquote(account) == self.account, "the service account is another")
        exchange.discard()
        request = exchange.recorded
        self.expect(exchange, request.header("content-type") == "application/json", "the body is not announced as JSON")
        document = request.json()
        audience = document.get("audience")
        self.expect(exchange, document == {"audience": audience, "includeEmail": True}, "the body has other members")
        return json_answer(200, self.answers.get("generate", {"token": self.make(audience)}))
