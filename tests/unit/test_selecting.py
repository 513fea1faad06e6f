"""What an argument of ``fetch`` asks for, and which of several records is the best."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from keelback.errors import ChannelError, UsageError
from keelback.selecting import Index, Wanted, best, in_few_words, indexed

if TYPE_CHECKING:
    from pathlib import Path

HASH = "0" * 64
BOAT = {"name": "boat", "version": "1.0", "build": "h0_0", "build_number": 0, "depends": [], "subdir": "noarch"}
CHANNEL = "https://host.example/chan"


def index(folder: Path, records: dict[str, dict[str, Any]], *, channel: str = CHANNEL, **info: str) -> Index:
    """The index of noarch with *records*, of which each is a boat but for what it says."""
    conda = {name: {**BOAT, **record} for name, record in records.items() if name.endswith(".conda")}
    others = {name: {**BOAT, **record} for name, record in records.items() if name not in conda}
    document = {"info": {"subdir": "noarch", **info}, "packages": others, "packages.conda": conda}
    file = folder / "repodata.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return Index(channel, "noarch", file)


@pytest.mark.parametrize(
    ("text", "name", "filename", "subdir"),
    [
        ("boat", "boat", None, None),
        ("Boat >=2", "boat", None, None),
        ("boat[subdir=linux-64]", "boat", None, "linux-64"),
        ("boat-1.0-h0_0.conda", "boat", "boat-1.0-h0_0.conda", None),
        ("My-Boat-1.0-h0_0.tar.bz2", "my-boat", "My-Boat-1.0-h0_0.tar.bz2", None),
        ("linux-64/boat-1.0-h0_0.conda", "boat", "boat-1.0-h0_0.conda", "linux-64"),
    ],
)
def test_an_argument_is_a_spec_or_a_file(text: str, name: str, filename: str | None, subdir: str | None) -> None:
    """Names are compared in lower case, as everywhere in the field."""
    wanted = Wanted(text)
    assert (wanted.name, wanted.filename, wanted.subdir) == (name, filename, subdir)


def test_a_file_as_a_spec_is_its_version_and_build() -> None:
    """For the solver, which knows nothing of files."""
    assert Wanted("noarch/my-boat-1.0-h0_0.tar.bz2").as_spec == "my-boat ==1.0 h0_0"
    assert Wanted("boat >=2").as_spec == "boat >=2"


@pytest.mark.parametrize(
    "text", ["", " ", ">=2", "boat >=", "boat*", "c::boat", "x/boat-1.0-h0_0.conda", "boat.conda", "../boat-1-0.conda"]
)
def test_what_is_neither_is_told(text: str) -> None:
    """With an example of each."""
    with pytest.raises(UsageError) as caught:
        Wanted(text)
    assert caught.value.code == "bad-spec"
    assert "numpy >=2" in caught.value.hint


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"version": "1.10"}, {"version": "1.9"}),
        ({"version": "1!0.1"}, {"version": "9.0"}),
        ({"version": "1.0"}, {"version": "1.0rc1"}),
        ({"build_number": 2}, {"build_number": 1, "timestamp": 1_700_000_000_000}),
        ({"version": "1.0"}, {"version": "2.0", "track_features": "slow"}),
        ({"timestamp": 1_700_000_000_000}, {"timestamp": 1_600_000_000_000}),
        ({"timestamp": 1_700_000_000_000}, {}),
    ],
)
def test_which_of_two_is_better(tmp_path: Path, better: dict[str, Any], worse: dict[str, Any]) -> None:
    """No tracked features, then version, build number and time, whatever the order in which they stand there."""
    for first, second in ((better, worse), (worse, better)):
        records = {"boat-1.0-a.conda": {**first, "build": "a"}, "boat-1.0-b.conda": {**second, "build": "b"}}
        found = best(index(tmp_path, records).matching(Wanted("boat")))
        assert found is not None
        assert found.file_name == ("boat-1.0-a.conda" if first is better else "boat-1.0-b.conda")


def test_of_two_formats_conda_is_better(tmp_path: Path) -> None:
    """The same package twice; by its name, either can be had."""
    twins = index(tmp_path, {"boat-1.0-h0_0.tar.bz2": {}, "boat-1.0-h0_0.conda": {}})
    assert len(twins.matching(Wanted("boat"))) == len(twins.everything()) == 2
    assert best(twins.matching(Wanted("boat"))).file_name == "boat-1.0-h0_0.conda"
    assert [found.file_name for found in twins.matching(Wanted("boat-1.0-h0_0.tar.bz2"))] == ["boat-1.0-h0_0.tar.bz2"]
    assert best([]) is None


def test_a_subdir_that_is_not_asked_for_has_nothing(tmp_path: Path) -> None:
    """Whatever is in it."""
    assert index(tmp_path, {"boat-1.0-h0_0.conda": {}}).matching(Wanted("linux-64/boat-1.0-h0_0.conda")) == []
    assert index(tmp_path, {"boat-1.0-h0_0.conda": {}}).matching(Wanted("boat[subdir=linux-64]")) == []


def test_what_is_needed_of_a_record_is_kept(tmp_path: Path) -> None:
    """Size and hashes, and where it is."""
    (record,) = index(tmp_path, {"boat-1.0-h0_0.conda": {"size": 7, "sha256": HASH}}).everything()
    found = indexed(record, ["noarch"])
    assert (found.relative_path, found.url) == ("noarch/boat-1.0-h0_0.conda", f"{CHANNEL}/noarch/boat-1.0-h0_0.conda")
    assert (found.name, found.version, found.build, found.size, found.sha256, found.md5) == (
        "boat", "1.0", "h0_0", 7, HASH, None,
    )  # fmt: skip


def test_only_a_channel_in_a_folder_has_archives_in_a_folder(tmp_path: Path) -> None:
    """No server says which files of this machine are read."""
    records: dict[str, dict[str, Any]] = {"boat-1.0-h0_0.conda": {}}
    (record,) = index(tmp_path, records, base_url="file:///etc/").everything()
    with pytest.raises(ChannelError, match="not a valid place for it"):
        indexed(record, ["noarch"])
    (record,) = index(tmp_path, records, base_url="file:///srv/files/", channel="file:///srv/chan").everything()
    assert indexed(record, ["noarch"]).url == "file:///srv/files/boat-1.0-h0_0.conda"


def test_rattlers_panics_are_errors(tmp_path: Path) -> None:
    """Of a URL that it takes for impossible."""
    with pytest.raises(ChannelError) as caught:
        index(tmp_path, {"boat-1.0-h0_0.conda": {}}, base_url="http://[bad/").everything()
    assert caught.value.code == "bad-index"


@pytest.mark.parametrize("base_url", ["file://evil/share/", "file:///%2fevil/share/"])
def test_no_archive_is_in_a_folder_of_another_machine(tmp_path: Path, base_url: str) -> None:
    """Windows would log in there to read it."""
    (record,) = index(tmp_path, {"boat-1.0-h0_0.conda": {}}, base_url=base_url, channel="file:///srv/chan").everything()
    with pytest.raises(ChannelError, match="not a valid place for it"):
        indexed(record, ["noarch"])


def test_without_a_hash_an_archive_comes_encrypted(tmp_path: Path) -> None:
    """Where the index did: anybody on the way could send another."""
    place = "http://host.example/files/"
    (record,) = index(tmp_path, {"boat-1.0-h0_0.conda": {}}, base_url=place).everything()
    with pytest.raises(ChannelError, match="no hash"):
        indexed(record, ["noarch"])
    (record,) = index(tmp_path, {"boat-1.0-h0_0.conda": {"sha256": HASH}}, base_url=place).everything()
    assert indexed(record, ["noarch"]).url.startswith(place)


def test_a_record_of_another_subdir_is_refused(tmp_path: Path) -> None:
    """Its file would go to a folder where nobody looked for it."""
    boats = index(tmp_path, {"boat-1.0-h0_0.conda": {"subdir": "win-64"}})
    with pytest.raises(ChannelError, match="win-64") as caught:
        boats.archives(boats.everything())
    assert caught.value.code == "bad-index"


def test_what_an_index_says_at_length_is_cut() -> None:
    """A name of a million characters, and a reason of a million lines."""
    assert in_few_words("one\n\n  two \n") == "one\n  two"
    assert len(in_few_words("x" * 1_000_000)) < 400
    assert len(in_few_words("\n".join(["x" * 200] * 1000))) < 2100
    assert len(in_few_words("x\n" * 1_000_000).splitlines()) == 21
