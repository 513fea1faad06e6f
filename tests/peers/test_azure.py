"""Channels in a real Azurite, the emulator of Azure Blob Storage: with keys and signatures that it checks itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from keelback import Retry, Status, fetch, publish
from keelback.archive import inspect
from keelback.channels.buckets.attributes import archive_attributes, index_attributes
from keelback.channels.buckets.azure import AzureContainer
from keelback.channels.buckets.bucket import ABSENT, Changed
from keelback.channels.delivery import Delivery
from keelback.channels.session import BucketOptions, Session
from keelback.errors import CredentialRefused, Forbidden, KeelbackError, ServerError
from keelback.report import Reporter
from keelback.transport import Client, Request
from making import make_big_conda, make_conda
from peers import azurite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.peer("azurite")

KEY = "noarch/repodata.json"


@pytest.fixture
def client() -> Iterator[Client]:
    """What sends the requests."""
    with Client(retry=Retry(attempts=2, base=0.1)) as one:
        yield one


@pytest.fixture
def server(require_peer: Callable[[str, bool, str], None], request: pytest.FixtureRequest) -> azurite.Azurite:
    """The emulator of this module."""
    require_peer("azurite", not azurite.WHY_NOT, azurite.WHY_NOT)
    running = request.getfixturevalue("running_server")  # not before it is known that there is one
    assert isinstance(running, azurite.Azurite)
    return running


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[azurite.Azurite]:
    """It takes seconds to start, so it is started once."""
    with azurite.serving(tmp_path_factory.mktemp("azurite") / "server") as running:
        yield running


@pytest.fixture
def name(server: azurite.Azurite, client: Client, request: pytest.FixtureRequest) -> str:
    """A container of the test's own."""
    made = f"t{abs(hash(request.node.name)):x}"[:30]
    missing = bucket(client, server, made)
    with pytest.raises(ServerError, match=f"has no container '{made}'"):
        missing.probe()
    assert missing._requests.send("PUT", None, query={"restype": "container"}).status == 201
    return made


def bucket(client: Client, server: azurite.Azurite, container: str, **environ: str) -> AzureContainer:
    """The channel ``a/b`` in *container*, with the account's key where no variables are given."""
    leaks.watch(server.key, "account-key")
    variables = {"AZURE_STORAGE_ACCOUNT": azurite.ACCOUNT, **(environ or {"AZURE_STORAGE_KEY": server.key})}
    options = BucketOptions(endpoint_url=server.url)
    session = Session(client, list, environ=variables, buckets=options)
    return AzureContainer.of(session, azurite.ACCOUNT, [container, "a", "b"])


def write(place: AzureContainer, content: bytes, condition: Any = None) -> str:
    """The version of an index with *content*."""
    return place.write(KEY, content, index_attributes(KEY), condition)


@pytest.mark.parametrize("by", ["key", "signature", "connection string"])
def test_what_a_channel_needs_works_with_every_credential(
    server: azurite.Azurite, client: Client, name: str, by: str
) -> None:
    """Conditions, odd names, listings, and reading with what the container was written with."""
    signature = server.signature(name)
    variables = {
        "key": {"AZURE_STORAGE_KEY": server.key},
        "signature": {"AZURE_STORAGE_SAS_TOKEN": f"?{signature}"},
        "connection string": {
            "AZURE_STORAGE_CONNECTION_STRING": f"AccountName={azurite.ACCOUNT};AccountKey={server.key}"
        },
    }
    place = bucket(client, server, name, **variables[by])
    place.probe()
    assert place.conditional
    first = write(place, b"{1}", ABSENT)
    for condition in (ABSENT, '"0x1"'):
        with pytest.raises(Changed):
            write(place, b"{2}", condition)
    second = write(place, b"{3}", first)
    found = place.read(KEY, limit=100)
    assert found is not None
    assert (found[0], found[1].version) == (b"{3}", second)
    assert found[1] == place.stat(KEY)
    odd = "linux-64/a+b!_c~1.0-h0_0.conda"
    place.write(odd, b"x", index_attributes(odd))
    assert {each.key for each in place.list()} == {odd, KEY, ".keelback/conditions"}
    assert {each.version for each in place.list("noarch/")} == {second}
    assert list(place.list(folder=True)) == []
    assert sorted(place.prefixes()) == [".keelback", "linux-64", "noarch"]
    access = place.access()
    assert access is not None
    for key, content in ((KEY, b"{3"), (odd, b"x")):
        request = Request("GET", f"{place.reading_url}/{key}", auth=access.credential, headers={"range": "bytes=0-1"})
        assert client.get(request).content == content
    with pytest.raises(Changed):
        place.delete(odd, second)
    place.delete(odd)
    place.delete(odd, second)
    assert place.stat(odd) is None
    with pytest.raises(Changed):
        place.write(odd, b"x", index_attributes(odd), second)


def test_packages_are_published_and_fetched(
    server: azurite.Azurite, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the public door: new ones, the same ones again, others under their names, and back."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", azurite.ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_KEY", server.key)
    monkeypatch.setenv("AZURE_STORAGE_BLOB_ENDPOINT", server.url)
    channel = f"az://{azurite.ACCOUNT}/{name}/main"
    packages = [make_conda(tmp_path / "dist", each) for each in ("one", "two")]
    others = [make_conda(tmp_path / "other", "one", payload={"x": b"y"})]
    for given, options, status in (
        (packages, {}, Status.UPLOADED),
        (packages, {}, Status.IDENTICAL),
        (others, {}, Status.FAILED),
        (others, {"force": True}, Status.REPLACED),
    ):
        report = publish(given, channel, **options)
        assert {outcome.status for outcome in report.outcomes} == {status}
    fetch(channel, ["one", "two"], to=tmp_path / "fetched", subdirs="noarch")
    assert (tmp_path / "fetched" / "noarch" / "one-1.0-h0_0.conda").read_bytes() == others[0].read_bytes()


def test_a_large_archive_arrives_in_blocks(server: azurite.Azurite, client: Client, name: str, tmp_path: Path) -> None:
    """All at once, with its hashes; a second one neither overwrites it nor keeps it from being replaced."""
    archive = inspect(make_big_conda(tmp_path / "big-1.0-0.conda", 200 << 20))
    place, key = bucket(client, server, name), archive.relative_path

    def staged(*, ahead: bool = False) -> Any:
        delivery = Delivery(archive, Reporter())
        return place.stage(key, archive, archive_attributes(archive), delivery, ahead=ahead)

    first = staged()
    assert place.stat(key) is None
    assert list(place.list()) == []
    assert first.publish(ABSENT) == 1
    found = place.stat(key)
    assert found is not None
    assert (found.size, found.sha256, found.md5) == (archive.size, archive.sha256, archive.md5)
    assert [each.sha256 for each in place.list()] == [archive.sha256]
    second = staged(ahead=True)
    with pytest.raises(Changed):
        second.publish(ABSENT)
    assert second.publish(found.version) == 1


def test_who_finishes_last_still_arrives(server: azurite.Azurite, client: Client, name: str, tmp_path: Path) -> None:
    """The first of two uploads under one key has the service forget the blocks of the other."""
    place = bucket(client, server, name)
    archive = inspect(make_conda(tmp_path / "dist"))
    attributes = archive_attributes(archive)
    one, two = (
        place.stage(archive.relative_path, archive, attributes, Delivery(archive, Reporter()), ahead=True)
        for _ in range(2)
    )
    assert (one.publish(None), two.publish(None)) == (1, 2)


def test_of_many_writers_none_is_lost(server: azurite.Azurite, client: Client, name: str) -> None:
    """Each writes on the condition that what it read is still there."""
    place = bucket(client, server, name)
    write(place, b"", ABSENT)

    def add(line: bytes) -> None:
        while True:
            found = place.read(KEY, limit=1 << 20)
            assert found is not None
            try:
                write(place, found[0] + line, found[1].version)
            except Changed:
                continue
            return

    threads = [threading.Thread(target=add, args=(f"{number}\n".encode(),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = place.read(KEY, limit=1 << 20)
    assert found is not None
    assert sorted(map(int, found[0].split())) == list(range(8))


def test_a_credential_that_will_not_do_is_refused_with_a_reason(
    server: azurite.Azurite, client: Client, name: str
) -> None:
    """Another account's key, a signature that may only read, and one that has expired."""
    other = leaks.new_secret("other-key")
    signatures = server.signature(name, "rl"), server.signature(name, lasts=-60)

    def refused(**environ: str) -> KeelbackError:
        with pytest.raises(KeelbackError) as caught:
            bucket(client, server, name, **environ).probe()
        return caught.value

    wrong = refused(AZURE_STORAGE_KEY=f"{other}===="[: len(other) // 4 * 4].replace("-", "A"))
    assert (type(wrong), wrong.code) == (CredentialRefused, "credential-refused")
    reads = refused(AZURE_STORAGE_SAS_TOKEN=signatures[0])
    assert (type(reads), "it permits 'rl'" in reads.hint) == (Forbidden, True)
    expired = refused(AZURE_STORAGE_SAS_TOKEN=signatures[1])
    assert (type(expired), expired.code) == (CredentialRefused, "expired-credential")
