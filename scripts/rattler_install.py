"""Installs from a channel with py-rattler, which shares no code with keelback.

    python scripts/rattler_install.py CHANNEL SPEC PREFIX

CHANNEL is a folder or a URL. Prints what it installs. It ends with ``os._exit`` because py-rattler can crash while the
interpreter shuts down after asynchronous calls.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from pathlib import Path

import rattler


async def install(channel: str, spec: str, prefix: Path) -> None:
    """Solve *spec* on *channel* and install the answer into *prefix*."""
    cache = prefix.with_name(prefix.name + "-cache")
    gateway = rattler.Gateway(cache_dir=cache)
    records = await rattler.solve([channel], [spec], gateway=gateway, platforms=["noarch"])
    for record in records:
        print(f"  {record.name.source} {record.version} {record.build}  sha256 {(record.sha256 or b'').hex()[:12]}")
    await rattler.install(records, prefix, cache_dir=cache, show_progress=False)


def main(channel: str, spec: str, prefix: str) -> int:
    """Install, or say why not; returns the exit status."""
    if Path(channel).is_dir():
        channel = Path(channel).resolve().as_uri()
    try:
        asyncio.run(install(channel, spec, Path(prefix)))
    except Exception:  # noqa: BLE001 - whatever it was, it has to be told before os._exit
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
