"""Whatever a server does wrong with one file, keelback says exactly what became of each of them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import leaks
from cli_runner import run_keelback
from servers.fault_table import (
    KINDS,
    SCENARIOS,
    SECOND,
    Files,
    Kind,
    Scenario,
    Stage,
    Waits,
    cases,
    end_of,
    keelback_cells,
    publish,
    row,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "faults.md"

CASES = [pytest.param(*case, id=f"{case[0].name}-{case[1].name}") for case in cases()]
ONE_FILE_ONLY = [case for case in CASES if case.values[1].options.get("file")]
AT_THE_COMMAND_LINE = {"500 once", "401 that echoes the credential", "409, other bytes", "307 to another origin"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Three packages, and another one under the second's name."""
    return Files.make(tmp_path_factory.mktemp("packages"))


def assert_server_agrees(stage: Stage, kind: Kind, scenario: Scenario) -> None:
    """The fault was met; the server has what was said and nothing else, as often as it should, and saw no misuse."""
    assert stage.met()
    assert stage.kept() == scenario.kept()
    if stage.times_stored(SECOND):
        assert stage.times_stored(SECOND) == scenario.times_stored(kind)
    assert stage.trap.requests == []
    stage.server.assert_clean()


@pytest.mark.parametrize(("kind", "scenario"), CASES)
def test_every_file_ends_as_the_table_says(
    kind: Kind, scenario: Scenario, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    """Each file has the promised outcome, the server agrees, no other origin hears a word, and no secret shows."""
    secret = leaks.new_secret("fault")
    caplog.set_level(logging.DEBUG)
    waits = Waits()
    with Stage(kind, scenario, files, secret) as stage:
        report = publish(stage, scenario, files, secret, reporter=waits)
    assert tuple(end_of(outcome) for outcome in report.outcomes) == scenario.ends
    assert report.exit_status == scenario.exit_status
    if (attempts := scenario.attempts_at(kind)) is not None:
        assert report.outcomes[1].attempts == attempts
    if scenario.waits is not None:
        assert tuple(waits.seconds) == scenario.waits
    assert_server_agrees(stage, kind, scenario)
    leaks.check(json.dumps(report.to_json()), "the report")
    leaks.check(caplog.text, "the log")


@pytest.mark.parametrize(("kind", "scenario"), ONE_FILE_ONLY)
def test_a_fault_of_one_file_is_the_same_when_all_are_sent_at_once(
    kind: Kind, scenario: Scenario, files: Files
) -> None:
    """Side by side or one after the other: what is wrong with one file touches no other."""
    secret = leaks.new_secret("fault")
    with Stage(kind, scenario, files, secret) as stage:
        report = publish(stage, scenario, files, secret, jobs=3)
    assert tuple(end_of(outcome) for outcome in report.outcomes) == scenario.ends
    assert report.exit_status == scenario.exit_status
    assert_server_agrees(stage, kind, scenario)


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.name in AT_THE_COMMAND_LINE], ids=lambda s: s.name)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_command_says_the_same_as_the_library(kind: Kind, scenario: Scenario, files: Files) -> None:
    """``keelback publish --json`` prints the outcomes of the table, and ends with its exit status."""
    secret = leaks.new_secret("fault")
    with Stage(kind, scenario, files, secret) as stage:
        run = run_keelback(
            ["publish", "--to", stage.server.publish_url, "--json", "--jobs=1", "--retry-delay=0.01", *files.ours],
            env={kind.variable: secret},
        )
    said = [
        (outcome["status"], outcome["error"]["code"] if outcome["error"] else "")
        for outcome in run.json()["channels"][0]["outcomes"]
    ]
    assert said == [(end.status.value, end.code) for end in scenario.ends]
    assert run.returncode == scenario.exit_status
    assert_server_agrees(stage, kind, scenario)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if not s.there and not s.staged_only], ids=lambda scenario: scenario.name
)
def test_the_same_command_again_does_what_is_left(kind: Kind, scenario: Scenario, files: Files) -> None:
    """Once the server behaves, a second run brings what is missing, and only that."""
    secret = leaks.new_secret("fault")
    with Stage(kind, scenario, files, secret) as stage:
        publish(stage, scenario, files, secret)
        stage.server.behave()
        before = {path: stored.times_stored for path, stored in stage.server.files.items()}
        again = publish(stage, scenario, files, secret)
    done = [f"{outcome.subdir}/{outcome.filename}" in before for outcome in again.outcomes]
    assert [outcome.status for outcome in again.outcomes] == ["identical" if was else "uploaded" for was in done]
    assert {path: stage.server.files[path].times_stored for path in before} == before
    stage.server.assert_clean()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_documentation_shows_this_table(kind: Kind) -> None:
    """The page has every scenario of every server, with what keelback is held to here."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition(f"\n## {kind.name}\n")
    body = section.partition("\n## ")[0]
    rows = [line for line in body.splitlines() if line.startswith("|")][2:]
    expected = [row([scenario.name, *keelback_cells(scenario)]) for which, scenario in cases() if which is kind]
    assert [line[: len(start)] for line, start in zip(rows, expected, strict=True)] == expected
