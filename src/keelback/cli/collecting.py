"""Options whose values reach the command as one argument: a secret, a retry policy, where buckets are."""

from __future__ import annotations

from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from keelback.cli.command import Section, together
from keelback.cli.secrets import read_secret
from keelback.errors import UsageError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def collected(*options: Callable[[Any], Any], into: Callable[[dict[str, Any]], None]) -> Callable[[F], F]:
    """*options* as one decorator; before the command is called, *into* puts one argument in the place of theirs."""

    def decorate(command: F) -> F:
        @wraps(command)
        def with_argument(*args: Any, **kwargs: Any) -> Any:
            into(kwargs)
            return command(*args, **kwargs)

        return together(*options)(cast("F", with_argument))

    return decorate


def secret_options(
    name: str, *short: str, what: str, variable: str = "", section: Section = Section.CREDENTIALS
) -> Callable[[F], F]:
    """``--NAME SECRET`` and ``--NAME-file FILE``; the argument is the :class:`Secret`, or ``None``."""
    parameter = name.replace("-", "_")

    def into(kwargs: dict[str, Any]) -> None:
        kwargs[parameter] = _given_secret(name, kwargs.pop(parameter), kwargs.pop(f"{parameter}_file"), what)

    shown = variable and f"  [env var: {variable}]"
    text = f"The {what}; - is standard input. Safer from a file or variable.{shown}"
    return collected(
        section.option(*short, f"--{name}", parameter, metavar="SECRET", help=text),
        section.option(
            f"--{name}-file", f"{parameter}_file", metavar="FILE", help="Read it from a file; - is standard input."
        ),
        into=into,
    )


def _given_secret(name: str, value: str | None, file: str | None, what: str) -> Secret | None:
    if value is not None and file is not None:
        raise UsageError(f"--{name} and --{name}-file are both given", hint="Give one of them.")
    if file is not None:
        return read_secret(file, f"--{name}-file", prompt=what)
    if value is None:
        return None
    if value == "-":
        return read_secret(value, f"--{name}", prompt=what)
    secret = Secret(value, f"--{name}")
    click.echo(
        f"{click.style('warning:', fg='yellow')} the secret of --{name} is now in the shell's history and the process "
        f"list; '--{name} -' reads it from standard input",
        err=True,
    )
    return secret


def _into_buckets(kwargs: dict[str, Any]) -> None:
    from keelback.channels.session import BucketOptions  # noqa: PLC0415 - not for --help

    given = {field.name: kwargs.pop(field.name) for field in fields(BucketOptions) if field.name in kwargs}
    kwargs["buckets"] = BucketOptions(**given)


bucket_options = collected(
    Section.BUCKETS.option(
        "--endpoint-url",
        metavar="URL",
        help="The service, if it is not the cloud's own: MinIO, Ceph, R2.  [env var: S3_ENDPOINT_URL]",
    ),
    Section.BUCKETS.option("--region", metavar="REGION", help="Region of an S3 bucket.  [env var: S3_REGION]"),
    Section.BUCKETS.option(
        "--addressing-style",
        type=click.Choice(["virtual-host", "path"]),
        help="Whether the host or the path names an S3 bucket.  [env var: S3_ADDRESSING_STYLE]",
    ),
    into=_into_buckets,
)
"""Where buckets are; the argument ``buckets`` has the keys, too, if the command takes those."""


def _into_retry(kwargs: dict[str, Any]) -> None:
    from keelback.transport import Retry  # noqa: PLC0415 - not for --help

    kwargs["retry"] = Retry(attempts=kwargs.pop("retries") + 1, base=kwargs.pop("retry_delay"))


retry_options = collected(
    Section.CONNECTION.option(
        "--retries", type=click.IntRange(0, 20), default=4, metavar="N", help="Attempts after the first."
    ),
    Section.CONNECTION.option(
        "--retry-delay",
        type=click.FloatRange(0),
        default=1,
        metavar="SECONDS",
        help="Longest wait before the first retry; it doubles each time.",
    ),
    into=_into_retry,
)
"""How often a request is tried again; the argument is ``retry``."""


def _into_verify(kwargs: dict[str, Any]) -> None:
    timeout = kwargs.pop("verify_timeout")
    kwargs["verify"] = timeout if kwargs["verify"] else None


verify_options = collected(
    Section.TRANSFER.option(
        "--verify", is_flag=True, help="Wait until the channel's index serves every file with the right hash."
    ),
    Section.TRANSFER.option(
        "--verify-timeout", type=click.FloatRange(0), default=300, metavar="SECONDS", help="How long --verify waits."
    ),
    into=_into_verify,
)
"""Whether a run waits for the index; the argument ``verify`` is for how many seconds, or ``None``."""
