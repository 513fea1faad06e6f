"""``keelback copy``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from keelback.cli.options import (
    TRUST_CONFIG,
    attestation_option,
    copy_options,
    force_option,
    secret_options,
    username_option,
)
from keelback.cli.runs import RunCommand, show_run


@click.command("copy", cls=RunCommand)
@click.argument("source", metavar="FROM")
@click.argument("to", metavar="TO")
@click.argument("specs", nargs=-1, metavar="[SPECS]...")
@click.option(
    "-p",
    "--subdir",
    "--platform",
    "subdirs",
    multiple=True,
    metavar="SUBDIR",
    help="Only this platform, and with SPECS noarch; may be given more than once.  [default: all that FROM has]",
)
@click.option(
    "--with-deps",
    is_flag=True,
    help="Not everything that matches, but the best, with all its dependencies (solved for each --subdir, or for this "
    "machine).",
)
@click.option(
    "-c",
    "--channel",
    "channels",
    multiple=True,
    metavar="URL",
    help="Another channel, for dependencies that FROM does not have, and from which nothing is copied; may be given "
    "more than once.",
)
@click.option(
    "--virtual-package",
    "virtual_packages",
    multiple=True,
    metavar="NAME=VERSION",
    help="Virtual package of the target machine, as in __cuda=12.4; may be given more than once.",
)
@attestation_option(
    "--require-attestation",
    metavar="POLICY",
    help="Copy only what has an attestation by whom POLICY names, as in repo:OWNER/NAME.",
)
@attestation_option(
    "--attestation",
    "attestations",
    multiple=True,
    metavar="FILE",
    help="Look for attestations here first: a file, or a folder with FILE.sigstore.json in it; may be given more than "
    "once.",
)
@TRUST_CONFIG
@force_option()
@username_option("The user of TO, with a password.")
@secret_options("password", what="password")
@secret_options("api-key", "-a", what="token of TO")
@copy_options
def command(
    source: str, to: str, specs: tuple[str, ...], *, verify: bool, verify_timeout: float, **options: Any
) -> None:
    """Copy packages from one channel to another.

    SPECS are MatchSpecs, or names of files; everything that matches is copied, in all subdirs. Without SPECS, the whole
    channel is. The bytes go from one server to the other, and are verified on the way against the hashes in the index
    of FROM. What TO has already is left alone: running the same command again does only what is left.

    \b
    FROM is a channel as for keelback fetch, or one package of it; TO is one as for keelback publish.
    From owner to owner on anaconda.org, and from label to label, the server itself copies:
      keelback copy https://anaconda.org/my-org/dev https://anaconda.org/my-org my-tool

    --endpoint-url is that of both, except where a URL has its own in it:
      keelback copy s3://my-bucket/dev s3+https://minio.example.com/BUCKET/CHANNEL

    A token given here is that of TO. FROM is read with what is stored for it, or in its server's variable; see:
    keelback auth check FROM. Attestations go along where TO is a folder or a bucket.

    \b
    Examples:
      keelback copy https://prefix.dev/dev https://anaconda.org/my-org 'my-tool 2.1.*'
      keelback copy https://prefix.dev/dev ./release my-tool --with-deps -c https://prefix.dev/conda-forge
      keelback copy ./staging s3://my-bucket/channel
      keelback copy https://prefix.dev/dev s3://my-bucket/channel --subdir linux-64 --dry-run

    \b
    Exit status: 0 all well, 1 something failed, 2 wrong usage, 3 no or refused
    credential, 4 accepted but not visible yet (--verify), 130 stopped.
    """
    from keelback.channels.bucketoptions import refuse_unused  # noqa: PLC0415 - not for --help
    from keelback.copying import copy  # noqa: PLC0415 - likewise

    refuse_unused(options["buckets"], [source, to, *options["channels"]])
    show_run(partial(copy, source, to, specs, verify=verify_timeout if verify else None), **options)
