"""Commands with many options, whose help is in sections; and what click says of a command line, as an error of ours."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import click

from keelback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


class Section(StrEnum):
    """The headings under which options are listed, in this order."""

    PLAIN = "Options"
    TRANSFER = "What is transferred"
    CREDENTIALS = "Credentials"
    BUCKETS = "Buckets"
    TRUSTED_PUBLISHING = "Trusted publishing"
    ATTESTATIONS = "Attestations"
    CONNECTION = "Connection"
    OUTPUT = "Output"

    def option(self, *names: str, **settings: Any) -> Callable[[F], F]:
        """As :func:`click.option`, listed under this heading, with its default and its variable."""
        shown: dict[str, Any] = {"show_default": "default" in settings, "show_envvar": "envvar" in settings}
        return click.option(*names, cls=SectionOption, section=self, **shown, **settings)


class SectionOption(click.Option):
    """An option that is listed in a section of the help.

    Args:
        section: its heading.
        options: what :class:`click.Option` takes.
    """

    def __init__(self, *args: Any, section: Section = Section.PLAIN, **options: Any) -> None:
        super().__init__(*args, **options)
        self.section = section


class SectionCommand(click.Command):
    """A command whose help lists the options section by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The sections that have options."""
        sections: dict[Section, list[tuple[str, str]]] = {section: [] for section in Section}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                sections[getattr(parameter, "section", Section.PLAIN)].append(record)
        for section, records in sections.items():
            if records:
                with formatter.section(section):
                    formatter.write_dl(records)


def together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """*options* as one decorator; the help lists them in this order."""

    def decorate(command: F) -> F:
        for each in reversed(options):
            command = each(command)
        return command

    return decorate


def usage_error(error: click.ClickException) -> UsageError:
    """What click says of a command line, in the form of keelback's own errors."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"Try '{ctx.command_path} --help'." if ctx is not None else ""
    return UsageError(" ".join(error.format_message().split()), hint=hint)
