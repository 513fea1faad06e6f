"""Channels in a bucket while others write to it, and after runs that ended between an archive and the index."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

import keelback
import leaks
from in_process import run_here
from keelback.attestationfiles import CURRENT, pinned
from keelback.channels.buckets.azure import AzureContainer
from keelback.channels.buckets.azureplace import Place as AzurePlace
from keelback.channels.buckets.bucket import Attributes
from keelback.channels.buckets.gcs import GCSBucket
from keelback.channels.buckets.s3 import S3Bucket
from keelback.channels.buckets.s3channel import S3Channel
from keelback.channels.delivery import Delivery, Refusal
from keelback.channels.session import BucketOptions, Session
from keelback.credentials.aws.settings import S3Settings
from keelback.errors import ChannelError
from keelback.report import Reporter
from keelback.transport import Client
from making import make_conda
from servers.scripted import Fault
from servers.scripted.gcs import GCSServer
from servers.scripted.s3 import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from keelback.archive import PackageArchive
    from keelback.channels.buckets.bucket import Bucket
    from servers.scripted.exchange import Recorded
    from servers.scripted.s3 import Object

KEY_ID = "AKWRITER"
DEMO = "demo-1.0-h0_0.conda"


class Place:
    """A channel in a bucket of one server, for one test."""

    def __init__(self, server: S3Server, secret: str, folder: Path, client: Client) -> None:
        self.server = server
        self.folder = folder
        self.prefix = folder.name
        self.url = f"s3://packages/{self.prefix}"
        self.env = {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "S3_ENDPOINT_URL": server.url,
        }
        self._client = client

    def publish(self, *arguments: Any, status: int = 0) -> Any:
        """The command."""
        done = run_here(["publish", "--to", self.url, *arguments], env=self.env, home=self.folder)
        assert done.returncode == status, done.stderr
        return done

    def channel(self, *archives: PackageArchive) -> S3Channel:
        """The channel, in a run that has begun."""
        channel = S3Channel("packages", self.prefix)
        buckets = BucketOptions(endpoint_url=self.server.url, addressing_style="path")
        channel.open(Session(self._client, list, environ=self.env, buckets=buckets))
        channel.begin(archives)
        return channel

    def index(self, *arguments: str) -> None:
        """That command."""
        done = run_here(["index", self.url, *arguments], env=self.env, home=self.folder)
        assert done.returncode == 0, done.stderr

    def object(self, name: str) -> Object:
        """What is there."""
        return self.server.objects[f"{self.prefix}/{name}"]

    def hashes(self, subdir: str = "noarch") -> dict[str, str]:
        """What the index says, by file name."""
        document = json.loads(self.object(f"{subdir}/repodata.json").content)
        records: Mapping[str, Any] = {**document["packages"], **document["packages.conda"]}
        return {name: record["sha256"] for name, record in records.items()}

    def notices(self) -> list[str]:
        """The keys of what is kept of replacements."""
        return [key for key in self.server.objects if key.startswith(f"{self.prefix}/.keelback/replacing/")]


@pytest.fixture(scope="module")
def secret() -> str:
    """What the server knows."""
    return leaks.new_secret("s3")


@pytest.fixture(scope="module")
def server(secret: str) -> Iterator[S3Server]:
    """One bucket."""
    with S3Server({KEY_ID: secret}) as running:
        yield running
    running.assert_clean()


@pytest.fixture
def place(server: S3Server, secret: str, tmp_path: Path) -> Iterator[Place]:
    """A channel that is not there yet."""
    with Client() as client:
        yield Place(server, secret, tmp_path, client)
    server.behave()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A package."""
    return make_conda(tmp_path / "old", payload=10)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Another one of that name."""
    return make_conda(tmp_path / "new", payload=20)


def sha256(path: Path) -> str:
    """Of a package."""
    return keelback.inspect(path).sha256


def delivery(archive: PackageArchive, attestation: bytes | None = None) -> Delivery:
    """Nobody is told."""
    return Delivery(archive, Reporter(), attestation=attestation)


def attestation_of(archive: PackageArchive) -> bytes:
    """Something that says that it is about *archive*."""
    statement = {"subject": [{"name": archive.filename, "digest": {"sha256": archive.sha256}}]}
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps({"dsseEnvelope": {"payload": payload, "signatures": [{"sig": "c2ln"}]}}).encode()


def put_of(name: str) -> Callable[[Recorded], bool]:
    """Chooses the writes of an object."""
    return lambda request: request.method == "PUT" and request.path.endswith(name)


# --- replacing --------------------------------------------------------------------------------------------------------


def test_an_archive_whose_answer_got_lost_while_it_replaced_another_is_replaced(old: Path, new: Path) -> None:
    """It is looked at what is there before anybody else is said to have put it there."""
    token = leaks.new_secret("gcs")
    with GCSServer(token) as server:
        run = ["publish", "--endpoint-url", server.url, "--to", "gs://acme/dev"]
        env = {"GOOGLE_OAUTH_ACCESS_TOKEN": token}
        assert run_here([*run, old], env=env, home=old.parent).returncode == 0
        server.plan(Fault("lost-answer", when=lambda asked: dict(asked.query).get("ifGenerationMatch", "0") != "0"))
        done = run_here([*run, "--force", new], env=env, home=old.parent)
        assert done.returncode == 0, done.stderr
        assert "1 replaced" in done.stdout
        index = json.loads(server.objects["dev/noarch/repodata.json"].content)
        assert index["packages.conda"][DEMO]["sha256"] == sha256(new)
        assert server.objects[f"dev/noarch/{DEMO}"].content == new.read_bytes()
        server.assert_clean()


@pytest.mark.parametrize(
    ("age", "ended", "is_mended", "is_forgotten"),
    [(0, True, True, True), (0, False, False, False), (120, False, True, False), (7200, False, True, True)],
    ids=["failed", "maybe alive", "probably dead", "dead"],
)
def test_what_a_run_replaced_that_did_not_get_to_the_index_the_next_one_mends(
    place: Place, tmp_path: Path, *, age: int, ended: bool, is_mended: bool, is_forgotten: bool
) -> None:
    """In subdirs that it has nothing for, too. A run that may be alive is let be."""
    old, new = (make_conda(tmp_path / str(size), subdir="linux-64", payload=size) for size in (10, 20))
    place.publish(old)
    place.server.plan(Fault("status", status=403, when=put_of("linux-64/repodata.json"), times=None))
    place.publish("--force", new, status=1)
    place.server.behave()
    assert place.hashes("linux-64") == {DEMO: sha256(old)}
    assert place.object(f"linux-64/{DEMO}").content == new.read_bytes()
    (notice,) = place.notices()
    kept = {**json.loads(place.server.objects[notice].content), "ended": ended}
    place.server.put_object(notice, json.dumps(kept).encode()).modified = time.time() - age
    place.publish(make_conda(tmp_path / "other", "other"))
    assert place.hashes("linux-64") == {DEMO: sha256(new if is_mended else old)}
    assert (not place.notices()) is is_forgotten


def test_a_run_that_ends_well_leaves_no_notice(place: Place, old: Path, new: Path) -> None:
    """There is one from before the first archive changes until the index has it."""
    place.publish(old)
    begun = len(place.server.requests)
    place.publish("--force", new)
    assert place.notices() == []
    asked = [
        (request.step, request.path.removeprefix(f"/packages/{place.prefix}/"))
        for request in place.server.requests[begun:]
    ]
    steps = [next(i for i, each in enumerate(asked) if each[0] == step and each[1].startswith(key)) for step, key in (
        ("put", ".keelback/replacing/"), ("complete", f"noarch/{DEMO}"), ("put", "noarch/repodata.json"),
        ("delete", ".keelback/replacing/"))]  # fmt: skip
    assert steps == sorted(steps)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"ended": true, "records": {"../x": {}, "noarch/y.conda": 1}}'])
def test_a_notice_that_says_nothing_is_no_obstacle(place: Place, old: Path, content: bytes) -> None:
    """Whoever wrote it, nothing comes of it."""
    place.server.put_object(f"{place.prefix}/.keelback/replacing/x.json", content).modified = 0.0
    place.publish(old)
    assert place.hashes() == {DEMO: sha256(old)}
    assert place.notices() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": None},
        {"name": "demo"},
        {"name": ["new"]},
        {"subdir": "linux-64"},
        {"size": "1"},
        {"md5": "0"},
        {"depends": None},
        {"build_number": 1 << 70},
        {"timestamp": 1 << 70},
    ],
    ids=str,
)
def test_a_notice_with_a_record_that_is_none_is_no_obstacle(place: Place, old: Path, wrong: dict[str, Any]) -> None:
    """What no index can have comes into none, and the channel can be written as before."""
    place.publish(old)
    place.server.objects[f"{place.prefix}/noarch/new-1.0-0.conda"] = place.object(f"noarch/{DEMO}")
    index = json.loads(place.object("noarch/repodata.json").content)
    record = {**index["packages.conda"][DEMO], "name": "new", "build": "0", **wrong}
    record = {name: value for name, value in record.items() if value is not None}
    notice = {"ended": True, "records": {"noarch/new-1.0-0.conda": record}}
    place.server.put_object(f"{place.prefix}/.keelback/replacing/x.json", json.dumps(notice).encode())
    place.publish(make_conda(place.folder, "other"))
    assert place.hashes().keys() == {DEMO, "other-1.0-h0_0.conda"}
    assert place.notices() == []


def test_the_age_of_a_notice_is_told_by_the_clock_of_the_service(
    place: Place, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is not dead because this machine's clock is days ahead."""
    monkeypatch.setattr(place.server, "clock_offset", -2 * 86400.0)
    place.publish(old)
    archive = keelback.inspect(new)
    running = place.channel(archive)
    running.find(archive)
    running.send(archive, overwrite=True, delivery=delivery(archive))
    running._replacements.publish()  # the moment before the index
    (notice,) = place.notices()
    place.publish(make_conda(place.folder, "other"))
    assert place.notices() == [notice]
    assert place.hashes()[DEMO] == sha256(old)
    running.finish()
    assert place.hashes()[DEMO] == sha256(new)


def test_two_jobs_that_replace_with_the_same_bytes_both_succeed(place: Place, old: Path, new: Path) -> None:
    """The one that comes second finds what it was to put there."""
    place.publish(old)
    archive = keelback.inspect(new)
    jobs = [place.channel(archive) for _ in range(2)]
    for job in jobs:
        job.find(archive)
        job.send(archive, overwrite=True, delivery=delivery(archive))
    for job in jobs:
        job.finish()
        assert not job.rejected()
    assert place.hashes() == {DEMO: sha256(new)}


def completes(request: Recorded) -> bool:
    """Chooses the requests by which what was sent in parts becomes visible."""
    return request.method == "POST" and "uploadId" in dict(request.query)


@pytest.mark.parametrize(
    ("when", "status"), [(completes, 412), (put_of("noarch/repodata.json"), 403)], ids=["conflict", "no index"]
)
def test_what_becomes_of_a_replacement_is_told_once(
    place: Place, old: Path, new: Path, when: Callable[[Recorded], bool], status: int
) -> None:
    """When it is known, and not before."""
    place.publish(old)
    place.server.plan(Fault("status", status=status, when=when, times=None))
    done = place.publish("--force", new, status=1)
    lines = (done.stdout + done.stderr).splitlines()
    assert [line.split()[0] for line in lines if f" noarch/{DEMO}" in line] == ["failed"], lines


def test_an_archive_that_loses_takes_nothing_from_the_one_that_stays(place: Place, tmp_path: Path) -> None:
    """Neither the attestations of the one that won, nor its place in the index."""
    first, ours, theirs = (keelback.inspect(make_conda(tmp_path / str(size), payload=size)) for size in (10, 20, 30))
    for attested in (True, False):
        channel = place.channel(first)
        channel.send(first, overwrite=False, delivery=delivery(first))
        channel.finish()
        loser, winner = place.channel(ours), place.channel(theirs)
        for channel, archive, bundle in (
            (loser, ours, attestation_of(ours) if attested else None),
            (winner, theirs, attestation_of(theirs)),
        ):
            channel.find(archive)
            channel.send(archive, overwrite=True, delivery=delivery(archive, bundle))
        winner.finish()
        sigs = place.object(f"noarch/{DEMO}{CURRENT}").content
        loser.finish()
        loser.close()
        assert loser.rejected().keys() == {f"noarch/{DEMO}"}
        assert place.object(f"noarch/{DEMO}{CURRENT}").content == sigs
        assert place.hashes() == {DEMO: theirs.sha256}
        for key in [key for key in place.server.objects if key.startswith(f"{place.prefix}/")]:
            del place.server.objects[key]


def test_a_new_archive_that_comes_second_leaves_the_attestations_of_the_first(place: Place, tmp_path: Path) -> None:
    """The same holds without --force."""
    ours, theirs = (keelback.inspect(make_conda(tmp_path / str(size), payload=size)) for size in (20, 30))
    second, first = place.channel(ours), place.channel(theirs)
    first.send(theirs, overwrite=False, delivery=delivery(theirs, attestation_of(theirs)))
    sigs = place.object(f"noarch/{DEMO}{CURRENT}").content
    with pytest.raises(Refusal):
        second.send(ours, overwrite=False, delivery=delivery(ours, attestation_of(ours)))
    assert place.object(f"noarch/{DEMO}{CURRENT}").content == sigs


def test_attestations_that_a_killed_run_left_under_their_hash_are_found(place: Place, old: Path) -> None:
    """A run may die after the archive, and before they are the latest."""
    archive = keelback.inspect(old)
    channel = place.channel(archive)
    channel.send(archive, overwrite=False, delivery=delivery(archive, attestation_of(archive)))
    sigs = place.server.objects.pop(f"{place.prefix}/noarch/{DEMO}{CURRENT}")
    place.publish(old)
    record = json.loads(place.object("noarch/repodata.json").content)["packages.conda"][DEMO]
    assert place.object(f"noarch/{DEMO}{pinned(record['attestations_sha256'])}").content == sigs.content
    assert place.object(f"noarch/{DEMO}{CURRENT}").content == sigs.content


def test_what_came_between_the_look_and_a_forced_archive_is_replaced(place: Place, old: Path, new: Path) -> None:
    """At the end, as all that is replaced; and not at once, without the condition that it is what was seen."""
    ours, theirs = keelback.inspect(new), keelback.inspect(old)
    channel = place.channel(ours)
    assert channel.find(ours) is None
    place.publish(old)
    channel.send(ours, overwrite=True, delivery=delivery(ours))
    assert place.object(f"noarch/{DEMO}").sha256 == theirs.sha256
    channel.finish()
    assert place.object(f"noarch/{DEMO}").sha256 == ours.sha256
    assert place.hashes() == {DEMO: ours.sha256}


def test_the_index_stays_that_of_an_archive_which_has_replaced_one_of_this_run(
    place: Place, old: Path, new: Path
) -> None:
    """Between an archive and the index of a run, another may come and go."""
    ours = keelback.inspect(old)
    channel = place.channel(ours)
    channel.send(ours, overwrite=False, delivery=delivery(ours))
    place.publish("--force", new)
    channel.finish()
    assert place.hashes() == {DEMO: sha256(new)}


def test_an_index_that_cannot_be_added_to_is_found_before_anything_is_replaced(place: Place, tmp_path: Path) -> None:
    """That of noarch, too, which every run writes."""
    old, new = (make_conda(tmp_path / str(size), subdir="linux-64", payload=size) for size in (10, 20))
    place.publish(old)
    place.server.put_object(f"{place.prefix}/noarch/repodata.json", b"{ no JSON")
    done = place.publish("--force", new, status=1)
    assert f"{place.url}/noarch" in done.stderr
    assert place.object(f"linux-64/{DEMO}").content == old.read_bytes()


# --- what others do before the index is written -----------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [False, True])
def test_what_somebody_removes_before_the_index_is_written_stays_removed(
    place: Place, old: Path, caplog: pytest.LogCaptureFixture, *, deleted: bool
) -> None:
    """No index names a file that is not there, and nobody's removal is undone without a word."""
    archive = keelback.inspect(old)
    place.publish(make_conda(place.folder, "other"))
    channel = place.channel(archive)
    channel.send(archive, overwrite=False, delivery=delivery(archive))
    place.index("--remove", "demo", *(["--delete-files"] if deleted else []))
    channel.finish()
    assert DEMO not in place.hashes()
    assert channel.leaves_out(archive)
    assert ("deleted by somebody else meanwhile" if deleted else f"--restore noarch/{DEMO}") in caplog.text


def test_what_was_removed_before_a_run_is_listed_where_the_run_sends_it(place: Place, old: Path) -> None:
    """As it always has been: whoever deletes a package may publish it again."""
    place.publish(old)
    place.index("--remove", "demo", "--delete-files")
    place.publish(old)
    assert place.hashes() == {DEMO: sha256(old)}


# --- what is there ----------------------------------------------------------------------------------------------------


def test_caches_that_many_share_keep_nothing_that_needs_a_credential(place: Place, old: Path) -> None:
    """An answer that says ``public`` may be given to whoever asks (RFC 9111, section 3.5)."""
    place.publish(old)
    kept = {key: there.headers["cache-control"] for key, there in place.server.objects.items() if place.prefix in key}
    assert all("max-age=" in kept[f"{place.prefix}/noarch/{name}"] for name in (DEMO, "repodata.json"))
    assert not [key for key, control in kept.items() if "public" in control]


@pytest.mark.parametrize("key", ["noarch/../../other/x.conda", "noarch//x.conda", "./x.conda", "noarch/.."])
@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_no_request_is_sent_for_a_key_that_could_be_taken_for_another(kind: str, key: str) -> None:
    """Programs on the way resolve such paths, so that the request would be about something else."""
    with Client() as client:
        nowhere = "https://bucket.invalid"
        bucket: Bucket = {
            "s3": lambda: S3Bucket(client, "packages", "chan", S3Settings(nowhere, "us-east-1", path_style=True), None),
            "gcs": lambda: GCSBucket(client, "packages", "chan", endpoint=nowhere),
            "azure": lambda: AzureContainer(client, AzurePlace("acme", "packages", "chan", nowhere), None),
        }[kind]()
        for work in (
            bucket.stat,
            bucket.delete,
            lambda key: bucket.read(key, limit=1),
            lambda key: bucket.write(key, b"", Attributes("text/plain", "no-store")),
        ):
            with pytest.raises(ChannelError) as caught:
                work(key)
            assert caught.value.code == "bad-key"


def test_an_archive_with_the_hash_of_another_is_not_taken_for_it(place: Place, old: Path) -> None:
    """The service itself knows the MD5 of the bytes, and whoever wrote them may say what they like."""
    junk = place.server.put_object(f"{place.prefix}/noarch/{DEMO}", b"j" * old.stat().st_size)
    junk.headers["x-amz-meta-package-sha256"] = sha256(old)
    (outcome,) = place.publish(old, "--json", status=1).json()["channels"][0]["outcomes"]
    assert outcome["error"]["message"].endswith("already, with other bytes")


def test_no_more_is_read_of_an_archive_than_it_has(place: Place, old: Path) -> None:
    """What comes without end is not read to its end."""
    there = place.server.put_object(f"{place.prefix}/noarch/{DEMO}", old.read_bytes() + b"more")
    there.size = old.stat().st_size
    (outcome,) = place.publish(old, "--json", status=1).json()["channels"][0]["outcomes"]
    assert outcome["error"]["message"].endswith("and does not say whether with the same bytes")


def test_what_stays_removed_is_not_waited_for(place: Place, old: Path) -> None:
    """It will not be in the index, and a warning has said so."""
    place.publish(old)
    place.index("--remove", "demo")
    done = place.publish(old, "--verify", "--verify-timeout", "20", "--json")
    (outcome,) = done.json()["channels"][0]["outcomes"]
    assert (outcome["status"], outcome.get("visible")) == ("identical", None)
