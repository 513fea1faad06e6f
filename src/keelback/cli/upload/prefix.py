"""``keelback upload prefix``: the options and variables of ``rattler-build upload prefix``."""

from __future__ import annotations

from typing import Any

import click

from keelback.cli.collecting import secret_options
from keelback.cli.options import files_argument, force_option, publish_options
from keelback.cli.runs import RunCommand, carry_out
from keelback.cli.upload.setting import setting


@click.command("prefix", cls=RunCommand)
@files_argument
@setting("-u", "--url", envvar="PREFIX_SERVER_URL", default="https://prefix.dev", metavar="URL", help="The server.")
@setting("-c", "--channel", envvar="PREFIX_CHANNEL", metavar="NAME", help="The channel.")
@click.option("--generate-attestation", is_flag=True, hidden=True, help="The same as --attest.")
@force_option()
@secret_options("api-key", "-a", variable="PREFIX_API_KEY", what="token")
@publish_options()
def command(paths: tuple[str, ...], url: str, channel: str, *, generate_attestation: bool, **options: Any) -> None:
    """Publish packages to a channel on prefix.dev.

    \b
    Example:
      keelback upload prefix -c my-channel output/noarch/*.conda
    """
    from keelback.channels.prefix import PrefixChannel  # noqa: PLC0415 - not for --help

    options["attest"] = options["attest"] or generate_attestation
    carry_out(paths, [PrefixChannel(channel, url=url)], **options)
