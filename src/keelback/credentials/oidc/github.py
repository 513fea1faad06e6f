"""Identities from GitHub Actions (GitHub Docs, "OpenID Connect reference": requesting the token)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote

from keelback.credentials.confidential import LARGEST_ANSWER, Confidential
from keelback.credentials.kinds import BearerToken, check_token
from keelback.credentials.oidc.asking import SECONDS, SECONDS_IN_ALL, ask
from keelback.credentials.oidc.providers import Provider
from keelback.errors import CredentialError, IdentityError
from keelback.secret import Secret
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.transport import Client

_URL: Final = "ACTIONS_ID_TOKEN_REQUEST_URL"
_TOKEN: Final = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - the name of a variable


class GitHub(Provider):
    """GitHub Actions, on github.com and on GitHub Enterprise Server.

    Args:
        seconds: how long one attempt may take.
        seconds_in_all: how long all attempts together may take.
    """

    name: ClassVar[str] = "GitHub Actions"

    def __init__(self, *, seconds: float = SECONDS, seconds_in_all: float = SECONDS_IN_ALL) -> None:
        self._seconds = seconds
        self._seconds_in_all = seconds_in_all

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """See :class:`Provider`."""
        return environ.get("GITHUB_ACTIONS") == "true"

    def id_token(self, audience: str, environ: Mapping[str, str], client: Client) -> Secret:
        """See :class:`Provider`; a new one each time."""
        url, value = environ.get(_URL, "").strip(), environ.get(_TOKEN, "").strip()
        if not url or not value:
            raise _no_permission(environ, _TOKEN if url else _URL)
        token = Secret(value, f"the variable {_TOKEN}")
        try:
            check_token(token, token.source)
        except CredentialError as error:
            raise IdentityError(str(error), hint="Leave that variable as GitHub Actions sets it.") from None
        request = Request(
            "GET",
            f"{url}{'&' if '?' in url else '?'}audience={quote(audience, safe='')}",
            auth=Confidential(self._seconds, BearerToken(token)),
            headers={"accept": "application/json"},
            limit=LARGEST_ANSWER,
        )
        hint = "Run keelback in the job itself and while it runs: what it asks with is good for no longer."
        try:
            reply = ask(client, request, provider=self.name, hint=hint, seconds=self._seconds_in_all)
        except IdentityError as error:
            if error.code == "plain-http":  # no host that the user could name is meant by it
                error.hint = f"Leave the variable {_URL} as GitHub Actions sets it: its URL is one of https."
            raise
        return reply.token("value")


def _no_permission(environ: Mapping[str, str], missing: str) -> IdentityError:
    """The error for a job whose token may not write ID tokens, so that *missing* is not set."""
    permit = (
        "Write permissions: {contents: read, id-token: write} into the job, and for a reusable workflow also into the "
        "job that calls it."
    )
    fork = "GitHub never gives it to a pull request from a fork: publish when it has been merged."
    event = environ.get("GITHUB_EVENT_NAME", "")
    # GITHUB_HEAD_REF is set for pull requests only, of which those of pull_request_target run with the base's rights
    is_pull_request = event.startswith("pull_request") or bool(environ.get("GITHUB_HEAD_REF"))
    if is_pull_request and event != "pull_request_target":
        hint = f"This run is for a pull request. {fork} Otherwise: {permit[0].lower()}{permit[1:]}"
    else:
        hint = f"{permit} {fork}"
    return IdentityError(
        f"GitHub Actions gives this job no identity: it lacks the permission id-token: write ({missing} is not set).",
        hint=hint,
    )
