"""The search for an attestation of one file that verifies, in one place after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.attestationfiles import MOST, claims_of
from keelback.errors import AttestationError, ChannelError, CredentialError, KeelbackError, TransportError
from keelback.provenance.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from keelback.provenance.policy import Policy
    from keelback.provenance.trust import Trust
    from keelback.provenance.verifying import Verified

_NONE: Final = "no-attestation"
_SHOWN: Final = 4
"""How many reasons are told."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where bundles may be.

    Attributes:
        read: gives them; a failure does not hide what the next source has.
        place: for messages, as in ``at https://example.com/demo.conda.sigs``; empty where there is nothing to say.
        is_last_resort: whether it is asked only where no other has a bundle for the file.
    """

    read: Callable[[], Sequence[bytes]]
    place: str = ""
    is_last_resort: bool = False


def verify_first(
    sources: Iterable[Source],
    *,
    filename: str,
    sha256: str | None,
    policy: Policy,
    channel: str | None,
    trust: Trust,
) -> Verified:
    """The first bundle that verifies; arguments as for :func:`verify`.

    Bundles that do not even claim to be for this file are not looked at any further, unless there is nothing else: then
    what is wrong with one of them is told. A source has ``MOST`` bundles at most; who has more wants to keep us busy.

    Raises:
        AttestationError: none does. The message has the reason of each; the code is theirs, if all have the same.
        CredentialError: there is none, and a source wants a credential.
    """
    search = _Search(filename, sha256)
    for bundle in search.bundles(sources):
        try:
            return verify(bundle, filename=filename, sha256=sha256, policy=policy, channel=channel, trust=trust)
        except AttestationError as error:
            if error.code == "no-sigstore":
                raise
            search.refused.append(error)
    raise search.error()


class _Search:
    """What there is for one file, and what is wrong with it.

    Attributes:
        refused: why each bundle that was looked at does not verify.
    """

    def __init__(self, filename: str, sha256: str | None) -> None:
        self.refused: list[AttestationError] = []
        self._filename = filename
        self._sha256 = None if sha256 is None else sha256.lower()
        self._places: list[str] = []
        self._unread: list[tuple[Source, KeelbackError]] = []
        self._seen: set[bytes] = set()
        self._strangers: list[bytes] = []

    def bundles(self, sources: Iterable[Source]) -> Iterator[bytes]:
        """The bundles that are worth a look, each once."""
        for source in sources:
            if source.is_last_resort and self._seen:
                continue
            own = [bundle for bundle in self._read(source) if bundle not in self._seen and self._is_own(bundle)]
            self._seen.update(own)
            yield from dict.fromkeys(own[:MOST])
        if not self._seen:
            yield from sorted(self._strangers, key=self._has_other_name)[:1]

    def _read(self, source: Source) -> Sequence[bytes]:
        try:
            found = source.read()
        except (AttestationError, ChannelError, CredentialError, TransportError) as error:
            self._unread.append((source, error))
            return ()
        if source.place:
            self._places.append(source.place)
        return found

    def _is_own(self, bundle: bytes) -> bool:
        """Whether *bundle* claims to be for the file."""
        own = any(
            claim.filename == self._filename and self._sha256 in (None, claim.sha256) for claim in claims_of(bundle)
        )
        if not own:
            self._strangers.append(bundle)
        return own

    def _has_other_name(self, bundle: bytes) -> bool:
        return all(claim.filename != self._filename for claim in claims_of(bundle))

    def error(self) -> KeelbackError:
        """Why there is none that verifies."""
        unread = [error for _, error in self._unread]
        if self.refused:  # that a server gave no answer, or has none, is no news then
            others = [error for error in unread if isinstance(error, AttestationError)]
            errors = [*self.refused, *(error for error in others if error.code != _NONE)]
            return self._failed("no attestation of it verifies: " if errors[1:] else "", errors)
        refusal = next((error for error in unread if isinstance(error, CredentialError)), None)
        if refusal is not None:
            return refusal
        if all(source.is_last_resort or error.code == _NONE for source, error in self._unread):
            return self._none(unread)
        return self._failed("no attestation of it can be read: ", unread)

    def _none(self, unread: Sequence[KeelbackError]) -> AttestationError:
        where = f" of it {' or '.join(self._places)}" if self._places else ""
        reasons = "".join(f"; {error.message}" for error in unread)
        return AttestationError(
            f"{self._filename}: there is no attestation{where}{reasons}",
            hint=next((error.hint for error in unread if error.hint), "Ask its publisher to attest what is published."),
            code=_NONE,
        )

    def _failed(self, what: str, errors: Sequence[KeelbackError]) -> AttestationError:
        reasons = list(dict.fromkeys(error.message.removeprefix(f"{self._filename}: ") for error in errors))
        more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        codes = {error.code for error in errors if isinstance(error, AttestationError)}
        return AttestationError(
            f"{self._filename}: {what}{'; '.join(reasons[:_SHOWN])}{more}",
            hint=next((error.hint for error in errors if error.hint), ""),
            code=codes.pop() if len(codes) == 1 else None,
        )
