"""``keelback upload artifactory``: the options and variables of ``rattler-build upload artifactory``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keelback.cli.collecting import secret_options
from keelback.cli.options import files_argument, force_option, publish_options, username_option
from keelback.cli.runs import RunCommand, carry_out
from keelback.cli.upload.setting import setting

if TYPE_CHECKING:
    from keelback.secret import Secret


@click.command("artifactory", cls=RunCommand)
@files_argument
@setting("-u", "--url", envvar="ARTIFACTORY_SERVER_URL", metavar="URL", help="The server, with /artifactory.")
@setting("-c", "--channel", envvar="ARTIFACTORY_CHANNEL", metavar="KEY", help="The key of the repository.")
@force_option()
@username_option("The user, with a password.  [env var: ARTIFACTORY_USERNAME]")
@secret_options("password", variable="ARTIFACTORY_PASSWORD", what="password")
@secret_options("token", "-t", variable="ARTIFACTORY_TOKEN", what="token")
@publish_options()
def command(paths: tuple[str, ...], url: str, channel: str, token: Secret | None, **options: Any) -> None:
    """Publish packages to a conda repository of Artifactory.

    \b
    Example:
      keelback upload artifactory -u https://example.com/artifactory -c conda-local output/noarch/*.conda
    """
    from keelback.channels.artifactory import ArtifactoryChannel  # noqa: PLC0415 - not for --help

    carry_out(paths, [ArtifactoryChannel(channel, url=url)], api_key=token, **options)
