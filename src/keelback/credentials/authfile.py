"""The auth file that rattler-build, pixi and py-rattler share."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from keelback.credentials.codec import parse_credential, to_json
from keelback.credentials.jsonobject import Member, read_members
from keelback.credentials.locks import locked, make_private_folder
from keelback.credentials.modes import warn_if_folder_open, warn_if_open
from keelback.credentials.stores import WritableStore
from keelback.durable import rename, write_synced
from keelback.errors import ChannelError, CredentialError, CredentialFileError, CredentialStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keelback.credentials.kinds import Credential
    from keelback.credentials.stores import Change

__all__ = ["FileStore"]

_LARGEST_FILE: Final = 1 << 20


class FileStore(WritableStore):
    """The auth file that rattler-build, pixi and py-rattler share: one JSON object, from keys to credentials.

    The file is read once, when the store is made; a file with a mistake in it is refused as a whole, as rattler does,
    so that no credential is passed over in silence. Only a token that cannot be one (empty, with a line break) waits
    for :meth:`get` to complain: in CI the secrets of hosts that a job does not use are often empty.

    Args:
        path: the file.
        name: what messages call it; it should hold the path.
        required: whether a file that does not exist is an error; otherwise it is a store without keys.
        parse: makes a credential of a value; given the value and, as ``source``, its place.
        encode: makes a value of a credential.

    Raises:
        CredentialFileError: the file is missing although required, cannot be read, or is malformed. The message says
            which file, where in it and under which key, and shows no value.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        required: bool = False,
        parse: Callable[..., Credential] = parse_credential,
        encode: Callable[[Credential], Mapping[str, object]] = to_json,
    ) -> None:
        self.path: Path = path
        self.name = name
        self._parse = parse
        self._encode = encode
        data = _read(path, name)
        if data is None and required:
            hint = "A variable's '~' is not replaced by anybody." if str(path).startswith("~") else "Is the path right?"
            raise CredentialFileError(f"{name}: no such file.", hint=hint)
        self._entries = {member.key: self._entry(member) for member in _members(data, name)}

    _variable: ClassVar[str] = "RATTLER_AUTH_FILE"
    """Names another file in the place of this one."""

    @property
    def _named(self) -> str:
        """How another file is named in the place of this one, as the end of a sentence."""
        return "by --auth-file" if self.name.startswith("--auth-file") else f"in {self._variable}"

    def __repr__(self) -> str:
        return f"FileStore({str(self.path)!r}, {self.name!r})"

    def get(self, key: str) -> Credential | None:
        """The credential under exactly *key*, or nothing.

        Raises:
            CredentialFileError: code ``bad-token``: the token under this key cannot be one.
        """
        entry = self._entries.get(key)
        if isinstance(entry, _Unusable):
            raise CredentialFileError(entry.message, hint=entry.hint, code="bad-token")
        return entry

    def keys(self) -> Sequence[str]:
        """All keys, in the order of the file."""
        return list(self._entries)

    def update(self, key: str, change: Change) -> Credential | None:
        """See :class:`~keelback.credentials.stores.WritableStore`; other entries stay as they are written.

        The file is replaced in one step, and is its owner's alone from then on; a symbolic link stays one.
        """
        path = self.path.resolve()
        with locked(str(path), self.name):
            with self._explained():
                make_private_folder(path.parent)
            members = {member.key: member for member in _members(_read(path, self.name), self.name)}
            entries = {name: self._entry(member) for name, member in members.items()}
            before = entries.get(key)
            after = change(None if isinstance(before, _Unusable) else before)
            if after != before:
                values = {name: member.value for name, member in members.items() if name != key or after is not None}
                if after is not None:
                    values[key] = self._encode(after)
                    entries[key] = after
                else:
                    del entries[key]
                content = self._written(values)
                with self._explained():
                    _replace(path, content)
                warn_if_folder_open(path.parent, self.name)
            self._entries = entries
        return after

    def _written(self, values: Mapping[str, object]) -> bytes:
        """*values* as the content of the file, which can be read again.

        Raises:
            CredentialStoreError: they hold what JSON cannot: a number that was too large for Python, most likely.
        """
        try:
            content = json.dumps(values, indent=2, allow_nan=False).encode() + b"\n"
        except ValueError as error:
            hint = "Take it out of the file, and try again."
            raise CredentialStoreError(f"{self.name}: a number in it is too large to be written.", hint=hint) from error
        for member in _members(content, self.name):
            self._entry(member)
        return content

    def _entry(self, member: Member) -> Credential | _Unusable:
        try:
            return self._parse(member.value, source=member.place)
        except CredentialError as error:
            if error.code != "bad-token":
                raise CredentialFileError(f"{member.place}: {error.message}", hint=error.hint) from None
            return _Unusable(error.message, error.hint)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the system says no to into an error that says what to do."""
        try:
            yield
        except (OSError, ChannelError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CredentialStoreError(
                f"{self.name}: cannot be written: {reason}.",
                hint=f"Name a file that you may write {self._named}.",
            ) from error


@dataclass(frozen=True)
class _Unusable:
    """What to say when a token that cannot be one is asked for."""

    message: str
    hint: str


def _members(data: bytes | None, name: str) -> Iterable[Member]:
    return () if data is None else read_members(data, name)


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write_synced(new, content, mode=0o600)
        rename(new, path)
    finally:
        new.unlink(missing_ok=True)


def _read(path: Path, name: str) -> bytes | None:
    """The bytes of the file, or nothing where there is none; says so when others can read them."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
            warn_if_open(path, file, name)
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise CredentialFileError(f"{name}: this is a directory, not a file.") from None
    except PermissionError:
        hint = "On Windows a directory looks like this, too." if os.name == "nt" else f"ls -l {path} shows who may."
        raise CredentialFileError(f"{name}: not allowed to read it.", hint=hint) from None
    except (OSError, ValueError) as error:
        raise CredentialFileError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if len(data) > _LARGEST_FILE:
        raise CredentialFileError(f"{name}: larger than 1 MiB; this is no auth file.")
    return data
