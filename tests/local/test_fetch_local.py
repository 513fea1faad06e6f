"""What ``fetch`` takes out of a channel for which question, and what it does in the folder where that goes.

The channel is a folder here: no server, and no credential, has a part in any of this.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

import keelback
from cli_runner import run_keelback
from keelback import ExitStatus, KeelbackError, Status
from keelback.errors import ChannelError, UsageError
from making import make_conda, make_tar_bz2

if TYPE_CHECKING:
    from pathlib import Path

    from keelback import Report

SLOW = {"track_features": "slow"}


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several versions and builds of ``hull``, and boats that need some of them."""
    dist, channel = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("channels") / "main"
    make_conda(dist, "hull", "1.0")
    make_conda(dist, "hull", "2.9")
    make_conda(dist, "hull", "2.10", "h0_0")
    make_conda(dist, "hull", "2.10", "h0_1")
    make_tar_bz2(dist, "hull", "2.10", "h0_1")
    make_conda(dist, "hull", "3.0", index=SLOW)
    make_conda(dist, "boat", "1.0", subdir="linux-64", depends=["hull <2"])
    make_conda(dist / "osx", "boat", "1.0", subdir="osx-arm64", depends=["hull"])
    make_conda(dist, "gpu-boat", "1.0", subdir="linux-64", depends=["hull", "__cuda >=12"])
    make_conda(dist, "new-glibc-boat", "1.0", subdir="linux-64", depends=["__glibc >=2.40"])
    make_conda(dist, "lost-boat", "1.0", subdir="linux-64", depends=["no-such-hull"])
    keelback.publish([dist, dist / "osx"], channel)
    return channel


@pytest.fixture
def to(tmp_path: Path) -> Path:
    """The folder where the archives go; not there yet."""
    return tmp_path / "out"


def fetch(channel: Path | str, *specs: str, to: Path, **options: Any) -> Report:
    """``keelback.fetch`` for linux-64, with a cache of its own."""
    options = {"subdirs": "linux-64", "cache": to.parent / "cache", **options}
    return keelback.fetch(channel, specs, to=to, **options)


def names(report: Report) -> list[str]:
    """``SUBDIR/FILE`` of everything that was asked for, sorted."""
    return sorted(f"{outcome.subdir}/{outcome.file.name}" for outcome in report.outcomes)


def files(folder: Path) -> list[str]:
    """Every file in *folder*, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


# --- which archives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("hull", ["noarch/hull-2.10-h0_1.conda"]),
        ("hull <2.10", ["noarch/hull-2.9-h0_0.conda"]),
        ("hull=2.10=h0_0", ["noarch/hull-2.10-h0_0.conda"]),
        ("hull >=3", ["noarch/hull-3.0-h0_0.conda"]),
        ("HULL 1.*", ["noarch/hull-1.0-h0_0.conda"]),
        ("boat", ["linux-64/boat-1.0-h0_0.conda"]),
        ("boat[subdir=osx-arm64]", ["osx-arm64/boat-1.0-h0_0.conda"]),
        ("hull-2.10-h0_1.tar.bz2", ["noarch/hull-2.10-h0_1.tar.bz2"]),
        ("noarch/hull-1.0-h0_0.conda", ["noarch/hull-1.0-h0_0.conda"]),
        ("osx-arm64/boat-1.0-h0_0.conda", ["osx-arm64/boat-1.0-h0_0.conda"]),
    ],
)
def test_the_best_archive_of_a_spec_is_fetched(channel: Path, to: Path, spec: str, expected: list[str]) -> None:
    """No tracked features, then version, build number, format; and a file by its name is just that file."""
    report = fetch(channel, spec, to=to)
    assert names(report) == files(to) == expected
    assert (to / expected[0]).read_bytes() == (channel / expected[0]).read_bytes()


def test_all_archives_of_a_spec_are_fetched(channel: Path, to: Path) -> None:
    """``--all``: every version, build and format that matches."""
    report = fetch(channel, "hull >=2.9,<3", to=to, all_versions=True)
    assert names(report) == files(to)
    assert names(report) == [
        "noarch/hull-2.10-h0_0.conda",
        "noarch/hull-2.10-h0_1.conda",
        "noarch/hull-2.10-h0_1.tar.bz2",
        "noarch/hull-2.9-h0_0.conda",
    ]


@pytest.mark.parametrize("subdir", ["noarch", "linux-64", "osx-arm64"])
def test_a_whole_subdir_is_fetched(channel: Path, to: Path, subdir: str) -> None:
    """Without any spec: everything in the subdirs that were named, and nothing of others."""
    report = fetch(channel, to=to, subdirs=subdir)
    archives = [path for path in files(channel / subdir) if path.endswith((".conda", ".tar.bz2"))]
    assert names(report) == files(to) == [f"{subdir}/{name}" for name in archives]
    assert {outcome.status for outcome in report.outcomes} == {Status.FETCHED}


def test_several_specs_and_subdirs_are_one_question(channel: Path, to: Path) -> None:
    """Each subdir gets its own, and each archive is in the answer once, however often it was asked for."""
    report = fetch(
        channel, "hull", "hull >2,<3", "hull-2.10-h0_1.conda", "boat", to=to, subdirs=["osx-arm64", "linux-64"]
    )
    assert names(report) == [
        "linux-64/boat-1.0-h0_0.conda",
        "noarch/hull-2.10-h0_1.conda",
        "osx-arm64/boat-1.0-h0_0.conda",
    ]
    with pytest.raises(ChannelError, match="nothing matches 'boat'"):
        fetch(channel, "boat", to=to, subdirs=["win-64", "linux-64"])


def test_with_deps_fetches_what_an_environment_consists_of(channel: Path, to: Path) -> None:
    """The solver's choice for that platform, not the best of each: ``boat`` wants an old hull."""
    assert names(fetch(channel, "boat", to=to, with_deps=True)) == [
        "linux-64/boat-1.0-h0_0.conda",
        "noarch/hull-1.0-h0_0.conda",
    ]
    assert names(fetch(channel, "boat", to=to, with_deps=True, subdirs="osx-arm64")) == [
        "noarch/hull-2.10-h0_1.conda",
        "osx-arm64/boat-1.0-h0_0.conda",
    ]


def test_with_deps_of_a_file_is_of_that_file(channel: Path, to: Path) -> None:
    """A name of a file stands for a spec of its version and build."""
    report = fetch(channel, "linux-64/boat-1.0-h0_0.conda", "hull-1.0-h0_0.conda", to=to, with_deps=True)
    assert names(report) == ["linux-64/boat-1.0-h0_0.conda", "noarch/hull-1.0-h0_0.conda"]


def test_what_the_other_machine_has_can_be_said(channel: Path, to: Path) -> None:
    """``--virtual-package``: nobody has a GPU until that is said, and what is said goes before what is usual."""
    with pytest.raises(ChannelError, match="__cuda") as caught:
        fetch(channel, "gpu-boat", to=to, with_deps=True)
    assert caught.value.code == "no-solution"
    assert "--virtual-package" in caught.value.hint
    assert len(fetch(channel, "gpu-boat", to=to, with_deps=True, virtual_packages=["__cuda=12.4"]).outcomes) == 2
    with pytest.raises(ChannelError, match="__glibc"):
        fetch(channel, "new-glibc-boat", to=to, with_deps=True)
    assert fetch(channel, "new-glibc-boat", to=to, with_deps=True, virtual_packages=["__glibc=2.41"]).ok


def test_more_channels_have_what_the_first_one_has_not(channel: Path, to: Path, tmp_path: Path) -> None:
    """Strict priority: a package comes from the first channel that has it, however old it is there."""
    make_conda(tmp_path / "dist", "hull", "1.5")
    make_conda(tmp_path / "dist", "sail", "1.0", depends=["hull"])
    first = tmp_path / "first"
    keelback.publish([tmp_path / "dist"], first)
    report = fetch(first, "hull", "boat", to=to, channels=[channel])
    assert names(report) == ["linux-64/boat-1.0-h0_0.conda", "noarch/hull-1.5-h0_0.conda"]
    assert [found.channel for found in report.channels] == [first.as_uri(), channel.as_uri()]
    solved = fetch(first, "sail", "boat", to=to, channels=[channel], with_deps=True)
    assert "noarch/hull-1.5-h0_0.conda" in names(solved)
    with pytest.raises(ChannelError) as caught:
        fetch(first, "hull >=2", to=to, channels=[channel], with_deps=True)
    assert caught.value.code == "no-solution"


# --- what there is not ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specs", "options", "code", "said"),
    [
        (["hul"], {}, "no-match", "Check the spelling"),
        (["hull >9"], {}, "no-match", "The channel has hull 3.0, 2.10, 2.9 and 1.0."),
        (["hull-9.0-h0_0.conda"], {}, "no-match", "The channel has hull 3.0"),
        (["lost-boat"], {"with_deps": True}, "no-solution", "--channel"),
        (["boat"], {"subdirs": "win-64"}, "no-match", "(--subdir)"),
        ([], {"subdirs": "win-64"}, "no-channel", "--subdir noarch"),
        (["linux-64/hull-1.0-h0_0.conda"], {}, "no-match", "It is in noarch: write noarch/hull-1.0-h0_0.conda."),
        (["noarch/boat-1.0-h0_0.conda", "hull"], {}, "no-match", "write linux-64/boat-1.0-h0_0.conda."),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(channel: Path, to: Path, specs, options, code, said) -> None:
    """One line of what is missing, and a hint that helps; nothing is written."""
    with pytest.raises(ChannelError) as caught:
        fetch(channel, *specs, to=to, **options)
    assert caught.value.code == code
    assert said in caught.value.hint
    assert not to.exists()


@pytest.mark.parametrize(
    ("specs", "options"),
    [
        ([">=2"], {}),
        (["hull >="], {}),
        (["hull["], {}),
        (["hull*"], {}),
        (["hull[subdir=../noarch]"], {}),
        (["*"], {}),
        (["conda-forge::hull"], {}),
        (["../hull-1.0-h0_0.conda"], {}),
        (["..\\hull-1.0-h0_0.conda"], {}),
        ([""], {}),
        (["hull\0"], {}),
        (["hull"], {"subdirs": "linux-65"}),
        (["hull"], {"subdirs": "../noarch"}),
        ([], {"subdirs": ()}),
        ([], {"with_deps": True}),
        (["hull"], {"with_deps": True, "all_versions": True}),
        (["boat"], {"with_deps": True, "virtual_packages": ["cuda=12"]}),
        (["hull"], {"api_key": "k"}),
    ],
)
def test_a_question_that_is_none_is_wrong_usage(channel: Path, to: Path, specs, options) -> None:
    """Exit status 2, and nothing is written."""
    with pytest.raises(UsageError):
        fetch(channel, *specs, to=to, **options)
    assert not to.exists()


@pytest.mark.parametrize("what", ["missing", "empty", "a file"])
def test_a_folder_that_is_no_channel_is_told(tmp_path: Path, to: Path, what: str) -> None:
    """Whatever is there, or not there."""
    place = tmp_path / "nothing"
    if what == "empty":
        place.mkdir()
    elif what == "a file":
        place.write_text("text", encoding="utf-8")
    with pytest.raises(KeelbackError, match="has no index" if what == "empty" else "there is no folder") as caught:
        fetch(place, "hull", to=to)
    assert caught.value.code == ("no-channel" if what == "empty" else "usage")


def test_an_option_that_there_is_not_is_told(channel: Path, to: Path) -> None:
    """A dry run that is spelt wrong does not fetch for real."""
    with pytest.raises(TypeError, match="dry_runn"):
        fetch(channel, "hull", to=to, dry_runn=True)
    with pytest.raises(TypeError, match="subdir"):
        keelback.fetch(channel, "hull", to=to, subdir="osx-arm64")  # type: ignore[call-arg] # the point of it
    assert not to.exists()


@pytest.mark.parametrize("scheme", ["oci"])
def test_a_channel_that_cannot_be_read_yet_is_told(to: Path, scheme: str) -> None:
    """Not as an unknown scheme: others read it."""
    with pytest.raises(UsageError, match=f"cannot read {scheme}:// channels yet"):
        fetch(f"{scheme}://bucket/chan", "hull", to=to)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has a folder in which nobody can make any")
def test_an_output_folder_that_cannot_be_made_is_no_fault_of_the_channel(channel: Path) -> None:
    """It is named, with the option for another."""
    (outcome,) = keelback.fetch(channel, "hull", to="/proc/nothing", subdirs="noarch").outcomes
    assert outcome.error is not None
    assert (outcome.error.code, "/proc/nothing" in outcome.error.message) == ("disk", True)
    assert "--output" in outcome.error.hint


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_wrong_usage(channel: Path, to: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """It is told as where a channel is written, with exit status 1, and nothing is left of the file."""

    def full(*paths: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("keelback.retrieving.rename", full)
    report = keelback.fetch(channel, "hull", to=to, subdirs="noarch")
    (error,) = [outcome.error for outcome in report.outcomes]
    assert error is not None
    assert (error.code, report.exit_status) == ("disk-full", 1)
    assert "bytes free" in error.message
    assert "Make room" in error.hint
    assert not [path for path in to.rglob("*") if path.is_file()]


def test_an_archive_that_is_gone_is_the_channels_fault(channel: Path, to: Path, tmp_path: Path) -> None:
    """Its index names it."""
    shutil.copytree(channel, tmp_path / "copy")
    (tmp_path / "copy/noarch/hull-1.0-h0_0.conda").unlink()
    (outcome,) = fetch(tmp_path / "copy", "hull 1.0", to=to).outcomes
    assert outcome.error is not None
    assert outcome.error.code == "not-found"


def test_the_reason_of_the_solver_is_told_in_few_lines(channel: Path, to: Path) -> None:
    """Without its preface, and without empty lines."""
    with pytest.raises(ChannelError, match="no set of packages fits: ") as caught:
        fetch(channel, "lost-boat", to=to, with_deps=True)
    assert "Cannot solve" not in caught.value.message
    assert all(line.strip() for line in caught.value.message.splitlines())


# --- what is there already --------------------------------------------------------------------------------------------


def test_fetching_again_does_only_what_is_left(channel: Path, to: Path) -> None:
    """A file with the right bytes is ``identical``, and is not touched."""
    fetch(channel, "boat", to=to, with_deps=True)
    (to / "noarch/hull-1.0-h0_0.conda").unlink()
    before = (to / "linux-64/boat-1.0-h0_0.conda").stat()
    report = fetch(channel, "boat", to=to, with_deps=True)
    assert {outcome.name: outcome.status for outcome in report.outcomes} == {"boat": "identical", "hull": "fetched"}
    assert (to / "linux-64/boat-1.0-h0_0.conda").stat().st_mtime_ns == before.st_mtime_ns
    assert report.exit_status == ExitStatus.OK


@pytest.mark.parametrize(
    ("options", "status"), [({}, "failed"), ({"skip_existing": True}, "skipped"), ({"force": True}, "replaced")]
)
def test_other_bytes_under_the_name(channel: Path, to: Path, options, status) -> None:
    """A conflict, unless one of the two ways out was taken."""
    target = to / "noarch/hull-2.10-h0_1.conda"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"other bytes")
    report = fetch(channel, "hull", to=to, **options)
    (outcome,) = report.outcomes
    assert outcome.status == status
    right = (channel / "noarch/hull-2.10-h0_1.conda").read_bytes()
    assert target.read_bytes() == (right if status == "replaced" else b"other bytes")
    assert files(to) == ["noarch/hull-2.10-h0_1.conda"]
    if status == "failed":
        assert outcome.error.code == "conflict"
        assert "--force" in outcome.error.hint
        assert report.exit_status == ExitStatus.FAILED


@pytest.mark.parametrize("leads", ["to other bytes", "nowhere"])
def test_a_link_in_the_place_of_the_file_is_not_followed(channel: Path, to: Path, tmp_path: Path, leads: str) -> None:
    """It is a conflict; with ``--force`` it gives way to the file, and what it led to stays as it was."""
    target, other = to / "noarch/hull-2.10-h0_1.conda", tmp_path / "precious"
    target.parent.mkdir(parents=True)
    if leads != "nowhere":
        other.write_bytes(b"precious")
    try:
        target.symlink_to(other)
    except OSError:
        pytest.skip("this user cannot make links here")
    (outcome,) = fetch(channel, "hull", to=to).outcomes
    assert outcome.error.code == "conflict"
    (outcome,) = fetch(channel, "hull", to=to, force=True).outcomes
    assert outcome.status == Status.REPLACED
    assert not target.is_symlink()
    assert other.exists() == (leads != "nowhere")
    assert leads == "nowhere" or other.read_bytes() == b"precious"


@pytest.mark.parametrize("options", [{}, {"force": True}])
def test_a_folder_in_the_place_of_the_file_stays(channel: Path, to: Path, options) -> None:
    """Nobody's folder is removed; the archive fails alone."""
    (to / "noarch/hull-2.10-h0_1.conda/sub").mkdir(parents=True)
    report = fetch(channel, "hull", "boat", to=to, **options)
    found = {outcome.name: outcome for outcome in report.outcomes}
    assert (found["hull"].status, found["boat"].status) == ("failed", "fetched")
    assert found["hull"].error.code in {"conflict", "disk"}
    assert (to / "noarch/hull-2.10-h0_1.conda/sub").is_dir()
    assert files(to) == ["linux-64/boat-1.0-h0_0.conda"]


def test_a_dry_run_fetches_nothing(channel: Path, to: Path, tmp_path: Path) -> None:
    """It says what would be, finds what is there, and writes neither archives nor a lock file."""
    lock = tmp_path / "lock.txt"
    report = fetch(channel, "boat", to=to, with_deps=True, dry_run=True, lock=lock)
    assert [outcome.status for outcome in report.outcomes] == [Status.FETCHED] * 2
    assert report.dry_run
    assert not to.exists()
    assert not lock.exists()


# --- disks ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(channel: Path, to: Path) -> None:
    """With its name, for each archive."""
    to.mkdir(mode=0o500)
    report = fetch(channel, "boat", to=to, with_deps=True)
    assert [outcome.error.code for outcome in report.outcomes] == ["disk"] * 2


@pytest.mark.parametrize("place", ["out", "out/noarch"])
def test_a_file_in_the_place_of_the_folder_is_told(channel: Path, to: Path, tmp_path: Path, place: str) -> None:
    """It stays as it is."""
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"a file")
    report = fetch(channel, "hull", to=to)
    (outcome,) = report.outcomes
    assert (outcome.status, outcome.error.code) == ("failed", "disk")
    assert str(file) in outcome.error.message
    assert "not in the channel" not in outcome.error.message
    assert file.read_bytes() == b"a file"


@pytest.mark.parametrize("damage", ["other bytes", "shorter", "longer", "gone", "a folder"])
def test_a_channel_that_has_other_bytes_than_its_index_says(channel: Path, to: Path, tmp_path: Path, damage) -> None:
    """Nothing of them gets the file's name; the others arrive."""
    shutil.copytree(channel, tmp_path / "copy")
    file = tmp_path / "copy/noarch/hull-2.10-h0_1.conda"
    content = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage != "gone":
        kinds = {"other bytes": bytes(len(content)), "shorter": content[:-1], "longer": content + b"x"}
        file.write_bytes(kinds[damage])
    report = fetch(tmp_path / "copy", "hull", "boat", to=to)
    found = {outcome.name: outcome for outcome in report.outcomes}
    assert (found["hull"].status, found["boat"].status) == ("failed", "fetched")
    assert found["hull"].error.code == {"gone": "not-found", "a folder": "disk"}.get(damage, "bad-download")
    assert files(to) == ["linux-64/boat-1.0-h0_0.conda"]


# --- lock files -------------------------------------------------------------------------------------------------------


def test_what_a_lock_file_names_is_fetched_again(channel: Path, to: Path, tmp_path: Path) -> None:
    """The same archives, whatever the channel's index says meanwhile; the same question gives the same file."""
    lock, again = tmp_path / "a.lock", tmp_path / "b.lock"
    first = fetch(channel, "boat", to=to, with_deps=True, lock=lock)
    fetch(channel, "boat", to=to, with_deps=True, lock=again)
    assert lock.read_bytes() == again.read_bytes()
    lines = lock.read_text(encoding="utf-8").splitlines()
    assert lines[lines.index("@EXPLICIT") + 1 :] == [
        f"{outcome.url}#sha256:{outcome.sha256}" for outcome in sorted(first.outcomes, key=lambda found: found.url)
    ]
    report = keelback.fetch_locked(lock, to=tmp_path / "other")
    assert names(report) == names(first) == files(tmp_path / "other")


def test_a_run_that_failed_writes_no_lock_file(channel: Path, to: Path, tmp_path: Path) -> None:
    """The one of the last good run stays."""
    lock = tmp_path / "boat.lock"
    lock.write_text("the last good one", encoding="utf-8")
    (to / "noarch/hull-1.0-h0_0.conda").mkdir(parents=True)
    assert not fetch(channel, "boat", to=to, with_deps=True, lock=lock).ok
    assert lock.read_text(encoding="utf-8") == "the last good one"


def test_a_lock_file_that_cannot_be_written_is_told(channel: Path, to: Path, tmp_path: Path) -> None:
    """By its name, with exit status 2."""
    with pytest.raises(UsageError, match="cannot be written"):
        fetch(channel, "hull", to=to, lock=tmp_path / "no" / "such" / "folder.lock")


def test_what_is_here_already_has_its_size_and_hash(channel: Path, to: Path, tmp_path: Path) -> None:
    """Where the lock file does not say them, the file does."""
    lock = tmp_path / "hull.lock"
    (fetched,) = fetch(channel, "hull", to=to, lock=lock).outcomes
    (again,) = keelback.fetch_locked(lock, to=to).outcomes
    assert (again.status, again.size, again.sha256) == ("identical", fetched.size, fetched.sha256)


def test_a_locked_file_that_has_changed_is_not_taken(channel: Path, to: Path, tmp_path: Path) -> None:
    """The hash in the lock file decides."""
    shutil.copytree(channel, tmp_path / "copy")
    lock = tmp_path / "hull.lock"
    fetch(tmp_path / "copy", "hull", to=to, lock=lock)
    make_conda(tmp_path / "copy/noarch", "hull", "2.10", "h0_1", payload={"other": b"bytes"})
    report = keelback.fetch_locked(lock, to=tmp_path / "other")
    assert report.outcomes[0].error.code == "bad-download"
    assert files(tmp_path / "other") == []


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> Any:
    """``keelback fetch``."""
    return run_keelback(["fetch", *map(str, arguments)])


def test_the_json_document_is_that_of_publish(channel: Path, to: Path) -> None:
    """The same members with the same meaning, failures included."""
    (to / "linux-64/boat-1.0-h0_0.conda").mkdir(parents=True)
    done = run(channel, "boat", "--with-deps", "--subdir", "linux-64", "-o", to, "--json")
    published = run_keelback(["publish", "--json", "--dry-run", "--to", str(channel), str(channel / "noarch")])
    assert done.returncode == ExitStatus.FAILED
    document, other = done.json(), published.json()
    assert (document["version"], document["dry_run"]) == (1, False)
    (found,), (theirs,) = document["channels"], other["channels"]
    assert found.keys() - {"error"} == theirs.keys() - {"error"}
    boat, hull = sorted(found["outcomes"], key=lambda outcome: outcome["name"])
    assert boat.keys() == theirs["outcomes"][0].keys()
    assert (hull["status"], hull["file"]) == ("fetched", str(to / "noarch/hull-1.0-h0_0.conda"))
    assert (boat["status"], boat["error"]["code"]) == ("failed", "conflict")
    assert found["summary"] == {"failed": 1, "fetched": 1}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["CHANNEL", "boat", "--with-deps", "--subdir", "linux-64"], 0, "2 fetched"),
        (["CHANNEL", "boat", "-n", "--subdir", "linux-64"], 0, "1"),
        (["CHANNEL", "nothing"], 1, "nothing matches 'nothing'"),
        (["CHANNEL"], 2, "--subdir linux-64"),
        ([], 2, "no channel"),
        (["boat"], 2, "Write keelback fetch CHANNEL boat."),
        (["conda-forge", "boat"], 2, "https://conda.anaconda.org/conda-forge."),
        (["-c", "CHANNEL", "boat", "-n", "--platform", "linux-64"], 0, "1 would be fetched"),
        (["-c", "CHANNEL", "-n", "-p", "linux-64"], 0, "4 would be fetched"),
        (["https://host.example/chan/noarch", "boat"], 2, "Leave out /noarch"),
        (["CHANNEL", "hull", "--with-deps", "--all"], 2, "--with-deps and --all cannot be combined"),
        (["CHANNEL", "hull", "--locked", "x.lock"], 2, "--locked takes no channel and no specs"),
        (["--locked", "x.lock"], 2, "x.lock cannot be read"),
        (["CHANNEL", "hull", "--subdir", "linux-65"], 2, "linux-65"),
    ],
)
def test_exit_statuses_and_what_is_said(channel: Path, to: Path, arguments, status, said) -> None:
    """0 all well, 1 something failed, 2 wrong usage; one line, and a hint."""
    done = run(*[str(channel) if argument == "CHANNEL" else argument for argument in arguments], "-o", to)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False)
    assert said in done.stdout + done.stderr


def test_an_error_before_anything_is_fetched_is_json_too(channel: Path, to: Path) -> None:
    """A program that asked for JSON gets JSON."""
    done = run(channel, "nothing", "-o", to, "--json")
    assert done.returncode == ExitStatus.FAILED
    assert json.loads(done.stdout)["error"]["code"] == "no-match"


def test_the_errors_of_the_library_are_keelbacks(channel: Path, to: Path) -> None:
    """A channel that is no folder and no URL."""
    with pytest.raises(KeelbackError):
        fetch("gopher://host/x", "hull", to=to)
