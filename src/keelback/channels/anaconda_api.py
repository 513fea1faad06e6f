"""The API of anaconda.org for one owner: requests, and what its answers say of a file (anaconda-client)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from keelback.channels.answers import expect
from keelback.errors import ServerError
from keelback.listing import Listed
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

    from keelback.archive import PackageArchive
    from keelback.transport import Answer, Client

HEADERS: Final = {"accept": "application/json", "x-binstar-api-version": "1.12.2"}
"""What the API wants on every request (anaconda-client, ``binstar_client/__init__.py``)."""


class Owner:
    """The files of a user or an organization, as the API has them; safe to use from several threads at once.

    Args:
        client: sends the requests.
        api: the URL of the API.
        name: the owner's.
        auth: puts the credential on a request.
        source: where the credential came from, for messages.
    """

    def __init__(self, client: Client, api: str, name: str, auth: httpx2.Auth, source: str) -> None:
        self.client = client
        self.api = api
        self.name = name
        self._auth = auth
        self._source = source

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Send a request with *body* as JSON, and return the answer, whatever its status."""
        headers = HEADERS if body is None else {**HEADERS, "content-type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        return self.client.send(Request(method, f"{self.api}/{path}", auth=self._auth, headers=headers, body=content))

    def demand(self, answer: Answer, *statuses: int) -> Answer:
        """*answer*, if it has one of *statuses*; any 2xx where none is named."""
        return expect(answer, *statuses, source=self._source)

    def document(self, answer: Answer, *statuses: int) -> Mapping[str, Any]:
        """The JSON object in *answer*, if it has one of *statuses*; any 2xx where none is named."""
        document = self.demand(answer, *statuses).json()
        if not isinstance(document, dict):
            raise ServerError(f"{answer.url}: the answer is not a JSON object", status=answer.status)
        return document

    def exists(self, path: str) -> bool:
        """Whether there is something at *path*."""
        answer = self.call("GET", path)
        if answer.status == 404:
            return False
        self.demand(answer, 200)
        return True

    def path(self, route: str, archive: PackageArchive, depth: int = 3) -> str:
        """``ROUTE/OWNER/NAME[/VERSION[/SUBDIR/FILE]]``, by *depth*."""
        return f"{route}/{file_path(self.name, archive, depth)}"

    def file(self, archive: PackageArchive) -> Mapping[str, Any] | None:
        """What ``GET /dist/OWNER/NAME/VERSION/SUBDIR/FILE`` says; ``None`` where there is no such file."""
        answer = self.call("GET", self.path("dist", archive))
        return None if answer.status == 404 else self.document(answer)


def file_path(owner: str, archive: PackageArchive, depth: int = 3) -> str:
    """``OWNER/NAME[/VERSION[/SUBDIR/FILE]]``, by *depth*."""
    place = [owner, archive.name.lower(), archive.version, archive.relative_path]
    return "/".join(quote(part, safe="/+!") for part in place[: depth + 1])


def listed(file: Mapping[str, Any]) -> Listed:
    """The hashes that the API tells of a *file*."""
    return Listed(sha256=text(file, "sha256"), md5=text(file, "md5"))


def text(document: Mapping[str, Any], key: str) -> str | None:
    """The text under *key*; ``None`` where there is none, or an empty one."""
    value = document.get(key)
    return value if isinstance(value, str) and value else None
