"""Two S3 servers that nobody here wrote: moto, and s3rver, which ignores conditions.

Both come out of what ``scripts/peers.py`` makes, in ``.peers/moto`` and ``.peers/s3rver``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from keelback.credentials.kinds import S3Credentials
from keelback.credentials.sigv4 import SigV4
from keelback.secret import Secret
from keelback.transport import Client, Request
from peers.process import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

PEERS = Path(__file__).resolve().parents[2] / ".peers"
MOTO = PEERS / "moto"
S3RVER = PEERS / "s3rver"
NODE = shutil.which("node")

MOTO_WHY_NOT = "" if (MOTO / "ready").is_file() else "there is no .peers/moto: `make peers` says why"
S3RVER_WHY_NOT = "" if NODE and (S3RVER / "ready").is_file() else "there is no .peers/s3rver: `make peers` says why"

S3RVER_KEYS = S3Credentials("S3RVER", Secret("S3RVER"))
"""The only keys that it takes."""


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Run moto out of *folder*, which is made, until the block ends; its URL."""
    folder.mkdir(parents=True)
    command = MOTO / ("Scripts" if os.name == "nt" else "bin") / "moto_server"
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with listening(
        lambda port: [command, "-H", "127.0.0.1", "-p", str(port)], cwd=folder, log=folder / "output.log", env=env
    ) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def s3rver(folder: Path, bucket: str) -> Iterator[str]:
    """Run s3rver with *bucket* out of *folder*, which is made, until the block ends; its URL."""
    folder.mkdir(parents=True)
    assert NODE is not None
    script = S3RVER / "node_modules" / "s3rver" / "bin" / "s3rver.js"
    options = ["--address", "127.0.0.1", "--directory", folder / "data", "--configure-bucket", bucket]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with listening(
        lambda port: [NODE, script, "--port", str(port), *options], cwd=folder, log=folder / "output.log", env=env
    ) as port:
        yield f"http://127.0.0.1:{port}"


def make_bucket(url: str, name: str, keys: S3Credentials) -> None:
    """Make the bucket *name* on the server at *url*."""
    with Client() as client:
        answer = client.send(Request("PUT", f"{url}/{name}", auth=SigV4(lambda: keys, "us-east-1")))
    assert answer.ok, f"{answer.status}: {answer.text[:300]}"
