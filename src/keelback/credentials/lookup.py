"""Which credential a URL gets.

The rules are rattler's, so that one login serves rattler-build, pixi, py-rattler and keelback alike: every key of
:mod:`keelback.credentials.keys` is asked of all stores before the next key.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, unquote

from keelback.credentials.deadkeys import dead_keys
from keelback.credentials.keys import candidate_keys, keys_for, path_keys, service_keys
from keelback.credentials.opening import default_stores
from keelback.credentials.stores import Store, WritableStore
from keelback.errors import CredentialError, UsageError
from keelback.hosts import SPECIAL_SCHEMES, host_of, scheme_and_authority, split_url
from keelback.secret import Secret, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from keelback.credentials.kinds import Credential

_log = logging.getLogger("keelback.credentials")

_told: set[tuple[str, ...]] = set()
"""What has been logged and need not be logged again in this process."""


@dataclass(frozen=True)
class Match:
    """The credential for a URL, and how it was found: under which key of which store."""

    credential: Credential
    key: str
    store: Store

    @property
    def source(self) -> str:
        """Where it was found, for messages."""
        return f"key {self.key!r} of {self.store.name}"


def find(url: str, stores: Sequence[Store]) -> Match | None:
    """The credential for *url*, or nothing.

    Keys with a path, which only keelback's own file has, win over everything, the longest first. Then come a name and
    password in the URL itself (``https://ann:secret@host``). Then keys are tried in the order of
    :func:`candidate_keys`, each in all stores of the rattler family before the next: an exact host in the last of them
    wins over a wildcard in the first. Where those have nothing, the same keys are tried in the other stores, and at
    last :func:`service_keys` in all of them.

    Raises:
        CredentialError: a store has a credential under the key, but it cannot be used.
        UsageError: the URL has a backslash in it, or a percent sign in its host.
    """
    _refuse_two_hosts(url)
    for key, store in candidates(url, stores):
        credential = _credential_under(key, store, url)
        if credential is not None:
            host = host_of(url)
            if _first_time("found", store.name, key, host):
                _log.info("%s: %s under key %r from %s", host, credential.kind, key, store.name)
            return Match(_renewing(credential, store, key), key, store)
    return None


def depends_on_keychain(url: str, stores: Sequence[Store]) -> bool:
    """Whether :func:`find` would ask the keychain, which may keep a person waiting, for the credential of *url*."""
    for key, store in candidates(url, stores):
        if store.is_keychain:
            return True
        if _credential_under(key, store, url) is not None:
            return False
    return False


def _refuse_two_hosts(url: str) -> None:
    r"""Refuse a URL whose host WHATWG and httpx2 read differently: what was found for one would be sent to the other.

    In ``http://a\@b`` WHATWG's host is ``a`` and httpx2's is ``b``; in ``http://a%2eb``, ``a.b`` and ``a%2eb``.

    Raises:
        UsageError: it is such a URL.
    """
    scheme, authority = scheme_and_authority(url)
    if scheme not in SPECIAL_SCHEMES:
        return
    whose = f"The URL for {host_of(url)}" if host_of(url) else "The URL"
    if "\\" in url:
        raise UsageError(f"{whose} has a backslash in it.", hint="Write '/' in its place.")
    if "%" in authority.rpartition("@")[2]:
        raise UsageError(f"{whose} has a percent sign in its host.", hint="Write the host without escapes.")


def _credential_under(key: str, store: Store, url: str) -> Credential | None:
    """The credential for *url* under *key*; a helper is run for it.

    Raises:
        CredentialError: it cannot be used, or its helper gives none.
    """
    entry = store.get(key)
    if entry is None:
        return None
    from keelback.credentials.helpers import Helper  # noqa: PLC0415 - candidate_keys alone need not pay for httpx2

    return entry.credential_for(_told_to_helper(url, key)) if isinstance(entry, Helper) else entry


def _told_to_helper(url: str, key: str) -> str:
    """What a helper under *key* is asked for: the server of *url*, with the path of the key where that has one.

    It is not all of *url*: one answer serves whatever the key serves there.
    """
    path = key.partition("/")[2] if key in path_keys(url) else ""
    return f"{_server(url)}/{quote(path)}" if path else _server(url)


def _server(url: str) -> str:
    """Scheme, host and port of *url*; without the port where it is the usual one."""
    scheme, authority = scheme_and_authority(url)
    port = re.search(r":0*([0-9]+)$", authority)
    usual = port is None or (scheme, port[1]) in {("https", "443"), ("http", "80")}
    return f"{scheme}://{host_of(url)}" + ("" if usual or port is None else f":{port[1]}")


def candidates(url: str, stores: Sequence[Store]) -> Iterator[tuple[str, Store]]:
    """Every key of every store under which a credential for *url* may be, the first to look at first."""
    yield from ((key, store) for key in path_keys(url) for store in stores if store.is_path_scoped)
    known = [*_store_of_url(url), *(store for store in stores if not store.is_beyond_rattler)]
    beyond = [store for store in stores if store.is_beyond_rattler]
    yield from ((key, store) for key in candidate_keys(url) for store in known)
    yield from ((key, store) for key in candidate_keys(url) for store in beyond)
    yield from ((key, store) for key in service_keys(url) for store in [*known, *beyond])


def _renewing(credential: Credential, store: Store, key: str) -> Credential:
    """*credential*, which is kept good for use where it can be."""
    from keelback.credentials.kinds import OAuth  # noqa: PLC0415 - candidate_keys alone need not pay for httpx2

    if not isinstance(credential, OAuth) or not isinstance(store, WritableStore):
        return credential
    from keelback.credentials.oauth.renewal import renewal_for  # noqa: PLC0415 - few have an OAuth credential

    return replace(credential, renewal=renewal_for(store, key))


class _UrlStore(Store):
    """The store that a URL with a name and a password in it is, for its own host."""

    name = "the URL itself"
    is_in_url: ClassVar[bool] = True

    def __init__(self, host: str, credential: Credential) -> None:
        self._host = host
        self._credential = credential

    def get(self, key: str) -> Credential | None:
        return self._credential if key == self._host else None

    def keys(self) -> Sequence[str]:
        return [self._host]


def _store_of_url(url: str) -> Iterator[Store]:
    """What stands before the ``@`` of *url*, if anything does; as reqwest, it is taken for HTTP alone."""
    scheme, authority = scheme_and_authority(url)
    name, _, password = authority.rpartition("@")[0].partition(":")
    if scheme in {"http", "https"} and (name or password):
        from keelback.credentials.kinds import BasicHTTP  # noqa: PLC0415 - candidate_keys alone need not pay for httpx2

        yield _UrlStore(host_of(url), BasicHTTP(unquote(name), Secret(unquote(password))))


def credential_for(url: str, *, auth_file: Path | str | None = None, keychain: bool = True) -> Match | None:
    """The credential stored for *url*, with its key and its store; nothing where there is none.

    Variables such as ``PREFIX_API_KEY`` are not consulted: they belong to uploads.

    Args:
        url: any URL of the server: ``https://repo.prefix.dev/my-channel``, ``s3://bucket/channel``.
        auth_file: look in this file and nowhere else; otherwise in ``RATTLER_AUTH_FILE``, the system's keychain,
            ``~/.rattler/credentials.json``, netrc, keelback's own file, and what ``anaconda login`` saved.
        keychain: whether the keychain is asked.

    Raises:
        CredentialFileError: an auth file that was named is missing, or one cannot be read or is malformed.
        UsageError: the URL has a backslash in it.
    """
    from keelback.transport.logs import redact_logs  # noqa: PLC0415 - for those only who have a credential to use

    redact_logs()  # httpx2 logs URLs, and a conda token is in one
    return find(url, default_stores(auth_file, keychain=keychain))


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
        raise CredentialError(
            f"No credential for {_named(server, host)}: {in_no_store(keys_for(url), looked)}.",
            hint=_how_to_give_one(url, looked, flag, env),
        )
    if not isinstance(match.credential, tuple(usable)):
        kinds = " or ".join(kind.kind for kind in usable)
        raise CredentialError(
            f"{_named(server, host)} cannot use the {match.credential.kind} under {match.source}; it takes {kinds}.",
            hint=_how_to_give_one(url, (), flag, env),
            code="wrong-kind",
        )
    return match


def in_no_store(keys: Sequence[str], looked: Sequence[Store]) -> str:
    """That none of *keys* is in the stores that were *looked* in, as a clause."""
    shown = redact(", ".join(keys))
    which = f"the key {shown} is not" if len(keys) == 1 else f"none of the keys {shown} is"
    return f"{which} in {', '.join(store.name for store in looked) or 'any store'}"


def _how_to_give_one(url: str, looked: Sequence[Store], flag: str, env: str) -> str:
    keys = keys_for(url)
    for store in looked:
        for dead in dead_keys(store):
            if dead.instead in keys:
                return f"Key {dead.key!r} in {store.name} never matches; write {dead.instead!r} in its place."
    ways = [f"log in with: keelback auth login {login_name(url)}"]
    if flag:
        ways.append(f"give {flag}")
    if env:
        ways.append(f"set {env}")
    return f"{ways[0][0].upper()}{', or '.join(ways)[1:]}."


def login_name(url: str) -> str:
    """What to log in to, to be served at *url*: the service by its known name, or the host, or the bucket.

    A host with another port than that of https comes with it and with its scheme: there, a login has to be tried.
    """
    services = service_keys(url)
    if split_url(url)[0] == "s3":
        return f"s3://{host_of(url)}"
    if services:
        return services[0]
    server = _server(url)
    return host_of(url) if server == f"https://{host_of(url)}" else server


def _named(server: str, host: str) -> str:
    return host if server == host else f"{server} at {host}"


def _first_time(*what: str) -> bool:
    if what in _told:
        return False
    _told.add(what)
    return True
