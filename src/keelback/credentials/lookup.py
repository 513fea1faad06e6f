"""Which credential a URL gets.

The rules are rattler's, so that one login serves rattler-build, pixi, py-rattler and keelback alike: every key of
:mod:`keelback.credentials.keys` is asked of all stores before the next key.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from keelback.credentials.deadkeys import dead_keys
from keelback.credentials.keys import keys_for, service_keys
from keelback.errors import CredentialError, UsageError
from keelback.hosts import SPECIAL_SCHEMES, host_of, scheme_and_authority, split_url
from keelback.secret import Secret, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from keelback.credentials.kinds import Credential
    from keelback.credentials.stores import Store

_log = logging.getLogger("keelback.credentials")

_told: set[tuple[str, ...]] = set()
"""What has been logged and need not be logged again in this process."""


@dataclass(frozen=True)
class Match:
    """The credential for a URL, and how it was found: under which key of which store."""

    credential: Credential
    key: str
    store: Store


def default_stores(
    auth_file: Path | None = None, environ: Mapping[str, str] | None = None, home: Path | None = None
) -> list[Store]:
    """The stores to look in, first one first.

    Args:
        auth_file: a file named for this run. It is then the only store.
        environ: the variables, in place of the process's own. An empty ``RATTLER_AUTH_FILE`` counts as none.
        home: the user's home directory, in place of the process's own.

    Raises:
        CredentialFileError: a file that was named, by *auth_file* or ``RATTLER_AUTH_FILE``, is missing, or a file
            cannot be read or is malformed.

    A warning is logged, once in a process, of every key that can never match.
    """
    from keelback.credentials.stores import FileStore  # noqa: PLC0415 - candidate_keys alone need not pay for httpx2

    stores: list[Store] = []
    if auth_file is not None:
        stores.append(FileStore(auth_file, f"--auth-file ({auth_file})", required=True))
    else:
        named = (os.environ if environ is None else environ).get("RATTLER_AUTH_FILE")
        if named:
            stores.append(FileStore(Path(named), f"RATTLER_AUTH_FILE ({named})", required=True))
        home = home or _home()
        if home is not None:
            default = home / ".rattler" / "credentials.json"
            stores.append(FileStore(default, f"default auth file ({default})"))
    for store in stores:
        for dead in dead_keys(store):
            if _first_time("dead", store.name, dead.key):
                _log.warning("%s: %s", store.name, dead)
    return stores


def find(url: str, stores: Sequence[Store]) -> Match | None:
    """The credential for *url*, or nothing.

    A name and password in the URL itself (``https://ann:secret@host``) win over all stores. Then keys are tried in
    the order of :func:`candidate_keys`, then :func:`service_keys`, and each key in all stores before the next: an
    exact host in the last store wins over a wildcard in the first.

    Raises:
        CredentialError: a store has a credential under the key, but it cannot be used.
        UsageError: the URL has a backslash in it.
    """
    if "\\" in url and split_url(url)[0] in SPECIAL_SCHEMES:
        # In http://a\@b WHATWG's host is a and httpx2's is b: what was found for one would be sent to the other.
        raise UsageError(f"The URL for {host_of(url)} has a backslash in it.", hint="Write '/' in its place.")
    stores = [*_store_of_url(url), *stores]
    for key in keys_for(url):
        for store in stores:
            credential = store.get(key)
            if credential is not None:
                host = host_of(url)
                if _first_time("found", store.name, key, host):
                    _log.info("%s: %s under key %r from %s", host, credential.kind, key, store.name)
                return Match(credential, key, store)
    return None


@dataclass(frozen=True)
class _UrlStore:
    """The store that a URL with a name and a password in it is, for its own host."""

    host: str
    credential: Credential
    name: str = "the URL itself"

    def get(self, key: str) -> Credential | None:
        return self.credential if key == self.host else None

    def keys(self) -> Sequence[str]:
        return [self.host]


def _store_of_url(url: str) -> Iterator[Store]:
    """What stands before the ``@`` of *url*, if anything does; as reqwest, it is taken for HTTP alone."""
    scheme, authority = scheme_and_authority(url)
    name, _, password = authority.rpartition("@")[0].partition(":")
    if scheme in {"http", "https"} and (name or password):
        from keelback.credentials.kinds import BasicHTTP  # noqa: PLC0415 - candidate_keys alone need not pay for httpx2

        yield _UrlStore(host_of(url), BasicHTTP(unquote(name), Secret(unquote(password))))


def credential_for(url: str, *, auth_file: Path | str | None = None) -> Match | None:
    """The credential stored for *url*, with its key and its store; nothing where there is none.

    Variables such as ``PREFIX_API_KEY`` are not consulted: they belong to uploads.

    Args:
        url: any URL of the server: ``https://repo.prefix.dev/my-channel``, ``s3://bucket/channel``.
        auth_file: look in this file and nowhere else; otherwise in ``RATTLER_AUTH_FILE``, then in
            ``~/.rattler/credentials.json``.

    Raises:
        CredentialFileError: an auth file that was named is missing, or one cannot be read or is malformed.
        UsageError: the URL has a backslash in it.
    """
    return find(url, default_stores(None if auth_file is None else Path(auth_file)))


def require(
    match: Match | None,
    url: str,
    usable: Sequence[type[Credential]],
    *,
    server: str,
    looked: Sequence[Store],
    flag: str,
    env: str,
) -> Match:
    """*match*, if there is one and its kind is among the *usable*.

    Args:
        match: what :func:`find` found for *url*.
        url: what the credential is for; of it only the host is shown.
        usable: the kinds that this server can use, the usual one first.
        server: what a person calls the server: ``Quetz``.
        looked: the stores that were looked in.
        flag: the option that would give a credential directly: ``--api-key``. Empty for none.
        env: the variable that would: ``QUETZ_API_KEY``. Empty for none.

    Raises:
        CredentialError: code ``no-credential``, saying where was looked and what to do; or code ``wrong-kind``, naming
            the kind found, its key and store, and the kinds that would do.
    """
    host = host_of(url)
    if match is None:
        keys = redact(", ".join(keys_for(url)))
        raise CredentialError(
            f"No credential for {_named(server, host)}: none of the keys {keys} is in {_listed(looked)}.",
            hint=_how_to_give_one(url, usable, looked, flag, env),
        )
    if not isinstance(match.credential, tuple(usable)):
        kinds = " or ".join(kind.kind for kind in usable)
        raise CredentialError(
            f"{_named(server, host)} cannot use the {match.credential.kind} under key {match.key!r} of "
            f"{match.store.name}; it takes {kinds}.",
            hint=_how_to_give_one(url, usable, (), flag, env),
            code="wrong-kind",
        )
    return match


def _how_to_give_one(url: str, usable: Sequence[type[Credential]], looked: Sequence[Store], flag: str, env: str) -> str:
    keys = keys_for(url)
    for store in looked:
        for dead in dead_keys(store):
            if dead.instead in keys:
                return f"Key {dead.key!r} in {store.name} never matches; write {dead.instead!r} in its place."
    ways = [f"give {flag}"] if flag else []
    if env:
        ways.append(f"set {env}")
    ways.append(f'put {{"{_key_to_show(url)}": {_EXAMPLES[usable[0].kind]}}} into the auth file')
    return f"{ways[0][0].upper()}{', or '.join(ways)[1:]}."


def _key_to_show(url: str) -> str:
    services = service_keys(url)
    return f"*.{services[0]}" if services else host_of(url)


_EXAMPLES: Final = {
    "BearerToken": '{"BearerToken": "..."}',
    "CondaToken": '{"CondaToken": "..."}',
    "BasicHTTP": '{"BasicHTTP": {"username": "...", "password": "..."}}',
    "S3Credentials": '{"S3Credentials": {"access_key_id": "...", "secret_access_key": "..."}}',
    "OAuth": '{"BearerToken": "..."}',
}
"""What a person would write by hand; an OAuth entry comes of a login only."""


def _named(server: str, host: str) -> str:
    return host if server == host else f"{server} at {host}"


def _listed(stores: Sequence[Store]) -> str:
    return ", ".join(store.name for store in stores) or "any store"


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a container whose user has no entry, and no HOME
        return None


def _first_time(*what: str) -> bool:
    if what in _told:
        return False
    _told.add(what)
    return True
