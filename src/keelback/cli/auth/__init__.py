"""``keelback auth``: one module a command, each imported only when it is asked for."""

from __future__ import annotations

from typing import Any, Final

import click

from keelback.cli.lazy import LazyGroup
from keelback.errors import UsageError

_COMMANDS: Final = {
    "login": ("keelback.cli.auth.login", "Log in to a server, for keelback, rattler-build, pixi and py-rattler."),
    "logout": ("keelback.cli.auth.logout", "Remove a login from every store."),
    "status": ("keelback.cli.auth.status", "List every stored credential, which one wins, and what is wrong."),
    "check": ("keelback.cli.auth.check", "Show which credential a URL gets, and whether the server accepts it."),
    "token": ("keelback.cli.auth.token", "Print the token for a host, for another program."),
    "helper": ("keelback.cli.auth.helper", "Give other programs the credential that they ask for."),
}


_ELSEWHERE: Final = {
    "list": "auth status",
    "ls": "auth status",
    "show": "auth status",
    "whoami": "auth check HOST",
    "test": "auth check URL",
    "verify": "auth check URL",
    "add": "auth login HOST",
    "set": "auth login HOST",
    "remove": "auth logout HOST",
    "rm": "auth logout HOST",
    "get": "auth token HOST",
    "credential-helper": "auth helper",
}
"""What other programs call it."""


class _DiscreetGroup(LazyGroup):
    """Never repeats, when a command line is wrong, what stands in the place of a secret."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _discreet(error) from None


def _discreet(error: click.UsageError) -> Exception:
    """*error* without anything of what was typed, if it shows that."""
    name = error.ctx.command.name if error.ctx is not None else ""
    see = f"Try 'keelback auth {name} --help'."
    match error:
        case click.MissingParameter() | click.BadOptionUsage():  # these name an option that there is
            return error
        case click.NoSuchOption():
            return error if error.possibilities else UsageError("No such option.", hint=see)
        case click.BadParameter():
            param = error.param
            if param is None:
                return UsageError("An option has an invalid value.", hint=see)
            wanted = f": write {' or '.join(param.type.choices)}" if isinstance(param.type, click.Choice) else ""
            return UsageError(f"the value for {param.get_error_hint(error.ctx)} is not valid{wanted}", hint=see)
    if type(error) is not click.UsageError:
        return error
    way = "; a token is given by --token -" if name == "login" else ""
    return UsageError(f"one argument too many{way}", hint=see)


@click.group("auth", cls=_DiscreetGroup, table=_COMMANDS, elsewhere=_ELSEWHERE)
def command() -> None:
    """Log in to servers; show which credential is used.

    \b
    The stores, in the order in which they are searched:
      the file in RATTLER_AUTH_FILE; the keychain; ~/.rattler/credentials.json;
      netrc; keelback's own file; what 'anaconda login' saved.
    The first three are shared with rattler-build, pixi and py-rattler.

    \b
    Examples:
      keelback auth login prefix.dev
      keelback auth status
      keelback auth check https://repo.prefix.dev/my-channel
    """
