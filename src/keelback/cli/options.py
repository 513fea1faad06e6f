"""Options that several commands share, and the run that they describe."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from keelback.cli.ci.detection import CHOICES
from keelback.cli.secrets import read_secret
from keelback.errors import KeelbackError, UsageError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.channels.base import Channel
    from keelback.cli.ci.reporting import CIReporter
    from keelback.report import Report

F = TypeVar("F", bound="Callable[..., Any]")


def run_options(command: F) -> F:
    """What every command that sends archives understands."""
    sending = [
        _DRY_RUN,
        _SKIP_EXISTING,
        _jobs(8, "Uploads at once."),
        click.option("--verify", is_flag=True, help="Wait until the channel's own index serves every file."),
        click.option(
            "--verify-timeout",
            type=click.FloatRange(0),
            default=300,
            show_default=True,
            metavar="SECONDS",
            help="How long --verify waits.",
        ),
        click.option("--subdir", metavar="SUBDIR", help="Subdir for packages that do not declare one."),
    ]
    return _with([*sending, *_ATTESTING, *_TRUSTED, *_CONNECTION, *_OUTPUT], command)


def fetch_options(command: F) -> F:
    """What every command that fetches archives understands."""
    return _with(
        [_DRY_RUN, _SKIP_EXISTING, _jobs(50, "Downloads at once."), *_TRUSTED, *_CONNECTION, *_OUTPUT], command
    )


def trusted_options(command: F) -> F:
    """Which servers get the identity of the CI system."""
    return _with(_TRUSTED, command)


def _with(options: Sequence[Callable[[Any], Any]], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def _jobs(default: int, text: str) -> Callable[[F], F]:
    return click.option("-j", "--jobs", type=click.IntRange(1, 64), default=default, show_default=True, help=text)


def secret_options(name: str, *short: str, what: str, variable: str = "") -> Callable[[F], F]:
    """``--NAME VALUE`` and ``--NAME-file FILE``, which become one argument: the secret and where it came from."""
    parameter = name.replace("-", "_")

    def decorate(command: F) -> F:
        @click.option(
            f"--{name}-file",
            f"{parameter}_file",
            metavar="FILE",
            help=f"Read the {what} from a file; - is standard input.",
        )
        @click.option(
            *short,
            f"--{name}",
            parameter,
            metavar="SECRET",
            help=f"The {what}; - is standard input. Safer by file or variable."
            + (variable and f"  [env var: {variable}]"),
        )
        @wraps(command)
        def with_secret(*args: Any, **kwargs: Any) -> Any:
            value, file = kwargs.pop(parameter), kwargs.pop(f"{parameter}_file")
            if value is not None and file is not None:
                raise UsageError(f"--{name} and --{name}-file are both given", hint="Give one of them.")
            if file is not None:
                kwargs[parameter] = read_secret(file, f"--{name}-file", prompt=what)
            elif value == "-":
                kwargs[parameter] = read_secret(value, f"--{name}", prompt=what)
            else:
                kwargs[parameter] = None if value is None else _from_command_line(value, name)
            return command(*args, **kwargs)

        return cast("F", with_secret)

    return decorate


def _from_command_line(value: str, name: str) -> Secret:
    secret = Secret(value, f"--{name}")
    click.echo(
        f"{click.style('warning:', fg='yellow')} the secret of --{name} is now in the shell's history and the process "
        f"list; '--{name} -' reads it from standard input",
        err=True,
    )
    return secret


_TRUSTED: Final = (
    click.option(
        "--trusted-publishing",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="Exchange the identity that the CI system offers for a short-lived token, where no other is given.",
    ),
    click.option(
        "--trusted-publishing-host",
        "trusted_publishing_hosts",
        envvar="KEELBACK_TRUSTED_PUBLISHING_HOSTS",
        show_envvar=True,
        multiple=True,
        metavar="HOST",
        help="A server of your own that gets this identity, besides prefix.dev.",
    ),
    secret_options("oidc-token", what="ID token to exchange"),
)
"""Which servers get the identity of the CI system."""

TRUST_CONFIG: Final = click.option(
    "--trust-config",
    envvar="KEELBACK_TRUST_CONFIG",
    show_envvar=True,
    metavar="FILE",
    help="A Sigstore deployment of your own (ClientTrustConfig), instead of the public one.",
)

_ATTESTING: Final = (
    click.option(
        "--attest",
        is_flag=True,
        help="Attach a statement of where each package comes from, signed with the CI system's identity.",
    ),
    click.option(
        "--attestation",
        "attestations",
        multiple=True,
        metavar="FILE",
        help="Attach an attestation that was made elsewhere, or those in a folder; may be given more than once.",
    ),
    click.option("--attestation-dir", metavar="DIR", help="Keep the attestations there, too, as FILE.sigstore.json."),
    click.option(
        "--store-github-attestation", is_flag=True, help="Store the attestations with GitHub, too; needs GITHUB_TOKEN."
    ),
    TRUST_CONFIG,
)
"""What goes with the packages."""

_DRY_RUN: Final = click.option("-n", "--dry-run", is_flag=True, help="Show what would be transferred.")

_SKIP_EXISTING: Final = click.option(
    "-s", "--skip-existing", is_flag=True, help="Leave files that exist with other bytes, and call that a success."
)

_CONNECTION: Final = (
    click.option("--auth-file", metavar="FILE", help="Look for credentials in this file and nowhere else."),
    click.option("--no-keychain", is_flag=True, help="Do not ask the system's keychain for credentials."),
    click.option(
        "--allow-insecure-host",
        "insecure_hosts",
        multiple=True,
        metavar="HOST",
        help="Credentials may go there over plain HTTP, and its certificate is not verified.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=120,
        show_default=True,
        metavar="SECONDS",
        help="Fail an attempt after this long without progress.",
    ),
    click.option(
        "--retries", type=click.IntRange(0, 20), default=4, show_default=True, help="Attempts after the first."
    ),
    click.option(
        "--retry-delay",
        type=click.FloatRange(0),
        default=1,
        show_default=True,
        metavar="SECONDS",
        help="Longest wait before the first retry; doubles each time.",
    ),
)
"""How servers are spoken to."""

_OUTPUT: Final = (
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document to standard output."),
    click.option("--no-progress", is_flag=True, help="Plain lines, even on a terminal."),
    click.option("-q", "--quiet", is_flag=True, help="Only the summary, and what went wrong."),
    click.option("-v", "--verbose", count=True, help="Say which credential is used, and what is tried again."),
    click.option(
        "--ci",
        type=click.Choice(CHOICES),
        envvar="KEELBACK_CI",
        show_envvar=True,
        default="auto",
        show_default=True,
        help="The CI system that gets annotations, a summary and outputs.",
    ),
    click.option(
        "--ci-outputs", metavar="FILE", help="Write what became of the run to a file, as KEELBACK_NAME=value lines."
    ),
)
"""What is shown of a run."""


def force_option(*names: str, envvar: str | None = None) -> Callable[[F], F]:
    """``--force``."""
    text = "Replace files that exist with other bytes."
    return click.option(*names, "--force", is_flag=True, envvar=envvar, show_envvar=envvar is not None, help=text)


def carry_out(paths: Sequence[str], to: Sequence[str | Channel], **options: Any) -> None:
    """Publish *paths* with the *options* of the command line, show what became of it, and exit with its status."""
    from keelback.publishing import publish  # noqa: PLC0415 - not for --help

    verify, verify_timeout = options.pop("verify"), options.pop("verify_timeout")
    show_run(partial(publish, paths, to, verify=verify_timeout if verify else None), **options)


def show_run(run: Callable[..., Report], **options: Any) -> None:
    """Call *run* with the *options* of the command line, show what became of it, and exit with its status."""
    from keelback.cli.console import Console  # noqa: PLC0415 - not for --help
    from keelback.report import INTERRUPTED, Problem, Report  # noqa: PLC0415 - not for --help
    from keelback.transport import Retry  # noqa: PLC0415 - not for --help

    as_json, dry_run = options.pop("as_json"), options["dry_run"]
    ci = _ci_reporter(options.pop("ci"), options.pop("ci_outputs"), as_json=as_json)
    retry = Retry(attempts=options.pop("retries") + 1, base=options.pop("retry_delay"))
    console = Console(
        as_json=as_json,
        quiet=options.pop("quiet"),
        verbose=options.pop("verbose"),
        progress=not options.pop("no_progress"),
        dry_run=dry_run,
    )
    try:
        with console, ci.masking() if ci is not None else nullcontext():
            report = run(retry=retry, keychain=not options.pop("no_keychain"), reporter=console, **options)
    except KeelbackError as error:
        if not as_json and ci is None:
            raise
        report = Report(dry_run=dry_run, error=Problem.of(error))
    except KeyboardInterrupt:  # before the first channel's turn; later, the report itself says it
        if not as_json and ci is None:
            raise
        report = Report(dry_run=dry_run, error=INTERRUPTED)
    finish(report, console if not as_json else None, ci)


def _ci_reporter(choice: str, outputs_file: str | None, *, as_json: bool) -> CIReporter | None:
    from keelback.cli.ci.reporting import ci_reporter  # noqa: PLC0415 - not for --help

    return ci_reporter(choice, outputs_file, as_json=as_json)


def finish(report: Report, console: Any | None, ci: CIReporter | None = None) -> None:
    """Print *report*, as JSON where there is no *console*, tell the CI system of it, and exit with its status."""
    if console is None:
        click.echo(json_text(report.to_json()))
    else:
        console.summary(report)
    if ci is not None:
        ci.report(report)
    sys.exit(int(report.exit_status))


def json_text(document: object) -> str:
    r"""*document* as JSON that no CI system takes for one of its commands, ``##[...]`` or ``##vso[...]``.

    Both begin with two number signs, which stand in strings only, where one of them can be written as ``\u0023``.
    """
    return json.dumps(document, indent=2).replace("##", "#\\u0023")
