"""``keelback auth``: one module a command, each imported only when it is asked for."""

from __future__ import annotations

from typing import Final

import click

from keelback.cli.lazy import LazyGroup

_COMMANDS: Final = {
    "login": ("keelback.cli.auth.login", "Log in to a server, for every conda tool of the rattler family."),
    "logout": ("keelback.cli.auth.logout", "Remove logins from every store."),
    "status": ("keelback.cli.auth.status", "List every credential there is, what wins, and what is wrong."),
    "check": ("keelback.cli.auth.check", "Say which credential a URL gets, and whether the server takes it."),
    "token": ("keelback.cli.auth.token", "Print the token for a host, to be piped into another program."),
    "helper": ("keelback.cli.auth.helper", "Answer other programs that ask for a credential."),
}


@click.group("auth", cls=LazyGroup, table=_COMMANDS)
def command() -> None:
    """Log in to servers, and say which credential is used for what.

    \b
    A credential is looked up in
      the file in RATTLER_AUTH_FILE; the keychain; ~/.rattler/credentials.json;
      netrc; keelback's own file; what 'anaconda login' saved.
    The first three are those of rattler-build, pixi and py-rattler.

    \b
    Examples:
      keelback auth login prefix.dev
      keelback auth status
      keelback auth check https://repo.prefix.dev/my-channel
    """
