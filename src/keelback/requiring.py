"""What is required of an archive before it is fetched: an attestation of it that verifies."""

from __future__ import annotations

import contextlib
import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from keelback.channels.sidecarreader import read_sidecar, sidecar_urls
from keelback.errors import AttestationError, CredentialError, TransportError, UsageError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive
    from keelback.provenance.github import GitHubStore
    from keelback.provenance.searching import Source
    from keelback.provenance.verifying import Verified
    from keelback.transport import Client


class Requirement:
    """An attestation that every archive has to have; safe to use from several threads at once.

    Args:
        policy: who may have made it.
        given: where attestations are looked for first: files, and folders with ``FILE.sigstore.json`` in them.
        trust_config: a file that describes the Sigstore deployment to trust; otherwise that of the variable
            ``KEELBACK_TRUST_CONFIG``, or the public one.

    Raises:
        UsageError: *policy* is none, or one of *given* is not there.
        AttestationError: one of *given* holds something else.
    """

    def __init__(
        self, policy: str, *, given: Sequence[str | Path] = (), trust_config: str | Path | None = None
    ) -> None:
        from keelback.provenance.files import GivenAttestations  # noqa: PLC0415 - for those who require attestations
        from keelback.provenance.policy import Policy  # noqa: PLC0415 - as above
        from keelback.provenance.trust import Trust  # noqa: PLC0415 - as above

        self._policy = Policy.parse(policy)
        self._trust = Trust.from_options(trust_config, os.environ)
        self._given = GivenAttestations(given) if given else None
        repository = self._policy.on_github_com
        self._github = None if repository is None else _GitHub(repository)

    @classmethod
    def of_options(
        cls, policy: str | None, given: str | Path | Iterable[str | Path], trust_config: str | Path | None
    ) -> Self | None:
        """What the options of a run require; ``None``: nothing.

        Args:
            policy: who may have made the attestations; ``None`` where none are required.
            given: one file or folder, or several; nothing, where none are required.
            trust_config: as for the class.

        Raises:
            UsageError: as for the class; or attestations were given, and none is required.
            AttestationError: as for the class.
        """
        places = [given] if isinstance(given, str | Path) else list(given)
        if policy is not None:
            return cls(policy, given=places, trust_config=trust_config)
        if places:
            raise UsageError("attestations were given, and none is required", hint="Add --require-attestation POLICY.")
        return None

    def prepare(self, note: Callable[[str], None]) -> None:
        """Load what attestations are verified with.

        Args:
            note: told of the file with the keys, where they are not those of the public Sigstore.

        Raises:
            AttestationError: code ``no-sigstore``: it is not installed.
            TransportError: the keys of the public deployment cannot be brought up to date.
            UsageError: the private deployment is described by a file that cannot be used.
        """
        self._trust.verifier()
        if self._trust.file is not None:  # which a variable may have named, unseen
            note(f"attestations are verified by the keys in {self._trust.file}")

    def attested(self, archive: IndexedArchive, reader: Reader, sha256: str | None = None) -> Verified:
        """The first attestation of *archive* that verifies.

        Args:
            archive: from the index of a channel.
            reader: of the channel.
            sha256: hex; where it is not known, the one that the attestation is about.

        Raises:
            AttestationError: there is none.
            CredentialError: the channel has to be asked for one, and wants a credential.
            Interrupted: the client was stopped.
        """
        from keelback.provenance.searching import verify_first  # noqa: PLC0415 - as above

        return verify_first(
            self._sources(archive, reader, sha256),
            filename=archive.filename,
            sha256=sha256,
            policy=self._policy,
            channel=reader.url,
            trust=self._trust,
        )

    def _sources(self, archive: IndexedArchive, reader: Reader, sha256: str | None) -> Iterator[Source]:
        """Where attestations are looked for, in this order."""
        from keelback.provenance.searching import Source  # noqa: PLC0415 - as above

        if self._given is not None:
            yield Source(partial(self._given.of, archive.filename), "among those given")
        for url in sidecar_urls(archive):
            yield Source(partial(read_sidecar, reader, url, archive.attestations_sha256), f"at {url}")
        if self._github is not None and sha256 is not None and not reader.is_folder:
            read = partial(self._github.read, reader.client, sha256.lower())
            yield Source(read, "with GitHub", is_last_resort=True)


class _GitHub:
    """The attestations that GitHub keeps for a repository; it is not asked again in a run in which it has failed.

    Args:
        repository: ``OWNER/NAME``.
    """

    def __init__(self, repository: str) -> None:
        self._repository = repository
        self._first = threading.Lock()
        self._has_answered = False
        self._failure: AttestationError | CredentialError | TransportError | None = None

    def read(self, client: Client, sha256: str) -> Sequence[bytes]:
        """The bundles that GitHub keeps for the archive with this hash.

        Until there is an answer, one asks, and the others wait to see whether there will be any.

        Raises:
            AttestationError, CredentialError, TransportError: it gave none, now or earlier.
            Interrupted: the client was stopped.
        """
        with contextlib.nullcontext() if self._has_answered else self._first:
            failure = self._failure
            if failure is not None:
                raise type(failure)(f"GitHub was not asked again: {failure}", hint=failure.hint, code=failure.code)
            try:
                found = self._store(client).read(sha256)
            except (AttestationError, CredentialError, TransportError) as error:
                self._failure = error
                raise
            self._has_answered = True
            return found

    def _store(self, client: Client) -> GitHubStore:
        from keelback.provenance.github import API, GitHubStore  # noqa: PLC0415 - as above

        value = os.environ.get("GITHUB_TOKEN")
        token = Secret(value, "the variable GITHUB_TOKEN") if value else None
        api = os.environ.get("GITHUB_API_URL") or API  # that token is of the same GitHub
        return GitHubStore(client, self._repository, token, api)
