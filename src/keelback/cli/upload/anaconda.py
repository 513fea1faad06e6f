"""``keelback upload anaconda``: the options and variables of ``rattler-build upload anaconda``."""

from __future__ import annotations

from typing import Any

import click

from keelback.cli.collecting import secret_options
from keelback.cli.options import files_argument, force_option, publish_options
from keelback.cli.runs import RunCommand, carry_out
from keelback.cli.upload.setting import setting


@click.command("anaconda", cls=RunCommand)
@files_argument
@setting(
    "-u",
    "--url",
    envvar="ANACONDA_SERVER_URL",
    default="https://api.anaconda.org",
    metavar="URL",
    help="The API of the server.",
)
@setting("-o", "--owner", envvar="ANACONDA_OWNER", metavar="NAME", help="The user or organisation.")
@setting(
    "-c",
    "--channel",
    "labels",
    envvar="ANACONDA_CHANNEL",
    multiple=True,
    default=["main"],
    metavar="LABEL",
    help="The label; may be given more than once.",
)
@force_option("-f", envvar="ANACONDA_FORCE")
@secret_options("api-key", "-a", variable="ANACONDA_API_KEY", what="token")
@publish_options()
def command(paths: tuple[str, ...], url: str, owner: str, labels: tuple[str, ...], **options: Any) -> None:
    """Publish packages of an owner on anaconda.org, under a label.

    \b
    Example:
      keelback upload anaconda -o my-org -c dev output/noarch/*.conda
    """
    from keelback.channels.anaconda import AnacondaChannel  # noqa: PLC0415 - not for --help

    carry_out(paths, [AnacondaChannel(owner, labels, url=url)], **options)
