"""``keelback fetch``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from keelback.cli.options import (
    credential_options,
    force_option,
    requiring_options,
    solving_options,
    subdirs_option,
    transfer_options,
)
from keelback.cli.runs import RunCommand, show_run
from keelback.errors import UsageError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

_ASKED: Final = ("subdirs", "with_deps", "all_versions", "channels", "virtual_packages")


@click.command("fetch", cls=RunCommand)
@click.argument("channel", required=False, metavar="[CHANNEL]")
@click.argument("specs", nargs=-1, metavar="[SPECS]...")
@click.option(
    "-o", "--output", default=".", show_default=True, metavar="FOLDER", help="Folder to write to, as SUBDIR/FILE."
)
@subdirs_option("Subdir to fetch for, besides noarch", default="this machine's")
@click.option("--all", "all_versions", is_flag=True, help="Fetch every match, not only the best for each spec.")
@solving_options(
    with_deps="Also fetch all dependencies (solved for each --subdir).",
    channel="Another channel for packages that the first does not have",
)
@click.option("--lock", metavar="FILE", help="Write the URLs and hashes of what was fetched (@EXPLICIT).")
@click.option("--locked", metavar="FILE", help="Fetch exactly what a lock file lists.")
@requiring_options("Fetch")
@force_option()
@credential_options()
@transfer_options(50, "Downloads at once.")
def command(
    channel: str | None, specs: tuple[str, ...], *, output: str, lock: str | None, locked: str | None, **options: Any
) -> None:
    """Download packages from a public or private channel.

    SPECS are MatchSpecs or file names; for each, the best match is fetched. Without SPECS, everything in --subdir is.
    Each file is verified against the hashes in the channel's index before it gets its name. Files that are there
    already are left alone, so running the same command again continues where the last run stopped.

    \b
    CHANNEL is a folder, a URL as for keelback publish, or any URL from which conda
    reads a channel:
      https://prefix.dev/CHANNEL              https://repo.prefix.dev/CHANNEL
      https://anaconda.org/OWNER[/LABEL]      https://conda.anaconda.org/conda-forge
      https://HOST/artifactory/REPOSITORY     https://HOST/get/CHANNEL
      s3://BUCKET/CHANNEL, gs://BUCKET/CHANNEL, az://ACCOUNT/CONTAINER/CHANNEL
      s3+https://HOST/BUCKET/CHANNEL          MinIO, R2, Ceph
    It can be left out if there is a --channel, and can be the URL of a package.

    'keelback auth check CHANNEL' shows which credential is used; 'keelback auth login' stores one.

    \b
    Examples:
      keelback fetch https://prefix.dev/my-channel 'numpy >=2' --subdir linux-64 -o pkgs/
      keelback fetch https://prefix.dev/my-channel my-tool --with-deps -c https://prefix.dev/conda-forge
      keelback fetch https://anaconda.org/my-org my-tool-1.0-h1_0.conda
      keelback fetch ./my-channel --subdir noarch -o copy/
      keelback fetch --locked my.lock -o pkgs/
      keelback fetch https://prefix.dev/my-channel my-tool --require-attestation repo:my-org/my-repo

    \b
    Exit status: 0 success, 1 something failed, 2 wrong usage, 3 no credential, or
    a refused one, 130 stopped.
    """
    from keelback.fetching import fetch, fetch_locked  # noqa: PLC0415 - not for --help

    asked = {name: options.pop(name) for name in _ASKED}
    if locked is not None:
        if channel is not None or lock is not None or any(asked.values()):
            raise UsageError("--locked takes no channel and no specs", hint="Leave them out, and their options.")
        show_run(partial(fetch_locked, locked, to=output), **options)
    place, wanted, asked["channels"] = _channel_and_specs(channel, specs, asked["channels"])
    if not wanted and not asked["subdirs"] and not _looks_like_channel(place):
        raise UsageError(
            f"{redact(place)!r} was taken for the channel, and no spec is left",
            hint=f"Write keelback fetch CHANNEL {redact(place)}.",
        )
    show_run(partial(fetch, place, wanted, to=output, lock=lock, **asked), **options)


def _channel_and_specs(
    channel: str | None, specs: Sequence[str], others: Sequence[str]
) -> tuple[str, Sequence[str], Sequence[str]]:
    """The channel, the specs, and the other channels: the first of those is the channel, where none comes first."""
    if others and (channel is None or not _looks_like_channel(channel)):
        return others[0], specs if channel is None else [channel, *specs], others[1:]
    if channel is None:
        raise UsageError("no channel", hint="Name one, as in keelback fetch https://prefix.dev/my-channel numpy.")
    return channel, specs, others


def _looks_like_channel(text: str) -> bool:
    """Whether *text* is a URL, or a folder; no spec begins as the path of one does."""
    return "://" in text or text.startswith((".", "/", "~", "\\", "file:")) or Path(text).is_dir()
