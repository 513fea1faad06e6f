"""``keelback auth logout``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keelback.cli.auth.common import (
    in_a_sentence,
    new_client,
    note,
    stored_for,
    stores_of,
    warn,
)
from keelback.cli.options import insecure_option, store_options
from keelback.errors import ExitStatus, UsageError
from keelback.secret import redact

if TYPE_CHECKING:
    from keelback.credentials.kinds import OAuth


@click.command("logout")
@click.argument("host", required=False)
@click.option("--all", "everything", is_flag=True, help="Remove every login that keelback can remove.")
@click.option("--path", is_flag=True, help="Only the login for the path of this URL, not that of the host.")
@store_options
@insecure_option
def command(
    host: str | None,
    *,
    everything: bool,
    path: bool,
    auth_file: str | None,
    no_keychain: bool,
    insecure_hosts: tuple[str, ...],
) -> int | None:
    """Remove a login from every store: the auth files, the keychain, keelback's own file.

    HOST is a host, a URL, or a key as 'keelback auth status' shows it. A login made in the browser is also ended at the
    server. Credentials in netrc, and those of 'anaconda login', are named and left alone.

    \b
    Examples:
      keelback auth logout prefix.dev
      keelback auth logout '*.example.com'
      keelback auth logout --path https://example.com/my-channel
      keelback auth logout --all

    \b
    Exit status: 0 removed, 1 something could not be removed, 2 wrong usage,
    3 no such login.
    """
    from keelback.credentials.logins import log_out  # noqa: PLC0415 - not for --help

    if everything == (host is not None):
        raise UsageError("logout takes a host, or --all", hint="'keelback auth status' lists what there is.")
    if path and everything:
        raise UsageError("--path is for one URL, and --all for everything", hint="Leave one of them out.")
    stores = stores_of(auth_file, no_keychain=no_keychain, to_write=True)
    with new_client(insecure_hosts) as client:

        def revoke(login: OAuth) -> list[str]:
            from keelback.credentials.oauth.revocation import revoke  # noqa: PLC0415 - few logins have it

            return revoke(client, login)

        out = log_out(stores, None if host is None else stored_for(host), revoke, path=path)
    for store, key in out.removed:
        click.echo(redact(f"Removed {key!r} from {in_a_sentence(store)}."))
    for store, key in out.left:
        note(f"{key!r} of {in_a_sentence(store)} is left: keelback only reads that store.")
    for problem in out.problems:
        warn(problem)
    if not out.removed and not out.left:
        note("There was nothing to remove.")
    return ExitStatus.FAILED if out.failed else None
