"""Plain servers that take PUT: whatever they do with what is there already, nothing is lost and nothing is invented."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

import leaks
from cli_runner import run_keelback
from keelback import ExitStatus, KeelbackError, Problem, Report, Retry, publish
from keelback.channels.put import GiteaChannel, PutChannel
from keelback.channels.registry import channel_for
from making import make_conda
from servers.scripted import ArtifactoryServer, Fault
from servers.scripted.put import GiteaServer, PutServer

if TYPE_CHECKING:
    from pathlib import Path

PATH = "noarch/demo-1.0-h0_0.conda"
QUICK = Retry(attempts=3, base=0.01)
HONEST = ["replaces", "conditional", "refuses", "no-head", "wants-folders"]


@pytest.fixture
def password() -> str:
    """Ann's."""
    return leaks.new_secret("password", special=True)


def attempt(server: PutServer | GiteaServer, password: str, *paths: Path, **options) -> Report:
    """The report of a run as ann, also of one that ends before anything is sent."""
    given = {"username": "ann", "password": password, "retry": QUICK, "timeout": 5.0, **options}
    try:
        return publish(paths, server.publish_url, **given)
    except KeelbackError as error:
        return Report(error=Problem.of(error))


def statuses(report: Report) -> list[str]:
    """What became of the archives, in order."""
    assert report.error is None, report.error
    return [outcome.status.value for outcome in report.outcomes]


def serving(password: str, manners: str, **options) -> PutServer | GiteaServer:
    """A server of such manners that lets ann in."""
    if manners == "gitea":
        return GiteaServer("ann", password, **options)
    return PutServer(("ann", password), manners=manners, **options)


# --- outcomes, whatever the server is like ----------------------------------------------------------------------------


@pytest.mark.parametrize("manners", [*HONEST, "gitea"])
def test_outcomes_are_those_of_every_channel(
    password: str, demo: Path, other: bytes, tmp_path: Path, manners: str
) -> None:
    """New, identical, conflict, skipped; and a file that somebody else has there stays as it is."""
    new = make_conda(tmp_path / "dist", "new", subdir="linux-64")
    with serving(password, manners) as server:
        first = attempt(server, password, demo)
        again = attempt(server, password, demo, new)
        server.put(PATH, other)
        conflict = attempt(server, password, demo)
        skipped = attempt(server, password, demo, skip_existing=True)
    assert (statuses(first), statuses(again)) == (["uploaded"], ["identical", "uploaded"])
    assert (statuses(conflict), conflict.outcomes[0].error.code) == (["failed"], "conflict")
    assert statuses(skipped) == ["skipped"]
    assert set(server.files) == {PATH, "linux-64/new-1.0-h0_0.conda"}
    assert server.files[PATH].sha256 == hashlib.sha256(other).hexdigest()
    server.assert_clean()


@pytest.mark.parametrize("manners", [*HONEST, "gitea"])
def test_a_lost_answer_is_not_a_failure(password: str, demo: Path, manners: str) -> None:
    """The repetition meets what the first attempt has stored, or replaces it with itself."""
    with serving(
        password, manners, faults=[Fault("lost-answer", nth=2 if manners == "wants-folders" else 1)]
    ) as server:
        report = attempt(server, password, demo)
    assert statuses(report) == ["uploaded"]
    assert server.files[PATH].sha256 == hashlib.sha256(demo.read_bytes()).hexdigest()
    server.assert_clean()


@pytest.mark.parametrize("manners", ["replaces", "conditional", "no-head"])
def test_force_replaces(password: str, demo: Path, other: bytes, manners: str) -> None:
    """Without the condition that there is nothing."""
    with serving(password, manners) as server:
        server.put(PATH, other)
        report = attempt(server, password, demo, force=True)
    assert statuses(report) == ["replaced"]
    assert all(request.header("if-none-match") is None for request in server.of_step("upload"))


def test_what_a_server_does_not_let_be_replaced_is_told(password: str, demo: Path, other: bytes) -> None:
    """In the server's words; and of Gitea, which has to be told by another way, what that is."""
    for manners, words in (("refuses", "does not allow updating"), ("gitea", "replaces no file")):
        with serving(password, manners) as server:
            server.put(PATH, other)
            (outcome,) = attempt(server, password, demo, force=True).outcomes
        assert outcome.status == "failed"
        assert words in outcome.error.message
        assert manners == "gitea" or "Allow redeploy, or leave out --force" in outcome.error.hint


def test_a_file_that_comes_between_question_and_upload_stays(password: str, demo: Path, other: bytes) -> None:
    """Where the server observes the condition, nobody's file is ever replaced unasked."""
    with serving(password, "conditional") as server:

        def meanwhile(request) -> bool:
            if request.step == "upload":
                server.put(PATH, other)
            return False

        server.plan(Fault("status", when=meanwhile))
        report = attempt(server, password, demo)
    assert report.outcomes[0].error.code == "conflict"
    assert server.files[PATH].sha256 == hashlib.sha256(other).hexdigest()


def test_folders_are_made_once(password: str, tmp_path: Path) -> None:
    """WebDAV that wants them gets those of the subdirs, whichever of many files asks first."""
    for number in range(10):
        make_conda(tmp_path, f"demo{number}")
    with serving(password, "wants-folders") as server:
        report = attempt(server, password, tmp_path)
    assert set(statuses(report)) == {"uploaded"}
    assert server.steps().count("folder") == 1
    assert server.folders == {"noarch"}


# --- servers that are not what they seem ------------------------------------------------------------------------------


@pytest.mark.parametrize(("manners", "words"), [("stores-nothing", "has nothing there"), ("cuts", "bytes there, not")])
def test_a_server_that_does_not_keep_what_it_took_is_found_out(
    password: str, demo: Path, manners: str, words: str
) -> None:
    """It says 201, and is asked whether that is so."""
    with serving(password, manners) as server:
        report = attempt(server, password, demo)
    assert (statuses(report), report.outcomes[0].error.code) == (["failed"], "damaged")
    assert words in report.outcomes[0].error.message


def test_a_page_is_no_success(password: str, demo: Path) -> None:
    """A log-in page in the way answers 200 to everything."""
    with serving(password, "replaces", faults=[Fault("status", status=200, media="html", times=None)]) as server:
        report = attempt(server, password, demo)
    assert "sent a web page" in report.outcomes[0].error.message


def test_a_redirect_gets_neither_file_nor_password(password: str, demo: Path) -> None:
    """Uploads follow none."""
    with serving(password, "replaces") as trap, serving(password, "replaces") as server:
        server.plan(Fault("redirect", status=307, to=trap.url, times=None))
        report = attempt(server, password, demo)
    assert report.outcomes[0].error.code == "redirect"
    assert trap.requests == []


@pytest.mark.parametrize("manners", ["replaces", "gitea"])
def test_a_wrong_password_stores_nothing(demo: Path, manners: str) -> None:
    """And the exit status says what is wrong."""
    with serving(leaks.new_secret("right"), manners) as server:
        report = attempt(server, leaks.new_secret("wrong"), demo)
    assert report.exit_status == ExitStatus.CREDENTIAL
    assert server.files == {}


# --- credentials and URLs ---------------------------------------------------------------------------------------------


def test_a_token_goes_as_bearer(token: str, demo: Path) -> None:
    """From the command line, over standard input."""
    with PutServer(token) as server:
        done = run_keelback(["publish", "--to", server.publish_url, "--api-key", "-", demo], input=token)
    assert done.returncode == 0, done.stderr
    assert list(server.files) == [PATH]


def test_without_a_credential_nothing_is_sent(demo: Path, password: str) -> None:
    """No variable counts: an open server is no place for packages, and a wrong one might get a secret."""
    with serving(password, "replaces") as server:
        done = run_keelback(["publish", "--to", server.publish_url, demo], env={"ARTIFACTORY_TOKEN": password})
    assert done.returncode == ExitStatus.CREDENTIAL
    assert "--username and --password, or --api-key" in done.stderr
    assert server.requests == []


def test_a_password_does_not_go_out_in_the_clear(demo: Path, password: str) -> None:
    """put+http:// is for this machine, and for hosts that were named."""
    given = {"username": "ann", "password": password, "retry": QUICK}
    (outcome,) = publish([demo], "put+http://files.example/chan", **given).outcomes
    assert outcome.error.code == "plain-http"


@pytest.mark.parametrize(
    ("url", "kind", "channel"),
    [
        ("put+https://h.example/dav/chan/", PutChannel, "https://h.example/dav/chan"),
        ("put://h.example:8443/chan", PutChannel, "https://h.example:8443/chan"),
        ("put+https://h.example", PutChannel, "https://h.example"),
        ("put+https://h.example/api/packages/me/conda", GiteaChannel, "https://h.example/api/packages/me/conda"),
        (
            "https://h.example/git/api/packages/me/conda/x",
            GiteaChannel,
            "https://h.example/git/api/packages/me/conda/x",
        ),
    ],
)
def test_urls(url: str, kind: type[PutChannel], channel: str) -> None:
    """Any path is a channel; a registry of Gitea is known by its path, whatever stands before the scheme."""
    found = channel_for(url)
    assert (type(found), found.url) == (kind, channel)


def test_artifactory_is_no_plain_server(token: str, demo: Path) -> None:
    """It can be spoken to as one, all the same."""
    with ArtifactoryServer(token) as server:
        to = server.publish_url.replace("artifactory+", "put+", 1)
        report = publish([demo], to, api_key=token, retry=QUICK)
    assert statuses(report) == ["uploaded"]
    server.assert_clean()
