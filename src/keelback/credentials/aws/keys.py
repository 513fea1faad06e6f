"""S3 keys, where they came from, and how they are renewed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from keelback.credentials.kinds import S3Credentials, check_token
from keelback.credentials.oidc.renewed import Renewed
from keelback.errors import CredentialError
from keelback.secret import announce

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.secret import Secret

_AHEAD: Final = 300.0
"""Seconds before their end at which keys are renewed."""
_ID: Final = re.compile(r"[!-~]{1,128}")
_SEPARATORS: Final = frozenset(",/")
"""They stand behind an access key ID in the header of a request (Signature Version 4)."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys, and how long they are valid.

    Attributes:
        credentials: sign requests.
        expires_at: when they expire, in Unix seconds; ``None`` where they do not.
        lasts: for how many seconds they were made; ``None`` where nobody says.
    """

    credentials: S3Credentials
    expires_at: float | None = None
    lasts: float | None = None


class KeySource:
    """Where the keys of requests come from; safe to use from several threads at once.

    Args:
        source: what a person calls it: ``profile 'dev' of ~/.aws/credentials``.
        current: gives the keys to sign the next request with.
    """

    def __init__(self, source: str, current: Callable[[], S3Credentials]) -> None:
        self.source = source
        self._current = current

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r})"

    @classmethod
    def fixed(cls, source: str, credentials: S3Credentials) -> Self:
        """Keys that do not change."""
        return cls(source, lambda: credentials)

    @classmethod
    def renewed(cls, source: str, get: Callable[[], Keys], *, clock: Callable[[], float] = time.time) -> Self:
        """Keys that are fetched at once, and again before they expire, as :class:`Renewed` says.

        Args:
            source: what a person calls where they come from.
            get: gets new keys; raises ``CredentialError``.
            clock: the time, in Unix seconds.
        """
        first = get()
        if first.expires_at is None:
            return cls.fixed(source, _announced(first).credentials)
        waiting = [first]
        renewed = Renewed(
            lambda: _announced(waiting.pop() if waiting else get()),
            name=f"the keys of {source}",
            ahead=_AHEAD,
            clock=clock,
        )
        renewed.current()
        return cls(source, lambda: renewed.current().credentials)

    def current(self) -> S3Credentials:
        """The keys to sign the next request with, renewed if they are about to expire.

        Raises:
            CredentialError: there are none that are still good, and none could be had.
        """
        return self._current()


def checked_keys(access_key_id: str, secret: Secret, token: Secret | None, *, id_source: str) -> S3Credentials:
    """Keys that can be sent.

    Args:
        access_key_id: the ID.
        secret: the secret access key; its ``source`` is named where it can be none.
        token: the session token, if there is one; likewise.
        id_source: where the ID came from.

    Raises:
        CredentialError: code ``bad-token``: one of them cannot be what it is meant to be. Nothing of it is shown.
    """
    if not _ID.fullmatch(access_key_id) or not _SEPARATORS.isdisjoint(access_key_id):
        raise CredentialError(
            f"The access key ID from {id_source} has a character in it that no ID has, or is too long.",
            hint="Copy it again, without quotes and spaces.",
            code="bad-token",
        )
    for part in (secret, token):
        if part is not None:
            check_token(part, part.source)
    return S3Credentials(access_key_id, secret, token)


def _announced(keys: Keys) -> Keys:
    """*keys*, which somebody made during this run, made known to those who keep secrets out of logs."""
    for secret in (keys.credentials.secret_access_key, keys.credentials.session_token):
        if secret is not None:
            announce(secret)
    return keys
