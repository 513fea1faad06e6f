"""``keelback upload quetz``: the options and variables of ``rattler-build upload quetz``."""

from __future__ import annotations

from typing import Any

import click

from keelback.cli.collecting import secret_options
from keelback.cli.options import files_argument, force_option, publish_options
from keelback.cli.runs import RunCommand, carry_out
from keelback.cli.upload.setting import setting


@click.command("quetz", cls=RunCommand)
@files_argument
@setting("-u", "--url", envvar="QUETZ_SERVER_URL", metavar="URL", help="The server.")
@setting("-c", "--channel", envvar="QUETZ_CHANNEL", metavar="NAME", help="The channel.")
@force_option()
@secret_options("api-key", "-a", variable="QUETZ_API_KEY", what="API key")
@publish_options()
def command(paths: tuple[str, ...], url: str, channel: str, **options: Any) -> None:
    """Publish packages to a channel on a Quetz server.

    \b
    Example:
      keelback upload quetz -u https://quetz.example.com -c my-channel output/noarch/*.conda
    """
    from keelback.channels.quetz import QuetzChannel  # noqa: PLC0415 - not for --help

    carry_out(paths, [QuetzChannel(channel, url=url)], **options)
