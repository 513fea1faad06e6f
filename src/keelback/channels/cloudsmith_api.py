"""The API of Cloudsmith for one repository: requests, packages in its answers, and its errors.

Paths and fields are those of the Cloudsmith API, version 1 (``cloudsmith_api``: ``FilesApi``, ``PackagesApi``,
``ReposApi``, ``UserApi``).
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlencode

import httpx2

from keelback.channels.answers import error_of, expect
from keelback.channels.service import shown_text
from keelback.credentials.kinds import BearerToken, CondaToken, OAuth
from keelback.credentials.oidc.exchanged import ExchangedToken
from keelback.credentials.oidc.idtoken import claims_of
from keelback.errors import ServerError
from keelback.hosts import host_of
from keelback.listing import Listed
from keelback.transport import Client, Request, Retry, origin_of, servers_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from keelback.archive import PackageArchive
    from keelback.credentials.kinds import Credential
    from keelback.errors import KeelbackError
    from keelback.transport import Answer

API: Final = "https://api.cloudsmith.io/v1"
READING: Final = "https://conda.cloudsmith.io"

_PAGE: Final = 100
"""How many packages are asked for: there cannot be more of one file name than there are subdirs."""
_SUBDIR: Final = re.compile(r"noarch|(?:linux|osx|win|freebsd|emscripten|wasi|zos)-[a-z0-9_]+")
_MOST_FIELDS: Final = 5


@dataclass(frozen=True, slots=True)
class Package:
    """What Cloudsmith says of a package.

    Attributes:
        slug: by which the API names it (``slug_perm``); empty where it did not say.
        listed: its hashes and its size; what is not known yet is ``None``.
        completed: whether it was processed, and is in the channel.
        failed: whether it was processed, and is not in the channel and never will be, as a duplicate is not.
        reason: why it failed, in the words of the server; empty where it did not say.
        subdir: where it is, if that can be told.
    """

    slug: str
    listed: Listed
    completed: bool
    failed: bool
    reason: str
    subdir: str | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The package that a *document* of the API describes: a package, or the status of one."""
        slug, size = document.get("slug_perm"), document.get("size")
        return cls(
            slug if isinstance(slug, str) else "",
            Listed(
                sha256=_digest(document, "checksum_sha256", 64),
                md5=_digest(document, "checksum_md5", 32),
                size=size if isinstance(size, int) and size > 0 else None,
            ),
            completed=document.get("is_sync_completed") is True,
            failed=document.get("is_sync_failed") is True,
            reason=shown_text(document.get("status_reason")) or "",
            subdir=_subdir(document),
        )


class Repository:
    """A repository at Cloudsmith, as its API has it; safe to use from several threads at once.

    Args:
        client: sends the requests.
        api: the URL of the API, with its version.
        owner: the user or the organization.
        name: the repository's.
        auth: puts the credential on a request.
        source: where the credential came from, for messages.
    """

    def __init__(self, client: Client, api: str, owner: str, name: str, auth: httpx2.Auth, source: str) -> None:
        self.client = client
        self.api = api
        self.auth = auth
        self._owner = owner
        self._title = f"{owner}/{name}"
        self._path = f"{quote(owner)}/{quote(name)}"
        self._source = source

    def apart(self) -> Repository:
        """The same with a client of its own that gives up soon, to clean up after a run was stopped.

        The caller closes that client.
        """
        insecure = [host_of(self.api)] if self.client.may_be_insecure(self.api) else []
        other = copy.copy(self)
        other.client = Client(
            retry=Retry(attempts=2, base=0.1), timeout=10.0, connect_timeout=5.0, insecure_hosts=insecure
        )
        return other

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        before_again: Callable[[], object] | None = None,
    ) -> Answer:
        """Send a request, and return the last answer, whatever its status.

        Args:
            method: the HTTP method.
            path: below the API; ``{}`` in it is the repository: ``files/{}/``.
            body: sent as JSON; ``None`` for none.
            before_again: called before the request is repeated; what it raises ends that.
        """
        headers = {"accept": "application/json"} | ({} if body is None else {"content-type": "application/json"})
        content = None if body is None else json.dumps(body).encode()
        url = f"{self.api}/{path.replace('{}', self._path)}"
        request = Request(method, url, auth=self.auth, headers=headers, body=content)
        tried = False

        def once() -> Answer:
            nonlocal tried
            if tried and before_again is not None:
                before_again()
            tried = True
            return self.client.send_once(request)

        return self.client.persist(request, once)

    def demand(self, answer: Answer) -> Answer:
        """*answer*, if it is a success; else raises its error, in the words of the API."""
        if not answer.ok:
            raise self._error(answer)
        return expect(answer)

    def require(self) -> None:
        """Check that the repository exists, if the credential may ask (``GET repos/OWNER/REPOSITORY/``)."""
        answer = self.call("GET", "repos/{}/")
        if answer.status == 404:
            raise ServerError(
                f"{host_of(self.api)} has no repository {self._title!r}",
                status=404,
                code="no-channel",
                hint="Create it first, check how it is spelled, or give a credential that may see it.",
            )
        if answer.status != 403:  # a credential that may upload, but not look at the settings
            self.demand(answer)

    def packages(self, archive: PackageArchive) -> Iterator[Package]:
        """The packages with the file name of *archive*, in its subdir or an unknown one."""
        query = urlencode({"query": f"filename:^{archive.filename}$", "page_size": _PAGE})
        documents = self.demand(self.call("GET", f"packages/{{}}/?{query}")).json()
        if not isinstance(documents, list):
            raise ServerError(f"{host_of(self.api)}: the packages are not a list", status=200)
        for document in documents:
            if isinstance(document, dict) and document.get("filename") == archive.filename:
                package = Package.of(document)
                if package.subdir in (None, archive.subdir):
                    yield package

    def status(self, slug: str) -> Package | None:
        """How far the package *slug* was processed; ``None`` where it is gone."""
        answer = self.call("GET", f"packages/{{}}/{quote(slug, safe='')}/status/")
        return None if answer.status == 404 else Package.of(self.document(answer))

    def document(self, answer: Answer) -> Mapping[str, Any]:
        """The JSON object in *answer*, if it is a success."""
        document = self.demand(answer).json()
        if not isinstance(document, dict):
            raise ServerError(f"{host_of(self.api)}: the answer is not a JSON object", status=answer.status)
        return document

    def _error(self, answer: Answer) -> KeelbackError:
        error = error_of(_with_fields(answer), source=self._source)
        if answer.status == 402:
            error.code, error.hint = "quota", f"The plan of {self._owner!r} at Cloudsmith does not have room for it."
        elif answer.status == 404:
            error.hint = f"Check the owner and the repository, {self._title}, and what the credential may do there."
        return error


def auth_of(credential: Credential) -> httpx2.Auth:
    """How the API takes *credential*: an API key in ``X-Api-Key``, and a JWT as bearer (``cloudsmith-cli``)."""
    if isinstance(credential, CondaToken | BearerToken) and claims_of(credential.token) is None:
        return credential.header("X-Api-Key")
    if isinstance(credential, CondaToken):
        return BearerToken(credential.token)
    assert isinstance(credential, BearerToken | OAuth | ExchangedToken)  # noqa: S101 - what it takes
    return credential


def is_cloudsmith(url: str) -> bool:
    """Whether *url* is at a host of Cloudsmith's own, with TLS."""
    host = host_of(url)
    return url.lower().startswith("https:") and (host == "cloudsmith.io" or host.endswith(".cloudsmith.io"))


def is_same_service(url: str, api: str) -> bool:
    """Whether what is at *url* may have a credential for the API at *api*: one origin, or both Cloudsmith's own."""
    try:
        same = origin_of(url) == origin_of(api)
    except httpx2.InvalidURL:
        return False
    return same or (is_cloudsmith(url) and is_cloudsmith(api))


def _with_fields(answer: Answer) -> Answer:
    """*answer* with its ``detail`` completed by what it says of single ``fields`` (API, "ErrorDetail")."""
    document = answer.json()
    fields = document.get("fields") if isinstance(document, dict) else None
    if not isinstance(fields, dict) or not fields:
        return answer
    said = [
        f"{name}: {servers_words(replace(answer, content=json.dumps(words).encode()))}"
        for name, words in [*fields.items()][:_MOST_FIELDS]
    ]
    return replace(answer, content=json.dumps({"detail": [servers_words(answer), *said]}).encode())


def _digest(document: Mapping[str, Any], key: str, length: int) -> str | None:
    value = document.get(key)
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9A-Fa-f]{{{length}}}", value):
        return None
    return value.lower()


def _subdir(document: Mapping[str, Any]) -> str | None:
    """The folder in the package's URL for downloads, if it is a subdir's name."""
    url = document.get("cdn_url")
    folder = url.split("/")[-2] if isinstance(url, str) and url.count("/") > 1 else ""
    return folder if _SUBDIR.fullmatch(folder) else None
