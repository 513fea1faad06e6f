"""Channel -> archives in a folder: the whole use case, as the command line and programs use it."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.channels.bucketoptions import check_bucket_options
from keelback.channels.indexfiles import IndexFiles
from keelback.channels.opening import reader_at, reader_for
from keelback.channels.session import BucketOptions, Given, Session
from keelback.channels.target import as_written
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.credentials.opening import default_stores
from keelback.credentials.paths import cache_folder
from keelback.fetchrun import FetchRun
from keelback.lockfile import read_lock
from keelback.options import Options
from keelback.report import Report, Reporter, SafeReporter
from keelback.requiring import Requirement
from keelback.resolving import Question, resolve
from keelback.selecting import without_file
from keelback.transport import Client

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive
    from keelback.secret import Secret
    from keelback.transport import Retry

FETCH_JOBS: Final = 50
"""How many archives are fetched at once, unless told otherwise: as many as rattler does (concurrency.downloads)."""


def fetch(  # noqa: PLR0913 - the public door: each of these is an option of the command
    channel: str | Path,
    specs: str | Iterable[str] = (),
    *,
    to: Path | str = ".",
    subdirs: str | Sequence[str] = (),
    with_deps: bool = False,
    all_versions: bool = False,
    channels: Sequence[str | Path] = (),
    virtual_packages: Sequence[str] = (),
    lock: Path | str | None = None,
    force: bool = False,
    skip_existing: bool = False,
    dry_run: bool = False,
    jobs: int = FETCH_JOBS,
    api_key: str | Secret | None = None,
    username: str | None = None,
    password: str | Secret | None = None,
    auth_file: Path | str | None = None,
    keychain: bool = True,
    trusted_publishing: str = "auto",
    trusted_publishing_hosts: Collection[str] = (),
    oidc_token: str | Secret | None = None,
    buckets: BucketOptions | None = None,
    require_attestation: str | None = None,
    attestations: str | Path | Iterable[str | Path] = (),
    trust_config: Path | str | None = None,
    cache: Path | str | None = None,
    retry: Retry | None = None,
    timeout: float = 120.0,
    insecure_hosts: Collection[str] = (),
    reporter: Reporter | None = None,
) -> Report:
    """Get archives out of a channel.

    Every archive is verified by the hash that the index has of it before it gets its name. Fetching again what is here
    already is harmless, and after a failure does only what is left.

    Args:
        channel: a folder, a URL as for :func:`keelback.publish`, or any URL under which conda reads a channel; or the
            URL or path of one of its archives.
        specs: MatchSpecs (``numpy >=2``) and names of files (``linux-64/numpy-2.1.0-h1_0.conda``); for each spec the
            best archive is fetched. Without any, everything in *subdirs* is.
        to: the folder to write to, as ``SUBDIR/FILE``.
        subdirs: the platforms to fetch for, besides noarch; by default this machine's.
        with_deps: also fetch all dependencies, solved for each of *subdirs*.
        all_versions: fetch every archive that matches, not the best.
        channels: more channels, for packages that *channel* does not have.
        virtual_packages: those of the target machine: ``__cuda=12``; besides the usual ones.
        lock: write a lock file (``@EXPLICIT``) of what was fetched there.
        force: replace files that are there with other bytes.
        skip_existing: leave files that are there with other bytes as they are, and call that a success.
        dry_run: do everything but fetch.
        jobs: how many archives are fetched at once.
        api_key: a token that takes precedence over any other credential; for one channel only.
        username: the same for servers that take a user and a password.
        password: see *username*.
        auth_file: the only place to look for credentials; otherwise all stores, as :func:`keelback.credential_for`.
        keychain: whether the system's keychain is asked, where a server wants a credential.
        trusted_publishing: ``auto``: where a server wants a credential, and takes the identity that the CI system
            offers, that is exchanged for a short-lived token; ``always``: nothing else is used; ``never``.
        trusted_publishing_hosts: servers that get this identity, besides those of prefix.dev.
        oidc_token: an ID token to exchange, instead of the CI system's own.
        buckets: where buckets are, and with which keys they are read, where variables and stores do not say.
        require_attestation: who has to have attested every archive, as a policy: ``repo:OWNER/NAME``. What has no
            attestation that verifies is not fetched; what is here already is verified, too.
        attestations: where attestations are looked for first: files, and folders with ``FILE.sigstore.json`` in them.
        trust_config: a file that describes the Sigstore deployment to trust; otherwise that of the variable
            ``KEELBACK_TRUST_CONFIG``, or the public one.
        cache: the folder that keeps indexes between runs; otherwise ``KEELBACK_CACHE_DIR``, or the user's cache folder.
        retry: how often and how patiently a request is tried.
        timeout: seconds without any progress after which a try has failed.
        insecure_hosts: hosts that may be spoken to without (verified) TLS.
        reporter: who is told what happens; nobody by default.

    Returns:
        What became of every archive. What failed is in it, not raised. Where the user presses Ctrl-C while archives
        come, the report says what arrived, with the exit status ``INTERRUPTED``.

    Raises:
        UsageError: no such channel, spec or subdir.
        AttestationError: something else than attestations was given as such; or ``sigstore`` is not installed.
        CredentialError: the channel wants a credential, and there is none; or it was refused.
        ChannelError: code ``no-channel``, ``no-match`` or ``no-solution``; or the index is malformed.
        TransportError: no answer came.
        Interrupted: stopped before it was known what to fetch.
    """
    run = FetchRun(
        Path(to),
        Options(force=force, skip_existing=skip_existing, dry_run=dry_run, jobs=jobs),
        Requirement.of_options(require_attestation, attestations, trust_config),
        SafeReporter(reporter or Reporter()),
    )
    place, named = without_file(as_written(channel))
    question = Question(
        specs=[*named, *([specs] if isinstance(specs, str) else specs)],
        subdirs=[subdirs] if isinstance(subdirs, str) else list(subdirs),
        with_deps=with_deps,
        all_versions=all_versions,
        virtual_packages=virtual_packages,
    )
    places = [place, *map(as_written, channels)]
    check_bucket_options(buckets, places)
    given = Given.of(api_key, username, password)
    given.refuse_several(len(places))
    trusted = TrustedPublishing.of(trusted_publishing, trusted_publishing_hosts, oidc_token)
    stores = partial(default_stores, auth_file, keychain=keychain)
    connections = max(FETCH_JOBS, jobs)
    with Client(retry=retry, timeout=timeout, insecure_hosts=insecure_hosts, connections=connections) as client:
        session = Session(client, stores, given, trusted=trusted, buckets=buckets)

        def find() -> tuple[Sequence[Reader], Sequence[IndexedArchive]]:
            readers = [reader_for(name, session) for name in places]
            files = IndexFiles(cache_folder(cache) / "indexes")
            with tempfile.TemporaryDirectory(prefix="keelback-") as workdir:
                return readers, resolve(readers, question, files, Path(workdir))

        return run.carry_out(session, find, None if lock is None else Path(lock))


def fetch_locked(  # noqa: PLR0913 - as above
    lock: Path | str,
    *,
    to: Path | str = ".",
    force: bool = False,
    skip_existing: bool = False,
    dry_run: bool = False,
    jobs: int = FETCH_JOBS,
    api_key: str | Secret | None = None,
    username: str | None = None,
    password: str | Secret | None = None,
    auth_file: Path | str | None = None,
    keychain: bool = True,
    trusted_publishing: str = "auto",
    trusted_publishing_hosts: Collection[str] = (),
    oidc_token: str | Secret | None = None,
    buckets: BucketOptions | None = None,
    require_attestation: str | None = None,
    attestations: str | Path | Iterable[str | Path] = (),
    trust_config: Path | str | None = None,
    retry: Retry | None = None,
    timeout: float = 120.0,
    insecure_hosts: Collection[str] = (),
    reporter: Reporter | None = None,
) -> Report:
    """Get the archives that a lock file names, with the credentials that are stored for their URLs.

    *lock* is a file that :func:`fetch` wrote, or any list of URLs with hashes that conda calls explicit. The other
    arguments are as for :func:`fetch`; a credential is for a lock file of one channel only.

    Returns:
        As :func:`fetch`.

    Raises:
        UsageError: the lock file cannot be read, or is malformed; or a credential was given, and it is of several
            channels.
        AttestationError: as for :func:`fetch`.
    """
    run = FetchRun(
        Path(to),
        Options(force=force, skip_existing=skip_existing, dry_run=dry_run, jobs=jobs),
        Requirement.of_options(require_attestation, attestations, trust_config),
        SafeReporter(reporter or Reporter()),
    )
    archives = read_lock(Path(lock))
    channels = list(dict.fromkeys(_channel_of(archive) for archive in archives))
    given = Given.of(api_key, username, password)
    given.refuse_several(len(channels))
    trusted = TrustedPublishing.of(trusted_publishing, trusted_publishing_hosts, oidc_token)
    stores = partial(default_stores, auth_file, keychain=keychain)
    connections = max(FETCH_JOBS, jobs)
    with Client(retry=retry, timeout=timeout, insecure_hosts=insecure_hosts, connections=connections) as client:
        session = Session(client, stores, given, trusted=trusted, buckets=buckets)
        return run.carry_out(session, lambda: ([reader_at(url, session) for url in channels], archives))


def _channel_of(archive: IndexedArchive) -> str:
    """The URL of the channel of *archive*, by its own."""
    return archive.url.rsplit("/", 2)[0]
