"""The index of a channel in a bucket: any number of writers at once, each of which may die at any step."""

from __future__ import annotations

import hashlib
import itertools
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelback.channels.buckets import index
from keelback.channels.buckets.bucket import ABSENT, MD5, SHA256, Attributes, Bucket, Changed, Condition, Staged, Stored
from keelback.channels.buckets.index import SubdirIndexWriter
from keelback.errors import ChannelError
from keelback.repodata import (
    REPODATA,
    REPODATA_ZST,
    SHARD_INDEX,
    decode_repodata,
    decode_shard_hashes,
    decompress,
    encode_shards,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keelback.channels.access import Access
    from keelback.channels.patches import Sources

    Objects = dict[str, tuple[str, bytes, dict[str, str]]]
    Step = Callable[[str, str], None]

_versions = itertools.count()


class Died(BaseException):
    """The writer is gone, as if its process had been killed."""


class MemoryBucket(Bucket):
    """One writer's view of *objects*, which are shared; *step* is called before each request."""

    url = "memory://bucket/channel"
    reading_url = "https://bucket.test/channel"

    def __init__(self, objects: Objects, step: Step = lambda _what, _key: None) -> None:
        self.objects = objects
        self._step = step

    def access(self) -> Access | None:
        """See :class:`Bucket`."""
        return None

    def probe(self) -> None:
        """See :class:`Bucket`."""
        self._step("probe", "")

    def stat(self, key: str) -> Stored | None:
        """See :class:`Bucket`."""
        self._step("stat", key)
        return self._stored(key) if key in self.objects else None

    def read(self, key: str, *, limit: int) -> tuple[bytes, Stored] | None:
        """See :class:`Bucket`."""
        self._step("read", key)
        if key not in self.objects:
            return None
        assert len(self.objects[key][1]) <= limit
        return self.objects[key][1], self._stored(key)

    def write(self, key: str, content: bytes, attributes: Attributes, condition: Condition = None) -> str:
        """See :class:`Bucket`."""
        self._step("write", key)
        there = self.objects.get(key)
        if self.conditional and (condition is ABSENT and there is not None):
            raise Changed
        if self.conditional and isinstance(condition, str) and (there is None or there[0] != condition):
            raise Changed
        version = f'"{next(_versions)}"'
        self.objects[key] = version, content, dict(attributes.metadata)
        return version

    def stage(self, *_args: object, **_options: object) -> Staged:
        """See :class:`Bucket`."""
        raise AssertionError("an index stages nothing")

    def list(self, prefix: str = "", *, folder: bool = False) -> Iterator[Stored]:
        """See :class:`Bucket`."""
        self._step("list", prefix)
        for key in sorted(self.objects):
            if key.startswith(prefix) and not (folder and "/" in key[len(prefix) :]):
                yield self._stored(key)

    def prefixes(self) -> Sequence[str]:
        """See :class:`Bucket`."""
        return sorted({key.partition("/")[0] for key in self.objects})

    def delete(self, key: str, version: str | None = None) -> None:
        """See :class:`Bucket`."""
        self._step("delete", key)
        if key in self.objects and version not in {None, self.objects[key][0]}:
            raise Changed
        self.objects.pop(key, None)

    def _stored(self, key: str) -> Stored:
        version, content, metadata = self.objects[key]
        return Stored(key, len(content), version, sha256=metadata.get(SHA256), md5=metadata.get(MD5))


def _filename(name: str) -> str:
    return f"{name}-1.0-0.conda"


def _adding(*names: str) -> Callable[[Sources], None]:
    def change(sources: Sources) -> None:
        for name in names:
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            sources.put(_filename(name), {"name": name, "version": "1.0", "build": "0", "size": 1, "sha256": sha256})

    return change


def _writer(objects: Objects, step: Step = lambda _what, _key: None) -> SubdirIndexWriter:
    return SubdirIndexWriter(MemoryBucket(objects, step), "noarch", lambda _seconds: None)


def _content(objects: Objects, name: str) -> bytes:
    return objects[f"noarch/{name}"][1]


def _require_readable(objects: Objects) -> None:
    """Whatever form of the index a reader takes at this moment, what it names is there."""
    if f"noarch/{SHARD_INDEX}" in objects:
        for digest in decode_shard_hashes(_content(objects, SHARD_INDEX)):
            shard = objects[f"noarch/shards/{digest}.msgpack.zst"][1]
            assert hashlib.sha256(shard).hexdigest() == digest
    if f"noarch/{REPODATA_ZST}" in objects:
        decode_repodata(bytes(decompress(_content(objects, REPODATA_ZST), "zst", 1 << 20)))


def _require_index_of(objects: Objects, *names: str) -> None:
    """All forms name exactly these packages."""
    plain = _content(objects, REPODATA)
    records = decode_repodata(plain).records
    assert sorted(records) == sorted(map(_filename, names))
    assert decompress(_content(objects, REPODATA_ZST), "zst", 1 << 20) == plain
    shards = {digest for digest, _ in encode_shards(records).values()}
    assert decode_shard_hashes(_content(objects, SHARD_INDEX)) == shards
    _require_readable(objects)


def _count_steps(work: Callable[[Step], None]) -> int:
    steps = itertools.count()
    work(lambda _what, _key: next(steps) and None)
    return next(steps)


def test_a_writer_interrupted_by_another_at_any_step_loses_nothing_and_makes_it_lose_nothing() -> None:
    """Rule: whenever a second writer comes and goes, all forms of the index have what both added."""
    objects: Objects = {}
    _writer(objects).update(_adding("old"))
    steps = _count_steps(lambda step: _writer(dict(objects), step).update(_adding("one")))
    assert steps > 8
    for moment in range(steps):
        here: Objects = dict(objects)
        counter = itertools.count()

        def interrupted(_what: str, _key: str, here: Objects = here, moment: int = moment, counter=counter) -> None:  # type: ignore[no-untyped-def]  # an iterator of numbers
            _require_readable(here)
            if next(counter) == moment:
                _writer(here).update(_adding("two"))

        _writer(here, interrupted).update(_adding("one"))
        _require_index_of(here, "old", "one", "two")


def test_what_a_writer_left_that_died_at_any_step_the_next_one_completes() -> None:
    """Rule: a death at any step leaves a channel that can be read, and the next writer makes all forms agree."""
    objects: Objects = {}
    _writer(objects).update(_adding("old"))
    steps = _count_steps(lambda step: _writer(dict(objects), step).update(_adding("one")))
    for moment in range(steps):
        here: Objects = dict(objects)
        counter = itertools.count()

        def dying(_what: str, _key: str, moment: int = moment, counter=counter) -> None:  # type: ignore[no-untyped-def]  # an iterator of numbers
            if next(counter) == moment:
                raise Died

        with pytest.raises(Died):
            _writer(here, dying).update(_adding("one"))
        _require_readable(here)
        _writer(here).update(_adding("one", "two"))
        _require_index_of(here, "old", "one", "two")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=150), st.sets(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=2))
def test_writers_that_take_turns_in_any_order_lose_nothing(turns: list[int], deaths: set[tuple[int, int]]) -> None:
    """Law: whatever the order of requests of four writers, of which some die, all forms have what the others added."""
    objects: Objects = {}
    alive = _in_turns(objects, turns, dict(deaths))
    _writer(objects).update(_adding("last"))
    names = [record["name"] for record in decode_repodata(_content(objects, REPODATA)).records.values()]
    assert {f"by{number}" for number in alive} <= set(names)
    _require_index_of(objects, *names)


def _in_turns(objects: Objects, turns: list[int], deaths: dict[int, int]) -> list[int]:
    """Have four writers add a package each, one request at a time; those that did not die."""
    writers = range(4)
    may_go = {number: threading.Semaphore(0) for number in writers}
    paused = threading.Semaphore(0)
    done: dict[int, bool] = {}

    def work(number: int) -> None:
        count = itertools.count()
        one_at_a_time = threading.Lock()  # a writer writes shards side by side

        def step(_what: str, _key: str) -> None:
            with one_at_a_time:
                if next(count) == deaths.get(number):
                    raise Died
                paused.release()
                may_go[number].acquire()
                _require_readable(objects)

        try:
            _writer(objects, step).update(_adding(f"by{number}"))
            done[number] = True
        except Died:
            done[number] = False
        finally:
            paused.release()

    threads = []
    for number in writers:
        thread = threading.Thread(target=work, args=(number,))
        thread.start()
        paused.acquire()
        threads.append(thread)
    order = itertools.chain(turns, itertools.cycle(writers))
    while len(done) < len(writers):
        number = next(order)
        if number not in done:
            may_go[number].release()
            paused.acquire()
    for thread in threads:
        thread.join()
    return [number for number in writers if done[number]]


def test_an_index_that_others_never_stop_writing_is_an_error_and_no_endless_loop() -> None:
    """Rule: code ``contended``, with what to do."""
    objects: Objects = {}
    numbers = itertools.count()

    def contended(what: str, key: str) -> None:
        if what == "write" and key == "noarch/repodata.json":
            objects[key] = f'"other{next(numbers)}"', b"{}", {}

    with pytest.raises(ChannelError, match="changed by others") as caught:
        _writer(objects, contended).update(_adding("one"))
    assert caught.value.code == "contended"


def test_a_record_that_one_form_cannot_have_comes_into_none() -> None:
    """Rule: all forms are made out before the first is written, so that none is ahead of the others for ever."""
    objects: Objects = {}
    _writer(objects).update(_adding("old"))
    before = dict(objects)

    def change(sources: Sources) -> None:
        _adding("new")(sources)
        sources.raw.records[_filename("new")]["build_number"] = 1 << 70

    with pytest.raises(ChannelError):
        _writer(objects).update(change)
    assert objects == before


def test_what_another_indexer_wrote_beside_the_index_goes_when_it_would_be_outdated() -> None:
    """Rule: no reader takes a form of the index that is not kept up."""
    objects: Objects = {
        "noarch/repodata.json.bz2": ('"1"', b"old", {}),
        "noarch/current_repodata.json": ('"2"', b"{}", {}),
    }
    _writer(objects).update(_adding("one"))
    assert not {"noarch/repodata.json.bz2", "noarch/current_repodata.json"} & objects.keys()
    _require_index_of(objects, "one")


def test_a_shard_that_is_gone_comes_back_where_somebody_has_looked() -> None:
    """Rule: whoever says which shards are there gets those written that the index names and that are not."""
    objects: Objects = {}
    _writer(objects).update(_adding("one", "two"))
    gone = next(key for key in objects if "/shards/" in key)
    del objects[gone]
    there = {key.rpartition("/")[2].partition(".")[0] for key in objects if "/shards/" in key}
    _writer(objects).update(_adding("one"), there)
    assert gone in objects
    _require_index_of(objects, "one", "two")


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("others_write", [True, False])
@pytest.mark.parametrize("is_large", [True, False])
def test_a_run_reads_the_index_once_unless_others_write_it(
    *, is_there: bool, others_write: bool, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: what was read at the beginning counts at the end only if it is still there; and much is not kept."""
    if is_large:
        monkeypatch.setattr(index, "_LARGEST_KEPT", -1)
    objects: Objects = {}
    if is_there:
        _writer(objects).update(_adding("old"))
    asked: list[str] = []
    run = _writer(objects, lambda what, key: asked.append(what) if key == "noarch/repodata.json" else None)
    assert run.names().listed == ({_filename("old")} if is_there else frozenset())
    if others_write:
        _writer(objects).update(_adding("other"))
    asked.clear()
    run.update(_adding("new"))
    before_writing = asked[: asked.index("write")]
    assert before_writing == (["read"] if is_large else ["stat", "read"] if others_write else ["stat"])
    _require_index_of(objects, "new", *(["old"] if is_there else []), *(["other"] if others_write else []))


def test_an_index_that_has_what_is_published_is_looked_at_all_the_same() -> None:
    """Rule: where nothing seems to be left to write, others may have taken it out since."""
    objects: Objects = {}
    _writer(objects).update(_adding("one"))
    run = _writer(objects)
    run.names()
    _writer(objects).update(lambda sources: sources.raw.records.clear())
    run.update(_adding("one"))
    _require_index_of(objects, "one")
