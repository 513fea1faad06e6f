"""The tokens that ``anaconda login`` saved; read, and never written.

conda and anaconda-client keep one file for each server that was logged in to, named after the URL of its API
(conda, gateways/anaconda_client.py; anaconda-client, binstar_client/utils/config.py).
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import unquote_plus

from keelback.credentials.kinds import CondaToken, check_token
from keelback.credentials.modes import warn_if_open
from keelback.credentials.stores import Store
from keelback.errors import CredentialError, CredentialFileError
from keelback.hosts import host_of, split_url
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.credentials.kinds import Credential

__all__ = ["AnacondaTokenStore", "anaconda_token_store"]

_SUFFIX: Final = ".token"
_LONGEST: Final = 8192
"""Bytes; anaconda-client takes no longer one either."""


def anaconda_token_store(environ: Mapping[str, str], home: Path | None) -> AnacondaTokenStore:
    """The folders in which conda and anaconda-client look for tokens, the first one first.

    Args:
        environ: the variables; ``BINSTAR_CONFIG_DIR`` names another place.
        home: the user's home directory, if there is one.
    """
    from platformdirs import user_config_path  # noqa: PLC0415 - only this needs it

    named = environ.get("BINSTAR_CONFIG_DIR")
    if named:
        data = Path(named) / "data"
        return AnacondaTokenStore([data, data / "tokens"])
    folders = [user_config_path("binstar", "ContinuumIO")]
    if home is not None:
        folders.append(home / ".continuum" / "anaconda-client" / "tokens")
    return AnacondaTokenStore(folders)


class AnacondaTokenStore(Store):
    """Tokens by the host of the server that gave them, and by the host from which conda downloads its packages.

    A login at ``https://api.anaconda.org`` is found under ``api.anaconda.org`` and under ``conda.anaconda.org``; one at
    ``https://host/tenant/api`` under nothing, because the token would go to all of the host. The
    folders are read when a key is first asked for, and a file when its token is.

    Args:
        folders: where the files are; the first one that has a host wins. One that cannot be read has none.
    """

    is_beyond_rattler: ClassVar[bool] = True

    def __init__(self, folders: Sequence[Path]) -> None:
        self.name = f"anaconda login ({', '.join(map(str, folders))})"
        self._folders = tuple(folders)

    def __repr__(self) -> str:
        return f"AnacondaTokenStore({[str(folder) for folder in self._folders]})"

    @property
    def is_absent(self) -> bool:
        """Whether none of the folders is there."""
        return not any(folder.is_dir() for folder in self._folders)

    def get(self, key: str) -> Credential | None:
        """The token for the host *key*, or nothing.

        Raises:
            CredentialFileError: its file cannot be read, or what is in it cannot be a token (code ``bad-token``).
        """
        file = self._files.get(key)
        return None if file is None else CondaToken(_read_token(file))

    def keys(self) -> Sequence[str]:
        """All hosts, in the order of the folders and of the names in them."""
        return list(self._files)

    @cached_property
    def _files(self) -> Mapping[str, Path]:
        files: dict[str, Path] = {}
        for folder in self._folders:
            for file in _token_files(folder):
                for host in _hosts_of(unquote_plus(file.name.removesuffix(_SUFFIX))):
                    files.setdefault(host, file)
        return files


def _token_files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.name.endswith(_SUFFIX))
    except OSError:
        return []


def _hosts_of(url: str) -> list[str]:
    """The hosts that a login at *url* is for; none where it is for a part of a host, of which others have the rest."""
    path = re.split(r"[?#]", split_url(url)[1].lstrip("/"), maxsplit=1)[0].partition("/")[2].strip("/")
    if path not in {"", "api", "conda"}:
        return []
    return [host for host in (host_of(url), host_of(_with_conda_for_api(url))) if host]


def _with_conda_for_api(url: str) -> str:
    """Where the server whose API is at *url* has its packages (conda, ``replace_first_api_with_conda``)."""
    return re.sub(r"([./])api([./]|$)", r"\1conda\2", url, count=1)


def _read_token(file: Path) -> Secret:
    try:
        with file.open("rb") as opened:
            warn_if_open(file, opened, f"the token file {file}")
            data = opened.read(_LONGEST + 1)
    except OSError as error:
        raise CredentialFileError(
            f"the token file {file} cannot be read: {error.strerror or 'the system does not say why'}.",
            hint=_LOG_IN_AGAIN,
        ) from error
    source = f"the file {file}"
    if len(data) > _LONGEST:
        raise CredentialFileError(f"The token from {source} is too long.", hint=_LOG_IN_AGAIN, code="bad-token")
    token = Secret(data.decode("utf-8", "replace").strip(), source)
    try:
        return check_token(token, source)
    except CredentialError as error:
        raise CredentialFileError(error.message, hint=_LOG_IN_AGAIN, code="bad-token") from None


_LOG_IN_AGAIN: Final = "Run anaconda login again, or remove the file."
