"""``keelback index`` on a channel in a folder: what a user is promised, through the command and ``keelback.index``."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keelback
from in_process import run_here
from keelback.errors import ChannelError, UsageError
from making import make_conda, make_tar_bz2
from reading_channels import (
    INDEX,
    assert_complete,
    files,
    from_document,
    index_bytes,
    records,
    snapshot,
    wrong_records,
)

CHILD = Path(__file__).with_name("index_kills.py")
PATCH = {
    "patch_instructions_version": 1,
    "packages": {},
    "packages.conda": {"hull-1.1-h0_0.conda": {"depends": ["oar >=1"], "license": None, "constrains": ["raft <2"]}},
    "remove": [],
    "revoke": [],
}


@pytest.fixture
def index(tmp_path):
    """``index(CHANNEL, *OPTIONS)``: the command, run to its end."""
    home = tmp_path / "home"
    home.mkdir()

    def run(channel, *options, status=0):
        done = run_here(["index", channel, *options], home=home)
        assert done.returncode == status, done.stderr
        return done

    return run


@pytest.fixture
def channel(tmp_path):
    """Packages of both formats in the folders of two subdirs, without any index."""
    folder = tmp_path / "channel"
    make_conda(folder / "noarch", "hull", "1.0")
    make_conda(folder / "noarch", "hull", "1.1", depends=["oar"])
    make_tar_bz2(folder / "noarch", "hull", "1.1")
    make_tar_bz2(folder / "noarch", "oar", "1.0")
    make_conda(folder / "linux-64", "boat", "1.0", subdir="linux-64")
    return folder


def told(done, subdir="noarch"):
    """What ``--json`` says of a subdir: those of its members that say something."""
    document = done.json()
    assert document["version"] == 1
    [change] = [change for change in document["subdirs"] if change["subdir"] == subdir]
    return {name: value for name, value in change.items() if value and name not in ("subdir", "total")}


def document(channel, name="repodata.json", subdir="noarch"):
    """A file of the index that is JSON."""
    return json.loads((channel / subdir / name).read_bytes())


# -- the index and the files ----------------------------------------------------------------------------------------


def test_a_folder_of_packages_becomes_a_channel(channel, index):
    """Each form of the index lists exactly what is there, as if it had been published."""
    done = index(channel, "--json")
    assert told(done)["added"] == sorted(files(channel, "noarch"))
    assert told(done, "linux-64") == {"added": ["boat-1.0-h0_0.conda"]}
    assert_complete(channel)
    published = channel.with_name("published")
    keelback.publish([channel / "noarch", channel / "linux-64"], published)
    assert index_bytes(channel) == index_bytes(published)


def test_an_empty_folder_becomes_a_channel_without_packages(tmp_path, index):
    """With ``noarch/repodata.json``, without which clients take it for no channel."""
    (tmp_path / "channel").mkdir()
    index(tmp_path / "channel")
    assert_complete(tmp_path / "channel", set())
    assert records(tmp_path / "channel") == {}


def test_a_second_run_changes_nothing(channel, index):
    """No byte and no time of any file, and it says so."""
    index(channel)
    before = snapshot(channel)
    assert "unchanged; 4 listed" in index(channel).stdout
    assert snapshot(channel) == before


def test_what_is_new_is_listed_and_what_is_gone_is_not(channel, index):
    """A reader never gets an index that names a missing file, whoever removed that."""
    index(channel)
    make_conda(channel / "noarch", "new")
    (channel / "noarch" / "hull-1.0-h0_0.conda").unlink()
    assert told(index(channel, "--json")) == {"added": ["new-1.0-h0_0.conda"], "missing": ["hull-1.0-h0_0.conda"]}
    assert_complete(channel)
    assert document(channel)["removed"] == [], "nobody has removed it from the index on purpose"


def test_what_is_known_and_has_not_changed_is_not_read(channel, index):
    """Other bytes of the same size and of an older date are only found by ``--rebuild``, which reads everything."""
    index(channel)
    file = channel / "noarch" / "hull-1.0-h0_0.conda"
    content = file.read_bytes()
    file.write_bytes(bytes(len(content)))
    os.utime(file, (0, 0))
    assert told(index(channel, "--json")) == {}
    done = index(channel, "--json", "--rebuild", status=1)
    assert told(done) == {"missing": [file.name]}
    [finding] = done.json()["findings"]
    assert finding["file"] == str(file)
    file.write_bytes(content)
    assert told(index(channel, "--json")) == {"added": [file.name]}


def test_a_file_that_is_newer_than_the_index_is_read_again(channel, tmp_path, index):
    """Somebody has copied another build over it, which happens to have the same size."""
    old = make_conda(channel / "noarch", payload={"a": b"old"})
    index(channel)
    new = make_conda(tmp_path / "new", payload={"a": b"new"})
    assert old.stat().st_size == new.stat().st_size
    shutil.copy(new, old)
    later = (channel / "noarch" / "repodata.json").stat().st_mtime + 1
    os.utime(old, (later, later))
    assert told(index(channel, "--json")) == {"changed": [old.name]}
    assert_complete(channel)


@pytest.mark.parametrize("seconds", [0, 5])
def test_what_another_tool_has_overwritten_is_read_by_the_next_publish(channel, tmp_path, index, seconds):
    """The index gets a new time with that, after which nothing would tell that the file is newer than its record."""
    old = make_conda(channel / "noarch", payload={"a": b"old"})
    index(channel)
    new = make_conda(tmp_path / "new", payload={"a": b"new"})
    assert old.stat().st_size == new.stat().st_size
    shutil.copy(new, old)
    made = old.stat().st_mtime - 60
    os.utime(channel / "noarch" / "repodata.json", (made, made))
    os.utime(old, (made + seconds, made + seconds))
    keelback.publish(make_conda(tmp_path / "other", "other"), channel)
    assert_complete(channel)


def test_a_file_of_the_same_moment_as_the_index_is_read_again(channel, tmp_path, index):
    """Some file systems keep times in whole seconds: it may have come after the index."""
    old = make_conda(channel / "noarch", payload={"a": b"old"})
    index(channel)
    shutil.copy(make_conda(tmp_path / "new", payload={"a": b"new"}), old)
    for path in (old, channel / "noarch" / "repodata.json"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert told(index(channel, "--json")) == {"changed": [old.name]}


def test_what_is_no_package_is_said_and_left_out(channel, index):
    """The others are listed, and the exit status says that something is wrong."""
    (channel / "noarch" / "broken-1.0-0.conda").write_bytes(b"no package")
    make_conda(channel / "linux-64", "astray", subdir="osx-64")
    done = index(channel, status=1)
    assert "broken-1.0-0.conda: is not a .conda" in done.stderr
    assert "astray-1.0-h0_0.conda" in done.stderr
    assert "osx-64" in done.stderr
    assert records(channel).keys() == files(channel, "noarch") - {"broken-1.0-0.conda"}
    assert records(channel, "linux-64").keys() == {"boat-1.0-h0_0.conda"}


@pytest.mark.parametrize("moment", ["opened", "hashed"])
def test_what_could_not_be_read_stays_listed(channel, index, monkeypatch, moment):
    """It may well be a package: only bytes that are none leave the index."""
    index(channel)
    make_conda(channel / "noarch", "new")
    real = Path.open

    def failing(path, *args, **options):
        if path.name == "hull-1.0-h0_0.conda" and ("buffering" in options) == (moment == "hashed"):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        done = index(channel, "--rebuild", status=1)
    assert f"error: {channel / 'noarch' / 'hull-1.0-h0_0.conda'}: " in done.stderr
    assert "Input/output error" in done.stderr
    assert records(channel).keys() == files(channel, "noarch")
    assert_complete(channel)


def test_a_dry_run_says_what_would_be_and_writes_nothing(channel, tmp_path, index):
    """Not even the folder that keelback works in."""
    patch = tmp_path / "patch.json"
    patch.write_text(json.dumps(PATCH), encoding="utf-8")
    options = ["--json", "--remove", "oar", "--patch", patch, "--subdir", "noarch"]
    before = snapshot(channel)
    would = index(channel, *options, "--dry-run").json()
    assert snapshot(channel) == before
    assert not (channel / ".keelback").exists()
    assert would.pop("dry_run") is True
    assert would == {name: value for name, value in index(channel, *options).json().items() if name != "dry_run"}


def test_only_the_subdirs_that_are_named_are_looked_at(channel, index):
    """And noarch, without which there is no channel."""
    index(channel)
    for subdir in ("noarch", "linux-64", "osx-64"):
        make_conda(channel / subdir, "new", subdir=subdir)
    done = index(channel, "--json", "--subdir", "linux-64")
    assert told(done) == told(done, "linux-64") == {"added": ["new-1.0-h0_0.conda"]}
    assert not (channel / "osx-64" / "repodata.json").exists()


def test_only_the_subdirs_that_are_named_are_changed(channel, tmp_path, index):
    """Nothing is removed, deleted or restored in noarch, of which only the index is brought up to the files."""
    make_conda(channel / "noarch", "boat")
    index(channel)
    done = index(channel, "--json", "--subdir", "linux-64", "--remove", "boat", "--delete-files")
    assert told(done, "linux-64") == {"removed": ["boat-1.0-h0_0.conda"], "deleted": ["boat-1.0-h0_0.conda"]}
    assert told(done) == {}
    assert records(channel).keys() == files(channel, "noarch")
    index(channel, "--remove", "noarch/boat-1.0-h0_0.conda")
    for options in (["--remove", "hull"], ["--restore", "noarch/boat-1.0-h0_0.conda"]):
        error = index(channel, "--json", "--subdir", "linux-64", *options, status=1).json()["error"]
        assert error["code"] == "no-such-package"


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path, index, options):
    """A slip must not strew an index over somebody's home; a folder that is missing is no channel, either."""
    home = tmp_path / "letters"
    home.mkdir()
    (home / "letter.txt").write_text("Dear channel,", encoding="utf-8")
    assert "not a channel" in index(home, *options, status=2).stderr
    assert "there is no folder" in index(tmp_path / "missing", *options, status=2).stderr
    assert [path.name for path in home.iterdir()] == ["letter.txt"]


def test_what_a_server_indexes_is_refused(index):
    """Before anything is asked of it."""
    assert "indexed by its server" in index("https://prefix.dev/my-channel", status=2).stderr


# -- removing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "removed"),
    [
        ("hull-1.1-h0_0.tar.bz2", {"hull-1.1-h0_0.tar.bz2"}),
        ("noarch/hull-1.1-h0_0.conda", {"hull-1.1-h0_0.conda"}),
        ("hull >=1.1", {"hull-1.1-h0_0.conda", "hull-1.1-h0_0.tar.bz2"}),
        ("hull", {"hull-1.0-h0_0.conda", "hull-1.1-h0_0.conda", "hull-1.1-h0_0.tar.bz2"}),
        ("hull[build=h0_0,version='1.0']", {"hull-1.0-h0_0.conda"}),
    ],
)
def test_what_is_removed_is_not_listed_and_its_record_is_kept(channel, index, named, removed):
    """By file, exactly that one; by spec, all that match. The files stay, and restoring is as if nothing had been."""
    index(channel)
    before, there = index_bytes(channel), files(channel, "noarch")
    kept = records(channel)
    assert told(index(channel, "--json", "--remove", named)) == {"removed": sorted(removed)}
    for form in INDEX:
        assert records(channel, "noarch", form).keys() == there - removed
    assert document(channel)["removed"] == sorted(removed)
    assert from_document(document(channel, "repodata_from_packages.json"), "noarch") == kept
    assert files(channel, "noarch") == there
    assert told(index(channel, "--json", "--restore", named)) == {"added": sorted(removed)}
    assert index_bytes(channel) == before
    assert_complete(channel)


def test_what_is_removed_stays_removed_until_it_is_restored(channel, tmp_path, index):
    """Through publishing other packages and its own bytes, which is said once, indexing and rebuilding."""
    index(channel)
    name = "hull-1.1-h0_0.conda"
    index(channel, "--remove", name)
    keelback.publish(make_conda(tmp_path / "other", "other"), channel)
    for options in ([], ["--rebuild"]):
        index(channel, *options)
        assert name not in records(channel)
        assert document(channel)["removed"] == [name]
    again = make_conda(tmp_path / "again", "hull", "1.1", depends=["oar"])
    done = run_here(["publish", again, tmp_path / "other" / "other-1.0-h0_0.conda", "--to", channel], home=tmp_path)
    assert "2 identical" in done.stdout
    assert done.stderr.count(f"noarch/{name}: removed from the index, and not listed again") == 1
    assert f"keelback index {channel} --restore noarch/{name}" in done.stderr
    assert name not in records(channel)
    index(channel, "--restore", f"noarch/{name}")
    assert_complete(channel)


@pytest.mark.parametrize("how", ["replaced", "deleted-before", "uploaded-after-deleting"])
def test_other_bytes_of_what_was_removed_are_listed(channel, tmp_path, index, how):
    """They are another package; and who had the file deleted, and publishes it, wants it back."""
    index(channel)
    name = "hull-1.1-h0_0.conda"
    index(channel, "--remove", name, *([] if how == "replaced" else ["--delete-files"]))
    payload = None if how == "uploaded-after-deleting" else {"new": b"bytes"}
    new = make_conda(tmp_path / "new", "hull", "1.1", depends=["oar"], **({"payload": payload} if payload else {}))
    report = keelback.publish(new, channel, force=True)
    assert [str(outcome.status) for outcome in report.outcomes] == ["replaced" if how == "replaced" else "uploaded"]
    assert name in records(channel)
    assert_complete(channel)


def test_what_is_revoked_stays_so_when_the_same_bytes_are_published(channel, tmp_path, index):
    """A mirror that copies it again undoes nothing."""
    index(channel, "--patch", patch_file(tmp_path / "patch", {**PATCH, "revoke": ["oar-1.0-h0_0.tar.bz2"]}))
    report = keelback.publish(make_tar_bz2(tmp_path / "again", "oar", "1.0"), channel)
    assert [outcome.status for outcome in report.outcomes] == [keelback.Status.IDENTICAL]
    assert records(channel)["oar-1.0-h0_0.tar.bz2"]["revoked"] is True


def test_what_another_tool_has_removed_stays_removed(channel, tmp_path, index):
    """The file stands there, and the index says that it is removed; it is listed again where somebody says so."""
    index(channel)
    name = "hull-1.1-h0_0.conda"
    path = channel / "noarch" / "repodata.json"
    content = document(channel)
    del content["packages.conda"][name]
    content["removed"] = [name]
    path.write_text(json.dumps(content), encoding="utf-8")
    keelback.publish(make_conda(tmp_path / "other", "other"), channel)
    assert told(index(channel, "--json", "--rebuild")) == {}
    assert name not in records(channel)
    assert told(index(channel, "--json", "--restore", name)) == {"added": [name]}
    assert_complete(channel)


def test_files_are_deleted_on_request_once_no_index_names_them(channel, index):
    """With what is beside them; their records are kept, and nothing can bring them back but publishing them."""
    index(channel)
    name = "hull-1.1-h0_0.conda"
    for beside in (f"{name}.sigs", f"{name}.sigs.{'0' * 64}", "hull-1.1-h0_0.conda2.sigs"):
        (channel / "noarch" / beside).write_bytes(b"[]")
    assert told(index(channel, "--json", "--remove", name, "--delete-files")) == {"removed": [name], "deleted": [name]}
    assert [path.name for path in (channel / "noarch").glob("*.sigs*")] == ["hull-1.1-h0_0.conda2.sigs"]
    assert name not in files(channel, "noarch")
    assert wrong_records(channel) == set()
    assert name in from_document(document(channel, "repodata_from_packages.json"), "noarch")
    before = snapshot(channel)
    error = index(channel, "--json", "--restore", name, status=1).json()["error"]
    assert error["code"] == "no-such-package"
    assert ("its file is gone" in error["message"], error["hint"]) == (True, "Publish it again.")
    assert snapshot(channel) == before


@pytest.mark.parametrize("where", ["listed", "removed", "patched"])
def test_a_name_that_no_archive_can_have_leads_to_no_other_file(channel, tmp_path, index, where):
    """Whoever could write an index once: with it, nobody deletes what is not in the subdir's own folder."""
    index(channel)
    precious = tmp_path / "precious.txt"
    precious.write_text("precious", encoding="utf-8")
    (channel / "noarch" / "hull-1-x").mkdir()
    name = "hull-1-x/../../../precious.txt"
    assert (channel / "noarch" / name).samefile(precious)
    content = document(channel)
    record = {"name": "hull", "version": "1", "build": "x", "build_number": 0, "depends": [], "size": 8}
    if where == "removed":
        content["removed"] = [name]
    else:
        content["packages"][name] = record
    (channel / "noarch" / "repodata.json").write_text(json.dumps(content), encoding="utf-8")
    if where == "patched":
        (channel / "noarch" / "repodata_from_packages.json").write_text(json.dumps(content), encoding="utf-8")
        patch_file(channel, {"packages": {name: {"license": "MIT"}}, "remove": [name], "revoke": [name]})
    hulls = sorted(name for name in files(channel, "noarch") if name.startswith("hull"))
    for options in (["--dry-run"], []):
        done = index(channel, "--json", "--remove", "hull", "--delete-files", *options)
        assert (told(done)["deleted"], precious.exists()) == (hulls, True)
    for path in (channel / "noarch").glob("*.json"):
        assert "precious" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--remove", "--restore"])
@pytest.mark.parametrize("named", ["raft", "hull >=7", "linux-64/hull-1.0-h0_0.conda", "hull-7-0.conda"])
def test_naming_what_is_not_there_is_an_error_and_changes_nothing(channel, index, option, named):
    """A slip must not look like a success; of several, what is there is left alone, too; and is named."""
    index(channel)
    before = snapshot(channel)
    error = index(channel, "--json", "--remove", "oar", option, named, status=1).json()["error"]
    assert error["code"] == "no-such-package"
    assert named in error["message"]
    assert error["hint"] == (
        "The channel has hull 1.1 and 1.0." if "hull" in named else "Check the spelling; it may be in another subdir."
    )
    assert snapshot(channel) == before


def test_removing_and_restoring_the_same_is_refused(channel, index):
    """By whichever words both mean it; nothing is changed."""
    index(channel)
    index(channel, "--remove", "oar")
    before = snapshot(channel)
    for removed, restored in [("oar", "oar"), ("oar >=1", "noarch/oar-1.0-h0_0.tar.bz2")]:
        done = index(channel, "--remove", removed, "--restore", restored, status=2)
        assert "noarch/oar-1.0-h0_0.tar.bz2 cannot be both removed and restored" in done.stderr
    assert snapshot(channel) == before


def test_deleting_needs_a_name(channel, index):
    """Nothing is deleted because an option was forgotten."""
    assert "--remove" in index(channel, "--delete-files", status=2).stderr


# -- patches --------------------------------------------------------------------------------------------------------


def patch_file(folder, instructions):
    """A file with *instructions*, in the folder of the subdir that they are for."""
    (folder / "noarch").mkdir(parents=True, exist_ok=True)
    path = folder / "noarch" / "patch_instructions.json"
    path.write_text(json.dumps(instructions), encoding="utf-8")
    return path


def as_file(folder):
    """The patch as a file."""
    return patch_file(folder, PATCH)


def as_folder(folder):
    """The patch as a folder with one file a subdir."""
    return patch_file(folder, PATCH).parent.parent


def as_conda(folder):
    """The patch as conda-forge distributes its own."""
    payload = {"noarch/patch_instructions.json": json.dumps(PATCH).encode(), "noarch/other.json": b"{}"}
    return make_conda(folder, "repodata-patches", payload=payload)


def as_tar_bz2(folder):
    """The same in the older format."""
    payload = {"noarch/patch_instructions.json": json.dumps(PATCH).encode()}
    return make_tar_bz2(folder, "repodata-patches", payload=payload)


def test_restoring_what_is_listed_changes_nothing(channel, index):
    """So that the same command can be run again."""
    index(channel, "--remove", "hull <1.1")
    index(channel, "--restore", "hull <1.1")
    before = snapshot(channel)
    assert told(index(channel, "--json", "--restore", "hull <1.1")) == {}
    assert snapshot(channel) == before


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_no_subdir_is_made_for_nothing(channel, index, options):
    """One that is named and not there is a slip, unless it is to get patches."""
    index(channel)
    done = index(channel, "--subdir", "osx-64", *options, status=2)
    assert "has no osx-64" in done.stderr
    assert "It has linux-64, noarch." in done.stderr
    assert not (channel / "osx-64").exists()


@pytest.mark.parametrize("kept_as", [as_file, as_folder, as_conda, as_tar_bz2])
def test_a_patch_changes_what_the_index_says(channel, tmp_path, index, kept_as):
    """In each form of it; what the packages say themselves is kept beside it."""
    index(channel)
    unpatched = records(channel)
    name = "hull-1.1-h0_0.conda"
    done = index(channel, "--json", "--patch", kept_as(tmp_path / "patch"))
    assert told(done) == {"changed": [name], "patched": [name]}
    expected = {**unpatched[name], "depends": ["oar >=1"], "constrains": ["raft <2"]}
    del expected["license"]
    for form in INDEX:
        assert records(channel, "noarch", form) == {**unpatched, name: expected}
    assert from_document(document(channel, "repodata_from_packages.json"), "noarch") == unpatched
    assert wrong_records(channel) == set()


def test_a_patch_for_names_without_a_package_says_so(channel, tmp_path, index):
    """As after a slip of the pen; the instructions are kept for what may come."""
    names = {"sail-1.0-h0_0.conda": {"depends": []}, **PATCH["packages.conda"]}
    patch = patch_file(tmp_path / "patch", {**PATCH, "packages.conda": names, "remove": ["mast-1.0-h0_0.conda"]})
    done = index(channel, "--patch", patch)
    assert "2 names in the patches have no package yet" in done.stdout
    document = index(channel, "--patch", patch, "--json").json()
    assert [change["unmatched"] for change in document["subdirs"]] == [0, 2]
    assert "no package yet" not in index(channel).stdout


def test_a_patch_of_what_is_removed_says_so(channel, tmp_path, index):
    """It is kept for when that is restored; what the patch removes itself needs no word."""
    index(channel, "--remove", "hull-1.1-h0_0.conda")
    patch = as_file(tmp_path / "patch")
    assert "1 name in the patches is removed" in index(channel, "--patch", patch).stdout
    assert [each["unlisted"] for each in index(channel, "--patch", patch, "--json").json()["subdirs"]] == [0, 1]
    removing = patch_file(tmp_path / "removing", {**PATCH, "remove": ["hull-1.1-h0_0.conda"]})
    assert "is removed" not in index(channel, "--patch", removing).stdout


def test_a_patch_file_that_is_not_there_is_said(channel, tmp_path, index):
    """Before it is asked for which subdir it is."""
    missing = tmp_path / "nothere.json"
    assert f"there is no {missing}" in index(channel, "--patch", missing, status=2).stderr


@pytest.mark.parametrize(
    ("instructions", "says"),
    [
        ({"pakages.conda": {"hull-1.0-h0_0.conda": {"depends": []}}}, "a member 'pakages.conda'"),
        ({"packages": {"hull-1.0-h0_0.conda": {"depends": ["oar >>1"]}}}, "an invalid spec, 'oar >>1'"),
        ({"packages": {"hull-1.0-h0_0.conda": {"constrains": ["=="]}}}, "changes constrains of hull-1.0-h0_0.conda"),
    ],
)
def test_a_patch_that_no_reader_could_use_is_refused(channel, tmp_path, index, instructions, says):
    """A misspelt member would be passed over, and a package with an invalid spec could not be installed."""
    index(channel)
    before = snapshot(channel)
    error = index(channel, "--json", "--patch", patch_file(tmp_path, instructions), status=2).json()["error"]
    assert (error["code"], says in error["message"]) == ("bad-patch", True), error
    assert snapshot(channel) == before


def test_a_patch_stays_through_whatever_is_done(channel, tmp_path, index):
    """Publishing, indexing, rebuilding; and it can be taken back, after which nothing of it is left."""
    name = "hull-1.1-h0_0.conda"
    index(channel)
    index(channel, "--patch", as_file(tmp_path / "patch"))
    keelback.publish(make_conda(tmp_path / "other", "other"), channel)
    index(channel, "--rebuild")
    assert records(channel)[name]["depends"] == ["oar >=1"]
    back = patch_file(tmp_path / "back", {"packages.conda": {name: {}}})
    assert told(index(channel, "--json", "--patch", back)) == {"changed": [name]}
    assert_complete(channel)


def test_a_patch_is_there_for_what_is_published_later(channel, tmp_path, index):
    """And for what replaces a file: the patch is for a name, whichever bytes have it."""
    index(channel, "--patch", patch_file(tmp_path, {"packages": {"new-1.0-h0_0.tar.bz2": {"depends": ["patched"]}}}))
    keelback.publish(make_conda(tmp_path / "new", "new"), channel)
    keelback.publish(make_conda(tmp_path / "newer", "new", payload={"a": b"b"}), channel, force=True)
    assert records(channel)["new-1.0-h0_0.conda"]["depends"] == ["patched"]
    assert wrong_records(channel) == set()


def test_what_is_revoked_is_listed_and_cannot_be_installed(channel, tmp_path, index):
    """As conda-index has it: a dependency that nothing satisfies; ``--restore`` takes that back."""
    index(channel)
    before = index_bytes(channel)
    index(channel, "--patch", patch_file(tmp_path, {"revoke": ["hull-1.1-h0_0.tar.bz2"]}))
    for suffix in (".conda", ".tar.bz2"):
        record = records(channel)[f"hull-1.1-h0_0{suffix}"]
        assert record["depends"][-1] == "package_has_been_revoked"
        assert record["revoked"] is True
    index(channel, "--restore", "hull")
    assert index_bytes(channel) == before


@pytest.mark.parametrize(
    ("instructions", "says"),
    [
        ("{", "malformed"),
        ({"packages.conda": {"hull-1.0-h0_0.conda": {"sha256": "00" * 32}}}, "changes sha256"),
        ({"packages.conda": {"hull-1.0-h0_0.conda": {"timestamp": "x"}}}, "timestamp of hull-1.0-h0_0.conda"),
        ({"patch_instructions_version": 7}, "does not know"),
    ],
)
def test_instructions_that_cannot_be_followed_change_nothing(channel, tmp_path, index, instructions, says):
    """Neither as ``--patch``, nor in the channel, where publishing is refused before anything is written, too."""
    index(channel)
    path = patch_file(tmp_path / "patch", {})
    path.write_text(instructions if isinstance(instructions, str) else json.dumps(instructions), encoding="utf-8")
    before = snapshot(channel)
    done = index(channel, "--patch", path, status=2)
    assert says in done.stderr
    assert str(path) in done.stderr
    assert snapshot(channel) == before
    shutil.copy(path, channel / "noarch")
    before = snapshot(channel)
    with pytest.raises(ChannelError, match=says):
        keelback.index(channel)
    with pytest.raises(ChannelError, match=says):
        keelback.publish(make_conda(tmp_path / "other", "other"), channel)
    assert snapshot(channel) == before


def test_a_patch_for_an_unknown_subdir_is_asked_about(channel, tmp_path, index):
    """A file alone does not say for which subdir it is, unless its folder or ``--subdir`` does."""
    path = tmp_path / "p.json"
    path.write_text(json.dumps(PATCH), encoding="utf-8")
    assert "--subdir" in index(channel, "--patch", path, status=2).stderr
    assert told(index(channel, "--json", "--patch", path, "--subdir", "noarch"))["patched"] == ["hull-1.1-h0_0.conda"]
    assert "for linux-64" in index(channel, "--patch", as_folder(tmp_path), "--subdir", "linux-64", status=2).stderr


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no package", b"PK\x05\x06" + bytes(18), b"BZh9garbage"],
    ids=lambda content: str(content)[:9],
)
@pytest.mark.parametrize("suffix", [".conda", ".tar.bz2"])
def test_a_package_of_patches_that_cannot_be_read_is_said(channel, tmp_path, index, content, suffix):
    """Missing, empty, of another kind, or damaged."""
    path = tmp_path / f"patches-1-0{suffix}"
    if content is not None:
        path.write_bytes(content)
    done = index(channel, "--json", "--patch", path, status=2)
    assert str(path) in done.json()["error"]["message"]
    assert done.json()["error"]["hint"]


def test_what_somebody_else_has_patched_stays_until_the_index_is_rebuilt(channel, index):
    """Without instructions nobody knows what was changed; a rebuild takes what the packages say."""
    index(channel)
    before = index_bytes(channel)
    path = channel / "noarch" / "repodata.json"
    content = document(channel)
    content["packages.conda"]["hull-1.1-h0_0.conda"]["depends"] = ["patched"]
    path.write_text(json.dumps(content), encoding="utf-8")
    index(channel)
    for form in INDEX:
        assert records(channel, "noarch", form)["hull-1.1-h0_0.conda"]["depends"] == ["patched"]
    assert told(index(channel, "--json", "--rebuild")) == {"changed": ["hull-1.1-h0_0.conda"]}
    assert index_bytes(channel) == before


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 4))
def test_the_index_does_not_depend_on_when_it_was_patched(order, moment):
    """Packages published in any order, and a patch at any moment among them: the same index, byte for byte."""
    with TemporaryDirectory() as folder:
        workdir = Path(folder)
        packages = [
            make_conda(workdir / "0", "hull", "1.0"),
            make_conda(workdir / "1", "hull", "1.1", depends=["oar"]),
            make_tar_bz2(workdir / "2", "hull", "1.1"),
            make_tar_bz2(workdir / "3", "oar"),
        ]
        channels = [workdir / "one", workdir / "other"]
        (workdir / "one").mkdir()
        keelback.publish(packages, channels[1])
        keelback.index(channels[1], patches=as_file(workdir))
        for number, position in enumerate([*order, None]):
            if number == moment:
                keelback.index(channels[0], patches=as_file(workdir))
            if position is not None:
                keelback.publish(packages[position], channels[0])
        assert index_bytes(channels[0]) == index_bytes(channels[1])
        assert records(channels[0])["hull-1.1-h0_0.conda"]["depends"] == ["oar >=1"]


# -- several at once, and killed at any moment -----------------------------------------------------------------------


class IndexingMeanwhile(keelback.Reporter):
    """Has the index of *channel* made anew whenever a package has been published."""

    def __init__(self, channel):
        self._channel = channel

    def finished(self, outcome):  # noqa: ARG002 - the signature of the base class
        """See the base class."""
        keelback.index(self._channel, rebuild=True, remove="hull")


def test_indexing_while_others_publish_loses_nothing(channel, tmp_path):
    """What a run has placed and not indexed yet is listed; what was removed meanwhile stays removed."""
    keelback.index(channel)
    new = [make_conda(tmp_path / "dist", f"new{number}") for number in range(3)]
    report = keelback.publish(new, channel, jobs=1, reporter=IndexingMeanwhile(channel))
    assert report.ok
    hulls = {name for name in files(channel, "noarch") if name.startswith("hull")}
    assert records(channel).keys() == files(channel, "noarch") - hulls
    assert wrong_records(channel) == set()


class RemovingMeanwhile(keelback.Reporter):
    """Removes each package from the index of *channel* when it has been published."""

    def __init__(self, channel, *, delete_files):
        self._channel = channel
        self._delete_files = delete_files

    def finished(self, outcome):
        """See the base class."""
        keelback.index(self._channel, remove=outcome.file.name, delete_files=self._delete_files)


@pytest.mark.parametrize("delete_files", [False, True])
def test_what_is_removed_while_its_run_goes_on_is_not_listed_by_it(channel, tmp_path, caplog, delete_files):
    """The removal is the later word on these bytes. A file that is still there is named in a warning."""
    keelback.index(channel)
    new = [make_conda(tmp_path / "dist", name) for name in ("new", "newer")]
    reporter = RemovingMeanwhile(channel, delete_files=delete_files)
    assert keelback.publish(new, channel, jobs=1, reporter=reporter).ok
    assert {path.name for path in new}.isdisjoint(records(channel))
    assert wrong_records(channel) == set()
    assert ("noarch/new-1.0-h0_0.conda" in caplog.text) is not delete_files
    report = keelback.publish(new, channel)
    assert [str(outcome.status) for outcome in report.outcomes] == ["uploaded" if delete_files else "identical"] * 2
    assert {path.name for path in new}.issubset(records(channel)) is delete_files


def test_ctrl_c_ends_it_in_order(channel, index, monkeypatch):
    """With its own status, and a word on what to do; the next run completes what was begun."""

    def pressed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("keelback.channels.folder.bring_up", pressed)
        done = index(channel, "--json", status=130)
    assert done.json()["error"]["code"] == "interrupted"
    index(channel)
    assert_complete(channel)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")
@pytest.mark.parametrize(
    ("before", "options"),
    [
        ({}, {"remove": ["hull"], "delete_files": True}),
        ({}, {"remove": ["hull-1.0-h0_0.conda"], "patches": "patch"}),
        ({"remove": ["hull-1.0-h0_0.conda"], "patches": "patch"}, {"restore": ["hull"], "patches": "back"}),
    ],
    ids=["delete", "patch", "take back"],
)
def test_a_killed_run_leaves_a_whole_index_and_the_next_one_completes_it(tmp_path, before, options):
    """At every moment all that an index names is there, and is right; the same command once more does what is left."""
    channel = tmp_path / "channel"
    make_conda(channel / "noarch", "hull", "1.0")
    make_conda(channel / "noarch", "hull", "1.1", depends=["oar"])
    patch_file(tmp_path / "patch", PATCH)
    patch_file(tmp_path / "back", {"packages.conda": {"hull-1.1-h0_0.conda": {}}})
    for each in (before, options):
        if "patches" in each:
            each["patches"] = str(tmp_path / each["patches"])
    keelback.index(channel, **before)
    after = tmp_path / "after"
    shutil.copytree(channel, after)
    keelback.index(after, **options)
    states = [index_bytes(channel), index_bytes(after)]
    done = subprocess.run(
        [sys.executable, CHILD, channel, tmp_path / "killed", json.dumps(options)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(CHILD.parent)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
    for number in range(int(done.stdout)):
        killed = tmp_path / "killed" / str(number + 1)
        assert wrong_records(killed) == set(), killed
        keelback.index(killed)
        assert index_bytes(killed) in states, "whatever was begun is done, or undone"
        again = {**options, "restore": options.get("restore", []) if index_bytes(killed) == states[0] else []}
        keelback.index(killed, **again)
        assert index_bytes(killed) == states[1]
        assert wrong_records(killed) == set()
    assert files(killed, "noarch") == files(after, "noarch")


def test_usage_errors_of_the_library_are_those_of_the_command(channel):
    """An unknown subdir, an invalid spec, a name that is none."""
    with pytest.raises(UsageError, match="no subdir"):
        keelback.index(channel, subdirs=["linux-640"])
    with pytest.raises(UsageError, match="not a valid spec"):
        keelback.index(channel, remove="hull ><1")
    with pytest.raises(UsageError, match="no archive has such a file name"):
        keelback.index(channel, remove=["hull.conda"])
