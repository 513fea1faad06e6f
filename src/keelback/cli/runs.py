"""The run that a command line describes: carried out, shown, and told to the CI system; errors in it likewise."""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from keelback.cli.command import SectionCommand, usage_error
from keelback.cli.jsontext import json_text
from keelback.errors import KeelbackError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from keelback.channels.base import Channel
    from keelback.cli.ci.reporting import CIReporter
    from keelback.cli.console import Console
    from keelback.report import Problem, Report

_GIVEN: Final = "keelback.cli.runs.given"
"""Where a context keeps the command line that it was made of."""


class RunCommand(SectionCommand):
    """A command that ends with the report of a run, or with an error in its place.

    An error goes where the report would have gone: to the CI system, and into the document of ``--json``. That holds
    for what is wrong with the command line, too.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """See :class:`click.Command`."""
        if extra.get("resilient_parsing"):  # a shell asks for completions
            return super().make_context(info_name, args, parent, **extra)
        given = [*args]
        with self._errors_reported(given):
            ctx = super().make_context(info_name, args, parent, **extra)
        ctx.meta[_GIVEN] = given
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        """See :class:`click.Command`."""
        with self._errors_reported(ctx.meta[_GIVEN]):
            return super().invoke(ctx)

    @contextmanager
    def _errors_reported(self, given: Sequence[str]) -> Iterator[None]:
        try:
            yield
        except (KeelbackError, click.UsageError, KeyboardInterrupt) as error:
            options = self._understood(given)
            as_json = bool(options.get("as_json"))
            ci = _reporter_for_error(options, as_json=as_json)
            if ci is None and not as_json:
                raise
            _finish_with(error, dry_run=bool(options.get("dry_run")), as_json=as_json, ci=ci)

    def _understood(self, given: Sequence[str]) -> Mapping[str, Any]:
        """What can be understood of a command line, however wrong the rest of it is."""
        lenient: dict[str, Any] = {"resilient_parsing": True, "ignore_unknown_options": True, "allow_extra_args": True}
        return super().make_context(self.name, [*given], None, **lenient).params


def _reporter_for_error(options: Mapping[str, Any], *, as_json: bool) -> CIReporter | None:
    choice = options.get("ci") or "auto"
    try:
        return _ci_reporter(choice, options.get("ci_outputs"), as_json=as_json)
    except UsageError:  # the file of the outputs may be what the error is about
        return _ci_reporter(choice, None, as_json=as_json)


def carry_out(paths: Sequence[str], to: Sequence[str | Channel], **options: Any) -> None:
    """Publish *paths* with the *options* of the command line, show what became of it, and exit with its status."""
    from keelback.publishing import publish  # noqa: PLC0415 - not for --help

    show_run(partial(publish, paths, to), **options)


def show_run(run: Callable[..., Report], **options: Any) -> None:
    """Call *run* with the *options* of the command line, show what became of it, and exit with its status."""
    from keelback.cli.console import Console  # noqa: PLC0415 - not for --help

    as_json = options.pop("as_json")
    ci = _ci_reporter(options.pop("ci"), options.pop("ci_outputs"), as_json=as_json)
    console = Console(
        as_json=as_json,
        quiet=options.pop("quiet"),
        verbose=options.pop("verbose"),
        progress=not options.pop("no_progress"),
        dry_run=options["dry_run"],
    )
    with console, ci.masking() if ci is not None else nullcontext():
        report = run(keychain=not options.pop("no_keychain"), reporter=console, **options)
    report.notes = console.notes
    _finish(report, console, as_json=as_json, ci=ci)


def _finish_with(error: BaseException, *, dry_run: bool, as_json: bool, ci: CIReporter | None) -> None:
    """End a run that *error* stopped before the first channel's turn; later, the report itself says what did."""
    from keelback.report import Report  # noqa: PLC0415 - not for --help

    _finish(Report(dry_run=dry_run, error=_problem(error)), None, as_json=as_json, ci=ci)


def _problem(error: BaseException) -> Problem:
    from keelback.report import INTERRUPTED, Problem  # noqa: PLC0415 - not for --help

    if isinstance(error, click.UsageError):
        error = usage_error(error)
    return Problem.of(error) if isinstance(error, KeelbackError) else INTERRUPTED


def _finish(report: Report, console: Console | None, *, as_json: bool, ci: CIReporter | None) -> None:
    """Show *report*, tell the CI system of it, and exit with its status."""
    from keelback.cli.console import show_problem  # noqa: PLC0415 - not for --help

    plain = ci is None or not ci.shows_errors
    if as_json:
        click.echo(json_text(report.to_json()))
    elif console is not None:
        console.summary(report, errors=plain)
    elif report.error is not None and plain:
        show_problem(report.error)
    if ci is not None:
        ci.report(report)
    sys.exit(int(report.exit_status))


def _ci_reporter(choice: str, outputs_file: str | None, *, as_json: bool) -> CIReporter | None:
    from keelback.cli.ci.reporting import ci_reporter  # noqa: PLC0415 - not for --help

    return ci_reporter(choice, outputs_file, as_json=as_json)
