"""Channels on prefix.dev, and on servers that speak its upload protocol (``POST /api/v1/upload/CHANNEL``)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

import httpx2

from keelback.channels.answers import expect
from keelback.channels.delivery import Delivery, Refusal
from keelback.channels.exchange import Exchange
from keelback.channels.reading import IndexReader
from keelback.channels.server import ASK_FIRST_FROM
from keelback.channels.service import Identity, shown_text
from keelback.channels.target import check_name, check_server
from keelback.channels.tokenchannel import TokenChannel
from keelback.credentials.kinds import BearerToken, OAuth
from keelback.credentials.oidc.audience import audience_of
from keelback.credentials.oidc.exchanged import ExchangedToken
from keelback.credentials.oidc.mint import AUDIENCES, is_of_family, mint
from keelback.credentials.oidc.trusted import Mode
from keelback.errors import CredentialError, CredentialRefused, UsageError
from keelback.hosts import host_of
from keelback.transport import ArchiveBody, MultipartBody, Request, disposition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.service import Site
    from keelback.channels.session import Session
    from keelback.channels.target import Target
    from keelback.credentials.kinds import Credential
    from keelback.listing import Listed
    from keelback.transport import Answer, Client

SERVER: Final = "https://prefix.dev"
_REPOSITORY: Final = "https://repo.prefix.dev"
_API: Final = "PREFIX_DEV_API_URL"
"""The variable that names another place for prefix.dev's API, as for ``rattler auth login``."""


class PrefixChannel(TokenChannel):
    """A channel on prefix.dev, or on a server like it.

    Args:
        channel: the channel's name, which may have slashes in it.
        url: the server's.
    """

    kind: ClassVar[str] = "prefix"
    title: ClassVar[str] = "prefix.dev"
    takes: ClassVar[tuple[type[Credential], ...]] = (BearerToken, OAuth)
    token: ClassVar[type[BearerToken]] = BearerToken
    variables: ClassVar[tuple[str, ...]] = ("PREFIX_API_KEY",)
    takes_attestations: ClassVar[bool] = True
    serves_attestations: ClassVar[bool] = True
    login_hint: ClassVar[str] = (
        "Give --token - and the token on standard input, or --oauth to log in with a code in a browser."
    )

    def __init__(self, channel: str, *, url: str = SERVER) -> None:
        self.endpoint = check_server(url)
        self._channel = "/".join(check_name(part, "the channel") for part in channel.split("/"))
        self.url = f"{self.endpoint}/{quote(self._channel)}"
        repository = _REPOSITORY if self.endpoint == SERVER else self.endpoint
        self._readable = f"{repository}/{quote(self._channel)}"

    @property
    def server_name(self) -> str:
        """See :class:`TokenChannel`; a server like prefix.dev is named by its host."""
        host = host_of(self.endpoint)
        return self.title if is_of_family(host) else host

    @property
    def reading_url(self) -> str:
        """See :class:`Channel`; packages are read from another host than the one they are sent to."""
        return self._readable

    @classmethod
    def from_target(cls, target: Target) -> PrefixChannel | None:
        """``https://prefix.dev/CHANNEL`` (or ``repo.prefix.dev``), or ``prefix+https://HOST/CHANNEL``."""
        if target.kind != cls.kind and (target.kind or not cls.is_at(target.host, target.segments)):
            return None
        if not target.segments:
            raise UsageError(f"{target.text} names no channel", hint=f"Write it like {target.base()}/CHANNEL.")
        server = SERVER if target.base() == _REPOSITORY else target.base()
        return cls("/".join(target.segments), url=server)

    @classmethod
    def is_at(cls, host: str, segments: Sequence[str]) -> bool:  # noqa: ARG003 - the host says it all
        """``prefix.dev``, and every host under it."""
        return is_of_family(host)

    @classmethod
    def whoami(cls, client: Client, site: Site, credential: Credential, environ: Mapping[str, str]) -> Identity:
        """Ask GraphQL for the viewer, as ``rattler auth login`` does; ``PREFIX_DEV_API_URL`` counts for https alone."""
        assert isinstance(credential, httpx2.Auth)  # noqa: S101 - the kinds that it takes are
        own = "https://prefix.dev" if site.origin == _REPOSITORY else site.origin
        api = (environ.get(_API) if own.startswith("https:") and site.kind == "" else None) or own
        answer = _ask_viewer(client, api.rstrip("/"), credential)
        if answer.status == 401:
            return Identity.refused(answer)
        if answer.status == 404:  # a server that speaks the upload protocol only
            return Identity.unknown(f"{api} has no GraphQL interface to ask")
        viewer = _viewer(expect(answer))
        if viewer is None:
            return Identity(valid=False, said="it knows nobody by this credential")
        if viewer is ...:
            return Identity.unknown("its answer does not say whose the credential is")
        name = shown_text(viewer.get("login")) if isinstance(viewer, dict) else None
        return Identity(valid=True, name=name, said="it does not tell what the credential permits")

    def open(self, session: Session) -> None:
        """See :class:`Channel`."""
        access = self.find_access(session)
        assert isinstance(access.credential, httpx2.Auth)  # noqa: S101 - the kinds that it takes are
        self._excludes_exchange = session.trusted.mode is Mode.NEVER
        self._instead = _how_to_exchange(session, access)
        index = IndexReader(session.client, self._readable, access.credential)
        self.use(session, access.credential, access.source, index)

    def exchange(self, session: Session) -> Exchange:
        """See :class:`Channel`; only prefix.dev itself is known to take identities."""
        known = is_of_family(host_of(self.endpoint))
        audience = audience_of(self.endpoint, AUDIENCES)
        return Exchange(self.endpoint, audience, partial(mint, session.client, self.endpoint), known)

    def expect_attestations(self) -> None:
        """See :class:`Channel`; with an API key, the server takes no attestations (rattler, ``upload prefix``)."""
        if isinstance(self._auth, ExchangedToken):
            return
        host = host_of(self.endpoint)
        if self._excludes_exchange:
            raise UsageError(
                f"{host} takes attestations with trusted publishing alone, which --trusted-publishing never rules out",
                hint="Leave out --trusted-publishing never, or publish without attestations.",
            )
        raise CredentialError(
            f"{host} takes attestations with trusted publishing alone, and the credential is that of {self._source}",
            hint=self._instead,
        )

    def check_credential(self) -> None:
        """Ask GraphQL for ``viewer { login }``, as ``rattler auth login`` does; ``null`` means a bad token."""
        if isinstance(self._auth, ExchangedToken):  # it is new, and belongs to no user
            return
        answer = _ask_viewer(self._client, self.endpoint, self._auth)
        if answer.status == 404:  # a server that speaks the upload protocol only
            return
        if _viewer(expect(answer, source=self._source)) is None:
            raise CredentialRefused(
                f"{self.endpoint} does not know the token from {self._source}", hint="Make a new one in its settings."
            )

    def asks_first(self, archive: PackageArchive) -> bool:
        """A small file is sent at once: the server says 409 where it has one."""
        return archive.size >= ASK_FIRST_FROM

    def find(self, archive: PackageArchive) -> Listed | None:
        """What the channel's index has; the upload interface does not tell hashes."""
        return self._index.listed(archive)

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """``POST /api/v1/upload/CHANNEL`` with the file as first part, its name and hash as headers of that part.

        The attestation, if there is one, is the second part.
        """
        part = [
            disposition("file", archive.filename),
            ("content-type", "application/octet-stream"),
            ("content-length", str(archive.size)),
            ("x-file-name", archive.filename),
            ("x-file-sha256", archive.sha256),
        ]
        parts: list[tuple[list[tuple[str, str]], str | ArchiveBody]] = [(part, ArchiveBody(archive, delivery.sent))]
        if delivery.attestation is not None:
            parts.append(([disposition("attestation")], delivery.attestation.decode()))
        answer = self._client.send(
            Request(
                "POST",
                f"{self.endpoint}/api/v1/upload/{quote(self._channel)}" + ("?force=true" if overwrite else ""),
                auth=self._auth,
                body=MultipartBody(parts),
                retried=delivery.retried,
            )
        )
        if answer.status == 409 and not overwrite:
            raise Refusal(answer.attempts, uncertain=answer.uncertain)
        expect(answer, source=self._source)
        return answer.attempts

    def url_of(self, archive: PackageArchive) -> str:
        """See :class:`Channel`."""
        return f"{self._readable}/{archive.relative_path}"


def _how_to_exchange(session: Session, access: Access) -> str:
    """How to have trusted publishing used in the place of *access*, as a sentence."""
    if session.given:
        return f"Leave out {session.given.source}, or publish without attestations."
    variable = access.source.removeprefix("the variable ")
    if variable != access.source:
        return f"Unset {variable}, or use --trusted-publishing always."
    return "Use --trusted-publishing always: its error says why no identity is exchanged."


def _ask_viewer(client: Client, server: str, auth: httpx2.Auth) -> Answer:
    """Who sends this, by GraphQL's ``viewer { login }``."""
    headers, body = {"content-type": "application/json"}, b'{"query":"query { viewer { login } }"}'
    return client.send(Request("POST", f"{server}/api/graphql", auth=auth, headers=headers, body=body))


def _viewer(answer: Answer) -> Any:
    """The viewer in *answer*: ``None`` if nobody has the credential, ``...`` if the answer does not tell."""
    document = answer.json()
    data = document.get("data") if isinstance(document, dict) else None
    return data.get("viewer", ...) if isinstance(data, dict) else ...
