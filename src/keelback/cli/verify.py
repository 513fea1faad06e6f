"""``keelback verify``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from keelback.cli.attestations import StandardInput, document_of, members_of, problem
from keelback.cli.options import TRUST_CONFIG, json_text
from keelback.errors import KeelbackError, UsageError
from keelback.findings import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.provenance.packages import Verification
    from keelback.provenance.policy import Policy
    from keelback.provenance.verifying import Verified


@click.command("verify")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@click.option(
    "--policy",
    metavar="POLICY",
    help="Who has to have signed: repo:OWNER/NAME, owner:NAME or project:GROUP/PROJECT, and workflow:FILE, ref:REF, "
    "trigger:EVENT, issuer:URL, identity:NAME, with commas between them.",
)
@click.option(
    "--identity",
    metavar="NAME",
    help="The name that has to be in the certificate; with --issuer. That of a workflow holds for its own repository.",
)
@click.option("--issuer", metavar="URL", help="The identity provider that has to have vouched for it.")
@click.option("--channel", metavar="URL", help="The channel that the packages come from.")
@click.option(
    "--attestation",
    "attestations",
    multiple=True,
    metavar="FILE",
    help="File with attestations, or folder with FILENAME.sigstore.json in it; - is standard input; may be given more "
    "than once.  [default: those beside each package, and what is piped in]",
)
@TRUST_CONFIG
@click.option("--offline", is_flag=True, help="Do not bring Sigstore's keys up to date first.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document to standard output.")
def command(  # noqa: PLR0913 - one parameter an option
    files: tuple[str, ...],
    policy: str | None,
    identity: str | None,
    issuer: str | None,
    channel: str | None,
    attestations: tuple[str, ...],
    trust_config: str | None,
    *,
    offline: bool,
    as_json: bool,
) -> None:
    """See whether packages are attested by whom you expect: nobody else, and not a byte changed since.

    FILES are packages (.conda, .tar.bz2), folders with packages in them, or patterns. Their attestations are in
    --attestation; or beside them, as NAME.sigstore.json, NAME.v0.sigs or NAME.sigs, and piped in. One that holds is
    enough.

    \b
    Examples:
      keelback verify pkgs/ --policy repo:my-org/my-repo,workflow:release.yml
      keelback verify demo-1.0-h0_0.conda --attestation demo.sigstore.json --policy project:my-group/my-project

    Exit status: 0 all are verified, 1 some are not, 2 wrong usage.
    """
    from keelback.provenance.packages import verify  # noqa: PLC0415 - not for --help

    found: Sequence[Verification] = ()
    failure: KeelbackError | None = None
    standard_input = StandardInput()
    try:
        found = verify(
            files,
            policy=_policy(policy, identity, issuer),
            channel=channel,
            attestations=_given(attestations, standard_input),
            otherwise=standard_input.piped,
            trust_config=trust_config,
            offline=offline,
        )
    except KeelbackError as error:
        if not as_json:
            raise
        failure = error
    ok = all(one.ok for one in found)
    if as_json:
        click.echo(json_text(document_of([_entry(one) for one in found], failure, ok=ok)))
    else:
        _show(found)
    if failure is not None:
        sys.exit(int(failure.exit_status))
    sys.exit(0 if ok else 1)


def _policy(policy: str | None, identity: str | None, issuer: str | None) -> Policy:
    from keelback.provenance.policy import GITHUB, Policy  # noqa: PLC0415 - not for --help

    if policy is not None and (identity is not None or issuer is not None):
        raise UsageError("--policy is given beside --identity and --issuer", hint="Put them into the policy.")
    if policy is not None:
        return Policy.parse(policy)
    if identity is None and issuer is None:
        raise UsageError(
            "nobody is named whose attestation is wanted",
            hint="Say whom you expect: --policy repo:OWNER/NAME, or --identity with --issuer.",
        )
    if issuer is None:
        raise UsageError("--identity needs --issuer", hint=f"Add who vouches for it: --issuer {GITHUB}, for example.")
    if identity is None:
        raise UsageError("--issuer needs --identity", hint="Add for whom it has to vouch, or give a --policy instead.")
    return Policy(identity=identity, issuer=issuer)


def _given(names: tuple[str, ...], standard_input: StandardInput) -> list[str | bytes] | None:
    """What ``--attestation`` names, if it is given: paths, and the bundles on standard input."""
    given: list[str | bytes] = [name for name in names if name != "-"]
    if "-" in names:
        given += standard_input.named()
    return given if names else None


def _show(found: Sequence[Verification]) -> None:
    from keelback.cli.console import show_problem  # noqa: PLC0415 - not for --help
    from keelback.report import Problem  # noqa: PLC0415 - likewise

    for one in found:
        if one.verified is not None:
            click.echo(f"{click.style('verified', fg='green')}  {printable(one.path.name)}  {_said(one.verified)}")
        elif one.error is not None:
            show_problem(Problem.of(one.error))


def _said(verified: Verified) -> str:
    """Who built it, from what, and when, in one line."""
    commit = f" from {verified.repository} at {verified.commit}" if verified.repository and verified.commit else ""
    channel = f" for {verified.statement.channel}" if verified.statement.channel else ""
    keys = f", by the keys in {verified.trust}" if verified.trust else ""
    return printable(f"by {verified.identity}{commit}{channel}, {verified.signed_at:%Y-%m-%d %H:%M} UTC{keys}")


def _entry(one: Verification) -> dict[str, Any]:
    return {
        "file": str(one.path),
        "sha256": one.sha256,
        "verified": one.ok,
        "attestation": members_of(one.verified),
        "error": problem(one.error),
    }
