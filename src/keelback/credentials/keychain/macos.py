"""The Keychain of macOS: a generic password whose service is ``rattler`` and whose account is the key.

That is what rattler writes (apple-native-keyring-store) and what Python's ``keyring`` reads and writes, too. An entry
that another program made is that program's: macOS asks the user whether keelback may read it. Writing replaces it by an
entry of this program's, about which macOS asks when the other one reads it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Final

from keelback.childenv import for_child
from keelback.credentials.keychain.backends import SERVICE, KeychainUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keyring.backends.macOS import Keyring

_SECURITY: Final = "/usr/bin/security"

_ATTRIBUTE: Final = re.compile(r'^\s*"(acct|svce)"<blob>=(?:0x(?P<hex>[0-9A-F]+)\b.*|"(?P<text>.*)")$')
"""A line of ``security dump-keychain``; what is not ASCII is in hexadecimal, with an approximation behind it."""


class MacKeychain:
    """The user's default keychain."""

    waits_for_unlocking = False

    def read(self, key: str) -> str | None:
        """See :class:`~keelback.credentials.keychain.backends.Backend`."""
        from keyring.errors import KeyringError  # noqa: PLC0415 - see the package's docstring

        try:
            text: str | None = _keyring().get_password(SERVICE, key)
        except KeyringError as error:
            raise KeychainUnavailable(str(error)) from error
        return text

    def write(self, key: str, text: str) -> None:
        """See :class:`~keelback.credentials.keychain.backends.Backend`."""
        from keyring.errors import KeyringError  # noqa: PLC0415 - see the package's docstring

        try:
            _keyring().set_password(SERVICE, key, text)
        except KeyringError as error:
            raise KeychainUnavailable(str(error)) from error

    def delete(self, key: str) -> bool:
        """See :class:`~keelback.credentials.keychain.backends.Backend`."""
        from keyring.errors import KeyringError  # noqa: PLC0415 - see the package's docstring

        if key not in self.keys():  # keyring has one error for that and for all others
            return False
        try:
            _keyring().delete_password(SERVICE, key)
        except KeyringError as error:
            raise KeychainUnavailable(str(error)) from error
        return True

    def keys(self) -> Sequence[str]:
        """See :class:`~keelback.credentials.keychain.backends.Backend`; ``keyring`` cannot list, ``security`` can."""
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command
                [_SECURITY, "dump-keychain"], capture_output=True, check=True, env=for_child(os.environ)
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise KeychainUnavailable(f"its entries cannot be listed: {error}") from error
        return sorted(set(accounts(done.stdout.decode(errors="replace"))))

    def deletion_command(self, key: str) -> str:
        """``security``, of macOS."""
        return f"security delete-generic-password -s {SERVICE} -a {shlex.quote(key)}"


def accounts(dump: str) -> Iterator[str]:
    """The accounts of all entries of the service ``rattler`` in what ``security dump-keychain`` printed."""
    for entry in re.split(r"^keychain: ", dump, flags=re.MULTILINE):
        attributes = {match[1]: _value(match) for match in map(_ATTRIBUTE.match, entry.splitlines()) if match}
        if attributes.get("svce") == SERVICE and "acct" in attributes:
            yield attributes["acct"]


def _value(match: re.Match[str]) -> str:
    return bytes.fromhex(match["hex"]).decode(errors="replace") if match["hex"] else match["text"]


def _keyring() -> Keyring:
    """The backend itself, so that no configuration of ``keyring`` can put another one in its place."""
    try:
        from keyring.backends import macOS  # noqa: PLC0415 - see the package's docstring

        keychain: Callable[[], Keyring] = macOS.Keyring
    except ImportError as error:
        raise KeychainUnavailable(f"the Python package keyring cannot be used: {error}", absent=True) from error
    return keychain()
