"""Identities from Buildkite (Buildkite Docs, "buildkite-agent oidc")."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from keelback.credentials.oidc.agents import SECONDS, ask_agent
from keelback.credentials.oidc.providers import Provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.secret import Secret
    from keelback.transport import Client


class Buildkite(Provider):
    """Buildkite.

    Args:
        seconds: how long the agent may take.
    """

    name: ClassVar[str] = "Buildkite"

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """See :class:`Provider`."""
        return environ.get("BUILDKITE") == "true"

    def id_token(self, audience: str, environ: Mapping[str, str], client: Client) -> Secret:  # noqa: ARG002 - the agent asks
        """See :class:`Provider`; a new one each time."""
        return ask_agent(
            ["buildkite-agent", "oidc", "request-token", "--audience", audience],
            environ,
            provider=self.name,
            if_missing="In a container, mount the agent and pass its variables on (of the Docker plugin: "
            "mount-buildkite-agent and propagate-environment).",
            seconds=self._seconds,
            keep=("BUILDKITE_AGENT_ACCESS_TOKEN",),
        )
