"""What is required of an archive before it is fetched: an attestation of it that verifies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from keelback.channels.naming import is_same_channel
from keelback.channels.sidecarreader import read_limited, read_sidecar, sidecar_urls
from keelback.errors import AttestationError, ChannelError, CredentialError, KeelbackError, TransportError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive
    from keelback.transport import Client

_SHOWN: Final = 4
"""How many reasons are told."""


@dataclass(frozen=True, slots=True)
class Attested:
    """What a verified attestation says.

    Attributes:
        by: who made the archive: the identity in the certificate.
        sha256: of the archive, hex.
    """

    by: str
    sha256: str


class Requirement:
    """An attestation that every archive has to have; safe to use from several threads at once.

    Args:
        policy: who may have made it.
        folder: where attestations are looked for first, in ``FILE.sigstore.json``.
        trust_config: a file that describes the Sigstore deployment to trust; otherwise that of the variable
            ``KEELBACK_TRUST_CONFIG``, or the public one.
        environ: where that variable is, and those of GitHub.

    Raises:
        UsageError: *policy* is none.
    """

    def __init__(
        self,
        policy: str,
        *,
        folder: Path | None = None,
        trust_config: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        from keelback.provenance.policy import Policy  # noqa: PLC0415 - for those who require attestations
        from keelback.provenance.trust import Trust  # noqa: PLC0415 - as above

        self._policy = Policy.parse(policy)
        self._trust = Trust.from_options(trust_config, environ)
        self._folder = folder
        self._environ = environ

    def prepare(self) -> None:
        """Load what attestations are verified with.

        Raises:
            AttestationError: code ``no-sigstore``: it is not installed.
            TransportError: the keys of the public deployment cannot be brought up to date.
            UsageError: the private deployment is described by a file that cannot be used.
        """
        self._trust.verifier()

    def attested(self, archive: IndexedArchive, reader: Reader, sha256: str | None = None) -> Attested:
        """What the first attestation of *archive* says that verifies.

        Args:
            archive: from the index of a channel.
            reader: of the channel.
            sha256: hex; where it is not known, the one that the attestation is about.

        Raises:
            AttestationError: there is none.
            CredentialError: the channel has to be asked for one, and wants a credential.
            Interrupted: the client was stopped.
        """
        search = _Search(archive)
        for bundle in search.bundles(self._sources(archive, reader, sha256)):
            try:
                return self._verified(bundle, archive, reader, sha256)
            except AttestationError as error:
                search.failed(error)
        raise search.error()

    def _verified(self, bundle: bytes, archive: IndexedArchive, reader: Reader, sha256: str | None) -> Attested:
        from keelback.provenance.bundle import claimed  # noqa: PLC0415 - as above
        from keelback.provenance.verifying import verify  # noqa: PLC0415 - as above

        claim = claimed(bundle)
        channel = reader.url
        if claim is not None and claim.channel is not None and is_same_channel(claim.channel, reader.url):
            channel = claim.channel  # as it is called where packages are sent to it, say
        verified = verify(
            bundle,
            filename=archive.filename,
            sha256=sha256 or ("" if claim is None else claim.sha256),
            policy=self._policy,
            channel=channel,
            trust=self._trust,
        )
        return Attested(verified.identity, verified.statement.sha256)

    def _sources(
        self, archive: IndexedArchive, reader: Reader, sha256: str | None
    ) -> Iterator[tuple[str, Callable[[], Sequence[bytes]]]]:
        """Where attestations are looked for, in this order."""
        if self._folder is not None:
            from keelback.provenance.files import SUFFIX  # noqa: PLC0415 - as above

            path = self._folder / f"{archive.filename}{SUFFIX}"
            yield str(path), partial(_read_kept, path)
        for url in sidecar_urls(archive):
            yield url, partial(read_sidecar, reader, url, archive.attestations_sha256)
        if self._policy.repo is not None and sha256 is not None:
            yield "GitHub", partial(self._kept_by_github, self._policy.repo, reader.client, sha256)

    def _kept_by_github(self, repository: str, client: Client, sha256: str) -> Sequence[bytes]:
        from keelback.provenance.github import API, GitHubStore  # noqa: PLC0415 - as above

        value = self._environ.get("GITHUB_TOKEN")
        token = Secret(value, "the variable GITHUB_TOKEN") if value else None
        api = self._environ.get("GITHUB_API_URL") or API  # that token is of the same GitHub
        return GitHubStore(client, repository, token, api).read(sha256.lower())


def _read_kept(path: Path) -> Sequence[bytes]:
    from keelback.provenance.bundle import bundles_in  # noqa: PLC0415 - as above

    content = read_limited(path)
    return () if content is None else bundles_in(content, str(path))


class _Search:
    """The search for an attestation of one archive: what there is, and what is wrong with it."""

    def __init__(self, archive: IndexedArchive) -> None:
        self._filename = archive.filename
        self._places: list[str] = []
        self._errors: list[KeelbackError] = []
        self._seen: set[bytes] = set()

    def bundles(self, sources: Iterator[tuple[str, Callable[[], Sequence[bytes]]]]) -> Iterator[bytes]:
        """The bundles that the *sources* have, each once; a source that cannot be read does not hide the next."""
        for place, read in sources:
            self._places.append(place)
            try:
                found = read()
            except (AttestationError, ChannelError, CredentialError, TransportError) as error:
                self._errors.append(error)
                continue
            yield from (bundle for bundle in found if bundle not in self._seen)
            self._seen.update(found)

    def failed(self, error: AttestationError) -> None:
        """A bundle did not verify, because of *error*."""
        self._errors.append(error)

    def error(self) -> KeelbackError:
        """Why there is no attestation that verifies."""
        refused = next((error for error in self._errors if isinstance(error, CredentialError)), None)
        if refused is not None and not self._seen:
            return refused
        if not self._errors:
            return AttestationError(
                f"{self._filename} has no attestation: there is none at {' or '.join(self._places)}",
                hint="Ask its publisher for one; or fetch it without --require-attestation.",
                code="no-attestation",
            )
        reasons = list(dict.fromkeys(error.message.removeprefix(f"{self._filename}: ") for error in self._errors))
        more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        what = "no attestation of it verifies" if self._seen else "no attestation of it can be read"
        codes = {error.code for error in self._errors if isinstance(error, AttestationError)}
        return AttestationError(
            f"{self._filename}: {what}: {'; '.join(reasons[:_SHOWN])}{more}",
            hint=next((error.hint for error in self._errors if error.hint), ""),
            code=codes.pop() if len(codes) == 1 else None,
        )
