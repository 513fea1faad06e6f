"""Commands with many options, whose help is in sections; and what click says of a command line, as an error of ours."""

from __future__ import annotations

from typing import Any, Final

import click

from keelback.errors import UsageError

PLAIN: Final = "Options"
"""The heading of the options that are in no section."""


class SectionOption(click.Option):
    """An option that is listed in a section of the help.

    Args:
        section: its heading.
        options: what :class:`click.Option` takes.
    """

    def __init__(self, *args: Any, section: str = PLAIN, **options: Any) -> None:
        super().__init__(*args, **options)
        self.section = section


class SectionCommand(click.Command):
    """A command whose help lists the options section by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """First the options in no section, then the sections in the order in which options name them."""
        sections: dict[str, list[tuple[str, str]]] = {PLAIN: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                sections.setdefault(getattr(parameter, "section", PLAIN), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def usage_error(error: click.ClickException) -> UsageError:
    """What click says of a command line, in the form of keelback's own errors."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"Try '{ctx.command_path} --help'." if ctx is not None else ""
    return UsageError(" ".join(error.format_message().split()), hint=hint)
