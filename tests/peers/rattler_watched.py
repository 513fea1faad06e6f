"""py-rattler's own client, watched: what it puts onto a request for any host, seen through a proxy on loopback.

It asks the proxy for every plain-HTTP URL, whatever its host, and what is on the request by then is what it found in
its stores. A client with keelback's credentials can be put in its place, with the same home and the same variables.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

import httpx2

import keelback
from keelback.errors import UsageError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ASK = """
import asyncio, json, os, sys
from rattler.networking import AuthenticationMiddleware, Client
from rattler.package_streaming import download_bytes

async def ask(urls):
    client = Client([AuthenticationMiddleware()])
    for url in urls:
        try:
            await download_bytes(client, url)
        except BaseException:
            pass  # the proxy's 404, or a URL that rattler does not take: the proxy's record tells them apart

asyncio.run(ask(json.load(sys.stdin)))
os._exit(0)  # its threads may crash the interpreter's orderly end
"""


class Sent(NamedTuple):
    """What of a request depends on the credential."""

    host: str
    path: str
    authorization: str | None


class Proxy(ThreadingHTTPServer):
    """Answers 404 to everything, and keeps what it was asked, in order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Record)
        self.seen: list[Sent] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, count: int) -> list[Sent | None]:
        """What it was asked since the last time, for paths that end in a number below *count*; by that number."""
        by_number = {int(sent.path.rpartition("/")[2]): sent for sent in self.seen}
        self.seen.clear()
        return [by_number.get(number) for number in range(count)]


class _Record(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_GET(self) -> None:
        host = re.sub(r":\d*$", "", self.headers["Host"])  # httpx2 leaves out an address's brackets in the first line
        path = re.sub(r"^http://[^/]*", "", self.path)
        self.server.seen.append(Sent(host, path, self.headers["Authorization"]))
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Rattler:
    """py-rattler with a home of its own.

    Attributes:
        proxy: what it has to pass.
        home: its home, with the stores that are there by default.
        variables: what else its environment says, such as ``RATTLER_AUTH_FILE``.
    """

    proxy: Proxy
    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    def sends(self, urls: Sequence[str]) -> list[Sent | None]:
        """What py-rattler sends for each of *urls*, which end in their number; nothing for those it does not take."""
        proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), self.proxy.url)
        subprocess.run(
            [sys.executable, "-P", "-c", _ASK],
            input=json.dumps(urls),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "NO_PROXY": "127.0.0.1",  # where a server of the test gives tokens
                **self.variables,
                **proxies,
            },
            cwd=self.home,
            stderr=subprocess.DEVNULL,  # a panic of rattler's is not ours to print
            text=True,
            timeout=60,
            check=False,
        )
        return self.proxy.take(len(urls))

    def keelback_sends(self, urls: Sequence[str]) -> list[Sent | None]:
        """What an ``httpx2`` client with :class:`keelback.StoredAuth` sends for *urls* in its place.

        There is nothing for those that httpx2 does not take, or that keelback refuses because of how they are written.
        Hosts are given as keys have them: httpx2 spells some otherwise.
        """
        variables = {"HOME": str(self.home), "USERPROFILE": str(self.home), **self.variables}
        with mock.patch.dict(os.environ, variables):
            auth = keelback.StoredAuth(keychain=False, insecure_hosts=[host for url in urls if (host := host_of(url))])
        with httpx2.Client(auth=auth, proxy=self.proxy.url, trust_env=False) as client:
            for url in urls:
                with contextlib.suppress(httpx2.InvalidURL, UsageError):
                    client.get(url)
        return [sent and sent._replace(host=host_of(f"http://{sent.host}")) for sent in self.proxy.take(len(urls))]


@contextlib.contextmanager
def watched(home: Path) -> Iterator[Rattler]:
    """py-rattler at home in *home*, with a proxy that runs until the block ends."""
    with Proxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Rattler(proxy, home)
        finally:
            proxy.shutdown()
            thread.join()
