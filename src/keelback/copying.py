"""Channel -> channel: the whole use case, as the command line and programs use it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from keelback.channels.base import Channel
from keelback.channels.bucketoptions import check_bucket_options
from keelback.channels.registry import channel_for
from keelback.channels.session import BucketOptions, Given, Session
from keelback.channels.target import as_written
from keelback.copyrun import CopyRun
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.credentials.opening import default_stores
from keelback.credentials.paths import cache_folder
from keelback.errors import UsageError
from keelback.options import JOBS, Options
from keelback.report import Report, Reporter, SafeReporter
from keelback.requiring import Requirement
from keelback.resolving import Question
from keelback.selecting import without_file
from keelback.transport import Client

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from keelback.secret import Secret
    from keelback.transport import Retry


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
        channels: more channels, for dependencies that *source* does not have; nothing is copied from them. Only with
            *with_deps*.
        virtual_packages: those of the machine that is solved for: ``__cuda=12``; besides the usual ones. Likewise.
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
        UsageError: no such channel, spec or subdir; both channels are the same; or dependencies are described, and not
            asked for.
        AttestationError: something else than attestations was given as such; or ``sigstore`` is not installed.
        CredentialError: a credential is missing for one of the channels, or was refused; nothing was sent.
        ChannelError: *to* cannot be written; or, of *source*, code ``no-channel``, ``no-match``, ``no-solution``.
        TransportError: no answer came.
        Interrupted: stopped before anything was sent.
    """
    for option, given_with in {"--channel": channels, "--virtual-package": virtual_packages}.items():
        if given_with and not with_deps:
            raise UsageError(f"{option} needs --with-deps", hint="Without it, only what the specs name is copied.")
    place, named = without_file(as_written(source))
    run = CopyRun(
        place,
        to if isinstance(to, Channel) else channel_for(as_written(to)),
        Options(force=force, skip_existing=skip_existing, dry_run=dry_run, verify=verify, jobs=jobs),
        Question(
            specs=[*named, *([specs] if isinstance(specs, str) else specs)],
            subdirs=[subdirs] if isinstance(subdirs, str) else list(subdirs),
            with_deps=with_deps,
            all_versions=not with_deps,
            virtual_packages=virtual_packages,
            everywhere=not with_deps and not subdirs,
            in_first=True,
        ),
        others=[as_written(channel) for channel in channels],
        indexes=cache_folder(cache) / "indexes",
        requirement=Requirement.of_options(require_attestation, attestations, trust_config),
        reporter=SafeReporter(reporter or Reporter()),
    )
    given = Given.of(api_key, username, password)
    if given and not run.channel.takes_credential:
        raise UsageError(
            f"{run.channel.url} takes no credential",
            hint="Leave it out: the other channel is read with what is stored for it (keelback auth login).",
        )
    check_bucket_options(buckets, [place, run.channel, *map(as_written, channels)])
    trusted = TrustedPublishing.of(trusted_publishing, trusted_publishing_hosts, oidc_token)
    stores = partial(default_stores, auth_file, keychain=keychain)
    with Client(retry=retry, timeout=timeout, insecure_hosts=insecure_hosts, connections=run.connections) as client:
        session = Session(client, stores, given, trusted=trusted, buckets=buckets, dry_run=dry_run)
        return run.carry_out(session)
