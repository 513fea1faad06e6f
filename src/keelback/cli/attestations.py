"""How the commands about attestations end, and what ``--json`` says of each package."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from keelback.cli.jsontext import json_text
from keelback.errors import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.errors import KeelbackError
    from keelback.provenance.verifying import Verified


def finish(files: Sequence[dict[str, Any]], failure: KeelbackError | None, *, ok: bool, as_json: bool) -> NoReturn:
    """End a command: with the document of ``--json`` if it is wanted, and with the exit status.

    Args:
        files: what the document says of each.
        failure: what stopped the command before it came to the files.
        ok: whether all went well with each.
        as_json: whether the document is wanted.
    """
    from keelback.report import JSON_VERSION  # noqa: PLC0415 - not for --help

    ok = ok and failure is None
    if as_json:
        click.echo(json_text({"version": JSON_VERSION, "files": files, "ok": ok, "error": problem(failure)}))
    status = ExitStatus.FAILED if failure is None else failure.exit_status
    sys.exit(int(ExitStatus.OK if ok else status))


def members_of(verified: Verified | None) -> dict[str, str | None] | None:
    """What an attestation says, and who says it."""
    if verified is None:
        return None
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
        "trust": verified.trust,
    }


def problem(error: KeelbackError | None) -> dict[str, str] | None:
    """*error* as ``--json`` has it."""
    return None if error is None else {"code": error.code, "message": error.message, "hint": error.hint}
