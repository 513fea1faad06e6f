"""Attestations of packages: made and verified without a terminal."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.archive import discover, inspect
from keelback.archive.source import reason
from keelback.channels.registry import recognise, target_of
from keelback.errors import (
    ArchiveError,
    AttestationError,
    CredentialError,
    KeelbackError,
    SourceChanged,
    TransportError,
    UsageError,
)
from keelback.findings import printable
from keelback.provenance.files import AttestationFolder, GivenAttestations, files_beside, read_kept
from keelback.provenance.policy import Policy
from keelback.provenance.searching import Source, verify_first
from keelback.provenance.trust import Trust, require_sigstore
from keelback.secret import as_secret
from keelback.stopping import start_afresh, stop_everything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from keelback.archive import PackageArchive
    from keelback.provenance.signing import Attester
    from keelback.provenance.verifying import Verified
    from keelback.secret import Secret

_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Attested:
    """What became of a package that was to be attested.

    Attributes:
        archive: the package.
        bundle: its attestation, a Sigstore bundle as JSON; ``None`` where there is none.
        verified: what that says.
        file: where it is kept, if it is.
        error: why there is none, or why it is not kept.
    """

    archive: PackageArchive
    bundle: bytes | None = None
    verified: Verified | None = None
    file: Path | None = None
    error: KeelbackError | None = None

    @property
    def ok(self) -> bool:
        """Whether it is attested, and the attestation is where it was wanted."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a package has the attestation that is wanted.

    Attributes:
        path: the file.
        sha256: its hash.
        verified: the attestation; ``None`` where there is none that holds.
        error: why not.
    """

    path: Path
    sha256: str
    verified: Verified | None = None
    error: AttestationError | None = None

    @property
    def ok(self) -> bool:
        """Whether it has one."""
        return self.verified is not None


def attest(
    paths: str | Path | Iterable[str | Path],
    *,
    channel: str | None = None,
    oidc_token: str | Secret | None = None,
    attestation_dir: str | Path | None = None,
    trust_config: str | Path | None = None,
    on_attested: Callable[[Attested], None] | None = None,
) -> list[Attested]:
    """Sign, for each package, a statement that it is published by the CI job in which this runs (CEP 27).

    Args:
        paths: packages, folders with packages in them, or patterns.
        channel: the URL of the channel to which they go; not in the statement where it is not given.
        oidc_token: an ID token with the audience ``sigstore``, in place of the CI system's own.
        attestation_dir: a folder to which the attestations are written, as ``FILENAME.sigstore.json``.
        trust_config: a file that describes a private Sigstore deployment; by default what the variable
            ``KEELBACK_TRUST_CONFIG`` names, else the public deployment.
        on_attested: is given what became of each package, in order, as soon as that is known.

    Returns:
        what became of each package, in order of their paths: what is signed is in a public log, and so no failure of
        one hides the attestations of the others.

    Raises:
        keelback.errors.UsageError: an argument is wrong.
        keelback.errors.ArchiveError: a file is no package that can be published.
        keelback.errors.IdentityError: there is no identity to sign with, or it cannot be used.
        AttestationError: no certificate could be had to sign with; nothing was signed.
        keelback.errors.TransportError: a server cannot be reached; nothing was signed.
    """
    from keelback.credentials.oidc.providers import IdentitySource  # noqa: PLC0415 - asks servers: not for verifying
    from keelback.provenance.signing import Attester, signing_identity  # noqa: PLC0415 - likewise
    from keelback.transport import Client  # noqa: PLC0415 - likewise

    require_sigstore()
    url = None if channel is None else _channel_url(channel)
    archives = [inspect(path) for path in discover(_listed(paths))]
    folder = None if attestation_dir is None else AttestationFolder(attestation_dir)
    if folder is not None:
        folder.check(archive.filename for archive in archives)
    trust = Trust.from_options(trust_config, os.environ)
    with Client() as client:
        source = IdentitySource(client, os.environ, as_secret(oidc_token, "the given ID token"))
        attester = Attester(signing_identity(source), trust, url, retry=client.retry)
        attester.prepare()
        return _attest_all(archives, attester, folder, on_attested or (lambda _: None))


def _attest_all(
    archives: Sequence[PackageArchive],
    attester: Attester,
    folder: AttestationFolder | None,
    on_attested: Callable[[Attested], None],
) -> list[Attested]:
    run = _Run(attester, folder)
    found: list[Attested] = []
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="attest")
    try:
        for attested in pool.map(run.attest, archives):
            found.append(attested)
            on_attested(attested)
    except BaseException:
        stop_everything()
        pool.shutdown(cancel_futures=True)
        start_afresh()
        raise
    finally:
        pool.shutdown()
    return found


class _Run:
    """Attests packages, until something fails that is not for one package alone; from several threads."""

    def __init__(self, attester: Attester, folder: AttestationFolder | None) -> None:
        self._attester = attester
        self._folder = folder
        self._ended_by: KeelbackError | None = None

    def attest(self, archive: PackageArchive) -> Attested:
        """What becomes of *archive*; after a server did not answer, or took no identity, the others are not tried."""
        if self._ended_by is not None:
            return Attested(archive, error=self._ended_by)
        try:
            bundle, verified = self._attester.sign(archive)
        except (CredentialError, TransportError) as error:
            self._ended_by = error
            return Attested(archive, error=error)
        except (ArchiveError, AttestationError, SourceChanged) as error:
            return Attested(archive, error=error)
        if self._folder is None:
            return Attested(archive, bundle, verified)
        try:
            return Attested(archive, bundle, verified, self._folder.write(archive.filename, bundle))
        except AttestationError as error:
            return Attested(archive, bundle, verified, error=error)


def verify(
    paths: str | Path | Iterable[str | Path],
    *,
    policy: str | Policy,
    channel: str | None = None,
    attestations: Sequence[str | Path | bytes] | None = None,
    otherwise: Callable[[], Sequence[bytes]] | None = None,
    trust_config: str | Path | None = None,
    offline: bool = False,
) -> list[Verification]:
    """See whether each package has an attestation that says what it is, by whom it is wanted to be.

    Args:
        paths: packages, folders with packages in them, or patterns.
        policy: who has to have signed: ``repo:OWNER/NAME``, and more (see the command-line reference).
        channel: the URL of the channel that the packages come from; any will do where it is not given.
        attestations: files with Sigstore bundles, of all packages in any order, folders with ``FILE.sigstore.json`` in
            them, and bundles as bytes; by default, those in files beside each package.
        otherwise: gives more bundles, where *attestations* is not given; it is called once there is a package of which
            nothing verifies that lies beside it.
        trust_config: as for :func:`attest`.
        offline: whether the public keys are taken as they are here, without an update.

    Returns:
        what was found of each package, in order of their paths.

    Raises:
        keelback.errors.UsageError: an argument is wrong, or a file cannot be read.
        AttestationError: code ``no-sigstore``: the extra is not installed.
        keelback.errors.TransportError: the public keys cannot be brought up to date.
    """
    require_sigstore()
    wanted = Policy.parse(policy) if isinstance(policy, str) else policy
    url = None if channel is None else _channel_url(channel)
    files = discover(_listed(paths))
    trust = Trust.from_options(trust_config, os.environ, offline=offline)
    trust.check()  # first: what cannot be used is wrong whatever the attestations are
    given = None if attestations is None else GivenAttestations(attestations)
    more = None if otherwise is None else cache(lambda: GivenAttestations(otherwise()))

    def one(path: Path) -> Verification:
        sha256 = _sha256(path)
        sources = _sources(path) if given is None else [Source(partial(given.of, path.name))]
        if given is None and more is not None:
            sources.append(Source(lambda: more().of(path.name)))
        try:
            verified = verify_first(sources, filename=path.name, sha256=sha256, policy=wanted, channel=url, trust=trust)
        except AttestationError as error:
            return Verification(path, sha256, error=error)
        return Verification(path, sha256, verified)

    return [one(path) for path in files]


def _sources(package: Path) -> list[Source]:
    """The files beside *package*; what is wrong with one does not hide another."""
    return [Source(partial(read_kept, file)) for file in files_beside(package)]


def _listed(paths: str | Path | Iterable[str | Path]) -> Iterable[str | Path]:
    return [paths] if isinstance(paths, str | Path) else paths


def _channel_url(channel: str) -> str:
    """The URL by which an attestation names *channel*: the one that is signed when packages are published to it."""
    target = target_of(channel)
    if target.folder is not None:
        raise UsageError(
            f"the channel {printable(channel)} is a folder, which no attestation names",
            hint="Give the URL under which it is served, or no channel.",
        )
    known = recognise(target)
    return target.base(len(target.segments)) if known is None else known.url


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{printable(str(path))} cannot be read: {reason(error)}") from None
