"""Keelback's own file, for what the files of the rattler family cannot hold.

That is credentials for a part of a host (``host/path`` as the key) and commands that give one (``Helper``). It is read
by keelback alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from keelback.credentials.authfile import FileStore
from keelback.credentials.codec import parse_credential, to_json
from keelback.credentials.helpers import Helper, helper_to_json, parse_helper
from keelback.credentials.paths import OWN_FILE
from keelback.errors import CredentialError

if TYPE_CHECKING:
    from pathlib import Path

    from keelback.credentials.kinds import Credential

__all__ = ["OwnFileStore"]


class OwnFileStore(FileStore):
    """Keelback's own file as a store; what it shares with an auth file is described there.

    Args:
        path: the file; it need not exist.

    Attributes:
        is_path_scoped: see :class:`~keelback.credentials.stores.Store`.
    """

    is_path_scoped: ClassVar[bool] = True
    is_beyond_rattler: ClassVar[bool] = True
    _variable: ClassVar[str] = OWN_FILE

    def __init__(self, path: Path) -> None:
        super().__init__(path, f"keelback's own file ({path})", parse=_parse, encode=_encode)


def _parse(value: object, *, source: str) -> Credential:
    if isinstance(value, dict) and len(value) == 1:
        ((kind, payload),) = value.items()
        if kind == Helper.kind:
            return parse_helper(payload, source=source)
        if kind.casefold() == Helper.kind.casefold():
            raise CredentialError(
                f"unknown kind of credential {kind!r}.", hint=f"Did you mean {Helper.kind!r}?", code="bad-credential"
            )
    return parse_credential(value, source=source)


def _encode(entry: Credential) -> dict[str, object]:
    return {Helper.kind: helper_to_json(entry)} if isinstance(entry, Helper) else to_json(entry)
