"""The credential that keelback finds for a URL is the one that py-rattler sends there.

py-rattler's own client is watched through a loopback proxy: it asks the proxy for every plain-HTTP URL, whatever its
host, and what it has put onto the request by then is what it found. Lookups for ``s3://`` do not pass the proxy; they
are held to rattler's rules by a table, in the unit tests of the lookup.

Where the two differ, the design wants them to, and :data:`DIFFERENCES` says why. The property test allows those
differences that a generated case can meet, and no others; each of them is also shown by itself.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx2
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from keelback.credentials.keys import candidate_keys, service_keys
from keelback.credentials.lookup import find
from keelback.credentials.opening import default_stores
from keelback.errors import CredentialError, UsageError
from keelback.hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from keelback.credentials.kinds import Credential

pytestmark = pytest.mark.peer("py-rattler")

AuthFile = dict[str, dict[str, Any]]

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


class _Proxy(ThreadingHTTPServer):
    """Answers 404 to everything, and keeps what it was asked, in order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Record)
        self.seen: list[Sent] = []


class _Record(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def do_GET(self) -> None:
        host, path = re.fullmatch(r"http://([^/]*?)(?::\d+)?(/.*)", self.path).groups()  # type: ignore[union-attr]  # else the test fails
        self.server.seen.append(Sent(host, path, self.headers["Authorization"]))
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Rattler:
    """py-rattler with a home of its own, watched through a proxy."""

    proxy: _Proxy
    home: Path

    @property
    def named(self) -> Path:
        """What ``RATTLER_AUTH_FILE`` names."""
        return self.home / "named.json"

    def keep(self, named: AuthFile | str, default: AuthFile | None = None) -> None:
        """Write both auth files."""
        self.named.write_text(named if isinstance(named, str) else json.dumps(named))
        path = self.home / ".rattler" / "credentials.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(default or {}))
        self.named.chmod(0o600)
        path.chmod(0o600)

    def sends(self, urls: Sequence[str]) -> list[Sent | None]:
        """What py-rattler sends for each of *urls*, which end in their number; nothing for those it does not take."""
        self.proxy.seen.clear()
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.home), "RATTLER_AUTH_FILE": str(self.named)}
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            variables[name] = f"http://127.0.0.1:{self.proxy.server_port}"
        subprocess.run(
            [sys.executable, "-P", "-c", _ASK],
            input=json.dumps(urls),
            env=variables,
            cwd=self.home,
            stderr=subprocess.DEVNULL,  # a panic of rattler's is not ours to print
            text=True,
            timeout=60,
            check=False,
        )
        by_number = {int(sent.path.rpartition("/")[2]): sent for sent in self.proxy.seen}
        return [by_number.get(number) for number in range(len(urls))]

    def keelback_sends(self, url: str) -> Sent | None:
        """What keelback would send in its place, from the same two files."""
        stores = default_stores(environ={"RATTLER_AUTH_FILE": str(self.named)}, home=self.home, keychain=False)
        match = find(url, stores)
        host = host_of(url)
        if not host:
            return None
        path = re.sub(r"^http://[^/]*", "", url)
        return sent_with(match.credential if match else None, host, path)


def sent_with(credential: Credential | None, host: str, path: str) -> Sent:
    """The request for *path* of *host* with *credential* put onto it."""
    request = httpx2.Request("GET", f"http://placeholder.example{path}")  # the kinds do not look at the host
    if isinstance(credential, httpx2.Auth):
        request = next(credential.sync_auth_flow(request))
    return Sent(host, request.url.raw_path.decode(), request.headers.get("Authorization"))


@pytest.fixture
def rattler(tmp_path: Path, require_peer: Callable[[str, bool, str], None]) -> Iterator[Rattler]:
    """Make a home for py-rattler, and the proxy it has to pass."""
    require_peer("py-rattler", importlib.util.find_spec("rattler") is not None, "it is not installed")
    with _Proxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Rattler(proxy, tmp_path)
        proxy.shutdown()
        thread.join()


# --- the law ----------------------------------------------------------------------------------------------------------

_names = st.sampled_from(
    [
        *["prefix.dev", "repo.prefix.dev", "beta.prefix.dev", "anaconda.org", "api.anaconda.org", "conda.anaconda.org"],
        *["example.com", "a.example.com", "b.a.example.com", "com", "localhost", "a.localhost", "a..example.com"],
        *["bücher.example.com", "faß.prefix.dev", "😀.prefix.dev", "under_score.example.com", "-x-.a.example.com"],
        *["xn--bcher-kva.example.com", "example.com.", "prefix.dev.", "EXAMPLE.com", "Repo.Prefix.DEV", "a.b.c.d.e"],
        *["ex%61mple.com", "b%C3%BCcher.example.com", "prefix。dev"],
        *["10.0.0.1", "10.1", "0xa000001", "167772161", "012.0.0.1", "10.0.0.1.", "[::1]", "[0:0:0::1]", "[FE80::A]"],
        *["[::ffff:10.0.0.1]", "1.2.3.4.5", "256.0.0.1", "[::g]", "a b.com", "a%00.com", "09.1", "x.1"],
    ]
)
_ports = st.sampled_from(["", "", "", "", "", ":80", ":8000", ":8000", ":", ":99999"])
_paths = st.sampled_from(["/channel/linux-64", "/channel", "/t", ""])


@st.composite
def _urls(draw: st.DrawFn) -> list[str]:
    """Fifteen URLs; each ends in its number, by which the proxy knows it again."""
    return [f"http://{draw(_names)}{draw(_ports)}{draw(_paths)}/{number}" for number in range(15)]


_tokens = st.from_regex(r"[A-Za-z0-9_.~+=@:-]{1,12}", fullmatch=True).filter(lambda token: set(token) != {"."})
_words = st.text("aZ9 :@%/üß\"'", max_size=8)
_values = st.one_of(
    st.builds(lambda token: {"BearerToken": token}, _tokens),
    st.builds(lambda token: {"CondaToken": token}, _tokens),
    st.builds(lambda name, word: {"BasicHTTP": {"username": name, "password": word}}, _words, _words),
    st.just({"S3Credentials": {"access_key_id": "AK", "secret_access_key": "SK", "session_token": None}}),
    st.builds(
        lambda token: {"OAuth": {"access_token": token, "token_endpoint": "http://id.invalid", "client_id": "me"}},
        _tokens,
    ),
)


@st.composite
def _keys_near(draw: st.DrawFn, urls: Sequence[str]) -> str:
    """A key that one of *urls* leads to, or one that only looks as if it did."""
    url = draw(st.sampled_from(urls))
    host = re.match(r"http://([^/]*)", url)[1]  # type: ignore[index]  # _urls writes no others
    looks_like_it = [host, f"*.{host}", f"*.{host.partition('.')[2]}", f"http://{host}", f"{host}/", "*", "*."]
    return draw(st.sampled_from([*candidate_keys(url), *(service_keys(url) * 20), *looks_like_it]))


@st.composite
def _cases(draw: st.DrawFn) -> tuple[list[str], AuthFile, AuthFile]:
    """URLs, and what the two auth files hold."""
    urls = draw(_urls())
    files = st.dictionaries(_keys_near(urls), _values, min_size=1, max_size=6)
    return urls, draw(files), draw(files)


def test_generated_urls_get_what_py_rattler_gives_them(rattler: Rattler) -> None:
    """Over several hundred pairs of auth files and URL, py-rattler and keelback send the same.

    The only differences are a known service's other names, and a path that has its ``/t/`` already.
    """
    tally: Counter[str] = Counter()

    @settings(max_examples=40, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
    @given(_cases())
    def agree(case: tuple[list[str], AuthFile, AuthFile]) -> None:
        urls, named, default = case
        rattler.keep(named, default)
        for url, theirs in zip(urls, rattler.sends(urls), strict=True):
            tally["urls"] += 1
            ours = rattler.keelback_sends(url)
            if ours != theirs:
                difference = _difference(url, named, default)
                assert difference is not None, (url, named, default, ours, theirs)
                tally[difference] += 1
            elif ours is None:
                tally["refused by both"] += 1
            elif ours.authorization or "/t/" in ours.path:
                tally["authorized alike"] += 1

    agree()
    assert tally["urls"] >= 500
    assert tally["authorized alike"] >= 100
    assert tally["refused by both"] >= 20


def _difference(url: str, *files: AuthFile) -> str | None:
    """Which of the differences that the design wants this case shows; nothing where it shows none."""
    keys = [key for key in candidate_keys(url) if any(key in file for file in files)]
    if not keys and any(key in file for key in service_keys(url) for file in files):
        return "service"
    if keys and re.search(r"^http://[^/]*/t/", url):
        first = next(file[keys[0]] for file in files if keys[0] in file)
        return "token in path" if "CondaToken" in first else None
    return None


# --- the differences --------------------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """A case in which keelback does otherwise, and why the design wants that."""

    why: str
    named: AuthFile | str
    url: str
    theirs: Callable[[Sent | None], bool]
    ours: Callable[[Sent | CredentialError | None], bool]


DIFFERENCES = {
    "service": Difference(
        "the key that rattler-build's documentation shows is meant for the whole service",
        {"anaconda.org": {"BearerToken": "abc"}},
        "http://api.anaconda.org/x/0",
        lambda sent: sent == Sent("api.anaconda.org", "/x/0", None),
        lambda sent: sent == Sent("api.anaconda.org", "/x/0", "Bearer abc"),
    ),
    "token in path": Difference(
        "a request that is tried again, or that came with a token, must not get a second one",
        {"prefix.dev": {"CondaToken": "abc"}},
        "http://prefix.dev/t/own/0",
        lambda sent: sent == Sent("prefix.dev", "/t/abc/t/own/0", None),
        lambda sent: sent == Sent("prefix.dev", "/t/own/0", None),
    ),
    "token with reserved characters": Difference(
        "a token is one segment of the path, whatever it holds",
        {"prefix.dev": {"CondaToken": "a/b"}},
        "http://prefix.dev/x/0",
        lambda sent: sent == Sent("prefix.dev", "/t/a/b/x/0", None),
        lambda sent: sent == Sent("prefix.dev", "/t/a%2Fb/x/0", None),
    ),
    "token in quotes": Difference(
        "no server takes it, and the answer would be a 401 that explains nothing",
        {"prefix.dev": {"BearerToken": "'abc'"}},
        "http://prefix.dev/x/0",
        lambda sent: sent == Sent("prefix.dev", "/x/0", "Bearer 'abc'"),
        lambda sent: isinstance(sent, CredentialError) and "quotes" in str(sent),
    ),
    "empty token": Difference(
        "an unset variable in CI is the cause, and is named",
        {"prefix.dev": {"CondaToken": ""}},
        "http://prefix.dev/x/0",
        lambda sent: sent == Sent("prefix.dev", "/t//x/0", None),
        lambda sent: isinstance(sent, CredentialError) and "empty" in str(sent),
    ),
    "malformed file": Difference(
        "the place and the reason are told before anything is sent; py-rattler sends nothing, and does not say why",
        '{"prefix.dev": {"BearerToken": "abc"},}',
        "http://prefix.dev/x/0",
        lambda sent: sent is None,
        lambda sent: isinstance(sent, CredentialError) and "line 1, column 39" in str(sent),
    ),
    "key that is there twice": Difference(
        "which of the two counts should not be a question; with py-rattler it is the last",
        '{"prefix.dev": {"BearerToken": "a"}, "prefix.dev": {"BearerToken": "b"}}',
        "http://prefix.dev/x/0",
        lambda sent: sent == Sent("prefix.dev", "/x/0", "Bearer b"),
        lambda sent: isinstance(sent, CredentialError) and "twice" in str(sent),
    ),
}


@pytest.mark.parametrize("difference", DIFFERENCES.values(), ids=list(DIFFERENCES))
def test_a_difference_is_as_it_is_listed(rattler: Rattler, difference: Difference) -> None:
    """Each difference on the list is there, on both sides: when rattler changes, the list has to."""
    rattler.keep(difference.named)
    (theirs,) = rattler.sends([difference.url])
    assert difference.theirs(theirs), theirs
    ours: Sent | CredentialError | None
    try:
        ours = rattler.keelback_sends(difference.url)
    except CredentialError as error:
        ours = error
    assert difference.ours(ours), ours


def test_a_backslash_is_a_slash_there_and_an_error_here(rattler: Rattler) -> None:
    """One more difference: httpx2 would take another host out of this URL than the lookup does."""
    rattler.keep({"prefix.dev": {"BearerToken": "abc"}})
    url = "http://prefix.dev\\@evil.example/0"
    assert rattler.sends([url]) == [Sent("prefix.dev", "/@evil.example/0", "Bearer abc")]
    with pytest.raises(UsageError, match="backslash"):
        rattler.keelback_sends(url)


def test_a_missing_named_file_is_silence_there_and_an_error_here(rattler: Rattler) -> None:
    """One more difference: a file that was named has to be there."""
    rattler.keep({})
    rattler.named.unlink()
    assert rattler.sends(["http://prefix.dev/0"]) == [Sent("prefix.dev", "/0", None)]
    with pytest.raises(CredentialError, match="no such file"):
        rattler.keelback_sends("http://prefix.dev/0")


@pytest.mark.parametrize("userinfo", ["ann:s%40cret", "ann", "ann:", ":pw", "%C3%BC:x"])
def test_name_and_password_in_the_url_win_in_both(rattler: Rattler, userinfo: str) -> None:
    """No difference: what stands in the URL goes before what stands in a file."""
    rattler.keep({"prefix.dev": {"BearerToken": "abc"}})
    url = f"http://{userinfo}@prefix.dev/0"
    (theirs,) = rattler.sends([url])
    assert theirs is not None
    assert theirs.authorization is not None
    assert theirs.authorization.startswith("Basic ")
    assert rattler.keelback_sends(url) == theirs
