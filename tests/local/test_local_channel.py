"""A channel in a folder: what a user is promised of it, through ``keelback.publish`` and the command."""

from __future__ import annotations

import bz2
import errno
import functools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keelback
from cli_runner import run_keelback, start_keelback
from keelback import Status, durable
from keelback.channels import folderindex
from keelback.errors import ChannelError, UsageError
from keelback.report import Reporter
from making import make_conda, make_tar_bz2
from peers import rattler
from reading_channels import (
    INDEX,
    assert_complete,
    files,
    index_bytes,
    records,
    shard_names,
    snapshot,
    unpacked,
    wrong_records,
)

CHILD = Path(__file__).with_name("local_kills.py")


def publish(channel, *paths, **options):
    """Publish *paths* into *channel*, with one job unless said otherwise; returns what became of each file."""
    return outcomes(keelback.publish(paths, str(channel), **{"jobs": 1, **options}))


def outcomes(report):
    """From file name to status; whatever went wrong with the channel as a whole is an error here."""
    [channel] = report.channels
    assert channel.error is None, channel.error
    return {outcome.filename: outcome.status for outcome in channel.outcomes}


class Watching(Reporter):
    """A reporter that does what it is given when the run tells it something."""

    def __init__(self, **doings):
        vars(self).update(doings)


@pytest.fixture
def dist(tmp_path):
    """Four packages, in both formats, for two subdirs."""
    folder = tmp_path / "dist"
    make_conda(folder, "hull", "1.0")
    make_tar_bz2(folder, "hull", "0.9")
    make_conda(folder, "boat", subdir="linux-64", depends=["hull"])
    make_tar_bz2(folder, "oar", subdir="linux-64")
    return folder


ALL = {
    "noarch/hull-1.0-h0_0.conda",
    "noarch/hull-0.9-h0_0.tar.bz2",
    "linux-64/boat-1.0-h0_0.conda",
    "linux-64/oar-1.0-h0_0.tar.bz2",
}


# -- what becomes a channel -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["missing", "empty", "parents missing"])
def test_a_folder_that_is_missing_or_empty_becomes_a_channel(dist, tmp_path, there):
    """It is made, filled and indexed, and each form of the index tells the same."""
    channel = tmp_path / "a" / "b" if there == "parents missing" else tmp_path / "channel"
    if there == "empty":
        channel.mkdir()
    assert set(publish(channel, dist).values()) == {Status.UPLOADED}
    assert_complete(channel, ALL)


@pytest.mark.parametrize("spelling", ["path", "relative", "url"])
def test_the_folder_is_named_by_a_path_or_a_url(dist, tmp_path, monkeypatch, spelling):
    """``./channel``, ``/…/channel`` and ``file:///…/channel`` are one channel, whose URLs are ``file://`` ones."""
    monkeypatch.chdir(tmp_path)
    channel = tmp_path / "a channel"
    to = {"path": str(channel), "relative": "./a channel", "url": channel.as_uri()}[spelling]
    report = keelback.publish([dist], to)
    assert report.channels[0].channel == channel.as_uri()
    assert {outcome.url for outcome in report.channels[0].outcomes} == {f"{channel.as_uri()}/{path}" for path in ALL}
    assert_complete(channel, ALL)


def test_noarch_has_an_index_even_without_packages(tmp_path):
    """Clients take a channel without ``noarch/repodata.json`` for none at all."""
    publish(tmp_path / "channel", make_conda(tmp_path / "dist", subdir="osx-arm64"))
    assert_complete(tmp_path / "channel", {"osx-arm64/demo-1.0-h0_0.conda"})
    assert records(tmp_path / "channel", "noarch") == {}


def test_a_folder_of_something_else_is_refused_and_left_alone(dist, tmp_path):
    """A slip in ``--to`` must not strew packages over somebody's home."""
    home = tmp_path / "home"
    make_conda(home / "linux-64")
    (home / "letter.txt").write_text("Dear channel,", encoding="utf-8")
    before = snapshot(home)
    done = run_keelback(["publish", "--to", home, dist])
    assert done.returncode == 2
    assert "not a channel" in done.stderr
    assert "an empty or a new folder" in done.stderr
    assert snapshot(home) == before


@pytest.mark.parametrize(("below", "error"), [("", UsageError), ("sub", ChannelError)])
def test_a_file_is_no_folder(dist, tmp_path, below, error):
    """A file in the place of the channel, or of a folder above it, is refused and left alone."""
    file = tmp_path / "channel.txt"
    file.write_text("text", encoding="utf-8")
    with pytest.raises(error, match="file, not a folder" if error is UsageError else "Not a directory"):
        publish(file / below, dist)
    assert file.read_text(encoding="utf-8") == "text"


def test_a_dry_run_makes_nothing(dist, tmp_path):
    """It says what would be, and not even the folder is there afterwards."""
    assert set(publish(tmp_path / "channel", dist, dry_run=True).values()) == {Status.UPLOADED}
    assert not (tmp_path / "channel").exists()


# -- what is there already ------------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing(dist, tmp_path):
    """No byte and no time of any file; every outcome is ``identical``."""
    channel = tmp_path / "channel"
    publish(channel, dist)
    before = snapshot(channel)
    assert set(publish(channel, dist).values()) == {Status.IDENTICAL}
    assert snapshot(channel) == before


@pytest.mark.parametrize(
    ("options", "status"),
    [({}, Status.FAILED), ({"skip_existing": True}, Status.SKIPPED), ({"force": True}, Status.REPLACED)],
    ids=["by default", "skip-existing", "force"],
)
def test_other_bytes_of_the_same_name(tmp_path, options, status):
    """A conflict, unless the user says which to keep; either way the index is that of the file that stays."""
    channel = tmp_path / "channel"
    old = make_conda(tmp_path / "old", payload={"a": b"old"})
    new = make_conda(tmp_path / "new", payload={"a": b"new"})
    other = make_conda(tmp_path / "new", "other")
    publish(channel, old)
    assert publish(channel, tmp_path / "new", **options) == {new.name: status, other.name: Status.UPLOADED}
    assert_complete(channel, {f"noarch/{new.name}", f"noarch/{other.name}"})
    stays = new if status is Status.REPLACED else old
    assert (channel / "noarch" / new.name).read_bytes() == stays.read_bytes()


def test_a_conflict_says_what_can_be_done(tmp_path):
    """Naming the file and all three ways out."""
    publish(tmp_path / "channel", make_conda(tmp_path / "old", payload={"a": b"old"}))
    new = make_conda(tmp_path / "new", payload={"a": b"new"})
    [outcome] = keelback.publish([new], str(tmp_path / "channel")).channels[0].outcomes
    assert outcome.error.code == "conflict"
    assert f"noarch/{new.name}" in outcome.error.message
    for way in ("build number", "--skip-existing", "--force"):
        assert way in outcome.error.hint


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="cannot have both files to begin with")
def test_names_that_differ_by_case_alone(tmp_path):
    """Where the file system does not tell them apart, the second is a conflict, even with the same bytes or --force."""
    channel = tmp_path / "channel"
    publish(channel, make_conda(tmp_path / "dist", "hull"))
    publish(channel, make_conda(tmp_path / "dist", "Hull"))
    assert_complete(channel, {"noarch/hull-1.0-h0_0.conda", "noarch/Hull-1.0-h0_0.conda"})
    (channel / ".KEELBACK").mkdir()  # as such a file system would have it
    report = keelback.publish([tmp_path / "dist" / "Hull-1.0-h0_0.conda"], str(channel), force=True)
    [outcome] = report.channels[0].outcomes
    assert outcome.error.code == "conflict"
    assert "noarch/hull-1.0-h0_0.conda" in outcome.error.message


def test_verify_reads_the_index(dist, tmp_path):
    """With ``--verify`` each outcome says that the index serves the file."""
    report = keelback.publish([dist], str(tmp_path / "channel"), verify=0)
    assert [outcome.visible for outcome in report.channels[0].outcomes] == [True] * 4


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(5)), st.sets(st.integers(1, 4)))
def test_the_index_depends_on_the_files_alone(order, cuts):
    """Published in any order, over any number of runs, the same files have the same index, byte for byte."""
    with TemporaryDirectory() as folder:
        packages = five_packages()
        for number, position in enumerate(order):
            run = sum(cut <= number for cut in cuts)
            target = Path(folder, "dist", str(run))
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(packages[position], target)
        channel = Path(folder, "channel")
        for run in range(len(cuts) + 1):
            publish(channel, Path(folder, "dist", str(run)))
        assert_complete(channel)
        assert index_bytes(channel) == index_at_once()


@functools.cache
def five_packages():
    """Five packages, of three names, for two subdirs; they live as long as the process."""
    folder = Path(_room().name, "packages")
    return [
        make_conda(folder, "a", "1.0"),
        make_conda(folder, "a", "2.0"),
        make_tar_bz2(folder, "a", "1.0"),
        make_conda(folder, "b", subdir="linux-64", index={"weird": {"ü": [1.5, None, True, -(2**63), 2**64 - 1]}}),
        make_tar_bz2(folder, "c", depends=["b"]),
    ]


@functools.cache
def index_at_once():
    """The index of the five packages, published in one run."""
    channel = Path(_room().name, "channel")
    publish(channel, *five_packages())
    return index_bytes(channel)


@functools.cache
def _room():
    return TemporaryDirectory()


# -- channels that others made --------------------------------------------------------------------------------------


def test_records_of_others_stay(tmp_path):
    """Patched values, fields that keelback does not know, files that are not there, signatures: all as they were."""
    channel = tmp_path / "channel"
    there = make_conda(channel / "noarch", "hull")
    kept = {
        "hull-1.0-h0_0.conda": {"name": "hull", "depends": ["patched >=2"], **sizes(there), "indexed_timestamp": 5},
        "gone-1.0-0.conda": {"name": "gone", "sha256": "ab" * 32, "size": 10, "future": {"a": [1, 2.5]}},
        "old-1.0-0.tar.bz2": {"name": "old", "md5": "cd" * 16, "size": None},
    }
    document = {
        "info": {"subdir": "noarch", "platform": None, "arch": None, "default_python_version": "2.7"},
        "packages": {name: record for name, record in kept.items() if name.endswith(".bz2")},
        "packages.conda": {name: record for name, record in kept.items() if name.endswith(".conda")},
        "removed": ["demo-1.0-h0_0.conda", "bad-1.0-0.conda"],
        "signatures": {"hull-1.0-h0_0.conda": {"key": {"signature": "00"}}},
        "repodata_version": 1,
    }
    (channel / "noarch" / "repodata.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    publish(channel, make_conda(tmp_path / "dist"))

    for form in INDEX:
        found = records(channel, "noarch", form)
        assert found.pop("demo-1.0-h0_0.conda")["name"] == "demo"
        assert found == kept
    after = json.loads((channel / "noarch" / "repodata.json").read_bytes())
    assert after["signatures"] == document["signatures"]
    assert after["info"] == document["info"]
    assert after["removed"] == ["bad-1.0-0.conda"], "what is published again is not removed any more"


def sizes(path):
    """The fields of a record that say which bytes it is of."""
    archive = keelback.inspect(path)
    return {"size": archive.size, "md5": archive.md5, "sha256": archive.sha256}


def test_files_that_would_hide_the_new_ones_go(tmp_path):
    """Clients like conda ask for ``current_repodata.json`` first, and would not see what was published after it."""
    channel = tmp_path / "channel"
    publish(channel, make_conda(tmp_path / "first", "hull"))
    noarch = channel / "noarch"
    content = (noarch / "repodata.json").read_bytes()
    (noarch / "current_repodata.json").write_bytes(content)
    (noarch / "repodata_from_packages.json").write_bytes(content)
    (noarch / "repodata.json.bz2").write_bytes(bz2.compress(content))
    (noarch / "index.html").write_bytes(b"<!DOCTYPE html>")
    before = snapshot(channel)
    publish(channel, tmp_path / "first")
    assert snapshot(channel) == before, "as long as nothing changes, they are right"
    publish(channel, make_conda(tmp_path / "second"))
    assert {path.name for path in noarch.iterdir()} - files(channel, "noarch") == {*INDEX, "shards", "index.html"}


def test_an_index_that_another_tool_has_written_meanwhile_is_followed(dist, tmp_path):
    """If that tool wrote ``repodata.json`` alone, the next run brings the other forms up to it."""
    channel = tmp_path / "channel"
    publish(channel, dist)
    path = channel / "noarch" / "repodata.json"
    document = json.loads(path.read_bytes())
    document["packages.conda"]["hull-1.0-h0_0.conda"]["depends"] = ["patched"]
    path.write_text(json.dumps(document), encoding="utf-8")
    publish(channel, dist)
    assert records(channel)["hull-1.0-h0_0.conda"]["depends"] == ["patched"]
    assert_complete(channel, ALL)


def test_a_file_that_was_copied_in_by_hand_is_indexed(dist, tmp_path):
    """The index lists what stands in the folder; what is no package is left out of it."""
    channel = tmp_path / "channel"
    publish(channel, dist)
    make_conda(channel / "linux-64", "extra", subdir="linux-64")
    publish(channel, dist)
    assert_complete(channel, {*ALL, "linux-64/extra-1.0-h0_0.conda"})
    (channel / "noarch" / "broken-1.0-0.conda").write_bytes(b"no package")
    publish(channel, make_conda(tmp_path / "more"))
    assert "broken-1.0-0.conda" not in records(channel)
    assert wrong_records(channel) == set()


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'{"packages": []}',
        b'{"packages": {"a-1-0.tar.bz2": {"md5": "00"}}}',
        b'{"packages": {"a-1-0.tar.bz2": {"name": "a", "md5": "00"}}}',
        b'{"packages": {"a-1-0.tar.bz2": {"name": "a", "sha256": 1}}}',
        b'{"info": {"base_url": "https://cdn.example/packages"}}',
        b'{"v3": {"conda": {"a-1-0": {"name": "a"}}}}',
        b'{"repodata_version": 3}',
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_an_index_that_cannot_be_added_to_is_an_error_before_anything_happens(tmp_path, content, dry_run):
    """Whatever is in it would be lost; the error says which it is, what is wrong, and what to do."""
    channel = tmp_path / "channel"
    (channel / "linux-64").mkdir(parents=True)
    (channel / "linux-64" / "repodata.json").write_bytes(content)
    before = snapshot(channel)
    with pytest.raises(ChannelError) as caught:
        publish(channel, make_conda(tmp_path / "dist"), dry_run=dry_run)
    assert "linux-64" in caught.value.message
    assert "repodata.json" in caught.value.message
    assert caught.value.hint
    assert snapshot(channel) == before


def test_an_empty_repodata_says_nothing(tmp_path):
    """A file of no bytes is a legal ``repodata.json`` (CEP 36)."""
    (tmp_path / "channel" / "noarch").mkdir(parents=True)
    (tmp_path / "channel" / "noarch" / "repodata.json").touch()
    publish(tmp_path / "channel", make_conda(tmp_path / "dist"))
    assert_complete(tmp_path / "channel", {"noarch/demo-1.0-h0_0.conda"})


@pytest.mark.peer("py-rattler")
def test_a_channel_that_rattler_has_indexed_keeps_its_records(dist, tmp_path):
    """Each record of its own indexer stays as it is, and what is published comes to them."""
    channel = tmp_path / "channel"
    (channel / "noarch").mkdir(parents=True)
    for path in dist.glob("hull*"):
        shutil.copy(path, channel / "noarch")
    rattler.index(channel, tmp_path / "rattler")
    before = records(channel)
    publish(channel, dist)
    after = records(channel)
    assert before
    assert {name: after[name] for name in before} == before
    assert wrong_records(channel) == set()


@pytest.mark.peer("py-rattler")
def test_shards_go_by_names_in_lower_case(tmp_path):
    """That is what clients look for, and what rattler's indexer writes."""
    package = make_conda(tmp_path / "dist", "Hull")
    publish(tmp_path / "ours", package)
    (tmp_path / "theirs" / "noarch").mkdir(parents=True)
    shutil.copy(package, tmp_path / "theirs" / "noarch")
    rattler.index(tmp_path / "theirs", tmp_path / "rattler")
    assert shard_names(tmp_path / "ours") == shard_names(tmp_path / "theirs") == {"hull"}
    assert_complete(tmp_path / "ours", {f"noarch/{package.name}"})


# -- several at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 8])
def test_runs_side_by_side_lose_nothing(tmp_path, count):
    """Processes that publish different packages into one new folder at once: all are there, and all are indexed."""
    channel = tmp_path / "channel"
    for number in range(count):
        for version in ("1.0", "2.0"):
            make_conda(tmp_path / str(number), f"boat{number}", version)
            make_conda(tmp_path / str(number), "shared", f"{version}.{number}")
    runs = [start_keelback(["publish", "--to", channel, tmp_path / str(number)]) for number in range(count)]
    for run in runs:
        done = run.finish()
        assert done.returncode == 0, done.stderr
    assert_complete(channel)
    assert len(files(channel, "noarch")) == 4 * count


def test_the_same_package_by_two_at_once(tmp_path):
    """One of them places it, and to the other it is identical."""
    channel = tmp_path / "channel"
    package = make_conda(tmp_path, payload=3_000_000)
    runs = [start_keelback(["publish", "--json", "--to", channel, package]) for _ in range(2)]
    finished = [run.finish() for run in runs]
    assert [done.returncode for done in finished] == [0, 0], finished[0].stderr + finished[1].stderr
    statuses = [done.json()["channels"][0]["outcomes"][0]["status"] for done in finished]
    assert sorted(statuses) == ["identical", "uploaded"]
    assert_complete(channel, {f"noarch/{package.name}"})


def test_a_file_that_another_run_replaces_meanwhile_has_the_index_of_its_new_bytes(tmp_path):
    """What a run knows of a file that it has placed is not believed if it is not that file any more."""
    channel = tmp_path / "channel"
    old = make_conda(tmp_path / "old", payload={"a": b"old"})
    new = make_conda(tmp_path / "new", payload={"a": b"new"})

    reporter = Watching(finished=lambda _: publish(channel, new, force=True))
    assert publish(channel, old, reporter=reporter) == {old.name: Status.UPLOADED}
    assert (channel / "noarch" / new.name).read_bytes() == new.read_bytes()
    assert_complete(channel, {f"noarch/{new.name}"})


# -- killed at any moment -------------------------------------------------------------------------------------------


def killed_everywhere(before, folder, mode, *packages):
    """Channels that were left by runs killed at their first, second, ... change of the file system."""
    done = subprocess.run(
        [sys.executable, CHILD, before, folder, mode, *packages],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [folder / str(number + 1) for number in range(int(done.stdout))]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")
@pytest.mark.parametrize("start", ["nothing", "a channel"])
def test_a_killed_run_leaves_a_channel_that_the_next_one_completes(dist, tmp_path, start):
    """At every moment all that an index names is there, with the right hash; afterwards nothing of it is left over."""
    before = tmp_path / "before"
    expected = set(ALL)
    if start == "a channel":
        publish(before, make_conda(tmp_path / "first", "hull", "0.1"))
        expected.add("noarch/hull-0.1-h0_0.conda")
    killed = killed_everywhere(before, tmp_path / "killed", "plain", dist)
    assert len(killed) > 30
    for channel in killed:
        if channel.exists():
            assert wrong_records(channel) == set(), channel
        publish(channel, dist)
        assert_complete(channel, expected)
    wanted = index_bytes(killed[0])
    assert all(index_bytes(channel) == wanted for channel in killed)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")
def test_a_run_that_is_killed_while_it_replaces_a_file(tmp_path):
    """The old index over the new file is met between a few renames only, concerns that file only, and is mended."""
    before = tmp_path / "before"
    old = make_conda(tmp_path / "old", payload={"a": b"old"})
    new = make_conda(tmp_path / "new", payload={"a": b"new"})
    assert old.stat().st_size == new.stat().st_size, "so that the size does not tell them apart"
    make_conda(tmp_path / "new", "other")
    publish(before, tmp_path / "old")
    moments = []
    for moment, channel in enumerate(killed_everywhere(before, tmp_path / "killed", "force", tmp_path / "new")):
        wrong = wrong_records(channel)
        assert wrong <= {f"noarch/{new.name}"}
        if wrong:
            moments.append(moment)
        publish(channel, make_conda(tmp_path / "third", "third"))
        assert wrong_records(channel) == set(), "any run mends it, not only one with that file"
        publish(channel, tmp_path / "new", force=True)
        assert_complete(channel, {f"noarch/{name}-1.0-h0_0.conda" for name in ("demo", "other", "third")})
    assert moments == list(range(moments[0], moments[0] + len(INDEX))), "before the rename of each form of the index"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[" * 100_000,
        "[1]",
        '{"noarch/demo-1.0-0.conda": 1}',
        '"noarch/demo-1.0-0.conda"',
        '["../demo-1.0-0.conda"]',
        '["noarch/../../demo-1.0-0.conda"]',
        '["precious/demo-1.0-0.conda"]',
        '["noarch/repodata.json"]',
        '["noarch"]',
    ],
    ids=lambda content: content[:40],
)
def test_a_journal_that_somebody_has_edited_is_an_error(dist, tmp_path, content):
    """It says which file to remove; nothing is written, least of all outside of the channel."""
    channel = tmp_path / "deep" / "channel"
    publish(channel, dist)
    (channel / ".keelback" / "replacing.json").write_text(content, encoding="utf-8")
    before = snapshot(channel)
    report = keelback.publish([dist], str(channel))
    with pytest.raises(ChannelError) as caught:
        keelback.index(channel)
    for error in (report.channels[0].error, caught.value):
        assert (error.code, "replacing.json" in error.message) == ("bad-index", True)
        assert error.hint.startswith("Remove it")
    assert snapshot(channel) == before
    assert [path.name for path in channel.parent.iterdir()] == ["channel"]


def test_what_dead_runs_left_is_cleared_away_and_what_runs_hold_is_not(dist, tmp_path):
    """A working folder in ``.keelback`` belongs to whoever holds its lock."""
    channel = tmp_path / "channel"
    dead = channel / ".keelback" / "dead"
    dead.mkdir(parents=True)
    (dead / "half").write_bytes(b"half a package")
    (channel / ".keelback" / "older.lock").touch()

    reporter = Watching(started=lambda _: publish(channel, make_conda(tmp_path / "other", "other")))
    assert set(publish(channel, dist, reporter=reporter).values()) == {Status.UPLOADED}
    assert_complete(channel, {*ALL, "noarch/other-1.0-h0_0.conda"})


# -- shards that nobody names any more ------------------------------------------------------------------------------


def test_a_reader_with_the_index_of_before_still_finds_its_shards(tmp_path):
    """A shard stays for a day from when the last index dropped it, however old it is itself; then it goes."""
    channel = tmp_path / "channel"
    shards = channel / "noarch" / "shards"
    publish(channel, make_conda(tmp_path / "dist", "hull", "1.0"))
    [first] = shards.iterdir()
    age(first, days=30)
    publish(channel, make_conda(tmp_path / "dist", "hull", "2.0"))
    publish(channel, make_conda(tmp_path / "dist", "hull", "3.0"))
    assert len(list(shards.iterdir())) == 3
    age(first, days=2)
    (shards / "notes.txt").touch()
    age(shards / "notes.txt", days=2)
    publish(channel, make_conda(tmp_path / "dist", "hull", "4.0"))
    assert not first.exists()
    assert len(list(shards.glob("*.zst"))) == 3
    assert (shards / "notes.txt").exists()
    assert_complete(channel)


def test_a_shard_that_is_named_stays_whatever_its_age(dist, tmp_path):
    """Most packages of a channel are older than any grace."""
    channel = tmp_path / "channel"
    publish(channel, dist)
    for path in channel.rglob("*.zst"):
        age(path, days=1000)
    publish(channel, make_conda(tmp_path / "more"))
    assert_complete(channel, {*ALL, "noarch/demo-1.0-h0_0.conda"})


def age(path, *, days):
    """Make *path* look *days* old."""
    then = time.time() - days * 86400
    os.utime(path, (then, then))


# -- disks and files that fail --------------------------------------------------------------------------------------


def failing(number, code, function):
    """*function*, which at its call of that *number* fails with the error *code*."""
    calls = iter(range(1, 1_000_000))

    def patched(*args, **options):
        if next(calls) == number:
            raise OSError(code, os.strerror(code))
        return function(*args, **options)

    return patched


class Windows:
    """A system that refuses to replace or remove *path* while somebody reads it: for that many tries.

    Attributes:
        pauses: the seconds that were waited between them.
    """

    def __init__(self, monkeypatch, path, tries):
        self.pauses = []
        self._path = path
        self._tries = tries
        monkeypatch.setattr(durable, "_READERS_BLOCK", True)
        monkeypatch.setattr(durable, "time", SimpleNamespace(sleep=self.pauses.append))
        for name in ("replace", "unlink"):
            monkeypatch.setattr(Path, name, self._refusing(getattr(Path, name)))

    def _refusing(self, function):
        def patched(source, *args, **options):
            if self._path in (source, *args) and self._tries:
                self._tries -= 1
                raise PermissionError(errno.EACCES, "The process cannot access the file", str(source))
            return function(source, *args, **options)

        return patched


@pytest.mark.parametrize("name", [*INDEX, "current_repodata.json", "demo-1.0-h0_0.conda"])
@pytest.mark.parametrize("tries", [1, 5])
def test_what_a_reader_on_windows_holds_open_is_replaced_when_it_is_closed(tmp_path, monkeypatch, name, tries):
    """Each file that is exchanged; the run waits a little longer each time."""
    channel = tmp_path / "channel"
    publish(channel, make_conda(tmp_path / "old", payload={"a": b"old"}))
    (channel / "noarch" / "current_repodata.json").write_bytes(b"{}")
    new = make_conda(tmp_path / "new", payload={"a": b"new"})
    windows = Windows(monkeypatch, channel / "noarch" / name, tries)
    assert publish(channel, new, force=True) == {new.name: Status.REPLACED}
    assert len(windows.pauses) == tries
    assert windows.pauses == sorted(windows.pauses)
    assert_complete(channel, {f"noarch/{new.name}"})


@pytest.mark.parametrize("name", [*INDEX, "current_repodata.json"])
def test_what_a_reader_on_windows_never_closes_is_an_error(tmp_path, monkeypatch, name):
    """After some seconds; it says which file, and what to do, and then the next run does what is left."""
    channel = tmp_path / "channel"
    publish(channel, make_conda(tmp_path / "old", "old"))
    (channel / "noarch" / "current_repodata.json").write_bytes(b"{}")
    new = make_conda(tmp_path / "new", "new")
    with monkeypatch.context() as patch:
        windows = Windows(patch, channel / "noarch" / name, 1_000_000)
        report = keelback.publish([new], str(channel))
    assert 3 < sum(windows.pauses) < 10
    assert report.exit_status == keelback.ExitStatus.FAILED
    assert f"{channel / 'noarch' / name} cannot be replaced" in report.channels[0].error.message
    assert "run it again" in report.channels[0].error.hint
    assert wrong_records(channel) == set()
    assert publish(channel, new) == {new.name: Status.IDENTICAL}
    assert_complete(channel, {"noarch/old-1.0-h0_0.conda", f"noarch/{new.name}"})
    assert not (channel / "noarch" / "current_repodata.json").exists()


def test_a_name_that_may_not_be_given_is_not_waited_for_elsewhere(tmp_path, monkeypatch):
    """On other systems nobody blocks a rename by reading: what is refused once is refused."""
    pauses = []
    monkeypatch.setattr(durable, "_READERS_BLOCK", False)
    monkeypatch.setattr(durable, "time", SimpleNamespace(sleep=pauses.append))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing(1, errno.EACCES, Path.replace))
        report = keelback.publish([make_conda(tmp_path)], str(tmp_path / "channel"))
    assert report.channels[0].outcomes[0].error.code == "disk"
    assert pauses == []


def test_a_full_disk_fails_one_file_and_the_others_go(dist, tmp_path, monkeypatch):
    """The error says where, how much is free, and what to do; the next run does what is left."""
    channel = tmp_path / "channel"
    publish(channel, make_conda(tmp_path / "first"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(3, errno.ENOSPC, os.fsync))
        report = keelback.publish([dist], str(channel), jobs=1)
    [failed] = [outcome for outcome in report.channels[0].outcomes if outcome.error]
    assert failed.status is Status.FAILED
    assert failed.error.code == "disk-full"
    assert str(channel) in failed.error.message
    assert "bytes free" in failed.error.message
    assert "Make room" in failed.error.hint
    assert_complete(channel, {"noarch/demo-1.0-h0_0.conda", *ALL} - {f"{failed.subdir}/{failed.filename}"})
    again = publish(channel, dist)
    assert again.pop(failed.filename) is Status.UPLOADED
    assert set(again.values()) == {Status.IDENTICAL}
    assert_complete(channel, {"noarch/demo-1.0-h0_0.conda", *ALL})


def test_a_disk_that_is_too_full_for_the_index(dist, tmp_path, monkeypatch):
    """The channel stays as it was to its readers, the report says so, and the next run completes it."""
    channel = tmp_path / "channel"
    publish(channel, make_conda(tmp_path / "first"))
    before = index_bytes(channel)
    with monkeypatch.context() as patch:
        patch.setattr(folderindex, "write_synced", failing(3, errno.ENOSPC, folderindex.write_synced))
        report = keelback.publish([dist], str(channel), jobs=1)
    assert report.exit_status == keelback.ExitStatus.FAILED
    assert report.channels[0].error.code == "disk-full"
    assert {name: content for name, content in written_index(channel).items() if name in before} == before
    assert set(publish(channel, dist).values()) == {Status.IDENTICAL}
    assert_complete(channel, {"noarch/demo-1.0-h0_0.conda", *ALL})


def written_index(channel):
    """The bytes of whatever forms of the index are there."""
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in channel.glob("*/repodata*")}


def test_a_folder_that_may_not_be_written_is_refused_before_anything_is_sent(dist, tmp_path, monkeypatch):
    """Also before anything goes to another channel of the same run."""
    channel, other = tmp_path / "channel", tmp_path / "other"
    channel.mkdir()
    writable = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != channel and writable(path, mode))
    with pytest.raises(ChannelError) as caught:
        keelback.publish([dist], [str(other), str(channel / "new")])
    assert "Permission denied" in caught.value.message
    assert "another folder" in caught.value.hint
    assert list(channel.iterdir()) == []
    assert not other.exists()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_turns_out_not_to_be_writable(dist, tmp_path, monkeypatch, code):
    """Some systems do not say it beforehand: then nothing was attempted, and the report says why."""
    monkeypatch.setattr(Path, "mkdir", failing(1, code, Path.mkdir))
    report = keelback.publish([dist], str(tmp_path / "channel"))
    assert report.exit_status == keelback.ExitStatus.FAILED
    assert os.strerror(code) in report.channels[0].error.message
    assert "another folder" in report.channels[0].error.hint
    assert {outcome.status for outcome in report.channels[0].outcomes} == {Status.NOT_ATTEMPTED}


@pytest.mark.parametrize("what", ["changes", "vanishes", "grows shorter"])
def test_a_package_that_changes_while_it_is_copied_fails_alone(dist, tmp_path, what):
    """Nothing of it is in the channel; the others are."""
    moving = make_conda(tmp_path / "moving", payload=3_000_000)

    def change(archive, _):
        if archive.path != moving:
            return
        if what == "vanishes":
            moving.unlink(missing_ok=True)
        elif what == "changes":
            moving.write_bytes(random.Random(0).randbytes(archive.size))
        else:
            os.truncate(moving, 1_100_000)

    report = keelback.publish([dist, moving], str(tmp_path / "channel"), reporter=Watching(sent=change), jobs=1)
    [failed] = [outcome for outcome in report.channels[0].outcomes if outcome.status is not Status.UPLOADED]
    assert failed.filename == moving.name
    assert failed.error.code == "source-changed"
    assert failed.error.hint
    assert_complete(tmp_path / "channel", ALL)


def test_a_channel_that_vanishes_during_the_run(dist, tmp_path):
    """What cannot go there any more has failed, and says why; the next run makes the channel anew."""
    channel = tmp_path / "channel"
    reporter = Watching(finished=lambda _: shutil.rmtree(channel, ignore_errors=True))
    report = keelback.publish([dist], str(channel), reporter=reporter, jobs=1)
    assert report.exit_status == keelback.ExitStatus.FAILED
    assert [outcome.error.code for outcome in report.channels[0].outcomes if outcome.error] == ["disk"] * 3
    publish(channel, dist)
    assert_complete(channel, ALL)


# -- what is in the index -------------------------------------------------------------------------------------------


def test_a_record_is_index_json_with_subdir_size_and_hashes(tmp_path):
    """Every field of index.json is kept, whatever it is; those of the file are right, whatever index.json says."""
    index = {"subdir": "linux-64", "size": 1, "md5": "x", "sha256": None, "extra": {"deep": [1, 2.5, "ü", None]}}
    package = make_conda(tmp_path, index=index)
    publish(tmp_path / "channel", package)
    archive = keelback.inspect(package)
    assert records(tmp_path / "channel", "linux-64")[package.name] == {**archive.index, **sizes(package)}
    assert_complete(tmp_path / "channel", {f"linux-64/{package.name}"})


def test_a_package_without_subdir_has_one_in_its_record(tmp_path):
    """Old packages are put where their platform says, and the record says so, too."""
    package = make_tar_bz2(tmp_path, index={"subdir": None, "noarch": None, "platform": "linux", "arch": "x86_64"})
    publish(tmp_path / "channel", package)
    assert records(tmp_path / "channel", "linux-64")[package.name]["subdir"] == "linux-64"


def test_the_compressed_index_is_the_plain_one(dist, tmp_path):
    """Byte for byte."""
    publish(tmp_path / "channel", dist)
    folder = tmp_path / "channel" / "noarch"
    assert unpacked((folder / "repodata.json.zst").read_bytes()) == (folder / "repodata.json").read_bytes()
