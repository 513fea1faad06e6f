"""``action.yml``, carried out as the runner would: what it publishes and says, and what no input can make it do."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import leaks
from ci.runner import Job, Runner
from docs.pages import ROOT
from keelback.cli.publish import command as publish_command
from making import make_conda
from servers.scripted import Fault, PrefixServer, QuetzServer

INSTALLED = {"install": {"python": sys.executable}}
"""The step that installs is not run: tests have no network."""

HOSTILE = [
    "$(touch pwned)`touch pwned`${{ github.token }}$GITHUB_TOKEN",
    '"; touch pwned; "',
    "'; touch pwned; '",
    "x\r\ntouch pwned\n::add-path::pwned\n##[add-path]pwned\n%0A::add-path::pwned\nEOF\npwned=1\n",
    "--help",
]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A job whose workspace has two packages in ``output/``."""
    runner = Runner(ROOT, tmp_path / "job", given=INSTALLED)
    for name in ("demo", "other"):
        make_conda(runner.workspace / "output", name)
    return runner


def clean(job: Job, runner: Runner) -> None:
    """Check that nothing but errors and warnings was heard, and that nobody touched anything."""
    assert {command.name for command in job.commands} <= {"error", "warning"}
    assert not list(runner.workspace.parent.rglob("pwned*"))
    for text in (job.text, job.summary, *job.outputs.values()):
        leaks.check(text, "what the job shows")


def test_three_lines_publish_a_folder(runner: Runner) -> None:
    """The outputs and the summary say what became of it; the report is the document of ``--json``."""
    job = runner.run(to="./channel")
    clean(job, runner)
    assert job.exit_status == 0, job.text
    assert (runner.workspace / "channel" / "noarch" / "demo-1.0-h0_0.conda").is_file()
    report = json.loads(Path(job.outputs.pop("report")).read_text(encoding="utf-8"))
    assert job.outputs == {
        "status": "ok",
        "exit-status": "0",
        "uploaded": "2",
        "replaced": "0",
        "identical": "0",
        "skipped": "0",
        "failed": "0",
        "not-attempted": "0",
    }
    assert [outcome["status"] for outcome in report["channels"][0]["outcomes"]] == ["uploaded", "uploaded"]
    assert "| demo | 1.0 | h0&#95;0 | noarch | 1.0 kB | uploaded |" in job.summary
    assert job.commands == []


def test_real_packages_are_published(runner: Runner, packages: Path) -> None:
    """Those that others built, by a pattern and by name, a line each."""
    shutil.rmtree(runner.workspace / "output")
    (runner.workspace / "output").mkdir()
    names = ["clobber-fd-1-0.1.0-h4616a5c_0.conda", "clobber-fd-2-0.1.0-h4616a5c_0.conda", "test-package-0.1-0.tar.bz2"]
    for name in names:
        shutil.copy(next(packages.rglob(name)), runner.workspace / "output")
    job = runner.run(to="./channel", packages=f"output/*.conda\n\n  output/{names[2]}\n")
    clean(job, runner)
    assert job.outputs["uploaded"] == "3", job.text
    assert all((runner.workspace / "channel" / "noarch" / name).is_file() for name in names)


def test_a_token_reaches_the_server_and_nothing_else(runner: Runner) -> None:
    """It is masked before anything else is said; no output, no summary and no file has it."""
    token = leaks.new_secret("action-token")
    with PrefixServer(token) as server:
        job = runner.run(to=server.publish_url, token=token, verify="false")
    clean(job, runner)
    assert job.outputs["uploaded"] == "2", job.text
    assert job.masks == [token]
    for file in runner.workspace.parent.rglob("*"):
        if file.is_file():
            leaks.check(file.read_bytes(), str(file))


def test_what_failed_is_annotated(runner: Runner) -> None:
    """With the file, what the server said, and what to do."""
    token = leaks.new_secret("action-token")
    fault = Fault("status", status=422, file="demo-1.0-h0_0.conda", body='{"detail": "no: a, b"}', times=None)
    with PrefixServer(token, faults=[fault]) as server:
        job = runner.run(to=server.publish_url, token=token)
    clean(job, runner)
    (shown,) = job.annotations
    assert (job.exit_status, job.outputs["status"], job.outputs["failed"]) == (1, "failed", "1")
    assert shown.name == "error"
    assert shown.properties == {"title": "noarch/demo-1.0-h0_0.conda failed", "file": "output/demo-1.0-h0_0.conda"}
    assert "no: a, b" in shown.data
    assert "- **error** noarch/demo-1.0-h0&#95;0.conda&#58;" in job.summary


def test_a_hostile_server_gives_the_runner_no_command(runner: Runner) -> None:
    """Whatever it says in its answers; and its Markdown stays text."""
    token = leaks.new_secret("action-token")
    words = (
        '{"detail": "x\\n::add-path::/evil\\n ::stop-commands::z\\r::set-env name=A::b\\n##[add-path]/evil'
        "\\n##vso[task.setvariable variable=a]b\\n\\u034f::add-mask::e\\n#\\u034f#[stop-commands]q "
        '| <img src=//evil.example> [click](http://evil.example) `x` www.evil.example"}'
    )
    for media in ("json", "text", "html"):
        fault = Fault("status", status=422, body=words, media=media, times=None)
        with QuetzServer(token, faults=[fault]) as server:
            job = runner.run(to=server.publish_url, token=token)
        clean(job, runner)
        assert job.masks == [token] * len(job.masks)
        assert len(job.annotations) % 2 == 0
        assert job.exit_status == 1
        runner.job.exit_status = 0
    assert not re.search(r"<img|\]\(http|www\.|`|##vso", job.summary)


SWITCHES = ["attest", "dry-run", "force", "skip-existing", "store-github-attestation", "verify"]
TEXTS = sorted(ACTION["inputs"].keys() - {*SWITCHES, "trusted-publishing"})


@pytest.mark.parametrize("value", HOSTILE)
def test_no_input_is_ever_a_script(runner: Runner, value: str) -> None:
    """All of them at once: what a shell, an expression or the runner would understand in them, none of these does."""
    job = runner.run(**{name.replace("-", "_"): value for name in ACTION["inputs"]})
    clean(job, runner)
    assert job.exit_status == 2
    runner.job.exit_status = 0
    job = runner.run(dry_run="true", **{name.replace("-", "_"): value for name in TEXTS})
    clean(job, runner)
    assert job.exit_status != 0
    assert "Usage: keelback" not in job.text
    assert job.masks == [value.strip()]


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in {"to", "token"}])
def test_what_keelback_says_of_an_input_is_no_command(runner: Runner, name: str) -> None:
    """It quotes what it does not understand, and the runner reads that."""
    job = runner.run(**{"to": "./channel", "dry_run": "true", name.replace("-", "_"): HOSTILE[3]})
    clean(job, runner)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_token_is_never_more_than_a_token(runner: Runner, value: str) -> None:
    """Also where it comes to be used: it is sent, or refused."""
    with QuetzServer(leaks.new_secret("another")) as server:
        job = runner.run(to=server.publish_url, dry_run="true", token=value)
    clean(job, runner)
    assert job.exit_status != 0
    assert job.masks == [value.strip()]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", HOSTILE)
def test_an_input_is_the_value_of_its_own_option(action: Any, name: str, value: str) -> None:
    """Whatever it begins with, and whatever it looks like."""
    environ = {"INPUT_TO": "./channel", "INPUT_PACKAGES": "output/", "INPUT_TRUSTED_PUBLISHING": "auto"}
    plain = options_of(action.publish_arguments(environ))
    changed = options_of(action.publish_arguments({**environ, f"INPUT_{name.upper().replace('-', '_')}": value}))
    others = {option for option in plain if plain[option] != changed[option]}
    own = {"packages": "paths", "trusted-publishing-hosts": "trusted_publishing_hosts", "token": "api_key_file"}
    given_elsewhere = {"github-token", "python-version"}
    assert others == (set() if name in given_elsewhere else {own.get(name, name.replace("-", "_"))})


def options_of(arguments: list[str]) -> dict[str, Any]:
    """What ``keelback publish`` understands of its command line."""
    with publish_command.make_context("publish", [*arguments]) as ctx:
        return dict(ctx.params)


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["yes", "True", "1", "on", "fals"])
def test_a_switch_is_true_or_false(action: Any, name: str, value: str) -> None:
    """Anything else is named: who writes it means something."""
    environ = {"INPUT_ATTEST": "", f"INPUT_{name.upper().replace('-', '_')}": value}
    with pytest.raises(action.InputError, match=f"^the input '{name}' has to be 'true' or 'false', not '{value}'$"):
        action.switch(environ, name)


def test_nothing_is_published_with_a_switch_that_is_neither(runner: Runner) -> None:
    """The error is an annotation, and the status is that of wrong usage."""
    job = runner.run(to="./channel", force="yes")
    assert job.exit_status == 2
    assert [shown.data for shown in job.annotations] == ["the input 'force' has to be 'true' or 'false', not 'yes'"]
    assert not (runner.workspace / "channel").exists()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"to": " \n"}, "the input 'to' is empty"),
        ({"packages": ""}, "the input 'packages' is empty"),
        (
            {"trusted_publishing": "allways"},
            "the input 'trusted-publishing' has to be one of auto, always, never, not 'allways'",
        ),
    ],
)
def test_an_input_that_makes_no_sense_is_named(runner: Runner, inputs: dict[str, str], said: str) -> None:
    """Before anything is sent."""
    job = runner.run(**{"to": "./channel", **inputs})
    assert job.exit_status == 2
    assert said in job.annotations[0].data


def test_nothing_in_the_workspace_is_imported(runner: Runner) -> None:
    """A pull request may bring files along that have the names of modules, for which a step before made way."""
    runner.env["PYTHONPATH"] = str(runner.workspace)
    for name in ("keelback", "click", "json", "runpy", "sitecustomize"):
        (runner.workspace / f"{name}.py").write_text("open('pwned', 'w')\n")
    job = runner.run(to="./channel")
    clean(job, runner)
    assert job.outputs["status"] == "ok", job.text


def test_no_expression_is_part_of_a_script() -> None:
    """The value of an input would be, before the shell reads it (GitHub Docs, "Script injections")."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_actions_of_others_are_pinned() -> None:
    """By a full commit; a tag can be moved."""
    used = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name) for name in used)


def test_every_input_and_output_is_described_and_used() -> None:
    """What is declared and goes nowhere would be taken for granted."""
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    for name, about in [*ACTION["inputs"].items(), *ACTION["outputs"].items()]:
        assert about["description"], name
    for name in ACTION["inputs"]:
        assert f"${{{{ inputs.{name} }}}}" in text, name


@pytest.mark.parametrize("attest", [False, True])
def test_the_installation_is_pinned_and_sees_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, action: Any, *, attest: bool
) -> None:
    """Versions come from ``constraints.txt``, nothing is built but keelback, and no way to an identity is inherited."""
    ran: list[tuple[list[str], dict[str, str]]] = []
    environ = {
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "INPUT_ATTEST": str(attest).lower(),
        "INPUT_TOKEN": leaks.new_secret("token"),
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": leaks.new_secret("request"),
        "GITHUB_TOKEN": leaks.new_secret("github"),
        "PREFIX_API_KEY": leaks.new_secret("key"),
        "AWS_SECRET_ACCESS_KEY": leaks.new_secret("aws"),
        "SIGSTORE_ID_TOKEN": leaks.new_secret("identity"),
        "PIP_INDEX_URL": "https://packages.example.com/simple",
    }

    def run(args: list[str], **options: Any) -> Any:
        ran.append((args, dict(environ)))
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(action.venv, "create", lambda *_, **__: run([]))
    monkeypatch.setattr(action.subprocess, "run", run)
    action.install(environ)
    for args, seen in ran:
        leaks.check(json.dumps([args, seen]), "what pip was given")
        assert "PIP_INDEX_URL" in seen
    (*_, first), (*_, last) = ran[1][0], ran[2][0]
    assert first == "pip"
    assert last == f"{ROOT}{'[provenance]' if attest else ''}"
    for args, _ in ran[1:]:
        assert args[args.index("--constraint") + 1] == str(ROOT / "constraints.txt")
        assert "--only-binary=:all:" in args


@pytest.fixture
def action() -> Any:
    """``ci/action.py`` as a module."""
    from importlib.util import module_from_spec, spec_from_file_location  # noqa: PLC0415 - for this alone

    spec = spec_from_file_location("keelback_action", ROOT / "ci" / "action.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
