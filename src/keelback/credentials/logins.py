"""Where a login is kept, and how it ends: under which key, in which store, and what else goes before it.

Keys are those that ``rattler auth login`` would write (rattler, auth.rs, ``get_url``), except that it also writes some
under which nothing is ever found: with a port, a slash at the end, or a wildcard before the name of a bucket.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keelback.credentials.codec import KINDS
from keelback.credentials.keys import also_served, candidate_keys, path_keys, service_hosts
from keelback.credentials.kinds import OAuth, S3Credentials
from keelback.credentials.lookup import Match, find
from keelback.credentials.stores import WritableStore
from keelback.errors import CredentialError, CredentialStoreError, UsageError
from keelback.hosts import host_of, is_address, scheme_and_authority, split_url
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from keelback.credentials.kinds import Credential
    from keelback.credentials.stores import Store

__all__ = [
    "Kept",
    "LoggedOut",
    "keep",
    "key_for_login",
    "key_for_path",
    "log_out",
    "served_by",
    "shadowing",
    "url_of",
]

# --- keys -------------------------------------------------------------------------------------------------------------


def url_of(place: str) -> str:
    """*place*, a host or a URL, as a URL; a kind of server before its scheme (``quetz+https://``) is left out."""
    scheme, rest = split_url(place)
    if not rest.startswith("//"):
        return f"https://{place.strip()}"
    return f"{scheme.rpartition('+')[2]}:{rest}"


def key_for_login(place: str, kind: type[Credential]) -> str:
    """The key for a login at *place*, under which every tool of the rattler family finds it.

    A name with exactly one dot gets a wildcard, so that ``prefix.dev`` serves ``repo.prefix.dev``, too; any other host
    is its own key. S3 keys are kept under the bucket, as written.

    Args:
        place: a host (``prefix.dev``, ``localhost:8080``), or any URL of the server or bucket.
        kind: the kind of credential.

    Raises:
        UsageError: there is no host in it, there is a name or a password in it, or the scheme and the kind do not go
            together.
    """
    url = _checked_url(place, kind)
    host = host_of(url)
    if kind is S3Credentials or host.count(".") != 1 or host.startswith("*.") or is_address(host):
        return host
    return f"*.{host}"


def key_for_path(place: str, kind: type[Credential]) -> str:
    """The key for a login that counts for the path of *place* only, and what is under it.

    For ``s3://`` this is rattler's own (``s3://bucket/channel``); any other is one of keelback's own file
    (``example.com/channel``).

    Raises:
        UsageError: as :func:`key_for_login`, or there is no path in *place*.
    """
    url = _checked_url(place, kind).rstrip("/")
    if kind is S3Credentials:
        keys = [key for key in candidate_keys(url)[1:] if key.removeprefix("s3://").strip("/").count("/")]
    else:
        keys = path_keys(url)
    if not keys:
        raise UsageError(
            f"{redact(place)} has no path that a credential could be for",
            hint="Write it like https://HOST/CHANNEL, or leave out --path.",
        )
    return keys[0]


def _checked_url(place: str, kind: type[Credential]) -> str:
    url = url_of(place)
    if "@" in scheme_and_authority(url)[1]:
        raise UsageError(
            f"{redact(url)} has a user name or a password in it, where it ends up in logs",
            hint="Name the host alone, and give the name by --username.",
        )
    host = host_of(url)
    if not host or "\\" in place or "*" in host.removeprefix("*."):
        raise UsageError(f"{redact(place)!r} names no host", hint="Write it like prefix.dev, or https://HOST.")
    scheme = split_url(url)[0]
    if scheme not in {"https", "http", "s3"}:
        raise UsageError(f"{redact(place)!r} has another scheme than https, http or s3", hint="Name the host alone.")
    is_s3 = scheme == "s3"
    if is_s3 and kind is not S3Credentials:
        raise UsageError(
            f"{redact(url)} is a bucket, which takes S3 keys, and no {kind.kind}",
            hint="Give --s3-access-key-id and --s3-secret-access-key.",
        )
    if kind is S3Credentials and not is_s3:
        bucket = "BUCKET" if "://" in place else redact(place.strip())
        raise UsageError(f"S3 keys are for a bucket: write s3://{bucket}")
    return url


def served_by(key: str, kind: str | None) -> str:
    """Which URLs the credential under *key* is found for, as a person would say it.

    Args:
        key: as it stands in a store.
        kind: the name of the kind of credential; ``None`` where it is not known.
    """
    if key.startswith("s3:"):
        return f"{key} and what is under it"
    if kind == S3Credentials.kind:
        return f"the bucket {key}"
    if key.startswith("*."):
        return f"{key[2:]} and every host under it"
    if "/" in key:
        return f"{key} and what is under it"
    also = also_served(key)
    return f"the host {key} (for keelback also {also})" if also else f"the host {key}"


# --- keeping ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """Where a login was stored.

    Attributes:
        store: the store.
        key: the key.
        note: why an earlier store did not take it; empty where the first one did.
    """

    store: Store
    key: str
    note: str = ""


def keep(stores: Sequence[Store], key: str, credential: Credential) -> Kept:
    """Store *credential* under *key*, where a login belongs.

    That is the file that was named for it (by ``--auth-file``, or in ``RATTLER_AUTH_FILE``); else the keychain; and
    where that does not take it, the default file. A key with a path, and a helper, go into keelback's own file.

    Args:
        stores: as :func:`~keelback.credentials.opening.default_stores` gives them, ``required=False``.
        key: the key.
        credential: what to store there.

    Raises:
        CredentialStoreError: no store can be written. A file that was named is not passed over.
    """
    path_scoped = credential.kind not in KINDS or ("/" in key and not key.startswith("s3:"))
    note = ""
    for store in _writable(stores):
        if store.is_path_scoped is not path_scoped:
            continue
        try:
            store.update(key, lambda _: credential)
        except CredentialStoreError as error:
            if not store.is_keychain:
                raise
            note = error.message
        else:
            return Kept(store, key, note)
    raise CredentialStoreError(
        f"There is no store that could keep key {key!r}{': ' if note else '.'}{note}",
        hint="Leave out --auth-file." if path_scoped else "Name a file for it in RATTLER_AUTH_FILE, or by --auth-file.",
    )


def shadowing(stores: Sequence[Store], place: str, kept: Kept, kind: type[Credential]) -> list[str]:
    """Why tools will not get the login that was *kept* at some of the hosts it is for: a sentence each.

    Args:
        stores: where credentials are looked up.
        place: what was logged in to.
        kept: where the login is.
        kind: its kind.
    """
    told: dict[str, None] = {}
    for url in _urls_to_try(place, kept.key, kind):
        try:
            match = find(url, stores)
        except CredentialError as error:
            told[f"{host_of(url)} gets none: {error.message}"] = None
            continue
        if match is not None and (match.key, match.store.name) != (kept.key, kept.store.name):
            told[_shadow(url, match)] = None
    return list(told)


def _urls_to_try(place: str, key: str, kind: type[Credential]) -> Iterable[str]:
    if key.startswith("*.") or "/" not in key:
        yield f"s3://{key}" if kind is S3Credentials else f"https://{key.removeprefix('*.')}"
        if key.startswith("*."):
            yield from (f"https://{host}" for host in service_hosts(key[2:]))
    else:
        yield url_of(place)


def _shadow(url: str, match: Match) -> str:
    if isinstance(match.store, WritableStore):
        remedy = f"end both with: keelback auth logout {match.key!r}, and log in again"
    else:
        remedy = "remove that one where it is, by hand"
    still = f"{host_of(url)} still gets the {match.credential.noun} under {match.source}"
    return f"{still}, which goes before this one; {remedy}"


# --- ending -----------------------------------------------------------------------------------------------------------


@dataclass
class LoggedOut:
    """What became of logins.

    Attributes:
        removed: store and key of each that was removed.
        left: store and key of each that is in a store which keelback does not change.
        problems: what did not work at the server or in a store, a sentence each.
        failed: whether a login is still there that could have been removed.
    """

    removed: list[tuple[Store, str]] = field(default_factory=list)
    left: list[tuple[Store, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failed: bool = False


def log_out(
    stores: Sequence[Store],
    place: str | None,
    revoke: Callable[[OAuth], list[str]] | None = None,
    *,
    path: bool = False,
) -> LoggedOut:
    """Remove the logins at *place*, or all there are, from every store.

    Args:
        stores: where to look.
        place: a host, a URL, or a key as it stands in a store; ``None`` for everything.
        revoke: ends an OAuth login at the server before it is removed, and returns what did not work.
        path: whether only the login for the path of *place* is meant.

    Raises:
        CredentialError: code ``not-logged-in``: there is nothing at *place*; code ``store``: there is, but only in
            stores that keelback does not change.
    """
    keys = None if place is None else _keys_meant(place, path=path)
    out = LoggedOut()
    for store in stores:
        for key in _present(store, keys):
            if isinstance(store, WritableStore):
                _remove(store, key, revoke, out)
            else:
                out.left.append((store, key))
    if place is not None and not out.removed and not out.problems:
        raise _nothing_removed(stores, place, out)
    return out


def _keys_meant(place: str, *, path: bool) -> list[str]:
    """The keys that whoever wrote *place* may mean: a key as it stands, the host itself, and what a login makes."""
    place = place.strip()
    kind = S3Credentials if split_url(place)[0] == "s3" else OAuth
    if path:
        return [key_for_path(place, kind)]
    keys = [place]
    with contextlib.suppress(UsageError):  # a key that nothing is ever found under is removed by its name
        keys += [host_of(_checked_url(place, kind)), key_for_login(place, kind)]
    return list(dict.fromkeys(keys))


def _present(store: Store, keys: Sequence[str] | None) -> list[str]:
    known = list(store.keys())
    if keys is None:
        return known
    return [key for key in keys if key in known or (_can_hide(store) and _peek(store, key) is not None)]


def _can_hide(store: Store) -> bool:
    """Whether the store may have more than it lists: a keychain need not tell."""
    return store.is_keychain


def _remove(store: WritableStore, key: str, revoke: Callable[[OAuth], list[str]] | None, out: LoggedOut) -> None:
    try:
        if isinstance(_peek(store, key), OAuth):
            _remove_login(store, key, revoke, out)
        else:
            store.update(key, lambda _: None)
    except CredentialError as error:
        out.problems.append(error.message)
        out.failed = True
    else:
        out.removed.append((store, key))


def _remove_login(store: WritableStore, key: str, revoke: Callable[[OAuth], list[str]] | None, out: LoggedOut) -> None:
    """Remove a login in the browser; nobody renews it meanwhile, whose new tokens would be left alive."""
    from keelback.credentials.oauth.renewal import renewing  # noqa: PLC0415 - few have such a login

    with renewing(store, key):
        credential = store.update(key, lambda now: now)
        if revoke is not None and isinstance(credential, OAuth):
            out.problems += revoke(credential)
        store.update(key, lambda _: None)


def _peek(store: Store, key: str) -> Credential | None:
    try:
        return store.get(key)
    except CredentialError:
        return None


def _nothing_removed(stores: Sequence[Store], place: str, out: LoggedOut) -> CredentialError:
    if out.left:
        where = ", ".join(f"key {key!r} of {store.name}" for store, key in out.left)
        return CredentialStoreError(
            f"The credential for {redact(place)} is {where}, which keelback only reads.",
            hint="Remove it with the tool that wrote it, or by hand.",
        )
    hint = "'keelback auth status' lists what there is."
    with contextlib.suppress(CredentialError, UsageError):
        match = find(url_of(place), stores)
        if match is not None:
            hint = f"It is served by {match.source}: keelback auth logout '{match.key}'."
    return CredentialError(f"There is no login for {redact(place)} in any store.", hint=hint, code="not-logged-in")


def _writable(stores: Sequence[Store]) -> list[WritableStore]:
    return [store for store in stores if isinstance(store, WritableStore)]
