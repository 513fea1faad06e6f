"""``keelback auth token``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from keelback.cli.auth.common import stored_for, stores_of, warn
from keelback.cli.options import store_options
from keelback.errors import CredentialError

if TYPE_CHECKING:
    from keelback.credentials.kinds import Credential


@click.command("token")
@click.argument("host")
@click.option("--header", is_flag=True, help="Print the whole header line: Authorization: Bearer TOKEN.")
@store_options
def command(host: str, *, header: bool, auth_file: str | None, no_keychain: bool) -> None:
    """Print the token for a host, and nothing else, to standard output.

    HOST is a host or a URL. The token is that of a BearerToken or a CondaToken, the access token of a login in the
    browser (renewed if it is about to expire), or the password of BasicHTTP.

    \b
    Examples:
      keelback auth token prefix.dev | docker login --password-stdin -u me HOST
      curl -H "$(keelback auth token --header prefix.dev)" https://prefix.dev/...

    \b
    Exit status: 0 printed, 2 wrong usage, 3 no such credential.
    """
    from keelback.credentials.logins import url_of  # noqa: PLC0415 - not for --help
    from keelback.credentials.lookup import find, require  # noqa: PLC0415 - not for --help
    from keelback.hosts import host_of  # noqa: PLC0415 - not for --help

    url = url_of(stored_for(host))
    stores = stores_of(auth_file, no_keychain=no_keychain)
    match = find(url, stores)
    if match is None:
        require(match, url, (), server=host_of(url), looked=stores, flag="", env="")
    assert match is not None  # noqa: S101 - what require says
    text = _header(match.credential) if header else _token(match.credential, url)
    if sys.stdout.isatty():
        warn("the token is now visible here and in the scrollback")
    click.echo(text)


def _token(credential: Credential, url: str) -> str:
    from keelback.credentials.kinds import (  # noqa: PLC0415 - not for --help
        BasicHTTP,
        BearerToken,
        CondaToken,
        OAuth,
    )

    match credential:
        case BearerToken(token) | CondaToken(token):
            return token.reveal()
        case OAuth():
            return credential.current().access_token.reveal()
        case BasicHTTP():
            return credential.password.reveal()
    raise CredentialError(
        f"the {credential.noun} of {url} are several secrets, and not one token",
        hint="All of them are printed by: "
        f"""echo '{{"version": 1, "action": "get", "url": "{url}"}}' | keelback auth helper""",
        code="wrong-kind",
    )


def _header(credential: Credential) -> str:
    """The header that *credential* puts onto a request."""
    import httpx2  # noqa: PLC0415 - not for --help

    if isinstance(credential, httpx2.Auth):
        # Not the user's own URL: the header is the same at any, and httpx2 does not take every URL that has a host.
        request = next(credential.sync_auth_flow(httpx2.Request("GET", "https://server.invalid/")))
        value = request.headers.get("authorization")
        if value is not None:
            return f"Authorization: {value}"
    raise CredentialError(
        f"{credential.kind} is not sent in a header.",
        hint="Leave out --header; a CondaToken goes into the path of the URL: /t/TOKEN/.",
        code="wrong-kind",
    )
