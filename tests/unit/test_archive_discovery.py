"""Which archives the paths of a command line stand for."""

from __future__ import annotations

import os

import pytest

from keelback.archive import discover
from keelback.errors import UsageError

A, B, C = "a-1-0.conda", "b-1-0.tar.bz2", "c-1-0.conda"


@pytest.fixture
def dist(tmp_path):
    """A folder as builders leave it: two subdirs, logs and indexes."""
    for name in (f"noarch/{A}", f"linux-64/{B}", "noarch/repodata.json", "build.log", "linux-64/.a-1-0.conda.swp"):
        path = tmp_path / "dist" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path.resolve() / "dist"


def test_a_file_is_itself(dist):
    """As a string or as a Path."""
    assert discover([dist / "noarch" / A]) == discover([str(dist / "noarch" / A)]) == [dist / "noarch" / A]


def test_a_folder_gives_its_archives_at_any_depth(dist):
    """Sorted, and nothing but archives."""
    assert discover([dist]) == [dist / "linux-64" / B, dist / "noarch" / A]


def test_patterns_are_expanded_here(dist, monkeypatch):
    """Windows shells do not; a pattern picks archives, and folders as a shell's expansion would."""
    monkeypatch.chdir(dist.parent)
    assert discover(["dist/*/*.conda"]) == [dist / "noarch" / A]
    assert discover(["dist/**/*.tar.bz2"]) == [dist / "linux-64" / B]
    assert discover(["dist/*"]) == discover(["dist"])
    assert discover([str(dist / "noarch" / "?-1-0.conda")]) == [dist / "noarch" / A]


def test_an_existing_name_wins_over_its_meaning_as_a_pattern(tmp_path):
    """A file may have brackets in its name."""
    odd = tmp_path.resolve() / "[ab]-1-0.conda"
    odd.write_bytes(b"x")
    (tmp_path / A).write_bytes(b"x")
    assert discover([odd]) == [odd]


def test_each_file_comes_once(dist, monkeypatch):
    """However it is named: by its folder, by itself, by a detour or by a pattern."""
    monkeypatch.chdir(dist)
    given = [".", f"noarch/{A}", f"noarch/../noarch/{A}", "**/*.conda", dist]
    assert discover(given) == discover([dist])


def test_the_rooms_of_build_tools_are_left_out(dist):
    """What failed its tests, what is hidden and what belongs to somebody else is not published by accident."""
    for workdir in ("broken", "bld", "src_cache", "pkgs", "work", ".cache"):
        (dist / workdir / "noarch").mkdir(parents=True)
        (dist / workdir / "noarch" / C).write_bytes(b"x")
    assert discover([dist]) == [dist / "linux-64" / B, dist / "noarch" / A]
    assert discover([dist / "broken"]) == [dist / "broken" / "noarch" / C]


def test_a_folder_whose_archives_are_all_left_out_says_so(tmp_path):
    """Silence would leave the user to wonder."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / A).write_bytes(b"x")
    (tmp_path / "work").mkdir()
    with pytest.raises(UsageError, match="no packages in the folder") as caught:
        discover([tmp_path])
    assert "broken" in caught.value.hint
    assert "work" not in caught.value.hint


def test_a_folder_without_archives(tmp_path):
    """Named, so that it is clear which of several it was."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no packages in the folder .*empty"):
        discover([tmp_path / "empty"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gone-1-0.conda", "no such file: gone-1-0.conda"),
        ("gone/there/a-1-0.conda", "no such file"),
        ("dist/build.log/a-1-0.conda", "no such file"),
        ("a\0b.conda", "no such file"),
        ("*\0", "no such file"),
        ("", "no such file"),
        ("x" * 5000, "cannot look at x"),
        ("gone/*.conda", r"no files match: gone/\*\.conda"),
        ("dist/*.log", "no files match"),
        ("dist/build.log", "not a package: dist/build.log"),
    ],
)
def test_what_is_not_there_is_a_usage_error(given, message, dist, monkeypatch):
    """The message says what was given."""
    monkeypatch.chdir(dist.parent)
    with pytest.raises(UsageError, match=message) as caught:
        discover([dist, given])
    assert len(str(caught.value)) < 400


def test_nothing_gives_nothing():
    """Whether that is an error is for the caller to say."""
    assert discover([]) == []


def test_links_to_folders_are_not_followed(dist):
    """A loop ends, and a build folder that links to the system does not publish it."""
    (dist / "noarch" / "loop").symlink_to(dist)
    assert discover([dist]) == [dist / "linux-64" / B, dist / "noarch" / A]


def test_a_link_to_a_file_keeps_its_own_name(tmp_path):
    """Stores that name files by content link packages by name."""
    store = tmp_path.resolve() / "store" / "9f86d081"
    store.parent.mkdir()
    store.write_bytes(b"x")
    link = tmp_path.resolve() / "dist" / A
    link.parent.mkdir()
    link.symlink_to(store)
    assert discover([link.parent]) == [link]


@pytest.mark.parametrize("link_name", ["a-link-1-0.conda", "z-link-1-0.conda"])
def test_a_link_beside_its_file_is_left_out(link_name, dist):
    """'latest.conda' beside the package is not a second package."""
    (dist / "noarch" / link_name).symlink_to(dist / "noarch" / A)
    assert (
        discover([dist])
        == discover([dist / "noarch" / link_name, dist])
        == [dist / "linux-64" / B, dist / "noarch" / A]
    )


def test_a_folder_that_cannot_be_read_is_an_error(dist, monkeypatch):
    """Archives that were silently left out would be missing from the channel."""
    real = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("linux-64"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UsageError, match="linux-64: Permission denied"):
        discover([dist])


def test_a_folder_may_be_called_like_a_package(tmp_path):
    """It is searched, like every folder."""
    folder = tmp_path.resolve() / "x-1-0.conda"
    folder.mkdir()
    (folder / A).write_bytes(b"x")
    assert discover([folder]) == discover([tmp_path]) == [folder / A]
