"""``keelback publish``."""

from __future__ import annotations

from typing import Any

import click

from keelback.cli.options import bucket_options, force_option, run_options, secret_options, username_option
from keelback.cli.runs import RunCommand, carry_out


@click.command("publish", cls=RunCommand)
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@click.option(
    "--to", "to", multiple=True, required=True, metavar="CHANNEL", help="Where to; may be given more than once."
)
@force_option()
@username_option("The user, with a password: for Artifactory, and servers that take PUT.")
@secret_options("password", what="password")
@secret_options("api-key", "-a", what="token")
@bucket_options
@run_options
def command(paths: tuple[str, ...], to: tuple[str, ...], **options: Any) -> None:
    """Put packages into a channel, or several.

    PATHS are packages (.conda, .tar.bz2), folders with packages in them, or patterns. All of them are read and checked,
    and the credentials found, before anything is sent. What the channel has already is left alone: running the same
    command again does only what is left.

    \b
    CHANNEL is one of
      ./folder  or  file:///folder             a local channel: made, filled, indexed
      https://prefix.dev/CHANNEL
      https://anaconda.org/OWNER[/LABEL]
      quetz+https://HOST/CHANNEL
      artifactory+https://HOST/artifactory/REPOSITORY
      cloudsmith://OWNER/REPOSITORY
      s3://BUCKET/CHANNEL, gs://BUCKET/CHANNEL, az://ACCOUNT/CONTAINER/CHANNEL
                                               in a bucket: filled, indexed
      put+https://HOST/PATH                    any server that takes PUT PATH/SUBDIR/FILE
      prefix+https://HOST/CHANNEL, anaconda+https://HOST/api/OWNER[/label/LABEL]

    \b
    A token is taken from the first of these that has one:
      --api-key, --api-key-file;
      PREFIX_API_KEY, ANACONDA_API_KEY, QUETZ_API_KEY, CLOUDSMITH_API_KEY,
      ARTIFACTORY_TOKEN (or ARTIFACTORY_USERNAME and ARTIFACTORY_PASSWORD);
      trusted publishing: in a CI job that prefix.dev trusts, no token is needed;
      the stores: RATTLER_AUTH_FILE, the keychain, ~/.rattler/credentials.json
    Buckets also take what the tools of their cloud take: variables, profiles,
    and the identity of the job or of the machine.

    \b
    Examples:
      keelback publish --to ./my-channel dist/
      keelback publish --to https://prefix.dev/my-channel 'dist/*.conda'
      keelback publish --to https://anaconda.org/my-org/dev --verify output/
      keelback publish --to quetz+https://quetz.example.com/ch --dry-run dist/
      keelback publish --to s3://my-bucket/my-channel dist/

    \b
    Exit status: 0 all well, 1 something failed, 2 wrong usage, 3 no or refused
    credential, 4 accepted but not visible yet (--verify), 130 stopped.
    """
    from keelback.channels.bucketoptions import refuse_unused  # noqa: PLC0415 - not for --help

    refuse_unused(options["buckets"], to)
    carry_out(paths, to, **options)
