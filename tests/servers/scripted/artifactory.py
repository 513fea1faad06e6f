"""Artifactory (JFrog's REST API: deploy, deploy by checksum, retrieve), or a plain WebDAV server in its place."""

from __future__ import annotations

import re
from typing import Any

from .channel import ChannelServer, basic_credential, credential
from .engine import route
from .exchange import Exchange, json_answer
from .shelf import Body
from .wire import Answer

_CHECKSUMS = {"X-Checksum-Sha256": "sha256", "X-Checksum-Sha1": "sha1", "X-Checksum-Md5": "md5"}
_DIGITS = {"sha256": 64, "sha1": 40, "md5": 32}
_FILE = r"/artifactory/(?:api/conda/)?(?P<repo>(?!api/)[^/]+)/(?P<subdir>[^/]+)/(?P<filename>[^/]+)"


class ArtifactoryServer(ChannelServer):
    """An Artifactory with one Conda repository.

    Args:
        token: the access token that Bearer authentication needs; None where it is not offered.
        username: the user of Basic authentication.
        password: that user's password.
        repo: the repository's key.
        private: whether reading needs a credential.
        may_overwrite: whether the user may delete, and so overwrite.
        plain_webdav: be nginx with WebDAV: no Artifactory headers, no JSON, and ``X-Checksum-*`` means nothing.
        options: what :class:`ScriptedServer` takes, and ``index_lag``.
    """

    scheme = "artifactory"

    def __init__(
        self,
        token: str | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        repo: str = "repo",
        private: bool = True,
        may_overwrite: bool = True,
        plain_webdav: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(channel=repo, private=private, **options)
        self._token = token
        self._basic = None if username is None else (username, password)
        self._may_overwrite = may_overwrite
        self._plain = plain_webdav
        self._elsewhere: dict[str, Body] = {}

    @property
    def service_url(self) -> str:
        """What ``keelback upload artifactory --url`` is given."""
        return f"{self.url}/artifactory"

    def know(self, content: bytes) -> None:
        """Have *content* in another repository, where checksum deploy finds it."""
        body = Body.receive([content])
        self._elsewhere[body.sha256] = body

    def dress(self, answer: Answer) -> Answer:
        """Add the header fields that every answer of this server has."""
        answer.headers += self._signature()
        return answer

    def refusal(self, status: int, message: str) -> Answer:
        """An error as Artifactory puts it, or as nginx does."""
        if self._plain:
            page = f"<html>\r\n<head><title>{status}</title></head>\r\n<center>nginx</center>\r\n</html>\r\n"
            return Answer(status, page.encode(), [("Content-Type", "text/html")])
        return json_answer(status, {"errors": [{"status": status, "message": message}]})

    @route("PUT", _FILE, step="upload")
    def deploy(self, exchange: Exchange, repo: str, subdir: str, filename: str) -> Answer:
        """Store a file, or the content that a checksum names."""
        body = Body.receive(exchange.chunks())
        self._check_deploy(exchange, body, subdir)
        if refused := self._refused(exchange, repo):
            return refused
        path = f"{subdir}/{filename}"
        if self._plain:
            existed = path in self.files
            self.shelf.place(path, body, overwrite=True)
            return Answer(204 if existed else 201)
        if exchange.recorded.header("x-checksum-deploy") == "true":
            known = self._known(exchange)
            if known is None:
                return self.refusal(404, "No existing file with the given checksums")
            body = known
        elif self._differs(exchange, body):
            return self.refusal(409, "Checksum error: the received data does not match the checksums sent")
        if not self.shelf.place(path, body, overwrite=self._may_overwrite):
            message = f"Not enough permissions to delete/overwrite artifact '{repo}:{path}' (needs DELETE permission)."
            return self.refusal(403, message)
        return json_answer(201, self._file_info(repo, path, body, lying=exchange.lying))

    @route("GET HEAD", _FILE, step="get")
    def retrieve(self, exchange: Exchange, repo: str, subdir: str, filename: str) -> Answer:
        """A file with its checksums in header fields, or repodata."""
        if refused := self._refused(exchange, repo):
            return refused
        if filename.startswith("repodata") and filename != "repodata.json":
            return self.refusal(404, "File not found.")
        answer = self.read(exchange, subdir, filename)
        stored = self.files.get(f"{subdir}/{filename}")
        if stored and answer.status == 200 and not self._plain:
            body = stored.body.lied_about() if exchange.lying else stored.body
            answer.headers = [(name, value) for name, value in answer.headers if name != "ETag"]
            answer.headers.append(("ETag", body.sha1))
            answer.headers += [(name, getattr(body, kind)) for name, kind in _CHECKSUMS.items()]
        elif stored and answer.status == 200:
            answer.headers = [(name, value) for name, value in answer.headers if name != "ETag"]
            answer.headers.append(("ETag", f'"69c1f0a0-{stored.size:x}"'))
        return answer

    @route("GET HEAD", r"/artifactory/(?!api/)(?P<repo>[^/]+)/?", step="repository")
    def repository(self, exchange: Exchange, repo: str) -> Answer:
        """The repository's root: says whether it is there."""
        return self._refused(exchange, repo) or Answer(200, b"<html>Index</html>", [("Content-Type", "text/html")])

    @route("GET", r"/artifactory/api/storage/(?P<repo>[^/]+)/(?P<subdir>[^/]+)/(?P<filename>[^/]+)", step="storage")
    def storage(self, exchange: Exchange, repo: str, subdir: str, filename: str) -> Answer:
        """File info with checksums."""
        if refused := self._refused(exchange, repo):
            return refused
        stored = self.files.get(f"{subdir}/{filename}")
        if stored is None or self._plain:
            return self.refusal(404, "Unable to find item")
        return json_answer(200, self._file_info(repo, f"{subdir}/{filename}", stored.body, lying=exchange.lying))

    def _signature(self) -> list[tuple[str, str]]:
        if self._plain:
            return [("Server", "nginx/1.26.3")]
        return [("Server", "Artifactory/7.98.7"), ("X-Artifactory-Id", "6f1f2c0e9b3e4d5a:-1a2b3c4d:18f0c0ffee0:-8000")]

    def _check_deploy(self, exchange: Exchange, body: Body, subdir: str) -> None:
        request = exchange.recorded
        for name, kind in _CHECKSUMS.items():
            for value in request.all(name):
                well_formed = re.fullmatch(r"[0-9a-f]+", value) and len(value) == _DIGITS[kind]
                self.expect(exchange, bool(well_formed), f"{name} is not a lower-case hexadecimal {kind}")
        self.expect(exchange, not request.query, "a deploy has no query")
        deploy = request.header("x-checksum-deploy")
        if deploy is None:
            declared = (body.index or {}).get("subdir", subdir)
            self.expect(exchange, declared == subdir, "the folder is not the subdir that the package names")
        else:
            self.expect(exchange, deploy in {"true", "false"}, "X-Checksum-Deploy is neither true nor false")
            self.expect(exchange, body.size == 0, "a deploy by checksum has a body")
            known = request.header("x-checksum-sha256") or request.header("x-checksum-sha1")
            self.expect(exchange, known is not None, "a deploy by checksum names no checksum")

    def _known(self, exchange: Exchange) -> Body | None:
        sha256 = exchange.recorded.header("x-checksum-sha256") or ""
        return self.shelf.find(sha256) or self._elsewhere.get(sha256)

    def _differs(self, exchange: Exchange, body: Body) -> bool:
        sent = {kind: exchange.recorded.header(name) for name, kind in _CHECKSUMS.items()}
        return any(value is not None and value != getattr(body, kind) for kind, value in sent.items())

    def _refused(self, exchange: Exchange, repo: str) -> Answer | None:
        reading = exchange.recorded.method != "PUT"
        bearer, basic = credential(exchange, "Bearer"), basic_credential(exchange)
        known = (bearer is not None and bearer == self._token) or (basic is not None and basic == self._basic)
        if not known and not (reading and not self.private and bearer is None and basic is None):
            answer = self.refusal(401, "Bad credentials")
            answer.headers.append(("WWW-Authenticate", 'Basic realm="Artifactory Realm"'))
            return answer
        if repo != self.channel:
            return self.refusal(404, f"Repository '{repo}' not found")
        return None

    def _file_info(self, repo: str, path: str, body: Body, *, lying: bool) -> dict[str, Any]:
        shown = body.lied_about() if lying else body
        checksums = {"sha1": shown.sha1, "md5": shown.md5, "sha256": shown.sha256}
        return {
            "repo": repo,
            "path": f"/{path}",
            "created": "2026-01-02T03:04:05.678Z",
            "createdBy": "alice",
            "downloadUri": f"{self.service_url}/{repo}/{path}",
            "mimeType": "application/octet-stream",
            "size": str(body.size),
            "checksums": checksums,
            "originalChecksums": checksums,
            "uri": f"{self.service_url}/api/storage/{repo}/{path}",
        }
