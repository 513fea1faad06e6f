"""``keelback index`` of a bucket: what it reads may be hostile, out of reach, or changed by others meanwhile."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest

import keelback
import leaks
from in_process import run_here
from keelback.attestationfiles import sidecar_of
from keelback.channels.buckets.archiverecords import ArchiveRecords
from keelback.errors import ExitStatus
from keelback.repodata import decode_shard_hashes
from making import make_conda
from servers.scripted.faults import Fault
from servers.scripted.gcs import GCSServer
from servers.scripted.s3 import S3Server
from servers.test_bucket_channel import attestation_of
from servers.test_copy import BOAT, HULL
from servers.test_copy_buckets import KEY_ID, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keelback.archive import PackageArchive
    from servers.scripted.exchange import Exchange, Recorded
    from servers.scripted.s3 import Object
    from servers.scripted.wire import Answer

ONCE = ("--retries", "0")


class WatchedServer(S3Server):
    """An object store that tells a test of each request for an object, while nobody else is served.

    Attributes:
        before, after: called with the method and the key, before it is carried out and when it has been.
    """

    def __init__(self, keys: dict[str, str]) -> None:
        super().__init__(keys)
        self.before: Callable[[str, str], None] = lambda _method, _key: None
        self.after: Callable[[str, str], None] = lambda _method, _key: None

    def _get(self, exchange: Exchange, key: str) -> Answer:
        return self._watched(super()._get, exchange, key)

    _head = _get

    def _delete(self, exchange: Exchange, key: str) -> Answer:
        return self._watched(super()._delete, exchange, key)

    def _watched(self, handle: Callable[[Exchange, str], Answer], exchange: Exchange, key: str) -> Answer:
        self.before(exchange.recorded.method, key)
        answer = handle(exchange, key)
        self.after(exchange.recorded.method, key)
        return answer


@pytest.fixture(scope="module")
def secret() -> str:
    """What the server knows."""
    return leaks.new_secret("s3")


@pytest.fixture(scope="module")
def store(secret: str) -> Iterator[WatchedServer]:
    """One bucket."""
    with WatchedServer({KEY_ID: secret}) as running:
        yield running
    running.assert_clean()


@pytest.fixture
def server(store: WatchedServer) -> Iterator[WatchedServer]:
    """The same for one test, which may have it misbehave."""
    yield store
    store.behave()
    store.conditional_deletes = "honoured"
    store.unlisted = set()
    store.clock_offset = 0.0
    store.before = store.after = lambda _method, _key: None
    store.tamper = lambda _step, body: body


@pytest.fixture
def place(server: WatchedServer, secret: str, tmp_path: Path) -> Place:
    """A channel with two packages."""
    found = Place(server, secret, tmp_path)
    found.run(
        "publish", "--to", found.url, make_conda(tmp_path / "dist", "hull"), make_conda(tmp_path / "dist", "boat")
    )
    return found


class Moment:
    """Has what others do in the channel of *place* happen between two requests of the run that is watched.

    Args:
        place: the channel, as it is before.
        others: publish or remove something; done at once, and taken back until the moment has come.
    """

    def __init__(self, place: Place, others: Callable[[], object]) -> None:
        self._place = place
        before = self._objects()
        others()
        self._later = self._objects()
        self._replace(before)
        self.has_come = False

    def come(self) -> None:
        """Let it happen, once."""
        if not self.has_come:
            self.has_come = True
            self._replace(self._later)

    def _objects(self) -> dict[str, Object]:
        start = f"{self._place.prefix}/"
        return {key: there for key, there in self._place.server.objects.items() if key.startswith(start)}

    def _replace(self, objects: dict[str, Object]) -> None:
        for key in self._objects():
            del self._place.server.objects[key]
        self._place.server.objects.update(objects)


def hull_key(place: Place) -> str:
    """Under which the archive is."""
    return f"{place.prefix}/noarch/{HULL}"


def index_key(place: Place) -> str:
    """Under which the index of noarch is."""
    return f"{place.prefix}/noarch/repodata.json"


def content(place: Place, name: str) -> bytes:
    """The bytes under *name* in noarch."""
    return place.server.objects[f"{place.prefix}/noarch/{name}"].content


def agrees(place: Place, name: str) -> bool:
    """Whether the index names the bytes that are there."""
    return bool(place.records()[name]["sha256"] == hashlib.sha256(content(place, name)).hexdigest())


def new_hull(place: Place) -> Path:
    """Other bytes under the same name."""
    return make_conda(place.folder / "new", "hull", payload=9999)


def two_of_one_size(folder: Path) -> list[Path]:
    """Two packages with the same name and the same size, which are not the same."""
    by_size: dict[int, Path] = {}
    for timestamp in range(1_700_000_000_100, 1_700_000_001_000):
        made = make_conda(folder / str(timestamp), "sail", index={"timestamp": timestamp})
        other = by_size.setdefault(made.stat().st_size, made)
        if other.read_bytes() != made.read_bytes():
            return [other, made]
    raise AssertionError("all have different sizes")


def list_again(server: WatchedServer, key: str) -> None:
    """Have the lists of its folder go on to name what is deleted."""
    there = server.objects[key]
    known = f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{there.etag}</ETag><Size>{there.size}</Size>"
    entry = f"<Contents><Key>{quote_plus(key)}</Key>{known}</Contents></ListBucketResult>".encode()
    server.tamper = lambda step, body: (
        body.replace(b"</ListBucketResult>", entry)
        if step == "list" and b"noarch%2Fboat" in body and quote_plus(key).encode() not in body
        else body
    )


def sidecar_about(archive: PackageArchive) -> bytes:
    """Attestations as they stand beside *archive*."""
    return sidecar_of([attestation_of(archive)])


def names_no_temporary_folder(text: str) -> bool:
    """Whether *text* says nothing of where keelback has an archive while it reads it."""
    return re.search(r"keelback-\w{6,}", text) is None


# --- what the service says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [(), ("--rebuild",)])
def test_a_list_that_lags_behind_loses_nothing(place: Place, server: WatchedServer, how: tuple[str, ...]) -> None:
    """What the index names is asked for by its name before it is taken for gone."""
    server.unlisted = {hull_key(place)}
    assert "missing" not in place.run("index", place.url, *how).stdout
    assert place.records().keys() == {BOAT, HULL}
    server.unlisted = set(place.keys())
    third = make_conda(place.folder / "dist", "third")
    place.run("publish", "--to", place.url, third)
    assert place.records().keys() == {BOAT, HULL, third.name}


def test_what_is_deleted_and_still_listed_cannot_be_restored(place: Place, server: WatchedServer) -> None:
    """A list may lag behind deletions, too: what is to be restored is asked for by its name."""
    list_again(server, hull_key(place))
    place.run("index", place.url, "--remove", "hull", "--delete-files")
    assert (
        f"noarch/{HULL} cannot be restored: its file is gone"
        in place.run("index", place.url, "--restore", "hull", status=ExitStatus.FAILED).stderr
    )
    assert place.records().keys() == {BOAT}


@pytest.mark.parametrize(
    "change",
    [
        (b"<IsTruncated>true", b"<IsTruncated> TRUE "),
        (b"<IsTruncated>true", b"<IsTruncated>false"),
        (b"<IsTruncated>true</IsTruncated>", b""),
    ],
    ids=["upper case", "contradictory", "silent"],
)
def test_a_list_that_names_its_next_page_is_read_to_its_end(
    place: Place, server: WatchedServer, monkeypatch: pytest.MonkeyPatch, change: tuple[bytes, bytes]
) -> None:
    """However a service says that there is more."""
    monkeypatch.setattr(server, "_page", 1)
    server.tamper = lambda step, body: body.replace(*change) if step == "list" else body
    for name in ("oar", "sail"):
        archive = make_conda(place.folder / "dist", name)
        server.put_object(f"{place.prefix}/noarch/{archive.name}", archive.read_bytes())
    place.run("index", place.url)
    assert len(place.records()) == 4


@pytest.mark.parametrize("how", ["hash", "time"])
def test_other_bytes_of_the_same_size_are_found(place: Place, server: WatchedServer, how: str) -> None:
    """By the MD5 that the list has; or by a time that is not before that of the index, in whole seconds."""
    one, other = two_of_one_size(place.folder)
    place.run("publish", "--to", place.url, one)
    key = f"{place.prefix}/noarch/{one.name}"
    modified = server.objects[key].modified
    there = server.put_object(key, other.read_bytes())
    if how == "hash":
        there.modified = modified - 60
    else:
        there.etag = f'"{"0" * 32}-2"'
        there.modified = server.objects[index_key(place)].modified = int(modified)
    place.run("index", place.url)
    assert agrees(place, one.name)


@pytest.mark.parametrize("where", ["{folder}/mine-1.0-0.conda", "../../../mine-1.0-0.conda", "a/mine-1.0-0.conda"])
def test_a_key_never_leads_to_a_file_elsewhere(
    place: Place, server: WatchedServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Whatever a listing names: only what has an archive's name, directly in the subdir, is read at all."""
    mine = place.folder / "mine-1.0-0.conda"
    mine.write_bytes(b"mine")
    key = f"{place.prefix}/noarch/{where.format(folder=place.folder)}"
    there = server.put_object(key, b"theirs")
    known = f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{there.etag}</ETag><Size>6</Size>"
    entry = f"<Contents><Key>{quote_plus(key)}</Key>{known}</Contents></ListBucketResult>".encode()
    server.tamper = lambda step, body: (
        body.replace(b"</ListBucketResult>", entry) if step == "list" and b"noarch%2Fhull" in body else body
    )
    monkeypatch.setattr("keelback.channels.buckets.s3listing.is_in_folder", lambda *_: True)  # as if that did not look
    before = len(server.requests)
    place.run("index", place.url)
    assert mine.read_bytes() == b"mine"
    assert not [request.path for request in server.requests[before:] if "mine" in request.path]
    assert place.records().keys() == {BOAT, HULL}


def test_names_with_signs_are_asked_for_as_they_are_called(token: str, tmp_path: Path) -> None:
    """A ``+`` is no space, and an epoch's ``!`` is part of a name."""
    archive = make_conda(tmp_path / "signs", "hull", "1!2.0+local")
    with GCSServer(token) as service:
        place = ["gs://acme/chan", "--endpoint-url", service.url]
        env = {"GOOGLE_OAUTH_ACCESS_TOKEN": token}
        run_here(["publish", archive, "--to", *place], env=env, home=tmp_path)
        before = len(service.requests)
        assert run_here(["index", *place, "--rebuild"], env=env, home=tmp_path).returncode == 0
        asked = [request.path for request in service.requests[before:] if request.method == "GET"]
    assert f"/acme/chan/noarch/{quote(archive.name)}" in asked


# --- what cannot be read ----------------------------------------------------------------------------------------------


def reads_boat(request: Recorded) -> bool:
    """Whether it gets the archive."""
    return request.method == "GET" and request.path.endswith(BOAT)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("status", when=reads_boat, status=403, times=None), "may not read it (403)"),
        (Fault("status", when=reads_boat, status=500, times=None), "500"),
        (Fault("reset", when=reads_boat, times=None), "127.0.0.1"),
        (Fault("status", when=reads_boat, status=404, times=None), "404"),
    ],
    ids=["forbidden", "broken", "silent", "contradictory"],
)
def test_what_cannot_be_read_stays_listed(place: Place, server: WatchedServer, fault: Fault, says: str) -> None:
    """It may well be a package: the run says which it is, goes on with the others, and exits with 1."""
    server.plan(fault)
    other = make_conda(place.folder / "dist", "sail")
    server.put_object(f"{place.prefix}/noarch/{other.name}", other.read_bytes())
    done = place.run("index", place.url, "--rebuild", *ONCE, status=1)
    assert f"error: {place.url}/noarch/{BOAT}: " in done.stderr
    assert says in done.stderr
    assert names_no_temporary_folder(done.stderr)
    assert place.records().keys() == {BOAT, HULL, other.name}
    finding = place.run("index", place.url, "--rebuild", "--json", *ONCE, status=1).json()["findings"][0]
    assert finding["file"] == f"{place.url}/noarch/{BOAT}"


def test_what_is_no_package_is_not_listed(place: Place, server: WatchedServer) -> None:
    """Its bytes say so; it is named as a person knows it."""
    server.put_object(f"{place.prefix}/noarch/{BOAT}", b"junk")
    done = place.run("index", place.url, status=1)
    assert f"error: {place.url}/noarch/{BOAT}: is not a .conda" in done.stderr
    assert names_no_temporary_folder(done.stderr)
    assert place.records().keys() == {HULL}


def test_a_refused_credential_ends_the_run(place: Place, server: WatchedServer) -> None:
    """Before anything of the index is written."""
    server.plan(Fault("status", when=reads_boat, status=401, times=None))
    server.put_object(f"{place.prefix}/noarch/junk-1.0-0.conda", b"junk")
    before = place.server.objects[index_key(place)]
    place.run("index", place.url, "--rebuild", *ONCE, status=ExitStatus.CREDENTIAL)
    assert place.server.objects[index_key(place)] is before


def test_a_full_disk_ends_the_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read of the others is no whole picture: nothing is written, and the message says what to do."""

    def full(_file: int, _block: memoryview) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place.run("index", place.url, "--remove", "hull")
    monkeypatch.setattr("keelback.transport.partial._write", full)
    before = place.server.objects[index_key(place)]
    done = place.run("index", place.url, "--rebuild", "--restore", "hull", status=1)
    assert re.search(
        rf"{place.url}/noarch/\S+ cannot be read: there is no room .*: No space left on device", done.stderr
    )
    assert "TMPDIR" in done.stderr
    assert names_no_temporary_folder(done.stderr)
    assert place.server.objects[index_key(place)] is before


# --- what others do meanwhile -----------------------------------------------------------------------------------------


def test_a_record_of_what_somebody_has_replaced_meanwhile_stays(place: Place, server: WatchedServer) -> None:
    """The archive was read before it was replaced: what that said is of other bytes."""
    new = new_hull(place)
    moment = Moment(place, lambda: place.run("publish", "--force", "--to", place.url, new))
    server.after = lambda method, key: moment.come() if (method, key) == ("GET", hull_key(place)) else None
    place.run("index", place.url, "--rebuild")
    assert moment.has_come
    assert content(place, HULL) == new.read_bytes()
    assert agrees(place, HULL)


def test_an_archive_that_is_replaced_while_it_is_read_is_read_again(place: Place, server: WatchedServer) -> None:
    """Rather than taken for one that cannot be read."""
    new = new_hull(place)
    moment = Moment(place, lambda: server.put_object(hull_key(place), new.read_bytes()))
    server.before = lambda method, key: moment.come() if (method, key) == ("GET", hull_key(place)) else None
    place.run("index", place.url, "--rebuild")
    assert moment.has_come
    assert agrees(place, HULL)


def test_an_archive_that_is_deleted_while_it_is_read_is_gone(place: Place, server: WatchedServer) -> None:
    """As if it had been gone before."""
    moment = Moment(place, lambda: server.objects.pop(hull_key(place)))
    server.before = lambda method, key: moment.come() if (method, key) == ("GET", hull_key(place)) else None
    assert f"missing  noarch/{HULL}" in place.run("index", place.url, "--rebuild").stdout
    assert place.records().keys() == {BOAT}


@pytest.mark.parametrize("others", ["publish", "restore", "put"])
def test_what_is_published_meanwhile_is_not_deleted(place: Place, server: WatchedServer, others: str) -> None:
    """Neither a new archive, nor one that is listed again; the run says which it left alone."""
    steps: dict[str, Callable[[], Any]] = {
        "publish": lambda: place.run("publish", "--force", "--to", place.url, new_hull(place)),
        "restore": lambda: place.run("index", place.url, "--restore", "hull"),
        "put": lambda: server.put_object(hull_key(place), new_hull(place).read_bytes()),
    }
    place.run("index", place.url, "--remove", "hull")
    moment = Moment(place, steps[others])
    # when the index does not list it any more, which is looked at again before it is deleted
    server.before = lambda method, key: moment.come() if (method, key) == ("HEAD", index_key(place)) else None
    done = place.run("index", place.url, "--remove", "hull", "--delete-files", "--json")
    assert done.json()["subdirs"][0]["deleted"] == []
    assert f"{place.url}/noarch/{HULL} was not deleted" in done.stderr
    assert hull_key(place) in server.objects


@pytest.mark.parametrize("conditional", ["honoured", "ignored", "refused"])
def test_what_is_published_at_the_moment_of_its_deletion(place: Place, server: WatchedServer, conditional: str) -> None:
    """It stays; where deletions depend on nothing, no index names what is gone, and the run says so."""
    server.conditional_deletes = conditional
    place.run("index", place.url, "--remove", "hull")
    moment = Moment(place, lambda: place.run("publish", "--force", "--to", place.url, new_hull(place)))
    server.before = lambda method, key: moment.come() if (method, key) == ("DELETE", hull_key(place)) else None
    done = place.run("index", place.url, "--remove", "hull", "--delete-files", status=int(conditional != "honoured"))
    if conditional == "honoured":
        assert f"{place.url}/noarch/{HULL} was not deleted: somebody has published it meanwhile" in done.stderr
        assert hull_key(place) in server.objects
        assert place.records().keys() == {BOAT, HULL}
        return
    assert f"error: {place.url}/noarch/{HULL}: was deleted in the moment in which somebody published it" in done.stderr
    assert hull_key(place) not in server.objects
    assert place.records().keys() == {BOAT}


def test_attestations_of_what_is_published_meanwhile_stay(place: Place, server: WatchedServer) -> None:
    """With an archive go those that are about its bytes, and no others."""
    old, new = keelback.inspect(place.folder / "dist" / HULL), keelback.inspect(new_hull(place))
    pins = [f"{hull_key(place)}.sigs.{letter * 64}" for letter in "ab"]
    server.put_object(f"{hull_key(place)}.sigs", sidecar_about(old))
    for pin, archive in zip(pins, (old, new), strict=True):
        server.put_object(pin, sidecar_about(archive))
    place.run("index", place.url, "--remove", "hull", "--delete-files")
    assert [key for key in server.objects if key.startswith(hull_key(place))] == [pins[1]]


def test_attestations_that_come_while_outdated_ones_go_stay(place: Place, server: WatchedServer) -> None:
    """The latest are deleted only if they are still those that were looked at."""
    old, new = keelback.inspect(place.folder / "dist" / HULL), keelback.inspect(new_hull(place))
    sigs = f"{hull_key(place)}.sigs"
    server.put_object(sigs, sidecar_about(old))
    moment = Moment(place, lambda: server.put_object(sigs, sidecar_about(new)))
    server.before = lambda method, key: moment.come() if (method, key) == ("DELETE", sigs) else None
    place.run("publish", "--force", "--to", place.url, new.path)
    assert moment.has_come
    assert server.objects[sigs].content == sidecar_about(new)


# --- shards that are not needed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../../other/precious", "../../../../other/chan/noarch/shards/precious"])
def test_notes_of_shards_lead_to_nothing_else(place: Place, server: WatchedServer, name: str) -> None:
    """Whoever may write to a channel cannot have others delete what they may not."""
    server.put_object(f"{place.prefix}/.keelback/unused/noarch.json", json.dumps({name: 0}).encode())
    server.put_object(f"{place.prefix}/noarch/shards/{name}.msgpack.zst", b"").modified = 0.0
    before = len(server.requests)
    place.run("publish", "--to", place.url, make_conda(place.folder / "dist", "hull", "2.0"))
    place.run("index", place.url)
    assert not [request.path for request in server.requests[before:] if "precious" in request.path]


def test_a_shard_stays_for_a_day_after_it_was_needed_last(place: Place, server: WatchedServer) -> None:
    """By the service's clock, whatever this machine's says."""
    index_with_hull = server.objects[f"{place.prefix}/noarch/repodata_shards.msgpack.zst"].content

    def is_shard(key: str) -> bool:
        return key.startswith(f"{place.prefix}/noarch/shards/")

    def shards() -> set[str]:
        return {key.rpartition("/")[2].partition(".")[0] for key in server.objects if is_shard(key)}

    for hours, how in ((10, "--remove"), (11, "--restore"), (36, "--remove"), (59, "--rebuild")):
        server.clock_offset = hours * 3600.0
        place.run("index", place.url, how, *([] if how == "--rebuild" else ["hull"]))
        assert decode_shard_hashes(index_with_hull) <= shards(), hours
    server.clock_offset = 61 * 3600.0
    place.run("index", place.url)
    assert len(decode_shard_hashes(index_with_hull) - shards()) == 1


# --- what else is there -----------------------------------------------------------------------------------------------


def test_shards_that_are_gone_come_back(place: Place, server: WatchedServer) -> None:
    """A reader of the shards would not get the package otherwise; what is not needed is noted for later."""
    shards = [key for key in server.objects if key.startswith(place.prefix) and "/shards/" in key]
    assert len(shards) == 2
    del server.objects[shards[0]]
    stray = "0" * 64
    server.put_object(f"{place.prefix}/noarch/shards/{stray}.msgpack.zst", b"old")
    place.run("index", place.url)
    assert shards[0] in server.objects
    unused = server.objects[f"{place.prefix}/.keelback/unused/noarch.json"].content
    assert json.loads(unused).keys() == {stray}


def test_an_unchanged_channel_takes_few_requests(place: Place, server: WatchedServer) -> None:
    """The index is read once to see what it says, and once more on the condition that it is written by."""
    before = len(server.requests)
    place.run("index", place.url)
    asked = [f"{request.method} {request.path}" for request in server.requests[before:]]
    assert asked.count(f"GET /packages/{index_key(place)}") == 2
    assert len(asked) <= 22, asked


def test_what_was_deleted_is_not_asked_for_again(place: Place, server: WatchedServer) -> None:
    """Unless it is to be restored: a channel remembers everything that it ever had."""
    place.run("index", place.url, "--remove", "hull", "--delete-files")
    before = len(server.requests)
    place.run("index", place.url)
    assert not [request for request in server.requests[before:] if request.path.endswith(HULL)]


def test_what_another_tool_has_removed_can_be_restored(place: Place, server: WatchedServer) -> None:
    """Its record is not in the index any more, and is made anew from the archive."""
    document = json.loads(server.objects[index_key(place)].content)
    del document["packages.conda"][HULL]
    document["removed"] = [HULL]
    server.put_object(index_key(place), json.dumps(document).encode())
    place.run("index", place.url)
    assert place.records().keys() == {BOAT}
    place.run("index", place.url, "--restore", HULL)
    assert agrees(place, HULL)


def test_what_a_run_left_that_died_while_it_replaced_something_is_mended(place: Place, server: WatchedServer) -> None:
    """Also where nothing but the hash tells: the archive is as large and as old as the index expects."""
    new = make_conda(place.folder / "new", "hull", depends=["x"])

    def writes_index(request: Recorded) -> bool:
        return request.method == "PUT" and request.path.endswith(index_key(place))

    server.plan(Fault("status", when=writes_index, status=403, times=None))
    index, modified = server.objects[index_key(place)], server.objects[hull_key(place)].modified
    place.run("publish", "--force", "--to", place.url, new, *ONCE, status=1)
    server.behave()
    assert server.objects[index_key(place)] is index
    notices = [key for key in server.objects if key.startswith(f"{place.prefix}/.keelback/replacing/")]
    assert (content(place, HULL) == new.read_bytes(), len(notices)) == (True, 1)
    server.objects[hull_key(place)].modified = modified
    place.run("index", place.url)
    assert agrees(place, HULL)
    assert notices[0] not in server.objects


# --- the options of its siblings --------------------------------------------------------------------------------------


def test_jobs_says_how_many_packages_are_read_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time, where the service can take no more."""
    threads = set[int]()
    both = threading.Barrier(2)
    read = ArchiveRecords.read

    def seen(self: ArchiveRecords, *args: Any) -> Any:
        threads.add(threading.get_ident())
        return read(self, *args)

    def seen_beside_another(self: ArchiveRecords, *args: Any) -> Any:
        both.wait(30)
        return seen(self, *args)

    monkeypatch.setattr(ArchiveRecords, "read", seen)
    place.run("index", place.url, "--rebuild", "--jobs", "1")
    assert len(threads) == 1
    monkeypatch.setattr(ArchiveRecords, "read", seen_beside_another)
    place.run("index", place.url, "--rebuild", "--jobs", "2")
    with pytest.raises(keelback.UsageError, match="jobs is at least 1"):
        keelback.index(place.url, jobs=0)


def test_an_identity_alone_may_be_asked_for(place: Place) -> None:
    """As by publish: nothing takes its place."""
    done = place.run("index", place.url, "--trusted-publishing", "always", status=2)
    assert "AWS_ROLE_ARN" in done.stderr
