"""``keelback upload conda-forge``: the options and variables of ``rattler-build upload conda-forge``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from keelback.cli.options import run_options, secret_options
from keelback.cli.runs import RunCommand, carry_out

if TYPE_CHECKING:
    from keelback.secret import Secret

_COMMIT: Final = ["GIT_SHA", "BUILD_SOURCEVERSION", "GITHUB_SHA", "CI_COMMIT_SHA", "CIRCLE_SHA1", "TRAVIS_COMMIT"]
"""Where CI systems say which commit they build."""


_OF_THE_CHANNEL: Final = ("feedstock_token", "staging", "url", "endpoint", "provider", "git_sha")


@click.command("conda-forge", cls=RunCommand)
@click.argument("paths", nargs=-1, required=True, metavar="FILES...")
@click.option(
    "--feedstock", envvar="FEEDSTOCK_NAME", show_envvar=True, required=True, help="The feedstock: foo-feedstock."
)
@click.option(
    "--staging-channel",
    "staging",
    envvar="STAGING_CHANNEL",
    show_envvar=True,
    default="cf-staging",
    show_default=True,
    help="The owner of the staging area.",
)
@click.option(
    "--anaconda-url",
    "url",
    envvar="ANACONDA_SERVER_URL",
    show_envvar=True,
    default="https://api.anaconda.org",
    show_default=True,
    help="The API of the server that has the staging area.",
)
@click.option(
    "--validation-endpoint",
    "endpoint",
    envvar="VALIDATION_ENDPOINT",
    show_envvar=True,
    default="https://conda-forge.herokuapp.com/feedstock-outputs/copy",
    show_default=True,
    help="Where conda-forge is asked to take the packages over.",
)
@click.option(
    "--provider", envvar="CI", show_envvar=True, help="The CI system, where the feedstock has a token for each."
)
@click.option("--git-sha", envvar=_COMMIT, metavar="SHA", help="The commit that was built.  [env var: GIT_SHA]")
@secret_options("staging-token", variable="STAGING_BINSTAR_TOKEN", what="token of the staging area")
@secret_options("feedstock-token", variable="FEEDSTOCK_TOKEN", what="token of the feedstock")
@run_options
def command(paths: tuple[str, ...], feedstock: str, staging_token: Secret | None, **options: Any) -> None:
    """Put packages of a feedstock into conda-forge, by way of its staging area.

    Each goes under the label that its variant configuration names. What conda-forge does not take is a failure.

    \b
    Example:
      keelback upload conda-forge --feedstock foo-feedstock output/noarch/*.conda
    """
    from keelback.channels.condaforge import CondaForgeChannel  # noqa: PLC0415 - not for --help

    channel = CondaForgeChannel(feedstock, **{name: options.pop(name) for name in _OF_THE_CHANNEL})
    carry_out(paths, [channel], api_key=staging_token, **options)


for _option in command.params:  # rattler-build has a variable for this one
    if isinstance(_option, click.Option) and _option.name == "dry_run":
        _option.envvar, _option.show_envvar = "DRY_RUN", True
