"""The keychain as a store: one entry for each key, which holds what an auth file has as the value of that key."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from keelback.credentials.codec import parse_credential, to_json
from keelback.credentials.keychain.asking import Keychain, of_this_system
from keelback.credentials.keychain.backends import KeychainUnavailable
from keelback.credentials.locks import locked
from keelback.credentials.stores import WritableStore
from keelback.errors import CredentialError, CredentialStoreError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.credentials.keychain.backends import Backend
    from keelback.credentials.kinds import Credential
    from keelback.credentials.stores import Change

_log = logging.getLogger("keelback.credentials")

_T = TypeVar("_T")

DEADLINE: Final = 5.0
"""Seconds in which the keychain has to answer, and a person to unlock it."""


class KeychainStore(WritableStore):
    """The keychain of the user's system, as rattler fills it (rattler_networking, keyring.rs).

    It is asked only when something is asked of the store, and each key once. A keychain that is locked, slow or broken
    is a store without keys: a warning says so once in a process, and it is not asked again. Where there simply is none,
    that is worth no more than an info.

    Args:
        deadline: seconds for each question.
        backend: the keychain, in place of the system's own.

    Attributes:
        is_keychain: it may keep a person waiting, so that it is asked last and late.
    """

    name = "the keychain"
    is_keychain: ClassVar[bool] = True

    def __init__(self, deadline: float = DEADLINE, backend: Backend | None = None) -> None:
        self._deadline = deadline
        self._keychain = of_this_system() if backend is None else Keychain(backend)
        self._texts: dict[str, Secret | None] = {}

    def __repr__(self) -> str:
        return f"KeychainStore({type(self._keychain.backend).__name__})"

    @property
    def is_absent(self) -> bool:
        """Whether there simply is no keychain on this machine, as far as it was asked."""
        failure = self._keychain.failure
        return failure is not None and failure.absent

    @property
    def problem(self) -> str | None:
        """Why the keychain is not asked any more, as the end of a sentence; ``None`` as long as nothing went wrong."""
        failure = self._keychain.failure
        return None if failure is None else failure.reason

    def get(self, key: str) -> Credential | None:
        """The credential under exactly *key*; nothing where there is none, or the keychain does not answer.

        Raises:
            CredentialError: there is an entry, and it cannot be read. Nothing of it is shown.
        """
        if not key.isprintable():  # no keychain can hold it, and it must not look as if one had failed
            return None
        if key not in self._texts:
            try:
                self._texts[key] = self._read(key)
            except KeychainUnavailable as failure:
                self._tell(failure)
                return None
        return self._parsed(key, self._texts[key])

    def keys(self) -> Sequence[str]:
        """All keys, sorted; none where the keychain does not answer."""
        try:
            return self._ask(lambda backend: backend.keys())
        except KeychainUnavailable as failure:
            self._tell(failure)
            return []

    def update(self, key: str, change: Change) -> Credential | None:
        """See :class:`~keelback.credentials.stores.WritableStore`.

        An entry that cannot be read counts as none where *change* puts something in its place. What is equal to what is
        there, and yet another object, is written: that makes one entry where others have left several.

        Raises:
            CredentialStoreError: the keychain does not answer, or cannot take it.
            CredentialError: *change* wants nothing to be there, and the entry that is cannot be read: it may be
                somebody else's.
        """
        with locked(self.name, self.name):
            text = self._asked_to_write(key, lambda: self._read(key))
            unreadable: CredentialError | None = None
            before = None
            try:
                before = self._parsed(key, text)
            except CredentialError as error:
                unreadable = error
            after = change(before)
            if after is None and unreadable is not None:
                raise unreadable
            if after is not before:
                text = self._asked_to_write(key, lambda: self._replace(key, after))
            self._texts[key] = text
        return after

    def _read(self, key: str) -> Secret | None:
        text = self._ask(lambda backend: backend.read(key))
        return None if text is None else Secret(text)

    def _replace(self, key: str, credential: Credential | None) -> Secret | None:
        if credential is None:
            self._ask(lambda backend: backend.delete(key))
            return None
        text = Secret(json.dumps(to_json(credential), ensure_ascii=False, separators=(",", ":")))
        self._ask(lambda backend: backend.write(key, text.reveal()))
        return text

    def _ask(self, question: Callable[[Backend], _T]) -> _T:
        return self._keychain.ask(question, self._deadline)

    def _asked_to_write(self, key: str, question: Callable[[], Secret | None]) -> Secret | None:
        try:
            return question()
        except KeychainUnavailable as failure:
            hint = "Keep the credential in the auth file: --no-keychain."
            if not failure.absent:
                hint = "Unlock the keychain and try again, or keep the credential in the auth file: --no-keychain."
            raise CredentialStoreError(
                f"{self.name}: key {key!r} cannot be written: {failure.reason}.", hint=hint
            ) from failure

    def _parsed(self, key: str, text: Secret | None) -> Credential | None:
        if text is None:
            return None
        place = f"{self.name}, key {key!r}"
        hint = f"Log in again, or delete the entry: {self._keychain.backend.deletion_command(key)}."
        try:
            return parse_credential(json.loads(text.reveal()), source=place)
        except (ValueError, RecursionError):
            error = CredentialError(f"{place}: the entry is not JSON.", hint=hint, code="bad-credential")
        except CredentialError as wrong:
            if wrong.code == "bad-token":
                raise
            error = CredentialError(f"{place}: {wrong.message}", hint=hint, code=wrong.code)
        raise error  # out here, so that json's own error, which holds the text, is not part of it

    def _tell(self, failure: KeychainUnavailable) -> None:
        if self._keychain.tell_once():
            level = logging.INFO if failure.absent else logging.WARNING
            _log.log(level, "%s is not used: %s", self.name, failure.reason)
