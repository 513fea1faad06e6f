"""The index of a channel that keelback indexes itself, brought up to the files that are there, and patched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelback.archive import SUBDIRS
from keelback.channels.base import Channel
from keelback.channels.bucketoptions import check_bucket_options
from keelback.channels.indexable import Indexable, IndexChanges
from keelback.channels.patchfiles import merged_patches, read_patches
from keelback.channels.registry import channel_for
from keelback.channels.session import Session
from keelback.channels.target import as_written
from keelback.credentials.oidc.trusted import TrustedPublishing
from keelback.credentials.opening import default_stores
from keelback.errors import RUN_AGAIN, ExitStatus, Interrupted, UsageError
from keelback.indexed import package_name
from keelback.options import JOBS, Options
from keelback.report import JSON_VERSION, finding_to_json
from keelback.secret import redact
from keelback.selecting import Wanted, match_spec, there_is
from keelback.transport import Client
from keelback.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import rattler

    from keelback.channels.indexable import SubdirChange
    from keelback.channels.session import BucketOptions
    from keelback.findings import Finding
    from keelback.repodata import Record
    from keelback.secret import Secret
    from keelback.transport import Retry


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What changed in the index of a channel, or would.

    Attributes:
        channel: its URL.
        dry_run: whether nothing was written on purpose.
        subdirs: what changed in each subdir.
    """

    channel: str
    dry_run: bool
    subdirs: Sequence[SubdirChange]

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with files that are no packages, or that could not be read; the index has these as it had."""
        return [finding for change in self.subdirs for finding in change.findings]

    def place_of(self, finding: Finding) -> str:
        """Where the file of *finding* is: its path, or in a bucket ``s3://bucket/channel/noarch/foo-1.0-0.conda``."""
        file = finding.file
        return str(file) if file.is_absolute() else redact(f"{self.channel}/{file.as_posix()}")

    @property
    def ok(self) -> bool:
        """Whether every archive that is there could be read."""
        return not self.findings

    @property
    def exit_status(self) -> ExitStatus:
        """What the command tells the shell."""
        return ExitStatus.OK if self.ok else ExitStatus.FAILED

    def to_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints; members are only ever added to it."""
        return {
            "version": JSON_VERSION,
            "dry_run": self.dry_run,
            "channel": self.channel,
            "subdirs": [change.to_json() for change in self.subdirs],
            "findings": [{**finding_to_json(finding), "file": self.place_of(finding)} for finding in self.findings],
            "error": None,
        }


def index(  # noqa: PLR0913 - the public door: each of these is an option of the command
    channel: str | Path | Channel,
    *,
    rebuild: bool = False,
    remove: str | Iterable[str] = (),
    restore: str | Iterable[str] = (),
    patches: str | Path | Iterable[str | Path] = (),
    delete_files: bool = False,
    subdirs: str | Collection[str] = (),
    dry_run: bool = False,
    jobs: int = JOBS,
    auth_file: Path | str | None = None,
    keychain: bool = True,
    trusted_publishing: str = "auto",
    trusted_publishing_hosts: Collection[str] = (),
    oidc_token: str | Secret | None = None,
    buckets: BucketOptions | None = None,
    retry: Retry | None = None,
    timeout: float = 120.0,
    insecure_hosts: Collection[str] = (),
) -> IndexReport:
    """Bring the index of a channel in a folder or a bucket up to the files that are there, and patch it.

    Only files that are new or have changed are read. Files that are gone leave the index. Readers find a complete index
    at any moment, as with :func:`keelback.publish`.

    Args:
        channel: a folder (text or path), a URL, or a :class:`~keelback.channels.base.Channel`.
        rebuild: read every archive anew, and take its record as it is; patches are applied to that.
        remove: what is not to be listed any more: names of files, or specs (MatchSpec). The files stay, unless
            *delete_files* says otherwise, and their records are kept in ``repodata_from_packages.json``.
        restore: what is to be listed again, likewise. Publishing other bytes under the name does that, too.
        patches: files, folders or packages with patch instructions, in conda-index's format. They come to those that
            the channel has; where both are about one file, the later ones count.
        delete_files: delete what *remove* names once no index lists it any more.
        subdirs: change these subdirs only; of noarch, the index is brought up to the files, too.
        dry_run: write nothing.
        jobs: how many archives of a bucket are read at once.
        auth_file: the only place to look for credentials; otherwise all stores, as :func:`keelback.credential_for`.
        keychain: whether the system's keychain is asked, where a channel needs a credential.
        trusted_publishing: whether the identity that the CI system offers is used, as for :func:`keelback.publish`.
        trusted_publishing_hosts: servers that get this identity, besides those of prefix.dev.
        oidc_token: an ID token to exchange, instead of the CI system's own.
        buckets: where buckets are, and with which keys they are spoken to, where variables and stores do not say.
        retry: how often and how patiently a request is tried.
        timeout: seconds without any progress after which a try has failed.
        insecure_hosts: hosts that may be spoken to without (verified) TLS.

    Raises:
        UsageError: no such channel or subdir, or a channel that its server indexes; invalid instructions.
        CredentialError: no credential for the channel.
        ChannelError: code ``no-such-package``: nothing there is named so, or what is to be restored has no file any
            more; or the index cannot be read or written.
        TransportError: no answer came.
        Interrupted: the user has pressed Ctrl-C.
    """
    subdirs = _texts(subdirs)
    for subdir in subdirs:
        if subdir not in SUBDIRS:
            raise UsageError(f"{subdir!r} is no subdir that clients know", hint=f"Known are {', '.join(SUBDIRS)}.")
    changes = IndexChanges(
        rebuild=rebuild,
        remove=[Named(text) for text in _texts(remove)],
        restore=[Named(text) for text in _texts(restore)],
        patches=merged_patches(
            [read_patches(Path(path), subdirs) for path in ([patches] if isinstance(patches, str | Path) else patches)]
        ),
        delete_files=delete_files,
        dry_run=dry_run,
        subdirs=subdirs,
        jobs=Options(jobs=jobs).jobs,
    )
    if delete_files and not changes.remove:
        raise UsageError("nothing is named whose files are to be deleted", hint="Name it with --remove.")
    found = channel if isinstance(channel, Channel) else channel_for(as_written(channel))
    if not isinstance(found, Indexable):
        raise UsageError(
            f"{found.url} is indexed by its server", hint="Only channels in folders and in buckets have to be indexed."
        )
    check_bucket_options(buckets, [found])
    trusted = TrustedPublishing.of(trusted_publishing, trusted_publishing_hosts, oidc_token)
    stores = partial(default_stores, auth_file, keychain=keychain)
    with Client(retry=retry, timeout=timeout, insecure_hosts=insecure_hosts) as client:
        session = Session(client, stores, trusted=trusted, buckets=buckets, dry_run=dry_run)
        work = partial(found.index, changes, session)
        try:
            subdirs_changed = Workers(client).carry_out(work) if found.takes_credential else work()
        except KeyboardInterrupt:
            raise Interrupted(f"stopped while {found.url} was being indexed", hint=RUN_AGAIN) from None
    return IndexReport(found.url, dry_run, subdirs_changed)


class Named:
    """What a person names packages of an index with.

    Args:
        text: a MatchSpec, or the name of a file, with or without ``SUBDIR/`` before it.

    Attributes:
        text: see above.

    Raises:
        UsageError: code ``bad-spec``: it is neither.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._wanted = Wanted(text)
        self._spec = match_spec(text) if self._wanted.filename is None else None

    def matches(self, subdir: str, filename: str, record: Record | None) -> bool:
        """See :class:`~keelback.channels.indexable.Selection`."""
        if self._wanted.subdir not in (None, subdir):
            return False
        if self._spec is None:
            return filename == self._wanted.filename
        if package_name(filename).lower() != self._wanted.name:
            return False
        described = _described(subdir, filename, record or {})
        return described is not None and self._spec.matches(described)

    def like(self, filenames: Collection[str]) -> str:
        """See :class:`~keelback.channels.indexable.Selection`."""
        own = [filename for filename in filenames if package_name(filename).lower() == self._wanted.name]
        described = [_described("noarch", filename, {}) for filename in own]
        return there_is(self._wanted.name, [each.version for each in described if each is not None])


def _described(subdir: str, filename: str, record: Record) -> rattler.PackageRecord | None:
    """What a spec can be compared with, of the file *filename*; ``None`` where its name says too little."""
    from rattler import PackageRecord  # noqa: PLC0415 - large, and for specs only
    from rattler.package import BuildString  # noqa: PLC0415 - likewise

    number = record.get("build_number")
    texts = {member: value for member, value in record.items() if isinstance(value, str)}
    try:
        name, version, build = filename.removesuffix(".conda").removesuffix(".tar.bz2").rsplit("-", 2)
        return PackageRecord(
            texts.get("name", name),
            texts.get("version", version),
            BuildString(texts.get("build", build)),
            number if isinstance(number, int) else 0,
            subdir,
            license=texts.get("license"),
            license_family=texts.get("license_family"),
            sha256=bytes.fromhex(texts.get("sha256", "")) or None,
            md5=bytes.fromhex(texts.get("md5", "")) or None,
        )
    except (ValueError, OverflowError):
        return None


def _texts(texts: str | Iterable[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)
