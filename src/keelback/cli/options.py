"""Options that several commands share."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from keelback.cli.ci.detection import CHOICES
from keelback.cli.command import SectionOption
from keelback.cli.secrets import read_secret
from keelback.errors import UsageError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

F = TypeVar("F", bound="Callable[..., Any]")


_TRANSFER: Final = "What is transferred"
_CREDENTIALS: Final = "Credentials"
_ATTESTATIONS: Final = "Attestations"
_TRUSTING: Final = "Trusted publishing"
_CONNECTING: Final = "Connection"
_BUCKETS: Final = "Buckets"
_SHOWING: Final = "Output"
"""The headings under which options are listed."""

_option: Final = partial(click.option, cls=SectionOption)


def files_argument(command: F) -> F:
    """The packages, for commands that are called with those of a shell."""
    return click.argument("paths", nargs=-1, required=True, metavar="FILES...")(command)


def run_options(command: F) -> F:
    """What every command that sends archives understands."""
    sending = [
        _DRY_RUN,
        _SKIP_EXISTING,
        *_VERIFYING,
        _option("--subdir", section=_TRANSFER, metavar="SUBDIR", help="Subdir for packages that do not declare one."),
    ]
    how = [_jobs(8, "Uploads at once."), *_CONNECTION, *_OUTPUT]
    return _with([*sending, *_STORES, *_TRUSTED, *_ATTESTING, *how], command)


def fetch_options(command: F) -> F:
    """What every command that fetches archives understands."""
    transfer = [_DRY_RUN, _SKIP_EXISTING, *_STORES, *_TRUSTED, _jobs(50, "Downloads at once.")]
    return _with([*transfer, *_CONNECTION, bucket_options, *_OUTPUT], command)


def copy_options(command: F) -> F:
    """What every command that copies archives understands."""
    transfer = [_DRY_RUN, _SKIP_EXISTING, *_VERIFYING, *_STORES, *_TRUSTED, _jobs(8, "Copies at once.")]
    return _with([*transfer, *_CONNECTION, bucket_options, *_OUTPUT], command)


def index_options(command: F) -> F:
    """What every command that writes nothing but an index understands."""
    return _with([*_STORES, *_CONNECTION, bucket_options], command)


def trusted_options(command: F) -> F:
    """Which servers get the identity of the CI system."""
    return _with(_TRUSTED, command)


def _with(options: Sequence[Callable[[Any], Any]], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def _jobs(default: int, text: str) -> Callable[[F], F]:
    choices: dict[str, Any] = {"type": click.IntRange(1, 64), "default": default, "show_default": True}
    return _option("-j", "--jobs", section=_CONNECTING, help=text, **choices)


def secret_options(
    name: str, *short: str, what: str, variable: str = "", section: str = _CREDENTIALS
) -> Callable[[F], F]:
    """``--NAME VALUE`` and ``--NAME-file FILE``, which become one argument: the secret and where it came from."""
    parameter = name.replace("-", "_")

    def decorate(command: F) -> F:
        @_option(
            f"--{name}-file",
            f"{parameter}_file",
            section=section,
            metavar="FILE",
            help=f"Read the {what} from a file; - is standard input.",
        )
        @_option(
            *short,
            f"--{name}",
            parameter,
            section=section,
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


def bucket_options(command: F) -> F:
    """Where buckets are, which becomes one argument, ``buckets``, together with the keys that a command takes."""

    @_option(
        "--endpoint-url",
        section=_BUCKETS,
        metavar="URL",
        help="The service, where it is not that of the cloud itself: MinIO, Ceph, R2.  [env var: S3_ENDPOINT_URL]",
    )
    @_option("--region", section=_BUCKETS, metavar="REGION", help="Where an S3 bucket is.  [env var: S3_REGION]")
    @_option(
        "--addressing-style",
        type=click.Choice(["virtual-host", "path"]),
        section=_BUCKETS,
        help="Whether an S3 bucket is in the host, or in the path.  [env var: S3_ADDRESSING_STYLE]",
    )
    @wraps(command)
    def with_buckets(*args: Any, **kwargs: Any) -> Any:
        from keelback.channels.session import BucketOptions  # noqa: PLC0415 - not for --help

        names = [field.name for field in fields(BucketOptions) if field.name in kwargs]
        return command(*args, buckets=BucketOptions(**{name: kwargs.pop(name) for name in names}), **kwargs)

    return cast("F", with_buckets)


def _from_command_line(value: str, name: str) -> Secret:
    secret = Secret(value, f"--{name}")
    click.echo(
        f"{click.style('warning:', fg='yellow')} the secret of --{name} is now in the shell's history and the process "
        f"list; '--{name} -' reads it from standard input",
        err=True,
    )
    return secret


_TRUSTED: Final = (
    _option(
        "--trusted-publishing",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        section=_TRUSTING,
        help="Exchange the CI system's identity for a short-lived token. auto: where no token is given, and with the "
        "stores if it fails; always: or fail; never: ask for no identity.",
    ),
    _option(
        "--trusted-publishing-host",
        "trusted_publishing_hosts",
        envvar="KEELBACK_TRUSTED_PUBLISHING_HOSTS",
        show_envvar=True,
        multiple=True,
        section=_TRUSTING,
        metavar="HOST",
        help="A server of your own that gets this identity, besides prefix.dev; may be given more than once. In the "
        "variable, there are spaces between hosts.",
    ),
    secret_options("oidc-token", what="ID token to exchange", section=_TRUSTING),
)
"""Which servers get the identity of the CI system."""

TRUST_CONFIG: Final = _option(
    "--trust-config",
    envvar="KEELBACK_TRUST_CONFIG",
    show_envvar=True,
    section=_ATTESTATIONS,
    metavar="FILE",
    help="A Sigstore deployment of your own (ClientTrustConfig), instead of the public one.",
)

attestation_option: Final = partial(_option, section=_ATTESTATIONS)

_ATTESTING: Final = (
    attestation_option(
        "--attest",
        is_flag=True,
        help="Attach a statement of where each package comes from, signed with the CI system's identity.",
    ),
    attestation_option(
        "--attestation",
        "attestations",
        multiple=True,
        metavar="FILE",
        help="Attach an attestation that was made elsewhere, or those in a folder; may be given more than once.",
    ),
    attestation_option(
        "--attestation-dir",
        metavar="FOLDER",
        help="Keep the attestations in this folder, too, as FILE.sigstore.json.",
    ),
    attestation_option(
        "--store-github-attestation",
        is_flag=True,
        help="Store the attestations with GitHub, too; needs GITHUB_TOKEN.",
    ),
    TRUST_CONFIG,
)
"""What goes with the packages."""

_DRY_RUN: Final = _option("-n", "--dry-run", is_flag=True, section=_TRANSFER, help="Show what would be transferred.")

_SKIP_EXISTING: Final = _option(
    "-s",
    "--skip-existing",
    is_flag=True,
    section=_TRANSFER,
    help="Leave files that exist with other bytes, and call that a success.",
)

_VERIFYING: Final = (
    _option("--verify", is_flag=True, section=_TRANSFER, help="Wait until the channel's own index serves every file."),
    _option(
        "--verify-timeout",
        type=click.FloatRange(0),
        default=300,
        show_default=True,
        section=_TRANSFER,
        metavar="SECONDS",
        help="How long --verify waits.",
    ),
)
"""Whether a run waits for the index."""

_STORES: Final = (
    _option(
        "--auth-file", section=_CREDENTIALS, metavar="FILE", help="Look for credentials in this file and nowhere else."
    ),
    _option(
        "--no-keychain", is_flag=True, section=_CREDENTIALS, help="Do not ask the system's keychain for credentials."
    ),
)
"""Where credentials are looked for."""

_CONNECTION: Final = (
    _option(
        "--allow-insecure-host",
        "insecure_hosts",
        multiple=True,
        section=_CONNECTING,
        metavar="HOST",
        help="Credentials may go there over plain HTTP, and its certificate is not verified; may be given more than "
        "once.",
    ),
    _option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=120,
        show_default=True,
        section=_CONNECTING,
        metavar="SECONDS",
        help="Fail an attempt after this long without progress.",
    ),
    _option(
        "--retries",
        type=click.IntRange(0, 20),
        default=4,
        show_default=True,
        section=_CONNECTING,
        help="Attempts after the first.",
    ),
    _option(
        "--retry-delay",
        type=click.FloatRange(0),
        default=1,
        show_default=True,
        section=_CONNECTING,
        metavar="SECONDS",
        help="Longest wait before the first retry; doubles each time.",
    ),
)
"""How servers are spoken to."""

_OUTPUT: Final = (
    _option("--json", "as_json", is_flag=True, section=_SHOWING, help="Print one JSON document to standard output."),
    _option("--no-progress", is_flag=True, section=_SHOWING, help="Plain lines, even on a terminal."),
    _option("-q", "--quiet", is_flag=True, section=_SHOWING, help="Only the summary, and what went wrong."),
    _option(
        "-v",
        "--verbose",
        count=True,
        section=_SHOWING,
        help="Say which credential is used, and what is tried again; twice: every request.",
    ),
    _option(
        "--ci",
        type=click.Choice(CHOICES),
        envvar="KEELBACK_CI",
        show_envvar=True,
        default="auto",
        show_default=True,
        section=_SHOWING,
        help="The CI system that gets annotations, a summary and outputs.",
    ),
    _option(
        "--ci-outputs",
        section=_SHOWING,
        metavar="FILE",
        help="Write what became of the run to a file, as KEELBACK_NAME=value lines.",
    ),
)
"""What is shown of a run."""


def username_option(text: str) -> Callable[[F], F]:
    """``--username``."""
    return _option("--username", section=_CREDENTIALS, metavar="NAME", help=text)


def force_option(*names: str, envvar: str | None = None) -> Callable[[F], F]:
    """``--force``."""
    text = "Replace files that exist with other bytes."
    shown: dict[str, Any] = {"envvar": envvar, "show_envvar": envvar is not None, "section": _TRANSFER}
    return _option(*names, "--force", is_flag=True, help=text, **shown)


def json_text(document: object) -> str:
    r"""*document* as JSON that no CI system takes for one of its commands, ``##[...]`` or ``##vso[...]``.

    Both begin with two number signs, which stand in strings only, where one of them can be written as ``\u0023``.
    """
    return json.dumps(document, indent=2).replace("##", "#\\u0023")
