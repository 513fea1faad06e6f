"""``keelback upload cloudsmith``: the options and variables of ``rattler-build upload cloudsmith``."""

from __future__ import annotations

from typing import Any

import click

from keelback.cli.collecting import secret_options
from keelback.cli.options import files_argument, force_option, publish_options
from keelback.cli.runs import RunCommand, carry_out
from keelback.cli.upload.setting import setting


@click.command("cloudsmith", cls=RunCommand)
@files_argument
@setting(
    "-u",
    "--url",
    envvar="CLOUDSMITH_API_URL",
    default="https://api.cloudsmith.io/v1",
    metavar="URL",
    help="The API of the server.",
)
@setting("-o", "--owner", envvar="CLOUDSMITH_OWNER", metavar="NAME", help="The user or organisation.")
@setting("-r", "--repo", envvar="CLOUDSMITH_REPO", metavar="NAME", help="The repository.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Tag for every package; may be given more than once.")
@force_option()
@secret_options("api-key", "-a", variable="CLOUDSMITH_API_KEY", what="API key")
@publish_options()
def command(paths: tuple[str, ...], url: str, owner: str, repo: str, tags: tuple[str, ...], **options: Any) -> None:
    """Publish packages to a repository at Cloudsmith.

    Cloudsmith processes packages after the upload. --verify waits for that, and reports a package that could not be
    processed as failed.

    \b
    Example:
      keelback upload cloudsmith -o my-org -r my-repo --verify output/noarch/*.conda
    """
    from keelback.channels.cloudsmith import CloudsmithChannel  # noqa: PLC0415 - not for --help

    carry_out(paths, [CloudsmithChannel(owner, repo, url=url, tags=tags)], **options)
