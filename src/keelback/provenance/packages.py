"""Attestations of packages: made and verified without a terminal."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.archive import discover, inspect
from keelback.archive.source import reason
from keelback.errors import AttestationError, UsageError
from keelback.findings import printable
from keelback.provenance.files import AttestationFolder, bundles_beside
from keelback.provenance.policy import Policy
from keelback.provenance.trust import Trust, require_sigstore
from keelback.provenance.verifying import verify_any
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
    """A package that was attested.

    Attributes:
        archive: the package.
        bundle: its attestation, a Sigstore bundle as JSON.
        file: where that is kept, if it is.
    """

    archive: PackageArchive
    bundle: bytes
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
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


def attest(
    paths: str | Path | Iterable[str | Path],
    *,
    channel: str | None = None,
    oidc_token: str | Secret | None = None,
    attestation_dir: str | Path | None = None,
    trust_config: str | Path | None = None,
) -> list[Attested]:
    """Sign, for each package, a statement that it is published by the CI job in which this runs (CEP 27).

    Args:
        paths: packages, folders with packages in them, or patterns.
        channel: the URL of the channel to which they go; not in the statement where it is not given.
        oidc_token: an ID token with the audience ``sigstore``, in place of the CI system's own.
        attestation_dir: a folder to which the attestations are written, as ``FILENAME.sigstore.json``.
        trust_config: a file that describes a private Sigstore deployment; by default what the variable
            ``KEELBACK_TRUST_CONFIG`` names, else the public deployment.

    Returns:
        the packages, in order of their paths.

    Raises:
        keelback.errors.UsageError: an argument is wrong.
        keelback.errors.ArchiveError: a file is no package that can be published.
        keelback.errors.IdentityError: there is no identity to sign with, or it cannot be used.
        AttestationError: one could not be made.
        keelback.errors.TransportError: a server cannot be reached.
    """
    from keelback.credentials.oidc.providers import IdentitySource  # noqa: PLC0415 - asks servers: not for verifying
    from keelback.provenance.signing import Attester, signing_identity  # noqa: PLC0415 - likewise
    from keelback.transport import Client  # noqa: PLC0415 - likewise

    require_sigstore()
    archives = [inspect(path) for path in discover(_listed(paths))]
    folder = None if attestation_dir is None else AttestationFolder(attestation_dir)
    if folder is not None:
        folder.check(archive.filename for archive in archives)
    trust = _trust(trust_config)
    with Client() as client:
        source = IdentitySource(client, os.environ, as_secret(oidc_token, "the given ID token"))
        attester = Attester(signing_identity(source), trust, channel, retry=client.retry)
        return _attest_all(archives, attester, folder)


def _attest_all(
    archives: Sequence[PackageArchive], attester: Attester, folder: AttestationFolder | None
) -> list[Attested]:
    def one(archive: PackageArchive) -> Attested:
        bundle = attester.attest(archive)
        return Attested(archive, bundle, None if folder is None else folder.write(archive.filename, bundle))

    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="attest")
    try:
        return list(pool.map(one, archives))
    except BaseException:
        stop_everything()
        pool.shutdown(cancel_futures=True)
        start_afresh()
        raise
    finally:
        pool.shutdown()


def verify(
    paths: str | Path | Iterable[str | Path],
    *,
    policy: str | Policy,
    channel: str | None = None,
    attestations: Sequence[bytes] | None = None,
    otherwise: Callable[[], Sequence[bytes]] | None = None,
    trust_config: str | Path | None = None,
    offline: bool = False,
) -> list[Verdict]:
    """See whether each package has an attestation that says what it is, by whom it is wanted to be.

    Args:
        paths: packages, folders with packages in them, or patterns.
        policy: who has to have signed: ``repo:OWNER/NAME``, and more (see the command-line reference).
        channel: the URL of the channel that the packages come from; any will do where it is not given.
        attestations: Sigstore bundles, of all packages in any order; by default, those in files beside each package.
        otherwise: gives the bundles for packages that have no such files.
        trust_config: as for :func:`attest`.
        offline: whether the public keys are taken as they are here, without an update.

    Returns:
        a verdict for each package, in order of their paths.

    Raises:
        keelback.errors.UsageError: an argument is wrong, or a file cannot be read.
        AttestationError: code ``no-sigstore``: the extra is not installed.
        keelback.errors.TransportError: the public keys cannot be brought up to date.
    """
    require_sigstore()
    wanted = Policy.parse(policy) if isinstance(policy, str) else policy
    trust = _trust(trust_config, offline=offline)

    def one(path: Path) -> Verdict:
        sha256 = _sha256(path)
        try:
            bundles = attestations if attestations is not None else bundles_beside(path)
            if not bundles and otherwise is not None:
                bundles = otherwise()
            verified = verify_any(
                bundles, filename=path.name, sha256=sha256, policy=wanted, channel=channel, trust=trust
            )
        except AttestationError as error:
            return Verdict(path, sha256, error=error)
        return Verdict(path, sha256, verified)

    return [one(path) for path in discover(_listed(paths))]


def _listed(paths: str | Path | Iterable[str | Path]) -> Iterable[str | Path]:
    return [paths] if isinstance(paths, str | Path) else paths


def _trust(config: str | Path | None, *, offline: bool = False) -> Trust:
    return Trust.from_options(None if config is None else str(config), os.environ, offline=offline)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{printable(str(path))} cannot be read: {reason(error)}") from None
