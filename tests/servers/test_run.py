"""The run: what becomes of each archive in each kind of channel, and how a run is told, stopped and repeated."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import trustme

import leaks
from cli_runner import run_keelback, start_keelback
from keelback import ExitStatus, KeelbackError, Problem, Report, Retry, Status, publish
from keelback.errors import CredentialError, UsageError
from keelback.report import Reporter
from making import make_conda, make_tar_bz2
from servers.scripted import AnacondaServer, ArtifactoryServer, Fault, PrefixServer, QuetzServer, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keelback import Outcome, PackageArchive

SERVERS = {"prefix": PrefixServer, "anaconda": AnacondaServer, "quetz": QuetzServer, "artifactory": ArtifactoryServer}
VARIABLES = {
    "prefix": "PREFIX_API_KEY",
    "anaconda": "ANACONDA_API_KEY",
    "quetz": "QUETZ_API_KEY",
    "artifactory": "ARTIFACTORY_TOKEN",
}
QUICK = Retry(attempts=3, base=0.01)
INDEXED = "noarch/demo-1.0-h0_0.conda"
ASKING = {"graphql"}
"""Steps that are a POST and yet change nothing."""


def attempt(server: ScriptedServer, token: str, *paths: Path, **options) -> Report:
    """The report of a run, also of one that ends before anything is sent."""
    try:
        return publish(paths, server.publish_url, **{"api_key": token, "retry": QUICK, "timeout": 10.0, **options})
    except KeelbackError as error:
        return Report(error=Problem.of(error))


def outcome_of(report: Report) -> Outcome:
    """The one outcome of a run with one archive and one channel."""
    assert report.error is None, report.error
    (outcome,) = report.outcomes
    return outcome


def statuses(report: Report) -> list[str]:
    """What became of the archives, in order."""
    return [outcome.status.value for outcome in report.outcomes]


def changed_nothing(server: ScriptedServer) -> bool:
    """Whether the server was only asked."""
    return all(request.method in {"GET", "HEAD"} or request.step in ASKING for request in server.requests)


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server."""
    return request.param


@pytest.fixture
def ten(tmp_path: Path) -> list[Path]:
    """Ten packages, in the order in which a run takes them."""
    return [make_conda(tmp_path / "ten", f"demo{number}") for number in range(10)]


# --- outcomes ---------------------------------------------------------------------------------------------------------


def test_a_new_file_is_uploaded(kind: str, token: str, demo: Path) -> None:
    """The outcome says what it is, where it is, and how it got there."""
    with SERVERS[kind](token) as server:
        report = attempt(server, token, demo)
    outcome = outcome_of(report)
    digest = hashlib.sha256(demo.read_bytes()).hexdigest()
    assert report.exit_status == ExitStatus.OK
    assert (outcome.status, outcome.attempts, outcome.error) == (Status.UPLOADED, 1, None)
    assert (outcome.name, outcome.version, outcome.build, outcome.subdir) == ("demo", "1.0", "h0_0", "noarch")
    assert (outcome.file, outcome.size, outcome.sha256) == (demo, demo.stat().st_size, digest)
    assert outcome.url.endswith(f"/{INDEXED}")
    assert server.files[INDEXED].sha256 == digest
    server.assert_clean()


def test_publishing_again_changes_nothing(kind: str, token: str, demo: Path) -> None:
    """The same command again: identical, a success, and nothing is stored a second time."""
    with SERVERS[kind](token) as server:
        attempt(server, token, demo)
        report = attempt(server, token, demo)
    assert (statuses(report), report.exit_status) == (["identical"], ExitStatus.OK)
    assert server.files[INDEXED].times_stored == 1
    server.assert_clean()


def test_other_bytes_are_a_conflict(kind: str, token: str, demo: Path, other: bytes) -> None:
    """What is there stays; the error names the file and the three ways out."""
    with SERVERS[kind](token) as server:
        stored = server.put(INDEXED, other)
        report = attempt(server, token, demo)
    error = outcome_of(report).error
    assert (statuses(report), report.exit_status, error.code) == (["failed"], ExitStatus.FAILED, "conflict")
    assert f"{INDEXED} already, with other bytes" in error.message
    assert "build number" in error.hint
    assert "--skip-existing" in error.hint
    assert "--force" in error.hint
    assert server.files[INDEXED] is stored
    server.assert_clean()


def test_skip_existing_keeps_what_is_there(kind: str, token: str, demo: Path, other: bytes) -> None:
    """Other bytes are skipped, a success; new files go, identical ones are called so."""
    new = make_conda(demo.parent, "new")
    with SERVERS[kind](token) as server:
        stored = server.put(INDEXED, other)
        report = attempt(server, token, demo, new, skip_existing=True)
        again = attempt(server, token, new, skip_existing=True)
    assert (statuses(report), statuses(again)) == (["skipped", "uploaded"], ["identical"])
    assert report.ok
    assert server.files[INDEXED] is stored
    server.assert_clean()


def test_force_replaces(kind: str, token: str, demo: Path, other: bytes) -> None:
    """Other bytes are replaced, new files uploaded, and identical ones left alone."""
    new = make_conda(demo.parent, "new")
    with SERVERS[kind](token) as server:
        server.put(INDEXED, other)
        report = attempt(server, token, demo, new, force=True)
        again = attempt(server, token, demo, new, force=True)
    assert (statuses(report), statuses(again)) == (["replaced", "uploaded"], ["identical", "identical"])
    assert server.files[INDEXED].sha256 == hashlib.sha256(demo.read_bytes()).hexdigest()
    server.assert_clean()


@pytest.mark.parametrize(
    ("there", "options", "status"),
    [
        ("nothing", {}, "uploaded"),
        ("same", {}, "identical"),
        ("other", {}, "failed"),
        ("other", {"skip_existing": True}, "skipped"),
        ("other", {"force": True}, "replaced"),
        ("same", {"force": True}, "identical"),
        ("nothing", {"force": True}, "uploaded"),
    ],
)
def test_a_dry_run_says_what_would_be_and_sends_nothing(
    kind: str, token: str, demo: Path, other: bytes, there: str, options: dict[str, bool], status: str
) -> None:
    """Everything is done but sending: the server is asked, and nothing in it changes."""
    with SERVERS[kind](token) as server:
        if there != "nothing":
            server.put(INDEXED, demo.read_bytes() if there == "same" else other)
        report = attempt(server, token, demo, dry_run=True, **options)
    assert (statuses(report), report.dry_run) == ([status], True)
    assert server.requests
    assert changed_nothing(server)
    server.assert_clean()


def test_a_dry_run_finds_a_bad_credential(kind: str, token: str, demo: Path) -> None:
    """What would be refused is refused now."""
    with SERVERS[kind](token, private=True) as server:
        report = attempt(server, leaks.new_secret("wrong"), demo, dry_run=True)
    assert report.exit_status == ExitStatus.CREDENTIAL
    assert changed_nothing(server)


# --- one of many ------------------------------------------------------------------------------------------------------


def test_one_bad_archive_stops_everything(kind: str, token: str, ten: list[Path]) -> None:
    """Nothing leaves before everything is checked: not one request."""
    ten[4].write_bytes(ten[4].read_bytes()[:200])
    with SERVERS[kind](token) as server:
        report = attempt(server, token, *ten)
    assert report.exit_status == ExitStatus.FAILED
    assert statuses(report) == ["not-attempted"] * 4 + ["failed"] + ["not-attempted"] * 5
    assert server.requests == []


def test_one_failure_does_not_stop_the_others(kind: str, token: str, ten: list[Path]) -> None:
    """Nine of ten arrive, and the tenth says why it did not."""
    with SERVERS[kind](token, faults=[Fault("status", status=422, file=ten[3].name, times=None)]) as server:
        report = attempt(server, token, *ten)
        server.behave()
        again = attempt(server, token, *ten)
    assert report.exit_status == ExitStatus.FAILED
    assert statuses(report) == ["uploaded"] * 3 + ["failed"] + ["uploaded"] * 6
    assert report.channels[0].summary == {"uploaded": 9, "failed": 1}
    assert statuses(again) == ["identical"] * 3 + ["uploaded"] + ["identical"] * 6
    server.assert_clean()


def test_a_refused_credential_stops_the_run(kind: str, token: str, ten: list[Path]) -> None:
    """There is no sense in asking eight more times; what arrived is told, and what was not tried."""
    name = ten[2].name

    def from_then_on(request) -> bool:
        return request.filename == name

    fault = Fault("status", when=from_then_on, file=name, status=401, times=None)
    with SERVERS[kind](token, faults=[fault]) as server:
        report = attempt(server, token, *ten, jobs=1)
        server.behave()
        again = attempt(server, token, *ten, jobs=1)
    assert report.exit_status == ExitStatus.CREDENTIAL
    assert report.channels[0].error.code == "credential-refused"
    found = statuses(report)
    assert found[2] == "failed"
    assert set(found[3:]) == {"not-attempted"}
    assert all(outcome.error.code == "not-attempted" for outcome in report.outcomes[3:])
    assert again.ok
    assert len(server.files) == 10


def test_a_wrong_credential_is_refused_before_anything_is_stored(kind: str, token: str, ten: list[Path]) -> None:
    """The error says whose credential it was, and what to do."""
    with SERVERS[kind](token) as server:
        report = attempt(server, leaks.new_secret("wrong"), *ten, jobs=1)
    problem = report.error or report.channels[0].error
    assert (report.exit_status, problem.code) == (ExitStatus.CREDENTIAL, "credential-refused")
    assert "from api_key (401)" in problem.message
    assert "new one" in problem.hint
    assert server.files == {}
    assert len(server.of_step("stage")) == 0
    assert len(server.of_step("upload")) <= 1


def test_a_credential_that_may_only_read_is_a_failure_of_each_file(kind: str, token: str, ten: list[Path]) -> None:
    """403 is no refused credential: another file may well be allowed."""
    step = "stage" if kind == "anaconda" else "upload"
    with SERVERS[kind](token, faults=[Fault("status", when=step, status=403, times=None)]) as server:
        report = attempt(server, token, *ten)
    assert report.exit_status == ExitStatus.FAILED
    assert {outcome.error.code for outcome in report.outcomes} == {"forbidden"}


# --- answers that get lost --------------------------------------------------------------------------------------------


def test_a_lost_answer_and_then_a_conflict_with_other_bytes(kind: str, token: str, demo: Path, other: bytes) -> None:
    """A repetition that meets a file compares hashes: with other bytes it is a conflict all the same."""
    with SERVERS[kind](token, faults=[Fault("reset")]) as server:
        server.put(INDEXED, other)
        report = attempt(server, token, demo)
    assert outcome_of(report).error.code == "conflict"
    assert server.files[INDEXED].times_stored == 1


@pytest.mark.parametrize("step", ["package", "release", "stage", "upload", "commit"])
def test_any_answer_of_anaconda_may_get_lost(token: str, demo: Path, step: str) -> None:
    """Each step can be repeated without harm."""
    with AnacondaServer(token, faults=[Fault("lost-answer", when=step)]) as server:
        report = attempt(server, token, demo)
    assert statuses(report) == ["uploaded"]
    assert server.files[INDEXED].times_stored == 1
    server.assert_clean()


def test_a_lost_answer_while_the_index_lags(token: str, demo: Path) -> None:
    """prefix.dev says that it has the file, and its index does not yet: it is looked at again."""
    with PrefixServer(token, faults=[Fault("lost-answer")], index_lag=2) as server:
        report = attempt(server, token, demo)
    assert statuses(report) == ["uploaded"]


# --- visible ----------------------------------------------------------------------------------------------------------


def test_verify_waits_until_the_index_serves_it(kind: str, token: str, demo: Path) -> None:
    """The channel's own index is read until it has the file with the right hash."""
    with SERVERS[kind](token, index_lag=1) as server:
        report = attempt(server, token, demo, verify=20.0)
    assert (outcome_of(report).visible, report.exit_status) == (True, ExitStatus.OK)
    server.assert_clean()


def test_verify_ends_at_its_deadline(kind: str, token: str, demo: Path) -> None:
    """Accepted and not visible yet: a success of the upload, with an exit status of its own."""
    with SERVERS[kind](token, index_lag=1000) as server:
        report = attempt(server, token, demo, verify=0.0)
    outcome = outcome_of(report)
    assert (outcome.status, outcome.visible) == (Status.UPLOADED, False)
    assert report.exit_status == ExitStatus.NOT_VISIBLE


def test_verify_does_not_believe_another_hash(kind: str, token: str, demo: Path) -> None:
    """A file of that name in the index is not yet this file."""
    with SERVERS[kind](token, faults=[Fault("lie", when="get", times=None)]) as server:
        report = attempt(server, token, demo, verify=0.0)
    assert (statuses(report), report.exit_status) == (["uploaded"], ExitStatus.NOT_VISIBLE)
    assert outcome_of(report).visible is False


# --- several channels -------------------------------------------------------------------------------------------------


def test_several_channels_have_one_report(
    token: str, demo: Path, other: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its own credential, one after the other; a failure in one does not keep the files from the next."""
    key = leaks.new_secret("key")
    monkeypatch.setenv("PREFIX_API_KEY", token)
    monkeypatch.setenv("QUETZ_API_KEY", key)
    with PrefixServer(token) as prefix, QuetzServer(key) as quetz:
        prefix.put(INDEXED, other)
        report = publish([demo], [prefix.publish_url, quetz.publish_url, str(tmp_path / "channel")], retry=QUICK)
    assert [statuses(Report([channel])) for channel in report.channels] == [["failed"], ["uploaded"], ["uploaded"]]
    assert [channel.channel for channel in report.channels] == [
        prefix.channel_url,
        quetz.channel_url,
        (tmp_path / "channel").as_uri(),
    ]
    assert report.exit_status == ExitStatus.FAILED
    prefix.assert_clean()
    quetz.assert_clean()


def test_a_missing_credential_for_one_channel_stops_all(
    token: str, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All credentials are found before the first byte goes out to anybody."""
    monkeypatch.setenv("PREFIX_API_KEY", token)
    with PrefixServer(token) as prefix, AnacondaServer(token) as anaconda:
        to = [str(tmp_path / "channel"), prefix.publish_url, anaconda.publish_url]
        with pytest.raises(CredentialError, match=r"anaconda\.org"):
            publish([demo], to, retry=QUICK)
    assert (prefix.requests, anaconda.requests) == ([], [])
    assert not (tmp_path / "channel").exists()


def test_one_key_does_not_go_to_several_channels(token: str, demo: Path) -> None:
    """A key given by hand belongs to one server; the others must not see it."""
    wanted = pytest.raises(UsageError, match="would go to 2 channels")
    with PrefixServer(token) as prefix, QuetzServer(token) as quetz, wanted:
        publish([demo], [prefix.publish_url, quetz.publish_url], api_key=token, retry=QUICK)
    assert (prefix.requests, quetz.requests) == ([], [])


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_same_file_twice_goes_once(kind: str, token: str, demo: Path, tmp_path: Path) -> None:
    """By its path, by its folder, by a pattern, and as a copy elsewhere, which is named."""
    copy = make_conda(tmp_path / "copy")
    with SERVERS[kind](token) as server:
        report = attempt(server, token, demo, demo.parent, demo.parent / "*.conda", copy)
    assert len(report.outcomes) == 1
    assert report.ok
    (finding,) = [finding for finding in report.findings if finding.code == "duplicate"]
    assert "the same file as" in finding.message
    assert server.files[INDEXED].times_stored == 1


def test_two_files_of_one_name_are_an_error(token: str, demo: Path, tmp_path: Path) -> None:
    """Which of them is meant cannot be told: nothing is sent."""
    make_conda(tmp_path / "second", payload={"a": b"b"})
    with QuetzServer(token) as server:
        report = attempt(server, token, demo, tmp_path / "second")
    assert report.exit_status == ExitStatus.FAILED
    assert "failed" in statuses(report)
    assert server.requests == []


class Meddler(Reporter):
    """Does something to a file when it is about to go, or has begun to.

    Args:
        act: what to do.
        when: ``before`` the first byte of anything, or ``during``: after the first block of that file.
    """

    def __init__(self, path: Path, act: Callable[[Path], object], when: str) -> None:
        self._path, self._act, self._when = path, act, when

    def channel(self, _url: str, _archives: object) -> None:
        """All is checked, and nothing sent."""
        if self._when == "before":
            self._act(self._path)

    def started(self, archive: PackageArchive) -> None:
        """The first block is out."""
        if self._when == "during" and archive.path == self._path:
            self._act(self._path)


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _replace(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    second = path.with_suffix(".new")
    second.write_bytes(content)
    second.replace(path)


MEDDLING = {"vanishes": os.unlink, "grows": _append, "shrinks": lambda path: os.truncate(path, 10), "other": _replace}


@pytest.mark.parametrize("when", ["before", "during"])
@pytest.mark.parametrize("act", MEDDLING.values(), ids=MEDDLING)
def test_a_file_that_changes_does_not_arrive(
    kind: str, token: str, tmp_path: Path, act: Callable[[Path], object], when: str
) -> None:
    """A file that changes or vanishes after its check fails by itself: the server never gets all of it."""
    changing = make_conda(tmp_path / "dist", "changing", payload=3 << 20)
    steady = make_conda(tmp_path / "dist", "steady")
    with SERVERS[kind](token) as server:
        report = attempt(server, token, changing, steady, jobs=1, reporter=Meddler(changing, act, when))
    first, second = report.outcomes
    assert (first.status, first.error.code, second.status) == (Status.FAILED, "source-changed", Status.UPLOADED)
    assert changing.name in first.error.message
    assert list(server.files) == ["noarch/steady-1.0-h0_0.conda"]
    assert server.crashes == []


# --- the command line -------------------------------------------------------------------------------------------------


def publish_command(server: ScriptedServer, *args: str | Path) -> list[str | Path]:
    """``keelback publish`` to *server*, in haste."""
    return ["publish", "--to", server.publish_url, "--retry-delay", "0.01", "--timeout", "5", *args]


def test_the_json_document(kind: str, token: str, demo: Path, other: bytes) -> None:
    """One document on standard output, with exactly the members that the design gives; people read standard error."""
    new = make_tar_bz2(demo.parent, "new", subdir="linux-64")
    with SERVERS[kind](token) as server:
        server.put(INDEXED, other)
        done = run_keelback(publish_command(server, "--json", demo, new), env={VARIABLES[kind]: token})
    document = done.json()
    assert done.returncode == ExitStatus.FAILED
    assert (document["version"], document["dry_run"]) == (1, False)
    assert set(document) == {"version", "dry_run", "channels"}
    (channel,) = document["channels"]
    assert set(channel) == {"channel", "outcomes", "summary"}
    same_origin = f"{server.url}/{server.channel}"  # an API that is not at /api has its channels beside it
    assert channel["channel"] == (same_origin if kind == "anaconda" else server.channel_url)
    assert channel["summary"] == {"uploaded": 1, "failed": 1}
    what_it_is = ["file", "name", "version", "build", "subdir", "size", "sha256"]
    members = [*what_it_is, "status", "url", "attempts", "seconds", "error"]
    assert [list(outcome) for outcome in channel["outcomes"]] == [members, members]
    conflict, uploaded = channel["outcomes"]
    assert set(conflict["error"]) == {"code", "message", "hint"}
    assert (conflict["status"], conflict["error"]["code"]) == ("failed", "conflict")
    assert uploaded["error"] is None
    assert uploaded["file"] == str(new)
    assert uploaded["size"] == new.stat().st_size
    assert uploaded["sha256"] == hashlib.sha256(new.read_bytes()).hexdigest()
    assert isinstance(uploaded["seconds"], float)


def test_plain_lines(token: str, demo: Path) -> None:
    """Where there is no terminal: one line a file and a summary on standard output, nothing else anywhere."""
    with QuetzServer(token) as server:
        done = run_keelback(publish_command(server, demo), env={"QUETZ_API_KEY": token})
        again = run_keelback(publish_command(server, "-q", demo), env={"QUETZ_API_KEY": token})
    first, summary = done.stdout.splitlines()
    assert first.startswith("uploaded ")
    assert INDEXED in first
    assert summary == f"{server.channel_url}: 1 uploaded"
    assert done.stderr == ""
    assert (again.stdout, again.stderr) == (f"{server.channel_url}: 1 identical\n", "")


def test_a_dry_run_says_so(token: str, demo: Path) -> None:
    """In every line, and in the document."""
    with QuetzServer(token) as server:
        done = run_keelback(publish_command(server, "--dry-run", demo), env={"QUETZ_API_KEY": token})
        machine = run_keelback(publish_command(server, "-n", "--json", demo), env={"QUETZ_API_KEY": token})
    first, summary = done.stdout.splitlines()
    assert "(dry run)" in first
    assert "1 would be uploaded" in summary
    assert machine.json()["dry_run"] is True
    assert changed_nothing(server)


class Place:
    """A package, a folder to make things in, and the Quetz that it goes to."""

    def __init__(self, server: QuetzServer, demo: Path, other: bytes) -> None:
        self.server, self.demo, self.folder, self._other = server, demo, demo.parent.parent, other

    def conflict(self) -> list[str | Path]:
        """Other bytes are there."""
        self.server.put(INDEXED, self._other)
        return [self.demo]

    def broken(self) -> list[str | Path]:
        """The file is no package."""
        self.demo.write_bytes(b"no zip")
        return [self.demo]

    def empty(self) -> list[str | Path]:
        """The folder has nothing in it."""
        (self.folder / "empty").mkdir()
        return [self.folder / "empty"]


CASES: dict[str, tuple[ExitStatus, Callable[[Place], list[str | Path]]]] = {
    "well": (ExitStatus.OK, lambda place: [place.demo]),
    "conflict": (ExitStatus.FAILED, Place.conflict),
    "broken archive": (ExitStatus.FAILED, Place.broken),
    "no match": (ExitStatus.USAGE, lambda place: [place.folder / "*.tar.bz2"]),
    "empty folder": (ExitStatus.USAGE, Place.empty),
    "unknown scheme": (ExitStatus.USAGE, lambda place: ["--to", "ftp://example.com/chan", place.demo]),
    "contradiction": (ExitStatus.USAGE, lambda place: ["--force", "--skip-existing", place.demo]),
    "no credential": (ExitStatus.CREDENTIAL, lambda place: [place.demo]),
    "refused": (ExitStatus.CREDENTIAL, lambda place: [place.demo]),
    "not visible": (ExitStatus.NOT_VISIBLE, lambda place: ["--verify", "--verify-timeout", "0", place.demo]),
}


@pytest.mark.parametrize("form", ["lines", "json"])
@pytest.mark.parametrize("case", CASES)
def test_exit_statuses(token: str, demo: Path, other: bytes, case: str, form: str) -> None:
    """The table of exit statuses, with and without ``--json``; in JSON there is always a document."""
    status, prepare = CASES[case]
    keys = {"no credential": {}, "refused": {"QUETZ_API_KEY": leaks.new_secret("wrong")}}
    with QuetzServer(token, index_lag=1000) as server:
        args = [*prepare(Place(server, demo, other)), *["--json"] * (form == "json")]
        done = run_keelback(publish_command(server, *args), env=keys.get(case, {"QUETZ_API_KEY": token}))
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    if form == "json":
        assert done.json()["version"] == 1
    elif case in {"conflict", "not visible"}:  # what became of a file is on standard output
        assert INDEXED in done.stdout
    else:
        assert bool(done.stderr) == (status != ExitStatus.OK)


# --- the key ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
@pytest.mark.parametrize("by", ["file", "standard input"])
def test_a_key_from_a_file(token: str, demo: Path, tmp_path: Path, ending: str, by: str) -> None:
    """``--api-key-file``, where ``-`` is standard input; the line's end is not part of the key."""
    key = leaks.holds_secrets(tmp_path / "key.txt")
    key.write_bytes(token.encode() + ending.encode())
    with PrefixServer(token) as server:
        done = run_keelback(
            publish_command(server, "--api-key-file", key if by == "file" else "-", demo), input=token + ending
        )
    assert done.returncode == 0, done.stderr
    server.assert_clean()


@pytest.mark.parametrize(
    ("content", "said", "status"),
    [
        (b"", "is empty", ExitStatus.USAGE),
        (b"\n", "is empty", ExitStatus.USAGE),
        (b"abcdefgh\nijklmnop\n", "more than one line", ExitStatus.USAGE),
        (b"abcd efgh", "space", ExitStatus.CREDENTIAL),
        (b'"abcdefgh"', "quotes", ExitStatus.CREDENTIAL),
        (b"abcd\x00efgh", "control character", ExitStatus.CREDENTIAL),
        ("schlüssel".encode(), "not ASCII", ExitStatus.CREDENTIAL),
        (b"\xff\xfe\x00a", "not UTF-8", ExitStatus.USAGE),
        (None, "No such file", ExitStatus.USAGE),
    ],
)
def test_what_is_no_key_is_told(demo: Path, tmp_path: Path, content: bytes | None, said: str, status: int) -> None:
    """What is wrong with it and where it came from, and nothing of what it holds; nothing is sent."""
    key = tmp_path / "key.txt"
    if content is not None:
        key.write_bytes(content)
    with PrefixServer("unused") as server:
        done = run_keelback(publish_command(server, "--api-key-file", key, demo))
    assert done.returncode == status
    assert said in done.stderr
    assert "--api-key-file" in done.stderr
    assert "abcd" not in done.stderr
    assert server.requests == []


@pytest.mark.parametrize("kind", VARIABLES)
@pytest.mark.parametrize("value", [b"abcdefgh\n", b"abcd\nefgh", b"  ", b"abc\xff\xfedef"])
def test_a_variable_that_holds_no_key_is_told_by_its_name(token: str, demo: Path, kind: str, value: bytes) -> None:
    """A line break at the end of a CI secret is the usual one."""
    with SERVERS[kind](token) as server:
        env = {VARIABLES[kind]: os.fsdecode(value)}
        done = run_keelback(publish_command(server, demo), env=env)
    assert done.returncode == ExitStatus.CREDENTIAL
    assert VARIABLES[kind] in done.stderr
    assert "abcd" not in done.stderr
    assert "Traceback" not in done.stderr
    assert server.requests == []


def test_two_keys_are_a_contradiction(token: str, demo: Path, tmp_path: Path) -> None:
    """``--api-key`` and ``--api-key-file`` cannot both be meant."""
    with PrefixServer(token) as server:
        done = run_keelback(publish_command(server, "--api-key", token, "--api-key-file", tmp_path / "key", demo))
    assert done.returncode == ExitStatus.USAGE
    assert "--api-key and --api-key-file are both given" in done.stderr


def test_the_option_goes_before_the_variable_and_that_before_the_file(
    kind: str, token: str, demo: Path, tmp_path: Path
) -> None:
    """One order for all servers."""
    wrong = leaks.new_secret("wrong")
    credential = {"CondaToken": token} if kind in {"quetz", "anaconda"} else {"BearerToken": token}
    auth = leaks.holds_secrets(tmp_path / "auth.json")
    auth.write_text(json.dumps({"127.0.0.1": credential}), encoding="utf-8")
    stored = {"RATTLER_AUTH_FILE": str(auth)}
    with SERVERS[kind](token) as server:
        by_file = run_keelback(publish_command(server, demo), env=stored)
        by_wrong_variable = run_keelback(publish_command(server, demo), env={**stored, VARIABLES[kind]: wrong})
        by_option = run_keelback(publish_command(server, "--api-key", token, demo), env={VARIABLES[kind]: wrong})
    assert by_file.returncode == ExitStatus.OK, by_file.stderr
    assert by_wrong_variable.returncode == ExitStatus.CREDENTIAL
    assert VARIABLES[kind] in by_wrong_variable.stderr + by_wrong_variable.stdout
    assert by_option.returncode == ExitStatus.OK, by_option.stderr


def test_verbose_says_once_where_the_credential_came_from(kind: str, token: str, ten: list[Path]) -> None:
    """On first use, never what it is; and without ``-v`` nothing."""
    with SERVERS[kind](token) as server:
        loud = run_keelback(publish_command(server, "-v", *ten), env={VARIABLES[kind]: token})
        quiet = run_keelback(publish_command(server, *ten), env={VARIABLES[kind]: token})
    assert loud.stderr.count(VARIABLES[kind]) == 1
    assert "127.0.0.1" in loud.stderr
    assert quiet.stderr == ""


def test_verbose_names_key_and_file_of_a_stored_credential(token: str, demo: Path, tmp_path: Path) -> None:
    """Which key of which file, once."""
    auth = leaks.holds_secrets(tmp_path / "auth.json")
    auth.write_text(json.dumps({"127.0.0.1": {"BearerToken": token}}), encoding="utf-8")
    auth.chmod(0o600)
    with PrefixServer(token) as server:
        done = run_keelback(publish_command(server, "-v", "--auth-file", auth, demo))
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if str(auth) in line]
    assert "127.0.0.1" in line


@pytest.mark.parametrize("way", ["options", "variables", "password file"])
def test_a_user_and_a_password_for_artifactory(demo: Path, tmp_path: Path, way: str) -> None:
    """With all characters that some spelling escapes; never in any output."""
    password = leaks.new_secret("password", special=True)
    file = leaks.holds_secrets(tmp_path / "password.txt")
    file.write_text(password + "\n", encoding="utf-8")
    given = {
        "options": (["--username", "ann", "--password", password], {}),
        "variables": ([], {"ARTIFACTORY_USERNAME": "ann", "ARTIFACTORY_PASSWORD": password}),
        "password file": (["--username", "ann", "--password-file", file], {}),
    }
    args, env = given[way]
    with ArtifactoryServer(username="ann", password=password) as server:
        where = ["-u", server.service_url, "-c", server.channel]
        done = run_keelback(["upload", "artifactory", *where, "-vv", *args, demo], env=env)
    assert done.returncode == 0, done.stderr
    server.assert_clean()


@pytest.mark.parametrize("kind", SERVERS)
def test_upload_does_what_publish_does(kind: str, token: str, demo: Path) -> None:
    """The options and the variables of ``rattler-build upload``."""
    with SERVERS[kind](token) as server:
        channel = ["-o" if kind == "anaconda" else "-c", server.channel]
        by_options = run_keelback(
            ["upload", kind, "-u", server.service_url, *channel, "-t" if kind == "artifactory" else "-a", token, demo]
        )
        name = kind.upper()
        env = {
            f"{name}_SERVER_URL": server.service_url,
            f"{name}_OWNER" if kind == "anaconda" else f"{name}_CHANNEL": server.channel,
            VARIABLES[kind]: token,
        }
        by_variables = run_keelback(["upload", kind, demo], env=env)
    assert (by_options.returncode, by_options.stdout.split()[0]) == (0, "uploaded")
    assert (by_variables.returncode, by_variables.stdout.split()[0]) == (0, "identical")
    server.assert_clean()


# --- stopping ---------------------------------------------------------------------------------------------------------

STOPS = ["SIGINT", "SIGTERM"]

can_be_stopped = pytest.mark.skipif(
    os.name == "nt" or signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    reason="signals do not reach the children of this process",
)


class Moment:
    """Chooses the requests from the n-th of its kind on, and tells when the first of them is there."""

    def __init__(self, nth: int = 1, step: str = "upload") -> None:
        self._nth, self._step = nth, step
        self._met = 0
        self._here = threading.Event()

    def __call__(self, request: object) -> bool:
        """Whether to strike."""
        if request.step != self._step:
            return False
        self._met += 1
        if self._met < self._nth:
            return False
        self._here.set()
        return True

    def wait(self) -> None:
        """Until it is there."""
        assert self._here.wait(30)


@can_be_stopped
@pytest.mark.parametrize("name", STOPS)
@pytest.mark.parametrize("fault", ["stall", "stall-answer"])
def test_a_stopped_run_says_what_arrived(kind: str, token: str, ten: list[Path], name: str, fault: str) -> None:
    """Ctrl-C, or a CI system that cancels: it ends at once, with 130, and the next run does only what is left."""
    moment = Moment(nth=3)
    with SERVERS[kind](token, faults=[Fault(fault, when=moment, times=None)]) as server:
        running = start_keelback(
            ["publish", "--json", "-j", "1", "--to", server.publish_url, *ten], env={VARIABLES[kind]: token}
        )
        moment.wait()
        running.process.send_signal(getattr(signal, name))
        done = running.finish(timeout=15)
        server.behave()
        again = run_keelback(publish_command(server, "--json", *ten), env={VARIABLES[kind]: token})
    assert done.returncode == ExitStatus.INTERRUPTED
    (channel,) = done.json()["channels"]
    found = [outcome["status"] for outcome in channel["outcomes"]]
    assert found == ["uploaded", "uploaded", "failed"] + ["not-attempted"] * 7
    assert channel["error"]["code"] == channel["outcomes"][2]["error"]["code"] == "interrupted"
    assert "again" in channel["error"]["hint"]
    assert len(server.files) == 10
    assert again.json()["channels"][0]["summary"] == {"uploaded": 8, "identical": 2}


@can_be_stopped
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_run_stopped_among_many_at_once(token: str, ten: list[Path], tmp_path: Path, scheme: str) -> None:
    """Whatever eight threads are doing, every file has its line, and standard error the reason."""
    authority, context = trustme.CA(), None
    authority.cert_pem.write_to_path(tmp_path / "bundle.pem")
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    moment = Moment(nth=8)
    faults = [Fault("stall", when=moment, times=None), Fault("stall", times=7)]
    with PrefixServer(token, faults=faults, tls=context) as server:
        env = {"PREFIX_API_KEY": token, "SSL_CERT_FILE": str(tmp_path / "bundle.pem")}
        running = start_keelback(["publish", "--to", server.publish_url, *ten], env=env)
        moment.wait()
        running.process.send_signal(signal.SIGINT)
        done = running.finish(timeout=15)
    assert done.returncode == ExitStatus.INTERRUPTED
    assert all(f"noarch/{path.name}" in done.stdout for path in ten)
    assert "stopped before it was finished" in done.stderr
    assert "Run the same command again" in done.stderr
    assert "Traceback" not in done.stderr


@can_be_stopped
def test_a_run_stopped_while_it_waits_to_try_again(token: str, demo: Path) -> None:
    """A long ``Retry-After`` does not hold it."""
    moment = Moment()
    with PrefixServer(token, faults=[Fault("status", when=moment, status=503, retry_after=200)]) as server:
        running = start_keelback(["publish", "--json", "--to", server.publish_url, demo], env={"PREFIX_API_KEY": token})
        moment.wait()
        assert b"trying again in 200" in running.process.stderr.readline()
        running.process.send_signal(signal.SIGINT)
        done = running.finish(timeout=15)
    assert done.returncode == ExitStatus.INTERRUPTED
    assert done.json()["channels"][0]["outcomes"][0]["error"]["code"] == "interrupted"


@can_be_stopped
@pytest.mark.parametrize("form", ["lines", "json"])
@pytest.mark.parametrize("name", STOPS)
def test_a_run_stopped_before_anything_was_sent(token: str, demo: Path, name: str, form: str) -> None:
    """While the channel is still being asked for: it says that nothing was sent; as JSON, in the document."""
    moment = Moment(step="channel")
    with QuetzServer(token, faults=[Fault("stall", when=moment, times=None)]) as server:
        args = ["publish", "--to", server.publish_url, *["--json"] * (form == "json"), demo]
        running = start_keelback(args, env={"QUETZ_API_KEY": token})
        moment.wait()
        running.process.send_signal(getattr(signal, name))
        done = running.finish(timeout=15)
    assert done.returncode == ExitStatus.INTERRUPTED
    assert "Traceback" not in done.stderr
    if form == "json":
        assert done.json()["error"]["code"] == "interrupted"
    else:
        assert "stopped before anything was done" in done.stderr
    assert server.files == {}


@can_be_stopped
def test_a_stopped_run_does_not_begin_with_the_next_channel(token: str, demo: Path, tmp_path: Path) -> None:
    """What is left of several channels was not attempted in any of them."""
    moment = Moment()
    with PrefixServer(token, faults=[Fault("stall", when=moment, times=None)]) as server:
        args = ["publish", "--json", "--to", server.publish_url, "--to", str(tmp_path / "channel"), demo]
        running = start_keelback(args, env={"PREFIX_API_KEY": token})
        moment.wait()
        running.process.send_signal(signal.SIGINT)
        done = running.finish(timeout=15)
    first, second = done.json()["channels"]
    assert (done.returncode, first["summary"], second["summary"]) == (130, {"failed": 1}, {"not-attempted": 1})
    assert not (tmp_path / "channel").exists()
