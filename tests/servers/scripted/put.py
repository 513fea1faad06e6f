"""Servers that take packages by PUT: WebDAV, as different programs do it, Nexus, and the registry of Gitea."""

from __future__ import annotations

from typing import Any

from .channel import ChannelServer, basic_credential, credential
from .engine import route
from .exchange import Exchange, json_answer
from .shelf import Body
from .wire import Answer

MANNERS = frozenset({"replaces", "conditional", "refuses", "no-head", "wants-folders", "stores-nothing", "cuts"})
_FOLDER = r"/base/(?P<channel>[^/]+)/(?P<subdir>[^/]+)"


class PutServer(ChannelServer):
    """A server of files with one channel, below ``/base``.

    Args:
        credentials: those that are let in: a token, or a name and a password.
        manners: what the server is like: ``replaces`` without a word, whatever the condition (nginx); ``conditional``
            (Apache); ``refuses`` what it has with a 400 (Nexus); ``no-head``: answers none; ``wants-folders`` made
            before files; ``stores-nothing``, and says that it did; ``cuts`` the last byte off.
        options: what :class:`ChannelServer` takes.
    """

    scheme = "put"

    def __init__(self, *credentials: str | tuple[str, str], manners: str = "replaces", **options: Any) -> None:
        super().__init__(**{"channel": "chan", "private": True, **options})
        assert manners in MANNERS
        self.folders: set[str] = set()
        self._credentials = credentials
        self._manners = manners

    @property
    def service_url(self) -> str:
        """Below which the channel is."""
        return f"{self.url}/base"

    @route("PUT", rf"{_FOLDER}/(?P<filename>[^/]+)", step="upload")
    def upload(self, exchange: Exchange, channel: str, subdir: str, filename: str) -> Answer:
        """Store a file, or not."""
        body = Body.receive(exchange.chunks())
        if refused := self._refused(exchange, channel):
            return refused
        if self._manners == "wants-folders" and subdir not in self.folders:
            return Answer(409)
        path = f"{subdir}/{filename}"
        self.expect(exchange, body.names(filename, subdir), "the file is not the package that its name says")
        if self._manners == "conditional" and exchange.recorded.header("if-none-match") == "*" and path in self.files:
            return Answer(412)
        if self._manners == "refuses" and path in self.files:
            return self.refusal(400, "Repository does not allow updating assets")
        if self._manners == "stores-nothing":
            return Answer(201)
        if self._manners == "cuts":
            body = Body.receive([(body.content or b"")[:-1]])
        status = 204 if path in self.files else 201
        self.shelf.place(path, body, overwrite=True)
        return Answer(status)

    @route("MKCOL", rf"{_FOLDER}/", step="folder")
    def make_folder(self, exchange: Exchange, channel: str, subdir: str) -> Answer:
        """Make a folder, where the server has such."""
        if refused := self._refused(exchange, channel):
            return refused
        is_new = self._manners == "wants-folders" and subdir not in self.folders
        self.folders.add(subdir)
        return Answer(201 if is_new else 405)

    @route("GET HEAD", rf"{_FOLDER}/(?P<filename>(?:shards/)?[^/]+)", step="get")
    def get(self, exchange: Exchange, channel: str, subdir: str, filename: str) -> Answer:
        """A file, or the index."""
        if refused := self._refused(exchange, channel):
            return refused
        if exchange.recorded.method == "HEAD" and self._manners == "no-head":
            return Answer(405)
        return self.read(exchange, subdir, filename)

    def _refused(self, exchange: Exchange, channel: str) -> Answer | None:
        shown = {credential(exchange, "Bearer"), basic_credential(exchange)}
        if not shown.intersection(self._credentials):
            return self.refusal(401, "Unauthorized")
        return None if channel == self.channel else self.refusal(404, "no such folder")


class GiteaServer(ChannelServer):
    """The conda registry of an owner on Gitea (``routers/api/packages/conda``).

    Args:
        username: of the owner.
        password: or a token in its place.
        options: what :class:`ChannelServer` takes.
    """

    scheme = "put"

    def __init__(self, username: str, password: str, **options: Any) -> None:
        super().__init__(**{"channel": "chan", "private": True, **options})
        self._basic = (username, password)

    @property
    def service_url(self) -> str:
        """The registry of the owner."""
        return f"{self.url}/api/packages/{self._basic[0]}/conda"

    def refusal(self, status: int, message: str) -> Answer:
        """An error as Gitea puts it."""
        return json_answer(status, {"reason": "Scripted", "message": message})

    @route("PUT", r"/api/packages/(?P<owner>[^/]+)/conda/(?P<channel>.+)/(?P<filename>[^/]+)", step="upload")
    def upload(self, exchange: Exchange, owner: str, channel: str, filename: str) -> Answer:
        """Store a package where its own metadata says; never replace one."""
        body = Body.receive(exchange.chunks())
        if refused := self._refused(exchange, owner):
            return refused
        self.expect(exchange, channel == self.channel, "the package goes to another channel, such as chan/noarch")
        if not body.names(filename):
            return self.refusal(400, "package is invalid")
        path = f"{body.index['subdir']}/{filename}"
        if not self.shelf.place(path, body, overwrite=False):
            return self.refusal(409, "package file already exists")
        return Answer(201)

    @route(
        "GET",
        r"/api/packages/(?P<owner>[^/]+)/conda/(?P<channel>.+)/(?P<subdir>[^/]+)/(?P<filename>[^/]+)",
        step="get",
    )
    def get(self, exchange: Exchange, owner: str, channel: str, subdir: str, filename: str) -> Answer:
        """A package, or the index, of which there is none where nothing is in the subdir; there is no HEAD."""
        if refused := self._refused(exchange, owner):
            return refused
        has_files = any(path.startswith(f"{subdir}/") for path in self.files)
        if channel != self.channel or not has_files or filename not in {"repodata.json", *map(_name, self.files)}:
            return self.refusal(404, "")
        return self.read(exchange, subdir, filename)

    def _refused(self, exchange: Exchange, owner: str) -> Answer | None:
        if basic_credential(exchange) != self._basic:
            return self.refusal(401, "Unauthorized")
        return None if owner == self._basic[0] else self.refusal(404, "owner does not exist")


def _name(path: str) -> str:
    return path.rpartition("/")[2]
