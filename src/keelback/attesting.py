"""Which attestation goes with which archive that is published: made here, or made elsewhere and checked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.attestationfiles import KEPT, claims_of
from keelback.credentials.oidc.providers import IdentitySource
from keelback.errors import AttestationError, UsageError
from keelback.findings import printable
from keelback.provenance.files import AttestationFolder, read_bundles
from keelback.provenance.github import GitHubStore
from keelback.provenance.signing import Attester, signing_identity
from keelback.provenance.trust import Trust, require_sigstore
from keelback.provenance.verifying import open_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.base import Channel
    from keelback.channels.session import Session
    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.transport import Retry


_GOOD_FOR_SECONDS: Final = 60.0
"""How long an identity has to be good to be worth starting to sign with."""

_SIGN_ELSEWHERE: Final = (
    "Attest in GitHub Actions, GitLab CI, Buildkite, CircleCI or on Google Cloud; or sign with 'keelback attest "
    "--oidc-token -', and give what it makes with --attestation."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attesting:
    """What is to be attested, and what becomes of the attestations; see :func:`keelback.publish`.

    Attributes:
        make: whether they are made, in the name of the CI system's identity.
        given: files, or folders of files, with attestations that were made elsewhere.
        folder: where they are kept besides.
        github: whether they are stored with GitHub, too.
        trust_config: describes the Sigstore deployment; ``None``: the variable, or the public one.
    """

    make: bool = False
    given: tuple[Path, ...] = ()
    folder: Path | None = None
    github: bool = False
    trust_config: Path | None = None

    def __bool__(self) -> bool:
        return self.make or bool(self.given)

    def check(self, channels: Sequence[Channel]) -> None:
        """See that it goes together, and with *channels*.

        Raises:
            UsageError: it does not.
        """
        if not self and (self.folder is not None or self.github):
            what = "a folder for attestations" if self.folder is not None else "storing attestations with GitHub"
            raise UsageError(f"{what} was asked for, and no attestation", hint="Have them made with --attest.")
        if len(channels) > 1 and (self.given or self.folder is not None):
            raise UsageError(
                f"an attestation names one channel, and there are {len(channels)}",
                hint="Publish to one channel at a time.",
            )

    def prepare(self, archives: Sequence[PackageArchive], session: Session) -> Prepared:
        """See that *archives*, which are hashed, can be attested, before anything else is done; nothing is signed yet.

        Raises:
            UsageError: the trust configuration cannot be read; or see :func:`made_elsewhere`.
            IdentityError: there is no identity to sign with.
            AttestationError: ``sigstore`` is not installed; or see :func:`made_elsewhere`.
            CredentialError: there is no token with which GitHub would store them.
            TransportError: the keys of Sigstore cannot be brought up to date.
        """
        require_sigstore()
        trust = Trust.from_options(self.trust_config, session.environ)
        trust.verifier()
        given = made_elsewhere(self.given, archives, trust, all_of_them=not self.make) if self.given else {}
        identity = _Identities(IdentitySource(session.client, session.environ)) if self.make else None
        folder = None
        if self.folder is not None:
            folder = AttestationFolder(self.folder)
            folder.check(archive.filename for archive in archives)
        store = GitHubStore.from_environ(session.client, session.environ) if self.github else None
        return Prepared(trust, given, identity, folder, store, session.client.retry)


class _Identities:
    """Gives the identity that was asked for beforehand, if it is still good, and then new ones."""

    def __init__(self, source: IdentitySource) -> None:
        self._ask = signing_identity(source, hint=_SIGN_ELSEWHERE)
        self._first = [self._ask()]

    def __call__(self) -> IdToken:
        first = self._first.pop() if self._first else None
        if first is None or (first.expires is not None and first.expires < time.time() + _GOOD_FOR_SECONDS):
            return self._ask()
        return first


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is needed to attest, and known to be there.

    Attributes:
        trust: the Sigstore deployment.
        given: the attestations that were made elsewhere, by the SHA-256 of the archive.
        identity: gives identities to sign with; ``None`` where nothing is signed.
        folder, store: where attestations are kept besides.
        retry: how often the servers of Sigstore are asked again.
    """

    trust: Trust
    given: Mapping[str, Attestation]
    identity: Callable[[], IdToken] | None
    folder: AttestationFolder | None
    store: GitHubStore | None
    retry: Retry

    def for_channel(self, channel: Channel) -> Attestations:
        """The attestations of what goes to *channel*, which is open.

        Raises:
            UsageError: the channel takes none, and they are kept nowhere else.
            CredentialError: the channel takes none with this credential.
        """
        if channel.takes_attestations or (self.folder is None and self.store is None):
            channel.expect_attestations()
        url = channel.url if channel.url.startswith(("https:", "http:")) else None
        attester = None if self.identity is None else Attester(self.identity, self.trust, url, retry=self.retry)
        return Attestations(self.trust, attester, self.given, folder=self.folder, store=self.store)


@dataclass(frozen=True, slots=True)
class Attestation:
    """What goes with an archive.

    Attributes:
        bundle: a Sigstore bundle, in JSON.
        identity: who signed it: the name in its certificate.
    """

    bundle: bytes
    identity: str


class Attestations:
    """The attestations of what is published to one channel; safe to use from several threads at once.

    Args:
        trust: the Sigstore deployment.
        attester: makes them, for whatever has none; ``None`` where none are to be made.
        given: those that were made elsewhere, by the SHA-256 of the archive.
        folder: where they are kept besides; ``None``: nowhere.
        store: where GitHub keeps them, too; ``None``: nowhere.
    """

    def __init__(
        self,
        trust: Trust,
        attester: Attester | None,
        given: Mapping[str, Attestation],
        *,
        folder: AttestationFolder | None = None,
        store: GitHubStore | None = None,
    ) -> None:
        self._trust = trust
        self._attester = attester
        self._given = given
        self._folder = folder
        self._store = store

    def of(self, archive: PackageArchive) -> Attestation | None:
        """The attestation of *archive*, which is about to be sent; made now, kept and stored if that was asked for.

        Raises:
            IdentityError: there is no identity to sign with.
            AttestationError: it cannot be made, kept or stored.
            TransportError: no answer came.
        """
        attestation = self._given.get(archive.sha256) or self._made(archive)
        if attestation is None:
            return None
        if self._folder is not None:
            self._folder.write(archive.filename, attestation.bundle)
        if self._store is not None:
            self._store.store(attestation.bundle, archive.filename)
        return attestation

    def _made(self, archive: PackageArchive) -> Attestation | None:
        if self._attester is None:
            return None
        bundle, verified = self._attester.sign(archive)
        return Attestation(bundle, verified.identity)


def made_elsewhere(
    files: Iterable[Path], archives: Sequence[PackageArchive], trust: Trust, *, all_of_them: bool
) -> dict[str, Attestation]:
    """The attestations in *files*, by the SHA-256 of the archive of which each is.

    Args:
        files: with Sigstore bundles in them; or folders with ``FILE.sigstore.json`` in them.
        archives: what is about to be published; hashed.
        trust: the Sigstore deployment.
        all_of_them: whether each archive has to have one.

    Raises:
        UsageError: a file cannot be read, an archive has no attestation, or more than one.
        AttestationError: one is of none of the archives, or does not hold. Whether its signer is the right one is for
            the server to judge.
    """
    found: dict[str, Attestation] = {}
    for file in _expanded(files, archives):
        for bundle in read_bundles(file):
            archive = _archive_of(bundle, file, archives)
            if archive.sha256 in found:
                raise UsageError(f"{archive.filename} has more than one attestation", hint="Give the one to attach.")
            verified = open_bundle(bundle, filename=archive.filename, trust=trust)
            verified.statement.check(filename=archive.filename, sha256=archive.sha256, channel=None)
            found[archive.sha256] = Attestation(bundle, verified.identity)
    missing = [archive.filename for archive in archives if archive.sha256 not in found] if all_of_them else []
    if missing:
        raise UsageError(
            f"{missing[0]} has no attestation{f', nor have {len(missing) - 1} more' if missing[1:] else ''}",
            hint="Give one for each with --attestation, or have the others made: --attest.",
        )
    return found


def _expanded(files: Iterable[Path], archives: Sequence[PackageArchive]) -> Iterator[Path]:
    """*files*, and of each folder among them the files that are for *archives*."""
    for file in files:
        if file.is_dir():
            beside = (file / f"{name}{KEPT}" for name in dict.fromkeys(archive.filename for archive in archives))
            yield from filter(Path.is_file, beside)
        else:
            yield file


def _archive_of(bundle: bytes, file: Path, archives: Sequence[PackageArchive]) -> PackageArchive:
    """The archive for which *bundle*, which is in *file*, claims to be; of several of its name, that with its hash."""
    claim = next(iter(claims_of(bundle)), None)
    named = [] if claim is None else [archive for archive in archives if archive.filename == claim.filename]
    if claim is None or not named:
        whose = "of nothing that could be told" if claim is None else f"of {printable(claim.filename, 200)}"
        raise AttestationError(
            f"{file} is an attestation {whose}, which is not published here",
            hint="Give the attestations of the packages that are published, and no others.",
            code="attestation-name",
        )
    return next((archive for archive in named if archive.sha256 == claim.sha256), named[0])
