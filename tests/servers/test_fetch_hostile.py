"""Fetching from servers that are broken, hostile, or just large, and runs that are stopped.

Whatever comes: one line that says whose fault it is, no file outside the folder, none half written, no traceback.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trustme

import keelback
from cli_runner import run_keelback, start_keelback
from keelback import ExitStatus
from keelback.channels import subdirindex
from making import make_conda, zstd
from servers.fetch_runs import attempt, files, problem, statuses
from servers.scripted import Answer, Fault
from servers.scripted.channel_server import FILES, FORMS, ReadableServer, channel, index_files

if TYPE_CHECKING:
    from pathlib import Path

    from keelback import Report
    from servers.scripted import Exchange

BOAT = "boat-1.0-h0_0.conda"


@pytest.fixture
def boat(tmp_path: Path) -> Path:
    """A package."""
    return make_conda(tmp_path / "dist", "boat", subdir="linux-64")


@pytest.fixture
def record(boat: Path) -> dict[str, Any]:
    """What an honest index says of it."""
    archive = keelback.inspect(boat)
    hashes = {"sha256": archive.sha256, "md5": archive.md5, "size": archive.size}
    return {**archive.index, "subdir": "linux-64", **hashes}


def served(records: dict[str, Any], form: str, boat: Path, **where: str) -> ReadableServer:
    """A channel whose index of linux-64 has *records*, in one form, and which gives the package for any archive."""
    contents = {**channel(forms=[form]), **index_files("linux-64", records, [form], **where)}
    return Generous(contents, boat.read_bytes())


class Generous(ReadableServer):
    """Has the same bytes under any name of an archive."""

    def __init__(self, contents: dict[str, Any], archive: bytes) -> None:
        super().__init__(contents)
        self._archive = archive

    def not_found(self, exchange: Exchange) -> Answer:
        """Whatever else is asked for."""
        exchange.discard()
        return Answer(200, self._archive)


def assert_one_line(report: Report, workdir: Path, *codes: str) -> None:
    """It failed with one of *codes*, in few words, and nothing was written."""
    errors = [report.error, *(outcome.error for outcome in report.outcomes)]
    found = [error for error in errors if error is not None]
    assert found
    assert {error.code for error in found} <= set(codes), found
    assert all(len(error.message) < 600 and "\n" not in error.message for error in found), found
    assert report.exit_status == ExitStatus.FAILED
    assert not [
        name for name in files(workdir) if name.endswith((".conda", ".tar.bz2")) and not name.startswith("dist/")
    ]


# --- indexes that are none --------------------------------------------------------------------------------------------

DOCUMENTS = {
    "html": b"<!DOCTYPE html><html><body>Please log in</body></html>",
    "binary": bytes(range(256)) * 10,
    "a string": b'"packages"',
    "a list": b"[]",
    "null": b"null",
    "truncated": b'{"info":{"subdir":"linux-64"},"packages":{},"packages.conda":{"boat-1.0-h0_0.conda":{"name":"bo',
    "deep": b"[" * 1_000_000,
    "records that are a list": b'{"packages.conda":[{"name":"boat"}]}',
    "records that are a string": b'{"packages.conda":"boat"}',
    "a record that is null": b'{"packages.conda":{"boat-1.0-h0_0.conda":null}}',
    "a record without anything": b'{"packages.conda":{"boat-1.0-h0_0.conda":{}}}',
    "twice the same key": b'{"packages.conda":{},"packages.conda":{}}',
    "not UTF-8": b'{"packages.conda":{"boat-1.0-h0_0.conda":{"name":"\xff\xfe"}}}',
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("form", ["zst", "json"])
@pytest.mark.parametrize("specs", [["boat"], []], ids=["spec", "subdir"])
def test_a_repodata_that_is_none_is_told(tmp_path: Path, form: str, specs: list[str], document: bytes) -> None:
    """As the fault of whoever runs the channel; read twice, it does not get better."""
    content = zstd(document) if form == "zst" else document
    with ReadableServer({**channel(), f"linux-64/{FILES[form]}": content}) as server:
        for _ in range(2):
            report = attempt(server.channel_url, *specs, workdir=tmp_path)
            if report.error is None:  # a list of nothing is nothing
                assert report.outcomes == []
            else:
                assert_one_line(report, tmp_path, "bad-index", "no-match")


@pytest.mark.parametrize(
    "content",
    [
        b"<html></html>",
        zstd(b"<html></html>"),
        zstd(msgspec.msgpack.encode({}))[:-4],
        zstd(msgspec.msgpack.encode([])),
        zstd(msgspec.msgpack.encode({"info": 3, "shards": {}})),
        zstd(msgspec.msgpack.encode({"info": {}, "shards": []})),
        zstd(msgspec.msgpack.encode({"info": {}, "shards": {"boat": "text"}})),
        zstd(msgspec.msgpack.encode({"info": {}, "shards": {"boat": b"short"}})),
        zstd(msgspec.msgpack.encode({"info": {"shards_base_url": 7}, "shards": {"boat": bytes(32)}})),
        zstd(msgspec.msgpack.encode({"info": {"base_url": 7}, "shards": {}})),
        zstd(b"\x91" * 1_000_000),
    ],
)
def test_an_index_of_shards_that_is_none_is_told(tmp_path: Path, content: bytes) -> None:
    """There may be a good ``repodata.json`` beside it; but which of them is right?"""
    with ReadableServer({**channel(), f"linux-64/{FILES['shards']}": content}) as server:
        assert_one_line(attempt(server.channel_url, "boat", workdir=tmp_path), tmp_path, "bad-index")


@pytest.mark.parametrize("damage", ["other bytes", "gone", "a page", "a map of nothing"])
@pytest.mark.parametrize("with_deps", [False, True])
def test_a_shard_that_is_not_the_one_is_told(boat: Path, tmp_path: Path, damage: str, *, with_deps: bool) -> None:
    """The index says what its hash is."""
    contents = channel(boat)
    (place,) = [path for path in contents if "/shards/" in path]
    damaged = {
        "other bytes": contents[place] + b"x",
        "gone": 404,
        "a page": b"<html>",
        "a map of nothing": zstd(b"\x80"),
    }
    with ReadableServer({**contents, place: damaged[damage]}) as server:
        report = attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=with_deps)
    assert_one_line(report, tmp_path, "bad-index", "not-found", "server", "no-match")


@pytest.mark.parametrize("form", ["zst", "shards"])
@pytest.mark.parametrize("damage", ["cut", "empty", "more"])
def test_an_index_of_which_a_part_is_missing_is_no_index_of_nothing(
    boat: Path, tmp_path: Path, form: str, damage: str
) -> None:
    """Nothing to do, and exit status 0, would be the worst answer."""
    contents = channel(boat, forms=[form])
    packed = contents[f"linux-64/{FILES[form]}"]
    damaged = {"cut": packed[:-5], "empty": b"", "more": packed + packed}
    with ReadableServer({**contents, f"linux-64/{FILES[form]}": damaged[damage]}) as server:
        report = attempt(server.channel_url, *(["boat"] if form == "shards" else []), workdir=tmp_path)
    assert_one_line(report, tmp_path, "bad-index")
    assert f"{server.channel_url}/linux-64/{FILES[form]}" in problem(report).message


def test_an_empty_repodata_says_nothing(boat: Path, tmp_path: Path) -> None:
    """CEP 36; the plain file alone may be empty."""
    with ReadableServer({**channel(boat, forms=["json"]), "linux-64/repodata.json": b""}) as server:
        report = attempt(server.channel_url, workdir=tmp_path)
    assert (report.ok, report.outcomes) == (True, [])


@pytest.mark.parametrize("form", FORMS)
def test_a_web_page_in_place_of_an_index_is_told_as_that(boat: Path, tmp_path: Path, form: str) -> None:
    """With the URL of the channel, and a hint that it may be a log-in page."""
    page = b"\n<!DOCTYPE html>\n<html><body>Please log in</body></html>"
    with ReadableServer({**channel(boat, forms=[form]), f"linux-64/{FILES[form]}": page}) as server:
        report = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert problem(report).message == f"{server.channel_url} sent a web page in place of its index"
    assert "log-in page" in problem(report).hint
    assert f"keelback auth check {server.channel_url}" in problem(report).hint
    assert report.exit_status == ExitStatus.FAILED


def test_a_record_with_what_json_has_not_is_told(boat: Path, record, tmp_path: Path) -> None:
    """MessagePack has types of its own."""
    odd = {**record, "x": msgspec.msgpack.Ext(5, b"x")}
    shard = zstd(msgspec.msgpack.encode({"packages": {}, "packages.conda": {BOAT: odd}}))
    digest = hashlib.sha256(shard).digest()
    index = {"info": {"base_url": "./", "shards_base_url": "./shards/"}, "shards": {"boat": digest}}
    contents = {
        **channel(boat),
        f"linux-64/{FILES['shards']}": zstd(msgspec.msgpack.encode(index)),
        f"linux-64/shards/{digest.hex()}.msgpack.zst": shard,
    }
    with ReadableServer(contents) as server:
        assert_one_line(attempt(server.channel_url, "boat", workdir=tmp_path), tmp_path, "bad-index")


def test_dependencies_without_an_end_are_given_up(tmp_path: Path, record, boat: Path, monkeypatch) -> None:
    """Each round asks for more shards."""
    monkeypatch.setattr(subdirindex, "_ROUNDS", 5)
    chain = {
        f"boat{number}-1.0-h0_0.conda": {**record, "name": f"boat{number}", "depends": [f"boat{number + 1}"]}
        for number in range(10)
    }
    with served(chain, "shards", boat) as server:
        report = attempt(server.channel_url, "boat0", workdir=tmp_path, with_deps=True)
    assert_one_line(report, tmp_path, "bad-index")


def test_what_the_solver_says_of_a_hostile_index_is_cleaned_and_cut(tmp_path: Path, record, boat: Path) -> None:
    """A title for the terminal in the name of a dependency; and one of five thousand letters."""
    for number, name in enumerate(["zz\x1b]0;PWNED\x07", "z" * 5000]):
        with served({BOAT: {**record, "depends": [f"{name} >=1"]}}, "json", boat) as server:
            report = attempt(server.channel_url, "boat", workdir=tmp_path / str(number), with_deps=True)
        assert "\x1b" not in problem(report).message
        assert len(problem(report).message) < 2200


# --- records that lie -------------------------------------------------------------------------------------------------

LIES = {
    "size": [1, 10**9, -1, 2**63, 2**70, "large", 1.5, []],
    "sha256": ["0" * 64, "0" * 63, "x" * 64, "", 7, []],
    "md5": ["x" * 32, 7],
    "depends": ["hull", 7, None, [7], [None], {"hull": 1}],
    "name": ["", None, "../boat", "canoe", 7],
    "version": ["", None, "1.0/..", 7],
    "build": [None, 7],
    "build_number": [-1, 2**70, "one"],
    "timestamp": [-1, 2**63, 2**70, "now"],
    "track_features": [7, {"a": "b"}],
    "subdir": ["../..", "noarch/..", "win-64", 7, ""],
    "url": ["file:///etc/passwd", "javascript:alert(1)"],
    "fn": ["../../x-1-0.conda"],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("field", LIES)
def test_a_record_that_lies_harms_nobody(boat: Path, record, tmp_path: Path, form: str, field: str) -> None:
    """Either the archive is what the hash says, under its own name, or there is an error."""
    lies = [
        lie for lie in LIES[field] if form != "shards" or not isinstance(lie, int) or lie < 2**64
    ]  # what MessagePack has
    for number, lie in enumerate(lies):
        for with_deps in (False, True) if field == "depends" or (number == 0 and form == "json") else (False,):
            workdir = tmp_path / f"{number}{with_deps}"
            with served({BOAT: {**record, field: lie}}, form, boat) as server:
                server.contents[f"linux-64/{BOAT}"] = boat.read_bytes()
                report = attempt(server.channel_url, "boat", workdir=workdir, with_deps=with_deps)
            if report.ok:
                assert files(workdir / "out") == [f"linux-64/{BOAT}"]
                assert (workdir / "out/linux-64" / BOAT).read_bytes() == boat.read_bytes()
            else:
                assert_one_line(report, workdir, "bad-index", "bad-download", "no-match", "no-solution", "not-found")


@pytest.mark.parametrize("lie", ["size", "sha256"])
def test_bytes_that_are_not_as_the_record_says_are_not_kept(boat: Path, record, tmp_path: Path, lie: str) -> None:
    """``bad-download``, which says what differs."""
    wrong = {**record, "size": record["size"] + 1} if lie == "size" else {**record, "sha256": "0" * 64}
    with served({BOAT: wrong}, "json", boat) as server:
        server.contents[f"linux-64/{BOAT}"] = boat.read_bytes()
        report = attempt(server.channel_url, "boat", workdir=tmp_path)
    assert_one_line(report, tmp_path, "bad-download")


FILENAMES = [
    "../../x-1-0.conda",
    "..\\..\\x-1-0.conda",
    "/tmp/x-1-0.conda",
    "C:\\x-1-0.conda",
    "C:x-1-0.conda",
    "x/../y-1-0.conda",
    "%2e%2e%2fx-1-0.conda",
    "x\0y-1-0.conda",
    "x\ny-1-0.conda",
    "x y-1-0.conda",
    "CON.x-1-0.conda",
    "x-1-0.conda ",
    "x-1-0.conda:stream",
    f"{'x' * 300}-1-0.conda",
    "-x-1-0.conda",
    "\N{FULLWIDTH LATIN SMALL LETTER X}-1-0.conda",
    "x.conda",
    ".conda",
    "",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("filename", FILENAMES)
def test_a_file_name_that_leads_elsewhere_is_refused(boat: Path, record, tmp_path: Path, form: str, filename) -> None:
    """Nothing of the channel's subdir is fetched, and no file is made anywhere."""
    with served({filename: record}, form, boat) as server:
        workdir = tmp_path / "a" / "b" / "c"
        reports = [attempt(server.channel_url, "boat", workdir=workdir)]
        if form == "zst":
            reports.append(attempt(server.channel_url, workdir=workdir))
        if form == "json":
            reports.append(attempt(server.channel_url, "boat", workdir=workdir, with_deps=True))
    for report in reports:
        assert_one_line(report, workdir, "bad-index", "no-match", "no-solution")
    assert not [name for name in files(tmp_path) if name.endswith(".conda") and not name.startswith("dist/")]


PLACES = [
    "file:///etc/",
    "javascript:alert(1)/",
    "data:text/html,",
    "ftp://host.example/",
    "http://",
    "http://[bad/",
    "http://:99999/",
    "http://host.example:99999/",
    "http://a b/",
    "\\\\host.example\\",
    "//",
    "\0",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("where", PLACES)
def test_a_base_url_that_is_no_place_for_archives(boat: Path, record, tmp_path: Path, form: str, where: str) -> None:
    """Where it is no URL of a web server, it is refused, or is a path on the channel's own; nobody else is asked."""
    with served({BOAT: record}, form, boat, base_url=where) as server:
        report = attempt(server.channel_url, "boat", workdir=tmp_path)
        solved = attempt(server.channel_url, "boat", workdir=tmp_path, with_deps=form == "json", dry_run=True)
    if report.ok:
        assert report.outcomes[0].url.startswith(server.url)
        assert (tmp_path / "out/linux-64" / BOAT).read_bytes() == boat.read_bytes()
    else:
        assert_one_line(report, tmp_path, "bad-index", "transport", "server", "not-found")
        assert problem_code(solved) in {"bad-index", "no-solution", None}


def problem_code(report: Report) -> str | None:
    """Why it ended early, if it did."""
    return None if report.error is None else report.error.code


def test_a_server_cannot_have_a_file_of_this_machine_read(boat: Path, record, tmp_path: Path) -> None:
    """Even where it knows where the file is, and what is in it."""
    for form in FORMS:
        where = (tmp_path / "dist").as_uri() + "/"
        with served({BOAT: record}, form, boat, base_url=where) as server:
            report = attempt(server.channel_url, "boat", workdir=tmp_path / form)
        assert_one_line(report, tmp_path / form, "bad-index")


@pytest.mark.parametrize("what", ["shards", "archives"])
def test_what_came_encrypted_does_not_lead_to_what_is_not(boat: Path, tmp_path: Path, what: str) -> None:
    """An index that was read by https cannot have shards at http; archives are verified by its hashes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with ReadableServer() as plain, ReadableServer(tls=context) as secure:
        where = {"shards_base_url" if what == "shards" else "base_url": f"{plain.channel_url}/linux-64/"}
        secure.contents = channel(boat, **where)
        shards = {
            path.replace("shards/", ""): content for path, content in secure.contents.items() if "shards/" in path
        }
        plain.contents = {**shards, f"linux-64/{BOAT}": boat.read_bytes()}
        report = attempt(secure.channel_url, "boat", workdir=tmp_path, insecure_hosts=["127.0.0.1"])
    if what == "shards":
        assert_one_line(report, tmp_path, "bad-index")
        assert plain.requests == []
    else:
        assert statuses(report) == {BOAT: "fetched"}


# --- more than is good for anybody ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["zst", "shards"])
def test_a_bomb_is_found_out(tmp_path: Path, form: str) -> None:
    """A few kilobytes that unpack to a hundred times as much."""
    bomb = zstd(b'{"packages":{"' + bytes(64 << 20) + b'":{}}}')
    with ReadableServer({**channel(), f"linux-64/{FILES[form]}": bomb}) as server:
        specs = ["boat"] if form == "shards" else []
        assert_one_line(attempt(server.channel_url, *specs, workdir=tmp_path), tmp_path, "bad-index")
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()) < 1 << 20


@pytest.mark.parametrize("form", FORMS)
def test_no_more_is_read_than_an_index_may_have(tmp_path: Path, monkeypatch, form: str) -> None:
    """And nothing of it stays on the disk."""
    for name in ("REPODATA_LIMIT", "_SHARD_INDEX_PACKED", "_REPODATA_PACKED"):
        monkeypatch.setattr(subdirindex, name, 1 << 20)
    with ReadableServer({**channel(), f"linux-64/{FILES[form]}": bytes((1 << 20) + 1)}) as server:
        if form == "json":
            server.contents.pop("linux-64/repodata.json.zst", None)
        specs = ["boat"] if form == "shards" else []
        report = attempt(server.channel_url, *specs, workdir=tmp_path)
    assert "larger than 1048576 bytes" in problem(report).message
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()) < 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="measured with what Linux has")
def test_an_index_of_300_megabytes_takes_no_memory_to_speak_of(boat: Path, record, tmp_path: Path) -> None:
    """It goes to the disk, and is searched there."""
    entry = json.dumps({**record, "name": "oar", "filler": "x" * 8000})
    members = [f'"{BOAT}":{json.dumps(record)}', *(f'"oar-{number}.0-h0_0.conda":{entry}' for number in range(35_000))]
    content = b'{"info":{"subdir":"linux-64"},"packages":{},"packages.conda":{%b}}' % ",".join(members).encode()
    del members
    assert len(content) > 290_000_000
    code = (
        "import keelback, pathlib, re, sys; "
        "report = keelback.fetch(sys.argv[1], 'boat', subdirs='linux-64', to='out', cache='cache', keychain=False); "
        "peak = re.search(r'VmHWM:\\s*(\\d+)', pathlib.Path('/proc/self/status').read_text())[1]; "
        "print(report.exit_status.value, int(peak) // 1024)"
    )
    with ReadableServer({**channel(boat, forms=["json"]), "linux-64/repodata.json": content}) as server:
        done = subprocess.run(
            [sys.executable, "-c", code, server.channel_url],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
    status, megabytes = map(int, done.stdout.split())
    assert status == ExitStatus.OK
    assert files(tmp_path / "out") == [f"linux-64/{BOAT}"]
    assert (
        megabytes < len(content) / 1e6 + 120
    )  # the file, mapped into memory, counts as well; it is given back at will


# --- stopping ---------------------------------------------------------------------------------------------------------

can_be_stopped = pytest.mark.skipif(
    os.name == "nt" or signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    reason="signals do not reach the children of this process",
)


@can_be_stopped
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stopped_run_says_what_arrived(tmp_path: Path, name: str) -> None:
    """Ctrl-C: it ends at once, with 130; no file is half there, and the next run does only what is left."""
    five = [make_conda(tmp_path / "dist", f"boat{number}", subdir="linux-64") for number in range(5)]
    out = tmp_path / "out"
    with ReadableServer(channel(*five), faults=[Fault("stall", when="archive", nth=3, times=None)]) as server:
        arguments = ["fetch", server.channel_url, "--subdir", "linux-64", "-o", str(out), "--json", "-j", "1"]
        running = start_keelback(arguments)
        server.wait_for("archive", 3)
        running.process.send_signal(getattr(signal, name))
        done = running.finish(timeout=15)
        there = files(out)
        server.behave()
        again = run_keelback(arguments)
    assert done.returncode == ExitStatus.INTERRUPTED
    (found,) = done.json()["channels"]
    assert sorted(outcome["status"] for outcome in found["outcomes"]) == [
        "failed", "fetched", "fetched", "not-attempted", "not-attempted",
    ]  # fmt: skip
    arrived = {outcome["file"] for outcome in found["outcomes"] if outcome["status"] == "fetched"}
    assert {str(out / name) for name in there} == arrived
    assert found["error"]["code"] == "interrupted"
    assert "again" in found["error"]["hint"]
    assert again.json()["channels"][0]["summary"] == {"fetched": 3, "identical": 2}


@can_be_stopped
@pytest.mark.parametrize("step", ["index", "shard"])
def test_a_run_stopped_before_it_is_known_what_to_fetch(boat: Path, tmp_path: Path, step: str) -> None:
    """130 as well, and nothing was written."""
    with ReadableServer(channel(boat), faults=[Fault("stall", when=step, times=None)]) as server:
        running = start_keelback(["fetch", server.channel_url, "boat", "--subdir", "linux-64", "-o", tmp_path / "out"])
        server.wait_for(step)
        running.process.send_signal(signal.SIGINT)
        done = running.finish(timeout=15)
    assert done.returncode == ExitStatus.INTERRUPTED
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
