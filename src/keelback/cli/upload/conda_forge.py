"""``keelback upload conda-forge``: the options and variables of ``rattler-build upload conda-forge``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from keelback.cli.collecting import secret_options
from keelback.cli.options import files_argument, publish_options
from keelback.cli.runs import RunCommand, carry_out
from keelback.cli.upload.setting import setting

if TYPE_CHECKING:
    from keelback.secret import Secret

_COMMIT: Final = ["GIT_SHA", "BUILD_SOURCEVERSION", "GITHUB_SHA", "CI_COMMIT_SHA", "CIRCLE_SHA1", "TRAVIS_COMMIT"]
"""Where CI systems say which commit they build."""

_OF_THE_CHANNEL: Final = ("feedstock_token", "staging", "url", "endpoint", "provider", "git_sha")


@click.command("conda-forge", cls=RunCommand)
@files_argument
@setting("--feedstock", envvar="FEEDSTOCK_NAME", metavar="NAME", help="The feedstock, such as foo-feedstock.")
@setting(
    "--staging-channel",
    "staging",
    envvar="STAGING_CHANNEL",
    default="cf-staging",
    metavar="OWNER",
    help="The owner of the staging area.",
)
@setting(
    "--anaconda-url",
    "url",
    envvar="ANACONDA_SERVER_URL",
    default="https://api.anaconda.org",
    metavar="URL",
    help="The API of the server with the staging area.",
)
@setting(
    "--validation-endpoint",
    "endpoint",
    envvar="VALIDATION_ENDPOINT",
    default="https://conda-forge.herokuapp.com/feedstock-outputs/copy",
    metavar="URL",
    help="Where conda-forge is asked to copy the packages.",
)
@click.option(
    "--provider",
    envvar="CI",
    show_envvar=True,
    metavar="SYSTEM",
    help="The CI system, if the feedstock has a token for each.",
)
@click.option("--git-sha", envvar=_COMMIT, metavar="SHA", help="The commit that was built.  [env var: GIT_SHA]")
@secret_options("staging-token", variable="STAGING_BINSTAR_TOKEN", what="token for the staging area")
@secret_options("feedstock-token", variable="FEEDSTOCK_TOKEN", what="token of the feedstock")
@publish_options(dry_run_envvar="DRY_RUN")
def command(paths: tuple[str, ...], feedstock: str, staging_token: Secret | None, **options: Any) -> None:
    """Publish packages of a feedstock to conda-forge, through its staging area.

    Each package gets the label that its variant configuration names. A package that conda-forge does not accept is a
    failure.

    \b
    Example:
      keelback upload conda-forge --feedstock foo-feedstock output/noarch/*.conda
    """
    from keelback.channels.condaforge import CondaForgeChannel  # noqa: PLC0415 - not for --help

    channel = CondaForgeChannel(feedstock, **{name: options.pop(name) for name in _OF_THE_CHANNEL})
    carry_out(paths, [channel], api_key=staging_token, **options)
