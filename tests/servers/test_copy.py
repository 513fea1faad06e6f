"""``copy``: what goes from channel to channel, by which requests, and what becomes of it where a side misbehaves."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

import keelback
import leaks
from cli_runner import run_keelback, start_keelback
from in_process import run_here
from keelback import ExitStatus, KeelbackError, Problem, Report
from keelback.copying import copy
from keelback.errors import CredentialError, UsageError
from making import make_conda, make_tar_bz2
from reading_channels import assert_complete, records
from servers.fetch_runs import QUICK, auth_file, problem, statuses
from servers.scripted import AnacondaServer, Answer, ArtifactoryServer, Exchange, Fault, PrefixServer, QuetzServer
from servers.scripted.channel_server import Login, ReadableServer, channel, index_files
from servers.scripted.downloads import as_a_whole, chunked, ends_after, stalls_after, with_headers, with_status
from servers.scripted.engine import route

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.scripted.downloads import Trick

SERVERS = {"prefix": PrefixServer, "anaconda": AnacondaServer, "quetz": QuetzServer, "artifactory": ArtifactoryServer}
HULL = "hull-1.0-h0_0.conda"
BOAT = "boat-1.0-h0_0.conda"
LARGE = 3_000_000
"""Bytes of a package that is sent in several blocks."""


class SourceServer(ReadableServer):
    """A channel that is read, with ranges, and with tricks for its archives, by file name: one for each time."""

    def __init__(self, *archives: Path, **options: Any) -> None:
        super().__init__(channel(*archives), **options)
        self.tricks: dict[str, list[Trick | None]] = {}

    def reads(self, filename: str) -> list[str | None]:
        """What each request for an archive had as its ``Range``."""
        return [request.header("range") for request in self.of_step("archive") if request.filename == filename]

    def index(self, *, forms: tuple[str, ...] = ("json",), **members: object) -> None:
        """Have the records of noarch say something else; ``None`` takes a member away."""
        found = json.loads(self.contents["noarch/repodata.json"])
        changed = {
            name: {field: value for field, value in {**record, **members}.items() if value is not None}
            for name, record in {**found["packages"], **found["packages.conda"]}.items()
        }
        for path in [path for path in self.contents if path.startswith("noarch/") and "repodata" in path]:
            del self.contents[path]
        self.contents |= index_files("noarch", changed, forms)

    @route("GET", r"/chan/(?P<subdir>[^/]+)/(?P<filename>[^/]+\.(?:conda|tar\.bz2))", step="archive")
    def archive(self, exchange: Exchange, subdir: str, filename: str) -> Answer:
        """An archive, or the end of one."""
        with self.lock:
            tricks = self.tricks.get(filename)
            trick = tricks.pop(0) if tricks else None
        answer = _with_range(exchange, self._read(exchange, f"{subdir}/{filename}"))
        return trick(exchange, answer) if trick else answer

    @route("GET", r"/chan/(?P<subdir>[^/]+)/(?P<name>[^/]+\.sigs(?:\.[^/]+)?)", step="sidecar")
    def sidecar(self, exchange: Exchange, subdir: str, name: str) -> Answer:
        """The attestations of an archive."""
        return self._read(exchange, f"{subdir}/{name}")


def _with_range(exchange: Exchange, answer: Answer) -> Answer:
    wanted = exchange.recorded.header("range")
    etag = dict(answer.headers).get("ETag")
    if answer.status != 200 or wanted is None or exchange.recorded.header("if-range") not in (None, etag):
        return answer
    start, size = int(wanted.removeprefix("bytes=").removesuffix("-")), len(answer.body)
    place = ("Content-Range", f"bytes {start}-{size - 1}/{size}")
    return Answer(206, answer.body[start:], [*answer.headers, place])


def attempt(source: str | Path, to: str | Path, *specs: str, workdir: Path, **options: Any) -> Report:
    """The report of a copy, also of one that ends before anything is copied."""
    options = {"subdirs": "noarch", "cache": workdir / "cache", "retry": QUICK, "timeout": 10.0, **options}
    try:
        return copy(source, to, specs, **options)
    except KeelbackError as error:
        return Report(error=Problem.of(error))


def error_of(report: Report, filename: str = HULL) -> Problem:
    """Why one archive failed."""
    assert report.error is None, report.error
    (error,) = [outcome.error for outcome in report.outcomes if outcome.filename == filename]
    assert error is not None
    return error


def sha256(path: Path) -> str:
    """The hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def hull(tmp_path: Path) -> Path:
    """A package."""
    return make_conda(tmp_path / "dist", "hull")


@pytest.fixture
def boat(tmp_path: Path) -> Path:
    """A package that needs the other one."""
    return make_conda(tmp_path / "dist", "boat", depends=["hull"])


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A package of the same name, in several blocks."""
    return make_conda(tmp_path / "large", "hull", payload=LARGE)


@pytest.fixture
def source(hull: Path, boat: Path) -> Iterator[SourceServer]:
    """A channel with both."""
    with SourceServer(hull, boat) as running:
        yield running


@pytest.fixture
def target(token: str) -> Iterator[QuetzServer]:
    """Another server, which has nothing yet."""
    with QuetzServer(token) as running:
        yield running


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where archives are that have to be on this machine; nothing is left there."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


# --- what is copied ---------------------------------------------------------------------------------------------------


def test_a_whole_channel_goes_into_a_folder(source: SourceServer, tmp_path: Path, hull: Path, boat: Path) -> None:
    """All subdirs and both formats; the records are those of the source; each outcome says where it is from."""
    tool = make_tar_bz2(tmp_path / "dist", "tool", subdir="linux-64")
    source.contents |= channel(hull, boat, tool)
    report = attempt(source.channel_url, tmp_path / "to", workdir=tmp_path, subdirs=())
    assert statuses(report) == dict.fromkeys((BOAT, HULL, tool.name), "uploaded")
    assert_complete(tmp_path / "to", [f"noarch/{BOAT}", f"noarch/{HULL}", f"linux-64/{tool.name}"])
    assert records(tmp_path / "to")[BOAT]["depends"] == ["hull"]
    by_name = {outcome.filename: outcome for outcome in report.outcomes}
    assert by_name[HULL].source == f"{source.channel_url}/noarch/{HULL}"
    assert by_name[HULL].url == f"{(tmp_path / 'to').as_uri()}/noarch/{HULL}"
    assert by_name[HULL].sha256 == sha256(hull)
    assert by_name[HULL].to_json()["source"] == by_name[HULL].source


def test_a_folder_goes_into_a_folder(tmp_path: Path, hull: Path, boat: Path) -> None:
    """No server is needed for either side."""
    keelback.publish([hull, boat], tmp_path / "from")
    report = attempt(tmp_path / "from", tmp_path / "to", "boat", workdir=tmp_path)
    assert statuses(report) == {BOAT: "uploaded"}
    assert_complete(tmp_path / "to", [f"noarch/{BOAT}"])


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_gets_the_bytes_of_the_other_and_keeps_them(
    kind: str, source: SourceServer, token: str, tmp_path: Path, hull: Path
) -> None:
    """Uploaded; and copied again, identical, for which the source is not asked for a byte."""
    with SERVERS[kind](token) as target:
        first = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token)
        reads = len(source.of_step("archive"))
        again = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token)
    assert (statuses(first), first.exit_status) == ({BOAT: "uploaded", HULL: "uploaded"}, ExitStatus.OK)
    assert target.files[f"noarch/{HULL}"].sha256 == sha256(hull)
    assert statuses(again) == {BOAT: "identical", HULL: "identical"}
    assert len(source.of_step("archive")) == reads == 2
    target.assert_clean()


@pytest.mark.parametrize("form", [None, chunked], ids=["of-known-length", "chunked"])
def test_a_large_package_is_streamed(
    form: Trick | None, source: SourceServer, target: QuetzServer, token: str, tmp_path: Path, large: Path
) -> None:
    """It is read once, in blocks, and arrives whole."""
    source.contents |= channel(large)
    source.tricks[HULL] = [form]
    report = attempt(source.channel_url, target.publish_url, "hull", workdir=tmp_path, api_key=token)
    assert statuses(report) == {HULL: "uploaded"}
    assert target.files[f"noarch/{HULL}"].sha256 == sha256(large)
    assert source.reads(HULL) == [None]


def test_everything_that_matches_is_copied_in_all_subdirs(tmp_path: Path, token: str, target: QuetzServer) -> None:
    """A release is of all platforms and builds; --subdir says which alone."""
    names = [("linux-64", "py311"), ("linux-64", "py312"), ("osx-arm64", "py312"), ("noarch", "pyh")]
    built = [make_conda(tmp_path / subdir, "tool", "2.1", build, subdir=subdir) for subdir, build in names]
    old = make_conda(tmp_path / "old", "tool", "2.0", subdir="linux-64")
    with SourceServer(*built, old) as source:
        one = attempt(
            source.channel_url, target.publish_url, "tool 2.1.*", subdirs="osx-arm64", workdir=tmp_path, api_key=token
        )
        options: dict[str, Any] = {"subdirs": (), "workdir": tmp_path, "api_key": token}
        all_of_them = attempt(source.channel_url, target.publish_url, "tool 2.1.*", **options)
        missing = attempt(source.channel_url, target.publish_url, "tool 3.*", **options)
    assert set(statuses(one)) == {"tool-2.1-py312.conda", "tool-2.1-pyh.conda"}
    assert sorted(target.files) == sorted(f"{subdir}/tool-2.1-{build}.conda" for subdir, build in names)
    assert len(all_of_them.outcomes) == 4
    assert (problem(missing).code, "any subdir" in problem(missing).message) == ("no-match", True)
    assert "has tool 2.1 and 2.0" in problem(missing).hint


def test_dependencies_of_another_channel_are_not_copied(
    tmp_path: Path, token: str, target: QuetzServer, hull: Path, boat: Path
) -> None:
    """One solution is copied, of which the other channel has its part already."""
    newer = make_conda(tmp_path / "newer", "boat", "2.0", depends=["hull"])
    with SourceServer(boat, newer) as source, SourceServer(hull) as base:
        report = attempt(
            source.channel_url, target.publish_url, "boat", with_deps=True, channels=[base.channel_url],
            subdirs="linux-64", workdir=tmp_path, api_key=token,
        )  # fmt: skip
    assert statuses(report) == {"boat-2.0-h0_0.conda": "uploaded"}


def test_a_dry_run_reads_no_package_and_changes_nothing(
    source: SourceServer, target: QuetzServer, token: str, tmp_path: Path, hull: Path
) -> None:
    """It says what would become of each."""
    target.put(f"noarch/{HULL}", hull.read_bytes())
    report = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token, dry_run=True)
    assert (statuses(report), report.dry_run) == ({BOAT: "uploaded", HULL: "identical"}, True)
    assert source.of_step("archive") == []
    assert sorted(target.files) == [f"noarch/{HULL}"]


@pytest.mark.parametrize(
    ("options", "status"), [({}, "failed"), ({"skip_existing": True}, "skipped"), ({"force": True}, "replaced")]
)
def test_other_bytes_under_the_same_name(
    options: dict[str, bool], status: str, source: SourceServer, target: QuetzServer, token: str, tmp_path: Path,
    large: Path,
) -> None:  # fmt: skip
    """A conflict; unless they are to be kept, or replaced. The other package goes in any case."""
    target.put(f"noarch/{HULL}", large.read_bytes())
    report = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token, **options)
    assert statuses(report) == {BOAT: "uploaded", HULL: status}
    if status == "failed":
        assert error_of(report).code == "conflict"


def test_a_channel_is_not_copied_to_itself(source: SourceServer, tmp_path: Path, hull: Path) -> None:
    """However it is written."""
    keelback.publish(hull, tmp_path / "from")
    (tmp_path / "link").symlink_to(tmp_path / "from")
    for one, other in [
        (str(tmp_path / "from"), (tmp_path / "from").as_uri()),
        (str(tmp_path / "from"), str(tmp_path / "link")),
        (f"quetz+{source.url}/get/chan", f"quetz+{source.url}/chan"),
        ("https://conda.anaconda.org/acme", "https://anaconda.org/acme"),
        ("https://repo.prefix.dev/acme", "https://prefix.dev/acme"),
    ]:
        with pytest.raises(UsageError, match="the same channel"):
            copy(one, other, cache=tmp_path / "cache")
    assert source.requests == []


# --- whose credential -------------------------------------------------------------------------------------------------


def test_each_side_gets_its_own_credential(target: QuetzServer, token: str, tmp_path: Path, hull: Path) -> None:
    """What is given is of the target alone; the source is read with what is stored for it."""
    login = Login("BearerToken", leaks.new_secret("reading"))
    stored = auth_file(tmp_path / "auth.json", {"127.0.0.1": login.stored})
    with SourceServer(hull, login=login) as source:
        report = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token, auth_file=stored)
        alone = attempt(
            source.channel_url, target.publish_url, workdir=tmp_path, api_key=token,
            auth_file=auth_file(tmp_path / "none.json", {}),
        )  # fmt: skip
        assert all(token not in str(request.headers) for request in source.requests)
    assert statuses(report) == {HULL: "uploaded"}
    assert problem(alone).exit_status == ExitStatus.CREDENTIAL
    target.assert_clean()


def test_a_folder_takes_no_credential(source: SourceServer, token: str, tmp_path: Path) -> None:
    """And what is given is never taken for that of the source."""
    with pytest.raises(UsageError, match="takes no credential"):
        copy(source.channel_url, tmp_path / "to", api_key=token)
    assert source.requests == []


def test_nothing_is_read_where_the_target_refuses(source: SourceServer, target: QuetzServer, tmp_path: Path) -> None:
    """Its credential is looked at first."""
    with pytest.raises(CredentialError):
        copy(source.channel_url, target.publish_url, api_key=leaks.new_secret("wrong"), cache=tmp_path, retry=QUICK)
    assert source.of_step("archive") == []
    assert target.files == {}


# --- a source that misbehaves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["quetz", "anaconda", "folder"])
@pytest.mark.parametrize("size", [0, LARGE])
def test_other_bytes_than_the_index_names_never_arrive(
    kind: str, size: int, source: SourceServer, token: str, tmp_path: Path
) -> None:
    """Not even where they have the right length; the other packages go."""
    good = make_conda(tmp_path / "good", "hull", payload=size or {"a": bytes(100)})
    wrong = bytearray(good.read_bytes())
    wrong[-1] ^= 1
    source.contents |= channel(good)
    source.contents[f"noarch/{HULL}"] = bytes(wrong)
    if kind == "folder":
        report = attempt(source.channel_url, tmp_path / "to", workdir=tmp_path)
        assert_complete(tmp_path / "to", [])
    else:
        with SERVERS[kind](token) as target:
            report = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token)
        assert target.files == {}
    assert error_of(report).code == ("bad-download" if kind == "anaconda" else "source-changed")
    assert report.exit_status == ExitStatus.FAILED


@pytest.mark.parametrize("kind", ["anaconda", "folder"])
def test_an_md5_that_is_not_that_of_the_bytes_is_not_passed_on(
    kind: str, source: SourceServer, token: str, tmp_path: Path
) -> None:
    """Not to a server that is told it, nor into an index that is written here, though the SHA-256 is right."""
    source.index(md5="0" * 32)
    if kind == "folder":
        report = attempt(source.channel_url, tmp_path / "to", workdir=tmp_path)
        assert_complete(tmp_path / "to", [])
    else:
        with SERVERS[kind](token) as target:
            report = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token)
        assert target.files == {}
    assert (error_of(report).code, "its MD5 is" in error_of(report).message) == ("source-changed", True)


@pytest.mark.parametrize("start", [0, 1, 1_500_000, LARGE])
@pytest.mark.parametrize("server", ["knows-ranges", "knows-none"])
def test_a_transfer_that_breaks_off_goes_on(
    start: int, server: str, source: SourceServer, target: QuetzServer, token: str, tmp_path: Path, large: Path
) -> None:  # fmt: skip
    """Where it ended, by a range; or by passing over what has come, where the server knows no ranges."""
    content = large.read_bytes()
    source.contents |= channel(large)
    source.tricks[HULL] = [ends_after(start), None if server == "knows-ranges" else as_a_whole(content)]
    report = attempt(source.channel_url, target.publish_url, "hull", workdir=tmp_path, api_key=token)
    assert statuses(report) == {HULL: "uploaded"}
    assert target.files[f"noarch/{HULL}"].sha256 == sha256(large)
    assert source.reads(HULL) == [None, f"bytes={start}-" if start else None]
    assert len(target.of_step("upload")) == 1


def test_a_source_that_keeps_breaking_off_is_given_up(
    source: SourceServer, target: QuetzServer, token: str, tmp_path: Path
) -> None:
    """It is named as the one that failed, and not the target, which was about to get the bytes."""
    source.tricks[HULL] = [ends_after(10)] * 5
    report = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token)
    assert statuses(report) == {BOAT: "uploaded", HULL: "failed"}
    assert (error_of(report).code, source.url in error_of(report).message) == ("transport", True)


@pytest.mark.parametrize(
    ("then", "why"),
    [
        (with_headers(ETag='"another"'), "replaced while it was read"),
        (with_status(404), "removed or replaced"),
        (with_headers(Content_Range="bytes 5-9/10"), "another part"),
    ],
)
def test_a_package_that_changes_while_it_is_read(
    then: Trick, why: str, source: SourceServer, target: QuetzServer, token: str, tmp_path: Path, large: Path
) -> None:
    """Is not put together of two."""
    source.contents |= channel(large)
    source.tricks[HULL] = [ends_after(1_500_000), then]
    report = attempt(source.channel_url, target.publish_url, "hull", workdir=tmp_path, api_key=token)
    assert (error_of(report).code, why in error_of(report).message) == ("source-changed", True)
    assert target.files == {}


def test_a_package_of_another_size_is_not_begun(
    source: SourceServer, target: QuetzServer, token: str, tmp_path: Path
) -> None:
    """Its length says so at once."""
    source.contents[f"noarch/{HULL}"] = b"short"
    report = attempt(source.channel_url, target.publish_url, "hull", workdir=tmp_path, api_key=token)
    assert "it has 5 bytes" in error_of(report).message
    assert target.of_step("upload") == []


@pytest.mark.parametrize(("status", "code"), [(404, "not-found"), (403, "no-credential")])
def test_a_package_that_cannot_be_read_does_not_stop_the_others(
    status: int, code: str, source: SourceServer, target: QuetzServer, token: str, tmp_path: Path
) -> None:
    """Its own error says why."""
    source.contents[f"noarch/{HULL}"] = status
    report = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token)
    assert (statuses(report), error_of(report).code) == ({BOAT: "uploaded", HULL: "failed"}, code)


def test_both_sides_may_ask_for_patience(
    source: SourceServer, target: QuetzServer, token: str, tmp_path: Path, hull: Path
) -> None:
    """429 of the source, 503 of the target: tried again; for the second attempt the bytes are read once more."""
    source.tricks[HULL] = [with_status(429, ("Retry-After", "0"))]
    target.plan(Fault("status", status=503, retry_after=0))
    report = attempt(source.channel_url, target.publish_url, "hull", workdir=tmp_path, api_key=token)
    assert statuses(report) == {HULL: "uploaded"}
    assert source.reads(HULL) == [None] * 3
    assert target.files[f"noarch/{HULL}"].sha256 == sha256(hull)


@pytest.mark.parametrize("missing", [("sha256",), ("md5",), ("size",), ("sha256", "md5", "size")])
def test_what_the_index_does_not_say_is_found_by_reading(
    missing: tuple[str, ...], source: SourceServer, token: str, tmp_path: Path, hull: Path
) -> None:
    """The package is read once for that, and kept nowhere."""
    source.index(**dict.fromkeys(missing))
    to = tmp_path / "to"
    first = attempt(source.channel_url, to, "hull", workdir=tmp_path)
    again = attempt(source.channel_url, to, "hull", workdir=tmp_path)
    assert (statuses(first), statuses(again)) == ({HULL: "uploaded"}, {HULL: "identical"})
    assert_complete(to, [f"noarch/{HULL}"])
    assert first.outcomes[0].sha256 == sha256(hull)
    assert source.reads(HULL) == [None] * 3


def test_a_record_that_no_package_can_have_is_not_passed_on(source: SourceServer, tmp_path: Path) -> None:
    """What goes into an index of ours is checked as it is in a package."""
    source.index(build="another")
    report = attempt(source.channel_url, tmp_path / "to", workdir=tmp_path)
    assert statuses(report) == {BOAT: "failed", HULL: "failed"}
    error = error_of(report, BOAT)
    assert (error.code, "boat-1.0-another.conda" in error.message) == ("bad-index", True)


# --- packages that have to be here ------------------------------------------------------------------------------------


def test_packages_that_have_to_be_here_are_few_at_a_time(
    source: SourceServer, token: str, tmp_path: Path, spool: Path
) -> None:
    """anaconda.org wants what only the package says: --jobs of them are on the disk, and none in the end."""
    made = [make_conda(tmp_path / "dist", f"demo{number}") for number in range(6)]
    source.contents |= channel(*made)
    most = 0

    def count(_exchange: Exchange) -> None:
        nonlocal most
        most = max(most, len(list(spool.rglob("*.conda"))))

    with AnacondaServer(token) as target:
        target.arrived = count  # type: ignore[method-assign]  # a look at the disk with every request
        report = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token, jobs=2)
    assert set(statuses(report).values()) == {"uploaded"}
    assert 1 <= most <= 2
    assert target.packages["demo0"].attrs["summary"] == "A test package called demo0."


def test_a_full_disk_fails_a_package_and_says_where(
    source: SourceServer, token: str, tmp_path: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go; nothing is left."""
    write = keelback.transport.partial._write

    def full(file: int, block: memoryview) -> None:
        if len(block) == (tmp_path / "dist" / HULL).stat().st_size:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, block)

    monkeypatch.setattr("keelback.transport.partial._write", full)
    with AnacondaServer(token) as target:
        report = attempt(source.channel_url, target.publish_url, workdir=tmp_path, api_key=token)
    assert statuses(report) == {BOAT: "uploaded", HULL: "failed"}
    error = error_of(report)
    assert (error.code, "No space left" in error.message, "TMPDIR" in error.hint) == ("disk", True, True)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_did(source: SourceServer, target: QuetzServer, token: str, tmp_path: Path) -> None:
    """A line for each package, or one document, and the exit status."""
    env, where = {"QUETZ_API_KEY": token}, [source.channel_url, target.publish_url]
    source.contents[f"noarch/{BOAT}"] = 404
    lines = run_here(["copy", *where, "-p", "noarch"], env=env, home=tmp_path)
    document = run_here(["copy", *where, "hull", "--dry-run", "--json"], env=env, home=tmp_path)
    assert (lines.returncode, document.returncode) == (ExitStatus.FAILED, ExitStatus.OK)
    assert f"uploaded       noarch/{HULL}" in lines.stdout
    assert f"{target.channel_url}: 1 uploaded, 1 failed" in lines.stdout
    (outcome,) = document.json()["channels"][0]["outcomes"]
    assert (outcome["status"], outcome["source"]) == ("identical", f"{source.channel_url}/noarch/{HULL}")


@pytest.mark.skipif(
    os.name == "nt" or signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    reason="signals do not reach the children of this process",
)
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_copy_that_is_stopped(side: str, source: SourceServer, target: QuetzServer, token: str, large: Path) -> None:
    """Whichever side it waits for: the report says what arrived, and the next run does what is left."""
    source.contents = channel(large)
    if side == "source":
        source.tricks[HULL] = [stalls_after(1_500_000)]
    else:
        target.plan(Fault("stall", file=HULL))
    arguments = ["copy", source.channel_url, target.publish_url, "-p", "noarch", "--json"]
    running = start_keelback(arguments, env={"QUETZ_API_KEY": token})
    source.wait_for("archive")
    target.wait_for("upload")
    running.process.send_signal(signal.SIGINT)
    done = running.finish(timeout=15)
    assert done.returncode == ExitStatus.INTERRUPTED
    (outcome,) = done.json()["channels"][0]["outcomes"]
    assert outcome["error"]["code"] == "interrupted"
    assert target.files == {}
    again = run_keelback(arguments, env={"QUETZ_API_KEY": token})
    assert again.json()["channels"][0]["summary"] == {"uploaded": 1}


@pytest.mark.skipif(
    os.name == "nt" or signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    reason="signals do not reach the children of this process",
)
def test_what_a_stopped_copy_had_not_begun_was_not_attempted(target: QuetzServer, token: str, tmp_path: Path) -> None:
    """As for ``publish``, though the first bytes of the next ones may have been read."""
    ten = [make_conda(tmp_path / "ten", f"demo{number}") for number in range(10)]
    target.plan(Fault("stall", when=lambda request: request.step == "upload", times=None))
    with SourceServer(*ten) as source:
        arguments = ["copy", source.channel_url, target.publish_url, "-p", "noarch", "--json", "-j", "1"]
        running = start_keelback(arguments, env={"QUETZ_API_KEY": token})
        target.wait_for("upload")
        running.process.send_signal(signal.SIGTERM)
        done = running.finish(timeout=15)
    assert done.returncode == ExitStatus.INTERRUPTED
    (channel,) = done.json()["channels"]
    assert channel["summary"] == {"failed": 1, "not-attempted": 9}
    assert channel["error"]["hint"] == "Run the same command again: it does only what is left."


# --- what has to be there ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["alone", "with dependencies"])
def test_each_spec_has_to_match_in_the_channel_that_is_copied(source: SourceServer, tmp_path: Path, how: str) -> None:
    """What only another channel has is not copied, so that a run without it would be no success."""
    make_conda(tmp_path / "others" / "noarch", "raft")
    keelback.index(tmp_path / "others")
    options = {} if how == "alone" else {"with_deps": True, "channels": [tmp_path / "others"]}
    report = attempt(source.channel_url, tmp_path / "to", "hull", "raft", workdir=tmp_path, **options)
    assert (problem(report).code, report.exit_status) == ("no-match", ExitStatus.FAILED)
    assert "others" not in problem(report).message
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("option", [["-c", "./others"], ["--virtual-package", "__cuda=12"]])
def test_what_describes_dependencies_needs_them(option: list[str], source: SourceServer, tmp_path: Path) -> None:
    """Without ``--with-deps``, another channel would have no part in the run."""
    done = run_here(["copy", source.channel_url, tmp_path / "to", "hull", *option], home=tmp_path)
    assert done.returncode == ExitStatus.USAGE
    assert "needs --with-deps" in done.stderr


def test_a_channel_without_packages_is_noted(tmp_path: Path) -> None:
    """It is legal, and may be a slip in its name: a nightly copy of nothing is to be seen."""
    with SourceServer() as source:
        source.contents |= index_files("noarch", {}, ("json",))
        done = run_here(["copy", source.channel_url, tmp_path / "to"], home=tmp_path)
        assert f"{source.channel_url} lists no packages" in done.stderr
    assert (done.returncode, "nothing to do" in done.stdout) == (ExitStatus.OK, True)


# --- what can be named ------------------------------------------------------------------------------------------------


def test_one_package_is_named_by_its_url_or_its_path(source: SourceServer, tmp_path: Path, hull: Path) -> None:
    """As for ``fetch``, which takes a path, too."""
    report = attempt(f"{source.channel_url}/noarch/{HULL}", tmp_path / "one", workdir=tmp_path, subdirs=())
    assert statuses(report) == {HULL: "uploaded"}
    assert {request.path.split("/")[2] for request in source.requests} == {"noarch"}
    path = tmp_path / "one" / "noarch" / HULL
    assert statuses(attempt(path, tmp_path / "two", workdir=tmp_path, subdirs=())) == {HULL: "uploaded"}
    assert statuses(keelback.fetch(path, to=tmp_path / "three")) == {HULL: "fetched"}
    assert (tmp_path / "three" / "noarch" / HULL).read_bytes() == hull.read_bytes()


def test_a_package_in_the_working_directory_is_in_the_channel_around_it(
    tmp_path: Path, hull: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its path need not name the subdir."""
    keelback.publish(hull, tmp_path / "chan")
    monkeypatch.chdir(tmp_path / "chan" / "noarch")
    assert statuses(attempt(HULL, tmp_path / "to", workdir=tmp_path, subdirs=())) == {HULL: "uploaded"}


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("dist", "keelback publish --to CHANNEL"),
        (f"dist/{HULL}", "keelback publish --to CHANNEL"),
        ("bare/noarch", "name its channel"),
    ],
)
def test_packages_that_are_in_no_channel_are_published(tmp_path: Path, hull: Path, what: str, says: str) -> None:
    """Not copied; the hint says how."""
    make_conda(tmp_path / "bare" / "noarch", "hull")
    assert hull.is_file()
    assert says in problem(attempt(str(tmp_path / what), tmp_path / "to", workdir=tmp_path, subdirs=())).hint


@pytest.mark.parametrize("spec", ["boat 1.0", "boat=1.0", "boat ==1.0 h0_0", "boat[version='1.0']"])
def test_a_spec_means_the_same_with_dependencies_and_without(spec: str, source: SourceServer, tmp_path: Path) -> None:
    """In every spelling that the one takes."""
    without = attempt(source.channel_url, tmp_path / "to", spec, workdir=tmp_path, subdirs="linux-64")
    with_deps = attempt(source.channel_url, tmp_path / "to", spec, workdir=tmp_path, subdirs="linux-64", with_deps=True)
    assert statuses(without) == {BOAT: "uploaded"}
    assert statuses(with_deps) == {BOAT: "identical", HULL: "uploaded"}
