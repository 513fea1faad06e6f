"""The four functions of Windows that keep generic credentials (wincred.h), for Python."""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, byref, c_int, c_ubyte, c_uint32, c_void_p, c_wchar_p
from typing import TYPE_CHECKING, Any, ClassVar, Final

from keelback.credentials.keychain.backends import KeychainUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

_GENERIC: Final = 1
"""CRED_TYPE_GENERIC"""
_ENTERPRISE: Final = 3
"""CRED_PERSIST_ENTERPRISE, which rattler's are: kept until they are deleted."""

NOT_FOUND: Final = 1168
NO_SUCH_LOGON_SESSION: Final = 1312


class Credential(ctypes.Structure):
    """A credential, as CREDENTIALW has it."""

    _fields_: ClassVar = [
        ("Flags", c_uint32),
        ("Type", c_uint32),
        ("TargetName", c_wchar_p),
        ("Comment", c_wchar_p),
        ("LastWritten", c_uint32 * 2),
        ("CredentialBlobSize", c_uint32),
        ("CredentialBlob", POINTER(c_ubyte)),
        ("Persist", c_uint32),
        ("AttributeCount", c_uint32),
        ("Attributes", c_void_p),
        ("TargetAlias", c_wchar_p),
        ("UserName", c_wchar_p),
    ]


_SIGNATURES: Final = (
    ("CredReadW", c_int, [c_wchar_p, c_uint32, c_uint32, c_void_p]),
    ("CredWriteW", c_int, [c_void_p, c_uint32]),
    ("CredDeleteW", c_int, [c_wchar_p, c_uint32, c_uint32]),
    ("CredEnumerateW", c_int, [c_wchar_p, c_uint32, c_void_p, c_void_p]),
    ("CredFree", None, [c_void_p]),
)


class Advapi32:
    """Generic credentials by their target name.

    Args:
        dll: the functions, as :func:`load` has them.
        last_error: the number of the error with which the last one failed.

    Every method raises :class:`~keelback.credentials.keychain.backends.KeychainUnavailable` where Windows says no.
    """

    def __init__(self, dll: Any, last_error: Callable[[], int]) -> None:
        self._dll = dll
        self._last_error = last_error

    def read(self, target: str) -> bytes | None:
        """What the credential *target* holds, or nothing."""
        found = POINTER(Credential)()
        if not self._done(self._dll.CredReadW(target, _GENERIC, 0, byref(found))):
            return None
        try:
            credential = found.contents
            return ctypes.string_at(credential.CredentialBlob, credential.CredentialBlobSize)
        finally:
            self._dll.CredFree(found)

    def write(self, target: str, user: str, content: bytes) -> None:
        """Make the credential *target* hold *content*, for *user*."""
        credential = Credential(
            Type=_GENERIC,
            TargetName=target,
            CredentialBlobSize=len(content),
            CredentialBlob=(c_ubyte * len(content)).from_buffer_copy(content),
            Persist=_ENTERPRISE,
            UserName=user,
        )
        self._done(self._dll.CredWriteW(byref(credential), 0))

    def delete(self, target: str) -> bool:
        """Take the credential *target* away; whether there was one."""
        return self._done(self._dll.CredDeleteW(target, _GENERIC, 0))

    def targets(self) -> list[str]:
        """The names of all generic credentials."""
        count, found = c_uint32(), POINTER(POINTER(Credential))()
        if not self._done(self._dll.CredEnumerateW(None, 0, byref(count), byref(found))):
            return []
        try:
            credentials = (found[position].contents for position in range(count.value))
            return [one.TargetName or "" for one in credentials if one.Type == _GENERIC]
        finally:
            self._dll.CredFree(found)

    def _done(self, result: int) -> bool:
        """Whether a function did what it was called for; not, where there is nothing to do it with."""
        if result:
            return True
        error = self._last_error()
        if error == NOT_FOUND:
            return False
        if error == NO_SUCH_LOGON_SESSION:
            raise KeychainUnavailable("this logon session has none", absent=True)
        raise KeychainUnavailable(f"Windows says no, with error {error}")


def load() -> tuple[Any, Callable[[], int]]:
    """The functions, declared, and what gives the number of the last error."""
    if sys.platform == "win32":
        dll = ctypes.WinDLL("advapi32", use_last_error=True)
        for name, result, arguments in _SIGNATURES:
            function = getattr(dll, name)
            function.restype, function.argtypes = result, arguments
        return dll, ctypes.get_last_error
    else:  # noqa: RET505 - mypy takes what follows a check of the platform for unreachable
        raise KeychainUnavailable("this is not Windows", absent=True)
