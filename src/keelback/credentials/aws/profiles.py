"""The profiles of the AWS SDKs: ``~/.aws/config`` and ``~/.aws/credentials``, or the files that variables name.

("AWS SDKs and Tools Reference Guide": "Shared config and credentials files", "Location of the shared config and
credentials files".)
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keelback.credentials.aws.inifiles import Section, block, read_sections
from keelback.credentials.paths import home_folder
from keelback.errors import CredentialFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keelback.secret import Secret

CHOSEN: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
CONFIG_FILE: Final = "AWS_CONFIG_FILE"
CREDENTIALS_FILE: Final = "AWS_SHARED_CREDENTIALS_FILE"
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile: its section of the credentials file, and that of the config file.

    Attributes:
        name: its name.
        sections: the first that has a setting counts.
    """

    name: str
    sections: Sequence[Section] = field(repr=False)

    def get(self, setting: str) -> str:
        """The value of *setting*, which is no secret; empty where it is not set."""
        return next((section.texts[setting].strip() for section in self.sections if section.texts.get(setting)), "")

    def secret(self, setting: str) -> Secret | None:
        """The value of *setting*, which is a secret."""
        return next((section.secrets[setting] for section in self.sections if setting in section.secrets), None)

    def block(self, setting: str) -> Mapping[str, str]:
        """The settings that are indented below *setting*, such as ``s3``."""
        return block(self.get(setting))

    def where(self, setting: str = "") -> str:
        """The profile as a person would say it: ``profile 'dev' of ~/.aws/config``, where *setting* is."""
        return f"profile {self.name!r} of {self._section(setting).file}"

    def wrong(self, what: str, *, setting: str = "", hint: str) -> CredentialFileError:
        """The error for a profile that cannot be used: *what* goes on from its name."""
        section = self._section(setting)
        return CredentialFileError(f"{section.file}, line {section.line}: profile {self.name!r} {what}.", hint=hint)

    def _section(self, setting: str) -> Section:
        having = (each for each in self.sections if each.texts.get(setting) or setting in each.secrets)
        return next(having, self.sections[-1])


class Profiles:
    """All profiles; the files are read when one is asked for.

    Args:
        environ: the variables that say where the files are, and which profile is meant.
        home: the user's home directory, in place of the process's own.
    """

    def __init__(self, environ: Mapping[str, str], home: Path | None = None) -> None:
        self._environ = environ
        self._home = home or home_folder()

    @cached_property
    def chosen(self) -> Profile | None:
        """The profile that ``AWS_PROFILE`` names, or else the one called ``default``; ``None`` where that is not there.

        Raises:
            UsageError: the one that is named is in no file.
            CredentialFileError: a file cannot be read, or is malformed.
        """
        variable = next((name for name in CHOSEN if self._environ.get(name)), None)
        if variable is None:
            return self.named(DEFAULT)
        name = self._environ[variable]
        profile = self.named(name)
        if profile is None:
            where = " nor in ".join(file for _, file in self._places())
            raise UsageError(
                f"{variable} names the profile {name!r}, which is neither in {where}",
                hint=f"Correct {variable}, or unset it.",
            )
        return profile

    def named(self, name: str) -> Profile | None:
        """The profile *name*; ``None`` where there is none. Raises as :attr:`chosen`."""
        credentials, config = self._files
        bare = config.get(name) if name == DEFAULT else None
        found = [each for each in (credentials.get(name), config.get(f"profile {name}") or bare) if each is not None]
        return Profile(name, found) if found else None

    def service(self, profile: Profile, service: str) -> Mapping[str, str]:
        """The settings of *service* in the section of services that *profile* names, such as ``endpoint_url``."""
        name = profile.get("services")
        section = self._files[1].get(f"services {name}") if name else None
        return {} if section is None else block(section.texts.get(service, ""))

    @cached_property
    def _files(self) -> tuple[Mapping[str, Section], Mapping[str, Section]]:
        """What is in the credentials file, and what is in the config file."""
        (credentials, credentials_name), (config, config_name) = self._places()
        return (
            {} if credentials is None else read_sections(credentials, credentials_name),
            {} if config is None else _normal(read_sections(config, config_name)),
        )

    def _places(self) -> tuple[tuple[Path | None, str], tuple[Path | None, str]]:
        return self._place(CREDENTIALS_FILE, "credentials"), self._place(CONFIG_FILE, "config")

    def _place(self, variable: str, name: str) -> tuple[Path | None, str]:
        """The file that *variable* names, or the usual one; and what messages call it."""
        named = self._environ.get(variable)
        if named:
            path = Path(os.path.expanduser(named))  # noqa: PTH111 - Path.expanduser raises where there is no home
            return path, f"{variable} ({path})"
        return None if self._home is None else self._home / ".aws" / name, f"~/.aws/{name}"


def _normal(sections: Mapping[str, Section]) -> dict[str, Section]:
    """*sections* of a config file by ``KIND NAME`` with one space, and without the quotes that may be around a name."""
    normal: dict[str, Section] = {}
    for header, section in sections.items():
        try:
            words = shlex.split(header)
        except ValueError:
            words = header.split()
        normal.setdefault(" ".join(words), section)
    return normal
