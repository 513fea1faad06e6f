"""A stand-in for GitHub's runner: carries out a composite action step by step, and reads its log as the runner does.

Sources: GitHub Docs, "Metadata syntax for GitHub Actions", "Workflow commands for GitHub Actions", "Workflow syntax"
(``shell: bash``), and the parser of commands in actions/runner (``ActionCommand``). It differs from the runner in this:

- ``uses: actions/setup-python`` sets nothing up: the Python of the tests is its output.
- A step may be *given*: its outputs are told beforehand, and it is not run. The installation is, because tests have no
  network; keelback is then the one of the tests' environment.
- Of expressions, it knows names with dots, and nothing else: an action that needs more fails here.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 120
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_NAME = re.compile(r"[a-z_]+(\.[A-Za-z0-9_-]+)+")
_KNOWN = {
    "add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "notice", "remove-matcher",
    "save-state", "set-env", "set-output", "stop-commands", "warning",
}  # fmt: skip


@dataclass
class Command:
    """A workflow command that was found in the log."""

    name: str
    properties: dict[str, str]
    data: str


@dataclass
class Job:
    """What a job came to."""

    exit_status: int = 0
    log: list[str] = field(default_factory=list)
    """What everybody may read, masked."""
    commands: list[Command] = field(default_factory=list)
    """All but the masks."""
    masks: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    """Of the action."""
    summary: str = ""

    @property
    def annotations(self) -> list[Command]:
        """Errors, warnings and notices."""
        return [command for command in self.commands if command.name in {"error", "warning", "notice"}]

    @property
    def text(self) -> str:
        """The log as one text."""
        return "\n".join(self.log)


class Runner:
    """Carries out the steps of an action.

    Args:
        action: the folder with ``action.yml`` in it.
        folder: where it works: ``workspace`` and ``temp`` are made in it.
        env: variables that every step has.
        given: by the id of a step, outputs that it is taken to have had.
    """

    def __init__(
        self,
        action: Path,
        folder: Path,
        env: dict[str, str] | None = None,
        given: dict[str, dict[str, str]] | None = None,
    ) -> None:
        self.action = yaml.safe_load((action / "action.yml").read_text(encoding="utf-8"))
        self.workspace, self.temp = folder / "workspace", folder / "temp"
        self._path = action
        self.env = env or {}
        self._given = given or {}
        self._steps: dict[str, dict[str, str]] = {}
        self._inputs: dict[str, str] = {}
        self.job = Job()
        self._stopped_until = ""
        for each in (self.workspace, self.temp):
            each.mkdir(parents=True, exist_ok=True)

    def run(self, **inputs: str) -> Job:
        """Carry out the action with *inputs*, in whose names ``_`` stands for ``-``."""
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        unknown = set(given) - set(self.action["inputs"])
        assert not unknown, f"the action has no inputs {unknown}"
        defaults = {name: about.get("default", "") for name, about in self.action["inputs"].items()}
        self._inputs = {name: self._evaluated(str(value)) for name, value in defaults.items()} | given
        for step in self.action["runs"]["steps"]:
            if self.job.exit_status == 0:
                self._steps[step["id"]] = self._carry_out(step)
        outputs = {name: about["value"] for name, about in self.action["outputs"].items()}
        self.job.outputs = {name: self._evaluated(value) for name, value in outputs.items()}
        return self.job

    def _carry_out(self, step: dict[str, Any]) -> dict[str, str]:
        assert set(step) <= {"id", "uses", "with", "shell", "run", "env"}, f"the stand-in does not know all of {step}"
        if step["id"] in self._given:
            return self._given[step["id"]]
        if "uses" in step:
            assert step["uses"].startswith("actions/setup-python@"), step["uses"]
            return {"python-path": sys.executable}
        assert step["shell"] == "bash"
        files = {name: self.temp / f"{name}-{secrets.token_hex(4)}" for name in ("script.sh", "output", "summary")}
        for file in files.values():
            file.touch()
        files["script.sh"].write_text(self._evaluated(step["run"]), encoding="utf-8")
        env = {name: self._evaluated(str(value)) for name, value in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(files["script.sh"])],
            cwd=self.workspace,
            env={**self._environment(), "GITHUB_OUTPUT": str(files["output"]), **self.env, **env}
            | {"GITHUB_STEP_SUMMARY": str(files["summary"])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        for line in done.stdout.decode().split("\n"):
            self.read(line.removesuffix("\r"))
        self.job.exit_status = done.returncode
        self.job.summary += self._masked(files["summary"].read_text(encoding="utf-8"))
        return _outputs(files["output"].read_text(encoding="utf-8"))

    def _environment(self) -> dict[str, str]:
        home = self.temp / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(self._path),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temp),
        }

    def _evaluated(self, text: str) -> str:
        """*text* with its expressions replaced, once: what comes in is not looked at again."""
        return _EXPRESSION.sub(lambda match: self._value(match[1]), text)

    def _value(self, expression: str) -> str:
        assert _NAME.fullmatch(expression), f"the stand-in does not know {expression!r}"
        root, *names = expression.split(".")
        if root == "inputs":
            return self._inputs[names[0]]
        if root == "steps":
            return self._steps.get(names[0], {}).get(names[2], "")
        assert expression == "github.token", f"the stand-in does not know {expression!r}"
        return self.env.get("GITHUB_TOKEN", "")

    def read(self, line: str) -> None:
        """Take *line* for a command, or for a line of the log."""
        known = _KNOWN | {self._stopped_until}
        command = _new_command(line, known) or _old_command(line, known)
        if command is None or (self._stopped_until and command.name != self._stopped_until):
            self.job.log.append(self._masked(line))
        elif command.name == self._stopped_until:
            self._stopped_until = ""
        elif command.name == "add-mask":
            self.job.masks.append(command.data)
        else:
            self.job.commands.append(command)
            if command.name == "stop-commands":
                self._stopped_until = command.data
            self.job.log.append(self._masked(f"##[{command.name}]{command.data}"))

    def _masked(self, text: str) -> str:
        for mask in self.job.masks:
            text = text.replace(mask, "***")
        return text


def _new_command(line: str, known: set[str]) -> Command | None:
    """``::name key=value,key=value::data``, after white space."""
    match = re.fullmatch(r"\s*::([^ ]*?)(?: (.*?))?::(.*)", line, re.DOTALL)
    if match is None or match[1].lower() not in known:
        return None
    pairs = (pair.split("=", 1) for pair in (match[2] or "").strip().split(",") if "=" in pair)
    properties = {name: _decoded(value, {"%3A": ":", "%2C": ","}) for name, value in pairs}
    return Command(match[1].lower(), properties, _decoded(match[3], {}))


def _old_command(line: str, known: set[str]) -> Command | None:
    """``##[name key=value;]data``, anywhere in a line."""
    match = re.search(r"##\[([^ \]]*)(?: ([^\]]*))?\](.*)", line, re.DOTALL)
    if match is None or match[1].lower() not in known:
        return None
    return Command(match[1].lower(), {}, _decoded(match[3], {"%3B": ";", "%5D": "]"}))


def _decoded(text: str, more: dict[str, str]) -> str:
    for code, letter in {"%0D": "\r", "%0A": "\n", **more, "%25": "%"}.items():
        text = text.replace(code, letter)
    return text


def _outputs(text: str) -> dict[str, str]:
    """The ``name=value`` lines and ``name<<end`` blocks of a file of outputs."""
    outputs, lines = {}, iter(text.split("\n"))
    for line in lines:
        equals, block = line.find("="), line.find("<<")
        if equals >= 0 and (block < 0 or equals < block):
            outputs[line[:equals]] = line[equals + 1 :]
        elif block >= 0:
            value = list(iter(lines.__next__, line[block + 2 :]))
            outputs[line[:block]] = "\n".join(value)
        else:
            assert not line, f"the runner would not understand {line!r}"
    return outputs
