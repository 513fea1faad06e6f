"""keelback is run in folders that hold what strangers wrote: in CI, that is the checkout of a pull request.

Nothing in the working directory is imported, run, or believed about credentials.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import leaks
from making import make_conda

if TYPE_CHECKING:
    from collections.abc import Callable

MODULES = ("click", "httpx2", "json", "keelback", "keelback_ci", "msgspec", "rattler", "rich", "sitecustomize", "ssl")
"""Modules that a run imports, or that Python looks for by itself."""

PROGRAMS = ("buildkite-agent", "circleci", "git", "python", "python3", "security")
"""Programs that a run may start."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with packages, and with modules and programs that leave a file ``pwned`` where they are used."""
    folder = tmp_path / "checkout"
    make_conda(folder / "dist", "hull")
    make_conda(folder / "dist", "ahoy", depends=["hull"])
    trap = f"open({str(tmp_path / 'pwned')!r}, 'a').write(__name__)\n"
    for name in MODULES:
        (folder / f"{name}.py").write_text(trap, encoding="utf-8")
    for name in PROGRAMS:
        program = folder / (f"{name}.bat" if os.name == "nt" else name)
        program.write_text(f"#!/bin/sh\necho {name} >> '{tmp_path / 'pwned'}'\n", encoding="utf-8")
        program.chmod(0o755)
    return folder


@pytest.fixture
def run(checkout: Path, tmp_path: Path) -> Callable[..., str]:
    """``run(status, *arguments, **variables)``: the installed command in the checkout; gives what it printed."""
    script = Path(sysconfig.get_path("scripts")) / ("keelback.exe" if os.name == "nt" else "keelback")
    home = tmp_path / "home"
    home.mkdir()

    def run(status: int, *arguments: str, **variables: str) -> str:
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        environment = {**kept, "HOME": str(home), "USERPROFILE": str(home), "KEELBACK_NO_KEYCHAIN": "1", **variables}
        done = subprocess.run(
            [script, *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )
        leaks.check(done.stdout + done.stderr, "the output of keelback")
        assert done.returncode == status, done.stderr
        return done.stdout

    return run


def test_no_module_of_the_working_directory_is_imported(run: Callable[..., str], tmp_path: Path) -> None:
    """Not by the command, nor by the process in which it has an environment solved."""
    run(0, "check", "dist")
    run(0, "publish", "--to", "./channel", "dist")
    run(0, "fetch", "./channel", "ahoy", "--with-deps", "-o", "pkgs")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("variable", ["BUILDKITE", "CIRCLECI"])
def test_no_program_of_the_working_directory_is_run(run: Callable[..., str], tmp_path: Path, variable: str) -> None:
    """Not even where the PATH leads there, and the CI system's own program is what gives the identity."""
    to = ("--to", "https://prefix.dev/my-channel", "--trusted-publishing", "always")
    run(3, "publish", *to, "dist", **{variable: "true", "PATH": os.pathsep.join([".", ""])})
    assert not (tmp_path / "pwned").exists()


def test_no_credential_of_the_working_directory_is_used(run: Callable[..., str], checkout: Path) -> None:
    """With a login that a stranger chose, packages would go where the stranger wants them."""
    entry = json.dumps({"prefix.dev": {"BearerToken": leaks.new_secret("planted")}})
    for name in ("auth.json", "credentials.json", ".rattler/credentials.json", ".config/keelback/credentials.json"):
        path = leaks.holds_secrets(checkout / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(entry, encoding="utf-8")
    (checkout / ".netrc").write_text("machine prefix.dev login a password b\n", encoding="utf-8")
    (checkout / ".env").write_text("PREFIX_API_KEY=c\nRATTLER_AUTH_FILE=auth.json\n", encoding="utf-8")
    document = json.loads(run(0, "auth", "status", "--json"))
    assert [entry for store in document["stores"] for entry in store["entries"]] == []
