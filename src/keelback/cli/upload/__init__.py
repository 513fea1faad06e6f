"""``keelback upload KIND``: the options and variables of ``rattler-build upload``, a module for each kind of server."""

from __future__ import annotations

from typing import Final

import click

from keelback.cli.lazy import LazyGroup

_KINDS: Final = {
    "prefix": ("keelback.cli.upload.prefix", "Put packages into a channel on prefix.dev."),
    "anaconda": ("keelback.cli.upload.anaconda", "Put packages under a label of an owner on anaconda.org."),
    "quetz": ("keelback.cli.upload.quetz", "Put packages into a channel of a Quetz server."),
    "artifactory": ("keelback.cli.upload.artifactory", "Put packages into a conda repository of Artifactory."),
    "s3": ("keelback.cli.upload.s3", "Put packages into a channel in an S3 bucket."),
    "cloudsmith": ("keelback.cli.upload.cloudsmith", "Put packages into a Cloudsmith repository."),
    "conda-forge": ("keelback.cli.upload.conda_forge", "Put packages into conda-forge's staging area."),
}


@click.group("upload", cls=LazyGroup, table=_KINDS)
def command() -> None:
    """Put packages into a channel, with the options and variables of rattler-build.

    The same as 'keelback publish', for those who have scripts with 'rattler-build upload' in them.
    """
