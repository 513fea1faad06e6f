"""Runs SeaweedFS, a real S3 server, as a program of its own: in the benchmark's process its helpers' memory would show.

It is the one of the tests (``tests/peers/seaweedfs.py``). It prints the port, and runs until standard input ends.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from peers import seaweedfs


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(description="run an S3 server on loopback")
    parser.add_argument("key_id", help="of who may do everything; the secret is in SECRET")
    options = parser.parse_args()
    if seaweedfs.WHY_NOT:
        sys.exit(seaweedfs.WHY_NOT)
    admin = (options.key_id, os.environ["SECRET"])
    with (
        tempfile.TemporaryDirectory(prefix="keelback-benchmark-") as folder,
        seaweedfs.serving_keys(Path(folder, "server"), admin=admin, reader=("READER", "nobody-has-this-secret")) as it,
    ):
        print(urlsplit(it.url).port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
