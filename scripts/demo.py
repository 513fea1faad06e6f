"""keelback at work, in a minute and without a network: run it with `make demo`.

Builds a handful of packages with rattler-build, publishes them to a local channel, publishes them again to show that
nothing changes, and has py-rattler install one of them, with its dependency, from that channel. Ends with exit status
1 where anything is not as promised. Everything is made anew in `build/demo`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rattler_build import Stage0Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "demo"
OUTPUT = HOME / "output"
CHANNEL = HOME / "channel"
ENVIRONMENT = HOME / "environment"


class Recipe(NamedTuple):
    """What tells one demo package from another; the rest is in :data:`TEMPLATE`."""

    name: str
    version: str
    depends: list[str]
    script: list[str]


TEMPLATE = """
package: {{name: {name}, version: "{version}"}}
build: {{noarch: generic, script: {script}}}
requirements: {{run: {depends}}}
about: {{license: BSD-3-Clause, summary: A package of keelback's demo}}
"""
AHOY = """printf '#!/bin/sh\\nexec cat "$(dirname "$0")/../share/hull/plank.txt"\\n' > $PREFIX/bin/ahoy"""


def plank(text: str) -> list[str]:
    """The build script of a package that is one line of text."""
    return ["mkdir -p $PREFIX/share/hull", f"echo '{text}' > $PREFIX/share/hull/plank.txt"]


RECIPES = [
    Recipe("hull", "1.0", [], plank("hull 1.0: afloat")),
    Recipe("hull", "1.1", [], plank("hull 1.1: afloat")),
    Recipe("hull", "2.0", [], plank("hull 2.0: afloat, but too new for ahoy")),
    Recipe("ahoy", "0.9", ["hull 1.0.*"], ["mkdir -p $PREFIX/bin", AHOY, "chmod +x $PREFIX/bin/ahoy"]),
    Recipe("ahoy", "1.0", ["hull >=1.1,<2"], ["mkdir -p $PREFIX/bin", AHOY, "chmod +x $PREFIX/bin/ahoy"]),
]


class BrokenPromiseError(Exception):
    """Something was not as promised."""


def main() -> int:
    """Run the whole demo."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    os.chdir(ROOT)
    try:
        build()
        publish_twice()
        install_and_run()
    except BrokenPromiseError as error:
        print(f"\nNot as promised: {error}", file=sys.stderr)
        return 1
    print("\nAll as promised.")
    return 0


def build() -> None:
    """Build every recipe into :data:`OUTPUT`."""
    say(f"Build {len(RECIPES)} packages with rattler-build")
    empty = HOME / "empty-channel" / "noarch"
    empty.mkdir(parents=True)
    (empty / "repodata.json").write_text('{"packages": {}, "packages.conda": {}}', encoding="utf-8")
    for recipe in RECIPES:
        parsed = Stage0Recipe.from_yaml(TEMPLATE.format_map(recipe_fields(recipe)))
        for result in parsed.run_build(output_dir=OUTPUT, channels=[empty.parent.as_uri()]):
            for package in result.packages:
                print(f"  {relative(Path(package))}")
    built = list(OUTPUT.glob("noarch/*.conda"))
    expect(len(built) == len(RECIPES), f"{len(RECIPES)} recipes made {len(built)} packages")


def recipe_fields(recipe: Recipe) -> Mapping[str, str]:
    """The fields of *recipe* as YAML; JSON is a subset of that."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in recipe._asdict().items()}


def publish_twice() -> None:
    """Publish what was built, then again, and see that the second time changed nothing."""
    publish = ["publish", "--to", relative(CHANNEL), relative(OUTPUT)]
    say("Publish them to a local channel")
    run("keelback", *publish)
    before = contents(CHANNEL)
    arrived = {Path(name).name for name in before if name.endswith(".conda")}
    expect(arrived == {path.name for path in OUTPUT.glob("noarch/*.conda")}, f"the channel holds {sorted(arrived)}")

    say("Publish them again: nothing changes")
    run("keelback", *publish)
    document = json.loads(run("keelback", *publish, "--json", shown=False))
    summary = {status: count for status, count in document["channels"][0]["summary"].items() if count}
    expect(summary == {"identical": len(RECIPES)}, f"a run over the same files reported {summary}")
    expect(contents(CHANNEL) == before, "publishing the same files again changed the channel")


def install_and_run() -> None:
    """Have py-rattler install ``ahoy`` and its dependency, then run what it installed."""
    say("Let py-rattler solve and install one of them, with its dependency, from that channel")
    run("python", "scripts/rattler_install.py", relative(CHANNEL), "ahoy", relative(ENVIRONMENT))
    say("Run it")
    answer = run(relative(ENVIRONMENT / "bin" / "ahoy"))
    expect(answer == "hull 1.1: afloat\n", f"the installed program said {answer!r}")


PROGRAMS = {"keelback": [sys.executable, "-m", "keelback"], "python": [sys.executable]}
"""What stands for the first word of a command: this environment's own programs, whether it is activated or not."""


def run(program: str, *arguments: str, shown: bool = True) -> str:
    """Run a command and return its standard output; both are printed as well unless *shown* is false."""
    if shown:
        print("$", shlex.join([program, *arguments]), flush=True)
    done = subprocess.run(
        [*PROGRAMS.get(program, [program]), *arguments],
        stdout=subprocess.PIPE,
        stderr=None if shown else subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if shown:
        print(done.stdout, end="", flush=True)
    expect(done.returncode == 0, f"`{program}` ended with exit status {done.returncode}")
    return done.stdout


def relative(path: Path) -> str:
    """*path* as somebody in the project's folder would type it."""
    return str(path.relative_to(ROOT))


def say(text: str) -> None:
    """A heading."""
    print(f"\n== {text}", flush=True)


def expect(promise: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    """End the demo unless *promise* was kept."""
    if not promise:
        raise BrokenPromiseError(otherwise)


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file in *folder*, by its relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    raise SystemExit(main())
