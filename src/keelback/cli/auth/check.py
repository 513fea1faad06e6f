"""``keelback auth check``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelback.cli.collecting import bucket_options
from keelback.cli.command import SectionCommand
from keelback.cli.jsontext import json_text
from keelback.cli.options import insecure_option, json_option, store_options, timeout_option, trusted_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.channels.session import BucketOptions
    from keelback.diagnosis.asking import Asked
    from keelback.diagnosis.result import Checkup
    from keelback.secret import Secret


@click.command("check", cls=SectionCommand)
@click.argument("url", metavar="URL")
@store_options
@trusted_options
@bucket_options
@insecure_option
@timeout_option(30)
@json_option
def command(  # noqa: PLR0913 - each is an option
    url: str,
    *,
    auth_file: str | None,
    no_keychain: bool,
    trusted_publishing: str,
    trusted_publishing_hosts: tuple[str, ...],
    oidc_token: Secret | None,
    buckets: BucketOptions,
    insecure_hosts: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> None:
    """Show which credential a URL gets, and whether the server accepts it.

    URL is a channel, as for 'keelback publish --to' or as conda reads it; or a host, or a folder. The channel's index
    is read without a credential, and with the one that is found; in a bucket (s3://, gs://, az://), the objects are
    listed, too. In a CI job, its identity is exchanged for a token as in 'keelback publish', and the result is shown.

    \b
    Examples:
      keelback auth check https://repo.prefix.dev/my-channel
      keelback auth check prefix.dev
      keelback auth check https://prefix.dev/my-channel --trusted-publishing always
      keelback auth check s3://my-bucket/my-channel --endpoint-url https://s3.example.com

    \b
    Exit status: 0 the channel can be read, 1 it cannot, for another reason than the
    credential, 2 wrong usage, 3 no credential, or a refused one, or a refused
    identity. For a host that cannot be asked: 0 a credential is found. For a bucket
    without a channel yet: 0 it accepts the credential.
    """
    from keelback.credentials.oidc.trusted import TrustedPublishing  # noqa: PLC0415 - not for --help
    from keelback.diagnosis.asking import AccountingClient  # noqa: PLC0415 - not for --help
    from keelback.diagnosis.checkup import check_up  # noqa: PLC0415 - not for --help
    from keelback.transport import Retry  # noqa: PLC0415 - not for --help

    trusted = TrustedPublishing.of(trusted_publishing, trusted_publishing_hosts, oidc_token)
    path = None if auth_file is None else Path(auth_file)
    retry = Retry(attempts=2, base=0.5, patience=5)
    with AccountingClient(retry=retry, timeout=timeout, insecure_hosts=insecure_hosts) as client:
        result = check_up(url, client, trusted=trusted, buckets=buckets, auth_file=path, keychain=not no_keychain)
    click.echo(json_text(result.to_json()) if as_json else "\n".join(_lines(result)))
    sys.exit(int(result.exit_status))


def _lines(result: Checkup) -> Iterator[str]:
    from keelback.diagnosis.wording import one_line  # noqa: PLC0415 - not for --help

    sections = (
        ("Trusted publishing", _trusted_lines(result)),
        ("Stores, in the order in which they are looked in", _store_lines(result)),
        ("Keys, in the order in which they are tried", _key_lines(result)),
        ("Bucket", _bucket_lines(result)),
        ("Credential", _credential_lines(result)),
        ("Requests", _request_lines(result)),
        ("Permissions", _permission_lines(result)),
        ("Problems", _finding_lines(result)),
    )
    yield one_line(result.url)
    number = 0
    for title, lines in sections:
        listed = list(lines)
        if listed:
            number += 1
            yield f"{number}. {title}"
            yield from (f"   {_styled(one_line(line))}" for line in listed)
    colour = "green" if result.exit_status == 0 else "red"
    yield click.style(one_line(result.verdict), fg=colour)


def _styled(line: str) -> str:
    """*line*, in which nothing can steer the terminal any more, with its label in colour."""
    label = "  hint:"
    return click.style(label, fg="cyan") + line.removeprefix(label) if line.startswith(label) else line


def _trusted_lines(result: Checkup) -> Iterator[str]:
    from keelback.credentials.oidc.trusted import TrustedPublishing  # noqa: PLC0415 - not for --help
    from keelback.diagnosis.exchangewords import lines  # noqa: PLC0415 - not for --help

    attempt = result.trusted
    if attempt is None:
        return
    if attempt.offered_by is not None or attempt.trusted != TrustedPublishing() or os.environ.get("CI"):
        yield from lines(attempt)


def _store_lines(result: Checkup) -> Iterator[str]:
    from keelback.diagnosis.wording import state_words  # noqa: PLC0415 - not for --help

    for opened in result.stores:
        count = len(opened.keys)
        yield f"{opened.name}: {state_words(opened) or f'{count} key' + ('' if count == 1 else 's')}"


def _key_lines(result: Checkup) -> Iterator[str]:
    used = result.used
    for key in result.keys:
        holders = [opened.name for opened in result.stores if key in opened.keys]
        if used is not None and used.key == key:
            yield f"{key}: in {used.source}, which is used"
            return
        yield f"{key}: {'in ' + ', '.join(holders) if holders else 'in no store'}"


def _bucket_lines(result: Checkup) -> Iterator[str]:
    for name, value in (result.bucket or {}).items():
        yield f"{name.replace('_', ' ').replace('reading url', 'read at')}: {value}"


def _credential_lines(result: Checkup) -> Iterator[str]:
    from keelback.diagnosis.wording import kind_name  # noqa: PLC0415 - not for --help

    used = result.used
    if used is None:
        return
    where = f"key {used.key!r} of {used.source}" if used.key is not None else used.source
    yield f"{kind_name(used.credential)} from {where}"
    if result.serves:
        yield f"for {result.serves}"
    if result.expires:
        yield result.expires


def _request_lines(result: Checkup) -> Iterator[str]:
    for asked in result.requests:
        yield f"{asked.method} {asked.url}"
        yield f"  with {asked.sent or 'no credential'}, {_answer_words(asked)}"


def _answer_words(asked: Asked) -> str:
    if asked.status is None:
        return f"no answer: {asked.said}"
    return f"answered {asked.status}{f' ({asked.said})' if asked.said else ''}"


def _permission_lines(result: Checkup) -> Iterator[str]:
    if not result.stores:
        return
    unknown = _why_not_known(result)
    answers: dict[bool | None, str] = {True: "yes", False: "no"}
    yield f"read: {answers.get(result.read, unknown or 'not asked')}"
    yield f"upload: {answers.get(result.upload, unknown or 'the server does not say')}"
    if result.identity:
        yield f"the credential belongs to {result.identity}"
    if result.identity_said:
        yield f"of the credential itself: {result.identity_said}"


def _why_not_known(result: Checkup) -> str:
    """Why nothing is known of what is permitted; empty where there were answers."""
    if not result.requests:
        return "not asked"
    answered = any(asked.status is not None for asked in result.requests)
    return "" if answered else "not known: no answer"


def _finding_lines(result: Checkup) -> Iterator[str]:
    shown = None if result.trusted is None else result.trusted.problem
    for problem in result.findings:
        if problem is shown:
            continue
        yield f"{problem.message.rstrip('.')}."
        if problem.hint:
            yield f"  hint: {problem.hint}"
