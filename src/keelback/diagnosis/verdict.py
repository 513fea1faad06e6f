"""What an examination comes to, in a sentence for a person and a status for a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.channels.exchange import Standing
from keelback.credentials.lookup import login_name

if TYPE_CHECKING:
    from keelback.diagnosis.result import Checkup, Used
    from keelback.diagnosis.subject import Subject
    from keelback.errors import ExitStatus


class Judge:
    """Concludes an examination; there is one for each kind of subject.

    Args:
        result: what was found; the verdict goes there.
        subject: what was asked about.
        unusable: whether there is a credential that cannot be used.
    """

    def __init__(self, result: Checkup, subject: Subject, *, unusable: bool) -> None:
        self._result = result
        self._subject = subject
        self._unusable = unusable

    def _conclude(self, verdict: str, status: ExitStatus, *, read: bool | None = None) -> None:
        self._result.verdict, self._result.exit_status, self._result.read = verdict, status, read

    def _none_found(self) -> str:
        if self._unusable:
            return "The credential that is stored for it cannot be used."
        attempt = self._result.trusted
        if attempt is not None and attempt.problem is not None:  # which says what to do
            return "" if attempt.trusted.insists else "No store has a credential for it."
        if attempt is not None and attempt.offered_by is not None and attempt.standing is Standing.NOT_NAMED:
            return (
                f"No store has a credential for it, and no identity was sent to {attempt.host}, which is not known to "
                f"take one: if the server is yours, give --trusted-publishing-host {attempt.host}."
            )
        return f"No store has a credential for it. {self._how_to_log_in()}"

    def _how_to_log_in(self) -> str:
        return f"Log in with: keelback auth login {login_name(self._subject.url)}"

    def _what(self, used: Used | None) -> str:
        if used is None:
            return "credential"
        where = f"of {used.source}" if used.key is not None else f"from {used.source}"
        return f"{used.credential.noun} {where}"

    def _has(self, code: str) -> bool:
        return any(problem.code == code for problem in self._result.findings)
