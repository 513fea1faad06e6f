"""The system's keychain as a store of credentials, with the entries that rattler-build, pixi and py-rattler have there.

``store`` is the store, ``asking`` sees to it that a keychain that hangs holds nobody up, ``backends`` says what a
keychain has to be able to do and which one is here; the other modules are one keychain each, and import what they need
when they are asked for something.
"""

from keelback.credentials.keychain.backends import Backend, KeychainUnavailable
from keelback.credentials.keychain.store import KeychainStore

__all__ = ["Backend", "KeychainStore", "KeychainUnavailable"]
