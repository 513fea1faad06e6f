"""The network of a page: a scripted server for each host that pages name, reached by HTTPS through a proxy.

Commands get the real names: the proxy leads to the server that goes by the name, and the server has a certificate for
it. So keys, URLs and messages are those that a reader sees, and nothing leaves this machine.
"""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import ssl
import threading
from typing import TYPE_CHECKING, Any, Final, Self

import trustme

from leaks import new_secret
from servers.scripted import (
    AnacondaServer,
    Answer,
    ArtifactoryServer,
    Exchange,
    PrefixServer,
    QuetzServer,
    ScriptedServer,
    json_answer,
    route,
)
from servers.scripted.channel import basic_credential, credential
from servers.scripted.channel_server import channel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHANNEL: Final = "my-channel"
OWNER: Final = "my-org"
REPOSITORY: Final = "conda-local"
USER: Final = "ann"

_HTTPS: Final = 443


class _Named(ScriptedServer):
    """A server that goes by a name of its own, and not by its address."""

    name = ""

    @property
    def url(self) -> str:
        """The origin, as a client has it."""
        return f"https://{self.name}"

    def arrived(self, exchange: Exchange) -> None:
        """Look for the name where the address is expected."""
        headers = exchange.recorded.headers
        own = f"127.0.0.1:{self.port}"
        headers[:] = [(name, own if name.lower() == "host" else value) for name, value in headers]
        super().arrived(exchange)


class _Prefix(_Named, PrefixServer):
    name = "prefix.dev"


class _Anaconda(_Named, AnacondaServer):
    name = "api.anaconda.org"

    @route("GET", r"/authentication", step="authentication")
    def authentication(self, exchange: Exchange) -> Answer:
        """What the token permits."""
        if credential(exchange, "token") != self._token:
            return self.refusal(401, "Unauthorized")
        return json_answer(200, {"scopes": ["api:read", "api:write", "conda:download"]})


class _Quetz(_Named, QuetzServer):
    name = "quetz.example.com"

    @route("GET", r"/api/paginated/users", step="users")
    def users(self, exchange: Exchange) -> Answer:
        """The users that a key may see."""
        if exchange.recorded.header("x-api-key") != self._key:
            return self.refusal(401, "Not logged in")
        return json_answer(200, {"pagination": {"skip": 0, "limit": 1, "all_records_count": 1}, "result": []})


class _Artifactory(_Named, ArtifactoryServer):
    name = "example.com"

    @route("GET", r"/artifactory/api/system/ping", step="ping")
    def ping(self, exchange: Exchange) -> Answer:
        """Whether it is well, for those it knows."""
        if self._basic == basic_credential(exchange) or self._token == credential(exchange, "Bearer"):
            return Answer(200, b"OK", [("Content-Type", "text/plain")])
        return self.refusal(401, "Bad credentials")


class _Plain(_Named):
    """A web server with two channels, each with a token of its own."""

    name = "conda.example.com"

    def __init__(self, tokens: dict[str, str], contents: dict[str, Any], tls: ssl.SSLContext) -> None:
        super().__init__(tls=tls)
        self._tokens = tokens
        self._contents = contents

    @route("GET HEAD", r"/(?P<channel>one|two)/(?P<path>.+)", step="get")
    def get(self, exchange: Exchange, channel: str, path: str) -> Answer:
        """A file of a channel."""
        if credential(exchange, "Bearer") != self._tokens[channel]:
            return Answer(401, b"a token is needed", [("WWW-Authenticate", "Bearer")])
        if path not in self._contents:
            return Answer(404, b"not found")
        return Answer(200, self._contents[path])

    def not_found(self, exchange: Exchange) -> Answer:  # noqa: ARG002 - the engine's signature
        """It knows nothing of any API."""
        return Answer(404, b"not found")


class Network:
    """All hosts that pages name; a context.

    Args:
        folder: where the certificate of its authority is put.
        archives: what the channels of a plain web server have.

    Attributes:
        secrets: the token, key or password of each server, by the variable that would hold it.
        hosts: the server that answers for each host.
        variables: what a program needs to reach them.
    """

    def __init__(self, folder: Path, archives: Sequence[Path]) -> None:
        self.secrets = {
            "PREFIX_API_KEY": new_secret("docs-prefix"),
            "ANACONDA_API_KEY": new_secret("docs-anaconda"),
            "QUETZ_API_KEY": new_secret("docs-quetz"),
            "ARTIFACTORY_TOKEN": new_secret("docs-artifactory-token"),
            "ARTIFACTORY_PASSWORD": new_secret("docs-artifactory-password"),
            "TOKEN_ONE": new_secret("docs-one"),
            "TOKEN_TWO": new_secret("docs-two"),
        }
        secret = self.secrets
        authority = trustme.CA()
        self._authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self._authority))

        def tls(*names: str) -> ssl.SSLContext:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(*names).configure_cert(context)
            return context

        prefix = _Prefix(
            secret["PREFIX_API_KEY"], channel=CHANNEL, private=True, tls=tls("prefix.dev", "repo.prefix.dev")
        )
        names = ("api.anaconda.org", "conda.anaconda.org")
        anaconda = _Anaconda(secret["ANACONDA_API_KEY"], owner=OWNER, tls=tls(*names))
        quetz = _Quetz(secret["QUETZ_API_KEY"], channel=CHANNEL, tls=tls("quetz.example.com"))
        artifactory = _Artifactory(
            secret["ARTIFACTORY_TOKEN"],
            username=USER,
            password=secret["ARTIFACTORY_PASSWORD"],
            repo=REPOSITORY,
            tls=tls("example.com"),
        )
        plain = _Plain(
            {"one": secret["TOKEN_ONE"], "two": secret["TOKEN_TWO"]}, channel(*archives), tls("conda.example.com")
        )
        self.servers: list[ScriptedServer] = [prefix, anaconda, quetz, artifactory, plain]
        self.hosts: dict[str, ScriptedServer] = {
            "prefix.dev": prefix,
            "repo.prefix.dev": prefix,
            "api.anaconda.org": anaconda,
            "conda.anaconda.org": anaconda,
            "quetz.example.com": quetz,
            "example.com": artifactory,
            "conda.example.com": plain,
        }
        self._proxy = _Proxy(self.hosts)
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for server in self.servers:
            self._running.enter_context(server)
        self._running.enter_context(self._proxy)
        return self

    def __exit__(self, *exception: object) -> None:
        self._running.close()

    @property
    def variables(self) -> dict[str, str]:
        """What a program needs to get there, and nowhere else."""
        return {"HTTPS_PROXY": f"http://127.0.0.1:{self._proxy.port}", "SSL_CERT_FILE": str(self._authority)}


class _Proxy(socketserver.ThreadingTCPServer):
    """A proxy that knows a few hosts, and refuses all others; a context.

    Args:
        hosts: the server for each host.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hosts: dict[str, ScriptedServer]) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.hosts = hosts
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Tunnel(socketserver.StreamRequestHandler):
    """One connection through the proxy."""

    server: _Proxy
    rbufsize = 0

    def handle(self) -> None:
        head = b"".join(iter(self.rfile.readline, b"\r\n")).decode("latin-1")
        method, target, *_ = head.split(" ", 2)
        name, _, port = target.rpartition(":")
        if method != "CONNECT" or name not in self.server.hosts or port != str(_HTTPS):
            self.wfile.write(b"HTTP/1.1 502 No such host\r\nContent-Length: 0\r\n\r\n")
            return
        address = ("127.0.0.1", self.server.hosts[name].port)
        with contextlib.suppress(OSError), socket.create_connection(address) as behind:
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            _splice(self.connection, behind)


def _splice(front: socket.socket, behind: socket.socket) -> None:
    """Copy both ways until either end closes."""
    while True:
        for one in select.select([front, behind], [], [])[0]:
            data = one.recv(65536)
            if not data:
                return
            (behind if one is front else front).sendall(data)
