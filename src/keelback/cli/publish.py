"""``keelback publish``."""

from __future__ import annotations

from typing import Any

import click

from keelback.cli.collecting import bucket_options
from keelback.cli.options import credential_options, force_option, publish_options
from keelback.cli.runs import RunCommand, carry_out


@click.command("publish", cls=RunCommand)
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@click.option(
    "--to", "to", multiple=True, required=True, metavar="CHANNEL", help="The channel; may be given more than once."
)
@force_option()
@credential_options()
@bucket_options
@publish_options()
def command(paths: tuple[str, ...], to: tuple[str, ...], **options: Any) -> None:
    """Publish packages to one or more channels.

    PATHS are packages (.conda, .tar.bz2), folders with packages in them, or patterns. All packages are checked and all
    credentials found before anything is sent. Files that the channel already has are left alone, so running the same
    command again continues where the last run stopped.

    \b
    CHANNEL is one of
      ./folder  or  file:///folder
      https://prefix.dev/CHANNEL
      https://anaconda.org/OWNER[/LABEL]
      quetz+https://HOST/CHANNEL
      artifactory+https://HOST/artifactory/REPOSITORY
      cloudsmith://OWNER/REPOSITORY
      s3://BUCKET/CHANNEL, gs://BUCKET/CHANNEL, az://ACCOUNT/CONTAINER/CHANNEL
      s3+https://HOST/BUCKET/CHANNEL  MinIO, R2, Ceph
      put+https://HOST/PATH           any server that takes PUT PATH/SUBDIR/FILE
      prefix+https://HOST/CHANNEL, anaconda+https://HOST/api/OWNER[/label/LABEL]
    A folder or a bucket is indexed too.

    \b
    The credential is the first of these:
      --api-key or --api-key-file; for Artifactory and put+https://, also
        --username with --password;
      PREFIX_API_KEY, ANACONDA_API_KEY, QUETZ_API_KEY, CLOUDSMITH_API_KEY,
        ARTIFACTORY_TOKEN (or ARTIFACTORY_USERNAME and ARTIFACTORY_PASSWORD);
      trusted publishing, in a CI job that prefix.dev trusts;
      a store: RATTLER_AUTH_FILE, the keychain, ~/.rattler/credentials.json,
        netrc.
    For a bucket also what the tools of its cloud use: variables, profiles,
    and the identity of the job or of the machine.

    \b
    Examples:
      keelback publish --to ./my-channel dist/
      keelback publish --to https://prefix.dev/my-channel 'dist/*.conda'
      keelback publish --to https://anaconda.org/my-org/dev --verify output/
      keelback publish --to quetz+https://quetz.example.com/ch --dry-run dist/
      keelback publish --to s3://my-bucket/my-channel dist/

    \b
    Exit status: 0 success, 1 something failed, 2 wrong usage, 3 no credential, or
    a refused one, 4 sent but not visible yet (--verify), 130 stopped.
    """
    carry_out(paths, to, **options)
