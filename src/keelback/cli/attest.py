"""``keelback attest``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keelback.cli.options import TRUST_CONFIG, secret_options
from keelback.findings import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.provenance.packages import Attested
    from keelback.secret import Secret


@click.command("attest")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@click.option("--channel", metavar="URL", help="The channel that the packages are published to.")
@click.option(
    "--attestation-dir",
    metavar="FOLDER",
    help="Write to this folder, as FILENAME.sigstore.json, not to standard output.",
)
@secret_options("oidc-token", what="ID token to sign with, made for 'sigstore', instead of the CI system's own")
@TRUST_CONFIG
def command(
    files: tuple[str, ...],
    channel: str | None,
    attestation_dir: str | None,
    oidc_token: Secret | None,
    trust_config: str | None,
) -> None:
    """Sign, for packages, who publishes them: an attestation (CEP 27) in the name of this CI job.

    FILES are packages (.conda, .tar.bz2), folders with packages in them, or patterns. Attestations are Sigstore
    bundles, printed one a line.

    'keelback publish --attest' does the same, and sends them along.

    \b
    Examples:
      keelback attest --channel https://prefix.dev/my-channel --attestation-dir attestations/ dist/
      keelback attest dist/ | keelback verify dist/ --policy repo:my-org/my-repo

    Exit status: 0 all are attested, 1 one could not be, 2 wrong usage, 3 no identity to sign with.
    """
    from keelback.provenance.packages import attest  # noqa: PLC0415 - not for --help

    attested = attest(
        files, channel=channel, oidc_token=oidc_token, attestation_dir=attestation_dir, trust_config=trust_config
    )
    _show(attested)


def _show(attested: Sequence[Attested]) -> None:
    for one in attested:
        if one.file is None:
            click.echo(one.bundle)
        else:
            click.echo(
                f"{click.style('attested', fg='green')}  {one.archive.relative_path}  {printable(str(one.file))}"
            )
