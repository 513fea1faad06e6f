"""A real Quetz server, out of the environment that ``scripts/peers.py`` makes in ``.peers/quetz``."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

from peers.process import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).resolve().parents[2] / ".peers" / "quetz" / "bin" / "quetz"
WHY_NOT = "" if (PROGRAM.parent.parent / "ready").is_file() else "there is no .peers/quetz: `make peers` says why"

_CONFIG = """
[sqlalchemy]
database_url = "sqlite:///{database}"
[session]
secret = "{secret}"
https_only = false
[users]
admins = ["dummy:alice"]
"""


class Quetz:
    """A running Quetz, and alice, who may do everything there.

    Attributes:
        url: where it is, without a slash at the end.
    """

    def __init__(self, url: str, alice: httpx2.Client) -> None:
        self.url = url
        self._alice = alice

    def make_channel(self, name: str, *, private: bool = False) -> None:
        """Make an empty channel, owned by alice (Quetz main.py, post_channel)."""
        self._post("/api/channels", {"name": name, "description": "made by a test", "private": private})

    def make_key(self, *roles: dict[str, str]) -> str:
        """A new API key that may do what *roles* say or, without any, what alice may (main.py, post_api_key)."""
        key = self._post("/api/api-keys", {"description": "made by a test", "roles": roles})["key"]
        assert isinstance(key, str)
        return key

    def packages(self, channel: str) -> list[str]:
        """The names of the packages in a channel."""
        return [one["name"] for one in self._get(f"/api/channels/{channel}/packages")]

    def package(self, channel: str, name: str) -> list[dict[str, Any]]:
        """What Quetz itself knows of a package: one entry a file, with its ``info`` (main.py, package versions)."""
        return self._get(f"/api/channels/{channel}/packages/{name}/versions")

    def _get(self, path: str) -> list[dict[str, Any]]:
        answer = self._alice.get(path)
        answer.raise_for_status()
        found = answer.json()
        assert isinstance(found, list)
        return found

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._alice.post(path, json=body)
        answer.raise_for_status()
        return answer.json()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Quetz]:
    """Run Quetz out of *folder*, which is made, until the block ends."""
    folder.mkdir(parents=True)
    config = folder / "wanted.toml"
    config.write_text(_CONFIG.format(database=folder / "quetz.sqlite", secret="0" * 32), encoding="utf-8")
    # It asks nobody on the network, whatever this machine's environment says.
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    # `--dev` makes the users that can log in without a password.
    created = subprocess.run(
        [PROGRAM, "create", "deployment", "--copy-conf", config, "--dev"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if created.returncode != 0:
        raise RuntimeError(f"`quetz create` failed:\n{created.stderr[-2000:]}")

    def command(port: int) -> list[str | Path]:
        address = ["--host", "127.0.0.1", "--port", str(port)]
        return [PROGRAM, "start", "deployment", *address, "--no-supervisor", "--log-level", "warning"]

    with listening(command, cwd=folder, log=folder / "output.log", env=env) as port:
        url = f"http://127.0.0.1:{port}"
        with httpx2.Client(base_url=url, trust_env=False, timeout=30) as alice:
            alice.get("/api/dummylogin/alice")
            yield Quetz(url, alice)
