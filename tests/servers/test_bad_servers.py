"""Servers that answer what they should not: each such answer is a clear error, short, and harmless to print."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import leaks
from cli_runner import run_keelback
from keelback import ExitStatus, KeelbackError, Problem, Report, Retry, Status, publish
from making import make_big_conda
from servers.scripted import AnacondaServer, ArtifactoryServer, Fault, PrefixServer, QuetzServer, ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path

    from servers.scripted import Recorded

SERVERS = {"prefix": PrefixServer, "anaconda": AnacondaServer, "quetz": QuetzServer, "artifactory": ArtifactoryServer}
VARIABLES = {
    "prefix": "PREFIX_API_KEY",
    "anaconda": "ANACONDA_API_KEY",
    "quetz": "QUETZ_API_KEY",
    "artifactory": "ARTIFACTORY_TOKEN",
}
ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x1b[2J \x9b31m \x08\x08 \x7f \u202eesrever\u2028 \r\nsecond line"
"""What a terminal would obey: a title, colours, clearing the screen, going back, and writing from right to left."""


def attempt(server: ScriptedServer, token: str, *paths: Path, **options) -> Report:
    """The report of a run, also of one that ends before anything is sent."""
    options = {"retry": Retry(attempts=2, base=0.01), "timeout": 10.0, **options}
    try:
        return publish(paths, server.publish_url, api_key=token, **options)
    except KeelbackError as error:
        return Report(error=Problem.of(error))


def problem_of(report: Report) -> Problem:
    """What went wrong, wherever in the report it stands."""
    found = [report.error, *(channel.error for channel in report.channels), *(one.error for one in report.outcomes)]
    return next(problem for problem in found if problem is not None)


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server."""
    return request.param


def with_words(request: Recorded) -> bool:
    """Whether the answer to *request* can have words in it."""
    return request.method != "HEAD"


def of_index(request: Recorded) -> bool:
    """Whether *request* is for a channel's index."""
    return request.path.rpartition("/")[2].startswith("repodata")


@pytest.mark.parametrize("when", ["any", "upload"])
def test_a_web_page_is_no_success(kind: str, token: str, demo: Path, when: str) -> None:
    """A log-in page in front of a server answers 200 to everything: nothing has been uploaded by that."""
    page = "<!doctype html><html><head><title>Sign in to ACME</title></head><body><p>Hello</p></body></html>"
    fault = Fault("status", when=when, status=200, media="html", body=page, times=None)
    with SERVERS[kind](token, faults=[fault]) as server:
        report = attempt(server, token, demo)
    problem = problem_of(report)
    assert report.exit_status == ExitStatus.FAILED
    assert "web page" in problem.message
    assert "<" not in problem.message
    assert server.files == {}


def test_an_error_page_is_told_by_its_title(kind: str, token: str, demo: Path) -> None:
    """Of a whole page of HTML, a person reads one line."""
    page = "<html><head><style>p {color: red}</style><title>413 Request &amp; Entity</title></head><p>nginx</p></html>"
    fault = Fault("status", when="upload", status=413, media="html", body=page)
    with SERVERS[kind](token, faults=[fault]) as server:
        problem = problem_of(attempt(server, token, demo))
    assert "413 Request & Entity" in problem.message
    assert "nginx" not in problem.message


def test_an_empty_error_is_told_by_its_status(kind: str, token: str, demo: Path) -> None:
    """Where the server has no words, the status is enough."""
    with SERVERS[kind](token, faults=[Fault("status", status=422, media="empty", times=None)]) as server:
        problem = problem_of(attempt(server, token, demo))
    assert problem.message.endswith("answered 422")


def test_an_empty_answer_where_one_is_needed_is_an_error(token: str, demo: Path) -> None:
    """anaconda.org has to say where the file goes; an empty 200 does not."""
    with AnacondaServer(token, faults=[Fault("status", when="stage", status=200, media="empty")]) as server:
        problem = problem_of(attempt(server, token, demo))
    assert "not a JSON object" in problem.message
    assert server.of_step("upload") == []


def test_a_success_with_an_error_inside_is_a_failure(kind: str, token: str, demo: Path) -> None:
    """What contradicts itself is not trusted; the error's words are told."""
    body = json.dumps({"error": {"message": "the quota is used up"}})
    with SERVERS[kind](token, faults=[Fault("status", status=200, body=body, times=None)]) as server:
        report = attempt(server, token, demo)
    assert report.exit_status == ExitStatus.FAILED
    assert "the quota is used up" in problem_of(report).message


@pytest.mark.parametrize("media", ["text", "json", "html"])
def test_a_huge_error_is_cut_short(kind: str, token: str, demo: Path, media: str) -> None:
    """Megabytes of error are neither read to the end nor shown."""
    body = {"text": "word " * 1_000_000, "json": json.dumps({"error": "word " * 1_000_000}), "html": "<p>" * 1_000_000}
    with SERVERS[kind](
        token, faults=[Fault("status", status=400, media=media, body=body[media], times=None)]
    ) as server:
        problem = problem_of(attempt(server, token, demo))
    said = {"text": ": word word ", "json": ': {"error": "word word ', "html": ""}
    host = f"127.0.0.1:{server.port} answered 400"
    assert problem.message.startswith(host + said[media])
    if media == "html":  # there is no word in it
        assert problem.message == host
    else:
        assert problem.message.endswith("…")
        assert len(problem.message) == len(host) + len(": ") + 300


@pytest.mark.parametrize("status", [400, 200])
def test_a_secret_across_the_cut_does_not_show(kind: str, token: str, demo: Path, status: int) -> None:
    """The text is redacted before it is cut short: half a token is a secret, too."""
    for before in (270, 285, 299):
        body = json.dumps({"error": "x" * before + token})
        with SERVERS[kind](token, faults=[Fault("status", status=status, body=body, times=None)]) as server:
            problem = problem_of(attempt(server, token, demo))
        leaks.check(repr(problem), "the problem")
        assert "kbsec" not in problem.message


@pytest.mark.parametrize("status", [401, 403, 422])
def test_a_credential_that_is_echoed_does_not_show(kind: str, token: str, demo: Path, status: int) -> None:
    """Careless servers put what they refuse into the answer."""
    with SERVERS[kind](token, faults=[Fault("echo", when=with_words, status=status, times=None)]) as server:
        report = attempt(server, token, demo)
    problem = problem_of(report)
    leaks.check(json.dumps(report.to_json()), "the report")
    assert "rejected credential" in problem.message
    assert "****" in problem.message


@pytest.mark.parametrize("when", ["any", "upload"])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("\x00\x01\x02\xff\xfe binary \x80", ()),
        ("no gzip", (("Content-Encoding", "gzip"),)),
        ("no deflate", (("Content-Encoding", "deflate"),)),
        ("?", (("Content-Type", "application/json; charset=klingon"),)),
    ],
    ids=["bytes", "gzip", "deflate", "charset"],
)
@pytest.mark.parametrize("status", [200, 400, 503])
def test_binary_garbage_is_an_error_like_any_other(
    kind: str, token: str, demo: Path, when: str, body: str, headers: tuple[tuple[str, str], ...], status: int
) -> None:
    """Bytes that are no text, and encodings that are none, end in a report."""
    fault = Fault("status", when=when, status=status, media="text", body=body, headers=headers, times=None)
    with SERVERS[kind](token, faults=[fault]) as server:
        report = attempt(server, token, demo)
    if status != 200:
        assert report.exit_status == ExitStatus.FAILED
        assert problem_of(report).message.isprintable()


STEPS = {
    "prefix": ["any", "upload", "get", "shard", "graphql"],
    "anaconda": ["any", "dist", "package", "release", "stage", "upload", "commit", "get", "user"],
    "quetz": ["any", "channel", "version", "upload", "get"],
    "artifactory": ["any", "get", "upload"],
}
DOCUMENTS = {
    "list": "[1]",
    "string": '"x"',
    "number": "3",
    "null": "null",
    "deep": "[" * 200_000,
    "strange": json.dumps({
        "info": [1], "data": [1], "checksums": [1], "form_data": [1], "post_url": 1, "dist_id": [], "labels": 3,
        "sha256": 1, "md5": {}, "packages": [1], "viewer": 1, "releases": 1,
    }),
    "halves": '{"info": {"sha256": "\\ud800"}, "checksums": {"sha256": "\\ud800"}, "sha256": "\\ud800"}',
}  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize(("kind", "step"), [(kind, step) for kind, steps in STEPS.items() for step in steps])
def test_json_of_another_shape_breaks_nothing(kind: str, step: str, token: str, demo: Path, document: str) -> None:
    """Whatever JSON comes at whatever step, the run ends with a report; with nothing there, with success or failure."""
    fault = Fault("status", when=step, status=200, body=DOCUMENTS[document], times=None)
    with SERVERS[kind](token, faults=[fault]) as server:
        fresh = attempt(server, token, demo, verify=0.0)
        again = attempt(server, token, demo, force=True)
        dry = attempt(server, token, demo, dry_run=True)
    assert {run.exit_status for run in (fresh, again, dry)} <= {
        ExitStatus.OK, ExitStatus.FAILED, ExitStatus.NOT_VISIBLE, ExitStatus.CREDENTIAL,
    }  # fmt: skip


@pytest.mark.parametrize(
    "url",
    ["http://h:port/x", "http://ho st.example/x", "ftp://127.0.0.1/x", "javascript:alert(1)", "", "/x", "https://", 7],
)
def test_an_address_for_the_file_that_is_none(token: str, demo: Path, url: object) -> None:
    """Where anaconda.org says the file goes, the file goes only if that is an address."""
    staged = json.dumps({"post_url": url, "form_data": {"key": "k"}, "dist_id": "d"})
    with AnacondaServer(token, faults=[Fault("status", when="stage", status=200, body=staged)]) as server:
        report = attempt(server, token, demo)
    assert report.exit_status == ExitStatus.FAILED
    assert server.of_step("upload") == []


def test_stored_bytes_that_differ_are_a_failure(token: str, demo: Path) -> None:
    """Artifactory says what it has stored; where that is not what was sent, nothing is well."""
    with ArtifactoryServer(token, faults=[Fault("lie")]) as server:
        report = attempt(server, token, demo)
    assert report.exit_status == ExitStatus.FAILED
    assert "other bytes" in problem_of(report).message


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("html", "<html>log in</html>"),
        ("json", '{"packages": 3}'),
        ("application/zstd", "\x28\xb5\x2f\xfd garbage"),
        ("empty", None),
    ],
    ids=["html", "json", "zstd", "empty"],
)
def test_an_index_that_is_none_is_not_believed(kind: str, token: str, demo: Path, media: str, body: str | None) -> None:
    """What cannot be read shows no file; prefix.dev, which has no other way to tell, cannot compare the bytes."""
    fault = Fault("status", when=of_index, status=200, media=media, body=body, times=None)
    with SERVERS[kind](token) as server:
        first = attempt(server, token, demo)
        server.plan(fault)
        report = attempt(server, token, demo, verify=0.0)
    (outcome,) = report.outcomes
    assert first.ok
    if kind == "prefix":
        assert (outcome.status, outcome.error.code) == (Status.FAILED, "conflict")
        assert report.exit_status == ExitStatus.FAILED
    else:
        assert (outcome.status, outcome.visible) == (Status.IDENTICAL, False)
        assert report.exit_status == ExitStatus.NOT_VISIBLE


def test_an_index_that_is_none_does_not_stop_an_upload(token: str, tmp_path: Path) -> None:
    """prefix.dev's index is asked before a big file is sent; where it cannot be read, the upload itself will tell."""
    path = make_big_conda(tmp_path / "big-1.0-0.conda", 5 << 20)
    fault = Fault("status", when="get", status=200, media="html", body="<html>log in</html>", times=None)
    with PrefixServer(token, faults=[fault]) as server:
        report = attempt(server, token, path)
    assert [outcome.status for outcome in report.outcomes] == [Status.UPLOADED]
    server.assert_clean()


@pytest.mark.parametrize(
    ("status", "media"), [(200, "json"), (200, "html"), (401, "html"), (422, "text"), (422, "json")]
)
def test_a_servers_words_do_not_command_the_terminal(
    kind: str, token: str, demo: Path, status: int, media: str
) -> None:
    """Escape sequences and what else is not printable never reach the terminal, nor does a second line."""
    words = {
        "text": ESCAPES,
        "json": json.dumps({"error": ESCAPES}),
        "html": f"<html><title>{ESCAPES}</title></html>",
    }
    fault = Fault("status", when=with_words, status=status, media=media, body=words[media], times=None)
    with SERVERS[kind](token, faults=[fault]) as server:
        args = ["publish", "--to", server.publish_url, "-vv", "--retries", "0", demo]
        done = run_keelback(args, env={VARIABLES[kind]: token})
    assert done.returncode in {ExitStatus.FAILED, ExitStatus.CREDENTIAL}
    assert "red" in done.stderr + done.stdout
    assert all(letter.isprintable() or letter == "\n" for letter in done.stdout + done.stderr)
    assert not any(line.lstrip().startswith("second line") for line in (done.stdout + done.stderr).splitlines())


def test_a_servers_words_do_not_command_the_readers_of_json(token: str, demo: Path) -> None:
    """In the JSON document they are escaped, or gone."""
    fault = Fault("status", status=422, media="text", body=ESCAPES, times=None)
    with PrefixServer(token, faults=[fault]) as server:
        args = ["publish", "--json", "--to", server.publish_url, "--retries", "0", demo]
        done = run_keelback(args, env={"PREFIX_API_KEY": token})
    (outcome,) = done.json()["channels"][0]["outcomes"]
    assert outcome["error"]["message"].isprintable()
    assert outcome["status"] == Status.FAILED
