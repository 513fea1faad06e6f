"""What the examination of a host comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.diagnosis.verdict import Judge
from keelback.errors import ExitStatus

if TYPE_CHECKING:
    from keelback.channels.identity import Identity


class HostJudge(Judge):
    """Concludes the examination of a host."""

    def judge(self, identity: Identity | None, ci_system: str | None) -> None:
        """By what the host says of the credential, or in a job of *ci_system*, which offers an identity."""
        used = self._result.used
        if used is None and ci_system is not None and not self._unusable:
            said = f"No store has a credential for it. Whether trusted publishing from {ci_system} serves is not known:"
            self._conclude(f"{said} name the URL of a channel, to have it tried.", ExitStatus.CREDENTIAL)
        elif used is None:
            self._conclude(self._none_found(), ExitStatus.CREDENTIAL)
        elif identity is not None and identity.valid:
            whose = f" as {identity.name}" if identity.name else ""
            self._conclude(f"{self._result.host} knows the {self._what(used)}{whose}.", ExitStatus.OK)
        elif identity is not None and identity.valid is False:
            self._conclude(f"{self._result.host} refuses the {self._what(used)}.", ExitStatus.CREDENTIAL)
        elif self._has("wrong-kind"):
            self._conclude("The credential is of a kind that this server does not take.", ExitStatus.CREDENTIAL)
        elif identity is None:
            self._conclude(f"Whether the server takes the {self._what(used)} is not known.", ExitStatus.FAILED)
        else:
            said = f"The {self._what(used)} is found for {self._result.host}. Whether the server takes it is not known:"
            self._conclude(f"{said} name the URL of a channel, to have it read.", ExitStatus.OK)
