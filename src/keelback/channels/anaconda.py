"""Channels on anaconda.org, and on servers with its API (anaconda-client: package, release, stage, form, commit)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from keelback.channels.anaconda_api import HEADERS, Owner, listed
from keelback.channels.anaconda_releases import Releases
from keelback.channels.anaconda_upload import delete, upload
from keelback.channels.answers import expect
from keelback.channels.delivery import Delivery, Refusal
from keelback.channels.reading import IndexReader
from keelback.channels.service import Identity, shown_text
from keelback.channels.target import Target, check_name, check_server
from keelback.channels.tokenchannel import TokenChannel
from keelback.credentials.kinds import CondaToken
from keelback.credentials.lookup import find
from keelback.errors import KeelbackError, ServerError, UsageError
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx2

    from keelback.archive import PackageArchive
    from keelback.channels.base import Channel
    from keelback.channels.relay.servercopy import ServerCopy
    from keelback.channels.service import Site
    from keelback.channels.session import Session
    from keelback.credentials.kinds import Credential
    from keelback.listing import Listed
    from keelback.transport import Answer, Client

SERVER: Final = "https://api.anaconda.org"
_READING: Final = "https://conda.anaconda.org"
_SITES: Final = frozenset({"anaconda.org", "www.anaconda.org", "api.anaconda.org", "conda.anaconda.org"})
_ENOUGH: Final = {
    "read": frozenset({"all", "repos", "conda", "conda:download"}),
    "upload": frozenset({"all", "api", "api:write"}),
}
"""The scopes of a token of which one permits each (its documentation, "Tokens")."""
MAIN: Final = "main"


class AnacondaChannel(TokenChannel):
    """The files of an owner on anaconda.org under one or more labels.

    Args:
        owner: a user or an organisation.
        labels: under which labels a file is put; readers see the first one as the channel.
        url: the API's.

    Attributes:
        owner, labels: see above.
        api: speaks to the API for the owner, once the channel is open.
    """

    kind: ClassVar[str] = "anaconda"
    title: ClassVar[str] = "anaconda.org"
    takes: ClassVar[tuple[type[Credential], ...]] = (CondaToken,)
    token: ClassVar[type[CondaToken]] = CondaToken
    variables: ClassVar[tuple[str, ...]] = ("ANACONDA_API_KEY",)
    login_hint: ClassVar[str] = "Give --conda-token - and the token on standard input."
    needs_md5: ClassVar[bool] = True
    needs_file: ClassVar[bool] = True

    def __init__(self, owner: str, labels: Sequence[str] = (MAIN,), *, url: str = SERVER) -> None:
        self.endpoint = check_server(url)
        self.owner = check_name(owner, "the owner")
        self.labels = [check_name(label, "the label") for label in labels] or [MAIN]
        first = self.labels[0]
        self.url = f"{_reading_url(self.endpoint)}/{quote(owner)}" + ("" if first == MAIN else f"/label/{quote(first)}")
        self._labels_of: dict[str, Sequence[Any]] = {}

    @classmethod
    def from_target(cls, target: Target) -> AnacondaChannel | None:
        """``https://anaconda.org/OWNER[/LABEL]``, or ``anaconda+https://HOST/BASE/OWNER[/label/LABEL]``."""
        if target.kind != cls.kind and (target.kind or not cls.is_at(target.host, target.segments)):
            return None
        segments, label = list(target.segments), MAIN
        if len(segments) > 2 and segments[-2] == "label":
            *segments, _, label = segments
        own = cls.is_at(target.host, target.segments)
        if own and len(segments) == 2 and label == MAIN:
            segments, label = segments[:1], segments[1]
        if not segments or (own and len(segments) > 1):
            example = "https://anaconda.org" if own else target.base()
            raise UsageError(f"{target.text} names no owner", hint=f"Write it like {example}/OWNER.")
        return cls(segments[-1], [label], url=SERVER if own else target.base(len(segments) - 1))

    @classmethod
    def is_at(cls, host: str, segments: Sequence[str]) -> bool:  # noqa: ARG003 - the host says it all
        """The names of anaconda.org."""
        return host in _SITES

    @classmethod
    def whoami(cls, client: Client, site: Site, credential: Credential, environ: Mapping[str, str]) -> Identity:  # noqa: ARG003 - no variable counts
        """Ask for ``/user``, and for the scopes of the token (``/authentication``)."""
        assert isinstance(credential, CondaToken)  # noqa: S101 - what it takes
        api, auth = _api_at(site), credential.header("Authorization", "token ")
        answer = client.send(Request("GET", f"{api}/user", auth=auth, headers=HEADERS))
        if answer.status == 401:
            return Identity.refused(answer)
        user = expect(answer, 200).json()
        name = shown_text(user.get("login")) if isinstance(user, dict) else None
        scopes = _scopes(client.send(Request("GET", f"{api}/authentication", auth=auth, headers=HEADERS)))
        if scopes is None:
            return Identity(valid=True, name=name, said="it does not tell what the token permits")
        permits = tuple(what for what, enough in _ENOUGH.items() if enough.intersection(scopes))
        return Identity(valid=True, name=name, permits=permits, said=f"scopes: {', '.join(scopes) or 'none'}")

    def open(self, session: Session) -> None:
        """See :class:`Channel`."""
        access = self.find_access(session)
        assert isinstance(access.credential, CondaToken)  # noqa: S101 - what it takes
        auth = access.credential.header("Authorization", "token ")
        index = IndexReader(session.client, self.url, self._reading_auth(session, auth))
        self.use(session, auth, access.source, index)

    def _reading_auth(self, session: Session, auth: httpx2.Auth) -> httpx2.Auth | None:
        """The same token where the same service is read; elsewhere what the stores have for that host."""
        if self.endpoint == SERVER or _reading_url(self.endpoint) == self.endpoint:
            return auth
        match = find(self.url, session.stores)
        return match.credential if match is not None and isinstance(match.credential, CondaToken) else None

    def use(self, session: Session, auth: httpx2.Auth, source: str, index: IndexReader | None = None) -> None:
        """See :class:`ServerChannel`."""
        super().use(session, auth, source, index)
        self.api = Owner(session.client, self.endpoint, self.owner, auth, source)
        self._releases = Releases(self.api)

    def check_credential(self) -> None:
        """Ask who the token belongs to (``GET /user``)."""
        self.api.demand(self.api.call("GET", "user"))

    def find(self, archive: PackageArchive) -> Listed | None:
        """What the API says of the file, under whichever label."""
        file = self.api.file(archive)
        if file is None:
            return None
        labels = file.get("labels")
        self._labels_of[archive.relative_path] = labels if isinstance(labels, list) else self.labels
        return listed(file)

    def has_labels(self, archive: PackageArchive) -> bool:
        """Whether what :meth:`find` found has all labels."""
        return set(self.labels) <= set(map(str, self._labels_of.get(archive.relative_path, ())))

    def server_copy(self, source: Channel | None) -> ServerCopy | None:
        """See :class:`Channel`."""
        from keelback.channels.anaconda_copy import AnacondaCopy  # noqa: PLC0415 - for copies alone

        if isinstance(source, AnacondaChannel) and source.endpoint == self.endpoint:
            return AnacondaCopy(source, self)
        return None

    def keep(self, archive: PackageArchive) -> None:
        """Put the labels on a file that is there without them (``POST /channels/OWNER/LABEL``)."""
        place = {"package": archive.name, "version": archive.version, "basename": archive.relative_path}
        for label in self.labels:
            if label not in self._labels_of.get(archive.relative_path, self.labels):
                self.api.demand(self.api.call("POST", f"channels/{quote(self.owner)}/{quote(label)}", place))

    def announce(self, archive: PackageArchive) -> None:
        """Create or update package and release, once in a run for all files of them."""
        self._releases.describe(archive)

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """Upload the file; the API replaces none, so that one that is there has to be deleted before."""
        attempts = upload(self.api, archive, self.labels, delivery)
        if attempts is not None:
            return attempts
        if overwrite:
            return self._replace(archive, delivery)
        if self.find(archive) is None:
            raise ServerError(
                f"{self.endpoint} refuses {archive.relative_path} as being there, and says that it is not",
                status=409,
                hint="An upload of it may have been broken off; try again in a while, or with --force.",
            )
        raise Refusal(attempts=0)

    def _replace(self, archive: PackageArchive, delivery: Delivery) -> int:
        delete(self.api, archive)
        self._releases.restore(archive)
        try:
            attempts = upload(self.api, archive, self.labels, delivery)
        except KeelbackError as error:
            error.hint = f"The old file is already removed: run it again. {error.hint}".rstrip()
            raise
        if attempts is None:
            raise Refusal(attempts=0)
        return attempts


def _reading_url(api: str) -> str:
    """Where an owner's channel is read: the first ``api`` of the URL is ``conda`` there (conda, anaconda_client.py)."""
    return _READING if api == SERVER else re.sub(r"(?<=[./])api(?=[./]|$)", "conda", api, count=1)


def _api_at(site: Site) -> str:
    """The URL of the API at *site*, which need not have a path; anaconda.org's own for its other names."""
    if not site.kind:
        return SERVER
    below = site.up_to("api")
    return site.base() if below is None else f"{below}/api"


def _scopes(answer: Answer) -> list[str] | None:
    """What the token may do, by anaconda.org's names; ``None`` where the server does not tell."""
    document = answer.json() if answer.ok else None
    scopes = document.get("scopes") if isinstance(document, dict) else None
    return None if not isinstance(scopes, list) else [text for scope in scopes if (text := shown_text(scope))]
