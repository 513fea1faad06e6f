"""``keelback verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from keelback.cli.attestations import finish, members_of, problem
from keelback.cli.options import json_option, trust_config_option
from keelback.cli.standardinput import StandardInput
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
    help="Who must have signed: repo:OWNER/NAME, owner:NAME or project:GROUP/PROJECT, and workflow:FILE, ref:REF, "
    "trigger:EVENT, issuer:URL, identity:NAME, separated by commas.",
)
@click.option(
    "--identity",
    metavar="NAME",
    help="The name that must be in the certificate; needs --issuer. A workflow's name counts only for its own "
    "repository.",
)
@click.option("--issuer", metavar="URL", help="The identity provider that must have issued the identity.")
@click.option(
    "--channel",
    metavar="URL",
    help="The channel that the packages come from; an attestation for another channel is refused.",
)
@click.option(
    "--attestation",
    "attestations",
    multiple=True,
    metavar="FILE",
    help="A file with attestations, or a folder with FILE.sigstore.json; - is standard input; may be given more than "
    "once.  [default: those beside each package, and on standard input]",
)
@trust_config_option
@click.option("--offline", is_flag=True, help="Do not update Sigstore's keys first.")
@json_option
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
    """Verify that packages are unchanged, and attested by whom you expect.

    FILES are packages (.conda, .tar.bz2), folders with packages in them, or patterns. Attestations are those of
    --attestation, or else those beside each package (FILE.sigstore.json, FILE.v0.sigs, FILE.sigs) and on standard
    input. One valid attestation is enough.

    \b
    Examples:
      keelback verify pkgs/ --policy repo:my-org/my-repo,workflow:release.yml
      keelback verify demo-1.0-h0_0.conda --attestation demo.sigstore.json --policy project:my-group/my-project

    \b
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
    if not as_json:
        _show(found)
    finish([_entry(one) for one in found], failure, ok=all(one.ok for one in found), as_json=as_json)


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
