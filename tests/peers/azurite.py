"""A real Azurite, the emulator of Azure Blob Storage, out of what ``scripts/peers.py`` makes in ``.peers/azurite``."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import leaks
from peers.process import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(__file__).resolve().parents[2] / ".peers" / "azurite"
NODE = shutil.which("node")
WHY_NOT = (
    "Node.js is not installed"
    if NODE is None
    else ""
    if (HOME / "ready").is_file()
    else "there is no .peers/azurite: `make peers` says why"
)
ACCOUNT = "acme"

_VERSION = "2021-12-02"


@dataclass(frozen=True)
class Azurite:
    """A running emulator, with one account.

    Attributes:
        url: of the account's Blob Storage.
        key: of the account, in Base64.
    """

    url: str
    key: str

    def signature(self, container: str, permissions: str = "rcwld", *, lasts: float = 3600) -> str:
        """A shared access signature for *container*, for so many seconds (Azure, "Create a service SAS")."""
        until = (datetime.now(UTC) + timedelta(seconds=lasts)).strftime("%Y-%m-%dT%H:%M:%SZ")
        resource = f"/blob/{ACCOUNT}/{container}"
        signed = [permissions, "", until, resource, "", "", "", _VERSION, "c", "", "", "", "", "", "", ""]
        made = hmac.new(base64.b64decode(self.key), "\n".join(signed).encode(), hashlib.sha256).digest()
        sig = leaks.watch(base64.b64encode(made).decode(), "sas")
        return urlencode({"sv": _VERSION, "sp": permissions, "se": until, "sr": "c", "sig": sig})


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Azurite]:
    """Run the emulator until the block ends; what it stores and says goes into *folder*, which is made."""
    assert NODE
    folder.mkdir(parents=True)
    key = leaks.watch(base64.b64encode(secrets.token_bytes(64)).decode(), "account-key")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}

    def command(port: int) -> list[str | Path]:
        program = HOME / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        where = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", folder]
        return [NODE or "", program, *where, "--silent", "--disableTelemetry"]

    with listening(command, cwd=folder, log=folder / "output.log", env=env) as port:
        yield Azurite(f"http://127.0.0.1:{port}/{ACCOUNT}", key)
