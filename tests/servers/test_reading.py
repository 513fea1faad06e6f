"""Reading a channel's index: what servers can put into it, and what is made of that."""

from __future__ import annotations

import gc
import gzip
import hashlib
import json
import ssl
import tracemalloc
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trustme

import keelback
import leaks
from keelback import Retry, Status
from keelback.archive import inspect
from keelback.channels import reading
from keelback.channels.reading import IndexReader
from keelback.channels.server import ASK_FIRST_FROM
from keelback.credentials.kinds import BearerToken
from keelback.errors import ChannelError, CredentialRefused, Forbidden, KeelbackError, TransportError
from keelback.listing import Listed
from keelback.secret import Secret
from keelback.transport import Client
from making import make_conda, make_tar_bz2, zstd
from servers.scripted import Answer, Exchange, PrefixServer, ScriptedServer, Trap, route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keelback import PackageArchive

SHARD_INDEX = "repodata_shards.msgpack.zst"
FORMS = (SHARD_INDEX, "repodata.json.zst", "repodata.json")


class IndexServer(ScriptedServer):
    """Serves ``noarch`` of a channel at its root from a table.

    Args:
        contents: what it has, by file name; a status for what it refuses, and a URL for what is elsewhere.
        options: what :class:`ScriptedServer` takes.
    """

    def __init__(self, contents: dict[str, bytes | int | str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.contents = contents or {}

    @route("GET", r"/linux-aarch64/.+", step="absent")
    def absent(self, _: Exchange) -> Answer:
        """Nothing, which it does not admit."""
        return self.refusal(403, "no")

    @route("GET", r"/noarch/(?P<name>.+)", step="get")
    def get(self, _: Exchange, name: str) -> Answer:
        """What the table says."""
        content = self.contents.get(name, 404)
        if isinstance(content, int):
            return self.refusal(content, "no")
        if isinstance(content, str):
            return Answer(302, headers=[("Location", content)])
        return Answer(200, content, [("Content-Encoding", "gzip")] if content.startswith(b"\x1f\x8b") else [])

    def names(self) -> list[str]:
        """What was asked for, in order."""
        return [request.target.removeprefix("/noarch/") for request in self.requests]


def packed(value: object) -> bytes:
    """*value* as shards and their index are packed."""
    return zstd(msgspec.msgpack.encode(value))


def shard_of(archives: list[PackageArchive]) -> tuple[str, bytes]:
    """The name and the bytes of the shard that lists *archives*."""
    content = packed({"packages.conda": {each.filename: {"sha256": bytes.fromhex(each.sha256)} for each in archives}})
    return f"{hashlib.sha256(content).hexdigest()}.msgpack.zst", content


def shard_index(shards: dict[str, str], folder: str = "./shards/") -> bytes:
    """The index that names *shards*, from package name to file name, which are in *folder*."""
    hashes = {name: bytes.fromhex(filename.partition(".")[0]) for name, filename in shards.items()}
    return packed({"info": {"shards_base_url": folder}, "version": 1, "shards": hashes})


def repodata(archives: list[PackageArchive]) -> bytes:
    """A ``repodata.json`` that lists *archives*."""
    return json.dumps({"packages": {each.filename: {"sha256": each.sha256} for each in archives}}).encode()


@pytest.fixture
def token() -> str:
    """The credential for the channel."""
    return leaks.new_secret("token")


@pytest.fixture
def client() -> Iterator[Client]:
    """A client that does not try again, and takes any certificate."""
    with Client(retry=Retry(attempts=1), timeout=10.0, insecure_hosts=["127.0.0.1"]) as made:
        yield made


@pytest.fixture
def reader(client: Client, token: str) -> Callable[[ScriptedServer], IndexReader]:
    """Makes the reader of a server's channel, with the credential."""
    return lambda server: IndexReader(client, server.url, BearerToken(Secret(token)))


@pytest.fixture
def demo(tmp_path: Path) -> PackageArchive:
    """A small package."""
    return keelback.inspect(make_conda(tmp_path / "dist"))


# -- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["shards", "repodata.json.zst", "repodata.json", "nothing"])
def test_each_part_of_an_index_is_read_once(reader, tmp_path: Path, form: str) -> None:
    """However many files are looked for, and whichever of them are there."""
    there = [keelback.inspect(make_conda(tmp_path, "hull", f"{n}.0")) for n in range(3)]
    missing = [keelback.inspect(make_conda(tmp_path, name, "9.0")) for name in ("hull", "boat")]
    name, shard = shard_of(there)
    contents: dict[str, dict[str, bytes | int | str]] = {
        "shards": {SHARD_INDEX: shard_index({"hull": name}), f"shards/{name}": shard},
        "repodata.json.zst": {"repodata.json.zst": zstd(repodata(there))},
        "repodata.json": {"repodata.json": repodata(there)},
        "nothing": {},
    }
    with IndexServer(contents[form]) as server:
        index = reader(server)
        found = {archive.filename: index.listed(archive) for archive in [*there, *missing]}
    expected = {archive.filename: Listed(sha256=archive.sha256) for archive in there} if form != "nothing" else {}
    assert found == {archive.filename: expected.get(archive.filename) for archive in [*there, *missing]}
    assert len(server.names()) == len(set(server.names()))
    server.assert_clean()


def test_shards_are_found_by_the_name_in_lower_case(reader, tmp_path: Path) -> None:
    """That is how an index names them, whatever the case of a package's own name (CEP 16)."""
    archive = keelback.inspect(make_tar_bz2(tmp_path, "Hull"))
    name, shard = shard_of([archive])
    with IndexServer({SHARD_INDEX: shard_index({"hull": name}), f"shards/{name}": shard}) as server:
        assert reader(server).listed(archive) == Listed(sha256=archive.sha256)


def test_shards_that_are_too_many_to_keep_are_read_again(reader, tmp_path: Path, monkeypatch) -> None:
    """Memory has a limit, and the answers are right all the same."""
    archives = [keelback.inspect(make_conda(tmp_path, name)) for name in ("hull", "boat", "oar")]
    shards = {archive.name: shard_of([archive]) for archive in archives}
    monkeypatch.setattr(reading, "_HELD_SHARDS", max(len(content) for _, content in shards.values()))
    contents: dict[str, bytes | int | str] = {f"shards/{name}": content for name, content in shards.values()}
    contents[SHARD_INDEX] = shard_index({package: name for package, (name, _) in shards.items()})
    with IndexServer(contents) as server:
        index = reader(server)
        for archive in [*archives, *archives]:
            assert index.listed(archive) == Listed(sha256=archive.sha256)
    assert server.names().count(SHARD_INDEX) == 1
    assert len(server.names()) > 1 + len(archives)


def test_a_shard_with_other_bytes_is_not_believed(reader, demo: PackageArchive) -> None:
    """The index says what its hash is."""
    name, shard = shard_of([demo])
    with IndexServer({SHARD_INDEX: shard_index({"demo": name}), f"shards/{name}": shard + b"x"}) as server:
        assert_bad_index(reader(server), demo, "not the shard that the index names")


# -- more than is good for anybody ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["repodata.json.zst", SHARD_INDEX])
def test_a_bomb_is_found_out(reader, demo: PackageArchive, form: str) -> None:
    """Kilobytes that unpack to more than a hundred times as much are an error long before they fill the memory."""
    with IndexServer({form: zstd(b'{"packages":{"' + bytes(64 << 20) + b'":{}}}')}) as server:
        assert_bad_index(reader(server), demo, "larger than 16777216 bytes")


def test_a_bomb_among_the_shards_is_found_out(reader, demo: PackageArchive) -> None:
    """A shard is small."""
    content = zstd(bytes(17 << 20))
    name = f"{hashlib.sha256(content).hexdigest()}.msgpack.zst"
    with IndexServer({SHARD_INDEX: shard_index({"demo": name}), f"shards/{name}": content}) as server:
        assert_bad_index(reader(server), demo, "larger than 16777216 bytes")


def test_a_bomb_that_the_transport_unpacks_is_found_out(reader, demo: PackageArchive, monkeypatch) -> None:
    """``Content-Encoding: gzip`` counts as what it stands for."""
    monkeypatch.setattr(reading, "REPODATA_LIMIT", 1 << 20)
    with (
        IndexServer({"repodata.json": gzip.compress(bytes(8 << 20))}) as server,
        pytest.raises(TransportError, match="larger than 1048576 bytes"),
    ):
        reader(server).listed(demo)


@pytest.mark.parametrize("form", ["repodata.json.zst", SHARD_INDEX])
def test_no_more_is_read_than_an_index_may_have(reader, demo: PackageArchive, monkeypatch, form: str) -> None:
    """Before anything of it is unpacked."""
    monkeypatch.setitem(reading._PACKED_LIMIT, form, 1000)
    with IndexServer({form: bytes(1001)}) as server, pytest.raises(TransportError, match="larger than 1000 bytes"):
        reader(server).listed(demo)


def test_a_broken_index_is_not_kept(reader, demo: PackageArchive) -> None:
    """Only the error is, for all that ask: not the megabytes that were at hand when it was found."""
    content = b'{"packages":{"x":{},' + b" " * (8 << 20)
    with IndexServer({"repodata.json": content}) as server:
        index = reader(server)
        tracemalloc.start()
        try:
            assert_bad_index(index, demo, "malformed")
            gc.collect()
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert held < 4 << 20


# -- where shards are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder",
    [
        "http://[bad/",
        "http://h:abc/",
        "http://h:99999/",
        "http://a..b/",
        "http://.a/",
        "http://ü..b/",
        "http://a b/",
        "http://\x00/",
        "https:///x",
        f"http://{'a' * 64}.invalid/",
        f"http://{'a.' * 130}invalid/",
        f"http://host.invalid/{'a' * 100_000}",
        "ftp://host.invalid/",
        "file:///etc/",
        "data:,x",
    ],
)
def test_shards_where_nothing_can_be_are_an_error(reader, demo: PackageArchive, folder: str) -> None:
    """The index is wrong, and it is said in a line what is wrong with it; nobody is asked for such a host."""
    with IndexServer({SHARD_INDEX: shard_index({"demo": shard_of([demo])[0]}, folder)}) as server:
        error = assert_bad_index(reader(server), demo, "has its shards at")
    assert len(error.message) < 400
    assert server.names() == [SHARD_INDEX]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_came_encrypted_does_not_lead_to_what_is_not(reader, demo: PackageArchive, scheme: str) -> None:
    """An index that was read by https cannot send its readers to plain http; the other way is no loss."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    name, shard = shard_of([demo])
    with (
        IndexServer(tls=context) as secure,
        IndexServer({f"s/{name}": shard}) as plain,
    ):
        first, second = (secure, plain) if scheme == "http" else (plain, secure)
        second.contents = {f"s/{name}": shard}
        first.contents = {SHARD_INDEX: shard_index({"demo": name}, f"{second.url}/noarch/s/")}
        if scheme == "http":
            assert_bad_index(reader(first), demo, "not encrypted")
            assert second.requests == []
        else:
            assert reader(first).listed(demo) == Listed(sha256=demo.sha256)


@pytest.mark.parametrize("slash", ["/", ""])
def test_shards_elsewhere_are_read_without_the_credential(reader, demo: PackageArchive, token: str, slash: str) -> None:
    """The credential is for the channel's own server, wherever its index says that the rest is."""
    name, shard = shard_of([demo])
    with IndexServer({f"s/{name}": shard}) as other, IndexServer() as server:
        server.contents = {SHARD_INDEX: shard_index({"demo": name}, f"{other.url}/noarch/s{slash}")}
        assert reader(server).listed(demo) == Listed(sha256=demo.sha256)
    assert server.requests[0].header("authorization") == f"Bearer {token}"
    assert [request.header("authorization") for request in other.requests] == [None]


def test_a_trap_gets_nothing(reader, demo: PackageArchive, token: str) -> None:
    """Neither a secret, nor belief in what it says."""
    with Trap() as trap, IndexServer() as server:
        server.contents = {SHARD_INDEX: shard_index({"demo": shard_of([demo])[0]}, trap.url)}
        assert_bad_index(reader(server), demo, "not the shard that the index names")
    assert trap.steps() == ["trap"]
    assert token not in trap.heard()


# -- who refuses what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "error"), [(401, CredentialRefused), (403, Forbidden)])
def test_a_credential_that_was_sent_can_be_refused(reader, demo: PackageArchive, status: int, error: type) -> None:
    """By the server that it is for."""
    with IndexServer(dict.fromkeys(FORMS, status)) as server, pytest.raises(error, match=str(status)):
        reader(server).listed(demo)


def test_a_form_that_is_refused_may_not_be_there(reader, tmp_path: Path) -> None:
    """Some servers answer 403 for what they do not have; so they do for subdirs, of which noarch tells them apart."""
    demo, arm = (inspect(make_conda(tmp_path / subdir, subdir=subdir)) for subdir in ("noarch", "linux-aarch64"))
    forms = {SHARD_INDEX: 403, "repodata.json.zst": 403, "repodata.json": repodata([demo])}
    with IndexServer(forms) as server, IndexServer() as empty:
        index = reader(server)
        assert index.listed(arm) is None
        assert index.listed(demo) == Listed(sha256=demo.sha256)
        with pytest.raises(Forbidden):
            reader(empty).listed(arm)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("way", ["no credential", "shards elsewhere", "redirect"])
def test_a_credential_that_was_not_sent_was_not_refused(
    client: Client, reader, demo: PackageArchive, way: str, status: int
) -> None:
    """A host that got none says nothing about it: the index cannot be read, and that is all."""
    name, _ = shard_of([demo])
    refused = dict.fromkeys([*FORMS, f"shards/{name}"], status)
    with IndexServer(refused) as other, IndexServer() as server:
        server.contents = {
            form: f"{other.url}/noarch/{form}"
            if way == "redirect"
            else shard_index({"demo": name}, f"{other.url}/noarch/shards/")
            for form in FORMS
        }
        index = IndexReader(client, other.url, None) if way == "no credential" else reader(server)
        with pytest.raises(
            ChannelError, match=f"{other.port} does not let everybody read the index .{status}"
        ) as caught:
            index.listed(demo)
    assert not isinstance(caught.value, Forbidden)
    assert caught.value.exit_status == keelback.ExitStatus.FAILED
    assert caught.value.hint
    assert {request.header("authorization") for request in other.requests} == {None}


class ElsewherePrefixServer(PrefixServer):
    """A prefix.dev whose shards are at *elsewhere*."""

    elsewhere = ""

    def read(self, exchange: Exchange, subdir: str, name: str, label: str | None = None) -> Answer:
        """As it is, but for the shard index."""
        if name == SHARD_INDEX:
            return Answer(200, shard_index({"demo": f"{'0' * 64}.msgpack.zst"}, self.elsewhere))
        return super().read(exchange, subdir, name, label)


@pytest.mark.parametrize("elsewhere", ["a host that wants a credential", "http://[bad/"])
def test_an_index_that_leads_astray_does_not_stop_an_upload(tmp_path: Path, token: str, elsewhere: str) -> None:
    """The credential is not taken for a bad one; the upload itself will tell whether the channel has such a file."""
    asked = make_conda(tmp_path / "dist", "demo", payload=ASK_FIRST_FROM)
    other = make_conda(tmp_path / "dist", "other")
    with IndexServer({f"{'0' * 64}.msgpack.zst": 401}) as host, ElsewherePrefixServer(token, private=True) as server:
        server.elsewhere = f"{host.url}/noarch/" if elsewhere.startswith("a host") else elsewhere
        report = keelback.publish(
            [asked, other], server.publish_url, api_key=token, retry=Retry(attempts=1), timeout=10.0
        )
    assert server.steps().count("get") == 1
    assert [outcome.status for outcome in report.outcomes] == [Status.UPLOADED] * 2
    server.assert_clean()


def assert_bad_index(index: IndexReader, archive: PackageArchive, words: str) -> KeelbackError:
    """Looking for *archive* tells that the index is bad, in these *words*, each time it is asked."""
    for _ in range(2):
        with pytest.raises(ChannelError, match=words) as caught:
            index.listed(archive)
        assert caught.value.code == "bad-index"
    return caught.value
