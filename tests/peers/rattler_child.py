"""One question to py-rattler, as a process of its own: see :mod:`peers.rattler`, which starts it.

The question is JSON on standard input, the answer is JSON on standard output. It ends with ``os._exit`` because
py-rattler can crash while the interpreter shuts down after asynchronous calls.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import rattler
import rattler.index
from rattler.networking.middleware import AuthenticationMiddleware, S3Config, S3Middleware

if TYPE_CHECKING:
    from collections.abc import Iterable


def told(record: rattler.RepoDataRecord) -> dict[str, Any]:
    """What a record says, in JSON's types."""
    return {
        "url": record.url,
        "name": record.name.source,
        "version": str(record.version),
        "build": str(record.build),
        "build_number": record.build_number,
        "subdir": record.subdir,
        "depends": record.depends,
        "constrains": record.constrains,
        "size": record.size,
        "md5": record.md5.hex() if record.md5 else None,
        "sha256": record.sha256.hex() if record.sha256 else None,
        "timestamp": record.timestamp.isoformat() if record.timestamp else None,
        "license": record.license,
        "license_family": record.license_family,
        "noarch": "python" if record.noarch.python else "generic" if record.noarch.generic else None,
        "track_features": record.track_features,
        "features": record.features,
        "arch": record.arch,
        "platform": record.platform,
    }


def by_path(records: Iterable[rattler.RepoDataRecord]) -> dict[str, dict[str, Any]]:
    """What each record says, by ``SUBDIR/FILE``."""
    return {f"{record.subdir}/{record.file_name}": told(record) for record in records}


def client(question: dict[str, Any]) -> rattler.Client:
    """The client with the stored credentials; for buckets, with where they are."""
    if "s3" not in question:
        return rattler.Client.authenticated_client()
    buckets = {bucket: S3Config(*place) for bucket, place in question["s3"].items()}
    return rattler.Client([AuthenticationMiddleware(), S3Middleware(buckets)])


async def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The records of a channel or, where specs are given, those that were chosen and installed; or an index made."""
    if "index" in question:
        await rattler.index.index_fs(question["index"])
        return {}
    gateway = rattler.Gateway(
        cache_dir=question["cache"],
        default_config=rattler.SourceConfig(sharded_enabled=question["sharded"]),
        client=client(question),
    )
    channel, subdirs = question["channel"], question["subdirs"]
    if question["specs"] is None:
        names = await gateway.names([channel], subdirs)
        found = await gateway.query([channel], subdirs, [name.normalized for name in names], recursive=False)
        return {"records": by_path(record for source in found for record in source)}
    chosen = await rattler.solve([channel], question["specs"], gateway=gateway, platforms=subdirs)
    await rattler.install(
        chosen,
        question["prefix"],
        cache_dir=question["cache"],
        show_progress=False,
        client=client(question),
    )
    return {"records": by_path(chosen)}


def main() -> None:
    """Answer the question on standard input."""
    status = 0
    try:
        json.dump(asyncio.run(answer(json.load(sys.stdin))), sys.stdout)
    except Exception as error:  # noqa: BLE001 - whatever py-rattler raises is the answer to a test's question
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
