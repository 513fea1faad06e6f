"""``keelback upload cloudsmith``: the options and variables of ``rattler-build upload cloudsmith``."""

from __future__ import annotations

from typing import Any

import click

from keelback.cli.options import force_option, run_options, secret_options
from keelback.cli.runs import RunCommand, carry_out


@click.command("cloudsmith", cls=RunCommand)
@click.argument("paths", nargs=-1, required=True, metavar="FILES...")
@click.option(
    "-u",
    "--url",
    envvar="CLOUDSMITH_API_URL",
    show_envvar=True,
    default="https://api.cloudsmith.io/v1",
    show_default=True,
    help="The API.",
)
@click.option(
    "-o", "--owner", envvar="CLOUDSMITH_OWNER", show_envvar=True, required=True, help="The user or organization."
)
@click.option(
    "-r", "--repo", envvar="CLOUDSMITH_REPO", show_envvar=True, required=True, help="The name of the repository."
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Put on every package; may be given more than once.")
@force_option()
@secret_options("api-key", "-a", variable="CLOUDSMITH_API_KEY", what="API key")
@run_options
def command(paths: tuple[str, ...], url: str, owner: str, repo: str, tags: tuple[str, ...], **options: Any) -> None:
    """Put packages into a conda repository at Cloudsmith.

    Cloudsmith takes a package at once, and processes it afterwards: with --verify, that is waited for, and a package
    that could not be processed is told with the reason.

    \b
    Example:
      keelback upload cloudsmith -o my-org -r my-repo --verify output/noarch/*.conda
    """
    from keelback.channels.cloudsmith import CloudsmithChannel  # noqa: PLC0415 - not for --help

    carry_out(paths, [CloudsmithChannel(owner, repo, url=url, tags=tags)], **options)
