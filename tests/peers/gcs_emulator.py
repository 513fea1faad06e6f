"""Two programs that stand in for Google Cloud Storage; Google's own service cannot be run anywhere else.

- fake-gcs-server 1.54 (a static binary in a wheel) honours the conditions of writes in one request. It does not look at
  those of resumable uploads.
- gcp-storage-emulator 2026.7 ignores all conditions, and verifies the MD5 of what it is sent.

Neither checks a credential, has permissions, or breaks off: so refusals, expiry, and how an upload goes on after it
broke are left to the scripted server of tests/servers.
"""

from __future__ import annotations

import contextlib
import json
import os
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from peers.process import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(__file__).resolve().parents[2] / ".peers" / "gcs-emulator"
BIN = HOME / ("Scripts" if os.name == "nt" else "bin")
WHY_NOT = "" if (HOME / "ready").is_file() else "there is no .peers/gcs-emulator: `make peers` says why"
BUCKET = "acme"


@contextlib.contextmanager
def fake_gcs_server(folder: Path) -> Iterator[str]:
    """Run fake-gcs-server, with an empty bucket, until the block ends; gives its URL."""
    program = next(HOME.rglob("vendor/fake-gcs-server/bin/fake-gcs-server-*"))
    program.chmod(0o755)  # pip keeps no mode of a file that is data

    def command(port: int) -> list[str | Path]:
        url = f"http://127.0.0.1:{port}"
        options = {"host": "127.0.0.1", "port": port, "external-url": url, "public-host": f"127.0.0.1:{port}"}
        return [program, "-backend=memory", "-scheme=http", *(f"-{name}={value}" for name, value in options.items())]

    with listening(command, cwd=folder, log=folder / "fake-gcs-server.log") as port:
        yield _with_bucket(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def gcp_storage_emulator(folder: Path) -> Iterator[str]:
    """Run gcp-storage-emulator, with an empty bucket, until the block ends; gives its URL."""

    def command(port: int) -> list[str | Path]:
        return [BIN / "gcp-storage-emulator", "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]

    with listening(command, cwd=folder, log=folder / "gcp-storage-emulator.log") as port:
        yield _with_bucket(f"http://127.0.0.1:{port}")


def _with_bucket(url: str) -> str:
    request = urllib.request.Request(  # noqa: S310 - to this machine
        f"{url}/storage/v1/b?project=test",
        data=json.dumps({"name": BUCKET}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        assert answer.status == 200
    return url
