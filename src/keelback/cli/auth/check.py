"""``keelback auth check``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelback.cli.auth.common import insecure_option, store_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keelback.diagnosis.asking import Asked
    from keelback.diagnosis.checkup import Checkup
    from keelback.diagnosis.stores import Opened


@click.command("check")
@click.argument("url", metavar="URL")
@store_options
@insecure_option
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="Give up on an answer after this long without progress.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document to standard output.")
def command(
    url: str,
    *,
    auth_file: str | None,
    no_keychain: bool,
    insecure_hosts: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> None:
    """Say which credential a URL gets, and whether the server takes it.

    URL is that of a channel, as for 'keelback publish --to' or as conda reads it; also a host, s3://BUCKET, or a
    folder. The channel's index is asked for without a credential, and with the one that is found.

    \b
    Examples:
      keelback auth check https://repo.prefix.dev/my-channel
      keelback auth check prefix.dev

    \b
    Exit status: 0 the channel can be read, 1 it cannot for another reason than the
    credential, 2 wrong usage, 3 there is no credential for it, or one that is
    refused. A host or a bucket that cannot be asked: 0 a credential is found.
    """
    from keelback.diagnosis.asking import AccountingClient  # noqa: PLC0415 - not for --help
    from keelback.diagnosis.checkup import check_up  # noqa: PLC0415 - not for --help
    from keelback.transport import Retry  # noqa: PLC0415 - not for --help

    path = None if auth_file is None else Path(auth_file)
    retry = Retry(attempts=2, base=0.5, patience=5)
    with AccountingClient(retry=retry, timeout=timeout, insecure_hosts=insecure_hosts) as client:
        result = check_up(url, client, auth_file=path, keychain=not no_keychain)
    click.echo(json.dumps(result.to_json(), indent=2) if as_json else "\n".join(_lines(result)))
    sys.exit(int(result.exit_status))


def _lines(result: Checkup) -> Iterator[str]:
    from keelback.secret import redact  # noqa: PLC0415 - not for --help

    sections = (
        ("Stores, in the order in which they are looked in", _store_lines(result)),
        ("Keys, in the order in which they are tried", _key_lines(result)),
        ("Credential", _credential_lines(result)),
        ("Asked", _request_lines(result)),
        ("It permits", _permission_lines(result)),
        ("What is wrong", _finding_lines(result)),
    )
    yield result.url
    number = 0
    for title, lines in sections:
        listed = list(lines)
        if listed:
            number += 1
            yield f"{number}. {title}"
            yield from (redact(f"   {line}") for line in listed)
    colour = "green" if result.exit_status == 0 else "red"
    yield click.style(redact(result.verdict), fg=colour)


def _store_lines(result: Checkup) -> Iterator[str]:
    return (f"{opened.name}: {_state_words(opened)}" for opened in result.stores)


def _state_words(opened: Opened) -> str:
    count = len(opened.keys)
    words = {
        "ok": f"{count} key{'' if count == 1 else 's'}",
        "absent": "not there",
        "broken": "cannot be read",
        "off": f"not asked ({opened.why})",
        "silent": f"did not answer ({opened.why})",
    }
    return words[str(opened.state)]


def _key_lines(result: Checkup) -> Iterator[str]:
    used = result.used
    for key in result.keys:
        holders = [opened.name for opened in result.stores if key in opened.keys]
        if used is not None and used.key == key:
            yield f"{key}: in {used.source}, which is used"
            return
        yield f"{key}: {'in ' + ', '.join(holders) if holders else 'in no store'}"


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
    answers = {True: "yes", False: "no", None: "the server does not say" if result.requests else "not asked"}
    yield f"read: {answers[result.read]}"
    yield f"upload: {answers[result.upload] if result.used else 'not without a credential'}"
    if result.identity:
        yield f"the credential belongs to {result.identity}"
    if result.identity_said:
        yield f"of the credential itself: {result.identity_said}"


def _finding_lines(result: Checkup) -> Iterator[str]:
    for problem in result.findings:
        yield f"{problem.message.rstrip('.')}."
        if problem.hint:
            yield f"  {click.style('hint:', fg='cyan')} {problem.hint}"
