"""py-rattler as the independent reader: what it sees in a channel, and what it installs from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHILD = Path(__file__).with_name("rattler_child.py")

Record = dict[str, Any]


class RattlerError(Exception):
    """py-rattler could not do it; the text is its own."""


def records(
    channel: str,
    folder: Path,
    *,
    subdirs: Sequence[str] = ("noarch",),
    sharded: bool = True,
    auth: Path | None = None,
    **more: Any,
) -> dict[str, Record]:
    """Everything that py-rattler finds in *channel*, by ``SUBDIR/FILE``.

    Args:
        channel: the URL that holds the subdirs.
        folder: room for its caches; a new one for an answer that nothing earlier can have coloured.
        subdirs: where to look.
        sharded: whether it may use the sharded index (CEP 16), or has to read ``repodata.json``.
        auth: what to give it as ``RATTLER_AUTH_FILE``.
        more: ``s3``: from bucket to the endpoint, the region and the addressing style of its service.
    """
    return _read(channel, folder, subdirs=subdirs, sharded=sharded, auth=auth, specs=None, **more)


def install(
    channel: str,
    spec: str,
    folder: Path,
    *,
    subdirs: Sequence[str] = ("noarch",),
    sharded: bool = True,
    auth: Path | None = None,
    **more: Any,
) -> tuple[Path, dict[str, Record]]:
    """Solve *spec* on *channel* and install it.

    Returns:
        The prefix it was installed into, and the records that were chosen, by ``SUBDIR/FILE``.
    """
    chosen = _read(channel, folder, subdirs=subdirs, sharded=sharded, auth=auth, specs=[spec], **more)
    return folder / "prefix", chosen


def index(channel: Path, folder: Path) -> None:
    """Have py-rattler's own indexer write the index of the folder *channel*; *folder* is room for its caches."""
    _ask({"index": str(channel)}, folder, auth=None)


def _read(channel: str, folder: Path, *, auth: Path | None, **question: Any) -> dict[str, Record]:
    rooms = {"cache": str(folder / "cache"), "prefix": str(folder / "prefix")}
    found = _ask({"channel": channel, **rooms, **question}, folder, auth=auth)["records"]
    assert isinstance(found, dict)
    return found


def _ask(question: dict[str, Any], folder: Path, *, auth: Path | None) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "RATTLER_CACHE_DIR": str(folder / "cache")}
    if auth is not None:
        env["RATTLER_AUTH_FILE"] = str(auth)
    done = subprocess.run(
        [sys.executable, "-P", _CHILD],  # without -P its `import rattler` would find this file
        input=json.dumps(question),
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise RattlerError(done.stderr)
    return json.loads(done.stdout)
