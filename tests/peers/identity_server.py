"""A real identity server, oidc-provider, out of what ``scripts/peers.py`` makes in ``.peers/identity-server``.

It has one public application, keelback's; anybody is logged in under the name that they type.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import urllib.request
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin

from peers.process import listening

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOME = Path(__file__).resolve().parents[2] / ".peers" / "identity-server"
NODE = shutil.which("node")
WHY_NOT = (
    "Node.js is not installed"
    if NODE is None
    else ""
    if (HOME / "ready").is_file()
    else "there is no .peers/identity-server: `make peers` says why"
)

_MOST_PAGES = 10


class IdentityServer:
    """A running server.

    Attributes:
        issuer: its own URL.
    """

    def __init__(self, issuer: str, inspector_secret: str) -> None:
        self.issuer = issuer
        self._inspector = base64.b64encode(f"inspector:{inspector_secret}".encode()).decode()

    def grants(self) -> Mapping[str, int]:
        """How many requests for tokens were made so far: ``{"refresh_token given": 1}``."""
        return json.loads(_opener().open(f"{self.issuer}/grants", timeout=30).read())

    def knows(self, token: str) -> bool:
        """Whether the server takes *token* for a good one (RFC 7662)."""
        request = urllib.request.Request(  # noqa: S310 - an http URL of this machine
            f"{self.issuer}/token/introspection",
            urlencode({"token": token}).encode(),
            {"Authorization": f"Basic {self._inspector}"},
        )
        active = json.loads(_opener().open(request, timeout=30).read())["active"]
        assert isinstance(active, bool)
        return active

    def browse(self, url: str, name: str = "ann") -> bool:
        """Be the browser of *name*, who logs in and says yes to everything; as a browser that can be opened.

        Raises:
            AssertionError: there is no end to the pages.
        """
        opener = _opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        data = None
        for _ in range(_MOST_PAGES):
            with opener.open(url, data, timeout=30) as answer:
                url, page = answer.url, answer.read().decode()
            form = _Form.on(page)
            if form is None:
                return True
            url = urljoin(url, form.action)
            data = urlencode({**form.fields, **({"login": name} if "login" in form.fields else {})}).encode()
        raise AssertionError(f"after {_MOST_PAGES} pages there still is a form")


@contextlib.contextmanager
def serving(folder: Path, *, inspector_secret: str) -> Iterator[IdentityServer]:
    """Run the server until the block ends; its output goes into *folder*, which is made."""
    assert NODE
    folder.mkdir(parents=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "INSPECTOR_SECRET": inspector_secret}

    def command(port: int) -> list[str | Path]:
        return [NODE or "", HOME / "server.mjs", str(port)]

    with listening(command, cwd=folder, log=folder / "output.log", env=env) as port:
        yield IdentityServer(f"http://127.0.0.1:{port}", inspector_secret)


def _opener(*handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)


@dataclass(frozen=True)
class _Form:
    """The first form of a page that is posted."""

    action: str
    fields: dict[str, str]

    @classmethod
    def on(cls, page: str) -> _Form | None:
        """The form on *page*; nothing where there is none."""
        finder = _Finder()
        finder.feed(page)
        return None if finder.action is None else cls(finder.action, finder.fields)


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action, self._inside = values.get("action", ""), True
        elif tag == "input" and self._inside and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
