"""A bucket with the S3 protocol, against three servers that nobody here wrote."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

import leaks
from keelback import Retry
from keelback.archive import inspect
from keelback.channels.buckets.attributes import archive_attributes, index_attributes
from keelback.channels.buckets.bucket import ABSENT, Changed
from keelback.channels.buckets.s3 import S3Bucket
from keelback.channels.delivery import Delivery
from keelback.credentials.aws.settings import S3Settings
from keelback.credentials.kinds import S3Credentials
from keelback.errors import CredentialRefused, Forbidden, Interrupted, ServerError
from keelback.report import Reporter
from keelback.secret import Secret
from keelback.transport import Client, Request
from making import make_big_conda, make_conda
from peers import s3_servers, seaweedfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keelback.archive import PackageArchive
    from keelback.channels.buckets.bucket import Condition

pytestmark = pytest.mark.peer("S3 servers")

NAME = "packages"
NOTES = "noarch/repodata.json"
ATTRIBUTES = index_attributes(NOTES)


class Place(NamedTuple):
    """A running server, and who may use it."""

    url: str
    keys: S3Credentials
    reader: S3Credentials | None = None


def running_seaweedfs(folder: Path) -> Iterator[Place]:
    """A strict one, with keys that may only read."""
    admin, reader = ("AKADMIN", leaks.new_secret("admin")), ("AKREADER", leaks.new_secret("reader"))
    with seaweedfs.serving_keys(folder, admin=admin, reader=reader) as server:
        keys = S3Credentials(admin[0], Secret(admin[1]))
        s3_servers.make_bucket(server.url, NAME, keys)
        yield Place(server.url, keys, S3Credentials(reader[0], Secret(reader[1])))


def running_moto(folder: Path) -> Iterator[Place]:
    """One that checks no signature."""
    keys = S3Credentials("AKMOTO", Secret(leaks.new_secret("moto")))
    with s3_servers.moto(folder) as url:
        s3_servers.make_bucket(url, NAME, keys)
        yield Place(url, keys)


def running_s3rver(folder: Path) -> Iterator[Place]:
    """One that ignores conditions."""
    with s3_servers.s3rver(folder, NAME) as url:
        yield Place(url, s3_servers.S3RVER_KEYS)


def on(*servers: str) -> pytest.MarkDecorator:
    """Runs a test on these servers only."""
    return pytest.mark.parametrize("running", servers, indirect=True, scope="module")


@pytest.fixture(scope="module", params=["seaweedfs", "moto", "s3rver"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place | None]:
    """Each of them, started once; ``None`` where it cannot be had."""
    start, why_not = {
        "seaweedfs": (running_seaweedfs, seaweedfs.WHY_NOT),
        "moto": (running_moto, s3_servers.MOTO_WHY_NOT),
        "s3rver": (running_s3rver, s3_servers.S3RVER_WHY_NOT),
    }[request.param]
    if why_not:
        yield None
    else:
        yield from start(tmp_path_factory.mktemp("s3") / "server")


@pytest.fixture
def place(running: Place | None, require_peer: Callable[[str, bool, str], None]) -> Place:
    """The server of this test."""
    require_peer("an S3 server", running is not None, "`make peers` says why")
    assert running is not None
    return running


@pytest.fixture
def client() -> Iterator[Client]:
    """One without much patience."""
    with Client(retry=Retry(attempts=3, base=0.1)) as opened:
        yield opened


@pytest.fixture
def bucket(place: Place, client: Client, request: pytest.FixtureRequest) -> S3Bucket:
    """A channel of this test's own, of which it is known what the server honours."""
    opened = bucket_at(place, client, f"chan nel+/{request.node.originalname}")
    opened.probe()
    return opened


def bucket_at(place: Place, client: Client, prefix: str = "chan", keys: S3Credentials | None = None) -> S3Bucket:
    """The channel at *prefix*."""
    settings = S3Settings(place.url, "us-east-1", path_style=True)
    return S3Bucket(client, NAME, prefix, settings, lambda: keys or place.keys, "a test", idle=0.0)


def put(bucket: S3Bucket, archive: PackageArchive, condition: Condition = ABSENT, *, ahead: bool = False) -> int:
    """Stage and publish *archive*."""
    delivery = Delivery(archive, Reporter())
    staged = bucket.stage(archive.relative_path, archive, archive_attributes(archive), delivery, ahead=ahead)
    return staged.publish(condition)


def unfinished(bucket: S3Bucket, client: Client, place: Place) -> int:
    """How many uploads are under way."""
    access = bucket.access()
    assert access is not None
    answer = client.send(Request("GET", f"{place.url}/{NAME}?uploads=", auth=access.credential))
    assert answer.ok
    return answer.text.count("<Upload>")


def test_conditions_are_honoured_or_known_not_to_be(place: Place, client: Client, bucket: S3Bucket) -> None:
    """Nothing is overwritten by accident where they are; where not, what was there before is still seen."""
    assert bucket.conditional is (place.keys is not s3_servers.S3RVER_KEYS)
    again = bucket_at(place, client, "another")
    for _ in range(2):
        again.probe()
        assert again.conditional is bucket.conditional
    first = bucket.write(NOTES, b"1", ATTRIBUTES, ABSENT)
    for condition in (ABSENT, '"00000000000000000000000000000000"'):
        with pytest.raises(Changed):
            bucket.write(NOTES, b"2", ATTRIBUTES, condition)
    second = bucket.write(NOTES, b"2", ATTRIBUTES, first)
    assert second != first
    assert bucket.read(NOTES, limit=1)[0] == b"2"
    bucket.delete(NOTES, second)
    with pytest.raises(Changed):
        bucket.write(NOTES, b"3", ATTRIBUTES, second)


@on("seaweedfs", "moto")
def test_of_many_writers_at_once_one_wins(place: Place, client: Client, bucket: S3Bucket) -> None:
    """Each round has one that the others lose to, and hear of it."""
    key, wins = "noarch/race.json", []
    bucket.write(key, b"0", ATTRIBUTES, ABSENT)

    def race(number: int) -> None:
        for _ in range(5):
            content, stored = bucket.read(key, limit=1000)
            try:
                bucket.write(key, content + b"%d" % number, ATTRIBUTES, stored.version)
            except Changed:
                continue
            wins.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bucket.read(key, limit=1000)[0]) == 1 + len(wins)


def test_names_of_all_kinds_are_written_listed_and_read(
    place: Place, client: Client, bucket: S3Bucket, tmp_path: Path
) -> None:
    """Also by whoever joins URLs: versions have ``!`` and ``+`` in them."""
    archive = inspect(make_conda(tmp_path, "demo", "1!2.0+local"))
    put(bucket, archive)
    stored = bucket.stat(archive.relative_path)
    assert stored is not None
    assert (stored.size, stored.sha256, stored.md5) == (archive.size, archive.sha256, archive.md5)
    bucket.write("noarch/a b&c.json", b"{}", ATTRIBUTES)
    bucket.write("noarch/shards/x.msgpack.zst", b"", ATTRIBUTES)
    bucket.write("linux-64/repodata.json", b"{}", ATTRIBUTES)
    names = {archive.relative_path: archive.size, "noarch/a b&c.json": 2}
    assert {entry.key: entry.size for entry in bucket.list("noarch/", folder=True)} == names
    listed = {entry.key: entry for entry in bucket.list()}
    assert set(listed) >= {*names, "noarch/shards/x.msgpack.zst", "linux-64/repodata.json"}
    assert listed[archive.relative_path].version == stored.version
    assert set(bucket.prefixes()) == {".keelback", "linux-64", "noarch"}
    access = bucket.access()
    assert access is not None
    url = f"{bucket.reading_url}/noarch/{archive.filename}"
    answer = client.get(Request("GET", url, auth=access.credential))
    assert answer.content == archive.path.read_bytes()
    assert answer.headers["x-amz-meta-package-sha256"] == archive.sha256


def test_large_archives_go_in_parts_and_are_not_replaced(
    place: Place, client: Client, bucket: S3Bucket, tmp_path: Path
) -> None:
    """What was there stays, and nothing is left of what was sent for nothing."""
    archive = inspect(make_big_conda(tmp_path / "big-1.0-0.conda", 40 << 20))
    key = archive.relative_path
    assert put(bucket, archive) == 1
    assert bucket.read(key, limit=64 << 20)[0] == archive.path.read_bytes()
    assert bucket.stat(key).sha256 == archive.sha256
    with pytest.raises(Changed):
        put(bucket, archive)
    assert put(bucket, archive, bucket.stat(key).version) == 1
    small = inspect(make_conda(tmp_path))
    put(bucket, small, ahead=True)
    assert bucket.stat(small.relative_path).size == small.size
    staged = bucket.stage(
        "noarch/x-1-0.conda", small, archive_attributes(small), Delivery(small, Reporter()), ahead=True
    )
    staged.discard()
    assert bucket.stat("noarch/x-1-0.conda") is None
    if place.keys is not s3_servers.S3RVER_KEYS:  # it lists no uploads
        assert unfinished(bucket, client, place) == 0


class Stopping(Reporter):
    """Has the run stopped as soon as anything is out."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def sent(self, *_: object) -> None:
        """See :class:`Reporter`."""
        self.stop.set()


@on("seaweedfs", "moto")
def test_an_upload_that_is_stopped_leaves_nothing(
    place: Place, client: Client, bucket: S3Bucket, tmp_path: Path
) -> None:
    """Its parts would cost money; what a dead run left is swept."""
    archive = inspect(make_big_conda(tmp_path / "big-1.0-0.conda", 40 << 20))
    attributes, reporter = archive_attributes(archive), Stopping()
    delivery = Delivery(archive, reporter, reporter.stop)
    with pytest.raises(Interrupted):
        bucket.stage(archive.relative_path, archive, attributes, delivery, ahead=False)
    assert unfinished(bucket, client, place) == 0

    bucket.stage("noarch/dead-1-0.conda", archive, attributes, Delivery(archive, Reporter()), ahead=True)
    assert unfinished(bucket, client, place) == 1
    assert bucket.sweep() == 1
    assert unfinished(bucket, client, place) == 0


@on("seaweedfs")
def test_keys_that_may_not_are_told_so(place: Place, client: Client) -> None:
    """A secret that is wrong, an id that nobody knows, keys that may only read; and a bucket that is not there."""
    wrong = Secret(leaks.new_secret("wrong"))
    with pytest.raises(CredentialRefused, match="SignatureDoesNotMatch"):
        bucket_at(place, client, keys=S3Credentials(place.keys.access_key_id, wrong)).probe()
    with pytest.raises(CredentialRefused, match="InvalidAccessKeyId"):
        bucket_at(place, client, keys=S3Credentials("AKNOBODY", wrong)).probe()
    with pytest.raises(CredentialRefused):
        bucket_at(place, client, keys=S3Credentials("AKNOBODY", wrong)).stat(NOTES)
    reader = bucket_at(place, client, keys=place.reader)
    with pytest.raises(Forbidden, match="AccessDenied"):
        reader.probe()
    assert reader.stat(NOTES) is None
    settings = S3Settings(place.url, "us-east-1", path_style=True)
    missing = S3Bucket(client, "nowhere-at-all", "", settings, lambda: place.keys, "a test")
    with pytest.raises(ServerError) as caught:  # of the first write, SeaweedFS would make it
        list(missing.list())
    assert caught.value.code == "not-found"
