"""``keelback upload KIND``: the options and variables of ``rattler-build upload``, a module for each kind of server."""

from __future__ import annotations

from typing import Final

import click

from keelback.cli.lazy import LazyGroup

_KINDS: Final = {
    "prefix": ("keelback.cli.upload.prefix", "Publish to a channel on prefix.dev."),
    "anaconda": ("keelback.cli.upload.anaconda", "Publish to an owner and label on anaconda.org."),
    "quetz": ("keelback.cli.upload.quetz", "Publish to a channel on a Quetz server."),
    "artifactory": ("keelback.cli.upload.artifactory", "Publish to a conda repository of Artifactory."),
    "s3": ("keelback.cli.upload.s3", "Publish to a channel in an S3 bucket."),
    "cloudsmith": ("keelback.cli.upload.cloudsmith", "Publish to a repository at Cloudsmith."),
    "conda-forge": ("keelback.cli.upload.conda_forge", "Publish to conda-forge, through its staging area."),
}


@click.group("upload", cls=LazyGroup, table=_KINDS)
def command() -> None:
    """Publish packages, with the options and variables of 'rattler-build upload'.

    For scripts that were written for rattler-build. 'keelback publish' publishes to all of these but conda-forge, and
    to several at once.
    """
