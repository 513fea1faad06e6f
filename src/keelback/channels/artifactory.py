"""Conda repositories of Artifactory, and WebDAV servers that take ``PUT REPOSITORY/SUBDIR/FILE`` as it does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote

from keelback.channels.access import Access, given_pair, given_token
from keelback.channels.answers import expect
from keelback.channels.delivery import Delivery, Refusal
from keelback.channels.exchange import Exchange
from keelback.channels.fileserver import FileServerChannel
from keelback.channels.service import Identity
from keelback.channels.target import check_name, check_server
from keelback.credentials.kinds import BasicHTTP, BearerToken
from keelback.credentials.oidc.artifactory import Integration, exchange
from keelback.credentials.usernames import shown_username
from keelback.errors import ServerError, UsageError
from keelback.transport import ArchiveBody, Request, servers_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.service import Site
    from keelback.channels.session import Session
    from keelback.channels.target import Target
    from keelback.credentials.kinds import Credential
    from keelback.listing import Listed
    from keelback.transport import Answer, Client

_DEPLOY_BY_CHECKSUM_FROM: Final = 1 << 20
"""From this size on, in bytes, asking whether the server has the content costs less than sending it."""


class ArtifactoryChannel(FileServerChannel):
    """A conda repository of an Artifactory server.

    Args:
        repository: its key.
        url: the server's, with its context path: ``https://HOST/artifactory``.
    """

    kind: ClassVar[str] = "artifactory"
    title: ClassVar[str] = "Artifactory"
    variables: ClassVar[tuple[str, ...]] = ("ARTIFACTORY_TOKEN", "ARTIFACTORY_USERNAME", "ARTIFACTORY_PASSWORD")

    def __init__(self, repository: str, *, url: str) -> None:
        server = check_server(url)
        super().__init__(f"{server}/{quote(check_name(repository, 'the repository'))}", server=server)
        self._is_artifactory = False

    @classmethod
    def from_target(cls, target: Target) -> ArtifactoryChannel | None:
        """``artifactory+https://HOST/BASE/REPOSITORY``, any URL under ``/artifactory/``, or of a ``jfrog.io`` host."""
        segments = target.segments
        own = cls.is_at(target.host, segments)
        if target.kind != cls.kind and (target.kind or target.scheme == "file" or not own):
            return None
        if not segments or segments == ("artifactory",):
            raise UsageError(
                f"{target.text} names no repository", hint=f"Write it like {target.base()}/artifactory/REPOSITORY."
            )
        base = len(segments) - 1
        if segments[base - 2 : base] == ("api", "conda"):  # the URL from which conda reads
            base -= 2
        return cls(segments[-1], url=target.base(base))

    @classmethod
    def is_at(cls, host: str, segments: Sequence[str]) -> bool:
        """Any URL under ``/artifactory/``, and hosts of ``jfrog.io`` or with ``artifactory`` in their name."""
        return host.endswith(".jfrog.io") or "artifactory" in host or tuple(segments[:1]) == ("artifactory",)

    @classmethod
    def whoami(cls, client: Client, site: Site, credential: Credential, environ: Mapping[str, str]) -> Identity:  # noqa: ARG003 - no variable counts
        """Ask for its ping (JFrog REST API, "System Health Ping"): that needs a valid user, which may be anybody.

        An Artifactory of JFrog's own hosting is at ``/artifactory`` in any case.
        """
        assert isinstance(credential, BearerToken | BasicHTTP)  # noqa: S101 - what it takes
        ping = f"{site.up_to('artifactory') or site.origin}/artifactory/api/system/ping"
        answer = client.send(Request("GET", ping, auth=credential))
        if answer.status == 401:
            return Identity.refused(answer)
        if not answer.ok:
            return Identity.unknown(f"its ping answered {answer.status}: {servers_words(answer)}".rstrip(": "))
        if client.send(Request("GET", ping)).status != 401:
            return Identity.unknown("it answers everybody, so that its answer says nothing about the credential")
        name = shown_username(credential) if isinstance(credential, BasicHTTP) else None
        return Identity(valid=True, name=name, said="it does not tell what the credential permits")

    def exchange(self, session: Session) -> Exchange | None:
        """See :class:`Channel`; only if the server and its integration with the CI system were named."""
        integration = Integration.at(self._server, session.environ)
        if not (
            integration.provider or session.trusted.insists
        ):  # to whoever insists, the exchange says what is missing
            return None
        by = partial(exchange, session.client, integration)
        return Exchange(self._server, integration.audience, by, known=False)

    def given_access(self, session: Session) -> Access | None:
        """See :class:`Channel`: a pair or a token given with the command, then either from the variables."""
        given, environ = session.given, session.environ
        if given.api_key is not None and (given.username is not None or given.password is not None):
            raise UsageError("both a token, and a user name with a password, were given", hint="Give one of them.")
        if given.username is not None or given.password is not None:
            username = given.username or environ.get("ARTIFACTORY_USERNAME")
            password = given.password or session.variable("ARTIFACTORY_PASSWORD", self._server)
            return given_pair(username, password, given.source)
        if given.api_key is None:
            username = environ.get("ARTIFACTORY_USERNAME")
            password = session.variable("ARTIFACTORY_PASSWORD", self._server)
            if username or password:
                if environ.get("ARTIFACTORY_TOKEN"):
                    raise UsageError(
                        "ARTIFACTORY_TOKEN and ARTIFACTORY_USERNAME are both set", hint="Unset one of them."
                    )
                source = "the variables ARTIFACTORY_USERNAME and ARTIFACTORY_PASSWORD"
                return given_pair(username, password, source)
        return given_token(session, self._server, BearerToken, "ARTIFACTORY_TOKEN")

    def _found(self, answer: Answer, archive: PackageArchive) -> Listed | None:
        """See :class:`FileServerChannel`; the headers show whether this is Artifactory or a plain WebDAV server."""
        if "x-artifactory-id" in answer.headers or "x-jfrog-version" in answer.headers:
            self._is_artifactory = True
        return super()._found(answer, archive)

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """``PUT REPOSITORY/SUBDIR/FILE`` with its checksums, which the server compares with what arrived.

        Content that the server has anywhere already is not sent (JFrog REST API, "Deploy Artifact by Checksum").
        """
        if not overwrite and self._has_come_meanwhile(archive):
            raise Refusal(attempts=0)
        if self._deployed_by_checksum(archive):
            return 0
        answer = self._client.send(
            Request(
                "PUT",
                self._file(archive),
                auth=self._auth,
                headers={"x-checksum-sha256": archive.sha256, "content-type": "application/octet-stream"},
                body=ArchiveBody(archive, delivery.sent),
                retried=delivery.retried,
            )
        )
        if answer.status == 409 and not overwrite and self.find(archive) is not None:
            raise Refusal(answer.attempts, uncertain=answer.uncertain)
        if not self._arrived_before(answer, archive):
            # WebDAV servers say with a page that they created something
            self._check(expect(answer, source=self._source, page=True), archive)
        return answer.attempts

    def _arrived_before(self, answer: Answer, archive: PackageArchive) -> bool:
        """Whether *archive* got there by an earlier attempt, which this one may not replace, and so was refused."""
        if answer.status != 403 or not answer.uncertain:
            return False
        found = self.find(archive)
        return found is not None and found.same_bytes(archive) is True

    def _deployed_by_checksum(self, archive: PackageArchive) -> bool:
        """Have the server use content that it has elsewhere; whether it had it."""
        if not self._is_artifactory or archive.size < _DEPLOY_BY_CHECKSUM_FROM:
            return False
        headers = {"x-checksum-deploy": "true", "x-checksum-sha256": archive.sha256, "content-length": "0"}
        answer = self._client.send(Request("PUT", self._file(archive), auth=self._auth, headers=headers))
        return answer.ok and _stored_sha256(answer) == archive.sha256

    def _check(self, answer: Answer, archive: PackageArchive) -> None:
        """Check the hash of what was stored, if the server tells it."""
        stored = _stored_sha256(answer)
        if stored is not None and stored != archive.sha256:
            raise ServerError(
                f"{self._server} stored other bytes under {archive.relative_path} than were sent",
                status=answer.status,
                hint="Something on the way changes what is uploaded; run it again with --force.",
                code="damaged",
            )


def _stored_sha256(answer: Answer) -> str | None:
    """The hash that the server says it stored (the ``checksums`` of its JSON answer), or ``None``."""
    document = answer.json()
    checksums = document.get("checksums") if isinstance(document, dict) else None
    sha256 = checksums.get("sha256") if isinstance(checksums, dict) else None
    return sha256.lower() if isinstance(sha256, str) else None
