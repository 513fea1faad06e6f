"""Cloudsmith's API as its own client speaks to it, the places where it has files sent, and its conda channel.

A package is taken at once and processed afterwards: a duplicate becomes a failed package, of which only the status
tells. A file goes in a form to an object store, where no credential belongs, or in parts to Cloudsmith itself.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .channel import basic_credential
from .cloudsmith_files import REPOSITORY, CloudsmithFiles, RefusedError
from .engine import route
from .exchange import Exchange, json_answer
from .wire import Answer

if TYPE_CHECKING:
    from .shelf import Body, Stored

_API_STEPS = {"user", "repo", "list", "status", "request", "complete", "abort", "create", "validate"}
_DUPLICATE = "A package with the same name, version and architecture already exists. This package should be deleted."


@dataclass
class Package:
    """A package that was made of a file."""

    slug: str
    filename: str
    body: Body
    tags: str = ""
    failure: str = ""
    """Why it failed; empty for one that did not."""
    pending: int = 0
    """How many more questions about it are answered before it is processed."""

    @property
    def name(self) -> str:
        """Another name for the slug, made for people; the API knows both."""
        return f"{(self.body.index or {}).get('name', 'package')}-{self.slug[:4]}"

    @property
    def subdir(self) -> str:
        """Where readers find it."""
        return (self.body.index or {}).get("subdir", "noarch")


class CloudsmithServer(CloudsmithFiles):
    """A Cloudsmith with one repository.

    Args:
        key: the API key that may read and write; one with dots in it is a JWT, and taken as bearer alone.
        owner: the organization.
        channel: the repository.
        private: whether reading needs a credential.
        republishes: the repository's own setting, for those who do not say ``republish``.
        lag: how many questions about a package are answered before it is processed.
        place: more of the answer to the announcement of a file, or other values for what is in it.
        options: what :class:`ScriptedServer` takes, and ``index_lag``.
    """

    scheme = "cloudsmith"

    def __init__(
        self,
        key: str,
        *,
        owner: str = "my-org",
        channel: str = "my-repo",
        private: bool = False,
        republishes: bool = False,
        lag: int = 0,
        place: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(key, owner=owner, place=place, channel=channel, private=private, **options)
        self.packages: list[Package] = []
        self.lag = lag
        self._republishes = republishes

    @property
    def api_url(self) -> str:
        """What ``keelback upload cloudsmith --url`` is given."""
        return f"{self.url}/v1"

    @property
    def publish_url(self) -> str:
        """What ``keelback publish --to`` is given."""
        return f"{self.scheme}+{self.api_url}/{self.owner}/{self.channel}"

    @property
    def channel_url(self) -> str:
        """Where readers find the channel."""
        return f"{self.url}/{self.owner}/{self.channel}"

    def put(self, path: str, content: bytes) -> Stored:
        """Have *content* stored already, as a package that is processed."""
        stored = super().put(path, content)
        self.packages.append(Package(uuid.uuid4().hex, path.rpartition("/")[2], stored.body))
        return stored

    def refusal(self, status: int, message: str) -> Answer:
        """An error as the API puts it."""
        return json_answer(status, {"detail": message})

    def filename_of(self, exchange: Exchange, groups: dict[str, str]) -> str | None:
        """The archive that a request is about."""
        step, query = exchange.recorded.step, dict(exchange.recorded.query)
        if step == "list":
            return query.get("query", "").removeprefix("filename:^").removesuffix("$")
        if step in {"request", "create"}:
            sent = json.loads(exchange.peek(1 << 16) or b"{}")
            slot = self.slots.get(sent.get("package_file", ""))
            return slot.filename if slot else sent.get("filename")
        slot = self.slots.get(groups.get("identifier", ""))
        return slot.filename if slot else groups.get("filename")

    def respond(self, exchange: Exchange) -> Answer:
        """The answer, after a look at what every API request must have."""
        if exchange.recorded.step in _API_STEPS:
            accepts = exchange.recorded.header("accept") or ""
            self.expect(exchange, "application/json" in accepts, "Accept is not application/json")
        return super().respond(exchange)

    # Who and what is there.

    @route("GET", r"/v1/user/self/", step="user")
    def user(self, exchange: Exchange) -> Answer:
        """A UserBrief; everybody gets one."""
        known = self.is_known(exchange)
        return json_answer(200, {"authenticated": known, "slug": "ann" if known else None, "name": "Ann"})

    @route("GET", rf"/v1/repos/{REPOSITORY}/", step="repo")
    def repo(self, exchange: Exchange, owner: str, repo: str) -> Answer:
        """A Repository."""
        return self.api(exchange, owner, repo, lambda _: json_answer(200, {"slug": repo, "namespace": owner}))

    @route("GET", rf"/v1/packages/{REPOSITORY}/", step="list")
    def list_packages(self, exchange: Exchange, owner: str, repo: str) -> Answer:
        """The packages that a query finds, failed ones too."""
        return self.api(exchange, owner, repo, lambda _: self._list(exchange))

    @route("GET", rf"/v1/packages/{REPOSITORY}/(?P<slug>[^/]+)/status/", step="status")
    def status(self, exchange: Exchange, owner: str, repo: str, slug: str) -> Answer:
        """A PackageStatus."""
        return self.api(exchange, owner, repo, lambda _: json_answer(200, self._status(self._package(slug))))

    # The package.

    @route("POST", rf"/v1/packages/{REPOSITORY}/validate-upload/conda/", step="validate")
    def validate_package(self, exchange: Exchange, owner: str, repo: str) -> Answer:
        """Nothing, where a package could be made."""
        return self.api(exchange, owner, repo, lambda _: Answer(204))

    @route("POST", rf"/v1/packages/{REPOSITORY}/upload/conda/", step="create")
    def create(self, exchange: Exchange, owner: str, repo: str) -> Answer:
        """A CondaPackageUpload, which is still to be processed."""
        return self.api(exchange, owner, repo, lambda sent: self._create(exchange, sent))

    # Reading.

    @route(
        "GET HEAD",
        r"/(?!v1/|_)(?P<owner>[^/]+)/(?P<repo>[^/]+)/(?P<subdir>[^/]+)/(?P<filename>(?:shards/)?[^/]+)",
        step="get",
    )
    def get(self, exchange: Exchange, owner: str, repo: str, subdir: str, filename: str) -> Answer:
        """A file of the channel, for those who know the password of the user ``token``."""
        if self.private and basic_credential(exchange) != ("token", self.key):
            return self.refusal(401, "Unable to authenticate")
        if (owner, repo) != (self.owner, self.channel):
            return self.refusal(404, "Not found.")
        return self.read(exchange, subdir, filename)

    # What the API does.

    def _list(self, exchange: Exchange) -> Answer:
        match = re.fullmatch(r"filename:\^(.+)\$", dict(exchange.recorded.query).get("query", ""))
        if not self.expect(exchange, match is not None, "the query is not that for one file name"):
            return json_answer(200, [])
        found = [package for package in self.packages if package.filename == match[1]]
        return json_answer(200, [self._document(package, lying=exchange.lying) for package in found])

    def _create(self, exchange: Exchange, sent: dict[str, Any]) -> Answer:
        self.expect(exchange, set(sent) <= {"package_file", "republish", "tags"}, "a package has other fields")
        slot = self.slots.get(str(sent.get("package_file")))
        if slot is None or slot.body is None:
            raise RefusedError(422, "Invalid input.", package_file=["No such file was uploaded"])
        if slot.body.md5 != slot.md5:
            raise RefusedError(422, "Invalid input.", package_file=["The checksum is another"])
        package = Package(uuid.uuid4().hex, slot.filename, slot.body, sent.get("tags", ""), pending=self.lag)
        if not slot.body.names(slot.filename):
            package.failure = "The file is not a conda package."
        elif not self.shelf.place(
            f"{package.subdir}/{slot.filename}", slot.body, overwrite=sent.get("republish", self._republishes)
        ):
            package.failure = _DUPLICATE
        else:
            self.packages = [each for each in self.packages if each.filename != slot.filename or each.failure]
        self.packages.append(package)
        return json_answer(201, {**self._document(package), "is_sync_completed": False, "is_sync_failed": False})

    def _package(self, slug: str) -> Package:
        found = next((package for package in self.packages if slug in (package.slug, package.name)), None)
        if found is None:
            raise RefusedError(404, "Not found.")
        return found

    def _status(self, package: Package) -> dict[str, Any]:
        processed = package.pending <= 0
        package.pending -= 1
        return {
            "is_sync_completed": processed and not package.failure,
            "is_sync_failed": processed and bool(package.failure),
            "is_sync_in_progress": not processed,
            "sync_progress": 100 if processed else 10,
            "status_str": ("Failed" if package.failure else "Completed") if processed else "In Progress",
            "stage_str": "Fully Synchronised" if processed else "Uploading",
            "status_reason": package.failure if processed and package.failure else None,
        }

    def _document(self, package: Package, *, lying: bool = False) -> dict[str, Any]:
        body = package.body.lied_about() if lying else package.body
        return {
            "slug": package.name,
            "slug_perm": package.slug,
            "filename": package.filename,
            "format": "conda",
            "size": body.size,
            "checksum_md5": body.md5,
            "checksum_sha256": body.sha256,
            "cdn_url": f"https://dl.invalid/public/{self.owner}/{self.channel}/conda/{package.subdir}/{package.filename}",
            **self._status(package),
        }
