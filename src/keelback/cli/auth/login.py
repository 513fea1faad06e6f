"""``keelback auth login``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from keelback.cli.auth.common import insecure_option, new_client, store_options, stores_of, warn
from keelback.errors import CredentialRefused, Interrupted, KeelbackError, UsageError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.channels.identity import Identity
    from keelback.cli.auth.given import Given
    from keelback.credentials.kinds import Credential
    from keelback.credentials.stores import Store
    from keelback.transport import Client

_KIND_OF: Final = {
    "--token": "BearerToken",
    "--conda-token": "CondaToken",
    "--s3-access-key-id": "S3Credentials",
    "--s3-secret-access-key": "S3Credentials",
    "--s3-session-token": "S3Credentials",
    "--username": "BasicHTTP",
    "--password": "BasicHTTP",
    "--oauth-issuer-url": "OAuth",
    "--oauth-client-id": "OAuth",
    "--oauth-client-secret": "OAuth",
    "--oauth-flow": "OAuth",
    "--oauth-scope": "OAuth",
    "--oauth-redirect-uri": "OAuth",
}
"""The kind of credential that an option belongs to."""

_HELPER: Final = "Helper"


@click.command("login")
@click.argument("host")
@click.option("--token", metavar="TOKEN", help="A bearer token; - reads it from standard input.")
@click.option("--conda-token", metavar="TOKEN", help="A token for the path /t/TOKEN/ of URLs; - as above.")
@click.option("--username", metavar="NAME", help="The user, with a password.")
@click.option("--password", metavar="PASSWORD", help="Asked for where it is left out; - as above.")
@click.option("--s3-access-key-id", metavar="ID", help="The key of s3://BUCKET.")
@click.option("--s3-secret-access-key", metavar="SECRET", help="Its secret; - as above.")
@click.option("--s3-session-token", metavar="TOKEN", help="Its session token, where there is one; - as above.")
@click.option("--oauth", is_flag=True, help="Log in in the browser; so does prefix.dev where nothing else is given.")
@click.option("--oauth-issuer-url", metavar="URL", help="Who logs people in; https://HOST by default.")
@click.option("--oauth-client-id", metavar="ID", help="'rattler' by default.")
@click.option("--oauth-client-secret", metavar="SECRET", help="Where the server wants one; - as above.")
@click.option(
    "--oauth-flow",
    type=click.Choice(["device-code", "auth-code", "auto"]),
    help="By a code (the default), by the browser of this machine, or by that if there is one.",
)
@click.option("--oauth-scope", multiple=True, metavar="SCOPE", help="May be given more than once.")
@click.option("--oauth-redirect-uri", metavar="URL", help="http://127.0.0.1:PORT, where the server insists on one.")
@click.option("--helper", metavar="COMMAND", help="A command that prints the credential each time it is needed.")
@click.option(
    "--helper-output",
    type=click.Choice(["token", "json", "docker"]),
    default="token",
    show_default=True,
    help="What it prints.",
)
@click.option("--path", is_flag=True, help="For the path of this URL only; for keelback only, except on s3://.")
@click.option("--no-verify", is_flag=True, help="Store it without asking the server.")
@store_options
@insecure_option
def command(
    host: str,
    *,
    path: bool,
    no_verify: bool,
    auth_file: str | None,
    no_keychain: bool,
    insecure_hosts: tuple[str, ...],
    **options: Any,
) -> None:
    """Log in to a server, for keelback and every tool of the rattler family.

    HOST is a host (prefix.dev), a URL of the server, or s3://BUCKET. The server is asked whether it takes the
    credential before that is stored: in the file that RATTLER_AUTH_FILE or --auth-file names, or else in the keychain,
    or else in ~/.rattler/credentials.json.

    \b
    Examples:
      keelback auth login prefix.dev
      keelback auth login prefix.dev --token - < token.txt
      keelback auth login anaconda.org
      keelback auth login my-artifactory.com --username me
      keelback auth login s3://my-bucket --s3-access-key-id AK
      keelback auth login --path https://example.com/private --token -
      keelback auth login europe-python.pkg.dev --helper 'gcloud auth print-access-token'

    \b
    Without a secret, a terminal is asked for it, and shows nothing of it. A secret in
    an option is in the shell's history and the process list: prefer - or the question.

    \b
    Exit status: 0 stored, 1 no answer, 2 wrong usage, 3 the server refused it, 130 stopped.
    """
    from keelback.cli.auth.given import Given  # noqa: PLC0415 - not for --help

    values = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    kinds = _kinds(values)
    given = Given(host, kinds, values)
    kind = given.kind()
    if kind == _HELPER and auth_file is not None:
        raise UsageError("--helper is kept in keelback's own file, not in --auth-file", hint="Leave one of them out.")
    key = _key(host, kind, path=path)
    stores = stores_of(auth_file, no_keychain=no_keychain, to_write=True)
    try:
        with new_client(insecure_hosts) as client:
            login = _made(client, given, kind, verify=not no_verify)
    except (KeyboardInterrupt, click.Abort):
        raise Interrupted("stopped; nothing was stored") from None
    _keep(stores, host, key, login)


@dataclass(frozen=True)
class _Login:
    """A login that may be stored.

    Attributes:
        entry: what is stored: a credential, or a helper that gives one.
        identity: what the server says of it; ``None`` where it was not asked.
    """

    entry: Credential
    identity: Identity | None


def _kinds(values: dict[str, Any]) -> dict[str, str]:
    """The kinds that were given, each with the first option that says so."""
    kinds: dict[str, str] = {}
    for option, kind in _KIND_OF.items():
        if values[option] not in (None, ()):
            kinds.setdefault(kind, option)
    if values["--oauth"]:
        kinds["OAuth"] = "--oauth"
    if values["--helper"] is not None:
        kinds[_HELPER] = "--helper"
        if values["--password"] is None:
            kinds.pop("BasicHTTP", None)  # the user of what the helper gives as the password
    return kinds


def _key(host: str, kind: str, *, path: bool) -> str:
    from keelback.credentials import kinds  # noqa: PLC0415 - not for --help
    from keelback.credentials.logins import key_for_login, key_for_path  # noqa: PLC0415 - not for --help

    of = kinds.S3Credentials if kind == kinds.S3Credentials.kind else kinds.BearerToken
    return key_for_path(host, of) if path else key_for_login(host, of)


def _made(client: Client, given: Given, kind: str, *, verify: bool) -> _Login:
    """The login, which the server takes as far as can be told.

    Raises:
        CredentialRefused: the server does not take it.
        KeelbackError: there is none, or the server does not answer.
    """
    from keelback.channels.identity import Identity  # noqa: PLC0415 - not for --help
    from keelback.credentials.kinds import OAuth  # noqa: PLC0415 - not for --help

    if kind == OAuth.kind:
        from keelback.cli.auth.browser import log_in_by_browser  # noqa: PLC0415 - only where it is the way

        names = {"issuer": "issuer-url", "client_id": "client-id", "flow": "flow", "redirect_uri": "redirect-uri"}
        options = {name: given.values[f"--oauth-{option}"] for name, option in names.items()}
        options["scopes"] = given.values["--oauth-scope"]
        login = log_in_by_browser(client, given.place, given.client_secret(), options)
        return _Login(login.credential, Identity(valid=True, name=login.name))
    if kind == _HELPER:
        from keelback.cli.auth.given import from_helper  # noqa: PLC0415 - not for --help

        helper = given.helper()
        return _Login(helper, _verified(client, given.place, from_helper(helper, given.place)) if verify else None)
    made = given.credential(kind)
    return _Login(made, _verified(client, given.place, made) if verify else None)


def _verified(client: Client, place: str, credential: Credential) -> Identity:
    from keelback.channels.identity import whoami  # noqa: PLC0415 - not for --help

    try:
        identity = whoami(client, place, credential)
    except KeelbackError as error:
        error.message = f"{error.message}; nothing was stored"
        if error.code != "plain-http":
            error.hint = f"{error.hint} --no-verify stores it without asking the server.".strip()
        raise
    if identity.valid is False:
        raise CredentialRefused(
            f"{place} does not take this {credential.kind}: {identity.said}; nothing was stored",
            hint="It may have expired, be mistyped, or belong to another server.",
        )
    return identity


def _keep(stores: Sequence[Store], host: str, key: str, login: _Login) -> None:
    """Store it, and say what has become of it."""
    from keelback.credentials.logins import keep, served_by, shadowing  # noqa: PLC0415 - not for --help

    kept = keep(stores, key, login.entry)
    kind = type(login.entry)
    if kept.note:
        warn(f"{kept.note} It is in {kept.store.name} instead, as plain text.")
    click.echo(redact(_headline(host, login.identity)))
    click.echo(redact(f"Stored under key {key!r} in {kept.store.name}; it serves {served_by(key, kind.kind)}."))
    for sentence in shadowing(stores, host, kept, kind):
        warn(sentence)


def _headline(host: str, identity: Identity | None) -> str:
    if identity is None:
        return f"The credential for {host} was not verified."
    if identity.valid is None:
        return (
            f"The credential for {host} could not be verified: {identity.said}. "
            "Try it with: keelback auth check CHANNEL_URL."
        )
    who = f" as {identity.name}" if identity.name else ""
    may = f"; the server says that it permits {' and '.join(identity.permits)}" if identity.permits else ""
    return f"Logged in to {host}{who}{may}."
