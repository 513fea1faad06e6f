"""The anaconda.org API as anaconda-client and rattler_upload speak to it, its object store, and its channels.

An upload is a flow: package, release, stage, a form to the object store, commit. The form goes to a URL of its own and
carries one-time secrets in its fields; no Authorization belongs there.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from leaks import new_secret

from .channel import ChannelServer, credential
from .engine import route
from .exchange import Exchange, json_answer
from .multipart import MultipartError, boundary_of, parts
from .shelf import Body, Stored
from .wire import Answer

_OWNER = r"(?P<owner>[^/]+)"
_NAME = r"(?P<name>[^/]+)"
_VERSION = r"(?P<version>[^/]+)"
_BASENAME = r"(?P<subdir>[^/]+)/(?P<filename>[^/]+)"
_API_STEPS = {"package", "release", "stage", "commit", "dist", "user", "root", "label"}
_API_WORDS = "package|release|dist|stage|commit|user|users|channels|download|_upload|packages|conda"
_READ = r"(?:/t/(?P<t1>[^/]+))?(?:/conda)?(?:/t/(?P<t2>[^/]+))?"
_READ += rf"/(?!(?:{_API_WORDS})/){_OWNER}(?:/label/(?P<label>[^/]+))?/(?P<subdir>(?!label/)[^/]+)/(?P<filename>"
_READ += r"(?:shards/)?[^/]+)"


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class FormRefusedError(Exception):
    """A form that the object store does not take."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass
class Package:
    """A package of the owner, with its releases' attributes by version."""

    public: bool
    attrs: dict[str, Any]
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Staged:
    """A file between its stage and its commit."""

    name: str
    version: str
    subdir: str
    filename: str
    sha256: str
    labels: list[str]
    form: dict[str, str]
    body: Body | None = None
    committed: bool = False

    @property
    def basename(self) -> str:
        """What the API calls the file."""
        return f"{self.subdir}/{self.filename}"


class AnacondaServer(ChannelServer):
    """An anaconda.org with one owner.

    Args:
        token: the token that may read and write.
        owner: the owner's name.
        reader: a token that may read only.
        private: whether reading the channel needs a token.
        mount: where the API is, such as ``/api``; the channels are then at ``/conda``, and everywhere also at the root.
        collects: whether deleting the last file of a release or package deletes that too, as anaconda.org does.
        store_host: the host in the URL of the object store; ``localhost`` makes it another origin.
        options: what :class:`ScriptedServer` takes, and ``index_lag``.
    """

    scheme = "anaconda"

    def __init__(
        self,
        token: str,
        *,
        owner: str = "owner",
        reader: str | None = None,
        private: bool = False,
        mount: str = "",
        collects: bool = True,
        store_host: str = "127.0.0.1",
        **options: Any,
    ) -> None:
        super().__init__(channel=owner, private=private, **options)
        self.packages: dict[str, Package] = {}
        """What was registered, by lower-case name."""
        self.staged: dict[str, Staged] = {}
        """Everything ever staged, by dist_id."""
        self._token = token
        self._reader = reader
        self._mount = mount
        self._collects = collects
        self._store_host = store_host

    @property
    def service_url(self) -> str:
        """What ``keelback upload anaconda --url`` is given."""
        return self.url + self._mount

    @property
    def channel_url(self) -> str:
        """Where readers find the channel."""
        return f"{self.url}/conda/{self.channel}"

    def put(self, path: str, content: bytes) -> Stored:
        """Have *content* stored already, with package and release."""
        stored = super().put(path, content)
        index = stored.body.index or {}
        package = self.packages.setdefault(index.get("name", "?"), Package(public=True, attrs={}))
        package.releases.setdefault(index.get("version", "?"), {})
        return stored

    def arrived(self, exchange: Exchange) -> None:
        """Take the mount off the path."""
        if self._mount and exchange.path.startswith(self._mount + "/"):
            exchange.path = exchange.path[len(self._mount) :]

    def filename_of(self, _exchange: Exchange, groups: dict[str, str]) -> str | None:
        """The archive a request is about; the form's is known from its stage."""
        staged = self.staged.get(groups.get("upload_id", ""))
        return staged.filename if staged else groups.get("filename")

    def respond(self, exchange: Exchange) -> Answer:
        """The answer, after a look at what every API request must have."""
        if exchange.recorded.step in _API_STEPS:
            self._check_api(exchange)
        return super().respond(exchange)

    # Who and what is there.

    @route("HEAD GET", r"/?", step="root")
    def root(self, _exchange: Exchange) -> Answer:
        """The API is here."""
        return json_answer(200, {})

    @route("GET", r"/user", step="user")
    def user(self, exchange: Exchange) -> Answer:
        """Who the token belongs to."""
        token = credential(exchange, "token")
        if token is None or token not in {self._token, self._reader}:
            return self.refusal(401, "Unauthorized")
        return json_answer(200, {"login": "ann", "created_at": "2026-01-02T03:04:05Z", "user_type": "user"})

    @route("GET POST PATCH", rf"/package/{_OWNER}/{_NAME}", step="package")
    def package(self, exchange: Exchange, owner: str, name: str) -> Answer:
        """Look at, create, or update a package."""
        return self._api(exchange, self._package, owner, name)

    @route("GET POST PATCH", rf"/release/{_OWNER}/{_NAME}/{_VERSION}", step="release")
    def release(self, exchange: Exchange, owner: str, name: str, version: str) -> Answer:
        """Look at, create, or update a release."""
        return self._api(exchange, self._release, owner, name, version)

    @route("GET DELETE", rf"/dist/{_OWNER}/{_NAME}/{_VERSION}/{_BASENAME}", step="dist")
    def dist(self, exchange: Exchange, owner: str, name: str, version: str, subdir: str, filename: str) -> Answer:
        """Look at a file, or delete it."""
        return self._api(exchange, self._dist, owner, name, version, f"{subdir}/{filename}")

    @route("POST", rf"/channels/{_OWNER}/(?P<label>[^/]+)", step="label")
    def add_label(self, exchange: Exchange, owner: str, label: str) -> Answer:
        """Put a label on a file."""
        return self._api(exchange, self._add_label, owner, label)

    # The three steps that bring a file.

    @route("POST", rf"/stage/{_OWNER}/{_NAME}/{_VERSION}/{_BASENAME}", step="stage")
    def stage(self, exchange: Exchange, owner: str, name: str, version: str, subdir: str, filename: str) -> Answer:
        """Announce a file; says where its bytes go."""
        return self._api(exchange, self._stage, owner, name, version, subdir, filename)

    @route("POST", r"/_upload/(?P<upload_id>[^/]+)", step="upload")
    def form(self, exchange: Exchange, upload_id: str) -> Answer:
        """The object store: fields as staged, then Content-Length, Content-MD5 and the file."""
        self._check_store_head(exchange)
        staged = self.staged.get(upload_id)
        if staged is None:
            return _store_error(403, "AccessDenied")
        try:
            body = self._read_form(exchange, staged)
        except MultipartError as error:
            self.flag(exchange, str(error))
            return _store_error(400, "MalformedPOSTRequest")
        except FormRefusedError as error:
            return _store_error(error.status, error.code)
        staged.body = body
        return Answer(201)

    @route("POST", rf"/commit/{_OWNER}/{_NAME}/{_VERSION}/{_BASENAME}", step="commit")
    def commit(self, exchange: Exchange, owner: str, name: str, version: str, subdir: str, filename: str) -> Answer:
        """Make a file that was staged and sent visible; the same commit may come again."""
        return self._api(exchange, self._commit, owner, name, version, f"{subdir}/{filename}")

    # Reading.

    @route("GET HEAD", _READ, step="get")
    def get(self, exchange: Exchange, t1: str, t2: str, owner: str, label: str, subdir: str, filename: str) -> Answer:
        """A file of the channel, or of a label of it."""
        token = t1 or t2 or credential(exchange, "token") or credential(exchange, "Bearer")
        if token not in {self._token, self._reader} - {None} and (token or self.private):
            return self.refusal(401, "Unauthorized")
        if owner != self.channel:
            return self.refusal(404, f"{owner} not found")
        return self.read(exchange, subdir, filename, label or "main")

    # What the API does.

    def _package(self, exchange: Exchange, sent: dict[str, Any], name: str) -> Answer:
        method, key = exchange.recorded.method, name.lower()
        known = self.packages.get(key)
        if method == "POST":
            self._check_package(exchange, sent, key)
            if known:
                raise RefusedError(409, f"package {name} exists")
            known = self.packages[key] = Package(bool(sent.get("public")), dict(sent.get("public_attrs") or {}))
        elif known is None:
            raise RefusedError(404, f"package {name} not found")
        elif method == "PATCH":
            self.expect(exchange, not sent.get("public"), "PATCH of a package sends public: true, which publishes it")
            self.expect(exchange, isinstance(sent.get("public_attrs"), dict), "PATCH of a package has no public_attrs")
            known.attrs.update(sent.get("public_attrs") or {})
        return json_answer(200, self._package_object(key, known))

    def _release(self, exchange: Exchange, sent: dict[str, Any], name: str, version: str) -> Answer:
        package = self.packages.get(name.lower())
        if package is None:
            raise RefusedError(404, f"package {name} not found")
        method = exchange.recorded.method
        if method == "POST":
            self.expect(exchange, isinstance(sent.get("requirements"), list), "a release has no list of requirements")
            described = sent.get("description") is None or isinstance(sent["description"], str)
            self.expect(exchange, described, "a release's description is neither null nor text")
            if version in package.releases:
                raise RefusedError(409, f"release {version} exists")
            package.releases[version] = sent
        elif version not in package.releases:
            raise RefusedError(404, f"release {version} not found")
        elif method == "PATCH":
            self.expect(exchange, isinstance(sent.get("public_attrs"), dict), "PATCH of a release has no public_attrs")
            package.releases[version].update(sent.get("public_attrs") or {})
        files = [{"basename": path} for path in self._files_of(name, version)]
        return json_answer(200, {"version": version, "distributions": files, "public_attrs": {}})

    def _dist(self, exchange: Exchange, _sent: dict[str, Any], name: str, version: str, basename: str) -> Answer:
        stored = self.files.get(basename)
        if stored is None or basename not in self._files_of(name, version):
            raise RefusedError(404, f"{basename} not found")
        if exchange.recorded.method == "DELETE":
            self.shelf.remove(basename)
            self._collect(name, version)
        return json_answer(200, _dist_object(basename, version, stored, lying=exchange.lying))

    def _add_label(self, _exchange: Exchange, sent: dict[str, Any], label: str) -> Answer:
        stored = self.files.get(str(sent.get("basename")))
        if stored is None:
            raise RefusedError(404, "file not found")
        stored.labels.add(label)
        return json_answer(201, {})

    def _stage(
        self, exchange: Exchange, sent: dict[str, Any], name: str, version: str, subdir: str, filename: str
    ) -> Answer:
        self._check_stage(exchange, sent, name, version, subdir, filename)
        package = self.packages.get(name.lower())
        if package is None or version not in package.releases:
            raise RefusedError(404, f"release {name} {version} not found")
        if f"{subdir}/{filename}" in self.files:
            raise RefusedError(409, f"{subdir}/{filename} exists")
        dist_id = uuid.uuid4().hex
        form = {
            "key": f"{dist_id}/{filename}",
            "acl": "private",
            "policy": base64.b64encode(new_secret("form-policy").encode()).decode(),
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-signature": new_secret("form-signature"),
        }
        labels = list(sent.get("channels") or ["main"])
        self.staged[dist_id] = Staged(name, version, subdir, filename, str(sent.get("sha256")), labels, form)
        post_url = f"{self.url.replace('127.0.0.1', self._store_host)}{self._mount}/_upload/{quote(dist_id)}"
        return json_answer(200, {"post_url": post_url, "form_data": form, "dist_id": dist_id})

    def _commit(self, exchange: Exchange, sent: dict[str, Any], name: str, version: str, basename: str) -> Answer:
        self.expect(exchange, set(sent) == {"dist_id"}, "a commit holds something else than dist_id")
        staged = self.staged.get(str(sent.get("dist_id")))
        if staged is None or (staged.name, staged.version, staged.basename) != (name, version, basename):
            raise RefusedError(404, "no such dist_id")
        if staged.body is None:
            raise RefusedError(400, "nothing was uploaded for this dist_id")
        if staged.body.sha256 != staged.sha256:
            raise RefusedError(422, "the file does not have the sha256 that was staged")
        if not staged.body.names(staged.filename, staged.subdir):
            raise RefusedError(422, "the file is not the package that its name says")
        if not staged.committed:
            if not self.shelf.place(basename, staged.body, overwrite=False, labels=staged.labels):
                raise RefusedError(409, f"{basename} exists")
            staged.committed = True
        return json_answer(200, {"url": f"{self.url}/{self.channel}/{name}", "basename": basename})

    # The object store.

    def _read_form(self, exchange: Exchange, staged: Staged) -> Body:
        found = parts(exchange.chunks(), boundary_of(exchange.recorded.header("content-type")))
        fields: list[tuple[str, str]] = []
        for part in found:
            if part.name == "file":
                break
            self.expect(exchange, part.filename is None, f"the field {part.name!r} has a filename")
            fields.append((part.name, part.read().decode()))
        else:
            raise MultipartError("there is no part named file")
        self.expect(exchange, part.header("content-transfer-encoding") is None, "the file is sent with an encoding")
        body = Body.receive(part.data)
        for after in found:
            self.flag(exchange, f"the field {after.name!r} comes after the file, where the object store ignores it")
            after.read()
        self._check_fields(exchange, staged, fields)
        sent = dict(fields)
        if any(sent.get(key) != value for key, value in staged.form.items()):
            raise FormRefusedError(403, "AccessDenied")
        if sent.get("Content-Length") != str(body.size):
            raise FormRefusedError(400, "EntityTooSmall")
        if sent.get("Content-MD5") != base64.b64encode(bytes.fromhex(body.md5)).decode():
            raise FormRefusedError(400, "InvalidDigest")
        return body

    def _check_fields(self, exchange: Exchange, staged: Staged, fields: list[tuple[str, str]]) -> None:
        order = [*staged.form, "Content-Length", "Content-MD5"]
        self.expect(exchange, [name for name, _ in fields] == order, "the form's fields are not in the order staged")

    def _check_store_head(self, exchange: Exchange) -> None:
        request = exchange.recorded
        for name in ("authorization", "x-api-key", "x-binstar-api-version", "cookie"):
            self.expect(exchange, request.header(name) is None, f"{name} was sent to the object store")
        self.expect(exchange, request.header("content-length") is not None, "the object store needs a Content-Length")

    # The API's own rules.

    def _api(self, exchange: Exchange, action: Any, owner: str, *names: str) -> Answer:
        sent = self._body(exchange)
        try:
            self._authorize(exchange, owner)
            with self.lock:
                return action(exchange, sent, *names)
        except RefusedError as error:
            return self.refusal(error.status, error.message)

    def _authorize(self, exchange: Exchange, owner: str) -> None:
        reading = exchange.recorded.method in {"GET", "HEAD"}
        token = credential(exchange, "token")
        if token is None or token not in {self._token, self._reader}:
            raise RefusedError(401, "Unauthorized")
        if token != self._token and not reading:
            raise RefusedError(403, "you may not write here")
        if owner != self.channel:
            raise RefusedError(404, f"{owner} not found")

    def _body(self, exchange: Exchange) -> dict[str, Any]:
        raw = exchange.read()
        if exchange.recorded.method in {"GET", "HEAD"} or (exchange.recorded.method == "DELETE" and not raw):
            self.expect(exchange, not raw, "a request that has no body has one")
            return {}
        media = (exchange.recorded.header("content-type") or "").partition(";")[0]
        self.expect(exchange, media == "application/json", "the body is not announced as application/json")
        try:
            sent = json.loads(raw)
        except ValueError:
            sent = None
        if not self.expect(exchange, isinstance(sent, dict), "the body is not a JSON object"):
            return {}
        return sent

    def _check_api(self, exchange: Exchange) -> None:
        request = exchange.recorded
        version = request.header("x-binstar-api-version") or ""
        self.expect(exchange, bool(re.fullmatch(r"\d+\.\d+\.\d+", version)), "x-binstar-api-version is missing")
        accepts = request.header("accept") or ""
        self.expect(exchange, "application/json" in accepts, "Accept is not application/json")

    def _check_package(self, exchange: Exchange, sent: dict[str, Any], name: str) -> None:
        attrs = sent.get("public_attrs")
        self.expect(exchange, isinstance(sent.get("public"), bool), "a new package does not say whether it is public")
        self.expect(exchange, sent.get("publish") is False, "publish is not false")
        if self.expect(exchange, isinstance(attrs, dict), "a new package has no public_attrs"):
            self.expect(exchange, str(attrs.get("name")).lower() == name, "public_attrs names another package")
            self.expect(exchange, attrs.get("package_types") == ["conda"], "package_types is not conda alone")

    def _check_stage(
        self, exchange: Exchange, sent: dict[str, Any], name: str, version: str, subdir: str, filename: str
    ) -> None:
        attrs = sent.get("attrs") if isinstance(sent.get("attrs"), dict) else {}
        labels = sent.get("channels")
        sha256 = str(sent.get("sha256"))
        stem = f"{name}-{version}-{attrs.get('build')}"
        labelled = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        self.expect(exchange, sent.get("distribution_type") == "conda", "distribution_type is not conda")
        self.expect(exchange, bool(re.fullmatch(r"[0-9a-f]{64}", sha256)), "sha256 is not 64 hexadecimal digits")
        self.expect(exchange, labelled, "channels is not a list of labels")
        self.expect(exchange, attrs.get("subdir", subdir) == subdir, "attrs names another subdir than the path")
        self.expect(
            exchange, filename in {f"{stem}.conda", f"{stem}.tar.bz2"}, "attrs names another file than the path"
        )

    def _files_of(self, name: str, version: str | None = None) -> list[str]:
        found = []
        for path, stored in self.files.items():
            index = stored.body.index or {}
            if str(index.get("name")).lower() == name.lower() and version in {None, index.get("version")}:
                found.append(path)
        return found

    def _collect(self, name: str, version: str) -> None:
        if self._collects and not self._files_of(name, version):
            self.packages[name.lower()].releases.pop(version, None)
            if not self.packages[name.lower()].releases:
                del self.packages[name.lower()]

    def _package_object(self, name: str, package: Package) -> dict[str, Any]:
        versions = list(package.releases)
        return {
            "name": name,
            "summary": str(package.attrs.get("summary", "")),
            "public": package.public,
            "package_types": ["conda"],
            "owner": {"login": self.channel},
            "releases": [{"version": version} for version in versions],
            "files": [{"basename": path} for path in self._files_of(name)],
            "full_name": f"{self.channel}/{name}",
            "latest_version": versions[-1] if versions else "",
            "conda_platforms": [],
            "builds": [],
            "published": False,
        }


def _dist_object(basename: str, version: str, stored: Stored, *, lying: bool) -> dict[str, Any]:
    body = stored.body.lied_about() if lying else stored.body
    return {
        "basename": basename,
        "description": "",
        "attrs": body.index or {},
        "labels": sorted(stored.labels),
        "md5": body.md5,
        "sha256": body.sha256,
        "size": body.size,
        "version": version,
        "type": "conda",
    }


def _store_error(status: int, code: str) -> Answer:
    page = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>scripted object store</Message></Error>'
    return Answer(status, page.encode(), [("Content-Type", "application/xml")])
