"""The Secret Service of Linux desktops (freedesktop.org, Secret Service API): GNOME Keyring, KWallet, KeePassXC.

An entry is an item whose attributes are ``service`` and ``username``, and that is how rattler finds it: in all
collections, whatever other attributes it has. Where it finds two it uses neither (dbus-secret-service-keyring-store,
cred.rs), so there must never be two. Python's ``keyring`` would make the second, with an attribute ``application``.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
from typing import TYPE_CHECKING

from keelback.credentials.keychain.backends import SERVICE, KeychainUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jeepney.io.blocking import DBusConnection
    from secretstorage import Collection, Item

_log = logging.getLogger("keelback.credentials")


class SecretService:
    """The service at the session bus that ``DBUS_SESSION_BUS_ADDRESS`` names, over a new connection each time."""

    def __init__(self) -> None:
        self.waits_for_unlocking = False

    def read(self, key: str) -> str | None:
        """See :class:`~keelback.credentials.keychain.backends.Backend`; of several items it is the newest."""
        from secretstorage import ItemNotFoundException  # noqa: PLC0415 - see the package's docstring

        with _connected() as connection:
            try:
                items = self._items(connection, _attributes(key))
                if len(items) > 1:
                    _log.warning(
                        "the keychain has %d items for key %r; the newest is used here, none by rattler-build and "
                        "pixi; log in again, which leaves one",
                        len(items),
                        key,
                    )
                return _newest_first(items)[0].get_secret().decode(errors="replace") if items else None
            except ItemNotFoundException:  # somebody has deleted it since it was found
                return None

    def write(self, key: str, text: str) -> None:
        """See :class:`~keelback.credentials.keychain.backends.Backend`; afterwards there is one item, and no more."""
        from secretstorage import get_default_collection  # noqa: PLC0415 - see the package's docstring

        with _connected() as connection:
            items = self._items(connection, _attributes(key))
            if items:
                kept, *surplus = _newest_first(items)
                kept.set_secret(text.encode())
                for item in surplus:
                    item.delete()
            else:
                collection = get_default_collection(connection)
                self._unlock(collection)
                label = f"keyring:{key}@{SERVICE}"  # as dbus-secret-service-keyring-store, cred.rs
                collection.create_item(label, _attributes(key), text.encode(), replace=True)

    def delete(self, key: str) -> bool:
        """See :class:`~keelback.credentials.keychain.backends.Backend`."""
        with _connected() as connection:
            items = self._items(connection, _attributes(key))
            for item in items:
                item.delete()
            return bool(items)

    def keys(self) -> Sequence[str]:
        """See :class:`~keelback.credentials.keychain.backends.Backend`."""
        with _connected() as connection:
            names = {item.get_attributes().get("username") for item in self._items(connection, {"service": SERVICE})}
            return sorted(name for name in names if name is not None)

    def deletion_command(self, key: str) -> str:
        """``secret-tool``, of libsecret."""
        return f"secret-tool clear service {SERVICE} username {shlex.quote(key)}"

    def _items(self, connection: DBusConnection, attributes: dict[str, str]) -> list[Item]:
        """The items that have *attributes*, unlocked."""
        from secretstorage import search_items  # noqa: PLC0415 - see the package's docstring

        items = list(search_items(connection, attributes))
        for item in items:
            self._unlock(item)
        return items

    def _unlock(self, thing: Item | Collection) -> None:
        """Have *thing* unlocked, for which the desktop may have to ask the user."""
        if thing.is_locked():
            self.waits_for_unlocking = True
            dismissed = thing.unlock()
            self.waits_for_unlocking = False
            if dismissed:
                raise KeychainUnavailable("it is locked")


def _attributes(key: str) -> dict[str, str]:
    """By what an entry is found, and all that it is made with."""
    return {"service": SERVICE, "username": key}


def _newest_first(items: list[Item]) -> list[Item]:
    """*items*, the last one written first; of two within the same second, the one with fewer attributes of others."""
    return sorted(items, key=lambda item: (-item.get_modified(), len(item.get_attributes())))


@contextlib.contextmanager
def _connected() -> Iterator[DBusConnection]:
    """A connection to the session bus, on which there is a Secret Service."""
    try:
        import secretstorage  # noqa: PLC0415 - see the package's docstring
    except ImportError as error:
        raise KeychainUnavailable(f"the Python package secretstorage cannot be used: {error}", absent=True) from error
    try:
        connection = secretstorage.dbus_init()
    except TimeoutError as error:
        raise KeychainUnavailable("the session bus does not answer") from error
    except (secretstorage.SecretServiceNotAvailableException, OSError, RuntimeError) as error:
        is_malformed = isinstance(error.__cause__, ValueError)
        why = "DBUS_SESSION_BUS_ADDRESS is not the address of one" if is_malformed else error
        raise KeychainUnavailable(f"there is no session bus: {why}", absent=True) from error
    with contextlib.closing(connection):
        if not secretstorage.check_service_availability(connection):
            raise KeychainUnavailable("the session bus has no Secret Service", absent=True)
        try:
            yield connection
        except secretstorage.PromptDismissedException as error:
            raise KeychainUnavailable("it was not unlocked") from error
