"""What people get wrong with credentials, recognised for one URL."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.credentials.authfile import FileStore
from keelback.credentials.deadkeys import dead_keys
from keelback.credentials.kinds import BasicHTTP, BearerToken, OAuth, S3Credentials
from keelback.credentials.lookup import find, login_name
from keelback.credentials.paths import default_auth_file
from keelback.diagnosis.expiry import expiry_of
from keelback.diagnosis.stores import Opened, State, captured_warnings
from keelback.diagnosis.survey import log_in_again
from keelback.diagnosis.wording import kind_name
from keelback.errors import CredentialError
from keelback.hosts import host_of, is_address
from keelback.report import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from keelback.channels.service import Service
    from keelback.credentials.kinds import Credential

_SCHEMES: Final = {BearerToken.kind: "bearer", OAuth.kind: "bearer", BasicHTTP.kind: "basic"}
"""What RFC 9110 calls the way in which each kind is sent."""

_OPTIONS: Final = {"basic": "--username NAME", "bearer": "--token -"}
"""How to log in with what a server offers."""

_FORGOTTEN: Final = ("auth.json", "credentials.json", "rattler_auth.json", "rattler_auth_store.json")
"""Names that people give to auth files; those of old, and of the examples in the documentation of tools."""


def in_stores(stores: Sequence[Opened], *, found: bool) -> Iterator[Problem]:
    """What is wrong with the stores themselves; a keychain that does not answer counts where nothing was *found*."""
    for opened in stores:
        if opened.state is not State.SILENT or not found:
            yield from opened.problems


def in_keys(url: str, keys: Sequence[str], stores: Sequence[Opened], *, found: bool) -> Iterator[Problem]:
    """Keys that were meant for *url*, and do not serve it.

    Args:
        url: the URL.
        keys: those that are tried for it.
        stores: where they are looked for.
        found: whether there is a credential; a key that serves another host is then no mistake.
    """
    for opened in stores:
        if opened.store is None:
            continue
        for dead in dead_keys(opened.store):
            if dead.never_matches and dead.instead in keys:
                yield Problem(
                    "dead-key",
                    f"key {dead.key!r} of {opened.name} can never match: {dead.why}",
                    f"Write {dead.instead!r} in its place.",
                )
        if not found:
            yield from _near_misses(url, keys, opened)


def _near_misses(url: str, keys: Sequence[str], opened: Opened) -> Iterator[Problem]:
    host = host_of(url)
    for key in opened.keys:
        name, slash, _ = key.partition("/")
        if key in keys or not host or key.startswith("s3:"):
            continue
        if slash and name == host:
            yield Problem(
                "other-path",
                f"key {key!r} of {opened.name} is for another path of this host",
                f"{log_in_again(host).removesuffix('.')}, without --path for the whole host.",
            )
        elif not slash and "." in name and host.endswith(f".{name}") and not is_address(host):
            yield Problem(
                "near-miss",
                f"key {key!r} of {opened.name} is for exactly the host {key}, not for {host}",
                f"Write '*.{key}' in its place, or log in to {host} itself.",
            )
        elif not slash and name.endswith(f".{host}") and not name.startswith("*."):
            yield Problem(
                "near-miss",
                f"key {key!r} of {opened.name} is for the host {key}, not for {host}",
                f"Log in to {host} itself, or write {f'*.{host}'!r} in its place.",
            )


def in_order(used: tuple[str, str], tried: Sequence[tuple[str, Opened]]) -> Iterator[Problem]:
    """Other entries that would serve the URL, too, and are never reached.

    Args:
        used: key and store's name of the one that is used.
        tried: every key of every store, in their order.
    """
    for key, opened in tried:
        if key in opened.keys and (key, opened.name) != used:
            yield Problem(
                "shadowed",
                f"key {key!r} of {opened.name} is not used: key {used[0]!r} of {used[1]} takes precedence",
                "Remove one of the two if they are not meant to differ.",
            )


def in_credential(credential: Credential, key: str, host: str, now: float, *, writable: bool) -> Iterator[Problem]:
    """What can be seen of *credential* itself, without asking anybody."""
    expiry = expiry_of(credential, writable=writable)
    if expiry is not None and expiry.is_over(now):
        yield Problem("expired", f"the {credential.noun} {expiry.words(now)}", log_in_again(host or key))
    if isinstance(credential, BasicHTTP):
        password = credential.password.reveal()
        if password != password.strip():
            yield Problem("bad-token", "the password begins or ends with a space", "Is it part of the password?")
        if len(password) > 1 and password[0] == password[-1] and password[0] in "\"'":
            yield Problem("bad-token", "the password has quotes around it", "Are they part of the password?")


def in_kind(credential: Credential, service: type[Service] | None, url: str) -> Iterator[Problem]:
    """Whether *credential* is of a kind that the server of *url* does not take."""
    if service is not None and not isinstance(credential, service.takes):
        kinds = " or ".join(kind_name(kind) for kind in service.takes)
        problem = f"{service.title} takes {kinds}, and this is a {kind_name(credential)}"
        yield Problem("wrong-kind", problem, f"Log in with: keelback auth login {login_name(url)}.")
    elif service is None and isinstance(credential, S3Credentials):
        yield Problem("wrong-kind", "S3 keys are for s3:// URLs, and are not sent to a web server")


def in_scheme(credential: Credential, offers: Sequence[str], url: str) -> Iterator[Problem]:
    """Whether the server of *url*, which refused *credential*, says that it takes another kind."""
    offered = [offer for offer in offers if offer.lower() in _OPTIONS]
    if offered and _SCHEMES.get(credential.kind) not in {offer.lower() for offer in offered}:
        options = " or ".join(f"keelback auth login {login_name(url)} {_OPTIONS[offer.lower()]}" for offer in offered)
        problem = f"{host_of(url)} offers {' and '.join(offered)}, and what is stored is a {kind_name(credential)}"
        yield Problem("wrong-kind", problem, f"Log in with: {options}.")


def unread_files(url: str, environ: Mapping[str, str], home: Path | None) -> Iterator[Problem]:
    """Auth files with a credential for *url*, in places where people put them, that no variable names."""
    if environ.get("RATTLER_AUTH_FILE"):
        return
    folders = [Path.cwd(), *([] if home is None else [home, home / ".rattler"])]
    for path in dict.fromkeys(folder / name for folder in folders for name in _FORGOTTEN):
        if (home is not None and path == default_auth_file(home)) or not _is_own_file(path):
            continue
        with captured_warnings():
            try:
                match = find(url, [FileStore(path, str(path))])
            except CredentialError:  # some other program's file
                continue
        if match is not None:
            yield Problem(
                "unread-file",
                f"{path} has key {match.key!r} for it, and nobody reads that file: RATTLER_AUTH_FILE is not set",
                f"Set RATTLER_AUTH_FILE={path}, or give --auth-file {path}.",
            )


def _is_own_file(path: Path) -> bool:
    """Whether *path* is a file of the user's own: opening a pipe would wait for ever, and others' files are theirs."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and (os.name != "posix" or found.st_uid == os.geteuid())
