"""Whether an attestation holds: its signature, the certificate, the log entry, what it says, and who says it.

``sigstore`` verifies all that is cryptography. It looks neither at the type of what was signed nor into it: the rules
of CEP 27, and whose signature is wanted, are checked here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from keelback.archive.findings import quoted
from keelback.errors import AttestationError
from keelback.provenance.bundle import check_form, unreadable
from keelback.provenance.certificate import Signer
from keelback.provenance.faults import fault_in, words_of
from keelback.provenance.statement import PAYLOAD_TYPE, Statement
from keelback.secret import redact

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.x509 import Certificate

    from keelback.provenance.policy import Policy
    from keelback.provenance.trust import Trust

_TAMPERED: Final = "Do not use the file before you know why: the attestation is damaged, or was tampered with."
_OTHER_DEPLOYMENT: Final = (
    "See whether it was made with another Sigstore than the one that is trusted: --trust-config names one that is not "
    "the public one. Otherwise do not use the file: the attestation is damaged, or was tampered with."
)


class _Meaning(NamedTuple):
    """What a message of ``sigstore`` means, by the words in it."""

    words: re.Pattern[str]
    code: str
    means: str
    hint: str = _OTHER_DEPLOYMENT


_MEANINGS: Final = (
    _Meaning(
        # "timestamp certificate chain" is the chain of the signer's certificate, at the time of the time stamp
        re.compile(
            r"expired at time of|not valid at validation time|verified time|integrated time|timestamp(?! certificate)",
            re.IGNORECASE,
        ),
        code="attestation-time",
        means="nothing shows that it was signed while its certificate was valid",
    ),
    _Meaning(
        re.compile("log entry|inclusion|checkpoint|transparency log"),
        code="attestation-log",
        means="its entry in the transparency log does not hold",
    ),
    _Meaning(
        re.compile("DSSE|envelope"),
        code="attestation-signature",
        means="its signature does not fit what it says",
        hint=_TAMPERED,
    ),
    _Meaning(
        re.compile("certificate|SCT|usage"),
        code="attestation-certificate",
        means="its certificate is not one of the authority that is trusted",
    ),
)
"""The first that fits counts."""


@dataclass(frozen=True, slots=True)
class Verified:
    """An attestation that holds.

    Attributes:
        statement: what it says.
        signer: who says it.
        trust: the file with the keys by which it holds; ``None``: those of the public Sigstore.
    """

    statement: Statement
    signer: Signer
    trust: str | None = None

    @property
    def identity(self) -> str:
        """The name in the certificate."""
        return self.signer.name

    @property
    def issuer(self) -> str | None:
        """Who vouched for it."""
        return self.signer.issuer

    @property
    def repository(self) -> str | None:
        """The URL of the repository that it was built from."""
        return self.signer.source_uri

    @property
    def workflow(self) -> str | None:
        """The URL of the file that defines the workflow, with its version."""
        return self.signer.config_uri

    @property
    def ref(self) -> str | None:
        """The branch or tag."""
        return self.signer.source_ref

    @property
    def commit(self) -> str | None:
        """The commit."""
        return self.signer.source_digest

    @property
    def signed_at(self) -> datetime:
        """When the certificate was issued; the signature was made within the minutes for which that is valid."""
        return self.signer.issued


def verify(
    bundle: bytes, *, filename: str, sha256: str | None, policy: Policy, channel: str | None, trust: Trust
) -> Verified:
    """See that *bundle* is an attestation of a file, by whom *policy* wants it to be.

    Args:
        bundle: a Sigstore bundle, as JSON.
        filename: the name under which the file is in the channel; nothing is read.
        sha256: its hash, in hexadecimal; ``None``: whatever the attestation says, for the caller to see to.
        policy: who has to have signed.
        channel: the URL of the channel that the file comes from; ``None``: any will do.
        trust: the Sigstore deployment.

    Raises:
        AttestationError: it is not; the code says why.
        TransportError: the keys of the deployment cannot be brought up to date.
        keelback.errors.UsageError: the deployment is described by a file that cannot be used.
    """
    verified = open_bundle(bundle, filename=filename, trust=trust)
    statement = verified.statement
    statement.check(filename=filename, sha256=statement.sha256 if sha256 is None else sha256, channel=channel)
    policy.check(verified.signer, filename)
    return verified


def open_bundle(bundle: bytes, *, filename: str, trust: Trust) -> Verified:
    """What *bundle* says, and who says it; whether that is what is wanted is for the caller to see.

    Args:
        bundle: a Sigstore bundle, as JSON.
        filename: of the file that it is for, for messages.
        trust: the Sigstore deployment.

    Raises:
        AttestationError: its signature, certificate, time or log entry does not hold, or it is no attestation.
    """
    check_form(bundle, filename)
    verifier = trust.verifier()
    from sigstore.models import Bundle  # noqa: PLC0415 - comes with the extra

    try:
        parsed = Bundle.from_json(bundle)
        payload_type, payload = verifier.verify_dsse(parsed, _Anybody())
        certificate = parsed.signing_certificate
    except Exception as error:  # noqa: BLE001 - the bundle may be anything, and so may be what breaks over it
        fault = _fault(error)
        raise (_explained(error, filename) if fault is None else unreadable(filename, fault)) from None
    if payload_type != PAYLOAD_TYPE:
        raise AttestationError(
            f"{filename}: what was signed is no statement: its type is {quoted(payload_type)}, not {PAYLOAD_TYPE}",
            hint="Give an attestation that was made for conda packages.",
            code="attestation-statement",
        )
    try:
        return Verified(Statement.parse(payload), Signer.of(certificate), trust.file)
    except AttestationError as error:
        raise AttestationError(f"{filename}: {error.message}", hint=error.hint, code=error.code) from None


class _Anybody:
    """Lets every signer pass in ``sigstore``; :meth:`Policy.check` sees to it when all else is known to hold."""

    def verify(self, cert: Certificate) -> None:
        """Accept *cert*."""


def _fault(error: Exception) -> str | None:
    """What is missing or wrong in a bundle that ``sigstore`` did not even begin to verify; ``None``: that it did."""
    from sigstore.models import InvalidBundle  # noqa: PLC0415 - comes with the extra

    if not isinstance(error, InvalidBundle):
        return None
    words = words_of(error)
    return fault_in(error.__context__) or (words if words.lower().startswith("expected ") else None)


def _explained(error: Exception, filename: str) -> AttestationError:
    words = " ".join(redact(str(error)).split())[:300] or type(error).__name__
    for meaning in _MEANINGS:
        if meaning.words.search(words):
            text = f"{filename}: the attestation does not verify: {meaning.means} ({words})"
            return AttestationError(text, hint=meaning.hint, code=meaning.code)
    return AttestationError(f"{filename}: the attestation does not verify ({words})", hint=_TAMPERED)
