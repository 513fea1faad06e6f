"""Channels on anaconda.org, and on servers with its API (anaconda-client: package, release, stage, form, commit)."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from keelback.channels.access import given_token, token_access
from keelback.channels.answers import expect
from keelback.channels.delivery import Delivery, Refusal
from keelback.channels.memo import Memo
from keelback.channels.reading import IndexReader
from keelback.channels.server import ServerChannel
from keelback.channels.service import Identity, shown_text
from keelback.channels.target import Target, check_name, check_server
from keelback.credentials.kinds import CondaToken
from keelback.credentials.lookup import find
from keelback.errors import KeelbackError, ServerError, UsageError
from keelback.listing import Listed
from keelback.secret import MASK
from keelback.transport import ArchiveBody, MultipartBody, Request, disposition, servers_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import httpx2

    from keelback.archive import PackageArchive
    from keelback.channels.access import Access
    from keelback.channels.base import Channel
    from keelback.channels.relay.servercopy import ServerCopy
    from keelback.channels.service import Site
    from keelback.channels.session import Session
    from keelback.credentials.kinds import Credential
    from keelback.transport import Answer, Client

SERVER: Final = "https://api.anaconda.org"
_READING: Final = "https://conda.anaconda.org"
_SITES: Final = frozenset({"anaconda.org", "www.anaconda.org", "api.anaconda.org", "conda.anaconda.org"})
_HEADERS: Final = {"accept": "application/json", "x-binstar-api-version": "1.12.2"}
"""What its API wants on every request (anaconda-client, ``binstar_client/__init__.py``)."""
_ENOUGH: Final = {
    "read": frozenset({"all", "repos", "conda", "conda:download"}),
    "upload": frozenset({"all", "api", "api:write"}),
}
"""The scopes of a token of which one permits each (its documentation, "Tokens")."""
MAIN: Final = "main"
_SHOWN: Final = (
    "description",
    "dev_url",
    "doc_url",
    "home",
    "license",
    "license_family",
    "license_url",
    "source_url",
    "summary",
)


class AnacondaChannel(ServerChannel):
    """The files of an owner on anaconda.org under one or more labels.

    Args:
        owner: a user or an organisation.
        labels: under which labels a file is put; readers see the first one as the channel.
        url: the API's.

    Attributes:
        owner, labels: see above.
        api: the API's URL.
    """

    kind: ClassVar[str] = "anaconda"
    title: ClassVar[str] = "anaconda.org"
    takes: ClassVar[tuple[type[Credential], ...]] = (CondaToken,)
    variables: ClassVar[tuple[str, ...]] = ("ANACONDA_API_KEY",)
    login_hint: ClassVar[str] = "Give --conda-token - and the token on standard input."
    needs_md5: ClassVar[bool] = True
    needs_file: ClassVar[bool] = True

    def __init__(self, owner: str, labels: Sequence[str] = (MAIN,), *, url: str = SERVER) -> None:
        self.api = check_server(url)
        self.owner = check_name(owner, "the owner")
        self.labels = [check_name(label, "the label") for label in labels] or [MAIN]
        first = self.labels[0]
        self.url = f"{_reading_url(self.api)}/{quote(owner)}" + ("" if first == MAIN else f"/label/{quote(first)}")
        self._announced: Memo[bool] = Memo()
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
        answer = client.send(Request("GET", f"{api}/user", auth=auth, headers=_HEADERS))
        if answer.status == 401:
            return Identity.refused(answer)
        user = expect(answer, 200).json()
        name = shown_text(user.get("login")) if isinstance(user, dict) else None
        scopes = _scopes(client.send(Request("GET", f"{api}/authentication", auth=auth, headers=_HEADERS)))
        if scopes is None:
            return Identity(valid=True, name=name, said="it does not tell what the token permits")
        permits = tuple(what for what, enough in _ENOUGH.items() if enough.intersection(scopes))
        return Identity(valid=True, name=name, permits=permits, said=f"scopes: {', '.join(scopes) or 'none'}")

    def given_access(self, session: Session) -> Access | None:
        """See :class:`Channel`."""
        return given_token(session, self.api, CondaToken, *self.variables, server=self.title)

    def open(self, session: Session) -> None:
        """See :class:`Channel`."""
        access = token_access(
            session,
            self.api,
            server=self.title,
            kind=CondaToken,
            usable=self.takes,
            variable=self.variables[0],
        )
        assert isinstance(access.credential, CondaToken)  # noqa: S101 - what it takes
        auth = access.credential.header("Authorization", "token ")
        index = IndexReader(session.client, self.url, self._reading_auth(session, auth))
        self.use(session, auth, access.source, index)

    def _reading_auth(self, session: Session, auth: httpx2.Auth) -> httpx2.Auth | None:
        """The same token where the same service is read; elsewhere what the stores have for that host."""
        if self.api == SERVER or _reading_url(self.api) == self.api:
            return auth
        match = find(self.url, session.stores)
        return match.credential if match is not None and isinstance(match.credential, CondaToken) else None

    def check_credential(self) -> None:
        """Ask who the token belongs to (``GET /user``)."""
        expect(self.call("GET", "user"), source=self._source)

    def find(self, archive: PackageArchive) -> Listed | None:
        """What ``GET /dist/OWNER/NAME/VERSION/SUBDIR/FILE`` says."""
        answer = self.call("GET", self.path("dist", archive))
        if answer.status == 404:
            return None
        document = _object(expect(answer, source=self._source))
        labels = document.get("labels")
        self._labels_of[archive.relative_path] = labels if isinstance(labels, list) else self.labels
        return Listed(sha256=_text(document, "sha256"), md5=_text(document, "md5"))

    def has_labels(self, archive: PackageArchive) -> bool:
        """Whether what :meth:`find` found has all labels."""
        return set(self.labels) <= set(map(str, self._labels_of.get(archive.relative_path, ())))

    def copier(self, source: Channel) -> ServerCopy | None:
        """See :class:`Channel`."""
        from keelback.channels.anaconda_copy import AnacondaCopy  # noqa: PLC0415 - for copies alone

        if isinstance(source, AnacondaChannel) and source.api == self.api:
            return AnacondaCopy(source, self)
        return None

    def keep(self, archive: PackageArchive) -> None:
        """Put the labels on a file that is there without them (``POST /channels/OWNER/LABEL``)."""
        place = {"package": archive.name, "version": archive.version, "basename": archive.relative_path}
        for label in self.labels:
            if label not in self._labels_of.get(archive.relative_path, self.labels):
                expect(self.call("POST", f"channels/{quote(self.owner)}/{quote(label)}", place), source=self._source)

    def send(self, archive: PackageArchive, *, overwrite: bool, delivery: Delivery) -> int:
        """Stage, form, commit."""
        staged = self._stage(archive)
        if staged is not None:
            return self._transfer(archive, staged, delivery)
        if overwrite:
            return self._replace(archive, delivery)
        if self.find(archive) is None:
            raise ServerError(
                f"{self.api} refuses {archive.relative_path} as being there, and says that it is not",
                status=409,
                hint="An upload of it may have been broken off; try again in a while, or with --force.",
            )
        raise Refusal(attempts=0)

    def _transfer(self, archive: PackageArchive, staged: Mapping[str, Any], delivery: Delivery) -> int:
        attempts = self._post_form(archive, staged, delivery)
        self._commit(archive, staged)
        return attempts

    def _replace(self, archive: PackageArchive, delivery: Delivery) -> int:
        """Delete the file, then send the new one: the API has no other way."""
        self._delete(archive)
        try:
            staged = self._stage(archive)
            if staged is None:
                raise Refusal(attempts=0)
            return self._transfer(archive, staged, delivery)
        except KeelbackError as error:
            error.hint = f"The old file is already removed: run it again. {error.hint}".rstrip()
            raise

    # --- package and release --------------------------------------------------------------------------------------

    def announce(self, archive: PackageArchive) -> None:
        """Create or update package and release, once in a run for all files of them."""
        package = archive.name.lower()
        is_new = self._announced.get(package, lambda: self._describe_package(archive))
        self._announced.get((package, archive.version), lambda: self._describe_release(archive, of_new=is_new))

    def _describe_package(self, archive: PackageArchive) -> bool:
        """Create or update the package; returns whether it is new."""
        path = self.path("package", archive, depth=1)
        about = {**_about(archive), "package_types": ["conda"], "name": archive.name.lower()}
        exists = self._exists(path)
        if exists:
            # without "public": sending it, as others do, would turn a private package public
            self._change("PATCH", path, {"public_attrs": about})
        else:
            self._change("POST", path, {"public": True, "publish": False, "public_attrs": about})
        return not exists

    def _describe_release(self, archive: PackageArchive, *, of_new: bool) -> bool:
        """Create or update the release, which a package that is *of_new* cannot have yet; returns whether it is new."""
        path = self.path("release", archive, depth=2)
        exists = not of_new and self._exists(path)
        if exists:
            self._change("PATCH", path, {"public_attrs": _about(archive)})
        else:
            body = {"description": None, **_about(archive), "requirements": [], "announce": False}
            self._change("POST", path, body)
        return not exists

    def _exists(self, path: str) -> bool:
        answer = self.call("GET", path)
        if answer.status == 404:
            return False
        expect(answer, 200, source=self._source)
        return True

    def _change(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        answer = self.call(method, path, body)
        if method == "POST" and answer.status == 409:  # somebody else was quicker, or an answer of ours got lost
            return
        expect(answer, source=self._source)

    # --- the file -------------------------------------------------------------------------------------------------

    def _stage(self, archive: PackageArchive) -> Mapping[str, Any] | None:
        """Announce the file; ``None`` where there is one of that name."""
        body = {
            "distribution_type": "conda",
            "description": None,
            "attrs": dict(archive.index),
            "channels": self.labels,
            "sha256": archive.sha256,
        }
        answer = self.call("POST", self.path("stage", archive), body)
        if answer.status == 409:
            return None
        staged = _object(expect(answer, 200, source=self._source))
        fields = staged.get("form_data")
        good = isinstance(fields, dict) and all(map(_is_text, [*fields, *fields.values()]))
        if not (good and _text(staged, "post_url") and _text(staged, "dist_id")):
            raise ServerError(f"{self.api} did not say where to send {archive.filename}", status=answer.status)
        return staged

    def _delete(self, archive: PackageArchive) -> None:
        """Remove the file, and make anew what the server removes with the last file of a release or a package."""
        answer = self.call("DELETE", self.path("dist", archive))
        if answer.status != 404:
            expect(answer, source=self._source)
        if not self._exists(self.path("package", archive, depth=1)):
            self._describe_package(archive)
        if not self._exists(self.path("release", archive, depth=2)):
            self._describe_release(archive, of_new=True)

    def _post_form(self, archive: PackageArchive, staged: Mapping[str, Any], delivery: Delivery) -> int:
        """Send the bytes to where they were told to go, without the token; returns how often they were sent.

        The file comes last and has no file name: object stores ignore what follows it (Amazon S3 API, POST Object).
        """
        url = staged["post_url"]
        if not url.startswith(("https://", "http://")) or (self.api.startswith("https:") and url.startswith("http:")):
            raise ServerError(f"{self.api} wants the file sent to an address that is not https", status=200)
        md5 = base64.b64encode(bytes.fromhex(archive.md5)).decode()
        fields = {**staged["form_data"], "Content-Length": str(archive.size), "Content-MD5": md5}
        parts: list[tuple[list[tuple[str, str]], str | ArchiveBody]] = [
            ([disposition(name)], value) for name, value in fields.items()
        ]
        parts.append(([disposition("file")], ArchiveBody(archive, delivery.sent)))
        answer = self._client.send(
            Request(
                "POST", url, headers={"accept": "application/json"}, body=MultipartBody(parts), retried=delivery.retried
            )
        )
        answer = _without(answer, staged["form_data"].values())
        if answer.status in (401, 403):  # no token of ours was refused
            refused = f"the storage of {self.api} refused the file ({answer.status}): {servers_words(answer)}"
            error = ServerError(refused.removesuffix(": "), status=answer.status)
            error.attempts = answer.attempts
            raise error
        expect(answer)
        return answer.attempts

    def _commit(self, archive: PackageArchive, staged: Mapping[str, Any]) -> None:
        answer = self.call("POST", self.path("commit", archive), {"dist_id": staged["dist_id"]})
        if answer.uncertain and not answer.ok:  # the first commit may have worked, and the second found nothing to do
            found = self.find(archive)
            if found is not None and found.same_bytes(archive):
                return
        expect(answer, source=self._source)

    # --- requests -------------------------------------------------------------------------------------------------

    def path(self, route: str, archive: PackageArchive, depth: int = 3) -> str:
        """``ROUTE/OWNER/NAME[/VERSION[/SUBDIR/FILE]]``, by *depth*."""
        place = [self.owner, archive.name.lower(), archive.version, archive.relative_path]
        return "/".join([route, *(quote(part, safe="/+!") for part in place[: depth + 1])])

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """What the API says to a *method* of *path*, with *body* as JSON, whatever that is."""
        headers = _HEADERS if body is None else {**_HEADERS, "content-type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        return self._client.send(Request(method, f"{self.api}/{path}", auth=self._auth, headers=headers, body=content))


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


def _about(archive: PackageArchive) -> dict[str, Any]:
    """What the server shows of a package (anaconda-client, ``inspect_package/conda.py``), from its about.json."""
    return {key: archive.about[key] for key in _SHOWN if key in archive.about}


def _without(answer: Answer, secrets: Iterable[str]) -> Answer:
    """*answer* as if it did not repeat any of *secrets*: the fields of a form are good for one upload, by anybody."""
    content = answer.content
    for secret in secrets:
        if len(secret) > len(MASK):
            for spelling in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], html.escape(secret)}:
                content = content.replace(spelling.encode(), MASK.encode())
    return replace(answer, content=content)


def _is_text(value: object) -> bool:
    """Whether *value* is a string that can be sent."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _object(answer: Answer) -> Mapping[str, Any]:
    document = answer.json()
    if not isinstance(document, dict):
        raise ServerError(f"{answer.url}: the answer is not a JSON object", status=answer.status)
    return document


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None
