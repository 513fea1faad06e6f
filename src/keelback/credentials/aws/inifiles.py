"""The files in which the AWS SDKs keep profiles: sections of settings, some of which are blocks of settings themselves.

("AWS SDKs and Tools Reference Guide": "Shared config and credentials files", "Format of the config file".)
"""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keelback.credentials.modes import warn_if_open
from keelback.errors import CredentialFileError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECRETS: Final = frozenset({"aws_secret_access_key", "aws_session_token", "aws_security_token"})
"""The settings whose values are secrets."""

_LARGEST_FILE: Final = 1 << 20
_HEADER: Final = re.compile(r"\[(?P<name>[^\]]+)\]")
_NO_SECTION: Final = "\0"
"""The name of no section: none of these files has one whose settings hold for all others."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a file.

    Attributes:
        file: what messages call the file.
        line: where the section begins.
        texts: the values of the settings that are no secrets, by their names in lower case.
        secrets: those of the settings that are.
    """

    file: str
    line: int
    texts: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, Secret] = field(repr=False)


def read_sections(path: Path, name: str) -> dict[str, Section]:
    """The sections of the file *path*, by what stands in their brackets; none where there is no such file.

    Args:
        path: the file.
        name: what messages call it.

    Raises:
        CredentialFileError: it cannot be read, or is malformed. The message says in which line, and shows no value.
    """
    text = _read(path, name)
    parser = configparser.RawConfigParser(strict=False, default_section=_NO_SECTION)
    try:
        parser.read_string(text)
    except configparser.ParsingError as error:
        raise CredentialFileError(
            f"{name}, line {_line_of(error)}: this is neither a [SECTION] nor NAME = VALUE.",
            hint="Mend that line, or name another file.",
        ) from None  # the original shows the line
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if (header := _HEADER.match(line)) is not None:
            lines.setdefault(header["name"], number)
    return {
        section: _section(parser.items(section), name, lines.get(section, 1), section) for section in parser.sections()
    }


def block(value: str) -> dict[str, str]:
    """The settings in *value*, which is that of a setting with further lines indented below it."""
    pairs = (line.partition("=") for line in value.splitlines() if "=" in line)
    return {name.strip().lower(): text.strip() for name, _, text in pairs}


def _section(items: list[tuple[str, str]], file: str, line: int, name: str) -> Section:
    source = f"[{name}] of {file}"
    secrets = {key: Secret(value, f"{key} in {source}") for key, value in items if key in SECRETS and value}
    return Section(file, line, {key: value for key, value in items if key not in SECRETS}, secrets)


def _read(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
            if any(secret.encode() in data for secret in SECRETS):
                warn_if_open(path, file, name)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CredentialFileError(f"{name}: cannot be read: {reason}.", hint="See that you may read it.") from error
    if len(data) > _LARGEST_FILE:
        raise CredentialFileError(f"{name}: larger than 1 MiB, which no file of profiles is.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    raise CredentialFileError(f"{name}, line {line}: not UTF-8.", hint="Save the file in UTF-8.")


def _line_of(error: configparser.ParsingError) -> int:
    """The first line that *error* is about; some errors know one line, others several."""
    number = getattr(error, "lineno", None)
    return number if isinstance(number, int) else min((each for each, _ in error.errors), default=1)
