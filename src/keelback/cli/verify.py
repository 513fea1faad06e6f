"""``keelback verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keelback.cli.options import TRUST_CONFIG, json_text
from keelback.errors import KeelbackError, UsageError
from keelback.findings import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.provenance.packages import Verdict
    from keelback.provenance.policy import Policy
    from keelback.provenance.verifying import Verified


@click.command("verify")
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@click.option(
    "--policy",
    metavar="POLICY",
    help="Who has to have signed: repo:OWNER/NAME or project:GROUP/PROJECT, and workflow:FILE, ref:REF, issuer:URL, "
    "identity:NAME, with commas between them.",
)
@click.option("--identity", metavar="NAME", help="The name that has to be in the certificate; with --issuer.")
@click.option("--issuer", metavar="URL", help="The identity provider that has to have vouched for it.")
@click.option("--channel", metavar="URL", help="The channel that the packages come from.")
@click.option(
    "--attestation",
    "attestations",
    multiple=True,
    metavar="FILE",
    help="File with attestations; - is standard input; may be repeated.  [default: those beside each package, or "
    "what is piped in]",
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
    --attestation; or beside them, as NAME.sigstore.json, NAME.v0.sigs or NAME.sigs; or piped in. One that holds is
    enough.

    \b
    Examples:
      keelback verify pkgs/ --policy repo:my-org/my-repo,workflow:release.yml
      keelback verify demo-1.0-h0_0.conda --attestation demo.sigstore.json --policy project:my-group/my-project

    Exit status: 0 all are verified, 1 some are not, 2 wrong usage.
    """
    from keelback.provenance.packages import verify  # noqa: PLC0415 - not for --help

    verdicts: Sequence[Verdict] = ()
    failure: KeelbackError | None = None
    try:
        verdicts = verify(
            files,
            policy=_policy(policy, identity, issuer),
            channel=channel,
            attestations=_given(attestations),
            otherwise=_piped,
            trust_config=trust_config,
            offline=offline,
        )
    except KeelbackError as error:
        if not as_json:
            raise
        failure = error
    if as_json:
        click.echo(json_text(_document(verdicts, failure)))
    else:
        _show(verdicts)
    if failure is not None:
        sys.exit(int(failure.exit_status))
    sys.exit(0 if all(verdict.verified for verdict in verdicts) else 1)


def _policy(policy: str | None, identity: str | None, issuer: str | None) -> Policy:
    from keelback.provenance.policy import Policy  # noqa: PLC0415 - not for --help

    if policy is not None and (identity is not None or issuer is not None):
        raise UsageError("--policy is given beside --identity and --issuer", hint="Put them into the policy.")
    return Policy(identity=identity, issuer=issuer) if policy is None else Policy.parse(policy)


def _given(names: tuple[str, ...]) -> list[bytes] | None:
    """The bundles that ``--attestation`` names, if it is given."""
    from keelback.provenance.files import read_bundles  # noqa: PLC0415 - not for --help

    if not names:
        return None
    return [bundle for name in names for bundle in (_read_stdin() if name == "-" else read_bundles(Path(name)))]


_read: list[list[bytes]] = []
"""What was on standard input, which can be read once."""


def _piped() -> list[bytes]:
    """The bundles that are piped in; none at a terminal."""
    return [] if sys.stdin is None or sys.stdin.isatty() else _read_stdin()


def _read_stdin() -> list[bytes]:
    from keelback.provenance.bundle import MAX_DOCUMENT, bundles_in  # noqa: PLC0415 - not for --help

    if not _read:
        document = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_DOCUMENT + 1)
        _read.append(bundles_in(document, "standard input"))
    return _read[0]


def _show(verdicts: Sequence[Verdict]) -> None:
    from keelback.cli.console import show_problem  # noqa: PLC0415 - not for --help
    from keelback.report import Problem  # noqa: PLC0415 - likewise

    for verdict in verdicts:
        if verdict.verified is not None:
            name = printable(verdict.path.name)
            click.echo(f"{click.style('verified', fg='green')}  {name}  {_said(verdict.verified)}")
        elif verdict.error is not None:
            show_problem(Problem.of(verdict.error))


def _said(verified: Verified) -> str:
    """Who built it, from what, and when, in one line."""
    commit = f" from {verified.repository} at {verified.commit}" if verified.repository and verified.commit else ""
    channel = f" for {verified.statement.channel}" if verified.statement.channel else ""
    return printable(f"by {verified.identity}{commit}{channel}, {verified.signed_at:%Y-%m-%d %H:%M} UTC")


def _document(verdicts: Sequence[Verdict], failure: KeelbackError | None) -> dict[str, Any]:
    from keelback.report import JSON_VERSION  # noqa: PLC0415 - not for --help

    return {
        "version": JSON_VERSION,
        "files": [
            {
                "file": str(verdict.path),
                "sha256": verdict.sha256,
                "verified": verdict.verified is not None,
                "attestation": None if verdict.verified is None else _members(verdict.verified),
                "error": _problem(verdict.error),
            }
            for verdict in verdicts
        ],
        "ok": failure is None and all(verdict.verified for verdict in verdicts),
        "error": _problem(failure),
    }


def _members(verified: Verified) -> dict[str, str | None]:
    return {
        "identity": verified.identity,
        "issuer": verified.issuer,
        "repository": verified.repository,
        "workflow": verified.workflow,
        "ref": verified.ref,
        "commit": verified.commit,
        "run": verified.signer.run_uri,
        "signed_at": verified.signed_at.isoformat(),
        "channel": verified.statement.channel,
    }


def _problem(error: KeelbackError | None) -> dict[str, str] | None:
    return None if error is None else {"code": error.code, "message": error.message, "hint": error.hint}
