"""Channels in a bucket of a real S3 server: published to from many sides at once, killed, and read by py-rattler."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import keelback
import leaks
import making
from cli_runner import run_keelback, start_keelback
from keelback import BucketOptions, Status
from keelback.channels.buckets.s3 import S3Bucket
from keelback.channels.delivery import Delivery
from keelback.channels.local import LocalChannel
from keelback.credentials.aws.settings import S3Settings
from keelback.credentials.kinds import S3Credentials
from keelback.repodata import (
    REPODATA,
    REPODATA_ZST,
    SHARD_INDEX,
    decode_repodata,
    decode_shard_hashes,
    decompress,
    encode_shards,
)
from keelback.report import Reporter
from keelback.secret import Secret
from keelback.transport import Client
from peers import rattler, s3_servers, seaweedfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

pytestmark = pytest.mark.peer("seaweedfs")

REGION = "us-east-1"


class Server:
    """The server of this module, and a channel on it for each test.

    Attributes:
        url: of the service.
        channel: the URL of this test's channel.
        auth: an auth file with the keys for the bucket.
    """

    def __init__(self, url: str, keys: tuple[str, str], name: str, folder: Path) -> None:
        self.url = url
        self.keys = keys
        self.channel = f"s3://bucket/{name}"
        self.auth = folder / "auth.json"
        key_id, secret = keys
        self.auth.touch(mode=0o600)
        self.auth.write_text(
            json.dumps({"s3://bucket": {"S3Credentials": {"access_key_id": key_id, "secret_access_key": secret}}}),
            encoding="utf-8",
        )
        leaks.holds_secrets(self.auth)

    @property
    def variables(self) -> dict[str, str]:
        """The variables of a run."""
        return {"RATTLER_AUTH_FILE": str(self.auth), "S3_ENDPOINT_URL": self.url, "AWS_EC2_METADATA_DISABLED": "true"}

    def publish(self, paths: Sequence[Path], **options: Any) -> keelback.Report:
        """Publish *paths* in this process."""
        buckets = BucketOptions(endpoint_url=self.url, region=REGION)
        return keelback.publish(paths, self.channel, auth_file=self.auth, buckets=buckets, **options)

    @contextlib.contextmanager
    def bucket(self, prefix: str | None = None, idle: float = 3600.0) -> Iterator[S3Bucket]:
        """The bucket itself."""
        key_id, secret = self.keys
        with Client() as client:
            place = self.channel.removeprefix("s3://bucket/") if prefix is None else prefix
            keys = S3Credentials(key_id, Secret(secret))
            yield S3Bucket(
                client, "bucket", place, S3Settings(self.url, REGION, path_style=True), lambda: keys, idle=idle
            )

    def index(self, subdir: str = "noarch") -> dict[str, dict[str, Any]]:
        """The records of the channel, in all forms of its index the same."""
        with self.bucket() as bucket:

            def read(name: str) -> bytes:
                found = bucket.read(f"{subdir}/{name}", limit=1 << 26)
                assert found is not None, name
                return found[0]

            plain = read(REPODATA)
            records = decode_repodata(plain).records
            assert decompress(read(REPODATA_ZST), "zst", 1 << 26) == plain
            named = decode_shard_hashes(read(SHARD_INDEX))
            assert named == {digest for digest, _ in encode_shards(records).values()}
            there = {each.key.rpartition("/")[2].partition(".")[0] for each in bucket.list(f"{subdir}/shards/")}
            assert named <= there
            stored = {each.key.rpartition("/")[2]: each for each in bucket.list(f"{subdir}/", folder=True)}
            for filename, record in records.items():
                assert stored[filename].size == record["size"], "a reader never gets an index that names a missing file"
            return records

    def rattler(self) -> dict[str, list[str]]:
        """Where py-rattler finds the bucket."""
        return {"bucket": [self.url, REGION, "path"]}


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, tuple[str, str], tuple[str, str]]]:
    """A server with the bucket ``bucket``."""
    admin = ("AKIDADMIN", leaks.new_secret("s3-admin"))
    reader = ("AKIDREADER", leaks.new_secret("s3-reader"))
    with seaweedfs.serving_keys(tmp_path_factory.mktemp("s3") / "server", admin=admin, reader=reader) as server:
        keys = S3Credentials(admin[0], Secret(admin[1]))
        assert server.stores(keys, "bucket", "{}") == "{}"
        yield server.url, admin, reader


@pytest.fixture
def server(require_peer: Callable[[str, bool, str], None], request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    """A new channel on the server of this module."""
    require_peer("seaweedfs", not seaweedfs.WHY_NOT, seaweedfs.WHY_NOT)
    url, keys, _ = request.getfixturevalue("running")
    return Server(url, keys, tmp_path.name.replace("_", "-"), tmp_path)


@pytest.fixture
def reader(server: Server, running: tuple[str, tuple[str, str], tuple[str, str]]) -> tuple[str, str]:
    """A key that may read, and its secret."""
    return running[2]


def packages(folder: Path, count: int, prefix: str = "pkg", **options: Any) -> list[Path]:
    """*count* small packages."""
    return [making.make_conda(folder, f"{prefix}-{number}", **options) for number in range(count)]


def statuses(report: keelback.Report) -> list[Status]:
    """What became of each archive."""
    return [outcome.status for outcome in report.outcomes]


def test_publishing_conflicts_and_force_are_as_everywhere(server: Server, tmp_path: Path) -> None:
    """Rule: uploaded, then identical; other bytes are a conflict, skipped, or replaced with their hash in the index."""
    first = making.make_conda(tmp_path / "a", "demo", payload=10)
    other = making.make_conda(tmp_path / "b", "demo", payload=20)
    assert statuses(server.publish([first])) == [Status.UPLOADED]
    assert statuses(server.publish([first])) == [Status.IDENTICAL]
    (conflict,) = server.publish([other]).outcomes
    assert conflict.error is not None
    assert conflict.error.code == "conflict"
    assert statuses(server.publish([other], skip_existing=True)) == [Status.SKIPPED]
    assert server.index()[first.name]["sha256"] == keelback.inspect(first).sha256
    assert statuses(server.publish([other], force=True)) == [Status.REPLACED]
    assert server.index()[other.name]["sha256"] == keelback.inspect(other).sha256


def test_the_hashes_are_kept_with_each_archive_and_readers_get_the_right_headers(
    server: Server, tmp_path: Path
) -> None:
    """Rule: metadata as rattler names it; a long life for archives and shards, five minutes for the index."""
    (path,) = packages(tmp_path, 1)
    assert server.publish([path]).ok
    archive = keelback.inspect(path)
    with server.bucket() as bucket:
        stored = bucket.stat(archive.relative_path)
        assert stored is not None
        assert (stored.sha256, stored.md5, stored.size) == (archive.sha256, archive.md5, archive.size)
    shards = [f"noarch/shards/{digest}.msgpack.zst" for digest, _ in encode_shards(server.index()).values()]
    told = {key: server_headers(server, key) for key in (archive.relative_path, "noarch/repodata.json", *shards)}
    assert told[archive.relative_path]["cache-control"] == "max-age=3600"
    assert told[archive.relative_path]["content-disposition"] == f"attachment; filename={path.name}"
    assert told["noarch/repodata.json"]["cache-control"] == "max-age=300"
    assert told["noarch/repodata.json"]["content-type"] == "application/json"
    assert told[shards[0]]["cache-control"] == "max-age=31536000, immutable"


def server_headers(server: Server, key: str) -> Any:
    """The header fields with which *key* is served."""
    from keelback.transport import Request  # noqa: PLC0415 - one test looks at them

    with server.bucket() as bucket, Client() as client:
        access = bucket.access()
        assert access is not None
        return client.send(Request("GET", f"{bucket.reading_url}/{key}", auth=access.credential)).headers  # type: ignore[arg-type] # a bucket's is one


@pytest.mark.parametrize("sharded", [True, False])
def test_rattler_solves_and_installs_from_it_with_the_keys_of_the_auth_file(
    server: Server, tmp_path: Path, *, sharded: bool
) -> None:
    """Rule: what keelback wrote, py-rattler reads, by shards and by repodata.json alike."""
    base = making.make_conda(tmp_path / "p", "hull", payload={"share/hull": b"hull"})
    top = making.make_conda(tmp_path / "p", "boat", depends=["hull"], payload={"share/boat": b"boat"})
    assert server.publish([base, top]).ok
    prefix, chosen = rattler.install(
        server.channel, "boat", tmp_path / "r", sharded=sharded, auth=server.auth, s3=server.rattler()
    )
    assert sorted(chosen) == [f"noarch/{top.name}", f"noarch/{base.name}"]
    assert (prefix / "share" / "boat").read_bytes() == b"boat"


def test_what_was_published_is_fetched_with_its_dependencies(server: Server, tmp_path: Path) -> None:
    """Rule: a private bucket is read with the same keys, by the same command as any channel."""
    base = making.make_conda(tmp_path / "p", "hull")
    top = making.make_conda(tmp_path / "p", "boat", depends=["hull"])
    assert server.publish([base, top]).ok
    done = run_keelback(
        ["fetch", server.channel, "boat", "--with-deps", "-o", tmp_path / "got", "--lock", tmp_path / "lock"],
        env=server.variables,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "got" / "noarch").iterdir()) == [top.name, base.name]
    assert f"{server.channel}/noarch/{top.name}" in (tmp_path / "lock").read_text(encoding="utf-8")
    again = run_keelback(["fetch", "--locked", tmp_path / "lock", "-o", tmp_path / "again"], env=server.variables)
    assert again.returncode == 0, again.stderr


def test_the_command_of_rattler_build_takes_keys_by_options_and_variables(server: Server, tmp_path: Path) -> None:
    """Rule: ``upload s3`` is ``publish`` with rattler-build's options; what they do not say, the variables do."""
    one, two = packages(tmp_path, 2)
    key_id, secret = server.keys
    command = ["upload", "s3", "-c", server.channel, "--access-key-id", key_id, "--secret-access-key", "-"]
    where = ["--endpoint-url", server.url, "--region", REGION, "--addressing-style", "path"]
    done = run_keelback([*command, *where, one], input=secret)
    assert done.returncode == 0, done.stderr
    names = ("S3_CHANNEL", "S3_ENDPOINT_URL", "S3_REGION", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY")
    variables = dict(zip(names, (server.channel, server.url, REGION, key_id, secret), strict=True))
    done = run_keelback(["upload", "s3", "--force-path-style", two], env=variables)
    assert done.returncode == 0, done.stderr
    assert sorted(server.index()) == [one.name, two.name]


def test_eight_publishers_at_once_end_in_an_index_with_all_of_their_packages(server: Server, tmp_path: Path) -> None:
    """Rule: 8 processes with 50 packages each, none of which knows of the others: 400 in all forms of the index."""
    folders = []
    for number in range(8):
        packages(tmp_path / str(number), 50, f"by{number}")
        folders.append(tmp_path / str(number))
    started = [start_keelback(["publish", "--to", server.channel, folder], env=server.variables) for folder in folders]
    for run in started:
        done = run.finish(timeout=300)
        assert done.returncode == 0, done.stderr
    assert len(server.index()) == 400
    found = rattler.records(server.channel, tmp_path / "r", auth=server.auth, s3=server.rattler())
    assert len(found) == 400


def test_a_publisher_killed_at_any_moment_leaves_a_channel_that_the_next_one_completes(
    server: Server, tmp_path: Path
) -> None:
    """Rule: ten runs are killed at ten random moments; what is there can be read, and running it again completes it."""
    paths = packages(tmp_path / "p", 12)
    big = making.make_big_conda(tmp_path / "p" / "big-1.0-0.conda", 40 << 20)
    child = Path(__file__).with_name("s3_killed.py")
    whole = _requests(server, child, [*paths, big], server.channel + "-counted")
    moments = random.Random(4).sample(range(1, whole), 10)
    for moment in moments:
        done = _killed(server, child, [*paths, big], server.channel, moment)
        assert done.returncode == -9, done.stderr
        with server.bucket() as bucket:
            if bucket.stat(f"noarch/{REPODATA}") is not None:
                found = rattler.records(server.channel, tmp_path / f"r{moment}", auth=server.auth, s3=server.rattler())
                stored = {each.key for each in bucket.list("noarch/")}
                assert found.keys() <= stored
    assert server.publish([*paths, big]).ok
    assert len(server.index()) == 13
    with server.bucket(idle=-1.0) as bucket:
        bucket.sweep()
        assert bucket.sweep() == 0, "nothing that costs money is left"


def _requests(server: Server, child: Path, paths: Sequence[Path], channel: str) -> int:
    """How many requests a run takes that is left alone."""
    done = _killed(server, child, paths, channel, 0)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def _killed(
    server: Server, child: Path, paths: Sequence[Path], channel: str, moment: int
) -> subprocess.CompletedProcess[str]:
    """Publish in a process that is killed before its request number *moment*."""
    return subprocess.run(
        [sys.executable, child, str(moment), channel, *paths],
        env={"PATH": "", "HOME": str(server.auth.parent), "KEELBACK_NO_KEYCHAIN": "1", **server.variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_gigabyte_goes_out_in_parts_with_little_memory_and_its_hash_is_in_the_index(
    server: Server, tmp_path: Path
) -> None:
    """Rule: 1 GB with a peak of memory that does not depend on it; the index has its hash."""
    big = making.make_big_conda(tmp_path / "big-1.0-0.conda", 1 << 30)
    done = run_keelback(["publish", "--to", server.channel, big, "--json"], env=server.variables, timeout=600)
    size = big.stat().st_size
    big.unlink()
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(done.stdout)["channels"][0]["outcomes"]
    assert server.index()[big.name]["sha256"] == outcome["sha256"]
    with server.bucket() as bucket:
        stored = bucket.stat(f"noarch/{big.name}")
        assert stored is not None
        assert stored.size == size
        assert stored.sha256 == outcome["sha256"]
        assert bucket.sweep() == 0


def test_an_archive_that_goes_away_leaves_the_index_and_one_that_was_put_there_comes_into_it(
    server: Server, tmp_path: Path
) -> None:
    """Rule: keelback index brings the index up to the files, whoever put them there; a removed one stays removed."""
    one, two, three = packages(tmp_path, 3)
    assert server.publish([one, two]).ok
    with server.bucket() as bucket:
        bucket.delete(f"noarch/{one.name}")
        from keelback.channels.buckets.attributes import index_attributes  # noqa: PLC0415 - one test writes by hand

        bucket.write(f"noarch/{three.name}", three.read_bytes(), index_attributes("noarch/x.conda"))
    done = run_keelback(["index", server.channel], env=server.variables)
    assert done.returncode == 0, done.stderr
    assert sorted(server.index()) == [two.name, three.name]
    done = run_keelback(["index", server.channel, "--remove", two.name], env=server.variables)
    assert done.returncode == 0, done.stderr
    assert sorted(server.index()) == [three.name]
    assert server.publish([one]).ok
    assert sorted(server.index()) == [one.name, three.name], "what was removed stays removed when others are published"
    assert statuses(server.publish([two])) == [Status.IDENTICAL]
    assert sorted(server.index()) == [one.name, three.name], "and when the same bytes are published again"
    done = run_keelback(["index", server.channel, "--restore", two.name], env=server.variables)
    assert done.returncode == 0, done.stderr
    assert sorted(server.index()) == [one.name, two.name, three.name]


def test_packages_are_copied_from_a_folder_to_a_bucket_to_another_and_back_with_their_attestations(
    server: Server, tmp_path: Path
) -> None:
    """Rule: the same bytes, records and attestations at the end of the way; the second copy finds them identical."""
    attested, plain = packages(tmp_path / "p", 2)
    folder = tmp_path / "channel"
    assert keelback.publish([plain], folder).ok
    _publish_attested(folder, attested)
    other = f"{server.channel}-other"
    for source, target in ((folder, server.channel), (server.channel, other), (other, tmp_path / "back")):
        done = run_keelback(["copy", source, target, "--json"], env=server.variables)
        assert done.returncode == 0, done.stderr
        assert [outcome["status"] for outcome in done.json()["channels"][0]["outcomes"]] == ["uploaded"] * 2
    again = run_keelback(["copy", folder, server.channel, "--json"], env=server.variables)
    assert [outcome["status"] for outcome in again.json()["channels"][0]["outcomes"]] == ["identical"] * 2
    before, after = (
        decode_repodata((place / "noarch" / REPODATA).read_bytes()).records for place in (folder, tmp_path / "back")
    )
    assert before == after == server.index()
    assert "attestations_sha256" in after[attested.name]
    for name in (attested.name, plain.name, f"{attested.name}.sigs"):
        assert (folder / "noarch" / name).read_bytes() == (tmp_path / "back" / "noarch" / name).read_bytes()


def _publish_attested(folder: Path, package: Path) -> None:
    """Put *package* into the channel in *folder* with something that says that it is about it."""
    channel, archive = LocalChannel(folder), keelback.inspect(package)
    statement = {"subject": [{"name": package.name, "digest": {"sha256": archive.sha256}}]}
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    bundle = json.dumps({"dsseEnvelope": {"payload": payload, "signatures": [{"sig": "c2ln"}]}}).encode()
    channel.begin([archive])
    channel.send(archive, overwrite=False, delivery=Delivery(archive, Reporter(), attestation=bundle))
    channel.finish()
    channel.close()


def test_a_key_that_may_only_read_is_told_so_before_anything_is_sent(
    server: Server, reader: tuple[str, str], tmp_path: Path
) -> None:
    """Rule: exit status 3 or 1 with what the key lacks; nothing was written."""
    (path,) = packages(tmp_path, 1)
    key_id, secret = reader
    env = {"S3_ACCESS_KEY_ID": key_id, "S3_SECRET_ACCESS_KEY": secret, "S3_ENDPOINT_URL": server.url}
    done = run_keelback(["publish", "--to", server.channel, path], env=env)
    assert done.returncode == 1
    assert "s3:PutObject" in done.stderr
    with server.bucket() as bucket:
        assert not list(bucket.list())


def test_a_service_without_conditions_is_told_once_with_what_it_cannot_guarantee(
    require_peer: Callable[[str, bool, str], None], tmp_path: Path
) -> None:
    """Rule: it works for one publisher at a time, and says that two may lose entries."""
    require_peer("s3rver", not s3_servers.S3RVER_WHY_NOT, s3_servers.S3RVER_WHY_NOT)
    one, two = packages(tmp_path / "p", 2)
    with s3_servers.s3rver(tmp_path / "server", "bucket") as url:
        env = {"S3_ACCESS_KEY_ID": "S3RVER", "S3_SECRET_ACCESS_KEY": "S3RVER", "S3_ENDPOINT_URL": url}
        done = run_keelback(["publish", "--to", "s3://bucket/chan", one, two], env=env)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("does not honour conditions") == 1
        assert "let one publish at a time" in done.stderr
        again = run_keelback(["publish", "--to", "s3://bucket/chan", one, "--json"], env=env)
        assert [outcome["status"] for outcome in again.json()["channels"][0]["outcomes"]] == ["identical"]
