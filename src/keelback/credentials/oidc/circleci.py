"""Identities from CircleCI (CircleCI Docs, "OIDC tokens with custom claims")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from keelback.credentials.oidc.agents import SECONDS, ask_agent
from keelback.credentials.oidc.providers import Provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.secret import Secret
    from keelback.transport import Client


class CircleCI(Provider):
    """CircleCI; its variables with ID tokens are for the audience of the organization, and so for no server here.

    Args:
        seconds: how long the program ``circleci`` may take.
    """

    name: ClassVar[str] = "CircleCI"

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """See :class:`Provider`."""
        return environ.get("CIRCLECI") == "true"

    def id_token(self, audience: str, environ: Mapping[str, str], client: Client) -> Secret:  # noqa: ARG002 - the program asks
        """See :class:`Provider`; a new one each time."""
        # the root issuer is one for all organizations, as servers with a fixed table of issuers need it
        claims = json.dumps({"aud": audience}, separators=(",", ":"))
        return ask_agent(
            ["circleci", "run", "oidc", "get", "--root-issuer", "--claims", claims],
            environ,
            provider=self.name,
            if_missing="Run keelback in a step of the job itself, where CircleCI puts this program onto the PATH.",
            seconds=self._seconds,
        )
