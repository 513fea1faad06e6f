"""The root command, and what every command ends with: an exit status, and an error a person can use."""

from __future__ import annotations

import io
import signal
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

import click

from keelback._version import __version__
from keelback.errors import ExitStatus, KeelbackError
from keelback.secret import redact

if TYPE_CHECKING:
    from types import FrameType

_COMMANDS: Final = {
    "publish": ("keelback.cli.publish", "Put packages into a channel, or several; the channel is named by its URL."),
    "upload": ("keelback.cli.upload", "Put packages into a channel; with the options and variables of rattler-build."),
    "check": ("keelback.cli.check", "Say what is wrong with packages, without sending anything."),
    "completion": ("keelback.cli.completion", "Print the completion script of a shell."),
}


class _Commands(click.Group):
    """Imports a command when it is run, and none to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="keelback %(version)s")
def keelback() -> None:
    """Conda packages into channels, with the right credentials, from any machine.

    \b
    Examples:
      keelback publish --to ./my-channel dist/
      keelback publish --to https://prefix.dev/my-channel dist/*.conda
      keelback publish --to https://anaconda.org/my-org/dev output/
      keelback check dist/
    """


def run() -> NoReturn:
    """Run the command line and exit; whatever a user can cause ends as one line, a hint and a status."""
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter must not end a run
    try:
        status = keelback(prog_name="keelback", standalone_mode=False)
    except KeelbackError as error:
        from keelback.cli.console import show_problem  # noqa: PLC0415 - only where there is something to show
        from keelback.report import Problem  # noqa: PLC0415 - likewise

        show_problem(Problem.of(error))
        status = error.exit_status
    except click.ClickException as error:
        error.show()
        status = ExitStatus.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped before anything was sent", err=True)
        status = ExitStatus.INTERRUPTED
    except BrokenPipeError:  # the reader of our output is gone; so is the reason to go on
        sys.stderr.close()
        status = ExitStatus.FAILED
    except Exception:  # noqa: BLE001 - a mistake of keelback's own: shown like this, it can be reported without a secret
        click.echo(redact(traceback.format_exc()), err=True)
        click.echo("error: this is a bug in keelback; please report it with the lines above", err=True)
        status = ExitStatus.FAILED
    sys.exit(int(status or 0))


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    """A CI system that cancels a job sends SIGTERM: the same as Ctrl-C."""
    raise KeyboardInterrupt
