"""What an examination comes to, in a sentence for a person and a status for a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.channels.exchange import Standing
from keelback.credentials.lookup import login_name
from keelback.credentials.oidc.exchanged import ExchangedToken
from keelback.credentials.oidc.trusted import Mode
from keelback.diagnosis import mistakes
from keelback.diagnosis.wording import described, shown_url
from keelback.errors import CredentialError, ExitStatus, Forbidden, TransportError
from keelback.report import Problem

if TYPE_CHECKING:
    from keelback.channels.identity import Identity
    from keelback.diagnosis.asking import Reading
    from keelback.diagnosis.buckets import BucketAnswers
    from keelback.diagnosis.result import Checkup, Used
    from keelback.diagnosis.subject import Subject
    from keelback.errors import KeelbackError


class Judge:
    """Concludes an examination.

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

    def bucket(self, answers: BucketAnswers | None, failure: Problem | None) -> None:
        """Of a bucket, by what it said; or by the *failure* for which there is no credential to ask it with."""
        used = self._result.used
        if failure is not None or answers is None:
            self._result.findings += [] if failure is None else [failure]
            status = ExitStatus.CREDENTIAL if failure is None else failure.exit_status
            self._conclude("There should be a credential for this bucket, and it cannot be used.", status)
        elif used is None:
            self._bucket_without_credential(answers.reading)
        elif answers.refusal is None:
            self._bucket_that_answers(self._what(used), answers.reading)
        else:
            self._bucket_that_refuses(self._what(used), answers.refusal, answers.reading)

    def _bucket_without_credential(self, reading: Reading) -> None:
        service = self._subject.service
        hint = "" if service is None else service.login_hint
        if reading.ok:
            said = "Everybody can read this channel; to publish to it, there is no credential."
        else:
            said = "There is no credential for this bucket."
        status = ExitStatus.OK if reading.ok else ExitStatus.CREDENTIAL
        self._conclude(f"{said} {hint}".rstrip(), status, read=None if reading.status is None else reading.ok)

    def _bucket_that_answers(self, what: str, reading: Reading) -> None:
        takes = f"The bucket takes the {what}"
        if reading.ok:
            self._conclude(f"{takes}, and the channel can be read.", ExitStatus.OK, read=True)
        elif reading.status in {404, 410}:
            said = f"{takes}. There is no channel at this place yet; the first publish makes one."
            self._conclude(said, ExitStatus.OK, read=False)
        elif reading.refused:
            said = f"{takes}, but does not let it read the channel's index ({reading.status})."
            self._conclude(said, ExitStatus.CREDENTIAL, read=False)
        else:
            self._result.findings += [] if reading.error is None else [reading.error]
            status = "" if reading.status is None else f" ({reading.status})"
            self._conclude(f"{takes}. The channel's index could not be read{status}.", ExitStatus.FAILED)

    def _bucket_that_refuses(self, what: str, refusal: KeelbackError, reading: Reading) -> None:
        self._result.findings.append(Problem.of(refusal))
        match refusal:
            case CredentialError():
                self._conclude(f"The bucket refuses the {what}.", refusal.exit_status, read=reading.ok)
            case Forbidden() if reading.ok:
                may = f"The channel can be read with the {what}. To publish, it would have to be allowed more."
                self._conclude(may, ExitStatus.OK, read=True)
            case Forbidden():
                said = f"The bucket lets the {what} neither list its objects nor read the channel."
                self._conclude(said, ExitStatus.CREDENTIAL, read=False)
            case TransportError():
                self._conclude("No answer came, so that nothing is known of the bucket.", refusal.exit_status)
            case _:
                said = f"A credential is found, the {what}. Whether the bucket takes it is not known."
                self._conclude(said, ExitStatus.FAILED)

    def host(self, identity: Identity | None, ci_system: str | None) -> None:
        """Of a host, by what it says of the credential, or in a job of *ci_system*, which offers an identity."""
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

    def channel(self, anonymous: Reading, known: Reading | None, identity: Identity | None) -> None:
        """Of a channel, by how it was read without the credential and with it, and by what trusted publishing gave."""
        self._read(anonymous, known, identity)
        self._add_trusted_publishing()

    def _read(self, anonymous: Reading, known: Reading | None, identity: Identity | None) -> None:
        result, used = self._result, self._result.used
        opens = known is not None and known.ok and not anonymous.ok  # whatever else the server says of it
        refused = identity is not None and identity.valid is False and not opens
        last = anonymous if known is None else known
        if used is not None and known is not None and not self._is_exchanged and (known.status == 401 or refused):
            result.findings += mistakes.in_scheme(used.as_read, known.offers or anonymous.offers, self._subject.url)
        mismatched = anonymous.refused and self._has("wrong-kind")  # such servers may say 404 to what they do not know
        if known is not None and (known.refused or (known.ok and refused) or (mismatched and known.status == 404)):
            self._conclude(self._refused(anonymous, known), ExitStatus.CREDENTIAL, read=anonymous.ok)
        elif known is not None and known.error is not None and known.error.exit_status == ExitStatus.CREDENTIAL:
            expired = self._has("expired")
            if not expired:
                result.findings.append(known.error)
            problem = "has expired" if expired else "cannot be used"
            self._conclude(f"The {self._what(used)} {problem}.", ExitStatus.CREDENTIAL, read=anonymous.ok)
        elif last.error is not None:
            self._conclude_without_answer(anonymous, last.error)
        elif anonymous.ok:
            self._conclude(self._open_to_all(known), ExitStatus.OK, read=True)
            if self._unusable:
                self._result.exit_status = ExitStatus.CREDENTIAL
        elif known is not None and known.ok:
            said = f"The channel can be read with the {self._what(used)}."
            self._conclude(self._exchange_works() if self._is_exchanged else said, ExitStatus.OK, read=True)
        elif last.refused:
            self._conclude(self._wants_one(anonymous), ExitStatus.CREDENTIAL, read=False)
        else:
            gave = f"{self._gave_a_token()}. " if self._is_exchanged else ""
            self._conclude(f"{gave}{self._not_there(last)}", ExitStatus.FAILED, read=False)

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

    def _refused(self, anonymous: Reading, known: Reading) -> str:
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

    def _conclude_without_answer(self, anonymous: Reading, error: Problem) -> None:
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

    def _how_to_log_in(self) -> str:
        return f"Log in with: keelback auth login {login_name(self._subject.url)}"

    def _what(self, used: Used | None) -> str:
        if used is None:
            return "credential"
        where = f"of {used.source}" if used.key is not None else f"from {used.source}"
        return f"{described(used.credential)} {where}"

    def _has(self, code: str) -> bool:
        return any(problem.code == code for problem in self._result.findings)
