"""What a run tells the CI system, and what it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import leaks
from ci.runner import Runner
from cli_runner import run_keelback
from docs.pages import ROOT
from keelback.cli.ci.annotations import annotations_of
from keelback.cli.ci.markdown import link_cell, text_cell
from keelback.cli.ci.summary import summary_of
from keelback.findings import Finding, Severity, printable
from keelback.report import ChannelReport, Outcome, Problem, Report, Status
from keelback.secret import Secret, announce, listening
from making import make_conda

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEMS = {"github": {"GITHUB_ACTIONS": "true"}, "azure": {"TF_BUILD": "True"}, "gitlab": {"GITLAB_CI": "true"}}


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A package, and beside it a folder for the CI system."""
    (tmp_path / "temp").mkdir()
    return make_conda(tmp_path / "dist")


def publish(demo: Path, *args: str, env: Mapping[str, str]) -> Any:
    """Publish *demo* to a local channel in a CI system."""
    temp = str(demo.parents[1] / "temp")
    files = {
        "RUNNER_TEMP": temp,
        "AGENT_TEMPDIRECTORY": temp,
        "GITHUB_OUTPUT": f"{temp}/output",
        "GITHUB_STEP_SUMMARY": f"{temp}/summary",
    }
    return run_keelback(["publish", "--to", demo.parents[1] / "channel", *args, demo], env={**files, **env})


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_document_stays_alone_on_standard_output(demo: Path, system: str) -> None:
    """With ``--json``, whatever the CI system is told goes elsewhere."""
    demo.write_bytes(b"no package")
    done = publish(demo, "--json", env=SYSTEMS[system])
    assert done.json()["channels"][0]["summary"] == {"failed": 1}
    assert ("::error " in done.stderr) == (system == "github")
    assert ("##vso[task.logissue type=error;" in done.stderr) == (system == "azure")


def test_azure_pipelines_is_told_where_it_looks(demo: Path) -> None:
    """On standard output: the variables, and the file of the summary, by its absolute path."""
    done = publish(demo, env=SYSTEMS["azure"])
    lines = done.stdout.splitlines()
    assert "##vso[task.setvariable variable=uploaded;isOutput=true;]1" in lines
    (summary,) = [line.partition("]")[2] for line in lines if line.startswith("##vso[task.uploadsummary]")]
    assert "| demo | 1.0 |" in Path(summary).read_text(encoding="utf-8")


@pytest.mark.parametrize(("system", "args"), [("github", ["--ci=none"]), ("none", []), ("gitlab", [])])
def test_nobody_is_told_where_nobody_listens(demo: Path, system: str, args: list[str]) -> None:
    """Outside CI, where it is not wanted, and in GitLab, which reads no commands."""
    done = publish(demo, *args, env=SYSTEMS.get(system, {}))
    assert done.returncode == 0
    assert done.stderr == ""
    assert "::" not in done.stdout
    assert "##" not in done.stdout
    assert not list((demo.parents[1] / "temp").iterdir())


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["publish", "--to", "quetz+https://quetz.example/chan", "DEMO"], "credential"),
        (["publish", "DEMO"], "usage"),
        (["publish", "--to", "chan", "--no-such-option", "DEMO"], "usage"),
        (["publish", "--to", "chan", "--api-key=x", "--api-key-file=y", "DEMO"], "usage"),
        (["fetch"], "usage"),
    ],
)
def test_an_error_before_the_run_is_annotated(demo: Path, args: list[str], status: str) -> None:
    """Also what is wrong with the command line: an annotation stands in place of the line, with the same words."""
    args = [str(demo) if arg == "DEMO" else arg for arg in args]
    plain = run_keelback(args)
    outputs = demo.parents[1] / "temp" / "output"
    told = run_keelback(args, env={**SYSTEMS["github"], "GITHUB_OUTPUT": str(outputs)}, home=plain.home)
    assert (told.returncode, told.stdout) == (plain.returncode, plain.stdout)
    error, hint = (line.partition(": ")[2].strip() for line in plain.stderr.splitlines()[-2:])
    shown = told.stderr.splitlines()[-1]
    assert shown == f"::error title=keelback::{error}%0A{hint}"
    assert len(told.stderr.splitlines()) == len(plain.stderr.splitlines()) - 1
    assert f"\n{status}\n" in outputs.read_text(encoding="utf-8")


def test_an_error_in_a_command_line_is_in_the_document(demo: Path) -> None:
    """With ``--json``, whoever reads standard output always finds one."""
    done = run_keelback(["publish", "--json", "--dry-run", "--jobs", "none", demo])
    assert (done.returncode, done.stderr) == (2, "")
    assert done.json()["error"]["code"] == "usage"
    assert done.json()["dry_run"] is True


def test_the_outputs_of_an_error_go_where_they_can(demo: Path) -> None:
    """``--ci-outputs`` has them for wrong usage, too; where it is wrong itself, the rest is still told."""
    file = demo.parents[1] / "temp" / "x.env"
    done = publish(demo, "--ci-outputs", str(file), "--jobs", "0", env=SYSTEMS["gitlab"])
    assert done.stderr.startswith("error: Invalid value for '-j'")
    assert "KEELBACK_STATUS=usage\n" in file.read_text(encoding="utf-8")
    done = publish(demo, "--ci-outputs", "/nowhere/x.env", env=SYSTEMS["github"])
    assert "::error title=keelback::--ci-outputs: /nowhere/x.env cannot be written" in done.stderr


def test_what_cannot_be_written_does_not_change_how_it_ends(demo: Path) -> None:
    """The packages are there; that nobody can read of it is said."""
    env = {**SYSTEMS["github"], "GITHUB_STEP_SUMMARY": "/nowhere/summary", "RUNNER_TEMP": "/nowhere"}
    done = publish(demo, env=env)
    assert done.returncode == 0
    assert done.stderr.count("warning: the summary for the CI system could not be written") == 1
    assert done.stderr.count("warning: the outputs for the CI system could not be written") == 1


def test_a_file_for_outputs_that_cannot_be_is_refused(demo: Path) -> None:
    """Before anything is sent: the steps that follow would wait for it."""
    done = publish(demo, "--ci-outputs", "/nowhere/x.env", env={})
    assert done.returncode == 2
    assert not (demo.parents[1] / "channel").exists()


_ANNOUNCING = """
import os, sys
from keelback.cli.ci.reporting import ci_reporter
from keelback.secret import Secret, announce
for system in sys.argv[1:]:
    with ci_reporter(system, None, as_json=False).masking():
        announce(Secret(os.environ["MADE"]))
        print("careless:", os.environ["MADE"])
"""


def test_a_secret_of_the_run_is_masked_where_the_runner_reads() -> None:
    """What anything says after that does not have it in the log."""
    made = leaks.new_secret("made", special=True)
    env = {**os.environ, "MADE": made, "KEELBACK_CI_MASK": "1"}
    done = subprocess.run([sys.executable, "-c", _ANNOUNCING, "github"], env=env, capture_output=True, check=True)
    runner = Runner(ROOT, Path(os.environ["HOME"]) / "masked")
    for line in (done.stderr + done.stdout).decode().splitlines():
        runner.read(line)
    assert runner.job.masks == [made]
    assert runner.job.log == ["careless: ***"]


@pytest.mark.parametrize("value", ["", "0", "true"])
def test_a_secret_of_the_run_is_not_written_unasked(value: str) -> None:
    """A script may send the output to a file: no mask without ``KEELBACK_CI_MASK=1``."""
    env = {**os.environ, "MADE": leaks.new_secret("made"), "KEELBACK_CI_MASK": value}
    code = _ANNOUNCING.rpartition("        print")[0]
    done = subprocess.run([sys.executable, "-c", code, *SYSTEMS], env=env, capture_output=True, check=True)
    assert done.stderr + done.stdout == b""


def test_a_listener_hears_what_is_announced_meanwhile() -> None:
    """And nothing before or after."""
    heard: list[Secret] = []
    secret = Secret(leaks.new_secret("made"))
    announce(secret)
    with listening(heard.append):
        assert announce(secret) is secret
    announce(secret)
    assert heard == [secret]


def outcome(name: str = "demo", **more: Any) -> Outcome:
    """An outcome of an archive."""
    said = {"version": "1.0", "build": "0", "subdir": "noarch", "size": 1, "sha256": None, "status": Status.FAILED}
    return Outcome(file=Path(f"/{name}-1.0-0.conda"), name=name, **{**said, **more})


def test_no_more_is_annotated_than_is_shown() -> None:
    """GitHub shows ten errors and ten warnings of a step; the last says how many there are besides."""
    failed = [outcome(f"p{number}", error=Problem("server", f"no {number}")) for number in range(30)]
    warned = [Finding(Severity.WARNING, "w", Path("/a"), "", f"message {number}", "") for number in range(10)]
    shown = annotations_of(Report([ChannelReport("https://x.example", failed)], findings=warned), 10)
    errors = [annotation for annotation in shown if annotation.severity is Severity.ERROR]
    assert (len(errors), len(shown)) == (10, 20)
    assert errors[-1].message == "21 more are in the log of this step"


def test_a_summary_is_never_too_large_to_be_shown() -> None:
    """GitHub shows none of more than 1 MiB; the end of a table is given up before what went wrong."""
    failed = [outcome(f"p{number}", error=Problem("server", "|" * 3000)) for number in range(20_000)]
    summary = summary_of(Report([ChannelReport("https://x.example", failed)]))
    assert len(summary.encode()) < 1 << 20
    assert summary.count("The rest is in the log of this step.") == 2
    assert "- **error** noarch/p0" in summary


def test_a_summary_says_who_attested() -> None:
    """Where anybody did."""
    plain = [outcome("one"), outcome("two")]
    attested = [outcome("one"), outcome("two", attested_by="https://ci.example/a|b")]
    assert "Attested" not in summary_of(Report([ChannelReport("https://x.example", plain)]))
    summary = summary_of(Report([ChannelReport("https://x.example", attested)]))
    assert "| **failed** | nobody |" in summary
    assert "| **failed** | https&#58;//ci.example/a&#124;b |" in summary


@given(st.text())
def test_text_of_others_stays_text_in_markdown(text: str) -> None:
    """No mark of Markdown or HTML is left in it but our own line breaks, and no new cell or line."""
    shown = text_cell(text).replace("<br>", "")
    assert not set(shown) & set("|<>[]`*_\\\n\r#!~@:{}$") - set("&#;")
    assert "www." not in shown.lower()


@pytest.mark.parametrize(
    ("url", "linked"),
    [
        ("https://x.example/noarch/a.conda", "[a](<https://x.example/noarch/a.conda>)"),
        ("https://x.example/a>) [b](<javascript:x", "[a](<https://x.example/a%3E%29%20%5Bb%5D%28%3Cjavascript:x>)"),
        ("javascript:alert(1)", "a"),
        ("file:///etc/passwd", "a"),
        ("https://user@x.example/a", "a"),
        ("https://[x/a", "a"),
        (None, "a"),
    ],
)
def test_only_addresses_of_the_web_are_linked(url: str | None, linked: str) -> None:
    """A channel says where its files are; that may be anything."""
    assert link_cell("a", url) == linked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::add-mask::x", "?:add-mask::x"),
        (" \u00a0::add-mask::x", " ?::add-mask::x"),
        ("\u034f::x::", "\u034f?:x::"),
        ("it said ::error::", "it said ::error::"),
        ("it said ##[error]x", "it said ?#[error]x"),
        ("##vso[task.setvariable variable=a]b", "?#vso[task.setvariable variable=a]b"),
        ("##teamcity[x]", "?#teamcity[x]"),
        ("#\u034f#v\ufe0fso[x]", "?\u034f#v\ufe0fso[x]"),
        ("## Title [link]", "## Title [link]"),
    ],
)
def test_text_of_others_is_no_command_in_a_log(text: str, shown: str) -> None:
    """One character of it becomes a question mark, wherever the runner would look for a command."""
    assert printable(text) == shown


def test_a_document_has_no_command_in_it(tmp_path: Path) -> None:
    """A file may be called like one; the document means that name all the same."""
    folder = tmp_path / "##vso[task.prependpath]x"
    make_conda(folder)
    done = run_keelback(["publish", "--json", "--to", tmp_path / "channel", folder])
    assert "##" not in done.stdout
    assert Path(done.json()["channels"][0]["outcomes"][0]["file"]).parent == folder
    assert json.loads(done.stdout) == done.json()
