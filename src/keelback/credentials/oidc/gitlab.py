"""Identities from GitLab CI (GitLab Docs, "OpenID Connect (OIDC) Authentication Using ID Tokens").

The job declares each ID token with its audience and the name of a variable. That this name follows from the audience
is the convention of the programs that look for one (``ambient-id``, Python's ``id``).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, ClassVar

from keelback.credentials.oidc.idtoken import Remedies
from keelback.credentials.oidc.providers import Provider
from keelback.errors import IdentityError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.transport import Client


class GitLab(Provider):
    """GitLab CI, on gitlab.com and on any other GitLab."""

    name: ClassVar[str] = "GitLab CI"
    makes_one: ClassVar[bool] = True

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """See :class:`Provider`."""
        return environ.get("GITLAB_CI") == "true"

    def id_token(self, audience: str, environ: Mapping[str, str], client: Client) -> Secret:  # noqa: ARG002 - GitLab put it into the job
        """See :class:`Provider`; the same one each time."""
        variable = variable_for(audience)
        value = environ.get(variable, "").strip()
        if not value:
            raise IdentityError(
                f"GitLab CI gives this job no identity for {audience!r}: the variable {variable} is not set.",
                hint=f"Add {_declaration(audience)} to the job in .gitlab-ci.yml.",
            )
        return Secret(value, f"the variable {variable}")

    def remedies(self, audience: str) -> Remedies:
        """See :class:`Provider`; an identity ends with the job's time-out (GitLab Docs, "Token payload")."""
        declare = f"Declare {_declaration(audience)} in the job in .gitlab-ci.yml, and set that variable nowhere else."
        return Remedies(
            malformed=declare,
            wrong_audience=declare,
            expired="Run the job again, with a longer timeout if it takes that long: GitLab CI makes one identity for "
            "each job and audience, which ends with the timeout of the job.",
            used="Publish everything in one run of keelback, or divide it among several jobs: GitLab CI makes one "
            "identity for each job and audience, and the server takes each once.",
        )


def _declaration(audience: str) -> str:
    """The line with which a job declares its identity for *audience*."""
    return f"id_tokens: {{{variable_for(audience)}: {{aud: {json.dumps(audience)}}}}}"


def variable_for(audience: str) -> str:
    """The variable with the ID token for *audience*: ``PREFIX_DEV_ID_TOKEN`` for ``prefix.dev``.

    A leading digit becomes ``_``, too (Python's ``id``), as no variable starts with one.
    """
    name = re.sub(r"[^A-Z0-9]|^[0-9]", "_", audience.upper())
    return f"{name}_ID_TOKEN"
