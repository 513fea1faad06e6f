"""The two steps of the GitHub action: ``install`` keelback, and ``publish`` with it.

The inputs come as variables and become arguments of ``keelback publish``, without a shell in between. It is run as
``python -I``: nothing in the workspace, which anybody may have written, is imported.
"""

from __future__ import annotations

import io
import os
import re
import runpy
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

ACTION: Final = Path(__file__).resolve().parents[1]
SWITCHES: Final = ("attest", "store-github-attestation", "force", "skip-existing", "verify", "dry-run")
VALUES: Final = ("attestation-dir", "trust-config", "subdir")
TRUST: Final = ("auto", "always", "never")


FOR_INSTALLING: Final = re.compile(
    r"""
      PATH | HOME | TMP | TEMP | TMPDIR | RUNNER_TEMP | LANG | LC_.* | TZ       # every system
    | LD_LIBRARY_PATH | DYLD_.* | __PYVENV_LAUNCHER__                           # how Python was found
    | USERPROFILE | SYSTEMROOT | SYSTEMDRIVE | WINDIR | COMSPEC | PATHEXT       # Windows
    | APPDATA | LOCALAPPDATA | PROGRAMDATA | NUMBER_OF_PROCESSORS | PROCESSOR_ARCHITECTURE
    | (?:HTTPS?|ALL|NO)_PROXY | SSL_CERT_(?:FILE|DIR) | REQUESTS_CA_BUNDLE | PIP_.* # the way to the packages
    """,
    re.VERBOSE,
)
"""Variables that pip, and what it builds with, may need; no token, and no way to an identity, is among them."""


class InputError(Exception):
    """An input that the action does not understand; the text names it."""


def main(step: str) -> None:
    """Carry out *step*.

    Raises:
        SystemExit: with the exit status of keelback; 2 for an input that the action does not understand.
    """
    try:
        if step == "install":
            install(os.environ)
        else:
            publish(os.environ)
    except InputError as error:
        fail(str(error))


def install(environ: MutableMapping[str, str]) -> None:
    """Make an environment of its own for keelback, from this checkout, and say where its Python is.

    What is installed has no business with secrets: of the job's variables, it gets those that an installation needs.
    """
    attest, output = switch(environ, "attest"), environ["GITHUB_OUTPUT"]
    for name in [name for name in environ if not FOR_INSTALLING.fullmatch(name.upper())]:
        del environ[name]
    folder = Path(tempfile.mkdtemp(prefix="keelback-", dir=environ["RUNNER_TEMP"]))
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    for packages in installations(attest=attest):
        pip = [str(python), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
        done = subprocess.run([*pip, *packages], cwd=folder, check=False)
        if done.returncode:
            sys.exit(done.returncode)
    with Path(output).open("a", encoding="utf-8") as file:
        file.write(f"python={python}\n")


def installations(*, attest: bool) -> list[list[str]]:
    """What pip is told to install: itself, then keelback; the versions are those that keelback is tested with."""
    constraints = str(ACTION / "constraints.txt")
    keelback = f"{ACTION}[provenance]" if attest else str(ACTION)
    constrained = ["--constraint", constraints, "--only-binary=:all:"]
    return [[*constrained, "pip"], [*constrained, "--build-constraint", constraints, keelback]]


def publish(environ: MutableMapping[str, str]) -> NoReturn:
    """Run keelback in this process, so that a job that is cancelled stops it, with no input left in its environment.

    Raises:
        SystemExit: with its exit status.
    """
    arguments = ["keelback", "publish", *publish_arguments(environ)]
    token, github_token = value(environ, "token"), value(environ, "github-token")
    store = switch(environ, "store-github-attestation")
    for name in [name for name in environ if name.startswith("INPUT_")]:
        del environ[name]
    environ["KEELBACK_CI_MASK"] = "1"  # the output of this step is read by the runner alone
    if token:
        print(f"::add-mask::{encode(token)}", flush=True)
        sys.stdin = io.TextIOWrapper(io.BytesIO(token.encode()), encoding="utf-8")
    if store:
        environ["GITHUB_TOKEN"] = github_token
    sys.argv = arguments
    runpy.run_module("keelback", run_name="__main__", alter_sys=True)
    sys.exit(0)


def publish_arguments(environ: Mapping[str, str]) -> list[str]:
    """The inputs as arguments of ``keelback publish``: whatever a value begins with, it is no option.

    Raises:
        InputError: one is missing or not understood.
    """
    channels, packages = lines(environ, "to"), lines(environ, "packages")
    if not channels:
        raise InputError("the input 'to' is empty: name a channel")
    if not packages:
        raise InputError("the input 'packages' is empty: name packages, or a folder that has them")
    trust = value(environ, "trusted-publishing")
    if trust not in TRUST:
        raise InputError(f"the input 'trusted-publishing' has to be one of {', '.join(TRUST)}, not {trust!r}")
    arguments = ["--ci=github", "--no-keychain", f"--trusted-publishing={trust}"]
    arguments += [f"--to={channel}" for channel in channels]
    arguments += [f"--trusted-publishing-host={host}" for host in value(environ, "trusted-publishing-hosts").split()]
    arguments += [f"--{name}" for name in SWITCHES if switch(environ, name)]
    arguments += [f"--{name}={given}" for name in VALUES if (given := value(environ, name))]
    if value(environ, "token"):
        arguments.append("--api-key-file=-")
    return [*arguments, "--", *packages]


def value(environ: Mapping[str, str], name: str) -> str:
    """The input *name*, without white space around it; empty where it is not given."""
    return environ.get(f"INPUT_{name.upper().replace('-', '_')}", "").strip()


def lines(environ: Mapping[str, str], name: str) -> list[str]:
    """The lines of the input *name* that have anything in them."""
    return [line.strip() for line in value(environ, name).split("\n") if line.strip()]


def switch(environ: Mapping[str, str], name: str) -> bool:
    """Whether the input *name* is ``true``; empty is ``false``.

    Raises:
        InputError: it is anything else.
    """
    given = value(environ, name)
    if given not in {"true", "false", ""}:
        raise InputError(f"the input '{name}' has to be 'true' or 'false', not {given!r}")
    return given == "true"


def fail(message: str) -> NoReturn:
    """End the step with an error that the runner shows.

    Raises:
        SystemExit: with 2.
    """
    print(f"::error title=keelback::{encode(message)}", flush=True)
    sys.exit(2)


def encode(text: str) -> str:
    """*text* as the data of a workflow command (GitHub Docs, "Workflow commands for GitHub Actions")."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


if __name__ == "__main__":
    main(sys.argv[1])
