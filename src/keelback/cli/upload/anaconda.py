"""``keelback upload anaconda``: the options and variables of ``rattler-build upload anaconda``."""

from __future__ import annotations

from typing import Any

import click

from keelback.cli.options import files_argument, force_option, run_options, secret_options
from keelback.cli.runs import RunCommand, carry_out


@click.command("anaconda", cls=RunCommand)
@files_argument
@click.option(
    "-u",
    "--url",
    envvar="ANACONDA_SERVER_URL",
    show_envvar=True,
    default="https://api.anaconda.org",
    show_default=True,
    help="The API of the server.",
)
@click.option(
    "-o", "--owner", envvar="ANACONDA_OWNER", show_envvar=True, required=True, help="The user or organisation."
)
@click.option(
    "-c",
    "--channel",
    "labels",
    envvar="ANACONDA_CHANNEL",
    show_envvar=True,
    multiple=True,
    default=["main"],
    show_default=True,
    metavar="LABEL",
    help="The label; may be given more than once.",
)
@force_option("-f", envvar="ANACONDA_FORCE")
@secret_options("api-key", "-a", variable="ANACONDA_API_KEY", what="token")
@run_options
def command(paths: tuple[str, ...], url: str, owner: str, labels: tuple[str, ...], **options: Any) -> None:
    """Put packages under a label of an owner on anaconda.org.

    \b
    Example:
      keelback upload anaconda -o my-org -c dev output/noarch/*.conda
    """
    from keelback.channels.anaconda import AnacondaChannel  # noqa: PLC0415 - not for --help

    carry_out(paths, [AnacondaChannel(owner, labels, url=url)], **options)
