"""What the examination of a bucket comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.channels.buckets.keycheck import CheckedBucketChannel
from keelback.diagnosis.verdict import Judge
from keelback.errors import CredentialError, ExitStatus, Forbidden, TransportError
from keelback.report import Problem

if TYPE_CHECKING:
    from keelback.diagnosis.asking import Reading
    from keelback.diagnosis.buckets import BucketAnswers
    from keelback.errors import KeelbackError


class BucketJudge(Judge):
    """Concludes the examination of a bucket."""

    def judge(self, answers: BucketAnswers | None, failure: Problem | None) -> None:
        """By what the bucket said; or by the *failure* for which there is no credential to ask it with."""
        used = self._result.used
        if failure is not None or answers is None:
            self._result.findings += [] if failure is None else [failure]
            status = ExitStatus.CREDENTIAL if failure is None else failure.exit_status
            self._conclude("There should be a credential for this bucket, and it cannot be used.", status)
        elif used is None:
            self._without_credential(answers.reading)
        elif answers.refusal is None:
            self._that_answers(self._what(used), answers.reading)
        else:
            self._that_refuses(self._what(used), answers.refusal, answers.reading)

    def _without_credential(self, reading: Reading) -> None:
        channel = self._subject.channel
        hint = channel.how_to_log_in if isinstance(channel, CheckedBucketChannel) else ""
        if reading.ok:
            said = "Everybody can read this channel; to publish to it, there is no credential."
        else:
            said = "There is no credential for this bucket."
        status = ExitStatus.OK if reading.ok else ExitStatus.CREDENTIAL
        self._conclude(f"{said} {hint}".rstrip(), status, read=None if reading.status is None else reading.ok)

    def _that_answers(self, what: str, reading: Reading) -> None:
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

    def _that_refuses(self, what: str, refusal: KeelbackError, reading: Reading) -> None:
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
