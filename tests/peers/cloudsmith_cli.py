"""The client that Cloudsmith makes, from the environment that ``scripts/peers.py`` makes in ``.peers/cloudsmith``."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import leaks

if TYPE_CHECKING:
    from servers.scripted.cloudsmith import CloudsmithServer

HOME = Path(__file__).resolve().parents[2] / ".peers" / "cloudsmith"
WHY_NOT = "" if (HOME / "ready").is_file() else "there is no .peers/cloudsmith: `make peers` says why"

_PYTHON = HOME / ("Scripts" if os.name == "nt" else "bin") / "python"
_MAIN = """
import sys
import cloudsmith_cli.core.api.files as files
import cloudsmith_cli.cli.commands.push as push
from cloudsmith_cli.cli.commands.main import main
files.CHUNK_SIZE = push.CHUNK_SIZE = int(sys.argv.pop(1))
sys.exit(main(prog_name="cloudsmith"))
"""


class Finished(NamedTuple):
    """A run that came to its end; in its output, every character of the secret was replaced."""

    returncode: int
    output: str


def push(server: CloudsmithServer, key: str, file: Path, *options: str, home: Path, part_size: int) -> Finished:
    """``cloudsmith push conda OWNER/REPOSITORY FILE``.

    Args:
        server: where to.
        key: the API key.
        file: the package.
        options: more options.
        home: its home folder.
        part_size: from this size on it sends parts of this size, in place of 100 MiB.
    """
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "USERPROFILE": str(home),
        "CLOUDSMITH_API_HOST": server.api_url,
        "CLOUDSMITH_API_KEY": key,
        "CLOUDSMITH_NO_KEYRING": "1",
        "CLOUDSMITH_NO_TELEMETRY": "1",
        "CLOUDSMITH_NO_UPDATE_CHECK": "1",
    }
    done = subprocess.run(
        [_PYTHON, "-c", _MAIN, str(part_size), "push", "conda", f"{server.owner}/{server.channel}", file, *options],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    leaks.check(done.stdout, "cloudsmith's output")
    return Finished(done.returncode, done.stdout.decode(errors="replace"))
