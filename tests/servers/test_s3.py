"""A bucket with the S3 protocol, against a scripted server that checks signatures, conditions and every part."""

from __future__ import annotations

import email.utils
import hashlib
import logging
import subprocess
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx2
import pytest

import leaks
from keelback import Retry
from keelback.archive import inspect
from keelback.channels.buckets import listings, s3multipart
from keelback.channels.buckets.attributes import archive_attributes, index_attributes
from keelback.channels.buckets.bucket import ABSENT, Changed
from keelback.channels.buckets.s3 import S3Bucket
from keelback.channels.buckets.s3uploads import part_size
from keelback.channels.delivery import Delivery
from keelback.credentials.aws.settings import S3Settings
from keelback.credentials.kinds import S3Credentials
from keelback.credentials.sigv4 import SigV4
from keelback.errors import (
    ChannelError,
    CredentialError,
    CredentialRefused,
    Forbidden,
    Interrupted,
    ServerError,
    SourceChanged,
    TransportError,
)
from keelback.report import Reporter
from keelback.secret import Secret
from keelback.transport import Answer, Client, Request
from making import make_big_conda, make_conda
from servers.scripted.faults import Fault
from servers.scripted.s3 import NAMESPACE, S3Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keelback.archive import PackageArchive

WRITER, READER = "AKWRITER", "AKREADER"
NOTES = "noarch/repodata.json"
NOTES_ATTRIBUTES = index_attributes(NOTES)
BIG = 40 << 20
DAY = 24 * 3600.0


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    """Those of the keys that the server knows; one has characters in it that URLs escape."""
    return {WRITER: leaks.new_secret("writer", special=True), READER: leaks.new_secret("reader")}


@pytest.fixture
def server(secrets: dict[str, str]) -> Iterator[S3Server]:
    """A strict one, of which nothing is asked that it does not allow."""
    with S3Server(secrets, readers=[READER]) as running:
        yield running
    running.assert_clean()


@pytest.fixture
def client() -> Iterator[Client]:
    """One that does not wait long before it tries again."""
    with Client(retry=Retry(attempts=3, base=0.001), timeout=20.0) as opened:
        yield opened


@pytest.fixture
def bucket_of(client: Client, secrets: dict[str, str]) -> Callable[..., S3Bucket]:
    """``bucket_of(server)``: a channel in its bucket, with the keys of the writer."""

    def make(server: S3Server, key_id: str | None = WRITER, secret: str | None = None, **options: str) -> S3Bucket:
        keys = None
        if key_id is not None:
            keys = S3Credentials(key_id, Secret(secret or secrets[key_id]))
        settings = S3Settings(server.url, options.get("region", "us-east-1"), path_style=True)
        get = None if keys is None else lambda: keys
        return S3Bucket(client, options.get("bucket", server.bucket), "chan", settings, get, "a test")

    return make


@pytest.fixture
def bucket(server: S3Server, bucket_of: Callable[..., S3Bucket], monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    """A channel in the bucket of the server, which is one of those that are known to honour conditions."""
    monkeypatch.setattr(s3multipart, "_KNOWN", (server.url.rpartition("/")[2],))
    return bucket_of(server)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> PackageArchive:
    """One of three parts."""
    return inspect(make_big_conda(tmp_path_factory.mktemp("big") / "big-1.0-0.conda", BIG))


@pytest.fixture
def small(tmp_path: Path) -> PackageArchive:
    """One that is sent at once, with a name that URLs escape."""
    return inspect(make_conda(tmp_path, "demo", "1!2.0+local"))


class Sent(Reporter):
    """Counts what is said to be out."""

    def __init__(self) -> None:
        self.count = 0

    def sent(self, _archive: object, count: int) -> None:
        """See :class:`Reporter`."""
        self.count += count


def put(bucket: S3Bucket, archive: PackageArchive, condition: object = ABSENT, *, ahead: bool = False) -> int:
    """Stage and publish *archive*."""
    staged = bucket.stage(
        archive.relative_path, archive, archive_attributes(archive), Delivery(archive, Reporter()), ahead=ahead
    )
    return staged.publish(condition)


# -- signatures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "signature"),
    [
        (
            "GET",
            "/test.txt",
            {"range": "bytes=0-9"},
            None,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        ("GET", "/?lifecycle", {}, None, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("GET", "/?max-keys=2&prefix=J", {}, None, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
    ids=["get", "put", "lifecycle", "list"],
)
def test_signatures_are_those_of_the_documentation(
    method: str, path: str, headers: dict[str, str], body: bytes | None, signature: str
) -> None:
    """Amazon S3 API Reference, "Examples: Signature Calculations": the keys are theirs, and open nothing."""
    keys = S3Credentials("AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
    auth = SigV4(lambda: keys, "us-east-1", clock=lambda: 1_369_353_600)
    request = httpx2.Request(method, f"https://examplebucket.s3.amazonaws.com{path}", headers=headers, content=body)
    next(auth.auth_flow(request))
    assert request.headers["authorization"].endswith(f"Signature={signature}")


def test_a_signer_shows_nothing_of_its_keys() -> None:
    """Neither the secret, nor what is derived from it, nor the session token."""
    keys = S3Credentials("AK", Secret(leaks.new_secret("key")), Secret(leaks.new_secret("session")))
    auth = SigV4(lambda: keys, "us-east-1")
    request = httpx2.Request("GET", "https://bucket.example/key")
    next(auth.auth_flow(request))
    assert request.headers["x-amz-security-token"] == keys.session_token.reveal()
    leaks.check(f"{auth!r} {vars(auth)} {keys!r}", "the signer")


def test_what_was_read_from_elsewhere_is_signed_in_the_spelling_that_is_sent(
    server: S3Server, bucket: S3Bucket, client: Client
) -> None:
    """A reader joins URLs with ``+`` and ``!`` as they are, which an object store may take for something else."""
    server.put_object("chan/noarch/lib++-1!2.0-h0_0.conda", b"bytes")
    access = bucket.access()
    assert access is not None
    assert access.scope == "/packages"
    answer = client.get(Request("GET", f"{bucket.reading_url}/noarch/lib++-1!2.0-h0_0.conda", auth=access.credential))
    assert answer.content == b"bytes"
    assert server.requests[-1].path == "/packages/chan/noarch/lib%2B%2B-1%212.0-h0_0.conda"


@pytest.mark.parametrize(
    ("settings", "name", "url"),
    [
        (("https://s3.eu-west-1.amazonaws.com", False), "conda", "https://conda.s3.eu-west-1.amazonaws.com/a/b"),
        (("https://s3.eu-west-1.amazonaws.com", True), "conda", "https://s3.eu-west-1.amazonaws.com/conda/a/b"),
        (("https://s3.eu-west-1.amazonaws.com", False), "my.conda", "https://s3.eu-west-1.amazonaws.com/my.conda/a/b"),
        (("http://minio.example:9000", False), "my.conda", "http://my.conda.minio.example:9000/a/b"),
        (("http://127.0.0.1:9000", False), "conda", "http://127.0.0.1:9000/conda/a/b"),
        (("https://[fd00::1]:9000", False), "conda", "https://[fd00::1]:9000/conda/a/b"),
        (("http://localhost:9000", False), "conda", "http://localhost:9000/conda/a/b"),
        (("https://s3.example", False), "Odd_Name", "https://s3.example/Odd_Name/a/b"),
    ],
)
def test_a_bucket_is_in_the_host_name_where_that_can_be(
    client: Client, settings: tuple[str, bool], name: str, url: str
) -> None:
    """Not below an address, and not with a dot in its name where a certificate has to match."""
    endpoint, by_path = settings
    bucket = S3Bucket(client, name, "a/b", S3Settings(endpoint, "eu-west-1", path_style=by_path), None)
    assert bucket.reading_url == url
    assert bucket.url == f"s3://{name}/a/b"
    assert bucket.access() is None


# -- objects --------------------------------------------------------------------------------------------------------


def test_what_is_written_is_there(server: S3Server, bucket: S3Bucket) -> None:
    """With the headers with which it is served, and its version."""
    version = bucket.write(NOTES, b"{}", NOTES_ATTRIBUTES)
    content, stored = bucket.read(NOTES, limit=10) or (b"", None)
    assert content == b"{}"
    assert stored is not None
    assert (stored.key, stored.size, stored.version) == (NOTES, 2, version)
    assert stored.md5 == hashlib.md5(b"{}", usedforsecurity=False).hexdigest()
    assert abs((stored.modified or 0) - time.time()) < 60
    assert bucket.stat(NOTES) == stored
    kept = server.objects[f"chan/{NOTES}"].headers
    assert kept == {"content-type": "application/json", "cache-control": "max-age=300"}
    with pytest.raises(Changed):
        bucket.delete(NOTES, '"0123456789abcdef0123456789abcdef"')
    bucket.delete(NOTES, version)
    bucket.delete(NOTES, version)
    bucket.delete(NOTES)
    assert bucket.stat(NOTES) is None
    assert bucket.read(NOTES, limit=10) is None


def test_no_more_is_read_than_was_asked_for(bucket: S3Bucket) -> None:
    """Whoever controls the bucket cannot fill the memory."""
    bucket.write(NOTES, b"x" * 100, NOTES_ATTRIBUTES)
    with pytest.raises(TransportError, match="larger than 99 bytes"):
        bucket.read(NOTES, limit=99)


def test_a_write_depends_on_what_is_there(bucket: S3Bucket) -> None:
    """On nothing, or on a version; where that does not hold, nothing is changed."""
    first = bucket.write(NOTES, b"1", NOTES_ATTRIBUTES, ABSENT)
    with pytest.raises(Changed):
        bucket.write(NOTES, b"2", NOTES_ATTRIBUTES, ABSENT)
    second = bucket.write(NOTES, b"2", NOTES_ATTRIBUTES, first)
    with pytest.raises(Changed):
        bucket.write(NOTES, b"3", NOTES_ATTRIBUTES, first)
    bucket.delete(NOTES)
    with pytest.raises(Changed):
        bucket.write(NOTES, b"3", NOTES_ATTRIBUTES, second)
    assert bucket.stat(NOTES) is None


def test_a_write_whose_answer_was_lost_is_no_conflict(server: S3Server, bucket: S3Bucket) -> None:
    """The repetition finds its own bytes there; other bytes are somebody else's."""
    server.plan(Fault("lost-answer", when="put"))
    version = bucket.write(NOTES, b"mine", NOTES_ATTRIBUTES, ABSENT)
    assert version == server.objects[f"chan/{NOTES}"].etag

    server.plan(Fault("reset-body", when="put", after_bytes=1))
    with pytest.raises(Changed) as caught:
        bucket.write(NOTES, b"other", NOTES_ATTRIBUTES, ABSENT)
    assert caught.value.uncertain


def test_what_is_busy_is_asked_again(server: S3Server, bucket: S3Bucket) -> None:
    """503 SlowDown, and a conflict with others who write at the same moment; in the end it is said how to be slower."""
    conflict = "<Error><Code>ConditionalRequestConflict</Code><Message>busy</Message></Error>"
    server.plan(Fault("status", when="put", status=503), Fault("status", when="put", status=409, body=conflict))
    bucket.write(NOTES, b"{}", NOTES_ATTRIBUTES, ABSENT)
    assert server.steps() == ["put", "put", "put"]

    server.plan(Fault("status", when="put", status=409, body=conflict, times=None))
    with pytest.raises(Changed):
        bucket.write(NOTES, b"[]", NOTES_ATTRIBUTES, '"x"')
    server.behave()
    server.plan(Fault("status", when="put", status=503, times=None))
    with pytest.raises(ServerError, match=r"had no time to write .* in 3 attempts \(SlowDown\)") as caught:
        bucket.write(NOTES, b"[]", NOTES_ATTRIBUTES)
    assert "--jobs" in caught.value.hint
    assert caught.value.code == "rate-limited"


@pytest.mark.parametrize("page", [2, 1000])
def test_lists_have_all_keys_whatever_is_in_them(
    secrets: dict[str, str], bucket_of: Callable[..., S3Bucket], page: int
) -> None:
    """Page by page, decoded, relative to the channel, without what is beside it."""
    names = ["lib++-1!2-0.conda", "a b&c<d>é-1-0.conda", "plain-1-0.conda", "shards/x.msgpack.zst"]
    with S3Server(secrets, page=page) as server:
        for name in names:
            server.put_object(f"chan/noarch/{name}", b"12")
        for key in ("chan/noarch/", "chan/linux-64/repodata.json", "chan/channeldata.json", "channel/x/y", "other"):
            server.put_object(key, b"")
        bucket = bucket_of(server)
        assert sorted(entry.key for entry in bucket.list("noarch/")) == sorted(f"noarch/{name}" for name in names)
        in_folder = {entry.key: entry for entry in bucket.list("noarch/", folder=True)}
        assert sorted(in_folder) == sorted(f"noarch/{name}" for name in names[:3])
        entry = in_folder["noarch/plain-1-0.conda"]
        assert (entry.size, entry.version) == (2, bucket.stat(entry.key).version)
        assert entry.md5 == hashlib.md5(b"12", usedforsecurity=False).hexdigest()
        assert sorted(bucket.prefixes()) == ["linux-64", "noarch"]
    server.assert_clean()


def listing(rows: str = "", token: str = "") -> Callable[[str, bytes], bytes]:
    """Answers lists with *rows*, and *token* for the next page."""
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    body = f"<ListBucketResult {NAMESPACE}>{rows}{more}</ListBucketResult>".encode()
    return lambda step, content: body if step == "list" else content


def row(key: str, size: str = "1") -> str:
    """An entry of a list."""
    return f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;x&quot;</ETag></Contents>"


@pytest.mark.parametrize(
    "tamper",
    [
        listing(row("chan/a"), token="page-0"),
        listing(row("elsewhere/a")),
        listing(row("chan/a") * 1001),
        listing(row("chan/a", size="9" * 5000)),
        listing("<Contents><Key>chan/a</Key></Contents>"),
        lambda _step, _body: b"<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult>&a;</ListBucketResult>",
        lambda _step, _body: b"<ListBucketResult>" + b"<a>" * 100 + b"</a>" * 100 + b"</ListBucketResult>",
        lambda _step, _body: b"<Something/>",
        lambda _step, _body: b"<ListBucketResult><Contents>",
        lambda _step, _body: b"<html><title>Log in</title></html>",
        lambda _step, _body: b"",
    ],
    ids=["loops", "outside", "rows", "size", "incomplete", "entities", "deep", "other", "cut", "page", "empty"],
)
def test_a_list_that_cannot_be_is_an_error(
    server: S3Server, bucket: S3Bucket, tamper: Callable[[str, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It neither runs for ever, nor leads out of the channel, nor expands anything."""
    server.put_object("chan/a", b"1")
    monkeypatch.setattr(listings, "MOST_ROWS", 1000)
    server.tamper = tamper
    with pytest.raises(ServerError):
        list(bucket.list())


def test_a_list_of_a_folder_has_nothing_from_elsewhere(server: S3Server, bucket: S3Bucket) -> None:
    """Whoever answers: no key with a further slash, none that leads out of the folder, none without a name."""
    names = ["", ".", "..", "../noarch/x", "a/b", "demo-1-0.conda"]
    prefixes = "".join(f"<CommonPrefixes><Prefix>chan/{name}/</Prefix></CommonPrefixes>" for name in names)
    server.tamper = listing("".join(row(f"chan/noarch/{name}") for name in names) + prefixes)
    assert [entry.key for entry in bucket.list("noarch/", folder=True)] == ["noarch/demo-1-0.conda"]
    assert bucket.prefixes() == ["demo-1-0.conda"]


def test_a_list_too_large_to_be_one_is_not_read(server: S3Server, bucket: S3Bucket) -> None:
    """A thousand keys have a size."""
    server.tamper = lambda _step, _body: b"<ListBucketResult>" + b" " * (17 << 20)
    with pytest.raises(TransportError, match="larger than"):
        list(bucket.list())


# -- archives -------------------------------------------------------------------------------------------------------


def test_a_small_archive_is_sent_when_it_is_published(
    server: S3Server, bucket: S3Bucket, small: PackageArchive
) -> None:
    """In one request, with its hashes as metadata; what is there under its name is not replaced."""
    sent = Sent()
    key, attributes = small.relative_path, archive_attributes(small)
    staged = bucket.stage(key, small, attributes, Delivery(small, sent), ahead=False)
    assert server.requests == []
    assert staged.publish(ABSENT) == 1
    assert server.steps() == ["put"]
    assert sent.count == small.size
    kept = server.objects[f"chan/{key}"]
    assert kept.content == small.path.read_bytes()
    assert kept.headers["x-amz-meta-package-sha256"] == small.sha256
    assert kept.headers["content-disposition"] == f"attachment; filename={small.filename}"
    stored = bucket.stat(key)
    assert stored is not None
    assert (stored.sha256, stored.md5, stored.size) == (small.sha256, small.md5, small.size)
    with pytest.raises(Changed) as caught:
        put(bucket, small)
    assert not caught.value.uncertain
    staged.discard()
    assert f"chan/{key}" in server.objects


@pytest.mark.parametrize("kind", ["lost-answer", "reset-body", "reset"])
def test_a_small_archive_gets_through_a_broken_connection(
    server: S3Server, bucket: S3Bucket, small: PackageArchive, kind: str
) -> None:
    """An answer that was lost is no conflict."""
    server.plan(Fault(kind, when="put"))
    assert put(bucket, small) == 2
    assert server.objects[f"chan/{small.relative_path}"].sha256 == small.sha256


def test_a_large_archive_goes_out_in_parts(server: S3Server, bucket: S3Bucket, big: PackageArchive) -> None:
    """Nobody sees it before it is published; all of it is what it was."""
    sent = Sent()
    attributes = archive_attributes(big)
    staged = bucket.stage(big.relative_path, big, attributes, Delivery(big, sent), ahead=False)
    assert sent.count == big.size
    assert bucket.stat(big.relative_path) is None
    assert staged.publish(ABSENT) == 1
    staged.discard()
    kept = server.objects[f"chan/{big.relative_path}"]
    assert kept.sha256 == big.sha256
    assert kept.headers["x-amz-meta-package-md5"] == big.md5
    assert (server.steps().count("part"), server.uploads) == (3, {})
    assert bucket.stat(big.relative_path).md5 == big.md5


def test_an_archive_that_is_sent_ahead_waits_for_its_turn(
    server: S3Server, bucket: S3Bucket, small: PackageArchive
) -> None:
    """However small it is; and it leaves nothing behind when it is discarded."""
    key, attributes = small.relative_path, archive_attributes(small)
    staged = bucket.stage(key, small, attributes, Delivery(small, Reporter()), ahead=True)
    assert server.steps() == ["create", "part"]
    staged.discard()
    assert (server.objects, server.uploads) == ({}, {})
    assert put(bucket, small, ahead=True) == 1
    assert server.objects[f"chan/{key}"].sha256 == small.sha256


def test_an_archive_from_elsewhere_is_read_once(
    server: S3Server, bucket: S3Bucket, big: PackageArchive, small: PackageArchive
) -> None:
    """Part by part, in order; a part that breaks off is sent again from memory."""
    server.plan(Fault("reset-body", when="part", nth=2, after_bytes=1 << 20))
    for archive in (big, small):
        streamed, sent = Streamed(archive), Sent()
        attributes = archive_attributes(archive)
        staged = bucket.stage(archive.relative_path, streamed, attributes, Delivery(archive, sent), ahead=False)
        staged.publish(ABSENT)
        assert server.objects[f"chan/{archive.relative_path}"].sha256 == archive.sha256
        assert (streamed.passes, sent.count) == (1, archive.size)
    assert server.steps().count("part") == 4


class Streamed:
    """An archive whose bytes come from elsewhere."""

    streams = True

    def __init__(self, archive: PackageArchive) -> None:
        self._archive = archive
        self.size, self.sha256, self.md5 = archive.size, archive.sha256, archive.md5
        self.passes = 0

    def blocks(self, size: int) -> Iterator[memoryview]:
        """All of it, from the first byte on."""
        self.passes += 1
        yield from self._archive.blocks(size)


@pytest.mark.parametrize("kind", ["lost-answer", "reset-body", "reset", "truncated"])
def test_a_part_that_breaks_off_is_sent_again(
    server: S3Server, bucket: S3Bucket, big: PackageArchive, kind: str
) -> None:
    """That part alone; progress never goes back, and ends at the whole."""
    server.plan(Fault(kind, when="part", nth=2, after_bytes=3 << 20))
    sent = Sent()
    attributes = archive_attributes(big)
    staged = bucket.stage(big.relative_path, big, attributes, Delivery(big, sent), ahead=False)
    staged.publish(ABSENT)
    assert sent.count == big.size
    assert server.steps().count("part") == 4
    assert server.objects[f"chan/{big.relative_path}"].sha256 == big.sha256


def test_an_upload_that_fails_leaves_nothing_that_costs_money(
    server: S3Server, bucket: S3Bucket, big: PackageArchive, tmp_path: Path
) -> None:
    """A part that is refused, a file that changes meanwhile, something else that is there at the end."""
    server.plan(Fault("status", when="part", nth=2, status=403, times=None))
    with pytest.raises(Forbidden):
        put(bucket, big)
    assert server.uploads == {}
    server.behave()

    path = make_big_conda(tmp_path / "changing-1.0-0.conda", BIG)
    changing = inspect(path)
    attributes = archive_attributes(changing)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(SourceChanged):
        bucket.stage(changing.relative_path, changing, attributes, Delivery(changing, Reporter()), ahead=True)
    assert server.uploads == {}

    attributes = archive_attributes(big)
    staged = bucket.stage(big.relative_path, big, attributes, Delivery(big, Reporter()), ahead=True)
    other = server.put_object(f"chan/{big.relative_path}", b"somebody else's")
    with pytest.raises(Changed):
        staged.publish(ABSENT)
    assert server.uploads == {}
    assert server.objects[f"chan/{big.relative_path}"] is other
    assert put(bucket, big, other.etag) == 1


def test_ctrl_c_leaves_nothing_that_costs_money(
    server: S3Server, bucket: S3Bucket, client: Client, big: PackageArchive
) -> None:
    """All connections are broken then, so that what was sent is discarded over another one."""
    server.plan(Fault("stall", when="part", nth=2, times=None))
    stop = threading.Event()
    attributes = archive_attributes(big)
    errors: list[BaseException] = []

    def stage() -> None:
        delivery = Delivery(big, Reporter(), stop)
        try:
            bucket.stage(big.relative_path, big, attributes, delivery, ahead=False)
        except Interrupted as error:
            errors.append(error)

    thread = threading.Thread(target=stage)
    thread.start()
    server.wait_for("part", 3)
    stop.set()
    client.stop()
    thread.join(20)
    assert len(errors) == 1
    assert "abort" in server.steps()
    assert server.uploads == {}


@pytest.mark.parametrize("code", ["InternalError", "SlowDown"])
def test_an_error_that_comes_with_a_success_is_one(
    server: S3Server, bucket: S3Bucket, big: PackageArchive, code: str
) -> None:
    """An upload that takes long to complete is answered with 200 before it is known how it ends."""
    server.late_errors = [code]
    put(bucket, big)
    assert server.steps().count("complete") == 2
    server.late_errors = ["AccessDenied"]
    with pytest.raises(Forbidden, match="AccessDenied"):
        put(bucket, big, None)
    assert server.uploads == {}


@pytest.mark.parametrize("kind", ["lost-answer", "truncated", "garbage"])
def test_an_upload_whose_completion_was_not_heard_of_is_no_conflict(
    server: S3Server, bucket: S3Bucket, big: PackageArchive, kind: str
) -> None:
    """The repetition is told that there is no such upload: what is there says the rest."""
    server.plan(Fault(kind, when="complete"))
    put(bucket, big)
    assert server.objects[f"chan/{big.relative_path}"].sha256 == big.sha256


def test_an_upload_that_somebody_discarded_is_said_to_be_lost(
    server: S3Server, bucket: S3Bucket, big: PackageArchive
) -> None:
    """Nothing is there: the run has to be repeated."""
    attributes = archive_attributes(big)
    staged = bucket.stage(big.relative_path, big, attributes, Delivery(big, Reporter()), ahead=False)
    server.uploads.clear()
    with pytest.raises(ServerError, match="no longer has") as caught:
        staged.publish(ABSENT)
    assert caught.value.code == "upload-lost"


def test_a_page_instead_of_a_completion_is_no_success(server: S3Server, bucket: S3Bucket, big: PackageArchive) -> None:
    """A proxy answers 200, too."""
    page = "<html><title>Please log in</title></html>"
    server.plan(Fault("status", when="complete", status=200, body=page, media="html", times=None))
    with pytest.raises(ServerError, match="web page"):
        put(bucket, big)
    assert server.uploads == {}


def test_parts_are_never_too_many_or_too_small() -> None:
    """At most 10,000, of 5 MiB or more: up to the largest object there can be, of 5 TiB."""
    sizes = [1, 16 << 20, 1 << 30, 10_000 * (16 << 20), 10_000 * (16 << 20) + 1, 1 << 40, 5 << 40]
    for size in sizes:
        assert part_size(size) >= 5 << 20
        assert -(-size // part_size(size)) <= 10_000
    assert all(part_size(smaller) <= part_size(larger) for smaller, larger in pairwise(sizes))


_MEASURED = """
import sys
from pathlib import Path
from keelback.archive import inspect
from keelback.channels.delivery import Delivery
from keelback.channels.buckets.attributes import archive_attributes
from keelback.channels.buckets.bucket import ABSENT
from keelback.channels.buckets.s3 import S3Bucket
from keelback.credentials.aws.settings import S3Settings
from keelback.credentials.kinds import S3Credentials
from keelback.report import Reporter
from keelback.secret import Secret
from keelback.transport import Client

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

url, key_id, path = sys.argv[1:]
keys = S3Credentials(key_id, Secret(sys.stdin.read()))
with Client() as client:
    bucket = S3Bucket(client, "packages", "", S3Settings(url, "us-east-1", path_style=True), lambda: keys, "a test")
    bucket.probe()
    archive = inspect(Path(path))
    before = resident()
    attributes = archive_attributes(archive)
    bucket.stage(archive.relative_path, archive, attributes, Delivery(archive, Reporter()), ahead=False).publish(ABSENT)
    print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory was used at most")
def test_memory_does_not_grow_with_the_archive(secrets: dict[str, str], tmp_path: Path) -> None:
    """200 MB are sent with less than 40 MB more than before: no part is in memory."""
    path = make_big_conda(tmp_path / "huge-1.0-0.conda", 200 << 20)
    with S3Server(secrets, keeps=False) as server:
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, server.url, WRITER, path],
            input=secrets[WRITER],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, leaks.masked(done.stderr)
        assert int(done.stdout) < 40_000
        assert server.objects["noarch/huge-1.0-0.conda"].size == path.stat().st_size
    server.assert_clean()


# -- uploads of runs that died --------------------------------------------------------------------------------------


def test_what_dead_runs_left_is_swept(server: S3Server, bucket: S3Bucket) -> None:
    """Uploads of archives for which nothing came for a day by the server's clock; never a younger one."""
    server.clock_offset = 400.0
    old, young = server.now - DAY - 60, server.now - DAY + 60
    for key, parts in [("noarch/dead++-1-0.conda", [old, old]), ("linux-64/empty-1-0.tar.bz2", [])]:
        server.begin_upload(f"chan/{key}", initiated=old, parts=parts)
    kept = {
        server.begin_upload("chan/noarch/slow-1-0.conda", initiated=old, parts=[old, young]),
        server.begin_upload("chan/noarch/new-1-0.conda", initiated=young),
        server.begin_upload("chan/backup.tar", initiated=old, parts=[old]),
        server.begin_upload("other/noarch/dead-1-0.conda", initiated=old, parts=[old]),
    }
    assert bucket.sweep() == 2
    assert set(server.uploads) == kept


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", when="uploads", status=403, times=None),
        Fault("status", when="uploads", status=501, times=None),
        Fault("status", when="abort", status=403, times=None),
        Fault("status", when="uploads", status=200, body="<html/>", media="html", times=None),
        Fault("reset", when="parts", times=None),
    ],
    ids=["forbidden", "unknown", "no-abort", "page", "broken"],
)
def test_sweeping_never_fails_a_run(server: S3Server, bucket: S3Bucket, fault: Fault) -> None:
    """It is a favour."""
    server.begin_upload("chan/noarch/dead-1-0.conda", initiated=1.0, parts=[1.0])
    server.plan(fault)
    assert bucket.sweep() == 0


# -- conditions, as services honour them ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "honoured"), [("honoured", True), ("ignored", False), ("refused", False), ("put-only", True)]
)
def test_it_is_found_out_whether_a_service_honours_conditions(
    secrets: dict[str, str],
    bucket_of: Callable[..., S3Bucket],
    small: PackageArchive,
    conditions: str,
    *,
    honoured: bool,
) -> None:
    """The first time and each time after; where it does not, what is there is looked at before it is replaced."""
    with S3Server(secrets, conditions=conditions) as server:
        for _ in range(2):
            bucket = bucket_of(server)
            bucket.probe()
            assert bucket.conditional is honoured
        first = bucket.write(NOTES, b"1", NOTES_ATTRIBUTES, ABSENT)
        bucket.write(NOTES, b"2", NOTES_ATTRIBUTES, first)
        with pytest.raises(Changed):
            bucket.write(NOTES, b"3", NOTES_ATTRIBUTES, first)
        put(bucket, small)
        for ahead in (False, True):
            with pytest.raises(Changed):
                put(bucket, small, ahead=ahead)
    server.assert_clean()


@pytest.mark.parametrize("conditions", ["honoured", "put-only", "refused-late"])
def test_it_is_found_out_whether_a_service_honours_conditions_of_uploads_in_parts(
    secrets: dict[str, str],
    bucket_of: Callable[..., S3Bucket],
    small: PackageArchive,
    caplog: pytest.LogCaptureFixture,
    conditions: str,
) -> None:
    """Once, with the first that depends on one; what was sent for that is gone, and where it does not, it is said."""
    with S3Server(secrets, conditions=conditions) as server:
        bucket = bucket_of(server)
        bucket.probe()
        key, attributes = small.relative_path, archive_attributes(small)
        staged = [bucket.stage(key, small, attributes, Delivery(small, Reporter()), ahead=True) for _ in range(2)]
        with caplog.at_level(logging.WARNING, "keelback"):
            staged[0].publish(ABSENT)
            with pytest.raises(Changed):
                staged[1].publish(ABSENT)
        probed = [recorded.path for recorded in server.requests if recorded.step == "part"]
        assert sum(path.endswith("/.keelback/conditions") for path in probed) == 1
        assert server.uploads == {}
        told = [record.getMessage() for record in caplog.records if "sent in parts" in record.getMessage()]
        assert len(told) == (conditions != "honoured")
        assert bucket.conditional
    server.assert_clean()


def test_a_known_service_that_refuses_a_condition_is_looked_at(
    server: S3Server, bucket: S3Bucket, big: PackageArchive, caplog: pytest.LogCaptureFixture
) -> None:
    """Right before the upload is completed without one; nothing that is there is replaced."""
    server.conditions = "refused-late"
    attributes = archive_attributes(big)
    staged = bucket.stage(big.relative_path, big, attributes, Delivery(big, Reporter()), ahead=False)
    there = server.put_object(f"chan/{big.relative_path}", b"somebody else's")
    with caplog.at_level(logging.WARNING, "keelback"), pytest.raises(Changed):
        staged.publish(ABSENT)
    assert server.objects[f"chan/{big.relative_path}"] is there
    assert server.uploads == {}
    assert len([record for record in caplog.records if "sent in parts" in record.getMessage()]) == 1


def test_no_write_depends_on_a_weak_version(server: S3Server, bucket: S3Bucket) -> None:
    """It never holds, so that it would be tried for ever; what is there can be read."""
    server.put_object(f"chan/{NOTES}", b"{}").etag = 'W/"weakened"'
    _, stored = bucket.read(NOTES, limit=10) or (b"", None)
    assert stored is not None
    with pytest.raises(ServerError, match="weak ETags") as caught:
        bucket.write(NOTES, b"[]", NOTES_ATTRIBUTES, stored.version)
    assert caught.value.code == "weak-etag"
    assert server.steps() == ["get"]


def test_two_threads_correct_a_clock_once() -> None:
    """By the time that each of them had put on its request, and not by one that is right already."""
    now, there = 1_700_000_000.0, 1_700_000_000.0 - 3600
    keys = S3Credentials("AK", Secret(leaks.new_secret("clock")))
    auth = SigV4(lambda: keys, "us-east-1", clock=lambda: now)
    flows = []
    for _ in range(2):
        request = httpx2.Request("GET", "https://bucket.example/key")
        flow = auth.auth_flow(request)
        next(flow)
        flows.append((flow, request))
    for flow, request in flows:
        again = flow.send(httpx2.Response(403, headers={"date": http_date(there)}, request=request))
        assert again.headers["x-amz-date"] == "20231114T211320Z"
    assert auth.offset == -3600


def http_date(seconds: float) -> str:
    """As servers say it."""
    return email.utils.formatdate(seconds, usegmt=True)


# -- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_bucket_in_another_region_is_found(
    secrets: dict[str, str],
    bucket_of: Callable[..., S3Bucket],
    small: PackageArchive,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server names it; it is said once, and used from then on, for reading, too."""
    with S3Server(secrets, region="eu-central-1") as server:
        bucket = bucket_of(server)
        with caplog.at_level(logging.WARNING, "keelback"):
            put(bucket, small)
        warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(warned) == 1
        assert "is in region eu-central-1, and not in us-east-1" in warned[0]
        assert "--region eu-central-1 saves the detour" in warned[0]
        bucket.write(NOTES, b"{}", NOTES_ATTRIBUTES)
        assert server.steps() == ["put", "put", "put"]

        elsewhere = bucket_of(server)
        elsewhere.locate()
        access = elsewhere.access()
        assert access is not None
        assert access.credential.region == "eu-central-1"

        server.plan(Fault("status", when="put", status=301, media="empty", times=None))
        with pytest.raises(ChannelError, match="elsewhere") as caught:
            bucket.write(NOTES, b"{}", NOTES_ATTRIBUTES)
        assert caught.value.code == "wrong-region"
    server.assert_clean()


def test_aws_is_asked_at_the_endpoint_of_the_right_region(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has one for each; a name that could be no region leads nowhere."""
    asked: list[str] = []
    named = {"region": "eu-west-1"}

    def persist(_client: Client, request: Request, _once: object) -> Answer:
        asked.append(request.url)
        return answer_of(301 if len(asked) == 1 else 200, {"x-amz-bucket-region": named["region"]})

    monkeypatch.setattr(Client, "persist", persist)
    bucket = S3Bucket(client, "conda", "", S3Settings("https://s3.us-east-1.amazonaws.com", "us-east-1", False), None)
    bucket.locate()
    assert asked == ["https://conda.s3.us-east-1.amazonaws.com/", "https://conda.s3.eu-west-1.amazonaws.com/"]
    asked.clear()
    named["region"] = "evil.example/"
    bucket.locate()
    assert asked == ["https://conda.s3.eu-west-1.amazonaws.com/"]


def answer_of(status: int, headers: dict[str, str]) -> Answer:
    """What the transport makes of an answer."""
    return Answer(status, headers, b"", "https://example.invalid/")


@pytest.mark.parametrize("offset", [-1200.0, 90_000.0])
def test_a_wrong_clock_is_corrected(
    secrets: dict[str, str],
    bucket_of: Callable[..., S3Bucket],
    small: PackageArchive,
    caplog: pytest.LogCaptureFixture,
    offset: float,
) -> None:
    """By the server's own, once, for all requests to come; also when the body that was sent has to be read again."""
    with S3Server(secrets, clock_offset=offset) as server:
        bucket = bucket_of(server)
        with caplog.at_level(logging.WARNING, "keelback"):
            put(bucket, small)
        assert bucket.stat(small.relative_path) is not None
        assert server.steps() == ["put", "put", "head"]
        warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(warned) == 1
        assert warned[0].startswith("this machine's clock is ")
    server.assert_clean()


def test_a_clock_that_cannot_be_corrected_is_said_to_be_wrong(server: S3Server, bucket: S3Bucket) -> None:
    """By how much, where the server says what time it is."""
    skewed = "<Error><Code>RequestTimeTooSkewed</Code><Message>too large</Message></Error>"
    server.clock_offset = -7200.0
    server.plan(Fault("status", when="put", status=403, body=skewed, times=None))
    with pytest.raises(ChannelError, match="clock is wrong, by 120 minutes fast") as caught:
        bucket.write(NOTES, b"{}", NOTES_ATTRIBUTES)
    assert caught.value.code == "clock-skew"


@pytest.mark.parametrize(
    ("code", "kind", "error_code"),
    [
        ("ExpiredToken", CredentialRefused, "expired-credential"),
        ("InvalidToken", CredentialRefused, "credential-refused"),
        ("AccountProblem", Forbidden, "account"),
        ("EntityTooLarge", ServerError, "too-large"),
        ("InvalidBucketName", ChannelError, "bad-bucket-name"),
        ("BadDigest", ServerError, "damaged"),
        ("QuotaExceeded", ServerError, "full"),
        ("SomethingNew", ServerError, "server"),
    ],
)
def test_every_error_says_what_to_do(
    server: S3Server, bucket: S3Bucket, code: str, kind: type[Exception], error_code: str
) -> None:
    """It has the server's words, and a code for programs; nothing of the signature that some servers send back."""
    signature = "<SignatureProvided>0123</SignatureProvided><StringToSign>AWS4</StringToSign>"
    body = f"<Error><Code>{code}</Code><Message>says the server</Message>{signature}</Error>"
    server.plan(Fault("status", when="put", status=400, body=body, times=None))
    with pytest.raises(kind, match="says the server") as caught:
        bucket.write(NOTES, b"{}", NOTES_ATTRIBUTES)
    assert caught.value.code == error_code
    assert "AWS4" not in caught.value.message
    assert caught.value.hint or code == "SomethingNew"


def test_keys_that_are_not_taken_are_told_from_each_other(server: S3Server, bucket_of: Callable[..., S3Bucket]) -> None:
    """An id that nobody knows, a wrong secret, keys that may only read, none at all; and where they came from."""
    wrong = leaks.new_secret("wrong")
    with pytest.raises(CredentialRefused, match=r"keys from a test .*InvalidAccessKeyId"):
        bucket_of(server, "AKNOBODY", wrong).probe()
    with pytest.raises(CredentialRefused, match="SignatureDoesNotMatch") as caught:
        bucket_of(server, WRITER, wrong).probe()
    assert "secret" in caught.value.hint
    with pytest.raises(Forbidden, match="does not allow the keys from a test to write") as denied:
        bucket_of(server, READER).probe()
    assert "s3:PutObject on arn:aws:s3:::packages/chan/*" in denied.value.hint
    with pytest.raises(CredentialError, match="there are no keys") as without:
        bucket_of(server, None).probe()
    assert "keelback auth login s3://packages" in without.value.hint
    with pytest.raises(CredentialRefused, match="SignatureDoesNotMatch"):  # HEAD alone would not say why
        bucket_of(server, WRITER, wrong).stat(NOTES)


def test_a_bucket_that_is_not_there_is_said_to_be_missing(server: S3Server, bucket_of: Callable[..., S3Bucket]) -> None:
    """By its name, before anything is sent; and it is not taken for one without the object."""
    missing = bucket_of(server, bucket="nowhere")
    for ask in (missing.probe, lambda: missing.read(NOTES, limit=1), lambda: list(missing.list())):
        with pytest.raises(ServerError, match="has no bucket 'nowhere'"):
            ask()


def test_a_server_without_an_s3_interface_is_told(server: S3Server, bucket: S3Bucket) -> None:
    """It may take everything, and answer 200."""
    server.plan(Fault("status", when="put", status=200, body="{}", media="json", times=1))
    with pytest.raises(ServerError, match="not as an S3 service does") as caught:
        bucket.probe()
    assert "--endpoint-url" in caught.value.hint
    server.plan(Fault("status", when="put", status=200, body="<html><h1>Hello</h1>", media="html", times=1))
    with pytest.raises(ServerError, match="web page"):
        bucket.probe()


def test_an_error_of_a_server_that_wants_to_do_harm_is_only_shown(server: S3Server, bucket: S3Bucket) -> None:
    """Entities are not expanded, and what is shown is short."""
    bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>]><Error><Code>&a;</Code><Message>&a;</Message></Error>"
    long = f"<Error><Code>{'x' * 200_000}</Code></Error>"
    for body in (bomb, long, "<Error>" * 100_000, "\x1b[2J"):
        server.plan(Fault("status", when="put", status=400, body=body, media="application/xml"))
        with pytest.raises(ServerError) as caught:
            bucket.write(NOTES, b"{}", NOTES_ATTRIBUTES)
        assert len(caught.value.message) < 1000
        assert caught.value.message.isprintable()
        assert "aaaaaaaaaa" not in caught.value.message
