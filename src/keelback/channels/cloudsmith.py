"""Conda repositories at Cloudsmith."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from keelback.channels.access import Access
from keelback.channels.answers import expect
from keelback.channels.cloudsmith_api import API, READING, Package, Repository, auth_of, is_cloudsmith, is_same_service
from keelback.channels.cloudsmith_upload import PART_SIZE, upload
from keelback.channels.delivery import Delivery, Refusal
from keelback.channels.exchange import Exchange
from keelback.channels.reading import IndexReader
from keelback.channels.service import Identity, shown_text
from keelback.channels.target import check_name, check_server
from keelback.channels.tokenchannel import TokenChannel
from keelback.credentials.kinds import BasicHTTP, BearerToken, CondaToken
from keelback.credentials.lookup import find
from keelback.credentials.oidc.cloudsmith import ORGANIZATION, SERVICE, ServiceAccount, exchange
from keelback.errors import ChannelError, CredentialRefused, ExchangeError, Forbidden, ServerError, UsageError
from keelback.hosts import host_of
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx2

    from keelback.archive import PackageArchive
    from keelback.channels.service import Site
    from keelback.channels.session import Session
    from keelback.channels.target import Target
    from keelback.credentials.kinds import Credential
    from keelback.credentials.oidc.exchanged import Exchanged
    from keelback.errors import KeelbackError
    from keelback.listing import Listed
    from keelback.transport import Client

API_URL: Final = "CLOUDSMITH_API_URL"
CHANNEL_HOST: Final = "CLOUDSMITH_CHANNEL_HOST"
"""The variables of rattler-build for another API, and for another host to read from."""
_GOOD_FOR_SECONDS: Final = 10.0
"""How long the answer that a file is not there holds."""
_READER: Final = "token"
"""The user name with which a token is a password, where packages are read (Cloudsmith, "Conda Repository")."""


class CloudsmithChannel(TokenChannel):
    """A repository at Cloudsmith, which takes a file at once and processes it afterwards.

    That a package is a duplicate or broken shows only in its status afterwards. So :meth:`find` is always asked first,
    and :meth:`listed` looks at the status.

    Args:
        owner: a user or an organization.
        repository: its name.
        url: the API's, with its version.
        reading_host: the host from which packages are read, or its URL; by default that of
            ``CLOUDSMITH_CHANNEL_HOST``, or else Cloudsmith's own.
        tags: put on every package.
        part_size: from this size on, in bytes, a file is sent in parts of this size.
    """

    kind: ClassVar[str] = "cloudsmith"
    shape: ClassVar[str] = "cloudsmith://OWNER/REPOSITORY"
    title: ClassVar[str] = "Cloudsmith"
    takes: ClassVar[tuple[type[Credential], ...]] = (CondaToken, BearerToken)
    token: ClassVar[type[CondaToken]] = CondaToken
    variables: ClassVar[tuple[str, ...]] = ("CLOUDSMITH_API_KEY",)
    login_hint: ClassVar[str] = "Give --token - and the API key on standard input."
    needs_md5: ClassVar[bool] = True
    needs_file: ClassVar[bool] = True  # parts are read side by side
    overwrites: ClassVar[bool] = True  # it accepts a duplicate, and drops it later

    def __init__(
        self,
        owner: str,
        repository: str,
        *,
        url: str = API,
        reading_host: str | None = None,
        tags: Sequence[str] = (),
        part_size: int = PART_SIZE,
    ) -> None:
        self.endpoint = check_server(url)
        self._owner = check_name(owner, "the owner")
        self._name = check_name(repository, "the repository")
        host = reading_host or os.environ.get(CHANNEL_HOST) or READING
        host = check_server(host if "://" in host else f"https://{host}", CHANNEL_HOST)
        self.url = f"{host}/{quote(owner)}/{quote(repository)}"
        self._tags = ",".join(_checked_tag(tag) for tag in tags)
        self._part_size = part_size
        self._packages: dict[str, str] = {}
        self._asked: dict[str, float] = {}
        self._rejected: dict[str, KeelbackError] = {}

    @classmethod
    def from_target(cls, target: Target) -> CloudsmithChannel | None:
        """``cloudsmith://OWNER/REPOSITORY``, its URL for readers, or ``cloudsmith+https://HOST/v1/OWNER/REPOSITORY``.

        With the first two, ``CLOUDSMITH_API_URL`` may name another API, as for rattler-build.
        """
        segments, api, shape = target.segments, os.environ.get(API_URL) or API, "cloudsmith://OWNER/REPOSITORY"
        if target.kind == cls.kind and target.text.lower().startswith(f"{cls.kind}://"):
            segments = (target.host, *segments)
        elif target.kind == cls.kind:
            shape = f"cloudsmith+{target.base()}/v1/OWNER/REPOSITORY"
            segments, api = segments[-2:], target.base(max(len(segments) - 2, 0))
        elif target.kind or target.scheme == "file" or target.host != host_of(READING):
            return None
        if len(segments) != 2:
            raise UsageError(f"{target.text} does not name an owner and a repository", hint=f"Write it like {shape}.")
        return cls(*segments, url=api)

    @classmethod
    def is_at(cls, host: str, segments: Sequence[str]) -> bool:  # noqa: ARG003 - the host says it all
        """``cloudsmith.io``, and every host under it."""
        return is_cloudsmith(f"https://{host}")

    @classmethod
    def whoami(cls, client: Client, site: Site, credential: Credential, environ: Mapping[str, str]) -> Identity:
        """Ask for ``user/self/``, which answers everybody, and says whether the credential is known."""
        answer = client.send(_who(_api_at(site, environ), auth_of(credential)))
        if answer.status == 401:
            return Identity.refused(answer)
        user = expect(answer, 200).json()
        if not isinstance(user, dict) or not user.get("authenticated"):
            return Identity(valid=False, said="it knows nobody by this credential")
        return Identity(
            valid=True, name=shown_text(user.get("slug")), said="it does not tell what the credential permits"
        )

    def reading_access(self, session: Session) -> tuple[str, Access | None] | None:
        """See :class:`Channel`: where packages are read, a token is the password of the user ``token``."""
        if session.trusted.insists or not is_same_service(self.url, self.endpoint):
            return None
        access = self.given_access(session)
        if access is None:
            match = find(self.url, session.stores)
            if match is None:
                return None
            access = Access.of(match)
        if isinstance(access.credential, CondaToken | BearerToken):
            access = Access(BasicHTTP(_READER, access.credential.token), access.source)
        return self.url, access

    def exchange(self, session: Session) -> Exchange | None:
        """See :class:`Channel`; only if the variables of ``cloudsmith-cli`` name a service account."""
        origin = self.endpoint.removesuffix("/v1")
        account = ServiceAccount.named_in(session.environ, origin)
        if account is not None:
            by = partial(exchange, session.client, account)
            return Exchange(self.endpoint, account.audience, by, known=is_cloudsmith(self.endpoint))
        if session.trusted.insists:
            return Exchange(self.endpoint, host_of(self.endpoint), _no_account, known=is_cloudsmith(self.endpoint))
        return None

    def open(self, session: Session) -> None:
        """See :class:`Channel`; asks for the repository."""
        access = self.find_access(session)
        auth = auth_of(access.credential)
        index = IndexReader(session.client, self.url, self._reading_auth(session, access.credential))
        self.use(session, auth, access.source, index)
        self._repository = Repository(session.client, self.endpoint, self._owner, self._name, auth, access.source)
        self._repository.require()

    def _reading_auth(self, session: Session, credential: Credential) -> httpx2.Auth | None:
        """The same token where the same service is read; elsewhere what the stores have for that host."""
        if is_same_service(self.url, self.endpoint):
            if isinstance(credential, CondaToken | BearerToken):
                return BasicHTTP(_READER, credential.token)
            return auth_of(credential)
        match = find(self.url, session.stores)
        if match is not None and isinstance(match.credential, BasicHTTP | BearerToken | CondaToken):
            return match.credential
        return None

    def check_credential(self) -> None:
        """Ask whose the credential is (``GET user/self/``)."""
        user = self._repository.document(self._client.send(_who(self.endpoint, self._auth)))
        if not user.get("authenticated"):
            raise CredentialRefused(
                f"{host_of(self.endpoint)} does not know the token from {self._source}", hint="Give a new one."
            )

    def find(self, archive: PackageArchive) -> Listed | None:
        """What the list of packages says of it, unless its processing has failed."""
        self._asked[archive.relative_path] = time.monotonic()
        package = self._package(archive)
        return None if package is None else package.listed

    def _package(self, archive: PackageArchive) -> Package | None:
        there = [package for package in self._repository.packages(archive) if not package.failed]
        package = next((each for each in there if each.listed.same_bytes(archive)), there[0] if there else None)
        if package is not None and package.slug:
            self._packages[archive.relative_path] = package.slug
        return package

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """Send the file, and have a package made of it."""
        self._see_that_there_is_none(archive, 0, overwrite=overwrite)
        identifier, attempts = upload(self._repository, archive, delivery, self._part_size)
        self._see_that_there_is_none(archive, attempts, overwrite=overwrite)  # the upload may have taken hours
        self._create(archive, identifier, overwrite=overwrite)
        return attempts

    def _see_that_there_is_none(self, archive: PackageArchive, attempts: int, *, overwrite: bool) -> None:
        asked = self._asked.get(archive.relative_path, 0.0)
        if not overwrite and time.monotonic() - asked > _GOOD_FOR_SECONDS and self.find(archive) is not None:
            raise Refusal(attempts)

    def _create(self, archive: PackageArchive, identifier: str, *, overwrite: bool) -> None:
        """``POST packages/OWNER/REPOSITORY/upload/conda/``.

        Without ``republish``, the settings of the repository would decide whether another package is replaced.
        """
        body: dict[str, Any] = {"package_file": identifier, "republish": overwrite}
        if self._tags:
            body["tags"] = self._tags
        try:
            answer = self._repository.call(
                "POST", "packages/{}/upload/conda/", body, before_again=partial(self._look_whether_created, archive)
            )
        except _AlreadyCreated:
            return
        package = Package.of(self._repository.document(answer))
        self._see_that_it_did_not_fail(archive, package)
        if package.slug:
            self._packages[archive.relative_path] = package.slug

    def _look_whether_created(self, archive: PackageArchive) -> None:
        """Check before a repetition: if the first request worked, a second package would fail as a duplicate."""
        package = self._package(archive)
        if package is not None and package.listed.same_bytes(archive):
            raise _AlreadyCreated

    def listed(self, archive: PackageArchive) -> Listed | None:
        """What the index says once the package is processed; the API itself, where the index may not be read.

        Raises:
            ChannelError: code ``processing-failed``: it was processed, and will never be there.
        """
        slug = self._packages.get(archive.relative_path)
        package = self._package(archive) if slug is None else self._repository.status(slug)
        if package is None:
            return None
        self._see_that_it_did_not_fail(archive, package)
        if not package.completed:
            return None
        try:
            return self._index.listed(archive)
        except (CredentialRefused, Forbidden):
            return self.find(archive)
        except ServerError as error:
            if error.status not in (401, 403):
                raise
            return self.find(archive)

    def _see_that_it_did_not_fail(self, archive: PackageArchive, package: Package) -> None:
        if package.failed:
            error = ChannelError(
                f"{self.title} took {archive.filename}, but could not process it: "
                f"{package.reason or 'it does not say why'}",
                hint="It is among the failed packages of the repository, where it can be removed.",
                code="processing-failed",
            )
            self._rejected[archive.relative_path] = error
            raise error

    def rejected(self) -> Mapping[str, KeelbackError]:
        """See :class:`Channel`: what :meth:`listed` has found to have failed, too."""
        return self._rejected


class _AlreadyCreated(Exception):
    """The package is there: an earlier request was carried out."""


def _no_account(_identity: object) -> Exchanged:
    raise ExchangeError(
        "no service account of Cloudsmith is named, for which an identity could be exchanged",
        hint=f"Set {ORGANIZATION} and {SERVICE}.",
    )


def _who(api: str, auth: httpx2.Auth) -> Request:
    return Request("GET", f"{api}/user/self/", auth=auth, headers={"accept": "application/json"})


def _api_at(site: Site, environ: Mapping[str, str]) -> str:
    """The URL of the API at *site*: for ``cloudsmith://OWNER/REPOSITORY`` and Cloudsmith's own hosts, the usual one.

    That is the one that ``CLOUDSMITH_API_URL`` in *environ* names, or Cloudsmith's.
    """
    is_owner = site.text.lower().startswith(f"{CloudsmithChannel.kind}://") and (site.segments or "." not in site.host)
    if is_owner or is_cloudsmith(site.origin):
        return check_server(environ.get(API_URL) or API, API_URL)
    return f"{site.up_to('v1') or site.base()}/v1"


def _checked_tag(tag: str) -> str:
    if not tag.strip() or "," in tag or not tag.isprintable():
        raise UsageError(f"{tag!r} is not a valid tag")
    return tag.strip()
