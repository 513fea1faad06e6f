"""Buckets of Google Cloud Storage, in programs that nobody here wrote (what they lack: :mod:`peers.gcs_emulator`)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import leaks
from keelback import fetch, publish
from keelback.archive import inspect
from keelback.channels.buckets.attributes import archive_attributes, index_attributes
from keelback.channels.buckets.bucket import ABSENT, Changed
from keelback.channels.buckets.gcs import GCSBucket
from keelback.channels.delivery import Delivery
from keelback.errors import ServerError
from keelback.report import Reporter
from keelback.transport import Client, Retry
from making import make_conda
from peers import gcs_emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keelback.archive import PackageArchive

pytestmark = pytest.mark.peer("gcs-emulator")

QUANTUM = 256 << 10
KEY = "noarch/repodata.json"
JSON = index_attributes(KEY)
FAKE, EMULATOR = "fake-gcs-server", "gcp-storage-emulator"


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where both run."""
    if gcs_emulator.WHY_NOT:
        yield {}
        return
    folder = tmp_path_factory.mktemp("gcs")
    with gcs_emulator.fake_gcs_server(folder) as fake, gcs_emulator.gcp_storage_emulator(folder) as emulator:
        yield {FAKE: fake, EMULATOR: emulator}


@pytest.fixture
def at(
    urls: dict[str, str], require_peer: Callable[[str, bool, str], None], request: pytest.FixtureRequest
) -> Iterator[Callable[..., GCSBucket]]:
    """A folder of its own in a bucket of one of them."""
    require_peer("gcs-emulator", not gcs_emulator.WHY_NOT, gcs_emulator.WHY_NOT)
    with Client(retry=Retry(attempts=2, base=0.01), timeout=30) as client:

        def make(which: str, bucket: str = gcs_emulator.BUCKET) -> GCSBucket:
            prefix = f"{request.node.originalname}/a channel"
            return GCSBucket(client, bucket, prefix, endpoint=urls[which], chunk=QUANTUM, whole=QUANTUM)

        yield make


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> PackageArchive:
    """A package of some chunks."""
    return inspect(make_conda(tmp_path_factory.mktemp("large"), payload=4 * QUANTUM))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> PackageArchive:
    """Another one of that name."""
    return inspect(make_conda(tmp_path_factory.mktemp("small")))


@pytest.mark.parametrize("which", [FAKE, EMULATOR])
def test_objects_and_archives(
    at: Callable[..., GCSBucket], which: str, large: PackageArchive, small: PackageArchive
) -> None:
    """Written in one request and in several, read, listed, replaced, discarded, deleted."""
    bucket = at(which)
    key = "noarch/+pkg!_é-1.0-0.conda"
    version = bucket.write(key, b"{}", JSON)
    content, found = bucket.read(key, limit=10)
    assert (content, found.version) == (b"{}", version)
    for archive in (small, large):
        attributes = archive_attributes(archive)
        delivery = Delivery(archive, Reporter())
        there = bucket.stat(archive.relative_path)
        ready = bucket.stage(archive.relative_path, archive, attributes, delivery, ahead=True)
        assert bucket.stat(archive.relative_path) == there
        assert ready.publish(ABSENT if there is None else there.version) == 1
        found = bucket.stat(archive.relative_path)
        assert (found.sha256, found.md5, found.size) == (archive.sha256, archive.md5, archive.size)
        assert bucket.read(archive.relative_path, limit=archive.size)[0] == archive.path.read_bytes()
    bucket.stage("noarch/other", large, archive_attributes(large), Delivery(large, Reporter()), ahead=True).discard()
    assert {item.key for item in bucket.list("noarch/", folder=True)} == {key, large.relative_path}
    assert {item.sha256 for item in bucket.list()} == {None, large.sha256}
    assert list(bucket.prefixes()) == ["noarch"]
    bucket.delete(key)
    bucket.delete(key)
    assert bucket.read(key, limit=10) is None


def test_of_many_writers_one_wins(at: Callable[..., GCSBucket]) -> None:
    """At each generation; nobody overwrites what somebody else has put there meanwhile."""
    bucket = at(FAKE)
    bucket.probe()
    assert bucket.conditional
    there = bucket.write(KEY, b"0", JSON, ABSENT)

    def write(number: int) -> str | None:
        try:
            return bucket.write(KEY, str(number).encode(), JSON, there)
        except Changed:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = list(filter(None, pool.map(write, range(1, 9))))
    assert [bucket.stat(KEY).version] == won


def test_conditions_that_are_ignored_are_found_out(at: Callable[..., GCSBucket]) -> None:
    """By the first question."""
    bucket = at(EMULATOR)
    bucket.probe()
    assert not bucket.conditional


@pytest.mark.parametrize("which", [FAKE, EMULATOR])
def test_a_bucket_that_is_missing_is_said(at: Callable[..., GCSBucket], which: str) -> None:
    """With its name."""
    with pytest.raises(ServerError, match="no bucket 'missing'"):
        at(which, "missing").probe()


def test_several_publishers_at_once_lose_nothing(
    at: Callable[..., GCSBucket], urls: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index at the end has every package of every one of them, and they can be fetched."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", urls[FAKE].removeprefix("http://"))
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", leaks.new_secret("emulator"))
    channel = at(FAKE).url.replace(" ", "-")

    def run(number: int) -> bool:
        paths = [make_conda(tmp_path / str(number), f"p{number}x{each}") for each in range(4)]
        return publish(paths, channel, retry=Retry(attempts=3, base=0.01)).ok

    with ThreadPoolExecutor(5) as pool:
        assert all(pool.map(run, range(5)))
    names = [f"p{number}x{each}" for number in range(5) for each in range(4)]
    report = fetch(channel, names, to=tmp_path / "fetched", subdirs="noarch")
    assert (report.ok, len(report.outcomes)) == (True, 20)
