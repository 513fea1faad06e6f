"""The credential that keelback finds for a URL is the one that py-rattler sends there.

py-rattler's own client is watched through a loopback proxy (:mod:`peers.rattler_watched`), and so is an ``httpx2``
client with :class:`keelback.StoredAuth`; both have the same home and the same variables. Lookups for ``s3://`` do not
pass the proxy; they are held to rattler's rules by a table, in the unit tests of the lookup.

Where the two differ, the design wants them to, and :data:`DIFFERENCES` says why. The property test allows those
differences that a generated case can meet, and no others; each of them is also shown by itself.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_plus

import httpx2
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from keelback.credentials.keys import candidate_keys, service_keys
from keelback.credentials.lookup import find
from keelback.credentials.opening import default_stores
from keelback.errors import CredentialError, UsageError
from keelback.hosts import host_of
from peers.rattler_watched import Rattler, Sent, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keelback.credentials.kinds import Credential

pytestmark = pytest.mark.peer("py-rattler")

AuthFile = dict[str, dict[str, Any]]


@dataclass
class Kept:
    """What is in the stores.

    Attributes:
        named: the file that ``RATTLER_AUTH_FILE`` names; text is written as it is.
        default: ``~/.rattler/credentials.json``.
        netrc: ``~/.netrc``; ``None`` for no such file.
        named_netrc: the file that ``NETRC`` names; ``None`` where that is unset.
        own: keelback's own file, which py-rattler does not know.
        anaconda: what ``anaconda login`` saved, by URL; py-rattler does not know it either.
    """

    named: AuthFile | str = field(default_factory=dict)
    default: AuthFile = field(default_factory=dict)
    netrc: str | None = None
    named_netrc: str | None = None
    own: AuthFile = field(default_factory=dict)
    anaconda: Mapping[str, str] = field(default_factory=dict)


def keep(rattler: Rattler, kept: Kept) -> None:
    """Write the stores into py-rattler's home, in place of those that were there, and name them in its variables."""
    home = rattler.home
    tokens = {home / "anaconda" / "data" / f"{quote_plus(url)}.token": token for url, token in kept.anaconda.items()}
    files = {
        home / "named.json": kept.named if isinstance(kept.named, str) else json.dumps(kept.named),
        home / ".rattler" / "credentials.json": json.dumps(kept.default),
        home / ".netrc": kept.netrc,
        home / "named-netrc": kept.named_netrc,
        home / "own.json": json.dumps(kept.own),
        **tokens,
    }
    for path, content in files.items():
        path.unlink(missing_ok=True)
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())
            path.chmod(0o600)
    rattler.variables = {
        "RATTLER_AUTH_FILE": str(home / "named.json"),
        "KEELBACK_CREDENTIALS_FILE": str(home / "own.json"),
        "BINSTAR_CONFIG_DIR": str(home / "anaconda"),
    }
    if kept.named_netrc is not None:
        rattler.variables["NETRC"] = str(home / "named-netrc")


def keelback_finds(rattler: Rattler, url: str) -> Sent | None:
    """What goes onto a request for *url*, by what the lookup finds for it; nothing where it takes no such URL."""
    stores = default_stores(environ=rattler.variables, home=rattler.home, keychain=False)
    match = find(url, stores)
    host = host_of(url)
    return _sent_with(match.credential if match else None, host, _path_of(url)) if host else None


def _path_of(url: str) -> str:
    return re.sub(r"^http://[^/]*", "", url)


def _sent_with(credential: Credential | None, host: str, path: str) -> Sent:
    """The request for *path* of *host* with *credential* put onto it."""
    request = httpx2.Request("GET", f"http://placeholder.example{path}")  # the kinds do not look at the host
    if isinstance(credential, httpx2.Auth):
        request = next(credential.sync_auth_flow(request))
    return Sent(host, request.url.raw_path.decode(), request.headers.get("Authorization"))


@pytest.fixture
def rattler(tmp_path: Path, require_peer: Callable[[str, bool, str], None]) -> Iterator[Rattler]:
    """Make a home for py-rattler, and the proxy it has to pass."""
    require_peer("py-rattler", importlib.util.find_spec("rattler") is not None, "it is not installed")
    with watched(tmp_path) as running:
        yield running


# --- the law ----------------------------------------------------------------------------------------------------------

_names = st.sampled_from(
    [
        *["prefix.dev", "repo.prefix.dev", "beta.prefix.dev", "anaconda.org", "api.anaconda.org", "conda.anaconda.org"],
        *["example.com", "a.example.com", "b.a.example.com", "com", "localhost", "a.localhost", "a..example.com"],
        *["bücher.example.com", "faß.prefix.dev", "😀.prefix.dev", "under_score.example.com", "-x-.a.example.com"],
        *["xn--bcher-kva.example.com", "example.com.", "prefix.dev.", "EXAMPLE.com", "Repo.Prefix.DEV", "a.b.c.d.e"],
        *["prefix。dev"],
        *["10.0.0.1", "10.1", "0xa000001", "167772161", "012.0.0.1", "10.0.0.1.", "[::1]", "[0:0:0::1]", "[FE80::A]"],
        *["[::ffff:10.0.0.1]", "1.2.3.4.5", "256.0.0.1", "[::g]", "a b.com", "09.1", "x.1"],
    ]
)
_ports = st.sampled_from(["", "", "", "", "", ":80", ":8000", ":8000", ":", ":99999"])
_paths = st.sampled_from(["/channel/linux-64", "/channel", "/t", ""])
_userinfos = st.sampled_from([*[""] * 27, "ann:s%40cret@", "ann@", ":pw@"])


@st.composite
def _urls(draw: st.DrawFn) -> list[str]:
    """Fifteen URLs; each ends in its number, by which the proxy knows it again."""
    return [f"http://{draw(_userinfos)}{draw(_names)}{draw(_ports)}{draw(_paths)}/{number}" for number in range(15)]


_tokens = st.from_regex(r"[A-Za-z0-9_.~+=@:-]{1,12}", fullmatch=True).filter(lambda token: set(token) != {"."})
_words = st.text("aZ9 :@%/üß\"'", max_size=8)
_ends = st.sampled_from([{}, {"expires_at": None}, {"expires_at": 4102444800}, {"expires_at": 1 << 53}])
_values = st.one_of(
    st.builds(lambda token: {"BearerToken": token}, _tokens),
    st.builds(lambda token: {"CondaToken": token}, _tokens),
    st.builds(lambda name, word: {"BasicHTTP": {"username": name, "password": word}}, _words, _words),
    st.just({"S3Credentials": {"access_key_id": "AK", "secret_access_key": "SK", "session_token": None}}),
    st.builds(
        lambda token, refresh, end: {
            "OAuth": {"access_token": token, "token_endpoint": "http://id.invalid", "client_id": "me", **refresh, **end}
        },
        _tokens,
        st.sampled_from([{}, {"refresh_token": None}, {"refresh_token": "rt"}]),
        _ends,
    ),
)


@st.composite
def _keys_near(draw: st.DrawFn, urls: Sequence[str]) -> str:
    """A key that one of *urls* leads to, or one that only looks as if it did."""
    url = draw(st.sampled_from(urls))
    host = re.match(r"http://(?:[^/@]*@)?([^/]*)", url)[1]  # type: ignore[index]  # _urls writes no others
    looks_like_it = [host, f"*.{host}", f"*.{host.partition('.')[2]}", f"http://{host}", f"{host}/", "*", "*."]
    return draw(st.sampled_from([*candidate_keys(url), *(service_keys(url) * 20), *looks_like_it]))


class Netrc(NamedTuple):
    """A netrc file, and the hosts that it has something for."""

    text: str
    hosts: Sequence[str]


_spaces = st.sampled_from([" ", "  ", "\t", "\n", "\n    ", "\r\n"])
_netrc_words = st.one_of(
    st.text("aZ9:@%/üß\\'#=.", min_size=1, max_size=8),
    st.sampled_from(["login", "machine", "default", "macdef", "#pw", 'a"b', '"a', "'quoted'"]),
)
_asides = st.sampled_from(["", "", "", "default login any password one\n", "macdef init\ncd /pub\nmachine x\n\n"])


@st.composite
def _netrcs(draw: st.DrawFn, urls: Sequence[str]) -> Netrc:
    """A netrc file such as both read: entries of which parts are missing, twice, or in any order and layout."""
    hosts = draw(st.lists(_keys_near(urls).filter(lambda key: not re.search(r"\s", key)), min_size=1, max_size=5))
    text = draw(_asides)
    for host in hosts:
        parts = draw(st.permutations(["login", "account", "password"]))
        given = parts[: draw(st.integers(0, 3))]
        words = ["machine", host, *(word for part in given for word in (part, draw(_netrc_words)))]
        text += "".join(f"{word}{draw(_spaces)}" for word in words) + "\n" + draw(_asides)
    return Netrc(text, hosts)


class Case(NamedTuple):
    """URLs, and what the stores hold.

    Attributes:
        urls: the URLs.
        named: see :class:`Kept`.
        default: see :class:`Kept`.
        netrc: the netrc file that counts.
        other_netrc: what is in ``~/.netrc`` where ``NETRC`` names *netrc*; nothing where that is ``~/.netrc``.
        own: see :class:`Kept`.
    """

    urls: list[str]
    named: AuthFile
    default: AuthFile
    netrc: Netrc
    other_netrc: Netrc | None
    own: AuthFile

    def kept(self) -> Kept:
        """The stores."""
        if self.other_netrc is None:
            return Kept(self.named, self.default, self.netrc.text, own=self.own)
        return Kept(self.named, self.default, self.other_netrc.text, self.netrc.text, own=self.own)

    def difference(self, url: str, theirs: Sent | None) -> str | None:
        """Which of the differences that the design wants *url* shows; nothing where it shows none."""
        first = next((key for key in candidate_keys(url) if self._holds(key)), None)
        if "@" in url or theirs is None:
            return None
        if first is None:
            beyond = any(key in self.own for key in candidate_keys(url))
            service = any(self._holds(key) or key in self.own for key in service_keys(url))
            nothing_sent = theirs.authorization is None and theirs.path == _path_of(url)
            return ("own file" if beyond else "service" if service else None) if nothing_sent else None
        if _path_of(url).startswith("/t/"):
            value = next((file[first] for file in (self.named, self.default) if first in file), {})
            return "token in path" if "CondaToken" in value else None
        return None

    def _holds(self, key: str) -> bool:
        """Whether one of those stores has *key* that py-rattler knows."""
        return key in self.named or key in self.default or key in self.netrc.hosts


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    urls = draw(_urls())
    files = st.dictionaries(_keys_near(urls), _values, min_size=1, max_size=5)
    netrcs, few = _netrcs(urls), st.dictionaries(_keys_near(urls), _values, max_size=2)
    return Case(urls, draw(files), draw(files), draw(netrcs), draw(st.none() | netrcs), draw(few))


def test_generated_urls_get_what_py_rattler_gives_them(rattler: Rattler) -> None:
    """Over several hundred pairs of stores and URL, py-rattler and keelback send the same.

    The only differences are a known service's other names, a path that has its ``/t/`` already, and keelback's own
    file. What keelback's lookup finds is also what a client of keelback's puts onto the wire.
    """
    tally: Counter[str] = Counter()

    @settings(max_examples=40, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
    @given(_cases())
    def agree(case: Case) -> None:
        keep(rattler, case.kept())
        all_theirs, all_sent = rattler.sends(case.urls), rattler.keelback_sends(case.urls)
        for url, theirs, sent in zip(case.urls, all_theirs, all_sent, strict=True):
            tally["urls"] += 1
            found = keelback_finds(rattler, url)
            if found is None:
                assert sent is None or sent.authorization is None, (url, case, sent)
            elif sent is not None:
                assert sent == found, (url, case, sent, found)
                tally["sent"] += 1
            if found != theirs:
                difference = case.difference(url, theirs)
                assert difference is not None, (url, case, found, theirs)
                tally[difference] += 1
            elif found is None:
                tally["refused by both"] += 1
            elif found.authorization or found.path != _path_of(url):
                tally["authorized alike"] += 1

    agree()
    assert tally["urls"] >= 500
    assert tally["sent"] >= 300
    assert tally["authorized alike"] >= 150
    assert tally["refused by both"] >= 20


# --- the differences --------------------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """A case in which keelback does otherwise, and why the design wants that."""

    why: str
    kept: Kept
    url: str
    theirs: Callable[[Sent | None], bool]
    ours: Callable[[Sent | CredentialError | None], bool]


_LOGIN = {"access_token": "abc", "token_endpoint": "http://id.invalid", "client_id": "me"}


def _basic(name_and_password: str) -> str:
    return f"Basic {base64.b64encode(name_and_password.encode()).decode()}"


DIFFERENCES = {
    "service": Difference(
        "the key that rattler-build's documentation shows is meant for the whole service",
        Kept({"anaconda.org": {"BearerToken": "abc"}}),
        "http://api.anaconda.org/x/0",
        lambda sent: sent == Sent("api.anaconda.org", "/x/0", None),
        lambda sent: sent == Sent("api.anaconda.org", "/x/0", "Bearer abc"),
    ),
    "token in path": Difference(
        "a request that is tried again, or that came with a token, must not get a second one",
        Kept({"prefix.dev": {"CondaToken": "abc"}}),
        "http://prefix.dev/t/own/0",
        lambda sent: sent == Sent("prefix.dev", "/t/abc/t/own/0", None),
        lambda sent: sent == Sent("prefix.dev", "/t/own/0", None),
    ),
    "token with reserved characters": Difference(
        "a token is one segment of the path, whatever it holds",
        Kept({"prefix.dev": {"CondaToken": "a/b"}}),
        "http://prefix.dev/x/0",
        lambda sent: sent == Sent("prefix.dev", "/t/a/b/x/0", None),
        lambda sent: sent == Sent("prefix.dev", "/t/a%2Fb/x/0", None),
    ),
    "token in quotes": Difference(
        "no server takes it, and the answer would be a 401 that explains nothing",
        Kept({"prefix.dev": {"BearerToken": "'abc'"}}),
        "http://prefix.dev/x/0",
        lambda sent: sent == Sent("prefix.dev", "/x/0", "Bearer 'abc'"),
        lambda sent: isinstance(sent, CredentialError) and "quotes" in str(sent),
    ),
    "empty token": Difference(
        "an unset variable in CI is the cause, and is named",
        Kept({"prefix.dev": {"CondaToken": ""}}),
        "http://prefix.dev/x/0",
        lambda sent: sent == Sent("prefix.dev", "/t//x/0", None),
        lambda sent: isinstance(sent, CredentialError) and "empty" in str(sent),
    ),
    "malformed file": Difference(
        "the place and the reason are told before anything is sent; py-rattler sends nothing, and does not say why",
        Kept('{"prefix.dev": {"BearerToken": "abc"},}'),
        "http://prefix.dev/x/0",
        lambda sent: sent is None,
        lambda sent: isinstance(sent, CredentialError) and "line 1, column 39" in str(sent),
    ),
    "key that is there twice": Difference(
        "which of the two counts should not be a question; with py-rattler it is the last",
        Kept('{"prefix.dev": {"BearerToken": "a"}, "prefix.dev": {"BearerToken": "b"}}'),
        "http://prefix.dev/x/0",
        lambda sent: sent == Sent("prefix.dev", "/x/0", "Bearer b"),
        lambda sent: isinstance(sent, CredentialError) and "twice" in str(sent),
    ),
    "netrc: quotes": Difference(
        "curl and Python take the quotes off, and quotes are the only way to have a space in a password",
        Kept(netrc='machine prefix.dev login ann password "s3cret"'),
        "http://prefix.dev/0",
        lambda sent: sent == Sent("prefix.dev", "/0", _basic('ann:"s3cret"')),
        lambda sent: sent == Sent("prefix.dev", "/0", _basic("ann:s3cret")),
    ),
    "netrc: a comment": Difference(
        "the other programs that read the file know comments; py-rattler drops the whole file for one",
        Kept(netrc="# at work\nmachine prefix.dev login ann password s3cret"),
        "http://prefix.dev/0",
        lambda sent: sent == Sent("prefix.dev", "/0", None),
        lambda sent: sent == Sent("prefix.dev", "/0", _basic("ann:s3cret")),
    ),
    "netrc: user for login": Difference(
        "Python takes it for 'login'; py-rattler drops the whole file for it",
        Kept(netrc="machine prefix.dev user ann password s3cret"),
        "http://prefix.dev/0",
        lambda sent: sent == Sent("prefix.dev", "/0", None),
        lambda sent: sent == Sent("prefix.dev", "/0", _basic("ann:s3cret")),
    ),
    "netrc: a part that is there twice": Difference(
        "the last one counts, as with other programs; py-rattler drops the whole file for it",
        Kept(netrc="machine prefix.dev login ann login bob password s3cret"),
        "http://prefix.dev/0",
        lambda sent: sent == Sent("prefix.dev", "/0", None),
        lambda sent: sent == Sent("prefix.dev", "/0", _basic("bob:s3cret")),
    ),
    "netrc: a byte order mark": Difference(
        "editors of Windows put it there; py-rattler drops the whole file for it",
        Kept(netrc="\ufeffmachine prefix.dev login ann password s3cret"),
        "http://prefix.dev/0",
        lambda sent: sent == Sent("prefix.dev", "/0", None),
        lambda sent: sent == Sent("prefix.dev", "/0", _basic("ann:s3cret")),
    ),
    "login that has expired": Difference(
        "a new login is what helps, and is named; py-rattler asks without it, and the answer is a 401",
        Kept({"prefix.dev": {"OAuth": {**_LOGIN, "expires_at": 1}}}),
        "http://prefix.dev/0",
        lambda sent: sent == Sent("prefix.dev", "/0", None),
        lambda sent: isinstance(sent, CredentialError) and sent.code == "login-expired",
    ),
    "anaconda login": Difference(
        "whoever has logged in with anaconda need not log in again",
        Kept(anaconda={"https://api.anaconda.org": "abc"}),
        "http://conda.anaconda.org/x/0",
        lambda sent: sent == Sent("conda.anaconda.org", "/x/0", None),
        lambda sent: sent == Sent("conda.anaconda.org", "/t/abc/x/0", None),
    ),
    "own file": Difference(
        "what keelback alone keeps, such as helpers, counts where rattler's stores have nothing",
        Kept({"example.com": {"BearerToken": "other"}}, own={"*.prefix.dev": {"BearerToken": "abc"}}),
        "http://repo.prefix.dev/x/0",
        lambda sent: sent == Sent("repo.prefix.dev", "/x/0", None),
        lambda sent: sent == Sent("repo.prefix.dev", "/x/0", "Bearer abc"),
    ),
    "own file, for a path": Difference(
        "two channels of one host can have two tokens, which rattler's keys cannot say",
        Kept({"prefix.dev": {"BearerToken": "host"}}, own={"prefix.dev/x": {"BearerToken": "path"}}),
        "http://prefix.dev/x/0",
        lambda sent: sent == Sent("prefix.dev", "/x/0", "Bearer host"),
        lambda sent: sent == Sent("prefix.dev", "/x/0", "Bearer path"),
    ),
}


@pytest.mark.parametrize("difference", DIFFERENCES.values(), ids=list(DIFFERENCES))
def test_a_difference_is_as_it_is_listed(rattler: Rattler, difference: Difference) -> None:
    """Each difference on the list is there, on both sides: when rattler changes, the list has to."""
    keep(rattler, difference.kept)
    (theirs,) = rattler.sends([difference.url])
    assert difference.theirs(theirs), theirs
    ours: Sent | CredentialError | None
    try:
        (ours,) = rattler.keelback_sends([difference.url])
    except CredentialError as error:
        ours = error
    assert difference.ours(ours), ours


@pytest.mark.parametrize(
    "kept",
    [
        Kept(own={"prefix.dev": {"BearerToken": "own"}}, netrc="machine prefix.dev login ann password s3cret"),
        Kept(own={"repo.prefix.dev": {"BearerToken": "own"}}, default={"*.dev": {"BearerToken": "abc"}}),
        Kept({"*.anaconda.org": {"CondaToken": "abc"}}, anaconda={"https://api.anaconda.org": "saved"}),
    ],
    ids=["netrc before the own file", "a wildcard before the own file", "a wildcard before anaconda login"],
)
def test_what_only_keelback_knows_takes_nothing_from_rattlers_stores(rattler: Rattler, kept: Kept) -> None:
    """No difference: py-rattler's last resort goes before keelback's first addition, but for keys with a path."""
    keep(rattler, kept)
    urls = ["http://prefix.dev/x/0", "http://repo.prefix.dev/x/1", "http://conda.anaconda.org/x/2"]
    theirs = rattler.sends(urls)
    served = [sent for sent in theirs if sent is not None and (sent.authorization or sent.path.startswith("/t/"))]
    assert served
    ours = rattler.keelback_sends(urls)
    assert [sent for sent in ours if sent in served] == served


def test_an_empty_variable_for_netrc_means_no_netrc_in_both(rattler: Rattler) -> None:
    """No difference: ``NETRC=`` turns ``~/.netrc`` off."""
    keep(rattler, Kept(netrc="machine prefix.dev login ann password s3cret"))
    url = "http://prefix.dev/0"
    served = [Sent("prefix.dev", "/0", _basic("ann:s3cret"))]
    assert rattler.sends([url]) == rattler.keelback_sends([url]) == served
    rattler.variables["NETRC"] = ""
    bare = [Sent("prefix.dev", "/0", None)]
    assert rattler.sends([url]) == rattler.keelback_sends([url]) == bare


@pytest.mark.parametrize(
    ("url", "reached", "problem"),
    [
        ("http://prefix.dev\\@evil.example/0", Sent("prefix.dev", "/@evil.example/0", "Bearer abc"), "a backslash"),
        ("http://pr%65fix.dev/0", Sent("prefix.dev", "/0", "Bearer abc"), "a percent sign in its host"),
        ("http://prefix%2edev/0", Sent("prefix.dev", "/0", "Bearer abc"), "a percent sign in its host"),
    ],
)
def test_a_host_that_httpx2_reads_otherwise_is_an_error_here(
    rattler: Rattler, url: str, reached: Sent, problem: str
) -> None:
    """One more difference: the lookup and httpx2 would take two hosts out of such a URL; py-rattler knows one."""
    keep(rattler, Kept({"prefix.dev": {"BearerToken": "abc"}}))
    assert rattler.sends([url]) == [reached]
    with pytest.raises(UsageError, match=problem):
        keelback_finds(rattler, url)


def test_a_missing_named_file_is_silence_there_and_an_error_here(rattler: Rattler) -> None:
    """One more difference: a file that was named has to be there."""
    keep(rattler, Kept())
    (rattler.home / "named.json").unlink()
    assert rattler.sends(["http://prefix.dev/0"]) == [Sent("prefix.dev", "/0", None)]
    with pytest.raises(CredentialError, match="no such file"):
        keelback_finds(rattler, "http://prefix.dev/0")


@pytest.mark.parametrize("userinfo", ["ann:s%40cret", "ann", "ann:", ":pw", "%C3%BC:x"])
def test_name_and_password_in_the_url_win_in_both(rattler: Rattler, userinfo: str) -> None:
    """No difference: what stands in the URL goes before what stands in a file."""
    keep(rattler, Kept({"prefix.dev": {"BearerToken": "abc"}}, netrc="machine prefix.dev login bob password other"))
    url = f"http://{userinfo}@prefix.dev/0"
    (theirs,) = rattler.sends([url])
    assert theirs is not None
    assert theirs.authorization is not None
    assert theirs.authorization.startswith("Basic ")
    assert rattler.keelback_sends([url]) == [theirs]
