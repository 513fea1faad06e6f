"""Writes docs/reference/faults.md: what keelback and py-rattler-build each make of every fault of every server.

    python scripts/fault_table.py

Every scenario of ``tests/servers/fault_table.py`` is played twice, to a scripted server on loopback: once to keelback,
which must do what the scenario says, and once to py-rattler-build, of which is written down what it does.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import leaks  # noqa: E402 - below tests/
from servers.fault_table import (  # noqa: E402 - below tests/
    ATTEMPTS,
    KINDS,
    Files,
    Kept,
    Kind,
    Scenario,
    Stage,
    cases,
    end_of,
    keelback_cells,
    publish,
    row,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = ROOT / "docs" / "reference" / "faults.md"
DEADLINE: Final = 8
"""Seconds after which py-rattler-build is stopped where the server stalls."""
PATIENCE: Final = 120
"""The same everywhere else: more than all its retries take."""
ROUNDS: Final = 20
"""How often py-rattler-build plays what depends on who is quicker, so that the page has every way it can end."""
LONGEST: Final = 110

COLUMNS: Final = (
    "what goes wrong",
    "keelback: first",
    "second",
    "third",
    "exit",
    "py-rattler-build: first",
    "second",
    "third",
    "it says",
)

HEAD: Final = f"""\
# When a server misbehaves

<!-- Written by scripts/fault_table.py. What it says of keelback is held to by tests/servers/test_fault_table.py. -->

Three packages are published to a server that does something wrong with the second one. This is what became of each,
with keelback and with py-rattler-build {importlib.metadata.version("py-rattler-build")} (the uploaders of rattler-build
and pixi), at the same scripted server.

- Both send one file after the other here, so that the fault meets the same file; keelback would send 8 at once unless
  told otherwise. It tries {ATTEMPTS} times here (otherwise 5), with short waits, and gives up on a stalled connection
  after one second (otherwise 120). py-rattler-build has no such settings and runs as it is.
- *keelback* is what it reports of each file, and *exit* its exit status. The tests compare that with what the server
  has: a file that is called `uploaded` or `identical` is there with the right bytes, and no other is.
- *py-rattler-build* reports one result for all files together, which is in the last column, shortened. What is said of
  each file is what the server had afterwards. Where the server stalls it is stopped after {DEADLINE} seconds.
- A credential that is refused (401) is refused from the second file on.
- *409*: the channel has a file of that name before. Where keelback can ask for it, it does so before it sends anything.
- *keep-alive*: the first file's answer is the last on its connection, which the server closes at once, or breaks when
  the next request comes on it. A client that opens another connection does not meet it.
- *307*: the other origin got no request at all from keelback.
"""

NOTES: Final = {
    "prefix.dev": "An upload is one request.",
    "anaconda.org": """\
An upload is a stage, a form with the bytes, and a commit. What concerns the credential or the package (401, 403, 404,
409, 422) is the answer to the stage; the rest happens to the form, unless the row says otherwise.""",
    "Quetz": "An upload is one request.",
    "Artifactory": """\
An upload is one request. The server replaces a file of the same name without being asked; keelback looks first.""",
}

CHILD: Final = """\
import os, sys, rattler_build
url, key, files = sys.argv[1], os.environ["KEY"], sys.argv[2:]
try:
    rattler_build.{call}
except BaseException as error:
    sys.stdout.write(str(error))
    sys.stdout.flush()
    os._exit(1)
os._exit(0)
"""

_SHOWN: Final = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"(?:https?://)?(?:127\.0\.0\.1|localhost):\d+"), "SERVER"),
    (re.compile(r"(?<=\w)\?[^\s)]+"), ""),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"(?<=\s)/\S+/(?=[^/\s]+\.conda\b)"), ""),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True)
class PeerRun:
    """What py-rattler-build did.

    Attributes:
        files: what the server had of each file afterwards, in words.
        said: its result, in words.
    """

    files: tuple[str, ...]
    said: str


def run_keelback(kind: Kind, scenario: Scenario, files: Files) -> None:
    """Play *scenario* to keelback.

    Raises:
        SystemExit: it does something else than the scenario says.
    """
    secret = leaks.new_secret("key")
    with Stage(kind, scenario, files, secret) as stage:
        report = publish(stage, scenario, files, secret)
    ends = tuple(end_of(outcome) for outcome in report.outcomes)
    if (ends, report.exit_status, stage.kept()) != (scenario.ends, scenario.exit_status, scenario.kept()):
        did = ", ".join(map(str, ends))
        sys.exit(f"{kind.name}, {scenario.name}: keelback does not do what is promised, but: {did}")


def run_peer(kind: Kind, scenario: Scenario, files: Files, home: Path) -> PeerRun:
    """Play *scenario* to py-rattler-build, in a process of its own."""
    secret = leaks.new_secret("key")
    with Stage(kind, scenario, files, secret) as stage:
        command = [sys.executable, "-c", CHILD.format(call=kind.peer_call), stage.server.service_url]
        try:
            done = subprocess.run(
                [*command, *map(str, files.ours)],
                env={"PATH": os.environ["PATH"], "HOME": str(home), "KEY": secret, "NO_COLOR": "1"},
                cwd=home,
                capture_output=True,
                text=True,
                timeout=DEADLINE if scenario.fault == "stall" else PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = f"nothing: stopped after {late.timeout:g} s"
        else:
            said = _said(done)
        if not stage.met():
            said += " (on another connection)"
        if stage.trap.requests:
            said += "; went to the other origin" + (" **with the key**" if leaks.find(stage.trap.heard()) else "")
        there = ("", scenario.there, "")
        became = (
            _became(kept, before, stage.times_stored(file.name))
            for file, kept, before in zip(files.ours, stage.kept(), there, strict=True)
        )
        return PeerRun(tuple(became), said)


def run_peer_often(kind: Kind, scenario: Scenario, files: Files, home: Path) -> PeerRun:
    """Play *scenario* to py-rattler-build, again and again where the outcome may vary; all that came of it in one."""
    rounds = ROUNDS if scenario.attempts is None else 1
    runs = {run_peer(kind, scenario, files, home) for _ in range(rounds)}
    if len(runs) == 1:
        return runs.pop()
    ordered = sorted(runs, key=lambda run: (not run.said.startswith("ok"), run.said, run.files))
    became = (" or ".join(dict.fromkeys(words)) for words in zip(*(run.files for run in ordered), strict=True))
    said = ", or ".join(dict.fromkeys(run.said for run in ordered))
    return PeerRun(tuple(became), f"differs from run to run: {said}")


def _said(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0:
        return "ok"
    shown = done.stdout or done.stderr.strip().rpartition("\n")[2] or f"ended with {done.returncode}"
    leaked = bool(leaks.find(done.stdout + done.stderr))
    text = leaks.masked(shown)
    for pattern, replacement in _SHOWN:
        text = pattern.sub(replacement, text)
    text = text.strip()
    text = text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"
    return f"error: {text}" + (" **(shows the key)**" if leaked else "")


def _became(kept: Kept, before: str, times_stored: int) -> str:
    """What became of a file at a server that had *before* under its name: ``same`` bytes, ``other`` bytes, or none."""
    if kept is Kept.NOTHING:
        return "not there"
    if before == "other":
        return "the other bytes kept" if kept is Kept.THEIRS else "**the other bytes replaced**"
    if before == "same":
        return "there before" if times_stored == 1 else "stored again"
    return "there" if times_stored == 1 else f"there, stored {times_stored} times"


def page(results: dict[tuple[str, str], PeerRun]) -> str:
    """The whole page."""
    lines = [HEAD]
    for kind in KINDS:
        lines += [f"## {kind.name}", "", NOTES[kind.name], "", row(list(COLUMNS)), row(["---"] * len(COLUMNS))]
        for which, scenario in cases():
            if which is kind:
                peer = results[kind.name, scenario.name]
                lines.append(row([scenario.name, *keelback_cells(scenario), *peer.files, peer.said]))
        lines.append("")
    return "\n".join(lines)


def play() -> Iterator[tuple[tuple[str, str], PeerRun]]:
    """Every scenario with both clients; says on stderr where it is."""
    with tempfile.TemporaryDirectory() as folder:
        files = Files.make(Path(folder) / "packages")
        home = Path(folder) / "home"
        home.mkdir()
        for kind, scenario in cases():
            print(f"{kind.name}: {scenario.name}", file=sys.stderr, flush=True)
            run_keelback(kind, scenario, files)
            yield (kind.name, scenario.name), run_peer_often(kind, scenario, files, home)


def main() -> None:
    """Write the page."""
    text = page(dict(play()))
    leaks.check(text, "the page")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
