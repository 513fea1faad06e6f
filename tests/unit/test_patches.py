"""Patches of an index, as functions of records: what they change, what they never change, and how they are kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelback.channels.membertypes import MEMBERS
from keelback.channels.patches import (
    FROM_PACKAGES,
    INSTRUCTIONS,
    NOTHING,
    Instructions,
    Sources,
    decode_instructions,
    encode_instructions,
    sources_of,
)
from keelback.errors import ChannelError
from keelback.repodata import Repodata, encode_repodata

STEMS = ["a-1-0", "a-2-0", "b-1-0"]
FILES = [f"{stem}{suffix}" for stem in STEMS for suffix in (".conda", ".tar.bz2")]


def record(filename, **members):
    """A record of *filename*, with a hash of its own."""
    name, version, build = filename.removesuffix(".conda").removesuffix(".tar.bz2").rsplit("-", 2)
    digest = f"{FILES.index(filename):064x}"
    return {"name": name, "version": version, "build": build, "sha256": digest, "depends": ["x"], **members}


def raw(filenames=FILES):
    """Records of *filenames*, as their archives have them."""
    return Repodata({filename: record(filename) for filename in filenames})


members = st.fixed_dictionaries(
    {},
    optional={
        "depends": st.lists(st.sampled_from(["x", "y >=1"]), max_size=2),
        "constrains": st.none() | st.just(["z"]),
        "license": st.none() | st.sampled_from(["MIT", "BSD"]),
        "future": st.dictionaries(st.sampled_from("ab"), st.integers(0, 3)),
    },
)
names = st.frozensets(st.sampled_from(FILES))
documents = st.fixed_dictionaries(
    {},
    optional={
        "patch_instructions_version": st.sampled_from([0, 1]),
        "packages": st.dictionaries(st.sampled_from([name for name in FILES if name.endswith(".bz2")]), members),
        "packages.conda": st.dictionaries(
            st.sampled_from([name for name in FILES if name.endswith(".conda")]), members
        ),
        "remove": names.map(sorted),
        "revoke": names.map(sorted),
        "external_dependencies": st.just({"a": "global:a"}),
    },
)
instructions = documents.map(lambda document: decode_instructions(json.dumps(document).encode(), "it"))


def as_conda_index_does(document):
    """What conda-index makes of all records (``_apply_instructions``): written anew, as its format is described."""
    repodata = {
        "packages": {name: record(name) for name in FILES if name.endswith(".tar.bz2")},
        "packages.conda": {name: record(name) for name in FILES if name.endswith(".conda")},
    }
    removed = []
    for place, suffix in (("packages", ".tar.bz2"), ("packages.conda", ".conda")):
        here = repodata[place]
        for source in ("packages", "packages.conda") if suffix == ".conda" else ("packages",):
            for name, changed in document.get(source, {}).items():
                filename = name.replace(".tar.bz2", suffix)
                if filename in here:
                    here[filename] |= changed
        for name in sorted(document.get("revoke", ())):
            filename = name.replace(".tar.bz2", suffix)
            if filename in here and not here[filename].get("revoked"):
                here[filename]["revoked"] = True
                here[filename]["depends"] = [*here[filename]["depends"], "package_has_been_revoked"]
        for name in document.get("remove", ()):
            filename = name.replace(".tar.bz2", suffix)
            if here.pop(filename, None):
                removed.append(filename)
    return {**repodata["packages"], **repodata["packages.conda"]}, sorted(removed)


@given(documents)
def test_instructions_mean_what_they_mean_to_conda_index(document):
    """Members are replaced, a ``.tar.bz2`` stands for the ``.conda`` of its name, what is removed is not listed."""
    index = Sources(raw(), decode_instructions(json.dumps(document).encode(), "it")).index()
    records, removed = as_conda_index_does(document)
    without_nothing = {
        filename: {member: value for member, value in found.items() if value is not None}
        for filename, found in records.items()
    }
    assert index.records == without_nothing
    assert index.removed == removed


@given(instructions)
def test_what_is_kept_beside_the_index_gives_the_same_index_again(known):
    """From the files alone, another writer makes the same records, patches and index: nothing is patched twice."""
    sources = Sources(raw(), known)
    kept = sources.files("noarch")
    again = sources_of(encode_repodata("noarch", sources.index()), kept[FROM_PACKAGES], kept[INSTRUCTIONS])
    assert again.raw.records == sources.raw.records
    assert encode_repodata("noarch", again.index()) == encode_repodata("noarch", sources.index())
    assert again.files("noarch") == kept


@given(instructions, instructions)
def test_a_patch_can_be_taken_back(before, patch):
    """Instructions without members for a file, and listing it again, leave what was there before any patch."""
    patched = before.with_patch(patch)
    back = patched.with_patch(Instructions({filename: {} for filename in patched.members})).listing(FILES)
    assert not back
    assert Sources(raw(), back).index() == raw()


@given(st.permutations(FILES), instructions, st.integers(0, len(FILES)))
def test_the_order_of_publishing_and_patching_does_not_matter(order, patch, moment):
    """Whichever comes first: the same files and the same changes of members give the same index."""
    patch = patch.listing(FILES)
    sources = Sources(Repodata())
    for filename in order[:moment]:
        sources.put(filename, record(filename))
    sources.instructions = sources.instructions.with_patch(patch)
    for filename in order[moment:]:
        sources.put(filename, record(filename))
    assert encode_repodata("noarch", sources.index()) == encode_repodata("noarch", Sources(raw(), patch).index())


@given(instructions)
def test_published_again_is_listed_again(known):
    """Whatever was removed or revoked, and nothing else than what is published."""
    for filename in FILES:
        sources = Sources(raw(), known)
        sources.put(filename, record(filename))
        index = sources.index()
        assert "revoked" not in index.records[filename]
        assert filename not in index.removed
        assert sources.instructions.remove == known.remove - {filename}


@given(instructions)
def test_equal_instructions_are_equal_bytes(known):
    """They are read again as they are, names exactly, with what other tools have put into them."""
    content = encode_instructions(known)
    again = decode_instructions(content, "it")
    assert again == known
    assert encode_instructions(again) == content


def test_names_are_exact_once_keelback_has_written_them():
    """A ``.tar.bz2`` that is removed alone does not take the ``.conda`` of its name with it."""
    sources = Sources(raw(), Instructions().removing(["a-1-0.tar.bz2"]))
    kept = sources.files("noarch")
    again = sources_of(encode_repodata("noarch", sources.index()), kept[FROM_PACKAGES], kept[INSTRUCTIONS])
    assert again.index().removed == ["a-1-0.tar.bz2"]
    assert "a-1-0.conda" in again.index().records


def test_without_instructions_nothing_is_kept_beside_the_index():
    """What another indexer says was there before its patches is of no use, and nobody's records are changed."""
    index = raw()
    index.records["a-1-0.conda"]["depends"] = ["patched by somebody"]
    sources = sources_of(encode_repodata("noarch", index), encode_repodata("noarch", raw()), None)
    assert sources.index().records == index.records
    assert sources.files("noarch") == {FROM_PACKAGES: None, INSTRUCTIONS: None}


def test_a_record_of_other_bytes_is_not_what_was_patched():
    """Another tool has replaced the file, and indexed it: the older record is not put in its place."""
    replaced = raw()
    replaced.records["a-1-0.conda"] = record("a-1-0.conda", sha256="ff" * 32)
    sources = sources_of(
        encode_repodata("noarch", replaced),
        encode_repodata("noarch", raw()),
        encode_instructions(Instructions({"b-1-0.conda": {"license": "MIT"}})),
    )
    assert sources.raw.records["a-1-0.conda"]["sha256"] == "ff" * 32


@pytest.mark.parametrize("index_is_new", [False, True])
def test_a_writer_that_dies_while_it_takes_patches_back_leaves_one_state_or_the_other(index_is_new):
    """Instructions that say nothing come before the index, and until it is there, the raw records stay."""
    patched = Sources(raw(), Instructions({"a-1-0.conda": {"depends": []}}, frozenset({"b-1-0.conda"})))
    after = Sources(raw())
    in_force = after if index_is_new else patched
    left = sources_of(encode_repodata("noarch", in_force.index()), patched.files("noarch")[FROM_PACKAGES], NOTHING)
    completed = left.index()
    assert completed.records.items() >= {k: v for k, v in raw().records.items() if k != "b-1-0.conda"}.items()
    assert completed.records["a-1-0.conda"]["depends"] == ["x"]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "malformed"),
        ([], "malformed"),
        ({"packages": []}, "malformed"),
        ({"remove": "a-1-0.conda"}, "malformed"),
        ({"patch_instructions_version": 2}, "a kind that keelback does not know"),
        ({"v3": {"conda": {"a-1-0": {}}}}, "a kind that keelback does not know"),
        ({"packages.conda": {"a-1-0.conda": {"sha256": "00" * 32}}}, "changes sha256 of a-1-0.conda"),
        ({"packages": {"a-1-0.tar.bz2": {"name": "b", "url": "https://x.example"}}}, "changes name, url"),
        ({"packages": {"a-1-0.tar.bz2": {"depends": "x"}}}, "depends of a-1-0.tar.bz2"),
        ({"packages": {"a-1-0.tar.bz2": {"depends": None}}}, "depends of a-1-0.tar.bz2"),
        ({"packages": {"a-1-0.tar.bz2": {"constrains": [1]}}}, "constrains of a-1-0.tar.bz2"),
        *(
            ({"packages.conda": {"a-1-0.conda": {"license": "MIT", member: value}}}, f"{member} of a-1-0.conda")
            for member, value in [
                ("build_number", None),
                ("build_number", [1]),
                ("build_number", True),
                ("build_number", -1),
                ("build_number", 1 << 63),
                ("timestamp", "x"),
                ("timestamp", 1.5),
                ("timestamp", 1 << 62),
                ("noarch", {}),
                ("noarch", "perl"),
                ("license", ["MIT"]),
                ("license_family", 1),
                ("features", ["a"]),
                ("track_features", {}),
                ("arch", 64),
                ("platform", []),
                ("python_site_packages_path", 1),
                ("legacy_bz2_md5", "x"),
                ("legacy_bz2_size", -1),
                ("purls", ["x"]),
                ("run_exports", {"weak": "x"}),
                ("extra_depends", {"test": "x"}),
                ("flags", [1]),
            ]
        ),
    ],
)
def test_instructions_that_would_break_the_index_are_refused(document, says):
    """Malformed ones, newer ones, and those after which a record would be of another file, or of no use."""
    content = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    with pytest.raises(ChannelError, match=says) as caught:
        decode_instructions(content, "it")
    assert caught.value.code == "bad-patch"
    assert caught.value.message.startswith("it ")


@pytest.mark.peer("py-rattler")
def test_what_a_patch_may_say_is_what_readers_take(tmp_path):
    """A record with each member of each kind that is accepted is read by rattler, which refuses a whole index else."""
    import rattler  # noqa: PLC0415 - large, and for this test alone

    values = [None, True, False, 0, 1, -1, 253_402_207_200_000, 1 << 63, 1.5, "x", "", "generic", "a" * 32]
    values += ["pkg:conda/a@1", [], ["a"], ["pkg:conda/a@1"], [1], {}, {"a": "b"}, {"weak": ["a"]}]
    members = [*MEMBERS, "revoked", "future"]
    refused = []
    for member in members:
        for value in values:
            document = {"packages.conda": {"a-1-0.conda": {member: value}}}
            try:
                known = decode_instructions(json.dumps(document).encode(), "it")
            except ChannelError:
                refused.append((member, value))
                continue
            patched = Sources(raw(["a-1-0.conda"]), known).index()
            patched.records["a-1-0.conda"].setdefault("build_number", 0)
            file = tmp_path / "repodata.json"
            file.write_bytes(encode_repodata("noarch", patched))
            data = rattler.SparseRepoData(rattler.Channel(tmp_path.as_uri()), "noarch", file)
            assert len(data.load_records(rattler.PackageName("a"))) == 1, (member, value)
    assert {member for member, _ in refused} == set(MEMBERS)


def test_deep_nesting_is_refused():
    """It would otherwise end the program."""
    with pytest.raises(ChannelError, match="malformed"):
        decode_instructions(b'{"a":' * 100_000, "it")
