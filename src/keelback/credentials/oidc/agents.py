"""Runs the programs by which CI systems give identities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.credentials.commands import CommandError, CommandNotFound, run
from keelback.errors import IdentityError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

SECONDS: Final = 30.0
"""How long an agent may take."""


def ask_agent(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    provider: str,
    if_missing: str,
    seconds: float,
    keep: Collection[str] = (),
) -> Secret:
    """The identity that *command* prints.

    Args:
        command: the program, by its name, and its arguments.
        environ: its variables.
        provider: whose program it is, as a person would say it.
        if_missing: what to do where the program is not installed.
        seconds: whatever is left of it then is killed.
        keep: see :func:`keelback.childenv.for_child`.

    Raises:
        IdentityError: it is not there, failed, did not end in time, or printed nothing.
        Interrupted: the user has stopped the run.
    """
    name = command[0]
    again = f"Run {' '.join(command[:3])} in a step of this job to see what is wrong."
    try:
        output = run(command, None, seconds, environ, keep=keep)
    except CommandNotFound as error:
        raise IdentityError(f"{provider} gave no identity: {name} {error}.", hint=if_missing) from None
    except CommandError as error:
        raise IdentityError(f"{provider} gave no identity: {name} {error}.", hint=again) from error
    if output.status:
        said = output.complaint() or "it does not say why"
        raise IdentityError(
            f"{provider} gave no identity: {name} failed with exit status {output.status}: {said}.", hint=again
        )
    token = output.stdout.decode(errors="replace").strip()
    if not token:
        raise IdentityError(f"{provider} gave no identity: {name} printed nothing.", hint=again)
    return Secret(token, provider)
