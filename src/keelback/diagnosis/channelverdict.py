"""What the examination of a channel comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.credentials.oidc.exchanged import ExchangedToken
from keelback.credentials.oidc.trusted import Mode
from keelback.diagnosis import mistakes
from keelback.diagnosis.verdict import Judge
from keelback.diagnosis.wording import shown_url
from keelback.errors import ExitStatus

if TYPE_CHECKING:
    from keelback.channels.identity import Identity
    from keelback.diagnosis.asking import Reading
    from keelback.report import Problem


class ChannelJudge(Judge):
    """Concludes the examination of a channel."""

    def judge(self, anonymous: Reading, known: Reading | None, identity: Identity | None) -> None:
        """By how the channel was read without and with the credential, and by what trusted publishing gave.

        Args:
            anonymous: what came without the credential.
            known: what came with it; ``None`` where there is none to send.
            identity: what the server says of it; ``None`` where it was not asked.
        """
        last = anonymous if known is None else known
        if known is not None and self._is_refused(anonymous, known, identity):
            self._conclude(self._why_refused(anonymous, known), ExitStatus.CREDENTIAL, read=anonymous.ok)
        elif last.error is not None:
            self._conclude_without_answer(anonymous, known, last.error)
        elif anonymous.ok or last.ok:
            self._conclude_readable(anonymous, known)
        elif last.refused:
            self._conclude(self._wants_one(anonymous), ExitStatus.CREDENTIAL, read=False)
        else:
            gave = f"{self._gave_a_token()}. " if self._is_exchanged else ""
            self._conclude(f"{gave}{self._not_there(last)}", ExitStatus.FAILED, read=False)
        self._add_trusted_publishing()

    def _is_refused(self, anonymous: Reading, known: Reading, identity: Identity | None) -> bool:
        """Whether the server refuses the credential; adds to the findings why it may."""
        used = self._result.used
        opens = known.ok and not anonymous.ok  # whatever else the server says of it
        disowned = identity is not None and identity.valid is False and not opens
        if used is not None and not self._is_exchanged and (known.status == 401 or disowned):
            offers = known.offers or anonymous.offers
            self._result.findings += mistakes.in_scheme(used.as_read, offers, self._subject.url)
        if known.status == 404 and anonymous.refused and self._has("wrong-kind"):
            return True  # some servers say so to a credential that they do not know
        return known.refused or (known.ok and disowned)

    def _conclude_readable(self, anonymous: Reading, known: Reading | None) -> None:
        if anonymous.ok:
            status = ExitStatus.CREDENTIAL if self._unusable else ExitStatus.OK
            self._conclude(self._open_to_all(known), status, read=True)
        else:
            said = f"The channel can be read with the {self._what(self._result.used)}."
            self._conclude(self._exchange_works() if self._is_exchanged else said, ExitStatus.OK, read=True)

    @property
    def _is_exchanged(self) -> bool:
        used = self._result.used
        return used is not None and isinstance(used.credential, ExchangedToken)

    def _gave_a_token(self) -> str:
        attempt = self._result.trusted
        assert attempt is not None  # noqa: S101 - the token came from there
        return f"Trusted publishing works: {attempt.host} gave a token for the identity from {attempt.offered_by}"

    def _exchange_works(self) -> str:
        return (
            f"{self._gave_a_token()}, and the channel can be read with it. Whether it permits uploads shows when a "
            f"package is sent: keelback publish --to {shown_url(self._subject.named)} PATHS..."
        )

    def _add_trusted_publishing(self) -> None:
        """Add why trusted publishing gave nothing, with what to do about it, unless something else serves as well."""
        result, attempt = self._result, self._result.trusted
        if attempt is None or attempt.problem is None:
            return
        if attempt.lacks_identity and result.used is not None:
            return
        instead = "" if result.used is None else f", and the {self._what(result.used)} is used in its place"
        why = f"Trusted publishing does not work here{instead}: {attempt.problem.message.rstrip('.')}."
        result.verdict = f"{result.verdict.rstrip()} {why} {attempt.next_step}".rstrip()
        result.exit_status = max(result.exit_status, attempt.exit_status)
        result.findings.append(attempt.problem)

    def _why_refused(self, anonymous: Reading, known: Reading) -> str:
        what = self._what(self._result.used)
        if known.elsewhere and known.refused:
            return (
                f"{self._result.host} redirects to {known.elsewhere}, where the credential does not go, and which "
                f"answers {known.status}: use the URL to which the channel has moved."
            )
        if self._is_exchanged:
            return (
                f"There is a {what}, and the server does not let it read this channel ({known.status}): see that the "
                "trusted publisher is registered for this channel, and not for another."
            )
        if self._has("expired"):
            why = f"The {what} has expired, and is refused."
        elif self._has("wrong-kind"):
            why = f"The {what} is of a kind that this server does not take."
        elif known.status == 403:
            why = f"The server takes the {what}, or does not say, but does not let it read this channel (403)."
        else:
            why = f"The server refuses the {what}; it may have been revoked, or be for another server."
        if self._is_set_aside:
            why += " Without it, trusted publishing is used here."
        if anonymous.ok:
            why += " Everybody can read the channel without it, but tools that send it are refused: mend or remove it."
        return why

    def _conclude_without_answer(self, anonymous: Reading, known: Reading | None, error: Problem) -> None:
        if known is not None and error.exit_status == ExitStatus.CREDENTIAL:
            self._conclude_unusable(anonymous, error)
            return
        self._result.findings.append(error)
        if anonymous.refused and error.code == "plain-http":
            self._conclude("The channel wants a credential, which was not sent.", ExitStatus.CREDENTIAL, read=False)
        elif anonymous.refused:
            wants = (
                f"The channel wants a credential, and whether it takes the {self._what(self._result.used)} is not known"
            )
            self._conclude(f"{wants}: no answer came.", ExitStatus.FAILED)
        elif anonymous.ok:
            self._conclude("Everybody can read this channel; the credential was not sent.", ExitStatus.OK, read=True)
        else:
            self._conclude("No answer came, so that nothing is known of the channel.", ExitStatus.FAILED)

    def _conclude_unusable(self, anonymous: Reading, error: Problem) -> None:
        expired = self._has("expired")
        if not expired:
            self._result.findings.append(error)
        problem = "has expired" if expired else "cannot be used"
        said = f"The {self._what(self._result.used)} {problem}."
        self._conclude(said, ExitStatus.CREDENTIAL, read=anonymous.ok)

    def _open_to_all(self, known: Reading | None) -> str:
        attempt = self._result.trusted
        failed = attempt is not None and attempt.problem is not None
        said = f"Everybody can read this channel; no credential is needed{' for that' if failed else ''}."
        if self._unusable:
            return f"{said} But the one that is stored cannot be used, and tools that look for it stop there."
        if known is None:
            return said
        if known.ok and self._is_exchanged:
            return self._exchange_works()
        if known.ok:
            return f"{said} The one that is stored does no harm to reading."
        return f"{said} With the one that is stored, the server answers {known.status}."

    def _wants_one(self, anonymous: Reading) -> str:
        if self._unusable:
            return "The channel wants a credential, and the one that is stored cannot be used."
        if anonymous.elsewhere:
            return (
                f"{self._result.host} redirects to {anonymous.elsewhere}, which wants a credential; none is sent where "
                "a redirect leads. Use the URL to which the channel has moved."
            )
        if self._result.used is not None:
            return "The channel wants a credential, and the one that is stored is of a kind that is not sent there."
        offers = f" (it offers {' and '.join(anonymous.offers)})" if anonymous.offers else ""
        return f"The channel wants a credential{offers}. {self._none_found()}"

    def _not_there(self, last: Reading) -> str:
        if last.page:
            return "A web page came in the place of the channel's index: is this the URL of a log-in page?"
        if last.status in {404, 410}:
            hidden = "" if self._result.used else " Some servers say so of private channels: log in if it is one."
            return f"There is no channel at this URL ({last.status}); check how it is spelled.{hidden}"
        return f"The server answered {last.status}, which says nothing about the credential."

    @property
    def _is_set_aside(self) -> bool:
        """Whether trusted publishing could be tried, and is not because of a variable."""
        attempt, used = self._result.trusted, self._result.used
        return (
            attempt is not None
            and used is not None
            and not used.in_url
            and attempt.preceded_by == used.source
            and attempt.offered_by is not None
            and attempt.standing.permits
            and attempt.trusted.mode is not Mode.NEVER
        )
