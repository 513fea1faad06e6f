"""Where credentials are kept: what the lookup, logins and renewals know of it.

Adding a store is one module with a class that does this, and one line in
:func:`keelback.credentials.opening.store_sources`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from keelback.credentials.kinds import Credential

    Change = Callable[[Credential | None], Credential | None]
    """Given what is under a key, says what is to be there: ``None`` for nothing."""


class Store(ABC):
    """A place that keeps credentials by key, such as a file or the system's keychain.

    Attributes:
        name: what a person is told the credential came from: ``RATTLER_AUTH_FILE (/home/ann/auth.json)``.
        path: the file that it is, if it is one.
        is_keychain: whether it may keep a person waiting, and is asked only when there is need.
        is_path_scoped: whether there are keys with a path in it (``example.com/channel``), which take precedence.
        is_beyond_rattler: whether rattler does not know of it, so that it only counts where rattler finds nothing.
        is_in_url: whether it is the URL itself, with a name and a password in it.
    """

    name: str
    path: Path | None = None
    is_keychain: ClassVar[bool] = False
    is_path_scoped: ClassVar[bool] = False
    is_beyond_rattler: ClassVar[bool] = False
    is_in_url: ClassVar[bool] = False

    @property
    def is_absent(self) -> bool:
        """Whether there is nothing to look in: no such file or folder, or no keychain on this machine."""
        return self.path is not None and not self.path.exists()

    @property
    def problem(self) -> str | None:
        """Why it does not answer, as the end of a sentence; ``None`` as long as nothing went wrong."""
        return None

    @abstractmethod
    def get(self, key: str) -> Credential | None:
        """What is under exactly *key*, or nothing: a credential, or a helper that gives one, which is not run.

        Raises:
            CredentialError: there is one, but it cannot be read.
        """

    @abstractmethod
    def keys(self) -> Sequence[str]:
        """All keys of this store, in its own order."""


class WritableStore(Store):
    """A store that logins, renewals and logouts can change."""

    @abstractmethod
    def update(self, key: str, change: Change) -> Credential | None:
        """Have *change* say what is to be under *key*, given what is there now, and see that it is.

        No other thread or process changes the store meanwhile; where *change* returns what it was given, nothing is
        written.

        Returns:
            What *change* returned.

        Raises:
            CredentialStoreError: the store cannot be written, or (code ``locked``) somebody else has locked it.
            CredentialError: what is there cannot be read.
        """
