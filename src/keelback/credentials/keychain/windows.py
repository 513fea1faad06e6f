"""The Credential Manager of Windows: generic credentials, one for each key, with the text in UTF-16.

Names and encoding are those of windows-native-keyring-store, which rattler uses. Python's ``keyring`` looks under other
names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keelback.credentials.keychain.backends import SERVICE
from keelback.errors import CredentialStoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.credentials.keychain.advapi32 import Advapi32

LARGEST: Final = 2560
"""Bytes of one credential (wincred.h, CRED_MAX_CREDENTIAL_BLOB_SIZE)."""

_SUFFIX: Final = f".{SERVICE}"


class CredentialManager:
    """The credentials of the user's logon session.

    Args:
        system: the system's functions; its own without it.
    """

    waits_for_unlocking = False

    def __init__(self, system: Advapi32 | None = None) -> None:
        self._given = system

    def read(self, key: str) -> str | None:
        """See :class:`~keelback.credentials.keychain.backends.Backend`."""
        blob = self._system().read(key + _SUFFIX)
        return None if blob is None else blob.decode("utf-16-le", errors="replace")

    def write(self, key: str, text: str) -> None:
        """See :class:`~keelback.credentials.keychain.backends.Backend`.

        Raises:
            CredentialStoreError: the text is too long for Windows.
        """
        blob = text.encode("utf-16-le")
        if len(blob) > LARGEST:
            raise CredentialStoreError(
                f"the keychain: the credential for key {key!r} is too long: Windows takes {LARGEST // 2} characters, "
                f"it has {len(blob) // 2}.",
                hint="Keep it in the auth file, which has no limit: --no-keychain.",
            )
        self._system().write(key + _SUFFIX, key, blob)

    def delete(self, key: str) -> bool:
        """See :class:`~keelback.credentials.keychain.backends.Backend`."""
        return self._system().delete(key + _SUFFIX)

    def keys(self) -> Sequence[str]:
        """See :class:`~keelback.credentials.keychain.backends.Backend`."""
        targets = self._system().targets()
        return sorted(target.removesuffix(_SUFFIX) for target in targets if target.endswith(_SUFFIX))

    def deletion_command(self, key: str) -> str:
        """``cmdkey``, of Windows."""
        return f'cmdkey "/delete:{key}{_SUFFIX}"'

    def _system(self) -> Advapi32:
        if self._given is None:
            from keelback.credentials.keychain.advapi32 import Advapi32, load  # noqa: PLC0415 - Windows has it alone

            self._given = Advapi32(*load())
        return self._given
