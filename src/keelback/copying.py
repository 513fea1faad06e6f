"""Channel -> channel: the whole use case, as the command line and programs use it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from keelback.channels.base import Channel
from keelback.channels.indexable import Indexable
from keelback.channels.indexfiles import IndexFiles
from keelback.channels.naming import is_same_channel
from keelback.channels.registry import channel_for
from keelback.channels.relay.records import read_records, unpatched
from keelback.channels.relay.sides import buckets_of, check_endpoint, known_channel, sides_for
from keelback.channels.relay.supply import Supply
from keelback.channels.relay.way import Relay
from keelback.channels.session import BucketOptions, Given, Session
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.credentials.opening import default_stores
from keelback.credentials.paths import cache_folder
from keelback.errors import Interrupted, KeelbackError, UsageError
from keelback.options import ASKING, JOBS, Options
from keelback.report import Careful, ChannelReport, Outcome, Problem, Report, Reporter, Status
from keelback.requiring import Requirement
from keelback.resolving import Question, resolve
from keelback.running import Run
from keelback.secret import as_secret, redact
from keelback.selecting import without_file
from keelback.transport import Client
from keelback.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.reader import Reader
    from keelback.channels.relay.sides import Side
    from keelback.errors import ChannelError
    from keelback.indexed import IndexedArchive
    from keelback.repodata import Record
    from keelback.secret import Secret
    from keelback.transport import Retry

_AHEAD: Final = 3
"""For each archive that is sent, how many are under way: the others are asked for, and the first block of each read."""


def copy(  # noqa: PLR0913 - the public door: each of these is an option of the command
    source: str | Path,
    to: str | Path | Channel,
    specs: str | Iterable[str] = (),
    *,
    subdirs: str | Sequence[str] = (),
    with_deps: bool = False,
    channels: Sequence[str | Path] = (),
    virtual_packages: Sequence[str] = (),
    force: bool = False,
    skip_existing: bool = False,
    dry_run: bool = False,
    verify: float | None = None,
    jobs: int = JOBS,
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
    """Copy archives from one channel to another.

    The bytes go from the one connection into the other, and are compared on their way with the hash that the index of
    *source* has. Only for a channel that asks for more than that index says (anaconda.org), and where attestations are
    required of what goes into a channel that keelback indexes, each archive is on this machine's disk while it is sent;
    *jobs* of them at most. Between the channels of one server, the server copies, if it can.

    What a folder or a bucket has patched goes along as a patch into another one; what *to* has already stays as it is.
    Of a server, the records are taken as its index has them.

    Copying again is harmless, and after a failure does only what is left.

    Args:
        source: a channel, as for :func:`keelback.fetch`; or the URL or path of one of its archives.
        to: a channel, as for :func:`keelback.publish`.
        specs: MatchSpecs (``numpy >=2``) and names of files (``linux-64/numpy-2.1.0-h1_0.conda``): everything that
            matches is copied. Without any, everything is.
        subdirs: only these, and with specs noarch; by default, all that *source* has.
        with_deps: instead of everything that matches, copy one solution: what matches best, with all its dependencies,
            for each of *subdirs*, which are this machine's by default.
        channels: more channels, for dependencies that *source* does not have; nothing is copied from them.
        virtual_packages: those of the machine that is solved for: ``__cuda=12``; besides the usual ones.
        force: replace files of the same name and other bytes.
        skip_existing: leave files of the same name and other bytes as they are, and call that a success.
        dry_run: do everything but copy.
        verify: wait up to so many seconds until the index of *to* serves everything.
        jobs: how many archives are sent at once.
        api_key: a token for *to* that goes before any other credential; *source* is read with what is stored for it.
        username: the same for servers that take a user and a password.
        password: see *username*.
        auth_file: the only place to look for credentials of both; otherwise all stores, as
            :func:`keelback.credential_for`.
        keychain: whether the system's keychain is asked.
        trusted_publishing: as for :func:`keelback.publish`, for *to*; *source* may take an identity, unless it is
            ``never``.
        trusted_publishing_hosts: servers that get this identity, besides those of prefix.dev.
        oidc_token: an ID token to exchange with *to*, instead of the CI system's own.
        buckets: where buckets are, and with which keys they are spoken to, where variables and stores do not say. An
            endpoint is that of both channels, except where the URL of one says its own: ``s3+https://HOST/BUCKET``.
        require_attestation: who has to have attested every archive, as for :func:`keelback.fetch`.
        attestations: where attestations are looked for first: files, and folders with ``FILE.sigstore.json`` in them.
        trust_config: a file that describes the Sigstore deployment to trust; otherwise that of the variable
            ``KEELBACK_TRUST_CONFIG``, or the public one.
        cache: the folder that keeps indexes between runs; otherwise ``KEELBACK_CACHE_DIR``, or the user's cache folder.
        retry: how often and how patiently a request is tried.
        timeout: seconds without any progress after which a try has failed.
        insecure_hosts: hosts that may be spoken to without (verified) TLS.
        reporter: who is told what happens; nobody by default.

    Returns:
        What became of every archive, as for :func:`keelback.publish`; each outcome names its ``source``.

    Raises:
        UsageError: no such channel, spec or subdir; or both channels are the same.
        AttestationError: something else than attestations was given as such; or ``sigstore`` is not installed.
        CredentialError: a credential is missing for one of the channels, or was refused; nothing was sent.
        ChannelError: *to* cannot be written; or, of *source*, code ``no-channel``, ``no-match``, ``no-solution``.
        TransportError: no answer came.
        Interrupted: stopped before anything was sent.
    """
    secrets = Given(as_secret(api_key, "api_key"), username, as_secret(password, "password"))
    place, named = without_file(_text(source))
    run = _Copy(
        place,
        channel_for(_text(to)) if not isinstance(to, Channel) else to,
        Options(force=force, skip_existing=skip_existing, dry_run=dry_run, verify=verify, jobs=jobs),
        Question(
            specs=[*named, *([specs] if isinstance(specs, str) else specs)],
            subdirs=[subdirs] if isinstance(subdirs, str) else list(subdirs),
            with_deps=with_deps,
            all_versions=not with_deps,
            virtual_packages=virtual_packages,
            everywhere=not with_deps and not subdirs,
        ),
        others=[_text(channel) for channel in channels],
        indexes=(Path(cache) if cache else cache_folder()) / "indexes",
        requirement=_requirement(require_attestation, attestations, trust_config),
        reporter=Careful(reporter or Reporter()),
    )
    if secrets and not run.channel.takes_credential:
        raise UsageError(
            f"{run.channel.url} takes no credential",
            hint="Leave it out: the other channel is read with what is stored for it (keelback auth login).",
        )
    check_endpoint([place, run.channel.url, *map(_text, channels)], buckets)
    trusted = TrustedPublishing.of(trusted_publishing, trusted_publishing_hosts, as_secret(oidc_token, "oidc_token"))
    stores = partial(default_stores, None if auth_file is None else Path(auth_file), keychain=keychain)
    connections = ASKING + (1 + _AHEAD) * jobs  # so that who holds one to read can always get another to send
    with Client(retry=retry, timeout=timeout, insecure_hosts=insecure_hosts, connections=connections) as client:
        own = buckets_of(run.channel, buckets)
        session = Session(client, stores, secrets, trusted=trusted, buckets=own, dry_run=dry_run)
        return run.carry_out(session, buckets)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is to be copied, and how it is read.

    Attributes:
        reader: of the source.
        archives: what is to be copied, in order.
        supply: from each of them to what can be sent.
    """

    reader: Reader
    archives: Sequence[IndexedArchive]
    supply: Supply


class _Copy:
    """One run, from the question to the report."""

    def __init__(
        self,
        source: str,
        channel: Channel,
        how: Options,
        question: Question,
        *,
        others: Sequence[str],
        indexes: Path,
        requirement: Requirement | None,
        reporter: Reporter,
    ) -> None:
        self.channel = channel
        self._source = source
        self._how = how
        self._question = question
        self._others = others
        self._indexes = indexes
        self._requirement = requirement
        self._reporter = reporter
        self._attested_by: dict[str, str] = {}

    def carry_out(self, session: Session, buckets: BucketOptions | None) -> Report:
        """Find what there is to copy, and copy it.

        Args:
            session: of the target.
            buckets: what was said of all buckets.
        """
        workers = Workers(session.client)
        with tempfile.TemporaryDirectory(prefix="keelback-") as room:
            found = workers.carry_out(lambda: self._find(session, buckets, Path(room)))
            ready, failed = workers.carry_out(lambda: self._prepare(found, workers))
            if workers.stopped:
                raise Interrupted("stopped before anything was copied")
            report = self._send(found, ready, failed, session.client)
        return Report([self._in_order(report, failed, found)], self._how.dry_run)

    # --- what there is ----------------------------------------------------------------------------------------------

    def _find(self, session: Session, buckets: BucketOptions | None, room: Path) -> _Found:
        if not self.channel.takes_copies:
            raise UsageError(f"{self.channel.url} takes no copies", hint="Fetch the packages, then publish them.")
        if self._requirement is not None:
            self._requirement.prepare()
            if self._requirement.keys is not None:  # which a variable may have named, unseen
                self._reporter.note(f"attestations are verified by the keys in {self._requirement.keys}")
        sides = sides_for([self._source, *self._others], session, buckets)
        reader, *others = [side.reader for side in sides]
        self._refuse_same(reader, session)
        self.channel.open(session)
        files = IndexFiles(self._indexes)
        subdirs = {}
        if self._question.everywhere:
            subdirs = {side.reader: there for side in sides if (there := side.subdirs) is not None}
        archives = [
            archive
            for archive in resolve([reader, *others], self._question, files, room, subdirs)
            if not any(other.has(archive.url) for other in others) or reader.has(archive.url)
        ]
        supply = Supply(
            reader,
            self._records(sides[0], archives, files, room),
            room,
            needs_md5=self.channel.needs_md5,
            trusts_index=self._requirement is None,
            reporter=self._reporter,
        )
        return _Found(reader, archives, supply)

    def _records(
        self, source: Side, archives: Sequence[IndexedArchive], files: IndexFiles, room: Path
    ) -> Mapping[str, Record | ChannelError]:
        """What is said of each archive; what *source* has patched goes along as a patch, if the target keeps any."""
        reader = source.reader
        records = read_records(reader, archives, files, room)
        if source.channel is None or not isinstance(source.channel, Indexable):
            return records
        records, patches = unpatched(reader, archives, records, files)
        if patches and not self.channel.take_patches(patches):
            count = sum(len(patch.names()) for patch in patches.values())
            self._reporter.note(
                f"{count} of the records are patched in {reader.name}: {self.channel.url} gets what the packages say"
            )
        return records

    def _refuse_same(self, reader: Reader, session: Session) -> None:
        readable = self.channel.readable(session)
        source = {self._source, reader.url, reader.name}
        target = {self.channel.url, self.channel.reading_url, *([] if readable is None else [readable[0]])}
        if any(is_same_channel(_real(one), _real(other)) for one in source for other in target):
            raise UsageError(
                f"{redact(self._source)} and {self.channel.url} are the same channel", hint="Name another to copy to."
            )

    # --- from the index to what can be sent -------------------------------------------------------------------------

    def _prepare(self, found: _Found, workers: Workers) -> tuple[list[PackageArchive], dict[str, Outcome]]:
        """What can be sent; and the outcomes of what cannot, by relative path."""
        ready: dict[str, PackageArchive] = {}
        failed: dict[str, Outcome] = {}

        def work(archive: IndexedArchive) -> None:
            try:
                if not workers.stopped:
                    ready[archive.relative_path] = self._archive(found, archive)
            except KeelbackError as error:
                failed[archive.relative_path] = _failure(archive, error)

        workers.each(work, found.archives, ASKING)
        return [ready[path] for path in (each.relative_path for each in found.archives) if path in ready], failed

    def _archive(self, found: _Found, archive: IndexedArchive) -> PackageArchive:
        if self._requirement is not None:
            attested = self._requirement.attested(archive, found.reader, archive.sha256)
            archive = replace(archive, sha256=attested.statement.sha256)
            self._attested_by[archive.relative_path] = attested.identity
        return found.supply.archive(archive)

    # --- the run itself ---------------------------------------------------------------------------------------------

    def _send(
        self, found: _Found, ready: Sequence[PackageArchive], failed: dict[str, Outcome], client: Client
    ) -> ChannelReport:
        if not ready:
            self.channel.close()
            self._reporter.channel(self.channel.url, ())
            for outcome in failed.values():
                self._reporter.finished(outcome)
            return ChannelReport(self.channel.url)
        source = known_channel(self._source)
        way = Relay(
            self.channel,
            found.supply,
            at_once=self._how.jobs,
            needs_file=self.channel.needs_file or (self._requirement is not None and self._writes_records),
            attestations=self._attestations(found, source),
            copier=None if source is None else self.channel.copier(source),
            reporter=self._reporter,
        )
        how = replace(self._how, jobs=self._how.jobs * _AHEAD)
        known = tuple(failed.values())
        return Run(self.channel, ready, how, client, self._reporter, way=way, known=known).carry_out()

    @property
    def _writes_records(self) -> bool:
        """Whether what the target's index says is written here, so that it has to be what the packages say."""
        return isinstance(self.channel, Indexable)

    def _attestations(self, found: _Found, source: Channel | None) -> Literal["pinned", "all"] | None:
        """Which attestations go along: to channels that keep whatever is beside an archive."""
        unnamed = source is not None and source.serves_attestations
        if not self.channel.takes_attestations:
            return None
        if self.channel.keeps_sidecars:
            return "all" if unnamed else "pinned"
        if unnamed or any(archive.attestations_sha256 for archive in found.archives):
            self._reporter.note(
                f"attestations do not go along: {self.channel.url} takes only those that name it as their channel"
            )
        return None

    def _in_order(self, report: ChannelReport, failed: dict[str, Outcome], found: _Found) -> ChannelReport:
        """*report* with everything that was to be copied, each with its source."""
        outcomes = failed | {outcome.relative_path: outcome for outcome in report.outcomes}
        report.outcomes = [
            replace(
                outcomes[archive.relative_path],
                source=found.reader.named(archive.url),
                attested_by=self._attested_by.get(archive.relative_path),
            )
            for archive in found.archives
        ]
        return report


def _requirement(
    policy: str | None, attestations: str | Path | Iterable[str | Path], trust_config: Path | str | None
) -> Requirement | None:
    given = [attestations] if isinstance(attestations, str | Path) else list(attestations)
    if policy is not None:
        return Requirement(policy, given=given, trust_config=None if trust_config is None else str(trust_config))
    if given:
        raise UsageError("attestations were given, and none is required", hint="Add --require-attestation POLICY.")
    return None


def _failure(archive: IndexedArchive, error: KeelbackError) -> Outcome:
    return Outcome(
        file=Path(archive.subdir) / archive.filename,
        name=archive.name,
        version=archive.version,
        build=archive.build,
        subdir=archive.subdir,
        size=archive.size or 0,
        sha256=archive.sha256,
        status=Status.FAILED,
        attempts=error.attempts,
        error=Problem.of(error),
    )


def _real(channel: str) -> str:
    """*channel*; where it is in a folder, the URL of where that really is."""
    if "://" not in channel:
        return Path(channel).expanduser().resolve().as_uri()
    return Path(url2pathname(urlsplit(channel).path)).resolve().as_uri() if channel.startswith("file:") else channel


def _text(place: str | Path) -> str:
    """*place* as a channel is written; an absolute path is never taken for a host."""
    return str(place.absolute()) if isinstance(place, Path) else place
