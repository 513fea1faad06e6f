"""As much of a shell as the documentation needs: it runs the ``keelback`` commands of a block, and compares.

What is run is ``keelback ...``, with ``printf %s "$NAME" |`` or ``echo '...' |`` before it, ``< FILE`` or ``> FILE``
behind it, and without what it is piped into, unless that is keelback, too; ``export NAME=value``, ``echo $?`` and
Python blocks; of the files of CI systems, the steps that run keelback or use its action. Everything else has to be in
:data:`NOT_RUN`, with the reason.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

import leaks
from cli_runner import TIMEOUT_SECONDS, start_keelback
from docs import ci

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docs.pages import Block
    from docs.stage import Stage

NOT_RUN: Final = {
    "pip install": "needs the network",
    "make demo": "CI runs it by itself; that the target exists is tested",
    "make test": "is what runs this",
    "rattler-build upload": "another program, shown beside keelback's command",
    "anaconda upload": "another program, shown beside keelback's command",
    "anaconda copy": "another program, shown beside keelback's command",
    "pixi": "another program, which is in no Python package",
    "conda": "another program, which is in no Python package",
    "docker": "another program, which needs a service",
    "read -rs": "waits for somebody to type",
    "curl": "another program, shown with keelback's output in it",
}
"""Commands that are shown and not run, by their first words, and why."""

OTHER_PROGRAMS: Final = {"dockerfile": "is run by Docker, which needs a service"}
"""Languages of blocks in which commands are shown and not run, and why."""

PRINTS_SECRETS: Final = (["auth", "token"], ["auth", "helper"])
"""Commands that print a credential, as they are meant to."""

_RUNNERS: Final = ("console", "sh")
_STEP: Final = re.compile(r"\s*(?:- )?(?:run: )?(?P<command>(?:printf %s \"\$[A-Z_]+\" \| )?keelback .*)")
_VARIABLE: Final = re.compile(r"\s*(?P<name>[A-Z][A-Z_]+): (?P<value>.*)")
_PLAIN_VALUE: Final = re.compile(r"[\w./:@-]+")
_SIZE: Final = re.compile(r"\b\d+(?:\.\d)? (?:bytes|kB|MB|GB)\b")
_SECONDS: Final = re.compile(r"\bin \d+\.\d s\b|(?<=\"seconds\": )[\d.]+")


@dataclass
class Command:
    """A command, and what the page says that it prints; ``None`` where it says nothing."""

    text: str
    expected: list[str] | None


@dataclass
class Shell:
    """Runs blocks, one after the other, on one stage.

    Attributes:
        commands: how many commands were run.
    """

    stage: Stage
    commands: int = 0
    _variables: dict[str, str] = field(default_factory=dict)
    _job: dict[str, str] = field(default_factory=dict)
    _status: int = 0

    def run(self, block: Block) -> None:
        """Run what *block* shows.

        Raises:
            AssertionError: a command fails unannounced, prints something else, or is not known.
        """
        for scene in block.scenes:
            self.stage.set_scene(scene)
        self._variables = {}
        self._job = self.stage.network.job(block.job)
        if block.file is not None:
            self.stage.write(block.file, block.text)
        if block.language == "python":
            self._run_python(block.text)
        elif block.language == "yaml":
            self._run_steps(block)
        elif block.language in _RUNNERS:
            for command in commands_in(block):
                self._run_one(command, checked=block.language == "console")
            assert self._status == 0, "the last command fails, and the page does not show it with: echo $?"
        elif block.language not in OTHER_PROGRAMS:
            shown = [line for line in block.lines if re.match(r"\s*\$?\s*keelback\b", line)]
            assert not shown, f"commands in a block of the language {block.language!r} are not run: {shown}"

    def _run_one(self, command: Command, *, checked: bool) -> None:
        if command.text == "echo $?":
            assert command.expected == [str(self._status)], f"the exit status is {self._status}"
            self._status = 0
            return
        assert self._status == 0, "the command before fails, and the page does not show it with: echo $?"
        if command.text.startswith("export "):
            self._export(command.text.removeprefix("export "))
        elif not command.text.startswith(tuple(NOT_RUN)):
            shown = self._keelback(command.text)
            if checked:
                compare(command.expected or [], shown)

    def _export(self, text: str) -> None:
        name, _, value = text.partition("=")
        self._set(name, shlex.split(self.stage.cast(value))[0])

    def _set(self, name: str, value: str) -> None:
        """Set a variable for the rest of the block; one that holds a token gets the token of the scripted server."""
        self._variables[name] = self.stage.secrets.get(name, re.sub(r"^~(?=/)", str(self.stage.home), value))

    def _keelback(self, text: str) -> list[str]:
        """Run a command with ``keelback`` in it; returns what it prints, and keeps its status."""
        if completion := re.fullmatch(r'eval "\$\((keelback .*)\)"', text):
            text = completion[1]
        parts = text.split(" | ")
        *before, command = [part for part in parts if part.startswith("keelback ")]
        piped_into = parts[parts.index(command) + 1 :]
        assert all(part.startswith(tuple(NOT_RUN)) for part in piped_into), f"not known: {text}"
        found = re.fullmatch(r"(?P<words>.*?)(?: < (?P<source>\S+))?(?: > (?P<target>\S+))?", command)
        assert found
        words = [self._expanded(word) for word in shlex.split(self.stage.cast(found["words"]), comments=True)]
        stdin = (self.stage.project / found["source"]).read_text() if found["source"] else self._input(parts[0])
        for earlier in before:
            stdin, _ = self._run_keelback(shlex.split(earlier)[1:], stdin)
        stdout, stderr = self._run_keelback(words[1:], stdin)
        if found["target"]:
            (self.stage.project / found["target"]).write_text(stdout, encoding="utf-8")
        shown = stderr if found["target"] or piped_into else stderr + stdout
        return self.stage.as_shown(shown).splitlines()

    def _run_keelback(self, arguments: list[str], stdin: str | None) -> tuple[str, str]:
        """Run it; of what is meant to print secrets, they are taken out before anybody looks."""
        running = start_keelback(
            arguments,
            env=self.stage.variables | self._job | self._variables,
            cwd=self.stage.project,
            home=self.stage.home,
        )
        streams = running.process.communicate((stdin or "").encode(), TIMEOUT_SECONDS)
        stdout, stderr = (stream.decode().replace("\r\n", "\n") for stream in streams)
        self.commands += 1
        self._status = running.process.returncode
        if arguments[:2] in PRINTS_SECRETS:
            stdout = self.stage.without_secrets(stdout)
        leaks.check(stdout + stderr, f"the output of {arguments}")
        return stdout, stderr

    def _input(self, source: str) -> str | None:
        if source.startswith("keelback "):
            return None
        if printed := re.fullmatch(r'printf %s "(\$[A-Z_]+)"', source):
            return self._expanded(printed[1])
        words = shlex.split(source)
        assert words[:1] == ["echo"], f"not known: {source}"
        return f"{words[1]}\n"

    def _expanded(self, word: str) -> str:
        known = self.stage.secrets | self._job | self._variables
        return re.sub(r"\$([A-Z][A-Z_]*)", lambda name: known[name[1]], word)

    def _run_steps(self, block: Block) -> None:
        """Run what a CI system's file says of keelback, with every variable that the file sets."""
        document = yaml.safe_load(block.text)
        for line in block.lines:
            if variable := _VARIABLE.match(line):
                self._set_of_service(variable["name"], variable["value"])
        for name, audience in ci.id_tokens_in(document):
            self._job[name] = self.stage.network.id_token(audience)
        for step in ci.steps_in(document):
            self._use(step)
        ci.check_components(document)
        for line in block.lines:
            if command := _STEP.fullmatch(line):
                self._keelback(command["command"])
                assert self._status == 0, f"fails: {command['command']}"

    def _use(self, step: dict[str, Any]) -> None:
        """Run a step that uses keelback's action."""
        inputs = {
            name: re.sub(r"\$\{\{ secrets\.(\w+) \}\}", lambda found: self.stage.secrets[found[1]], value)
            for name, value in ci.inputs_of(step).items()
        }
        stdout, stderr = self._run_keelback(ci.arguments_of(inputs), inputs.get("token"))
        assert self._status == 0, f"fails: {step}\n{stdout}{stderr}"

    def _set_of_service(self, name: str, value: str) -> None:
        """Set what a CI system sets; its files are in the home folder here."""
        if name in self.stage.secrets:
            self._set(name, "")
        elif value.endswith(".json"):
            self._variables[name] = str(self.stage.home / value.rpartition("/")[2])
        elif _PLAIN_VALUE.fullmatch(value):
            self._variables[name] = value

    def _run_python(self, text: str) -> None:
        """Run *text* as a program; ``os._exit`` because py-rattler can crash while the interpreter shuts down."""
        program = f"{self.stage.cast(text)}\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.stage.home),
            "KEELBACK_NO_KEYCHAIN": "1",
            **self.stage.variables,
            **self.stage.network.secrets,
        }
        done = subprocess.run(
            [sys.executable, "-P", "-W", "error", "-c", program],
            env=environment,
            cwd=self.stage.project,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        self.commands += 1
        leaks.check(done.stdout + done.stderr, "the output of a Python block")
        assert done.returncode == 0, done.stderr


def commands_in(block: Block) -> Iterator[Command]:
    """The commands of *block*: its lines, in ``console`` those behind ``$``; continued lines are joined."""
    text = re.sub(r"\\\n\s*", "", block.text)
    if block.language == "sh":
        for line in text.splitlines():
            if line.strip() and not line.startswith("#"):
                yield Command(line.partition(" #")[0].rstrip(), None)
        return
    command: Command | None = None
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command
            command = Command(line[2:].partition(" #")[0].rstrip(), [])
        else:
            assert command is not None, f"output without a command: {line}"
            assert command.expected is not None
            command.expected.append(line)
    if command:
        yield command


_OF_THE_STAGE: Final = "attestations are verified by the keys in "
"""Said because the pages run with a Sigstore of their own; a reader has the public one, of which nothing is said."""


def compare(expected: list[str], shown: list[str]) -> None:
    """Fail unless *shown* is what the page shows.

    Sizes and times may differ; ``...`` stands for anything within a line, and alone for any number of lines. The order
    of the lines is not compared: archives are sent side by side.
    """
    left = [line for line in shown if line.strip() and not line.startswith(_OF_THE_STAGE)]
    missing = []
    for line in expected:
        if not line.strip() or line.strip() == "...":
            continue
        pattern = ".*".join(map(re.escape, _levelled(line).split("...")))
        match = next((found for found in left if re.fullmatch(pattern, _levelled(found))), None)
        if match is None:
            missing.append(line)
        else:
            left.remove(match)
    if any(line.strip() == "..." for line in expected):
        left = []
    assert not missing, "\n".join(["not printed:", *missing, "printed:", *shown])
    assert not left, "\n".join(["not in the page:", *left])


def _levelled(line: str) -> str:
    return _SECONDS.sub("TIME", _SIZE.sub("SIZE", line)).rstrip()
