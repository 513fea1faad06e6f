"""Fetching from a web server: which requests go out for which question, and what is kept between two runs."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

import keelback
from cli_runner import run_keelback
from keelback import ExitStatus, Reporter, Status
from making import make_conda, make_tar_bz2
from servers.fetch_runs import QUICK, attempt, files, problem, statuses
from servers.scripted import Fault
from servers.scripted.channel_server import FORMS, ReadableServer, channel, index_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keelback.report import Archive


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A boat, the hull that it needs, and an oar that it does not."""
    dist = tmp_path_factory.mktemp("dist")
    return [
        make_conda(dist, "boat", subdir="linux-64", depends=["hull >=1", "__glibc >=2"]),
        make_conda(dist, "hull", "1.0"),
        make_tar_bz2(dist, "hull", "0.9"),
        make_conda(dist, "oar", subdir="linux-64"),
    ]


@pytest.fixture
def server(archives: list[Path]) -> Iterator[ReadableServer]:
    """A public channel with everything, in all forms."""
    with ReadableServer(channel(*archives)) as running:
        yield running
        running.assert_clean()


def index_requests(server: ReadableServer, since: int = 0) -> list[str]:
    """What was asked of indexes: status and path, sorted; hashes of shards left out."""
    found = [line for line in server.asked()[since:] if "repodata" in line or "/shards/" in line]
    return sorted(line.partition("/shards/")[0] + "/shards/" if "/shards/" in line else line for line in found)


# --- which form of the index ------------------------------------------------------------------------------------------


def test_for_a_spec_shards_are_read_and_nothing_else(server: ReadableServer, tmp_path: Path) -> None:
    """The index of shards in each subdir, and the one shard of that name."""
    assert statuses(attempt(server.channel_url, "boat", workdir=tmp_path)) == {"boat-1.0-h0_0.conda": "fetched"}
    assert index_requests(server) == [
        "200 linux-64/repodata_shards.msgpack.zst",
        "200 linux-64/shards/",
        "200 noarch/repodata_shards.msgpack.zst",
    ]


def test_with_deps_reads_the_shards_of_what_may_be_needed(server: ReadableServer, tmp_path: Path) -> None:
    """Dependencies of dependencies included; of other packages, nothing is read."""
    report = attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True)
    assert statuses(report) == {"boat-1.0-h0_0.conda": "fetched", "hull-1.0-h0_0.conda": "fetched"}
    assert index_requests(server).count("200 linux-64/shards/") == 1
    assert index_requests(server).count("200 noarch/shards/") == 1
    assert "repodata.json" not in "".join(server.asked())


def test_a_whole_subdir_is_read_compressed(server: ReadableServer, tmp_path: Path) -> None:
    """One request, for one file."""
    report = attempt(server.channel_url, workdir=tmp_path)
    assert statuses(report) == {"boat-1.0-h0_0.conda": "fetched", "oar-1.0-h0_0.conda": "fetched"}
    assert index_requests(server) == ["200 linux-64/repodata.json.zst"]


@pytest.mark.parametrize("form", FORMS)
def test_one_form_of_the_index_is_enough_for_a_spec(archives: list[Path], tmp_path: Path, form: str) -> None:
    """Whichever the channel has; with dependencies too."""
    with ReadableServer(channel(*archives, forms=[form])) as server:
        found = attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True)
        again = attempt(server.channel_url, "hull <1", workdir=tmp_path)
    assert statuses(found) == {"boat-1.0-h0_0.conda": "fetched", "hull-1.0-h0_0.conda": "fetched"}
    assert statuses(again) == {"hull-0.9-h0_0.tar.bz2": "fetched"}
    server.assert_clean()


@pytest.mark.parametrize("form", ["zst", "json", "shards"])
def test_one_form_of_the_index_is_enough_for_a_subdir(archives: list[Path], tmp_path: Path, form: str) -> None:
    """Whichever the channel has."""
    with ReadableServer(channel(*archives, forms=[form])) as server:
        found = attempt(server.channel_url, workdir=tmp_path)
    assert statuses(found) == {"boat-1.0-h0_0.conda": "fetched", "oar-1.0-h0_0.conda": "fetched"}


def test_forms_may_differ_from_subdir_to_subdir(archives: list[Path], tmp_path: Path) -> None:
    """As on a server that is in the middle of a change."""
    contents = channel(*archives)
    del contents["noarch/repodata_shards.msgpack.zst"], contents["noarch/repodata.json.zst"]
    with ReadableServer(contents) as server:
        report = attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True)
    assert statuses(report) == {"boat-1.0-h0_0.conda": "fetched", "hull-1.0-h0_0.conda": "fetched"}


def test_a_channel_without_the_subdir_has_noarch(archives: list[Path], tmp_path: Path) -> None:
    """A channel of noarch packages only serves every platform."""
    with ReadableServer(channel(archives[1])) as server:
        report = attempt(server.channel_url, "hull", workdir=tmp_path, subdirs="osx-arm64", with_deps=True)
    assert statuses(report) == {"hull-1.0-h0_0.conda": "fetched"}


def test_a_url_that_is_no_channel_is_told(server: ReadableServer, tmp_path: Path) -> None:
    """With a hint that it may be private."""
    server.contents = {}
    report = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert (problem(report).code, report.exit_status) == ("no-channel", ExitStatus.FAILED)
    assert "private" in problem(report).hint


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_is_out_of_order_is_no_channel_that_is_not_there(server, tmp_path: Path, status: int) -> None:
    """It is tried again, and then told as what it is; nothing is concluded from it."""
    server.plan(Fault("status", when="index", status=status, times=None))
    report = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert str(status) in problem(report).message
    assert problem(report).code != "no-channel"
    assert len(server.of_step("index")) >= 2


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_an_index_that_has_not_changed_is_not_sent_again(server: ReadableServer, tmp_path: Path) -> None:
    """The second run asks whether it still holds, and shards, whose names are their hashes, are not asked for."""
    for specs, form in ((["boat"], "repodata_shards.msgpack.zst"), ([], "repodata.json.zst")):
        attempt(server.channel_url, *specs, workdir=tmp_path)
        since = len(server.requests)
        report = attempt(server.channel_url, *specs, workdir=tmp_path, force=True)
        assert set(statuses(report).values()) == {"identical"}
        assert f"304 linux-64/{form}" in server.asked()[since:]
        assert not [line for line in server.asked()[since:] if not line.startswith("304 ")]


@pytest.mark.parametrize("form", FORMS)
def test_an_index_that_has_changed_is_noticed(archives: list[Path], tmp_path: Path, form: str) -> None:
    """At once: what was published a second ago is found."""
    newer = make_conda(tmp_path / "new", "boat", "2.0", subdir="linux-64")
    with ReadableServer(channel(*archives, forms=[form])) as server:
        attempt(server.channel_url, "boat", workdir=tmp_path)
        server.contents = channel(*archives, newer, forms=[form])
        assert statuses(attempt(server.channel_url, "boat", workdir=tmp_path)) == {newer.name: "fetched"}
    kept = [name for name in files(tmp_path / "cache") if not name.endswith((".note", ".shard"))]
    assert len(kept) == 2  # the older ones are gone; noarch has one as well


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_what_is_kept_is_for_nobody_elses_eyes(server: ReadableServer, tmp_path: Path) -> None:
    """Indexes of private channels are in there."""
    attempt(server.channel_url, "boat", workdir=tmp_path)
    assert stat.S_IMODE((tmp_path / "cache/indexes").stat().st_mode) == 0o700


@pytest.mark.parametrize("garbage", [b"", b"\0garbage", b"{}", b'{"url": 3}', b"[" * 100_000])
@pytest.mark.parametrize("specs", [["boat"], []], ids=["shards", "whole"])
def test_what_is_kept_may_be_garbage(server: ReadableServer, tmp_path: Path, garbage: bytes, specs: list[str]) -> None:
    """Notes and shards that are damaged are read again from the server."""
    attempt(server.channel_url, *specs, workdir=tmp_path)
    for path in (tmp_path / "cache").rglob("*"):
        if path.suffix in {".note", ".shard"}:
            path.write_bytes(garbage)
    report = attempt(server.channel_url, *specs, workdir=tmp_path)
    assert set(statuses(report).values()) == {"identical"}


@pytest.mark.parametrize("garbage", [b"", b"\0garbage", b"{}"])
@pytest.mark.parametrize("form", FORMS)
def test_an_index_that_was_damaged_on_the_disk_is_read_again(
    archives: list[Path], tmp_path: Path, garbage: bytes, form: str
) -> None:
    """A full disk, or a power cut, must not spoil every run that follows."""
    with ReadableServer(channel(*archives, forms=[form])) as server:
        attempt(server.channel_url, "boat", workdir=tmp_path)
        for path in (tmp_path / "cache/indexes").iterdir():
            if path.suffix not in {".note", ".shard"}:
                path.write_bytes(garbage)
        report = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert statuses(report) == {"boat-1.0-h0_0.conda": "identical"}


def test_what_is_kept_may_be_removed(server: ReadableServer, tmp_path: Path) -> None:
    """All of it, or a part."""
    attempt(server.channel_url, "boat", workdir=tmp_path)
    for number, path in enumerate(sorted((tmp_path / "cache/indexes").iterdir())):
        if number % 2:
            path.unlink()
    assert statuses(attempt(server.channel_url, "boat", workdir=tmp_path)) == {"boat-1.0-h0_0.conda": "identical"}


def test_a_cache_that_cannot_be_made_is_told(server: ReadableServer, tmp_path: Path) -> None:
    """With the variable that names another place."""
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    report = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert problem(report).code == "disk"
    assert "KEELBACK_CACHE_DIR" in problem(report).hint


def test_eight_runs_at_once_share_what_is_kept(server: ReadableServer, tmp_path: Path) -> None:
    """Threads of one program, with one cache: each gets the right answer, and nothing is left half written."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only here

    def one(number: int) -> dict[str, str]:
        return statuses(attempt(server.channel_url, "boat", workdir=tmp_path, to=tmp_path / f"out{number}"))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(8)))
    assert found == [{"boat-1.0-h0_0.conda": "fetched"}] * 8
    assert statuses(attempt(server.channel_url, "boat", workdir=tmp_path)) == {"boat-1.0-h0_0.conda": "fetched"}


# --- where the archives are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("absolute", [False, True])
def test_archives_may_be_elsewhere(archives: list[Path], tmp_path: Path, form: str, *, absolute: bool) -> None:
    """``base_url`` of the index, absolute or relative to it (CEP 15)."""
    boat = archives[0]
    with ReadableServer({f"files/{boat.name}": boat.read_bytes()}) as other:
        where = f"{other.channel_url}/files/" if absolute else "../files/"
        contents = channel(*archives, forms=[form], base_url=where)
        contents.pop(f"linux-64/{boat.name}")
        with ReadableServer(contents | {f"files/{boat.name}": boat.read_bytes()}) as server:
            (outcome,) = attempt(server.channel_url, "boat", workdir=tmp_path).outcomes
    assert outcome.status == Status.FETCHED
    assert outcome.url == f"{(other if absolute else server).channel_url}/files/{boat.name}"
    assert (tmp_path / "out/linux-64" / boat.name).read_bytes() == boat.read_bytes()


def test_shards_may_be_elsewhere(archives: list[Path], tmp_path: Path) -> None:
    """``shards_base_url`` of the index of shards (CEP 16)."""
    with ReadableServer() as other, ReadableServer() as server:
        server.contents = channel(*archives, shards_base_url=f"{other.channel_url}/noarch/shards/")
        shards = {path: content for path, content in server.contents.items() if "/shards/" in path}
        other.contents = {f"noarch/shards/{path.rpartition('/')[2]}": content for path, content in shards.items()}
        report = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert statuses(report) == {"boat-1.0-h0_0.conda": "fetched"}
    assert other.steps() == ["shard"]


def test_a_package_is_fetched_by_its_url(server: ReadableServer, tmp_path: Path) -> None:
    """As a browser shows it."""
    url = f"{server.channel_url}/noarch/hull-0.9-h0_0.tar.bz2"
    assert statuses(attempt(url, workdir=tmp_path, subdirs=())) == {"hull-0.9-h0_0.tar.bz2": "fetched"}
    done = run_keelback(["fetch", url, "-o", tmp_path / "other"])
    assert (done.returncode, files(tmp_path / "other")) == (0, ["noarch/hull-0.9-h0_0.tar.bz2"])


# --- archives ---------------------------------------------------------------------------------------------------------


def test_one_failure_does_not_hide_the_others(server: ReadableServer, tmp_path: Path) -> None:
    """What fails is told of that archive; exit status 1."""
    server.plan(Fault("status", when="archive", status=404, file="oar-1.0-h0_0.conda", times=None))
    report = attempt(server.channel_url, workdir=tmp_path)
    assert statuses(report) == {"boat-1.0-h0_0.conda": "fetched", "oar-1.0-h0_0.conda": "failed"}
    assert report.exit_status == ExitStatus.FAILED
    assert files(tmp_path / "out") == ["linux-64/boat-1.0-h0_0.conda"]


@pytest.mark.parametrize("kind", ["truncated", "reset", "garbage"])
def test_an_archive_that_breaks_off_is_tried_again(server: ReadableServer, tmp_path: Path, kind: str) -> None:
    """Once here; and the outcome says that it took two attempts."""
    server.plan(Fault(kind, when="archive"))
    (outcome,) = attempt(server.channel_url, "boat", workdir=tmp_path).outcomes
    assert (outcome.status, outcome.attempts) == (Status.FETCHED, 2)


def test_bytes_that_the_index_does_not_name_are_not_kept(server: ReadableServer, tmp_path: Path) -> None:
    """However politely they were served; under no name."""
    server.contents["linux-64/boat-1.0-h0_0.conda"] = b"<html>Please log in</html>"
    (outcome,) = attempt(server.channel_url, "boat", workdir=tmp_path).outcomes
    assert (outcome.status, outcome.error.code) == (Status.FAILED, "bad-download")
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize("known", ["sha256", "md5", "neither"])
def test_what_the_index_knows_of_an_archive_is_verified(server: ReadableServer, tmp_path: Path, known: str) -> None:
    """Old records have an MD5 only, or no hash at all: the user is told what it is worth."""
    boat = make_conda(tmp_path / "dist", "boat", subdir="linux-64")
    record = dict(keelback.inspect(boat).index) | {"subdir": "linux-64", "size": boat.stat().st_size}
    if known != "neither":
        record[known] = getattr(keelback.inspect(boat), known)
    told = Notes()
    server.contents = {**channel(), **index_files("linux-64", {boat.name: record})}
    server.contents[f"linux-64/{boat.name}"] = boat.read_bytes()
    (outcome,) = attempt(server.channel_url, "boat", workdir=tmp_path, reporter=told).outcomes
    assert outcome.status == Status.FETCHED
    assert outcome.sha256 == keelback.inspect(boat).sha256
    assert len(told.notes) == (known != "sha256")
    server.contents[f"linux-64/{boat.name}"] = bytes(boat.stat().st_size)
    (outcome,) = attempt(server.channel_url, "boat", workdir=tmp_path / "again", reporter=told).outcomes
    assert outcome.status == (Status.FETCHED if known == "neither" else Status.FAILED)


class Notes(Reporter):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.received_bytes = 0

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)

    def received(self, archive: Archive, count: int) -> None:  # noqa: ARG002 - the base class names it
        """Count it."""
        self.received_bytes += count


def test_a_reporter_is_told_of_every_byte(server: ReadableServer, tmp_path: Path) -> None:
    """As a progress bar wants it."""
    told = Notes()
    (outcome,) = attempt(server.channel_url, "boat", workdir=tmp_path, reporter=told).outcomes
    assert told.received_bytes == outcome.size == (tmp_path / "out/linux-64/boat-1.0-h0_0.conda").stat().st_size


def test_what_is_locked_is_fetched_without_any_index(server: ReadableServer, tmp_path: Path) -> None:
    """The lock file has everything that is needed."""
    attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=True, lock=tmp_path / "boat.lock")
    since = len(server.requests)
    report = keelback.fetch_locked(tmp_path / "boat.lock", to=tmp_path / "other", retry=QUICK)
    assert set(statuses(report).values()) == {"fetched"}
    assert [request.step for request in server.requests[since:]] == ["archive"] * 2
    assert files(tmp_path / "other") == ["linux-64/boat-1.0-h0_0.conda", "noarch/hull-1.0-h0_0.conda"]
