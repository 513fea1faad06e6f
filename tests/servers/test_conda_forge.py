"""conda-forge: what goes through its staging area, what it is asked, and what is a failure."""

from __future__ import annotations

import bz2
import hashlib
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

import leaks
from cli_runner import run_keelback, start_keelback
from keelback import ExitStatus, KeelbackError, Problem, Report, Retry, UsageError, copy, inspect, publish
from keelback.channels.condaforge import CondaForgeChannel
from keelback.channels.condaforge_targets import label_of, targets_in
from keelback.errors import ArchiveError
from keelback.secret import Secret
from making import info_members, make_conda, tar
from servers.scripted import Fault
from servers.scripted.conda_forge import CondaForgeServer, make_output

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli_runner import Completed

PATH = "noarch/demo-1.0-h0_0.conda"
QUICK = Retry(attempts=3, base=0.01)


@pytest.fixture
def feedstock_token() -> str:
    """What the feedstock has to show."""
    return leaks.new_secret("feedstock-token")


@pytest.fixture
def server(token: str, feedstock_token: str) -> Iterator[CondaForgeServer]:
    """A conda-forge, content at the end with all that it was sent."""
    with CondaForgeServer(token, feedstock_token, refused=frozenset({"forbidden"})) as running:
        yield running
    running.assert_clean()


def attempt(server: CondaForgeServer, token: str, feedstock_token: str, *paths: Path, **options) -> Report:
    """The report of a run of the library, which does not rest before it looks for what got no answer."""
    channel = CondaForgeChannel(
        "demo-feedstock",
        feedstock_token=Secret(feedstock_token, "feedstock_token"),
        url=server.url,
        endpoint=server.endpoint,
        pauses=[0.0] * 5,
    )
    try:
        return publish(paths, channel, **{"api_key": token, "retry": QUICK, "timeout": 5.0, **options})
    except KeelbackError as error:
        return Report(error=Problem.of(error))


def command(server: CondaForgeServer, *args: str | Path) -> list[str | Path]:
    """``keelback upload conda-forge`` to *server*."""
    place = ["--anaconda-url", server.url, "--validation-endpoint", server.endpoint]
    return ["upload", "conda-forge", "--feedstock", "demo-feedstock", *place, "--retry-delay", "0.01", *args]


def run(server: CondaForgeServer, token: str, feedstock_token: str, *args: str | Path, **env: str) -> Completed:
    """The same with both tokens in the variables, to its end."""
    tokens = {"STAGING_BINSTAR_TOKEN": token, "FEEDSTOCK_TOKEN": feedstock_token}
    return run_keelback(command(server, *args), env={**tokens, **env})


def statuses(report: Report) -> dict[str, str]:
    """What became of each archive."""
    return {outcome.name: outcome.status.value for outcome in report.outcomes}


# --- well -------------------------------------------------------------------------------------------------------------


def test_packages_get_into_conda_forge_under_the_labels_that_they_name(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path
) -> None:
    """They are staged, one request for each label has them copied, and it has exactly the members that it should."""
    make_output(tmp_path, "demo")
    make_output(tmp_path, "other")
    make_output(tmp_path, "early", targets="conda-forge demo_rc")
    done = run(server, token, feedstock_token, "--json", tmp_path, CI="azure", GIT_SHA="0123abc")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: sorted(stored.labels) for path, stored in server.production.items()} == {
        "noarch/demo-1.0-h0_0.conda": ["main"],
        "noarch/early-1.0-h0_0.conda": ["demo_rc"],
        "noarch/other-1.0-h0_0.conda": ["main"],
    }
    first, second = [request.json() for request in server.of_step("copy")]
    assert (first["channel"], list(first["outputs"])) == ("demo_rc", ["noarch/early-1.0-h0_0.conda"])
    assert second == {
        "feedstock": "demo-feedstock",
        "outputs": {path: server.production[path].sha256 for path in (PATH, "noarch/other-1.0-h0_0.conda")},
        "channel": "main",
        "comment_on_error": False,
        "hash_type": "sha256",
        "provider": "azure",
        "git_sha": "0123abc",
    }
    (channel,) = done.json()["channels"]
    assert channel["channel"] == f"{server.url}/conda-forge"
    assert [outcome["url"].removeprefix(server.url) for outcome in channel["outcomes"]] == [
        "/conda-forge/noarch/demo-1.0-h0_0.conda",
        "/conda-forge/label/demo_rc/noarch/early-1.0-h0_0.conda",
        "/conda-forge/noarch/other-1.0-h0_0.conda",
    ]


def test_the_job_may_have_failures_commented_on(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path
) -> None:
    """The variable counts by being there, as it does for rattler-build."""
    run(server, token, feedstock_token, make_output(tmp_path), POST_COMMENT_ON_ERROR="")
    (asked,) = [request.json() for request in server.of_step("copy")]
    assert (asked["comment_on_error"], asked["provider"]) == (True, None)


def test_publishing_again_asks_for_nothing(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path
) -> None:
    """What conda-forge has is identical: neither staged nor copied again."""
    demo = make_output(tmp_path)
    attempt(server, token, feedstock_token, demo)
    report = attempt(server, token, feedstock_token, demo)
    assert (statuses(report), report.exit_status) == ({"demo": "identical"}, ExitStatus.OK)
    assert server.steps().count("copy") == 1


def test_what_an_earlier_run_left_in_the_staging_area_is_copied(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path
) -> None:
    """Its bytes are not sent again, and it gets into conda-forge in this run."""
    demo = make_output(tmp_path)
    server.put(PATH, demo.read_bytes())
    report = attempt(server, token, feedstock_token, demo)
    assert (statuses(report), report.outcomes[0].attempts) == ({"demo": "uploaded"}, 0)
    assert "upload" not in server.steps()
    assert PATH in server.production


def test_a_dry_run_shows_labels_and_the_request(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path
) -> None:
    """It says what would be asked, for what conda-forge does not have yet, and sends nothing; a variable does, too."""
    demo = make_output(tmp_path, targets="conda-forge demo_rc")
    there = make_output(tmp_path, "there")
    server.put_in_production("noarch/there-1.0-h0_0.conda", there.read_bytes())
    done = run(server, token, feedstock_token, tmp_path, DRY_RUN="true")
    assert done.returncode == 0, done.stderr
    label, request = done.stderr.splitlines()
    assert label == f"{PATH}: label demo_rc of cf-staging"
    assert request.startswith(f"POST {server.endpoint} {{")
    document = json.loads(request[request.index("{") :])
    assert document["outputs"] == {PATH: hashlib.sha256(demo.read_bytes()).hexdigest()}
    assert document["channel"] == "demo_rc"
    assert {request.method for request in server.requests} == {"GET"}
    assert done.stdout.count("(dry run)") == 2


# --- not well ---------------------------------------------------------------------------------------------------------


def test_a_package_that_conda_forge_refuses_is_a_failure(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path
) -> None:
    """The others get in; the error has what conda-forge says about this one."""
    make_output(tmp_path, "demo")
    make_output(tmp_path, "forbidden")
    done = run(server, token, feedstock_token, "--json", tmp_path)
    (channel,) = done.json()["channels"]
    demo, forbidden = channel["outcomes"]
    assert done.returncode == ExitStatus.FAILED
    assert (demo["status"], forbidden["status"]) == ("uploaded", "failed")
    assert forbidden["error"]["code"] == "not-copied"
    assert "(400): not valid: output noarch/forbidden-1.0-h0_0.conda not allowed for" in forbidden["error"]["message"]
    assert list(server.production) == [PATH]


def test_a_person_is_told_once_what_becomes_of_a_package(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path
) -> None:
    """When conda-forge has decided: not that it was uploaded, and then that it failed."""
    make_output(tmp_path, "demo")
    make_output(tmp_path, "forbidden")
    shown = run(server, token, feedstock_token, tmp_path).stdout
    lines = [line.split()[:2] for line in shown.splitlines() if line.startswith(("uploaded", "failed"))]
    assert sorted(lines) == [["failed", "noarch/forbidden-1.0-h0_0.conda"], ["uploaded", PATH]]
    assert shown.splitlines()[-1].endswith("/conda-forge: 1 uploaded, 1 failed")


def test_a_wrong_feedstock_token_is_a_refused_credential(server: CondaForgeServer, token: str, tmp_path: Path) -> None:
    """It is believed at once: nobody looks for what cannot have come."""
    done = run(server, token, leaks.new_secret("wrong"), make_output(tmp_path))
    assert done.returncode == ExitStatus.CREDENTIAL
    assert "invalid feedstock token" in done.stdout
    assert "the token from the variable FEEDSTOCK_TOKEN" in done.stdout
    assert server.steps()[-1] == "copy"


def test_200_is_not_enough(server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path) -> None:
    """A success has to be said of each package; what is not named was not copied."""
    make_output(tmp_path, "demo")
    make_output(tmp_path, "other")
    verdict = {"errors": [], "valid": {}, "copied": {PATH: True}}
    server.plan(Fault("status", when="copy", status=200, body=json.dumps(verdict)))
    report = attempt(server, token, feedstock_token, tmp_path)
    assert statuses(report) == {"demo": "uploaded", "other": "failed"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("lost-answer", when="copy"),
        Fault("truncated", when="copy"),
        Fault("garbage", when="copy"),
    ],
    ids=lambda fault: fault.kind,
)
def test_an_answer_that_got_lost_is_not_a_failure(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path, fault: Fault
) -> None:
    """conda-forge is asked once, since a repetition finds nothing to copy; then anaconda.org is asked what arrived."""
    server.plan(fault)
    report = attempt(server, token, feedstock_token, make_output(tmp_path))
    assert statuses(report) == {"demo": "uploaded"}
    assert server.steps()[-2:] == ["copy", "dist"]
    assert server.steps().count("copy") == 1


@pytest.mark.parametrize(("status", "media"), [(503, "html"), (500, "json"), (200, "html")])
def test_what_does_not_turn_up_is_a_failure(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path, status: int, media: str
) -> None:
    """Five looks, then the error says what conda-forge answered; another run does what is left."""
    demo = make_output(tmp_path)
    server.plan(Fault("status", when="copy", status=status, media=media))
    report = attempt(server, token, feedstock_token, demo)
    (outcome,) = report.outcomes
    assert (outcome.status, outcome.error.code) == ("failed", "not-copied")
    assert f"answered {status}" in outcome.error.message
    assert server.steps()[-6:] == ["copy"] + ["dist"] * 5
    assert statuses(attempt(server, token, feedstock_token, demo)) == {"demo": "uploaded"}


def test_a_late_copy_is_seen(server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path) -> None:
    """The service goes on when its answer has timed out; neither another label nor another hash is taken for it."""
    demo = make_output(tmp_path)
    server.plan(Fault("status", when="copy", status=503))
    looks = iter(["nothing", "other label", "it"])

    def meanwhile(request) -> bool:
        if "copy" in server.steps()[:-1] and request.step == "dist":
            label = {"nothing": None, "other label": "dev", "it": "main"}[next(looks)]
            if label:
                server.put_in_production(PATH, demo.read_bytes(), label)
        return False

    server.plan(Fault("status", when=meanwhile))
    report = attempt(server, token, feedstock_token, demo)
    assert statuses(report) == {"demo": "uploaded"}
    assert list(looks) == []


def test_too_many_requests_are_repeated(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path
) -> None:
    """A request that was turned away at the door is sent again."""
    server.plan(Fault("status", when="copy", status=429, retry_after=0))
    report = attempt(server, token, feedstock_token, make_output(tmp_path))
    assert statuses(report) == {"demo": "uploaded"}
    assert server.steps().count("copy") == 2


@pytest.mark.parametrize("where", ["staging", "production"])
def test_other_bytes_are_a_conflict(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path, where: str
) -> None:
    """Nothing is replaced, not by force either, and the error says who has it."""
    demo = make_output(tmp_path / "new")
    old = make_output(tmp_path / "old", text="something else\n").read_bytes()
    if where == "staging":
        server.put(PATH, old)
    else:
        server.put_in_production(PATH, old)
    (outcome,) = attempt(server, token, feedstock_token, demo).outcomes
    assert (outcome.status, outcome.error.code) == ("failed", "conflict")
    assert ("cf-staging has" if where == "staging" else "conda-forge has") in outcome.error.message
    assert "copy" not in server.steps()


def test_another_label_in_the_staging_area_is_a_conflict(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path
) -> None:
    """conda-forge takes a file that has its one label and no other; none is added to it."""
    demo = make_output(tmp_path, targets="conda-forge dev")
    server.put(PATH, demo.read_bytes())
    (outcome,) = attempt(server, token, feedstock_token, demo).outcomes
    assert "under the label main, and not under dev alone" in outcome.error.message
    assert server.files[PATH].labels == {"main"}


def test_one_conflict_does_not_keep_the_others_out(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path
) -> None:
    """What was staged is copied, though another package was not staged."""
    make_output(tmp_path, "demo")
    make_output(tmp_path, "fresh")
    server.put(PATH, make_output(tmp_path / "old", text="something else\n").read_bytes())
    report = attempt(server, token, feedstock_token, *tmp_path.glob("*.conda"))
    assert statuses(report) == {"demo": "failed", "fresh": "uploaded"}
    assert list(server.production) == ["noarch/fresh-1.0-h0_0.conda"]


def test_a_refused_staging_token_stops_the_run(server: CondaForgeServer, feedstock_token: str, tmp_path: Path) -> None:
    """And conda-forge is not asked for anything."""
    done = run(server, leaks.new_secret("wrong"), feedstock_token, make_output(tmp_path))
    assert done.returncode == ExitStatus.CREDENTIAL
    assert "the variable STAGING_BINSTAR_TOKEN" in done.stdout + done.stderr
    assert "copy" not in server.steps()


@pytest.mark.parametrize(
    ("staging", "feedstock", "words"),
    [
        ("", "given", "--staging-token"),
        ("given", "", "--feedstock-token"),
        ("$(STAGING_BINSTAR_TOKEN)", "given", "the name of a variable"),
        ("given", "$(FEEDSTOCK_TOKEN)", "the name of a variable"),
    ],
)
def test_both_tokens_are_needed(
    server: CondaForgeServer, tmp_path: Path, staging: str, feedstock: str, words: str
) -> None:
    """Before anything is sent; Azure's names of variables without a value are no tokens."""
    done = run(server, staging, feedstock, make_output(tmp_path))
    assert done.returncode == ExitStatus.CREDENTIAL
    assert words in done.stderr
    assert server.requests == []


def test_tokens_do_not_go_out_in_the_clear(tmp_path: Path, token: str, feedstock_token: str) -> None:
    """A validation endpoint that is neither https nor on this machine gets no token."""
    with CondaForgeServer(token, feedstock_token) as server:
        done = run(
            server, token, feedstock_token, "--validation-endpoint", "http://copy.example/x", make_output(tmp_path)
        )
    assert done.returncode == ExitStatus.FAILED
    assert "plain HTTP" in done.stdout
    assert "copy" not in server.steps()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal for one process")
def test_nothing_is_copied_from_another_channel(server: CondaForgeServer, tmp_path: Path) -> None:
    """conda-forge takes what a feedstock has built; that is said before anybody is asked for anything."""
    publish([make_conda(tmp_path / "dist")], tmp_path / "channel")
    channel = CondaForgeChannel("demo-feedstock", url=server.url, endpoint=server.endpoint)
    with pytest.raises(UsageError, match="conda-forge takes no copies"):
        copy(tmp_path / "channel", channel)
    assert server.requests == []


def test_ctrl_c_while_conda_forge_copies(token: str, feedstock_token: str, tmp_path: Path) -> None:
    """What was staged and not said to be copied has not arrived; the run ends at once."""
    with CondaForgeServer(token, feedstock_token, faults=[Fault("stall-answer", when="copy")]) as server:
        tokens = {"STAGING_BINSTAR_TOKEN": token, "FEEDSTOCK_TOKEN": feedstock_token}
        running = start_keelback(command(server, "--json", make_output(tmp_path)), env=tokens)
        server.wait_for("copy")
        running.process.send_signal(signal.SIGINT)
        done = running.finish()
    (channel,) = done.json()["channels"]
    assert done.returncode == ExitStatus.INTERRUPTED
    assert channel["summary"] == {"failed": 1}


# --- for which label --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ("channel_targets: conda-forge main\n", ["conda-forge main"]),
        ("a: b\r\nchannel_targets: 'conda-forge main'  # as always\r\nz: 1\r\n", ["conda-forge main"]),
        ('"channel_targets": "conda-forge main"', ["conda-forge main"]),
        ("channel_targets:\n- conda-forge main\nz: 1\n", ["conda-forge main"]),
        ("channel_targets:\n\n  # the one\n  - 'conda-forge main'\n", ["conda-forge main"]),
        ("channel_targets: [conda-forge main, 'conda-forge dev']\n", ["conda-forge main", "conda-forge dev"]),
        ('{"channel_targets": ["conda-forge main"], "x": {}}', ["conda-forge main"]),
        ('{"channel_targets": "conda-forge main"}', ["conda-forge main"]),
        ("nested:\n  channel_targets: conda-forge main\n", []),
        ("channel_targets: a b\nchannel_targets: c d\n", []),
        ("channel_targets: \"unfinished\nmore: '\n", []),
        ("{not json", []),
        ('{"channel_targets": 3}', []),
        ("", []),
    ],
)
def test_the_targets_in_a_variant_configuration(config: str, found: list[str]) -> None:
    """In each form that builders write; what is doubtful is not guessed."""
    assert targets_in(config.encode()) == found


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (None, "no channel_targets"),
        ("bioconda main", "not in conda-forge"),
        ("conda-forge", "not a valid name"),
        ("conda-forge ../main", "not a valid name"),
        ("[conda-forge main, conda-forge dev]", "several targets"),
    ],
)
def test_a_package_that_does_not_say_its_label_stops_everything(
    server: CondaForgeServer, token: str, feedstock_token: str, tmp_path: Path, targets: str | None, words: str
) -> None:
    """Nothing is sent, in a dry run and otherwise, and the error names the file."""
    make_output(tmp_path, "fine")
    make_output(tmp_path, "wrong", targets=targets)
    for options in ({}, {"dry_run": True}):
        report = attempt(server, token, feedstock_token, tmp_path, **options)
        assert set(statuses(report).values()) == {"not-attempted"}
        assert report.exit_status == ExitStatus.FAILED
        assert "wrong-1.0-h0_0.conda" in report.channels[0].error.message
        assert words in report.channels[0].error.message
    assert {request.step for request in server.requests} <= {"user"}


def test_a_package_without_a_variant_configuration_is_told_so(tmp_path: Path) -> None:
    """conda-build keeps none, and nobody else's packages have one."""
    with pytest.raises(ArchiveError, match="has no info/recipe/variant_config"):
        label_of(inspect(make_conda(tmp_path)))


def test_the_older_format_is_read_up_to_its_payload(tmp_path: Path) -> None:
    """A .tar.bz2 has its info first; what lies behind is not unpacked for the label."""
    files = {"share/demo.txt": b"hello\n"}
    info = info_members("demo", files=files)
    info["info/recipe/variant_config.yaml"] = b"channel_targets: conda-forge main\n"
    path = tmp_path / "demo-1.0-h0_0.tar.bz2"
    path.write_bytes(bz2.compress(tar({**info, **files})))
    assert label_of(inspect(path)) == "main"
