"""The bytes of an index: a function of its records, and nothing that an archive can say breaks them."""

from __future__ import annotations

import hashlib
import json
import threading
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keelback
from keelback.errors import ArchiveError, ChannelError
from keelback.listing import Listed, Listing, Lookup, Shard, decode_shard, decode_shard_index, unpack
from keelback.repodata import (
    Repodata,
    check_repodata,
    compress_repodata,
    decode_repodata,
    decode_shard_hashes,
    decompress,
    encode_repodata,
    encode_shard_index,
    encode_shards,
    record_of,
    same_file,
)
from making import conda_entries, index_json, info_members, make_conda, tar, write_zip, zstd
from reading_channels import from_document, unpacked

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.dictionaries(
    st.from_regex(r"[a-z]{1,3}-[0-9]-[0-9](\.conda|\.tar\.bz2)", fullmatch=True),
    st.builds(
        lambda extra, name, digest: {**extra, "name": name, "md5": digest[:32], "sha256": digest, "size": 1},
        st.dictionaries(TEXT, VALUES, max_size=3),
        st.sampled_from(["a", "b", "C"]),
        st.binary(min_size=32, max_size=32).map(bytes.hex),
    ),
    max_size=6,
)


def document(records=None, **others):
    """A ``repodata.json``."""
    return json.dumps({"packages": records or {}, **others}).encode()


@given(RECORDS, st.randoms())
def test_equal_records_give_equal_bytes(records, shuffle):
    """Whatever the order in which they came."""
    names = list(records)
    shuffle.shuffle(names)
    other = {name: dict(sorted(records[name].items(), reverse=True)) for name in names}
    assert encode_repodata("noarch", Repodata(records)) == encode_repodata("noarch", Repodata(other))
    assert encode_shards(records) == encode_shards(other)


@given(RECORDS)
def test_what_is_written_is_what_is_read(records):
    """By this reader and, for the JSON, by Python's own; and what is read gives the same bytes again."""
    content = encode_repodata("noarch", Repodata(records))
    read = decode_repodata(content)
    assert read.records == records == from_document(json.loads(content), "noarch")
    assert encode_repodata("noarch", read) == content
    assert decompress(compress_repodata(content), "it", len(content)) == content
    listing = Listing(content)
    assert {filename: listing.get(filename) for filename in [*records, "other-1-0.conda"]} == {
        **{filename: Listed(sha256=record["sha256"], size=record["size"]) for filename, record in records.items()},
        "other-1-0.conda": None,
    }


@given(RECORDS)
def test_shards_are_named_by_what_they_are(records):
    """The SHA-256 of the compressed bytes; hashes are bytes in them, and each file is in that of its name."""
    shards = encode_shards(records)
    found = {}
    for name, (digest, content) in shards.items():
        assert hashlib.sha256(content).hexdigest() == digest
        shard = msgspec.msgpack.decode(unpacked(content))
        for filename, record in {**shard["packages"], **shard["packages.conda"]}.items():
            assert record["name"].lower() == name
            found[filename] = {**record, "md5": record["md5"].hex(), "sha256": record["sha256"].hex()}
        listed = decode_shard(content, records.keys() | {"other-1-0.conda"})
        assert {filename: one.sha256 for filename, one in listed.items()} == {
            filename: record["sha256"] for filename, record in records.items() if record["name"].lower() == name
        }
    assert found == records
    hashes = {name: digest for name, (digest, _) in shards.items()}
    index = encode_shard_index("noarch", hashes)
    assert decode_shard_hashes(index) == set(hashes.values())
    assert decode_shard_index(index, {*hashes, "other"}) == {
        name: Shard("./shards/", digest) for name, digest in hashes.items()
    }


@settings(deadline=None)
@given(st.dictionaries(TEXT.filter(lambda key: key not in index_json()), VALUES, max_size=3))
def test_whatever_an_archive_may_say_can_be_written(extra):
    """An archive that passes its checks has a record that every form of the index can hold."""
    with TemporaryDirectory() as folder:
        archive = keelback.inspect(make_conda(Path(folder), index=extra))
        records = {archive.filename: record_of(archive)}
        assert decode_repodata(encode_repodata("noarch", Repodata(records))).records == records
        assert len(encode_shards(records)) == 1


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"18446744073709551616", id="beyond 64 bits"),
        pytest.param(b"-9223372036854775809", id="below 64 bits"),
        pytest.param(b"1e999", id="beyond floats"),
        pytest.param(b"NaN", id="nan"),
        pytest.param(b"Infinity", id="infinity"),
        pytest.param(rb'"\ud800"', id="half a surrogate pair"),
        pytest.param(rb'{"\udfff": 1}', id="half a surrogate pair as key"),
        pytest.param(b"[" * 5000 + b"]" * 5000, id="nested deeply"),
        pytest.param(b"[" * 101 + b"]" * 101, id="nested too deeply"),
    ],
)
def test_what_no_index_can_hold_is_found_before_anything_is_sent(tmp_path, value):
    """The archive that says it is refused by its check, by name; the channel is not even made."""
    archive = with_index(tmp_path / "demo-1.0-h0_0.conda", value)
    with pytest.raises(ArchiveError, match=r"index\.json"):
        keelback.inspect(archive)
    report = keelback.publish([archive], str(tmp_path / "channel"))
    assert report.exit_status == keelback.ExitStatus.FAILED
    assert not (tmp_path / "channel").exists()


def test_the_deepest_that_an_archive_may_say_can_be_written(tmp_path):
    """The depth at which archives are refused is none at which encoders fail."""
    archive = keelback.inspect(with_index(tmp_path / "demo-1.0-h0_0.conda", b"[" * 99 + b"]" * 99))
    records = {archive.filename: record_of(archive)}
    assert decode_repodata(encode_repodata("noarch", Repodata(records))).records == records
    assert encode_shards(records)


def with_index(path, value):
    """A package at *path* whose index.json has the field ``extra`` with that *value*, spelt just so."""
    members = info_members()
    members["info/index.json"] = members["info/index.json"].rstrip(b"}\n") + b',"extra":' + value + b"}"
    return write_zip(path, conda_entries("demo-1.0-h0_0", tar(members)))


@pytest.mark.parametrize("value", [2**64, "\ud800"], ids=["an integer", "a string"])
def test_records_that_cannot_be_written_are_an_error_of_the_channel(value):
    """Not a traceback, wherever such a record may come from."""
    with pytest.raises(ChannelError, match="cannot be written"):
        encode_shards({"a-1-0.conda": {"name": "a", "value": value}})


@pytest.mark.parametrize("content", [b"", b"{}", document(), document(info={"base_url": "./"}, repodata_version=2)])
def test_the_least_that_an_index_says(content):
    """All of these have no records, and are no error."""
    check_repodata(content)
    assert decode_repodata(content).records == {}
    assert Listing(content).get("demo-1.0-h0_0.conda") is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"sha256": "ab"}, {"sha256": "AB"}, True),
        ({"sha256": "ab", "md5": "1"}, {"sha256": "cd", "md5": "1"}, False),
        ({"md5": "1", "sha256": None}, {"sha256": "cd", "md5": "1"}, True),
        ({"md5": "1"}, {"md5": "2"}, False),
        ({}, {"sha256": "cd"}, False),
    ],
)
def test_records_of_the_same_bytes(one, other, same):
    """The SHA-256 says it; the MD5 where an old record has no other; nothing is not the same as anything."""
    assert same_file(one, other) is same


@pytest.mark.parametrize(
    ("listed", "same"),
    [
        (Listed(sha256="AB", size=3), True),
        (Listed(sha256="cd", md5="12"), False),
        (Listed(md5="12"), True),
        (Listed(sha256="ab", size=4), False),
        (Listed(size=3), None),
        (Listed(), None),
    ],
)
def test_whether_a_channel_has_the_same_bytes(listed, same):
    """By the best that it says; where it says nothing that decides it, that is the answer."""
    assert listed.same_bytes(SimpleNamespace(sha256="ab", md5="12", size=3)) is same


DEMO = "demo-1.0-h0_0.conda"


def packed(value):
    """*value* as shards and their index are packed."""
    return zstd(msgspec.msgpack.encode(value))


@pytest.mark.parametrize("decode", [decode_shard, decode_shard_index])
@pytest.mark.parametrize("content", [b"", b"junk", zstd(b""), zstd(b"\xc1"), packed([1])])
def test_malformed_shards_are_an_error_of_the_channel(decode, content):
    """Whatever a server sends instead of one."""
    with pytest.raises(ChannelError, match="malformed"):
        decode(content, [DEMO])
    with pytest.raises(ChannelError, match="malformed"):
        decode_shard_hashes(content)


@pytest.mark.parametrize(
    ("decode", "document"),
    [
        pytest.param(decode_shard, {"packages": {DEMO: {"sha256": "text"}}}, id="a hash as text"),
        pytest.param(decode_shard, {"packages": {DEMO: 1}}, id="a record that is none"),
        pytest.param(decode_shard_index, {"info": {}, "shards": {DEMO: b"12"}}, id="a short hash of a shard"),
        pytest.param(decode_shard_index, {"info": {"shards_base_url": 1}, "shards": {DEMO: bytes(32)}}, id="no URL"),
        pytest.param(decode_shard_index, {"shards": {}}, id="no word on where they are"),
    ],
)
def test_what_is_asked_of_shards_has_to_be_well_formed(decode, document):
    """In an index of somebody else, the fields that are believed are checked."""
    with pytest.raises(ChannelError, match="malformed") as caught:
        decode(packed(document), [DEMO])
    assert caught.value.code == "bad-index"


def test_a_shard_is_passed_over_where_nobody_asks():
    """Whatever stands there."""
    shard = packed({"removed": [DEMO], "packages": {"unasked": "no record"}, "packages.conda": {DEMO: {"size": 1}}})
    assert decode_shard(shard, [DEMO, "other"]) == {DEMO: Listed(size=1)}


@pytest.mark.parametrize(
    ("decode", "document"),
    [
        pytest.param(decode_shard, {"packages": {DEMO: {"sha256": bytes(1 << 20)}}}, id="a record"),
        pytest.param(
            decode_shard_index,
            {"info": {"shards_base_url": "x" * (1 << 20)}, "shards": {DEMO: bytes(32)}},
            id="where the shards are",
        ),
    ],
)
def test_an_entry_that_fills_the_memory_is_not_built(decode, document):
    """One emoji makes four bytes of each in a string."""
    with pytest.raises(ChannelError, match=r"an entry of 10485[0-9]+ bytes"):
        decode(packed(document), [DEMO])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"packages":{"a":1}}', id="a record that is none"),
        pytest.param(b'{"packages":[]}', id="a list of records"),
        pytest.param(b'{"packages":null}', id="no records"),
        pytest.param(b'{"packages":{"a":{"sha256":1}}}', id="a hash that is a number"),
        pytest.param(b'{"packages":{"a":{"sha256":"xyz"}}}', id="a hash that is not in hex"),
        pytest.param(b'{"packages":{"a":{"md5":"abcd"}}}', id="a hash that is too short"),
        pytest.param(b'{"packages.conda":{"a":{"size":"1"}}}', id="a size as text"),
        pytest.param(b'{"packages.conda":{"a":{"size":-1}}}', id="a size below nothing"),
        pytest.param(b'{"packages.conda":{"a":{"size":9223372036854775808}}}', id="a size beyond 64 bits"),
        pytest.param(b'{"packages":{"a":{}}', id="cut short"),
        pytest.param(b'{"packages":{"a":{},}}', id="a comma too many"),
        pytest.param(b'{"packages":{"a":{} "b":{}}}', id="a comma too few"),
        pytest.param(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="nested too deeply"),
        pytest.param(b"[]", id="a list"),
    ],
)
@pytest.mark.parametrize("piece", [1, 8, 1 << 20])
def test_a_malformed_listing_is_an_error_of_the_channel(monkeypatch, content, piece):
    """Whatever a server sends instead of one."""
    monkeypatch.setattr("keelback.listing._PIECE", piece)
    with pytest.raises(ChannelError, match="malformed") as caught:
        Listing(content)
    assert caught.value.code == "bad-index"


@given(RECORDS, RECORDS, st.sampled_from([None, 1]), st.integers(1, 300), st.booleans())
def test_a_listing_is_the_same_in_pieces_of_any_size(packages, conda, indent, piece, spaced):
    """However it is written, and whatever its records hold: braces and commas in strings and in objects of theirs."""
    tricks = {"a": '},"b":{', "c": {"d": {"size": 7}, "e": {}}, "f": ['"', "\\", "}"]}
    both = [{name: {**tricks, **record, **tricks} for name, record in part.items()} for part in (packages, conda)]
    separators = (" , ", " : ") if spaced else None
    content = json.dumps(
        {"removed": ["}"], "packages": both[0], "info": {}, "packages.conda": both[1]},
        indent=indent,
        separators=separators,
    ).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keelback.listing._PIECE", piece)
        listing = Listing(content)
    for part in (conda, packages):
        for name, record in part.items():
            if part is packages or name not in packages:
                assert listing.get(name) == Listed(sha256=record["sha256"], size=record["size"])
    assert listing.get("absent") is None


def test_a_listing_says_what_old_records_say():
    """Only an MD5, only a size, nothing, null; a name may be written with escapes."""
    records = {"a": {"md5": "AB" * 16, "size": 0}, "b": {"size": 2**63 - 1}, "c": {}, "d": {"sha256": None}}
    listing = Listing(document(records | {"é": {"md5": "cd" * 16}}))
    assert [listing.get(name) for name in "abcdé"] == [
        Listed(md5="ab" * 16, size=0),
        Listed(size=2**63 - 1),
        Listed(),
        Listed(),
        Listed(md5="cd" * 16),
    ]


def test_a_record_that_fills_the_memory_is_not_built():
    """Megabytes without an end of a record are none."""
    with pytest.raises(ChannelError, match="a record of more than 4194304 bytes"):
        Listing(document({DEMO: {"sha256": "x" * (10 << 20)}}))


def test_a_listing_has_a_limit_of_records(monkeypatch):
    """More than any channel has are an attack on the memory."""
    monkeypatch.setattr("keelback.listing.RECORDS_LIMIT", 3)
    Listing(document({name: {} for name in "abc"}))
    with pytest.raises(ChannelError, match="more than 3 records"):
        Listing(document({name: {} for name in "abcd"}))


@pytest.mark.parametrize(
    ("read", "content"),
    [
        pytest.param(Listing, document({f"{n:x}": {} for n in range(200_000)}), id="repodata"),
        pytest.param(
            lambda content: decode_shard(content, [DEMO]),
            packed({"packages": {f"{n:x}": {} for n in range(200_000)}}),
            id="a shard",
        ),
        pytest.param(
            lambda content: decode_shard_index(content, [DEMO]),
            packed({"info": {}, "shards": {f"{n:x}": b"" for n in range(200_000)}}),
            id="a shard index",
        ),
    ],
)
def test_tiny_records_do_not_become_gigabytes(read, content):
    """A few megabytes of them would otherwise fill a hundred times as much with objects."""
    tracemalloc.start()
    try:
        read(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20


def test_an_index_is_not_unpacked_beyond_its_limit():
    """What is larger is an error before it fills the memory."""
    assert len(decompress(zstd(bytes(1 << 20)), "it", 1 << 20)) == 1 << 20
    with pytest.raises(ChannelError, match="larger than 1048576 bytes"):
        decompress(zstd(bytes((1 << 20) + 1)), "it", 1 << 20)


def test_an_index_is_not_unpacked_to_a_hundred_times_its_size():
    """A few bytes that stand for gigabytes are found out early; up to some megabytes nobody minds."""
    assert len(unpack(zstd(bytes(16 << 20)), "it", 1 << 30)) == 16 << 20
    with pytest.raises(ChannelError, match="larger than 16777216 bytes"):
        unpack(zstd(bytes(64 << 20)), "it", 1 << 30)


class CountingLock:
    """A lock that tells, in ``wanted``, how often it was asked for."""

    def __init__(self):
        self.wanted = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __enter__(self):
        self.wanted.release()
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()


def test_a_lookup_reads_once_for_all_that_ask_meanwhile():
    """The first one reads; whoever comes while that lasts is answered by one more reading, however many they are."""
    readings = []
    reading, go_on = threading.Event(), threading.Event()

    def read(names):
        readings.append(set(names))
        reading.set()
        assert go_on.wait(30)
        return {name: name.upper() for name in names if name != "absent"}

    lock = CountingLock()
    lookup = Lookup(read, lock)
    asked = ["a", "b", "absent", "c"]
    answers = {}
    threads = [
        threading.Thread(target=lambda name=name: answers.update({name: lookup.get(name)}))
        for name in ["first", *asked]
    ]
    threads[0].start()
    assert reading.wait(30)
    for thread in threads[1:]:
        thread.start()
    for _ in threads:
        assert lock.wanted.acquire(timeout=30)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert readings == [{"first"}, set(asked)]
    assert answers == {"first": "FIRST", "a": "A", "b": "B", "c": "C", "absent": None}
    assert lookup.get("a") == "A"
    assert len(readings) == 2


def test_a_lookup_in_what_is_broken_tries_once():
    """Everybody hears of it, and nobody waits for it again."""
    tries = []

    def read(names):
        tries.append(names)
        raise ChannelError("malformed")

    lookup = Lookup(read, threading.Lock())
    for name in "ab":
        with pytest.raises(ChannelError, match="malformed"):
            lookup.get(name)
    assert len(tries) == 1
