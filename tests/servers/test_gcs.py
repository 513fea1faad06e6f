"""Buckets of Google Cloud Storage over HTTP, from a server that checks every byte, or that breaks off as told."""

from __future__ import annotations

import itertools
import json
import threading
import traceback
from typing import TYPE_CHECKING

import pytest

import leaks
from keelback.archive import inspect
from keelback.channels.access import Access
from keelback.channels.buckets import listings
from keelback.channels.buckets.attributes import archive_attributes, index_attributes
from keelback.channels.buckets.bucket import ABSENT, Changed
from keelback.channels.buckets.gcs import GCSBucket
from keelback.channels.delivery import Delivery
from keelback.credentials.kinds import BearerToken
from keelback.credentials.oidc.exchanged import Exchanged, ExchangedToken
from keelback.errors import (
    CredentialError,
    CredentialRefused,
    Forbidden,
    Interrupted,
    KeelbackError,
    ServerError,
    SourceChanged,
    UsageError,
)
from keelback.secret import Secret
from keelback.transport import Client, Retry
from making import make_conda
from servers.scripted import Fault, Trap
from servers.scripted.gcs import QUANTUM, GCSServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keelback.archive import PackageArchive
    from keelback.channels.buckets.bucket import Staged

KEY = "noarch/repodata.json"
JSON = index_attributes(KEY)
CHUNK = 2 * QUANTUM
SIZE = 3 * CHUNK
"""Bytes: a large archive takes some chunks, and so does whatever is sent again."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where packages are made, once for all tests."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def large(folder: Path) -> PackageArchive:
    """A package of some chunks."""
    return inspect(make_conda(folder / "large", payload=SIZE))


@pytest.fixture(scope="module")
def small(folder: Path) -> PackageArchive:
    """Another one with the same name, which fits into one request."""
    return inspect(make_conda(folder / "small"))


@pytest.fixture
def server(token: str) -> Iterator[GCSServer]:
    """One bucket."""
    with GCSServer(token) as running:
        yield running
    running.assert_clean()


@pytest.fixture
def client() -> Iterator[Client]:
    """What sends the requests."""
    with Client(retry=Retry(attempts=4, base=0.001), timeout=10.0) as one:
        yield one


@pytest.fixture
def bucket(server: GCSServer, client: Client, token: str) -> GCSBucket:
    """A folder in it, as a channel has it."""
    return bucket_of(server, client, token)


def bucket_of(
    server: GCSServer, client: Client, token: str | None, name: str = "acme", prefix: str = "chan"
) -> GCSBucket:
    """A folder in the bucket *name* of *server*."""
    access = None if token is None else Access(BearerToken(Secret(token)), "a test")
    return GCSBucket(client, name, prefix, access, endpoint=server.url, chunk=CHUNK, whole=QUANTUM)


class Progress:
    """What a reporter is told."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.at_count: Callable[[], None] = lambda: None

    def started(self, _archive: PackageArchive) -> None:
        """It goes out, from its first byte on."""
        self.counts.clear()

    def sent(self, _archive: PackageArchive, count: int) -> None:
        """So many more bytes are out."""
        self.counts.append(count)
        self.at_count()

    def waiting(self, *_: object) -> None:
        """It will be tried again."""


def staged(
    bucket: GCSBucket,
    archive: PackageArchive,
    *,
    ahead: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Staged:
    """*archive*, ready to be published."""
    delivery = Delivery(archive, progress or Progress(), stop)
    return bucket.stage(archive.relative_path, archive, archive_attributes(archive), delivery, ahead=ahead)


class Streamed:
    """An archive whose bytes come from elsewhere."""

    streams = True

    def __init__(self, archive: PackageArchive) -> None:
        self._archive = archive
        self.passes = 0
        self.ends_with: Exception | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._archive, name)

    def blocks(self, size: int = 1 << 20, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """From the first byte on, each time."""
        assert (start, length) == (0, None)
        self.passes += 1
        *most, last = self._archive.blocks(size)
        yield from most
        if self.ends_with is not None:
            raise self.ends_with
        yield last


def failure(do: Callable[[], object]) -> KeelbackError:
    """How *do* fails; no secret is in the error, nor in anything that led to it."""
    with pytest.raises(KeelbackError) as caught:
        do()
    error = caught.value
    leaks.check(f"{error.hint} {error!r} {''.join(traceback.format_exception(error))}", "the error")
    assert not error.hint or error.hint.endswith(".")
    return error


# -- objects ---------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_as_it_is(bucket: GCSBucket, server: GCSServer) -> None:
    """Under any name that a package may have, with its header fields and its metadata."""
    key = "noarch/+pkg!_é-1.0 a&b=c%2Fd-0.conda"
    version = bucket.write(key, b"{}", JSON)
    content, found = bucket.read(key, limit=10)
    assert (content, found.version, found.size) == (b"{}", version, 2)
    assert found.md5 == "99914b932bd37a50b983c5e7c90ae93b"
    kept = server.objects[f"chan/{key}"].resource
    assert (kept["contentType"], kept["cacheControl"]) == (JSON.content_type, JSON.cache_control)
    assert bucket.stat(key).version == version
    with pytest.raises(Changed):
        bucket.delete(key, "1")
    bucket.delete(key, version)
    bucket.delete(key, version)
    bucket.delete(key)
    assert bucket.stat(key) is None
    assert bucket.read(key, limit=10) is None


def test_a_write_depends_on_what_is_there(bucket: GCSBucket) -> None:
    """On nothing, or on one generation; who comes second is told."""
    first = bucket.write(KEY, b"1", JSON, ABSENT)
    with pytest.raises(Changed):
        bucket.write(KEY, b"2", JSON, ABSENT)
    second = bucket.write(KEY, b"2", JSON, first)
    with pytest.raises(Changed) as caught:
        bucket.write(KEY, b"3", JSON, first)
    assert not caught.value.uncertain
    assert bucket.write(KEY, b"3", JSON) != second
    assert bucket.read(KEY, limit=1)[0] == b"3"


@pytest.mark.parametrize("condition", [ABSENT, "version", None])
def test_a_write_whose_answer_got_lost_is_a_success(bucket: GCSBucket, server: GCSServer, condition: object) -> None:
    """The repetition meets what the first attempt wrote, and knows it."""
    if condition == "version":
        condition = bucket.write(KEY, b"old", JSON)
    server.plan(Fault("lost-answer", when="insert"))
    version = bucket.write(KEY, b"new", JSON, condition)
    assert version == bucket.stat(KEY).version
    assert bucket.read(KEY, limit=3)[0] == b"new"


def test_a_lost_answer_is_no_excuse_where_somebody_else_wrote(bucket: GCSBucket, server: GCSServer) -> None:
    """What is there is not what was sent."""
    version = bucket.write(KEY, b"old", JSON)
    server.put(f"chan/{KEY}", b"theirs")
    server.plan(Fault("reset", when="insert"))
    with pytest.raises(Changed):
        bucket.write(KEY, b"new", JSON, version)


def test_lists_have_every_page_and_the_hashes(bucket: GCSBucket, server: GCSServer, small: PackageArchive) -> None:
    """Of the channel alone, whatever else is in the bucket, and without what stands for folders."""
    server.page = 2
    staged(bucket, small).publish(ABSENT)
    for name in ["chan/noarch/", "chan/linux-64/a", "chan/noarch/b", "chan/noarch/shards/c", "channel/d", "chan/x"]:
        server.put(name, b"")
    found = {item.key: item for item in bucket.list()}
    assert set(found) == {"linux-64/a", "noarch/b", "noarch/shards/c", "x", small.relative_path}
    assert found[small.relative_path].sha256 == small.sha256
    assert [item.key for item in bucket.list("noarch/", folder=True)] == ["noarch/b", small.relative_path]
    assert bucket.prefixes() == ["linux-64", "noarch"]


def test_a_list_of_a_folder_has_nothing_from_elsewhere(bucket: GCSBucket, server: GCSServer) -> None:
    """Whoever answers: no key with a further slash, none that leads out of the folder."""
    names = ["..", ".", "../noarch/x", "a/b", "demo-1-0.conda"]
    page = {
        "items": [{"name": f"chan/noarch/{name}", "size": "1", "generation": "1"} for name in names],
        "prefixes": [f"chan/{name}/" for name in names],
    }
    server.plan(Fault("status", when="list", status=200, body=json.dumps(page), times=2))
    assert [entry.key for entry in bucket.list("noarch/", folder=True)] == ["noarch/demo-1-0.conda"]
    assert bucket.prefixes() == ["demo-1-0.conda"]


def test_a_channel_may_be_the_whole_bucket(server: GCSServer, client: Client, token: str) -> None:
    """Then keys are names."""
    bucket = bucket_of(server, client, token, prefix="")
    bucket.write(KEY, b"{}", JSON)
    assert set(server.objects) == {KEY}
    assert [item.key for item in bucket.list("noarch/", folder=True)] == [KEY]
    assert (bucket.url, bucket.reading_url) == ("gs://acme", f"{server.url}/acme")


@pytest.mark.parametrize(
    "page",
    [
        {"items": [], "nextPageToken": "0"},
        {"items": [{"name": "elsewhere/a", "size": "1", "generation": "1"}]},
        {"items": [{"name": "chan/a"}]},
        {"items": ["chan/a"]},
        {"items": [{"name": "chan/a", "size": "1", "generation": "1"}] * 1001},
        [],
    ],
)
def test_a_list_that_makes_no_sense_is_an_error(
    bucket: GCSBucket, server: GCSServer, page: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no end, names what was not asked for, or says nothing of what it names."""
    monkeypatch.setattr(listings, "MOST_ROWS", 1000)
    server.plan(Fault("status", when="list", status=200, body=json.dumps(page), times=3))
    assert isinstance(failure(lambda: list(bucket.list())), ServerError)


def test_content_that_is_damaged_on_its_way_is_refused(bucket: GCSBucket, server: GCSServer) -> None:
    """In both directions."""
    bucket.write(KEY, b"{}", JSON)
    server.plan(Fault("lie", when="object"))
    assert failure(lambda: bucket.read(KEY, limit=10)).code == "damaged"
    server.plan(Fault("lie", when="insert"))
    assert failure(lambda: bucket.write(KEY, b"{}", JSON)).code == "damaged"


# -- what a bucket answers to the first question ---------------------------------------------------------------------


def test_the_first_question_leaves_one_small_object(bucket: GCSBucket, server: GCSServer) -> None:
    """And a second run asks once."""
    bucket.probe()
    bucket.probe()
    assert bucket.conditional
    assert server.steps() == ["insert"] * 3
    assert set(server.objects) == {"chan/.keelback/conditions"}


def test_a_service_that_ignores_conditions_is_found_out(bucket: GCSBucket, server: GCSServer) -> None:
    """As one of those that are used in tests."""
    server.honours_conditions = False
    bucket.probe()
    assert not bucket.conditional


def error(status: int, message: str, reason: str = "forbidden") -> Fault:
    """An answer as the service gives it."""
    said = {"code": status, "message": message, "errors": [{"reason": reason, "message": message, "domain": "global"}]}
    return Fault("status", when="insert", status=status, body=json.dumps({"error": said}), times=None)


@pytest.mark.parametrize(
    ("fault", "kind", "code", "words"),
    [
        (
            error(403, "ci@acme does not have storage.objects.create access to the object. Permission denied."),
            Forbidden,
            "forbidden",
            "lack of storage.objects.create:",
        ),
        (error(403, "Forbidden"), Forbidden, "forbidden", "storage.objects.create (and storage.objects.delete"),
        (error(403, "Object is under hold", "objectUnderActiveHold"), Forbidden, "forbidden", "keeps its objects"),
        (error(403, "Insufficient Permission", "insufficientPermissions"), Forbidden, "forbidden", "OAuth scope"),
        (error(400, "Invalid bucket name: 'acme'", "invalid"), ServerError, "server", "Invalid bucket name"),
        (error(400, "no user project provided", "userProjectMissing"), ServerError, "server", "who pays"),
        (error(400, 'Provided MD5 hash "a" doesn\'t match'), ServerError, "damaged", "other bytes"),
        (error(429, "slow down", "rateLimitExceeded"), ServerError, "rate-limited", "limits how often"),
        (error(503, "try again", "backendError"), ServerError, "server", "has trouble"),
        (error(401, "Invalid Credentials", "authError"), CredentialRefused, "credential-refused", "from a test"),
        (Fault("status", when="insert", status=200, media="html"), ServerError, "server", "web page"),
        (Fault("redirect", when="insert", status=307, to="http://127.0.0.1:9"), ServerError, "redirect", "redirects"),
    ],
)
def test_what_the_service_says_no_to_is_said_with_a_remedy(
    bucket: GCSBucket, server: GCSServer, fault: Fault, kind: type[KeelbackError], code: str, words: str
) -> None:
    """Which permission is missing, and what else it may be."""
    server.plan(fault)
    found = failure(bucket.probe)
    assert isinstance(found, kind)
    assert found.code == code
    assert words in found.message


def test_a_bucket_that_is_missing_is_not_an_object_that_is_missing(
    server: GCSServer, client: Client, token: str
) -> None:
    """Both are 404."""
    missing = bucket_of(server, client, token, "missing")
    for ask in (missing.probe, lambda: missing.stat(KEY), lambda: missing.read(KEY, limit=1), missing.prefixes):
        found = failure(ask)
        assert found.code == "not-found"
        assert "no bucket 'missing'" in found.message


def test_without_a_credential_a_private_bucket_says_how_to_give_one(server: GCSServer, client: Client) -> None:
    """In the words of Google's tools."""
    found = failure(bucket_of(server, client, None).probe)
    assert isinstance(found, CredentialError)
    assert found.code == "no-credential"
    assert "gcloud auth application-default login" in found.hint


@pytest.mark.parametrize("name", ["UPPER", "a", "-a-b", "a b", "a/b", "", "x" * 300, "é" * 5])
def test_a_name_that_no_bucket_has_is_refused_before_anything_is_sent(client: Client, name: str) -> None:
    """As wrong usage."""
    with pytest.raises(UsageError):
        GCSBucket(client, name)


# -- archives --------------------------------------------------------------------------------------------------------


def kept_whole(server: GCSServer, archive: PackageArchive) -> bool:
    """Whether the bucket has *archive* with its hashes."""
    found = server.objects.get(f"chan/{archive.relative_path}")
    return (
        found is not None
        and found.content == archive.path.read_bytes()
        and found.resource["metadata"] == {"package-sha256": archive.sha256, "package-md5": archive.md5}
        and found.resource["contentDisposition"] == f"attachment; filename={archive.filename}"
    )


def test_a_small_archive_takes_one_request(bucket: GCSBucket, server: GCSServer, small: PackageArchive) -> None:
    """Of which nothing is sent before it is published."""
    ready = staged(bucket, small)
    assert server.steps() == []
    assert ready.publish(ABSENT) == 1
    assert server.steps() == ["insert"]
    assert kept_whole(server, small)


def test_a_large_archive_is_seen_when_it_is_published(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive
) -> None:
    """All but its last 256 KiB go out before; progress counts each byte once."""
    progress = Progress()
    ready = staged(bucket, large, ahead=True, progress=progress)
    assert server.objects == {}
    assert server.received >= large.size - QUANTUM
    assert ready.publish(ABSENT) == 1
    assert kept_whole(server, large)
    assert sum(progress.counts) == server.received == large.size
    ready.discard()
    assert kept_whole(server, large)


@pytest.mark.parametrize("after", [1, QUANTUM + 1, CHUNK])
def test_a_connection_that_breaks_in_a_chunk_is_taken_up_where_it_broke(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, after: int
) -> None:
    """The service is asked how much it has, and gets only what it lacks."""
    progress = Progress()
    server.break_after = after
    ready = staged(bucket, large, progress=progress)
    assert server.received < large.size
    ready.publish(ABSENT)
    assert kept_whole(server, large)
    assert server.received == large.size
    assert sum(progress.counts) == large.size


def test_a_service_that_takes_less_than_it_was_sent_gets_the_rest(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive
) -> None:
    """What counts is what it says it has."""
    server.takes_at_most = QUANTUM
    staged(bucket, large).publish(ABSENT)
    assert kept_whole(server, large)
    assert server.received == large.size


@pytest.mark.parametrize("kind", ["lost-answer", "status", "garbage", "truncated"])
@pytest.mark.parametrize("nth", [1, 2, 4])
def test_trouble_with_a_chunk_passes(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, kind: str, nth: int
) -> None:
    """The last one included, whose bytes are there although nobody heard of it."""
    server.plan(Fault(kind, when="chunk", nth=nth, status=503))
    staged(bucket, large).publish(ABSENT)
    assert kept_whole(server, large)
    assert server.received == large.size


def test_an_upload_that_the_service_has_finished_and_forgotten_is_a_success(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive
) -> None:
    """What is there is compared with what was sent."""
    ready = staged(bucket, large)
    server.forgets_finished = True
    server.plan(Fault("lost-answer", when="chunk"))
    assert ready.publish(ABSENT) == 2
    assert kept_whole(server, large)


def test_an_upload_that_the_service_has_lost_is_an_error(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive
) -> None:
    """And no file half as long."""
    ready = staged(bucket, large)
    server.sessions.clear()
    assert failure(lambda: ready.publish(ABSENT)).code == "broken-upload"
    assert server.objects == {}


@pytest.mark.parametrize("said", ["bytes=0-99999999999", "bytes=5-9", "0-1", "x"])
def test_a_range_that_cannot_be_is_an_error(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, said: str
) -> None:
    """Nothing goes on from there, and nothing is left."""
    server.plan(Fault("status", when="chunk", status=308, media="empty", headers=(("Range", said),)))
    assert failure(lambda: staged(bucket, large)).code == "broken-upload"
    assert server.sessions == {}


def test_a_service_that_takes_nothing_is_not_asked_for_ever(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive
) -> None:
    """However friendly its answers are; nor is one that forgets every second chunk."""
    server.plan(Fault("status", when="chunk", status=308, media="empty", times=None))
    assert failure(lambda: staged(bucket, large)).code == "broken-upload"
    server.behave()
    answers = itertools.cycle([True, False])
    some = Fault(
        "status",
        when=lambda request: request.step == "chunk" and next(answers),
        status=308,
        media="empty",
        headers=(("Range", f"bytes=0-{CHUNK - 1}"),),
        times=None,
    )
    server.plan(some, Fault("status", when="chunk", status=308, media="empty", times=None))
    assert failure(lambda: staged(bucket, large)).code == "broken-upload"


@pytest.mark.parametrize("ahead", [False, True])
def test_who_comes_second_is_told(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, small: PackageArchive, *, ahead: bool
) -> None:
    """Whichever of them sent more before; the first one's file stays, and nothing is left of the second's."""
    ready = staged(bucket, large, ahead=ahead)
    staged(bucket, small).publish(ABSENT)
    with pytest.raises(Changed) as caught:
        ready.publish(ABSENT)
    assert not caught.value.uncertain
    assert kept_whole(server, small)
    assert server.sessions == {}


def test_what_is_there_already_is_not_replaced(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, small: PackageArchive
) -> None:
    """Nor does the last chunk go out for nothing."""
    staged(bucket, small).publish(ABSENT)
    ready = staged(bucket, large)
    before = server.received
    with pytest.raises(Changed):
        ready.publish(ABSENT)
    assert server.received == before
    assert kept_whole(server, small)


def test_a_generation_is_replaced_once(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, small: PackageArchive
) -> None:
    """By whoever knows which one is there."""
    staged(bucket, small).publish(ABSENT)
    version = bucket.stat(small.relative_path).version
    one, other = (staged(bucket, large, ahead=True) for _ in range(2))
    assert one.publish(version) == 1
    with pytest.raises(Changed):
        other.publish(version)
    assert kept_whole(server, large)


def test_who_replaces_whatever_is_there_always_can(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, small: PackageArchive
) -> None:
    """Even if that changed after the upload had begun: it is sent again."""
    ready = staged(bucket, large, ahead=True)
    staged(bucket, small).publish(None)
    assert ready.publish(None) == 2
    assert kept_whole(server, large)


def test_a_condition_that_holds_only_later_costs_another_upload(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, small: PackageArchive
) -> None:
    """An upload's condition is fixed when it begins."""
    staged(bucket, small).publish(ABSENT)
    ready = staged(bucket, large, ahead=True)
    bucket.delete(small.relative_path)
    assert ready.publish(ABSENT) == 2
    assert kept_whole(server, large)


def test_what_is_discarded_was_never_there(bucket: GCSBucket, server: GCSServer, large: PackageArchive) -> None:
    """The service is told, and told once."""
    ready = staged(bucket, large, ahead=True)
    ready.discard()
    ready.discard()
    assert server.sessions == {}
    assert server.objects == {}
    assert bucket.sweep() == 0


def test_a_run_that_is_stopped_ends_at_once(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, client: Client
) -> None:
    """What is left with the service costs nothing; to discard it is no error even then."""
    progress, stop = Progress(), threading.Event()
    progress.at_count = stop.set
    assert isinstance(failure(lambda: staged(bucket, large, progress=progress, stop=stop)), Interrupted)
    ready = staged(bucket, large)
    client.stop()
    ready.discard()
    assert server.objects == {}


def test_a_file_that_changes_while_it_is_staged_is_never_published(
    bucket: GCSBucket, server: GCSServer, tmp_path: Path
) -> None:
    """Not even its beginning is left."""
    path = make_conda(tmp_path, payload=SIZE)
    ready = staged(bucket, inspect(path), ahead=True)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    failure(lambda: ready.publish(ABSENT))
    assert server.objects == {}
    assert server.sessions == {}


@pytest.mark.parametrize("after", [None, QUANTUM + 1])
def test_an_archive_that_comes_from_elsewhere_is_read_once(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, after: int | None
) -> None:
    """Though a connection breaks; all of it has come when it is staged."""
    archive = Streamed(large)
    server.break_after = after
    ready = staged(bucket, archive, ahead=True)
    assert archive.passes == 1
    assert ready.publish(ABSENT) == 1
    assert archive.passes == 1
    assert kept_whole(server, large)


def test_an_archive_that_turns_out_to_be_another_at_its_end_is_not_published(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive
) -> None:
    """Its last bytes are read before anything can be seen."""
    archive = Streamed(large)
    archive.ends_with = SourceChanged("it is another one")
    assert isinstance(failure(lambda: staged(bucket, archive)), SourceChanged)
    assert server.sessions == {}


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_an_upload_on_another_server_gets_nothing(bucket: GCSBucket, server: GCSServer, large: PackageArchive) -> None:
    """Whoever has its URL could write, and whoever is there would get the credential."""
    with Trap() as trap:
        server.session_origin = trap.url
        assert failure(lambda: staged(bucket, large)).code == "redirect"
        assert trap.requests == []


def test_the_url_of_an_upload_is_never_shown(
    bucket: GCSBucket, server: GCSServer, large: PackageArchive, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where the service repeats it; the fixtures look at the log as well."""
    server.plan(Fault("status", when="chunk", status=503), Fault("echo", when="chunk", nth=2, status=410, times=None))
    failure(lambda: staged(bucket, large))
    assert "trying again" in caplog.text
    leaks.check(caplog.text, "the log")


def test_a_token_that_expires_within_an_upload_is_renewed(
    server: GCSServer, client: Client, token: str, large: PackageArchive
) -> None:
    """And the upload goes on."""
    new = leaks.new_secret("renewed")

    given = iter([token, new])
    credential = ExchangedToken(lambda: Exchanged(Secret(next(given))))
    bucket = GCSBucket(client, "acme", "chan", Access(credential, "a test"), endpoint=server.url, chunk=CHUNK, whole=1)
    ready = staged(bucket, large)
    server.tokens = {new}
    assert bucket.stat(KEY) is None
    ready.publish(ABSENT)
    assert kept_whole(server, large)
