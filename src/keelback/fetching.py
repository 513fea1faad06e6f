"""Channel -> archives in a folder: the whole use case, as the command line and programs use it."""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.channels.indexfiles import IndexFiles
from keelback.channels.reader import reader_at, reader_for
from keelback.channels.session import BucketOptions, Given, Session
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.credentials.opening import default_stores
from keelback.credentials.paths import cache_folder
from keelback.durable import rename, write_synced
from keelback.errors import Interrupted, UsageError
from keelback.lockfile import lock_text, read_lock
from keelback.options import Options
from keelback.report import INTERRUPTED, Careful, ChannelReport, Problem, Report, Reporter, Status
from keelback.requiring import Requirement
from keelback.resolving import Question, resolve
from keelback.retrieving import Retriever
from keelback.secret import as_secret
from keelback.selecting import without_file
from keelback.transport import Client
from keelback.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive
    from keelback.report import Outcome
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
    run = _Fetch(
        Path(to),
        Options(force=force, skip_existing=skip_existing, dry_run=dry_run, jobs=jobs),
        partial(
            Session,
            load_stores=partial(default_stores, None if auth_file is None else Path(auth_file), keychain=keychain),
            given=Given(as_secret(api_key, "api_key"), username, as_secret(password, "password")),
            trusted=TrustedPublishing.of(
                trusted_publishing, trusted_publishing_hosts, as_secret(oidc_token, "oidc_token")
            ),
            buckets=buckets,
        ),
        partial(Client, retry=retry, timeout=timeout, insecure_hosts=insecure_hosts),
        reporter or Reporter(),
        _requirement(require_attestation, attestations, trust_config),
    )
    place, named = without_file(str(channel.absolute()) if isinstance(channel, Path) else channel)
    question = Question(
        specs=[*named, *([specs] if isinstance(specs, str) else specs)],
        subdirs=[subdirs] if isinstance(subdirs, str) else list(subdirs),
        with_deps=with_deps,
        all_versions=all_versions,
        virtual_packages=virtual_packages,
    )
    others = [str(name.absolute()) if isinstance(name, Path) else name for name in channels]
    run.refuse_given_for(1 + len(others))

    def find(session: Session) -> tuple[Sequence[Reader], Sequence[IndexedArchive]]:
        readers = [reader_for(name, session) for name in [place, *others]]
        files = IndexFiles((Path(cache) if cache else cache_folder()) / "indexes")
        with tempfile.TemporaryDirectory(prefix="keelback-") as room:
            return readers, resolve(readers, question, files, Path(room))

    return run.run(find, None if lock is None else Path(lock))


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

    Args:
        lock: a file that :func:`fetch` wrote, or any list of URLs with hashes that conda calls explicit.
        to: the folder to write to, as ``SUBDIR/FILE``.
        force: replace files that are there with other bytes.
        skip_existing: leave files that are there with other bytes as they are, and call that a success.
        dry_run: do everything but fetch.
        jobs: how many archives are fetched at once.
        api_key: a token that takes precedence over any other credential; for a lock file of one channel only.
        username: the same for servers that take a user and a password.
        password: see *username*.
        auth_file: the only place to look for credentials; otherwise all stores, as :func:`keelback.credential_for`.
        keychain: whether the system's keychain is asked, where a server wants a credential.
        trusted_publishing: ``auto``: where a server wants a credential, and takes the identity that the CI system
            offers, that is exchanged for a short-lived token; ``always``: nothing else is used; ``never``.
        trusted_publishing_hosts: servers that get this identity, besides those of prefix.dev.
        oidc_token: an ID token to exchange, instead of the CI system's own.
        buckets: where buckets are, and with which keys they are read, where variables and stores do not say.
        require_attestation: as for :func:`fetch`.
        attestations: as for :func:`fetch`.
        trust_config: as for :func:`fetch`.
        retry: how often and how patiently a request is tried.
        timeout: seconds without any progress after which a try has failed.
        insecure_hosts: hosts that may be spoken to without (verified) TLS.
        reporter: who is told what happens; nobody by default.

    Returns:
        As :func:`fetch`.

    Raises:
        UsageError: the lock file cannot be read, or is malformed; or a credential was given, and it is of several
            channels.
        AttestationError: as for :func:`fetch`.
    """
    run = _Fetch(
        Path(to),
        Options(force=force, skip_existing=skip_existing, dry_run=dry_run, jobs=jobs),
        partial(
            Session,
            load_stores=partial(default_stores, None if auth_file is None else Path(auth_file), keychain=keychain),
            given=Given(as_secret(api_key, "api_key"), username, as_secret(password, "password")),
            trusted=TrustedPublishing.of(
                trusted_publishing, trusted_publishing_hosts, as_secret(oidc_token, "oidc_token")
            ),
            buckets=buckets,
        ),
        partial(Client, retry=retry, timeout=timeout, insecure_hosts=insecure_hosts),
        reporter or Reporter(),
        _requirement(require_attestation, attestations, trust_config),
    )
    archives = read_lock(Path(lock))
    bases = list(dict.fromkeys(_base(archive) for archive in archives))
    run.refuse_given_for(len(bases))

    def find(session: Session) -> tuple[Sequence[Reader], Sequence[IndexedArchive]]:
        return [reader_at(base, session) for base in bases], archives

    return run.run(find, None)


class _Fetch:
    """One run, from the question to the report."""

    def __init__(
        self,
        folder: Path,
        how: Options,
        session: partial[Session],
        client: Callable[..., Client],
        reporter: Reporter,
        requirement: Requirement | None,
    ) -> None:
        self._folder = folder.absolute()
        self._how = how
        self._session = session
        self._client = partial(client, connections=max(FETCH_JOBS, how.jobs))
        self._reporter = Careful(reporter)
        self._requirement = requirement

    def refuse_given_for(self, channels: int) -> None:
        """Raise ``UsageError`` where a credential was given, and there is more than one channel that could get it."""
        given: Given = self._session.keywords["given"]
        if given and channels > 1:
            raise UsageError(
                f"{given.source} would go to {channels} channels",
                hint="Keep the credentials in the stores: keelback auth login.",
            )

    def run(
        self,
        find: Callable[[Session], tuple[Sequence[Reader], Sequence[IndexedArchive]]],
        lock: Path | None,
    ) -> Report:
        """Find what to fetch, fetch it, and write the lock file *lock* if there is nothing amiss."""
        with self._client() as client:
            workers = Workers(client)
            session = self._session(client)
            if self._requirement is not None:
                workers.carry_out(self._requirement.prepare)
                if self._requirement.keys is not None:  # which a variable may have named, unseen
                    self._reporter.note(f"attestations are verified by the keys in {self._requirement.keys}")
            readers, archives = workers.carry_out(lambda: find(session))
            if workers.stopped:
                raise Interrupted("stopped before anything was fetched")
            groups = _by_channel(readers, archives)
            retriever = Retriever(
                groups.reader_of, self._folder, self._how, self._reporter, workers.stop, self._requirement
            )
            report = Report([], self._how.dry_run)
            for reader, group in groups.items():
                report.channels.append(self._fetch_all(retriever, reader, group, workers))
        if lock is not None and report.ok and not self._how.dry_run:
            _write_lock(lock, [replace(each, url=groups.reader_of(each).named(each.url)) for each in archives])
        return report

    def _fetch_all(
        self, retriever: Retriever, reader: Reader, archives: Sequence[IndexedArchive], workers: Workers
    ) -> ChannelReport:
        """Fetch the *archives* of one channel side by side."""
        outcomes: dict[str, Outcome] = {}

        def work(archive: IndexedArchive) -> None:
            if retriever.refused is None and not workers.stopped:
                outcomes[archive.relative_path] = outcome = retriever.retrieve(archive)
                self._reporter.finished(outcome)

        self._reporter.channel(reader.name, archives)
        workers.carry_out(lambda: workers.each(work, archives, self._how.jobs))
        problem = None
        if workers.stopped:
            problem = INTERRUPTED
        elif retriever.refused is not None:
            problem = Problem.of(retriever.refused)
        why = replace(problem or INTERRUPTED, code="not-attempted")
        left = partial(retriever.outcome, status=Status.NOT_ATTEMPTED, error=why)
        return ChannelReport(
            reader.name, [outcomes.get(archive.relative_path) or left(archive) for archive in archives], problem
        )


class _Groups(dict["Reader", list["IndexedArchive"]]):
    """Archives by the channel that they are from."""

    def reader_of(self, archive: IndexedArchive) -> Reader:
        """The reader of the channel of *archive*; of the first channel, where its files are elsewhere."""
        return next((reader for reader in self if reader.has(archive.url)), next(iter(self)))


def _requirement(
    policy: str | None, attestations: str | Path | Iterable[str | Path], trust_config: Path | str | None
) -> Requirement | None:
    given = [attestations] if isinstance(attestations, str | Path) else list(attestations)
    if policy is not None:
        return Requirement(policy, given=given, trust_config=None if trust_config is None else str(trust_config))
    if given:
        raise UsageError("attestations were given, and none is required", hint="Add --require-attestation POLICY.")
    return None


def _by_channel(readers: Sequence[Reader], archives: Sequence[IndexedArchive]) -> _Groups:
    groups = _Groups((reader, []) for reader in readers)
    for archive in archives:
        groups[groups.reader_of(archive)].append(archive)
    return groups


def _base(archive: IndexedArchive) -> str:
    """The URL of the channel of *archive*, by its own."""
    return archive.url.rsplit("/", 2)[0]


def _write_lock(lock: Path, archives: Sequence[IndexedArchive]) -> None:
    new = lock.with_name(f".{lock.name}.{uuid.uuid4().hex}")
    try:
        write_synced(new, lock_text(archives).encode())
        rename(new, lock)
    except OSError as error:
        raise UsageError(f"{lock} cannot be written: {error.strerror or error}") from error
    finally:
        new.unlink(missing_ok=True)
