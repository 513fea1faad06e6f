"""Where credentials, and what goes with them, are on a machine.

The auth file is where the rattler family has it (rattler_networking, storage.rs); keelback's own files are where the
system keeps such files (XDG Base Directory Specification, and its like on macOS and Windows).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN_FILE: Final = "KEELBACK_CREDENTIALS_FILE"
"""The variable that names another place for keelback's own file."""


def home_folder() -> Path | None:
    """The user's home directory; ``None`` in a container whose user has no entry, and no ``HOME``."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def default_auth_file(home: Path) -> Path:
    """The auth file of the rattler family that nobody has to name."""
    return home / ".rattler" / "credentials.json"


def netrc_file(environ: Mapping[str, str], home: Path | None) -> Path | None:
    """The netrc file that ``NETRC`` names, else ``~/.netrc``, or ``~/_netrc`` on Windows.

    An empty ``NETRC`` means none, as it does for rattler (rattler_networking, netrc.rs).
    """
    named = environ.get("NETRC")
    if named is not None or home is None:
        return Path(named) if named else None
    return home / ("_netrc" if os.name == "nt" else ".netrc")


def own_file(environ: Mapping[str, str]) -> Path:
    """Keelback's own file, for what the rattler family's cannot hold."""
    named = environ.get(OWN_FILE)
    if named:
        return Path(named)
    from platformdirs import user_config_path  # noqa: PLC0415 - only where it is not named

    return user_config_path("keelback", appauthor=False) / "credentials.json"


def lock_folder() -> Path:
    """Where the locks are of stores and of renewals."""
    from platformdirs import user_state_path  # noqa: PLC0415 - few need it

    return user_state_path("keelback", appauthor=False) / "locks"


def cache_folder(named: str | Path | None = None) -> Path:
    """Where indexes are kept between runs: *named*, or else ``KEELBACK_CACHE_DIR``, or the user's cache directory."""
    named = named or os.environ.get("KEELBACK_CACHE_DIR")
    if named:
        return Path(named)
    from platformdirs import user_cache_path  # noqa: PLC0415 - only where it is not named

    return user_cache_path("keelback", appauthor=False)
