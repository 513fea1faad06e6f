"""``keelback upload prefix|anaconda|quetz|artifactory``: the options and variables of ``rattler-build upload``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keelback.cli.options import force_option, run_options, secret_options, username_option
from keelback.cli.runs import RunCommand, carry_out

if TYPE_CHECKING:
    from keelback.secret import Secret


def _files(function: Any) -> Any:
    return click.argument("paths", nargs=-1, required=True, metavar="FILES...")(function)


@click.group("upload")
def command() -> None:
    """Put packages into a channel, with the options and variables of rattler-build.

    The same as 'keelback publish', for those who have scripts with 'rattler-build upload' in them.
    """


@command.command("prefix", cls=RunCommand)
@_files
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
def _prefix(paths: tuple[str, ...], url: str, channel: str, *, generate_attestation: bool, **options: Any) -> None:
    """Put packages into a channel on prefix.dev.

    \b
    Example:
      keelback upload prefix -c my-channel output/noarch/*.conda
    """
    from keelback.channels.prefix import PrefixChannel  # noqa: PLC0415 - not for --help

    options["attest"] = options["attest"] or generate_attestation
    carry_out(paths, [PrefixChannel(channel, url=url)], **options)


@command.command("anaconda", cls=RunCommand)
@_files
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
def _anaconda(paths: tuple[str, ...], url: str, owner: str, labels: tuple[str, ...], **options: Any) -> None:
    """Put packages under a label of an owner on anaconda.org.

    \b
    Example:
      keelback upload anaconda -o my-org -c dev output/noarch/*.conda
    """
    from keelback.channels.anaconda import AnacondaChannel  # noqa: PLC0415 - not for --help

    carry_out(paths, [AnacondaChannel(owner, labels, url=url)], **options)


@command.command("quetz", cls=RunCommand)
@_files
@click.option("-u", "--url", envvar="QUETZ_SERVER_URL", show_envvar=True, required=True, help="The server.")
@click.option("-c", "--channel", envvar="QUETZ_CHANNEL", show_envvar=True, required=True, help="The channel.")
@force_option()
@secret_options("api-key", "-a", variable="QUETZ_API_KEY", what="API key")
@run_options
def _quetz(paths: tuple[str, ...], url: str, channel: str, **options: Any) -> None:
    """Put packages into a channel of a Quetz server.

    \b
    Example:
      keelback upload quetz -u https://quetz.example.com -c my-channel output/noarch/*.conda
    """
    from keelback.channels.quetz import QuetzChannel  # noqa: PLC0415 - not for --help

    carry_out(paths, [QuetzChannel(channel, url=url)], **options)


@command.command("artifactory", cls=RunCommand)
@_files
@click.option(
    "-u",
    "--url",
    envvar="ARTIFACTORY_SERVER_URL",
    show_envvar=True,
    required=True,
    help="The server, with /artifactory.",
)
@click.option(
    "-c", "--channel", envvar="ARTIFACTORY_CHANNEL", show_envvar=True, required=True, help="The key of the repository."
)
@force_option()
@username_option("The user, with a password.  [env var: ARTIFACTORY_USERNAME]")
@secret_options("password", variable="ARTIFACTORY_PASSWORD", what="password")
@secret_options("token", "-t", variable="ARTIFACTORY_TOKEN", what="token")
@run_options
def _artifactory(paths: tuple[str, ...], url: str, channel: str, token: Secret | None, **options: Any) -> None:
    """Put packages into a conda repository of an Artifactory server.

    \b
    Example:
      keelback upload artifactory -u https://example.com/artifactory -c conda-local output/noarch/*.conda
    """
    from keelback.channels.artifactory import ArtifactoryChannel  # noqa: PLC0415 - not for --help

    carry_out(paths, [ArtifactoryChannel(channel, url=url)], api_key=token, **options)
