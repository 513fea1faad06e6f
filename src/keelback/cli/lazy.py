"""A group of commands of which none is imported before it is run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from keelback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class LazyGroup(click.Group):
    """Imports a command when it is run, and none to list them.

    Args:
        table: by name, the module whose ``command`` it is, and a line of help.
        elsewhere: names that other programs have for what a command does, each with how keelback is told to do it.
        options: what :class:`click.Group` takes.
    """

    def __init__(
        self,
        *args: Any,
        table: Mapping[str, tuple[str, str]],
        elsewhere: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._table = table
        self._elsewhere = elsewhere or {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of that name, imported now."""
        if cmd_name not in self._table:
            return None
        command: click.Command = import_module(self._table[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that *args* begin with.

        Raises:
            UsageError: there is none of that name.
        """
        name = args[0]
        if name not in self._table and not ctx.resilient_parsing and not name.startswith("-"):
            raise self._no_such_command(name, ctx.command_path)
        return super().resolve_command(ctx, args)

    def _no_such_command(self, name: str, path: str) -> UsageError:
        from difflib import get_close_matches  # noqa: PLC0415 - for those only who mistyped something

        meant = self._elsewhere.get(name)
        near = get_close_matches(name, self._table, n=1)
        if meant is not None:
            hint = f"Write 'keelback {meant}'."
        elif near:
            hint = f"Did you mean '{path} {near[0]}'?"
        else:
            hint = f"The commands of '{path}' are {', '.join(self._table)}."
        # What resembles no command, and is no word, may be a secret in the wrong place.
        shown = f" {name!r}" if meant or near or name.isalpha() else ""
        return UsageError(f"No such command{shown}.", hint=hint)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """A line for each."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])
