"""The servers of a page's network that take packages besides the first five: Cloudsmith, conda-forge, and plain PUT."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, Final

from leaks import new_secret
from servers.scripted.channel import credential
from servers.scripted.cloudsmith import CloudsmithServer
from servers.scripted.conda_forge import PRODUCTION, STAGING, CondaForgeServer
from servers.scripted.engine import route
from servers.scripted.exchange import json_answer
from servers.scripted.proxy import NamedServer
from servers.scripted.put import GiteaServer, PutServer

if TYPE_CHECKING:
    from servers.scripted import Answer, Exchange

FEEDSTOCK: Final = "hull-feedstock"
_OF_CONDA_FORGE: Final = re.compile(rf"/feedstock-outputs/.*|/(?:[a-z]+/)?(?:{STAGING}|{PRODUCTION})/.*")


class Cloudsmith(NamedServer, CloudsmithServer):
    """A Cloudsmith that also takes the token of a service account, which it gives for any identity."""

    names = ("api.cloudsmith.io", "conda.cloudsmith.io")

    def __init__(self, key: str, **options: Any) -> None:
        super().__init__(key, **options)
        claims = json.dumps({"sub": "ci", "exp": 4_000_000_000}).encode()
        packed = base64.urlsafe_b64encode(claims).decode().rstrip("=")
        self._exchanged = f"e30.{packed}.{new_secret('docs-cloudsmith-signature')}"

    @property
    def url(self) -> str:
        """The origin of the API."""
        return f"https://{self.names[0]}"

    @route("POST", r"/openid/my-org/", step="exchange")
    def exchange(self, exchange: Exchange) -> Answer:
        """``POST openid/ORGANIZATION/``."""
        sent = json.loads(exchange.read())
        self.expect(exchange, set(sent) == {"oidc_token", "service_slug"}, "an exchange has other fields")
        return json_answer(201, {"token": self._exchanged})

    def is_known(self, exchange: Exchange) -> bool:
        """The key, or the token."""
        return credential(exchange, "Bearer") == self._exchanged or super().is_known(exchange)


class CondaForge(CondaForgeServer):
    """What anaconda.org and conda-forge have for feedstocks; reached through another server, see :meth:`is_for`."""

    @property
    def url(self) -> str:
        """The origin of the API."""
        return "https://api.anaconda.org"

    def is_for(self, exchange: Exchange) -> bool:
        """Whether a request to anaconda.org, or to conda-forge's service, is meant here."""
        is_staged = exchange.path.removeprefix("/_upload/") in self.staged
        has_token = credential(exchange, "token") == self._token
        return is_staged or has_token or _OF_CONDA_FORGE.fullmatch(exchange.path) is not None

    def answer(self, exchange: Exchange) -> Answer:
        """The answer to a request that came to another server."""
        found, groups = self._find(exchange)
        exchange.recorded.step = found.step if found else "unknown"
        exchange.recorded.filename = self.filename_of(exchange, groups)
        return self.respond(exchange)


class _Put(NamedServer, PutServer):
    """A server of files at a path of its own."""

    folder = ""

    @property
    def url(self) -> str:
        """The origin."""
        return f"https://{self.names[0]}"

    def arrived(self, exchange: Exchange) -> None:
        """Put the folder that the scripted server has in the place of its own."""
        super().arrived(exchange)
        if exchange.path.startswith(self.folder):
            exchange.path = f"/base{exchange.path.removeprefix(self.folder)}"


class WebDAV(_Put):
    """A web server with WebDAV."""

    names = ("dav.example.com",)
    folder = "/conda"


class Nexus(_Put):
    """A Nexus with a hosted repository, of which nothing may be replaced."""

    names = ("nexus.example.com",)
    folder = "/repository"


class Gitea(NamedServer, GiteaServer):
    """A Gitea, or a Forgejo."""

    names = ("git.example.com",)

    @property
    def url(self) -> str:
        """The origin."""
        return f"https://{self.names[0]}"
