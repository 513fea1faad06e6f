"""The environment of the programs that keelback starts.

In a CI job, some variables are worth as much as an identity: with them, a program can act as the job towards every
server that trusts it. No program that keelback starts needs them, but for the CI system's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_IDENTITIES: Final = re.compile(
    r"""
      ACTIONS_ID_TOKEN_REQUEST_(?:TOKEN|URL)  # GitHub: together they get an ID token for any audience
    | ACTIONS_RUNTIME_TOKEN                   # GitHub: writes the caches and artifacts that later jobs trust
    | (?:.*_)?ID_TOKEN                        # GitLab, and whoever else has ID tokens in variables: SIGSTORE_ID_TOKEN
    | CI_JOB_JWT(?:_V[12])?                   # GitLab before 17.0: an ID token that was in every job
    | (?:.*_)?OIDC_TOKEN(?:_V2)?              # CircleCI (CIRCLE_OIDC_TOKEN, _V2), Bitbucket, Semaphore: ID tokens
    | BUILDKITE_AGENT_(?:ACCESS_|JOB_API_)?TOKEN # Buildkite: what buildkite-agent gets ID tokens with
    | AZURE_FEDERATED_TOKEN                   # Azure: an ID token
    | TFC_WORKLOAD_IDENTITY_TOKEN(?:_.*)?     # HCP Terraform: an ID token
    """,
    re.VERBOSE,
)

_FOR_INTERPRETER: Final = re.compile(
    r"""
      PATH | HOME | TMP | TEMP | TMPDIR | LANG | LANGUAGE | TZ                  # every system
    | LC_.* | PYTHON.* | VIRTUAL_ENV | CONDA_PREFIX | __PYVENV_LAUNCHER__       # how Python was found
    | LD_.* | DYLD_.* | NIX_LD.*                                                # where its libraries are
    | USERPROFILE | SYSTEMROOT | SYSTEMDRIVE | WINDIR | COMSPEC | PATHEXT       # Windows
    | APPDATA | LOCALAPPDATA | PROGRAMDATA | NUMBER_OF_PROCESSORS | PROCESSOR_ARCHITECTURE
    """,
    re.VERBOSE,
)


def for_child(environ: Mapping[str, str], *, keep: Collection[str] = ()) -> dict[str, str]:
    """The variables for a program that the user chose, such as a credential helper.

    Args:
        environ: the variables of this process.
        keep: names of variables that the program needs although an identity can be had with them.

    Returns:
        *environ* without the identities of CI jobs, and without what identities can be had with.
    """
    return {name: value for name, value in environ.items() if name in keep or not _IDENTITIES.fullmatch(name.upper())}


def for_interpreter(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for a Python of keelback's own that needs none of the user's.

    Returns:
        those of *environ* that an interpreter may need to start: no identity, no server's API key, and no other secret,
        whatever it is called.
    """
    return {name: value for name, value in environ.items() if _FOR_INTERPRETER.fullmatch(name.upper())}
