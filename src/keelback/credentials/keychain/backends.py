"""What a keychain has to be able to do, and which one this system has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVICE: Final = "rattler"
"""The service under which the rattler family keeps its entries (rattler_networking, keyring.rs)."""


class KeychainUnavailable(Exception):
    """The keychain does not do what it was asked for.

    Attributes:
        reason: why, as the end of a sentence: "it is locked".
        absent: whether there simply is none on this machine, which is no fault of anybody's.
    """

    def __init__(self, reason: str, *, absent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.absent = absent


class Backend(Protocol):
    """A system's keychain, as far as the entries of the service ``rattler`` go; a text per key.

    Any method may raise :class:`KeychainUnavailable`, or whatever the libraries below it raise. It may take as long as
    it likes: who calls it has a deadline.

    Attributes:
        waits_for_unlocking: whether it is waiting, right now, for a person to unlock it.
    """

    waits_for_unlocking: bool

    def read(self, key: str) -> str | None:
        """The text under *key*, or nothing."""

    def write(self, key: str, text: str) -> None:
        """Put *text* under *key*, in place of what is there.

        Raises:
            CredentialStoreError: the keychain works, and cannot take this text.
        """

    def delete(self, key: str) -> bool:
        """Take away what is under *key*; whether there was anything."""

    def keys(self) -> Sequence[str]:
        """All keys, sorted; no secret is read for them."""

    def deletion_command(self, key: str) -> str:
        """The command with which a person deletes the entry under *key*."""


def backend_here() -> Backend:
    """The keychain of this system; whether it works shows when it is asked."""
    if sys.platform == "win32":
        from keelback.credentials.keychain.windows import CredentialManager  # noqa: PLC0415 - one system, one import

        return CredentialManager()
    elif sys.platform == "darwin":  # noqa: RET505 - mypy takes what follows a check of the platform for unreachable
        from keelback.credentials.keychain.macos import MacKeychain  # noqa: PLC0415 - one system, one import

        return MacKeychain()
    else:
        from keelback.credentials.keychain.secret_service import SecretService  # noqa: PLC0415 - one system, one import

        return SecretService()
