"""``keelback auth login``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from keelback.cli.auth.common import (
    in_a_sentence,
    new_client,
    note,
    stored_for,
    stores_of,
    url_path,
    warn,
)
from keelback.cli.collecting import bucket_options
from keelback.cli.command import SectionCommand
from keelback.cli.options import insecure_option, store_options
from keelback.errors import CredentialStoreError, Interrupted, UsageError
from keelback.secret import Secret, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.channels.identity import Identity
    from keelback.channels.session import BucketOptions
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


def _secret_option(name: str, metavar: str, text: str) -> Callable[[Any], Any]:
    """An option whose value is a secret from the moment it is read; ``-`` stays what it is."""

    def wrapped(ctx: click.Context, param: click.Parameter, value: str | None) -> Secret | str | None:  # noqa: ARG001 - click's signature
        return value if value is None or value == "-" else Secret(value, name)

    return click.option(name, metavar=metavar, callback=wrapped, help=text)


@click.command("login", cls=SectionCommand)
@click.argument("host")
@_secret_option("--token", "TOKEN", "Bearer token; - is standard input.")
@_secret_option("--conda-token", "TOKEN", "Token for the path /t/TOKEN/ of URLs; - is standard input.")
@click.option("--username", metavar="NAME", help="The user, with a password.")
@_secret_option("--password", "PASSWORD", "The password; - is standard input. Prompted for if left out.")
@click.option("--s3-access-key-id", metavar="ID", help="The ID of the access key of an S3 bucket.")
@_secret_option("--s3-secret-access-key", "SECRET", "The secret access key; - is standard input.")
@_secret_option("--s3-session-token", "TOKEN", "The session token of a temporary key; - is standard input.")
@click.option("--oauth", is_flag=True, help="Log in with the browser; the default for prefix.dev.")
@click.option("--oauth-issuer-url", metavar="URL", help="OpenID issuer.  [default: https://HOST]")
@click.option("--oauth-client-id", metavar="ID", help="Client ID.  [default: rattler]")
@_secret_option("--oauth-client-secret", "SECRET", "Client secret, if there is one; - is standard input.")
@click.option(
    "--oauth-flow",
    type=click.Choice(["device-code", "auth-code", "auto"]),
    help="device-code: a code to enter in any browser; auth-code: this machine's browser; auto: this machine's browser "
    "if there is one, else a code.  [default: device-code]",
)
@click.option("--oauth-scope", multiple=True, metavar="SCOPE", help="Scope to ask for; may be given more than once.")
@click.option("--oauth-redirect-uri", metavar="URL", help="http://127.0.0.1:PORT, if the server requires one.")
@click.option("--helper", metavar="COMMAND", help="Command that prints the credential each time it is needed.")
@click.option(
    "--helper-output",
    type=click.Choice(["token", "json", "docker"]),
    default="token",
    show_default=True,
    help="What the helper prints.",
)
@click.option("--path", is_flag=True, help="Only for the path of this URL; except for s3://, only keelback reads it.")
@click.option("--no-verify", is_flag=True, help="Store the credential without asking the server.")
@store_options
@bucket_options
@insecure_option
def command(
    host: str,
    *,
    path: bool,
    no_verify: bool,
    auth_file: str | None,
    no_keychain: bool,
    buckets: BucketOptions,
    insecure_hosts: tuple[str, ...],
    **options: Any,
) -> None:
    """Log in to a server, for keelback, rattler-build, pixi and py-rattler.

    HOST is a host (prefix.dev), the URL of a server or a channel, or a bucket (s3://BUCKET, gs://BUCKET,
    az://ACCOUNT/CONTAINER; s3+https://HOST/BUCKET for MinIO, R2, Ceph). It is asked whether it accepts the credential,
    which is then stored in the file that --auth-file or RATTLER_AUTH_FILE names, or else in the keychain, or else in
    ~/.rattler/credentials.json.

    \b
    Examples:
      keelback auth login prefix.dev
      keelback auth login prefix.dev --token - < token.txt
      keelback auth login anaconda.org
      keelback auth login my-artifactory.com --username me
      keelback auth login s3://my-bucket --s3-access-key-id AK
      keelback auth login az://my-account/my-container --password -
      keelback auth login --path https://example.com/private --token -
      keelback auth login europe-python.pkg.dev --helper 'gcloud auth print-access-token'

    \b
    If no secret is given, you are prompted for it (hidden). A secret in an option is
    in the shell's history and the process list: prefer '-' or the prompt.

    \b
    Exit status: 0 stored, 1 no answer, or no such bucket, 2 wrong usage, 3 the
    server refused it, 130 stopped.
    """
    from keelback.channels.bucketoptions import check_bucket_options  # noqa: PLC0415 - not for --help
    from keelback.channels.buckets.keycheck import bucket_channel  # noqa: PLC0415 - likewise
    from keelback.cli.auth.given import Given  # noqa: PLC0415 - likewise
    from keelback.credentials.logins import url_of  # noqa: PLC0415 - likewise
    from keelback.hosts import host_of  # noqa: PLC0415 - likewise

    values = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    kinds = _kinds(values)
    given = Given(host, kinds, values)
    kind = given.kind()
    if kind == _HELPER and auth_file is not None:
        raise UsageError("--helper is kept in keelback's own file, not in --auth-file", hint="Leave one of them out.")
    if path and auth_file is not None and kind != "S3Credentials":
        raise UsageError("--path logins go into keelback's own file; leave out --auth-file")
    check_bucket_options(buckets, [bucket_channel(host) or host_of(url_of(host))])
    url = stored_for(host, buckets)
    key = _key(url, kind, path=path)
    stores = stores_of(auth_file, no_keychain=no_keychain, to_write=True)
    try:
        with new_client(insecure_hosts) as client:
            login = _made(client, given, kind, url, buckets if not no_verify else None)
    except (KeyboardInterrupt, click.Abort):
        raise Interrupted("stopped; nothing was stored") from None
    try:
        _keep(stores, given, url, key, login)
    except CredentialStoreError as error:
        if auth_file is not None and "RATTLER_AUTH_FILE" in error.hint:
            error.hint = "Name a file that you may write by --auth-file."
        raise
    if not path:
        _say_that_it_is_for_the_host(host, url, kind)
    _say_what_is_not_stored(host, buckets)


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


def _key(url: str, kind: str, *, path: bool) -> str:
    from keelback.credentials import kinds  # noqa: PLC0415 - not for --help
    from keelback.credentials.logins import key_for_login, key_for_path  # noqa: PLC0415 - not for --help

    of = kinds.S3Credentials if kind == kinds.S3Credentials.kind else kinds.BearerToken
    return key_for_path(url, of) if path else key_for_login(url, of)


def _made(client: Client, given: Given, kind: str, url: str, buckets: BucketOptions | None) -> _Login:
    """The login, which the server takes as far as can be told.

    Args:
        client: sends the requests.
        given: what the command line says.
        kind: the kind of credential.
        url: where the login is for.
        buckets: where buckets are; ``None`` for not to ask the server.

    Raises:
        CredentialRefused: the server does not take it.
        KeelbackError: there is none, or the server does not answer.
    """
    from keelback.channels.identity import Identity  # noqa: PLC0415 - not for --help
    from keelback.cli.auth.verifying import verified  # noqa: PLC0415 - not for --help
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
        if buckets is None:
            return _Login(helper, None)
        return _Login(helper, verified(client, given.place, from_helper(helper, url), buckets))
    made = given.credential(kind)
    return _Login(made, None if buckets is None else verified(client, given.place, made, buckets))


def _keep(stores: Sequence[Store], given: Given, url: str, key: str, login: _Login) -> None:
    """Store it, and say what has become of it."""
    from keelback.credentials.logins import keep, served_by, shadowing  # noqa: PLC0415 - not for --help

    kept = keep(stores, key, login.entry)
    kind = type(login.entry)
    if kept.note:
        warn(f"{kept.note} The login is in a file instead, as plain text.")
    click.echo(redact(_headline(given.place, login.identity)))
    where = in_a_sentence(kept.store)
    click.echo(redact(f"Stored under key {key!r} in {where}; it serves {served_by(key, kind.kind)}."))
    for sentence in shadowing(stores, url, kept, kind):
        warn(sentence)


def _headline(place: str, identity: Identity | None) -> str:
    if identity is None:
        return f"The credential for {place} was not verified."
    if identity.valid is None:
        return f"Not verified: {_why_not_verified(place, identity)}."
    who = f" as {identity.name}" if identity.name else ""
    may = f"; the server says that it permits {' and '.join(identity.permits)}" if identity.permits else ""
    return f"Logged in to {place}{who}{may}."


def _why_not_verified(place: str, identity: Identity) -> str:
    from keelback.channels.identity import service_of  # noqa: PLC0415 - not for --help
    from keelback.credentials.logins import url_of  # noqa: PLC0415 - not for --help

    if service_of(place) is not None or url_path(place):
        return identity.said
    url = url_of(place).rstrip("/").replace("://*.", "://", 1)
    return (
        f"{urlsplit(url).netloc} has no way to check a token by itself. Give a channel's URL to have it tried: "
        f"keelback auth login {url}/CHANNEL"
    )


def _say_that_it_is_for_the_host(place: str, url: str, kind: str) -> None:
    """A login at a URL with a path is for all of its host, where a server may have several owners."""
    from keelback.channels.identity import service_of  # noqa: PLC0415 - not for --help

    if kind != "S3Credentials" and url_path(url) and (url != place or service_of(place) is None):
        note(f"This login is for the whole host; --path keeps it to {url_path(url)}.")


def _say_what_is_not_stored(place: str, buckets: BucketOptions) -> None:
    """Where a bucket is goes with no credential: the next command has to be told, too."""
    from keelback.channels.buckets.keycheck import bucket_channel  # noqa: PLC0415 - not for --help
    from keelback.channels.session import Session  # noqa: PLC0415 - not for --help

    given = [
        f"--{field.name.replace('_', '-')}" for field in fields(buckets) if getattr(buckets, field.name) is not None
    ]
    channel = bucket_channel(place)
    if channel is None or not given:
        return
    with new_client() as client:
        once = channel.configuration(Session(client, list, buckets=buckets))
    note(f"Only the credential is stored. Give {' and '.join(given)} each time{f', or {once}' if once else '.'}")
