"""Keys from a program that a profile names: ``credential_process``.

("AWS SDKs and Tools Reference Guide", "Process credential provider".)
"""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, Final

from keelback.credentials.aws.documents import keys_in
from keelback.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.credentials.aws.keys import Keys
    from keelback.credentials.aws.profiles import Profile

SETTING: Final = "credential_process"
_SECONDS: Final = 60.0
"""How long it may take; some ask a person to touch a key."""
_VERSION: Final = 1
_TRY_IT: Final = "Run it yourself: it may want you to log in."


def run_process(profile: Profile, environ: Mapping[str, str]) -> Keys:
    """The keys that the program of *profile* prints; it is run without a shell.

    Args:
        profile: has the setting ``credential_process``.
        environ: the variables of the program, which gets them without the identities of a CI job.

    Raises:
        CredentialFileError: the command cannot be parsed.
        CredentialError: code ``helper``: it cannot be run, fails, is not done in time, or prints no keys.
        Interrupted: the user has stopped the run.
    """
    from keelback.credentials.commands import CommandError, run  # noqa: PLC0415 - few have one

    source = f"the {SETTING} of {profile.where(SETTING)}"
    try:
        output = run(_words(profile), None, _SECONDS, environ)
    except CommandError as error:
        raise _failed(f"{source} {error}", _TRY_IT) from error
    if output.status:
        said = output.complaint() or "it does not say why"
        raise _failed(f"{source} failed with exit status {output.status}: {said}", _TRY_IT)
    try:
        document = json.loads(output.stdout)
    except (ValueError, RecursionError):
        document = None

    def useless(what: str) -> CredentialError:
        return _failed(f"{source} printed {what}", "See that it is the right command.")

    if isinstance(document, dict) and document.get("Version") != _VERSION:
        raise useless("JSON that has no 'Version' 1")
    return keys_in(document, token="SessionToken", source=source, useless=useless)  # noqa: S106 - the name of a member


def _words(profile: Profile) -> list[str]:
    try:
        words = shlex.split(profile.get(SETTING), posix=os.name != "nt")
    except ValueError:
        words = []
    if not words:
        hint = "Quote it as a shell would want it."
        raise profile.wrong(f"has a {SETTING} whose quotes do not match", setting=SETTING, hint=hint)
    # outside of POSIX a backslash is one, and the quotes stay where they were
    return words if os.name != "nt" else [word.strip('"') for word in words]


def _failed(message: str, hint: str) -> CredentialError:
    return CredentialError(f"{message[0].upper()}{message[1:]}.", hint=hint, code="helper")
