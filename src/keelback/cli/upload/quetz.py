"""``keelback upload quetz``: the options and variables of ``rattler-build upload quetz``."""

from __future__ import annotations

from typing import Any

import click

from keelback.cli.options import files_argument, force_option, run_options, secret_options
from keelback.cli.runs import RunCommand, carry_out


@click.command("quetz", cls=RunCommand)
@files_argument
@click.option("-u", "--url", envvar="QUETZ_SERVER_URL", show_envvar=True, required=True, help="The server.")
@click.option("-c", "--channel", envvar="QUETZ_CHANNEL", show_envvar=True, required=True, help="The channel.")
@force_option()
@secret_options("api-key", "-a", variable="QUETZ_API_KEY", what="API key")
@run_options
def command(paths: tuple[str, ...], url: str, channel: str, **options: Any) -> None:
    """Put packages into a channel of a Quetz server.

    \b
    Example:
      keelback upload quetz -u https://quetz.example.com -c my-channel output/noarch/*.conda
    """
    from keelback.channels.quetz import QuetzChannel  # noqa: PLC0415 - not for --help

    carry_out(paths, [QuetzChannel(channel, url=url)], **options)
