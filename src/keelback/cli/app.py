"""The root command, and what every command ends with: an exit status, and an error a person can use."""

from __future__ import annotations

import io
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Final, NoReturn

import click

from keelback._version import __version__
from keelback.cli.command import usage_error
from keelback.cli.lazy import LazyGroup
from keelback.errors import ExitStatus, KeelbackError, presentable

if TYPE_CHECKING:
    from types import FrameType

_COMMANDS: Final = {
    "publish": ("keelback.cli.publish", "Publish packages to one or more channels, named by URL."),
    "upload": ("keelback.cli.upload", "Publish packages, with the options of rattler-build upload."),
    "fetch": ("keelback.cli.fetch", "Download packages from a channel, with dependencies if wanted."),
    "copy": ("keelback.cli.copy", "Copy packages from one channel to another."),
    "index": ("keelback.cli.index", "Update the index of a channel; remove or patch packages."),
    "attest": ("keelback.cli.attest", "Sign attestations of packages, in a CI job."),
    "verify": ("keelback.cli.verify", "Verify that packages are attested by whom you expect."),
    "auth": ("keelback.cli.auth", "Log in to servers; show which credential is used."),
    "check": ("keelback.cli.check", "Check packages without sending anything."),
    "completion": ("keelback.cli.completion", "Print the completion script for a shell."),
}


_ELSEWHERE: Final = {
    "login": "auth login HOST",
    "logout": "auth logout HOST",
    "whoami": "auth check HOST",
    "status": "auth status",
    "token": "auth token HOST",
    "promote": "copy FROM TO SPECS...",
    "move": "copy FROM TO SPECS...",
    "mirror": "copy FROM TO",
    "remove": "index CHANNEL --remove FILE",
    "delete": "index CHANNEL --remove FILE",
    "yank": "index CHANNEL --remove FILE",
    "push": "publish --to CHANNEL PATHS...",
    "put": "publish --to CHANNEL PATHS...",
    "download": "fetch CHANNEL SPECS...",
    "get": "fetch CHANNEL SPECS...",
    "pull": "fetch CHANNEL SPECS...",
}
"""What other programs call it (anaconda-client, rattler, docker, twine)."""

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=LazyGroup, table=_COMMANDS, elsewhere=_ELSEWHERE, context_settings=_SETTINGS)
@click.version_option(__version__, "-V", "--version", message="keelback %(version)s")
def keelback() -> None:
    """Publish, fetch, copy and index conda packages, with the right credentials, on any machine.

    \b
    Examples:
      keelback publish --to ./my-channel dist/
      keelback publish --to https://prefix.dev/my-channel dist/*.conda
      keelback publish --to https://anaconda.org/my-org/dev output/
      keelback check dist/
      keelback auth login prefix.dev
      keelback fetch https://prefix.dev/my-channel 'numpy >=2' -o pkgs/
      keelback copy https://prefix.dev/dev s3://my-bucket/main 'my-tool 2.1.*'
    """


def run() -> NoReturn:
    """Run the command line and exit; whatever a user can cause ends as one line, a hint and a status."""
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter must not end a run
    try:
        # on Windows, click would put variables into arguments, among them those that hold an identity
        status = keelback(prog_name="keelback", standalone_mode=False, windows_expand_args=False)
    except KeelbackError as error:
        _show(error)
        status = error.exit_status
    except click.ClickException as error:
        _show_usage(error)
        status = ExitStatus.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped before anything was done", err=True)
        status = ExitStatus.INTERRUPTED
    except BrokenPipeError:  # the reader of our output is gone; so is the reason to go on
        sys.stderr.close()
        status = ExitStatus.FAILED
    except Exception:  # noqa: BLE001 - a mistake of keelback's own: shown like this, it can be reported without a secret
        click.echo(presentable(traceback.format_exc()), err=True)
        click.echo("error: this is a bug in keelback; please report it with the lines above", err=True)
        status = ExitStatus.FAILED
    sys.exit(int(status or 0))


def _show(error: KeelbackError) -> None:
    from keelback.cli.console import show_problem  # noqa: PLC0415 - only where there is something to show
    from keelback.report import Problem  # noqa: PLC0415 - likewise

    show_problem(Problem.of(error))


def _show_usage(error: click.ClickException) -> None:
    """What click says of a command line, as keelback's own errors are shown; the help itself stays as it is."""
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # click 8.2 and later
        error.show()
        return
    _show(usage_error(error))


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    """A CI system that cancels a job sends SIGTERM: the same as Ctrl-C."""
    raise KeyboardInterrupt
