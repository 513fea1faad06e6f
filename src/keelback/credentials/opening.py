"""The stores of this machine, in the order in which they are looked in."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.credentials.deadkeys import dead_keys
from keelback.credentials.paths import default_auth_file, home_folder, netrc_file, own_file
from keelback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from keelback.credentials.stores import Store

_log = logging.getLogger("keelback.credentials")

KEYCHAIN: Final = "the keychain"

NO_KEYCHAIN: Final = "KEELBACK_NO_KEYCHAIN"
"""The variable that keeps keelback from asking the keychain."""

KEYCHAIN_TIMEOUT: Final = "KEELBACK_KEYCHAIN_TIMEOUT"
"""The variable that says how many seconds the keychain has to answer."""

KEYCHAIN_SECONDS: Final = 5.0

_warned_of: set[tuple[str, str]] = set()
"""Stores and keys that were warned of; once in a process is enough."""


@dataclass(frozen=True)
class StoreSource:
    """Where a store is, before it is opened.

    Attributes:
        name: what messages call it.
        open: opens it; may raise ``CredentialFileError``.
        path: the file that it is, if it is one.
        off: why it is not looked in; empty where it is.
    """

    name: str
    open: Callable[[], Store]
    path: Path | None = None
    off: str = ""


def default_stores(
    auth_file: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    *,
    keychain: bool = True,
    required: bool = True,
) -> list[Store]:
    """The stores to look in, first one first.

    Args:
        auth_file: a file named for this run. It is then the only store.
        environ: the variables, in place of the process's own. An empty ``RATTLER_AUTH_FILE`` counts as none.
        home: the user's home directory, in place of the process's own.
        keychain: whether the system's keychain is among them; it never is where ``KEELBACK_NO_KEYCHAIN`` is set.
        required: whether a file that was named has to be there; otherwise it is a store without keys, for a login to
            make.

    Raises:
        CredentialFileError: a file that was named, by *auth_file* or ``RATTLER_AUTH_FILE``, is missing, or a file
            cannot be read or is malformed.
        UsageError: ``KEELBACK_KEYCHAIN_TIMEOUT`` is no number of seconds.

    A warning is logged, once in a process, of every key of an auth file that can never match.
    """
    found = store_sources(auth_file, environ, home, keychain=keychain, required=required)
    stores = [source.open() for source in found if not source.off]
    _warn_of_dead_keys(stores)
    return stores


def store_sources(
    auth_file: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    *,
    keychain: bool = True,
    required: bool = True,
) -> list[StoreSource]:
    """Where the stores of :func:`default_stores` are, those included that are off; arguments as there."""
    if auth_file is not None:
        return [_auth_file(f"--auth-file ({auth_file})", Path(auth_file), required=required)]
    environ = os.environ if environ is None else environ
    return list(_usual_sources(environ, home or home_folder(), keychain=keychain, required=required))


def _usual_sources(
    environ: Mapping[str, str], home: Path | None, *, keychain: bool, required: bool
) -> Iterator[StoreSource]:
    named = environ.get("RATTLER_AUTH_FILE")
    if named:
        yield _auth_file(f"RATTLER_AUTH_FILE ({named})", Path(named), required=required)
    off = "--no-keychain" if not keychain else NO_KEYCHAIN if is_set(environ, NO_KEYCHAIN) else ""
    yield StoreSource(KEYCHAIN, lambda: _keychain(_seconds(environ, KEYCHAIN_TIMEOUT)), off=off)
    if home is not None:
        default = default_auth_file(home)
        yield _auth_file(f"default auth file ({default})", default, required=False)
    yield from _sources_beyond_auth_files(environ, home)


def _sources_beyond_auth_files(environ: Mapping[str, str], home: Path | None) -> Iterator[StoreSource]:
    """netrc, which rattler reads last, and what only keelback reads."""
    netrc = netrc_file(environ, home)
    if netrc is not None:
        is_named = bool(environ.get("NETRC"))
        name = f"NETRC ({netrc})" if is_named else f"netrc ({netrc})"
        yield StoreSource(name, partial(_netrc, netrc, name, named=is_named), netrc)
    own = own_file(environ)
    yield StoreSource(f"keelback's own file ({own})", partial(_own, own), own)
    yield StoreSource("anaconda login", partial(_anaconda, environ, home))


def _auth_file(name: str, path: Path, *, required: bool) -> StoreSource:
    def opened() -> Store:
        from keelback.credentials.authfile import FileStore  # noqa: PLC0415 - the order alone costs no httpx2

        return FileStore(path, name, required=required)

    return StoreSource(name, opened, path)


@cache
def _keychain(deadline: float) -> Store:
    """The one keychain of this process: what did not answer is not asked again."""
    from keelback.credentials.keychain import KeychainStore  # noqa: PLC0415 - where it is off, nobody pays for it

    return KeychainStore(deadline)


def _netrc(path: Path, name: str, *, named: bool) -> Store:
    from keelback.credentials.netrcfile import NetrcStore  # noqa: PLC0415 - see _auth_file

    return NetrcStore(path, name, named=named)


def _own(path: Path) -> Store:
    from keelback.credentials.ownfile import OwnFileStore  # noqa: PLC0415 - see _auth_file

    return OwnFileStore(path)


def _anaconda(environ: Mapping[str, str], home: Path | None) -> Store:
    from keelback.credentials.anacondatokens import anaconda_token_store  # noqa: PLC0415 - see _auth_file

    return anaconda_token_store(environ, home)


def is_set(environ: Mapping[str, str], name: str) -> bool:
    """Whether the variable *name* says yes: it is there, and is not empty, ``0``, ``no`` or ``false``."""
    return environ.get(name, "").strip().lower() not in {"", "0", "no", "false"}


def _seconds(environ: Mapping[str, str], name: str) -> float:
    text = environ.get(name)
    try:
        seconds = float(text) if text else KEYCHAIN_SECONDS
    except ValueError:
        seconds = -1
    if not 0 < seconds < 3600:
        raise UsageError(f"{name} is not a number of seconds", hint=f"Set it like {name}={KEYCHAIN_SECONDS:g}.")
    return seconds


def _warn_of_dead_keys(stores: Sequence[Store]) -> None:
    """Of the auth files, whose keys a person may have written; the keychain is not asked for this."""
    from keelback.credentials.authfile import FileStore  # noqa: PLC0415 - see _auth_file

    for store in stores:
        for dead in dead_keys(store) if isinstance(store, FileStore) else ():
            if (store.name, dead.key) not in _warned_of:
                _warned_of.add((store.name, dead.key))
                _log.warning("%s: %s", store.name, dead)
