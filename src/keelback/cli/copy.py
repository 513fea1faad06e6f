"""``keelback copy``."""

from __future__ import annotations

from functools import partial
from typing import Any

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


@click.command("copy", cls=RunCommand)
@click.argument("source", metavar="FROM")
@click.argument("to", metavar="TO")
@click.argument("specs", nargs=-1, metavar="[SPECS]...")
@subdirs_option("Copy only this subdir, and with SPECS noarch", default="all that FROM has")
@solving_options(
    with_deps="Copy the best match with its dependencies instead of everything that matches (solved for each --subdir, "
    "or for this machine).",
    channel="Another channel for dependencies that FROM does not have; nothing is copied from it",
)
@requiring_options("Copy")
@force_option()
@credential_options("TO")
@transfer_options(8, "Copies at once.", verifying=True)
def command(source: str, to: str, specs: tuple[str, ...], **options: Any) -> None:
    """Copy packages from one channel to another.

    SPECS are MatchSpecs or file names. Everything that matches is copied, in all subdirs; without SPECS, the whole
    channel. Each file is verified against the hashes in the index of FROM. Files that TO already has are left alone, so
    running the same command again continues where the last run stopped.

    \b
    FROM is a channel as for keelback fetch, or the URL of one package.
    TO is a channel as for keelback publish.

    From one owner or label on anaconda.org to another, the server itself copies.

    A token given here is for TO. FROM is read with a stored credential, or with that in the variable of its server;
    'keelback auth check FROM' shows which. --endpoint-url is for both, except where a URL names its own host.
    Attestations are copied too if TO is a folder or a bucket.

    \b
    Examples:
      keelback copy https://prefix.dev/dev https://anaconda.org/my-org 'my-tool 2.1.*'
      keelback copy https://prefix.dev/dev ./release my-tool --with-deps -c https://prefix.dev/conda-forge
      keelback copy https://anaconda.org/my-org/dev https://anaconda.org/my-org my-tool
      keelback copy ./staging s3://my-bucket/channel
      keelback copy s3://my-bucket/dev s3+https://minio.example.com/BUCKET/CHANNEL
      keelback copy https://prefix.dev/dev s3://my-bucket/channel --subdir linux-64 --dry-run

    \b
    Exit status: 0 success, 1 something failed, 2 wrong usage, 3 no credential, or
    a refused one, 4 copied but not visible yet (--verify), 130 stopped.
    """
    from keelback.copying import copy  # noqa: PLC0415 - not for --help

    show_run(partial(copy, source, to, specs), **options)
