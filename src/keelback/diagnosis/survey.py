"""Every credential of every store: what wins, what expires, and what nobody can match."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.channels.registry import services
from keelback.credentials.deadkeys import dead_keys
from keelback.credentials.kinds import BasicHTTP, Credential, S3Credentials
from keelback.credentials.logins import served_by
from keelback.credentials.oidc.providers import provider_in
from keelback.credentials.paths import home_folder
from keelback.credentials.stores import WritableStore
from keelback.credentials.usernames import shown_username
from keelback.diagnosis.expiry import Expiry, expiry_of
from keelback.diagnosis.stores import Opened, State, captured_warnings, open_stores, places
from keelback.diagnosis.wording import kind_name
from keelback.errors import CredentialError, ExitStatus
from keelback.report import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_UNREAD: Final = {
    ".rattler/rattler_auth_store.json": "the auth file of rattler's tools until 2023; none reads it any more",
    ".mamba/auth/authentication.json": "mamba's own; neither keelback nor the rattler family reads it",
}


@dataclass(frozen=True)
class Entry:
    """One credential of one store.

    Attributes:
        key: the key.
        kind: its kind by rattler's display names; ``None`` where it cannot be read.
        username: the user name, where it has one.
        serves: which URLs it is for; ``None`` where its key never matches.
        shadowed_by: what takes precedence wherever this one would be used: a store with the same key, or a key of a
            store; ``None`` where it is used.
        expiry: when it expires, where it says so.
        problems: what is wrong with it.
    """

    key: str
    kind: str | None
    username: str | None
    serves: str | None
    shadowed_by: str | None
    expiry: Expiry | None
    problems: Sequence[Problem]


@dataclass(frozen=True)
class Listed:
    """One store and what is in it."""

    opened: Opened
    entries: Sequence[Entry]


@dataclass(frozen=True)
class Survey:
    """All stores.

    Attributes:
        stores: in the order in which they are looked in.
        variables: those that are set and take precedence over the stores, with the server that each is for.
        ci_system: the CI system that is detected and makes identities; ``None`` for none.
        unread: files with credentials that nobody reads.
        taken_at: when this was, in Unix seconds.
    """

    stores: Sequence[Listed]
    variables: Mapping[str, str]
    ci_system: str | None
    unread: Sequence[Problem]
    taken_at: float

    @property
    def exit_status(self) -> ExitStatus:
        """``CREDENTIAL`` where a store is broken."""
        broken = any(listed.opened.state is State.BROKEN for listed in self.stores)
        return ExitStatus.CREDENTIAL if broken else ExitStatus.OK

    @property
    def is_empty(self) -> bool:
        """Whether all stores could be looked in, and there is no credential anywhere."""
        blocked = any(listed.entries or listed.opened.state is State.BROKEN for listed in self.stores)
        return not blocked and not self.variables


def survey(
    auth_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    *,
    keychain: bool = True,
    now: float | None = None,
) -> Survey:
    """List every credential of every store.

    Args:
        auth_file: a file named for this run; it is then the only store.
        environ: the variables, in place of the process's own.
        home: the user's home directory, in place of the process's own.
        keychain: whether the system's keychain is asked.
        now: the time, in Unix seconds.
    """
    environ = os.environ if environ is None else environ
    home = home or home_folder()
    now = time.time() if now is None else now
    opened = open_stores(auth_file, environ, home, keychain=keychain)
    with captured_warnings():  # they are about what is said here anyway
        listed = [Listed(each, list(_entries(each, opened, now))) for each in opened]
    variables = {name: service.title for service in services() for name in service.variables if environ.get(name)}
    provider = provider_in(environ)
    ci_system = None if provider is None else provider.name
    return Survey(listed, variables, ci_system, list(_unread(home)) if auth_file is None else [], now)


def _entries(opened: Opened, everywhere: Sequence[Opened], now: float) -> Iterator[Entry]:
    if opened.store is None:
        return
    wrong_keys = {problem.key: problem for problem in dead_keys(opened.store)}
    for key in opened.keys:
        problems: list[Problem] = []
        known = _read(opened, key, problems)
        wrong = wrong_keys.get(key)
        if wrong is not None:
            hint = f"Write {wrong.instead!r} in its place." if wrong.instead else ""
            verdict = "can never match" if wrong.never_matches else "matches too much"
            code = "dead-key" if wrong.never_matches else "broad-key"
            problems.append(Problem(code, f"it {verdict}: {wrong.why}", hint))
        expiry = None if known is None else expiry_of(known, writable=isinstance(opened.store, WritableStore))
        if expiry is not None and expiry.is_over(now):
            problems.append(Problem("expired", f"it {expiry.words(now)}", log_in_again(key)))
        problems += _nearer(key, opened, everywhere)
        yield Entry(
            key,
            None if known is None else kind_name(known),
            shown_username(known) if isinstance(known, BasicHTTP) else None,
            None
            if wrong is not None and wrong.never_matches
            else served_by(key, None if known is None else known.kind),
            _before(key, opened, everywhere, None if known is None else known.kind),
            expiry,
            problems,
        )


def _read(opened: Opened, key: str, problems: list[Problem]) -> Credential | None:
    """What is under *key*, a helper unrun; nothing where it cannot be read, which goes to *problems*."""
    assert opened.store is not None  # noqa: S101 - who calls this looked
    try:
        return opened.store.get(key)
    except CredentialError as error:
        problems.append(Problem.of(error))
        return None


def _before(key: str, opened: Opened, everywhere: Sequence[Opened], kind: str | None) -> str | None:
    """What takes precedence over the entry *key* of *opened* for whatever it is for; ``None`` where it is used."""
    for tried, other in places(_example(key, kind), everywhere):
        if tried == key and other is opened:
            return None
        if tried in other.keys and (tried == key or not key.startswith("*.")):
            return other.name if tried == key else f"key {tried!r} of {other.name}"
    return None


def _example(key: str, kind: str | None) -> str:
    """A URL that *key* serves, if it serves any; for a wildcard, one that no key of its domain is likely to serve."""
    if key.startswith("s3:"):
        return key
    if kind == S3Credentials.kind:
        return f"s3://{key}"
    return f"https://any-host.{key[2:]}" if key.startswith("*.") else f"https://{key}"


def _nearer(key: str, opened: Opened, everywhere: Iterable[Opened]) -> Iterator[Problem]:
    """The keys that take precedence over the wildcard *key* of *opened* for some of its hosts."""
    if not key.startswith("*.") or opened.store is None:
        return
    domain = key[2:]
    for other in everywhere:
        if other.store is None or (other.store.is_beyond_rattler and not opened.store.is_beyond_rattler):
            continue
        for nearer in other.keys:
            host = nearer.removeprefix("*.")
            below = host.endswith(f".{domain}") or (host == domain and nearer != key)
            if below and "/" not in nearer:
                yield Problem("nearer-key", f"where key {nearer!r} of {other.name} serves, that one is used")


def _unread(home: Path | None) -> Iterator[Problem]:
    for name, why in _UNREAD.items():
        path = None if home is None else home / name
        if path is not None and path.is_file():
            yield Problem("unread-file", f"{path} is not read: it is {why}")


def log_in_again(key: str) -> str:
    """The hint to replace what is under *key*."""
    host = key.removeprefix("*.")
    return f"Log in again with: keelback auth login {host}{' --path' if '/' in host else ''}."
