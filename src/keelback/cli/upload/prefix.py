"""``keelback upload prefix``: the options and variables of ``rattler-build upload prefix``."""

from __future__ import annotations

from typing import Any

import click

from keelback.cli.options import files_argument, force_option, run_options, secret_options
from keelback.cli.runs import RunCommand, carry_out


@click.command("prefix", cls=RunCommand)
@files_argument
@click.option(
    "-u",
    "--url",
    envvar="PREFIX_SERVER_URL",
    show_envvar=True,
    default="https://prefix.dev",
    show_default=True,
    help="The server.",
)
@click.option("-c", "--channel", envvar="PREFIX_CHANNEL", show_envvar=True, required=True, help="The channel.")
@click.option("--generate-attestation", is_flag=True, hidden=True, help="The same as --attest.")
@force_option()
@secret_options("api-key", "-a", variable="PREFIX_API_KEY", what="token")
@run_options
def command(paths: tuple[str, ...], url: str, channel: str, *, generate_attestation: bool, **options: Any) -> None:
    """Put packages into a channel on prefix.dev.

    \b
    Example:
      keelback upload prefix -c my-channel output/noarch/*.conda
    """
    from keelback.channels.prefix import PrefixChannel  # noqa: PLC0415 - not for --help

    options["attest"] = options["attest"] or generate_attestation
    carry_out(paths, [PrefixChannel(channel, url=url)], **options)
