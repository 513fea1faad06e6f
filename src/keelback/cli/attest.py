"""``keelback attest``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from keelback.cli.attestations import finish, members_of, problem
from keelback.cli.collecting import secret_options
from keelback.cli.options import json_option, trust_config_option
from keelback.errors import KeelbackError
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
    help="Write to this folder, as FILE.sigstore.json, instead of to standard output.",
)
@secret_options("oidc-token", what="ID token to sign with, made for 'sigstore'")
@trust_config_option
@json_option
def command(
    files: tuple[str, ...],
    channel: str | None,
    attestation_dir: str | None,
    oidc_token: Secret | None,
    trust_config: str | None,
    *,
    as_json: bool,
) -> None:
    """Sign attestations (CEP 27) of packages, with the identity of this CI job.

    FILES are packages (.conda, .tar.bz2), folders with packages in them, or patterns. Attestations are Sigstore
    bundles, printed one per line. 'keelback publish --attest' signs them too, and sends them with the packages.

    \b
    Examples:
      keelback attest --channel https://prefix.dev/my-channel --attestation-dir attestations/ dist/
      keelback attest dist/ | keelback verify dist/ --policy repo:my-org/my-repo

    \b
    Exit status: 0 all are attested, 1 some could not be, 2 wrong usage,
    3 no identity to sign with.
    """
    from keelback.provenance.packages import attest  # noqa: PLC0415 - not for --help

    attested: Sequence[Attested] = ()
    failure: KeelbackError | None = None
    try:
        attested = attest(
            files,
            channel=channel,
            oidc_token=oidc_token,
            attestation_dir=attestation_dir,
            trust_config=trust_config,
            on_attested=None if as_json else _show,
        )
    except KeelbackError as error:
        if not as_json:
            raise
        failure = error
    finish([_entry(one) for one in attested], failure, ok=all(one.ok for one in attested), as_json=as_json)


def _show(one: Attested) -> None:
    from keelback.cli.console import show_problem  # noqa: PLC0415 - not for --help
    from keelback.report import Problem  # noqa: PLC0415 - likewise

    if one.file is not None:
        click.echo(f"{click.style('attested', fg='green')}  {one.archive.relative_path}  {printable(str(one.file))}")
    elif one.bundle is not None:  # one that could not be kept, too: it is in a public log for ever
        click.echo(one.bundle)
    if one.error is not None:
        show_problem(Problem.of(one.error))


def _entry(one: Attested) -> dict[str, Any]:
    return {
        "file": str(one.archive.path),
        "sha256": None if one.verified is None else one.verified.statement.sha256,
        "attested": one.bundle is not None,
        "attestation": members_of(one.verified),
        "bundle": None if one.bundle is None else json.loads(one.bundle),
        "kept": None if one.file is None else str(one.file),
        "error": problem(one.error),
    }
