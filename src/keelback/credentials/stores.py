"""Where credentials are kept: what the lookup, logins and renewals know of it.

Adding a store is one module with a class that does this, and one line in
:func:`keelback.credentials.lookup.default_stores`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.credentials.kinds import Credential

    Change = Callable[[Credential | None], Credential | None]
    """Given what is under a key, says what is to be there: ``None`` for nothing."""


class Store(Protocol):
    """A place that keeps credentials by key, such as a file or the system's keychain."""

    @property
    def name(self) -> str:
        """What a person is told the credential came from: ``RATTLER_AUTH_FILE (/home/ann/auth.json)``."""

    def get(self, key: str) -> Credential | None:
        """The credential under exactly *key*, or nothing.

        Raises:
            CredentialError: there is one, but it cannot be read.
        """

    def keys(self) -> Sequence[str]:
        """All keys of this store, in its own order."""


class WritableStore(Store, Protocol):
    """A store that logins, renewals and logouts can change."""

    def update(self, key: str, change: Change) -> Credential | None:
        """Have *change* say what is to be under *key*, given what is there now, and see that it is.

        No other thread or process changes the store meanwhile; where *change* returns what it was given, nothing is
        written.

        Returns:
            What *change* returned.

        Raises:
            CredentialStoreError: the store cannot be written.
            CredentialError: what is there cannot be read.
        """
