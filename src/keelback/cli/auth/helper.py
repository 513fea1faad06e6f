"""``keelback auth helper``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from keelback.cli.auth.common import stores_of
from keelback.cli.options import store_options
from keelback.errors import UsageError

if TYPE_CHECKING:
    from keelback.credentials.lookup import Match

_LARGEST_REQUEST = 64 << 10


@click.command("helper")
@click.argument("action", default="get", type=click.Choice(["get"]))
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "bazel", "docker"]),
    default="json",
    show_default=True,
    help="The protocol of the program.",
)
@store_options
def command(action: str, *, form: str, auth_file: str | None, no_keychain: bool) -> int:  # noqa: ARG001 - the only one
    """Give a program the credential that it asks for.

    The request is read from standard input, and the answer printed to standard output. A login in the browser is
    renewed if it is about to expire.

    \b
      json    {"version": 1, "action": "get", "url": "https://..."}: keelback's own
      bazel   {"uri": "https://..."}: the --credential_helper of Bazel
      docker  a host: Docker's credHelpers

    \b
    Example:
      echo '{"version": 1, "action": "get", "url": "https://prefix.dev"}' | keelback auth helper

    \b
    Exit status: 0 answered (json and bazel: also if there is none), 1 there is
    none (docker), 2 not a valid request, 3 the credential cannot be used.
    """
    from keelback.credentials import helperprotocol  # noqa: PLC0415 - not for --help
    from keelback.credentials.lookup import find  # noqa: PLC0415 - not for --help

    request = sys.stdin.read(_LARGEST_REQUEST + 1)
    if len(request) > _LARGEST_REQUEST:
        raise UsageError("the question on standard input is larger than 64 kB")

    def lookup(url: str) -> Match | None:
        return find(url, stores_of(auth_file, no_keychain=no_keychain))

    document: object
    if form == "docker":
        document, status = helperprotocol.answer_docker(request, lookup)
    elif form == "bazel":
        document, status = helperprotocol.answer_bazel(request, lookup)
    else:
        document, status = helperprotocol.answer(request, lookup)
    click.echo(document if isinstance(document, str) else json.dumps(document))
    return int(status)
