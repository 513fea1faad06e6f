"""Many archives into one channel, or several: everything checked first, then sent side by side."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from keelback.attesting import Attesting
from keelback.channels.base import Channel
from keelback.channels.bucketoptions import check_bucket_options
from keelback.channels.registry import channel_for
from keelback.channels.session import BucketOptions, Given, Session
from keelback.channels.target import as_written
from keelback.checking import Checked, Hasher, check
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.credentials.opening import default_stores
from keelback.errors import UsageError
from keelback.options import ASKING, JOBS, Options
from keelback.report import INTERRUPTED, ChannelReport, Outcome, Problem, Report, Reporter, SafeReporter, Status
from keelback.running import Run
from keelback.transport import Client, Retry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from keelback.secret import Secret


def publish(  # noqa: PLR0913 - the public door: each of these is an option of the command
    paths: str | Path | Iterable[str | Path],
    to: str | Path | Channel | Sequence[str | Path | Channel],
    *,
    force: bool = False,
    skip_existing: bool = False,
    dry_run: bool = False,
    verify: float | None = None,
    attest: bool = False,
    attestations: str | Path | Iterable[str | Path] = (),
    attestation_dir: str | Path | None = None,
    store_github_attestation: bool = False,
    trust_config: str | Path | None = None,
    jobs: int = JOBS,
    subdir: str | None = None,
    api_key: str | Secret | None = None,
    username: str | None = None,
    password: str | Secret | None = None,
    auth_file: Path | str | None = None,
    keychain: bool = True,
    trusted_publishing: str = "auto",
    trusted_publishing_hosts: Collection[str] = (),
    oidc_token: str | Secret | None = None,
    buckets: BucketOptions | None = None,
    retry: Retry | None = None,
    timeout: float = 120.0,
    insecure_hosts: Collection[str] = (),
    reporter: Reporter | None = None,
) -> Report:
    """Put archives into channels.

    All archives are read and checked, and all credentials found, before the first byte goes out. Publishing again what
    is there already is harmless, and after a failure does only what is left.

    Args:
        paths: files, folders and patterns.
        to: the channels: folders (text or paths), URLs, or :class:`~keelback.channels.base.Channel` objects.
        force: replace files of the same name and other bytes.
        skip_existing: leave files of the same name and other bytes as they are, and call that a success.
        dry_run: do everything but send.
        verify: wait up to so many seconds until the channels' own indexes serve everything.
        attest: sign a statement of where each archive is published, in the name of the identity that the CI system
            offers, and attach it; needs the extra ``provenance``.
        attestations: files with attestations that were made elsewhere, to be attached.
        attestation_dir: a folder in which attestations are kept besides, as ``FILE.sigstore.json``.
        store_github_attestation: store them with GitHub, too, for the repository of the job.
        trust_config: a file that describes a Sigstore deployment (``ClientTrustConfig``); otherwise that of the
            variable ``KEELBACK_TRUST_CONFIG``, or the public one.
        jobs: how many archives are sent at once.
        subdir: where archives belong that do not say it themselves.
        api_key: a token that goes before any other credential; for one channel only.
        username: the same for servers that take a user and a password.
        password: see *username*.
        auth_file: the only place to look for credentials; otherwise all stores, as :func:`keelback.credential_for`.
        keychain: whether the system's keychain is asked, where a channel needs a credential.
        trusted_publishing: ``auto``: the identity that the CI system offers is exchanged for a short-lived token where
            no credential was given; ``always``: nothing else is used; ``never``: no identity is asked for.
        trusted_publishing_hosts: servers that get this identity, besides those of prefix.dev.
        oidc_token: an ID token to exchange, instead of the CI system's own.
        buckets: where buckets are, and with which keys they are spoken to, where variables and stores do not say.
        retry: how often and how patiently a request is tried.
        timeout: seconds without any progress after which a try has failed.
        insecure_hosts: hosts that may be spoken to without (verified) TLS.
        reporter: who is told what happens; nobody by default.

    Returns:
        What became of every archive in every channel. What failed is in it, not raised. Where the user presses Ctrl-C
        while archives are sent, the report says what arrived, with the exit status ``INTERRUPTED``.

    Raises:
        UsageError: no archives, or no such channel.
        CredentialError: no credential for one of the channels, or no identity to sign with; nothing was sent to any.
        AttestationError: an attestation that was given is none of these archives, or does not hold.
        ChannelError, TransportError: one of the channels cannot be written; nothing was sent to any.
        SourceChanged: an archive vanished or changed after it was checked; nothing was sent.
    """
    options = Options(force=force, skip_existing=skip_existing, dry_run=dry_run, verify=verify, jobs=jobs)
    attesting = Attesting(
        make=attest,
        given=tuple(map(Path, [attestations] if isinstance(attestations, str | Path) else attestations)),
        folder=None if attestation_dir is None else Path(attestation_dir),
        github=store_github_attestation,
        trust_config=None if trust_config is None else Path(trust_config),
    )
    trusted = TrustedPublishing.of(trusted_publishing, trusted_publishing_hosts, oidc_token)
    given = Given.of(api_key, username, password)
    reporter = SafeReporter(reporter or Reporter())
    hasher = Hasher()
    try:
        checked = check(paths, subdir=subdir)
        reporter.checked(checked.findings)
        if checked.ok:
            hasher.sha256(checked.archives)
        channels = _channels(to, given)
        check_bucket_options(buckets, channels)
        attesting.check(channels)
        if not checked.ok:
            return _unsent(checked, channels, options)
        if any(channel.needs_md5 for channel in channels):
            hasher.md5(checked.archives)
        connections = max(ASKING, jobs)
        with Client(retry=retry, timeout=timeout, insecure_hosts=insecure_hosts, connections=connections) as client:
            stores = partial(default_stores, auth_file, keychain=keychain)
            session = Session(client, stores, given, trusted=trusted, buckets=buckets, dry_run=dry_run)
            prepared = None
            if attesting:
                hasher.wait()
                prepared = attesting.prepare(checked.archives, session)
            for channel in channels:
                channel.open(session)
            hasher.wait()
            attested = [None if prepared is None else prepared.for_channel(channel) for channel in channels]
            runs = [
                Run(channel, checked.archives, options, client, reporter, bundles)
                for channel, bundles in zip(channels, attested, strict=True)
            ]
            return _carry_out(runs, checked, options)
    finally:
        hasher.close()


def _channels(to: str | Path | Channel | Sequence[str | Path | Channel], given: Given) -> list[Channel]:
    items = [to] if isinstance(to, str | Path | Channel) else to
    if not items:
        raise UsageError("no destination", hint="Name one with --to.")
    given.refuse_several(len(items))
    channels = [item if isinstance(item, Channel) else channel_for(as_written(item)) for item in items]
    if given and not channels[0].takes_credential:
        raise UsageError(f"{channels[0].url} takes no credential", hint="Leave it out.")
    return channels


def _unsent(checked: Checked, channels: Sequence[Channel], options: Options) -> Report:
    """The report of a run that ends with its checks."""
    others = Problem("not-attempted", "another archive did not pass its checks")
    outcomes = [Outcome.of(archive, Status.NOT_ATTEMPTED, hashed=False, error=others) for archive in checked.archives]
    for path, finding in checked.broken:
        problem = Problem(finding.code, finding.message, finding.hint)
        outcomes.append(Outcome.of_file(path, Status.FAILED, problem))
    outcomes.sort(key=lambda outcome: outcome.file)
    reports = [ChannelReport(channel.url, list(outcomes)) for channel in channels]
    return Report(reports, options.dry_run, findings=checked.findings)


def _carry_out(runs: Sequence[Run], checked: Checked, options: Options) -> Report:
    report = Report(dry_run=options.dry_run, findings=checked.findings)
    stopped = False
    for run in runs:
        report.channels.append(run.report(INTERRUPTED) if stopped else run.carry_out())
        stopped = stopped or run.stopped
    return report
