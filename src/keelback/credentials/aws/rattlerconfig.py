"""Where a bucket is, by the configuration that the tools of the rattler family share: ``[s3-options.BUCKET]``.

(rattler_config: ``locations.rs``, the shared layer; ``config/s3.rs``.) Files of a project are not looked at: whoever
wrote one could have packages and signed requests go to a place of their own.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keelback.credentials.paths import home_folder
from keelback.errors import UsageError
from keelback.secret import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LARGEST: Final = 1 << 20
_FILE: Final = Path("rattler", "config.toml")
_EXAMPLE: Final = (
    'Write, under [s3-options.BUCKET]: endpoint-url = "https://s3.example.com", and region = "us-east-1", or the '
    "region that the service has for it."
)


@dataclass(frozen=True, slots=True)
class Configured:
    """What a configuration says of one bucket.

    Attributes:
        endpoint_url, region: of its service.
        addressing_style: ``path`` or ``virtual-host``; ``None`` where it is not said.
    """

    endpoint_url: str
    region: str
    addressing_style: str | None


def configured_bucket(name: str, environ: Mapping[str, str]) -> Configured | None:
    """Where the bucket *name* is; ``None`` where no configuration says so. The user's own goes before the system's.

    Raises:
        UsageError: a file cannot be read, or what it says of the bucket is malformed.
    """
    for path in _files(environ):
        document = _read(path)
        options = {} if document is None else document.get("s3-options", {})
        if isinstance(options, dict) and name in options:
            return _configured(options[name], f"{path}: s3-options.{name}")
    return None


def config_file(environ: Mapping[str, str]) -> Path:
    """Where a person would say it: the first of the files."""
    return next(_files(environ))


def config_lines(name: str, endpoint_url: str, region: str, *, path_style: bool) -> str:
    """What says in a configuration where the bucket *name* is: TOML, without an end of line."""
    return (
        f"[s3-options.{name}]\n"
        f'endpoint-url = "{endpoint_url}"\n'
        f'region = "{region}"\n'
        f"force-path-style = {'true' if path_style else 'false'}"
    )


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """The files that may exist, by precedence."""
    if environ.get("RATTLER_HOME"):
        yield Path(environ["RATTLER_HOME"], "config.toml")
    home = home_folder()
    if environ.get("XDG_CONFIG_HOME") and os.name != "nt":
        yield Path(environ["XDG_CONFIG_HOME"]) / _FILE
    elif os.name == "nt" and environ.get("APPDATA"):
        yield Path(environ["APPDATA"]) / _FILE
    elif home is not None:
        from platformdirs import user_config_path  # noqa: PLC0415 - where it is not said

        yield user_config_path() / _FILE
    yield (Path("C:/ProgramData") if os.name == "nt" else Path("/etc")) / _FILE


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="See that you may read it.") from error
    if len(content) > _LARGEST:
        raise UsageError(f"{path} is larger than {_LARGEST} bytes, too large for a configuration")
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is malformed: {redact(str(error))}", hint="Correct it.") from None


def _configured(options: object, where: str) -> Configured:
    if not isinstance(options, dict):
        raise UsageError(f"{where} is no table", hint=_EXAMPLE)
    endpoint, region, path_style = (options.get(name) for name in ("endpoint-url", "region", "force-path-style"))
    if not isinstance(endpoint, str) or not isinstance(region, str) or not isinstance(path_style, bool | None):
        raise UsageError(
            f"{where} needs an endpoint-url and a region, which are texts; force-path-style is true or false",
            hint=_EXAMPLE,
        )
    style = None if path_style is None else "path" if path_style else "virtual-host"
    return Configured(endpoint, region, style)
