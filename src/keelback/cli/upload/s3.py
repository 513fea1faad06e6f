"""``keelback upload s3``: the options and variables of ``rattler-build upload s3``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keelback.cli.collecting import bucket_options, secret_options
from keelback.cli.command import Section
from keelback.cli.options import files_argument, force_option, publish_options
from keelback.cli.runs import RunCommand, carry_out
from keelback.cli.upload.setting import setting

if TYPE_CHECKING:
    from keelback.channels.session import BucketOptions


@click.command("s3", cls=RunCommand)
@files_argument
@setting("-c", "--channel", envvar="S3_CHANNEL", metavar="URL", help="The channel: s3://BUCKET/CHANNEL.")
@Section.CREDENTIALS.option(
    "--access-key-id", metavar="ID", help="The ID of the access key.  [env var: S3_ACCESS_KEY_ID]"
)
@secret_options("secret-access-key", variable="S3_SECRET_ACCESS_KEY", what="secret access key")
@secret_options("session-token", variable="S3_SESSION_TOKEN", what="session token of a temporary key")
@force_option()
@bucket_options
@Section.BUCKETS.option(
    "--force-path-style",
    is_flag=True,
    help="The same as --addressing-style path.  [env var: S3_FORCE_PATH_STYLE]",
)
@publish_options()
def command(
    paths: tuple[str, ...], channel: str, *, force_path_style: bool, buckets: BucketOptions, **options: Any
) -> None:
    """Publish packages to a channel in an S3 bucket, and index it.

    s3+https://HOST/BUCKET/CHANNEL names a bucket of MinIO, R2 or Ceph with its endpoint.

    \b
    Example:
      keelback upload s3 -c s3://my-bucket/my-channel output/noarch/*.conda
    """
    from dataclasses import replace  # noqa: PLC0415 - not for --help

    from keelback.channels.buckets.s3channel import S3Channel  # noqa: PLC0415 - likewise

    if force_path_style:
        buckets = replace(buckets, addressing_style="path")
    carry_out(paths, [S3Channel.named(channel)], buckets=buckets, **options)
