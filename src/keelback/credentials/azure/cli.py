"""Tokens of the person who is logged in with Azure's command-line tool: ``az account get-access-token``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from keelback.credentials.azure.entra import TENANT
from keelback.credentials.azure.wire import RESOURCE
from keelback.credentials.commands import CommandError, CommandNotFound, run
from keelback.credentials.kinds import check_token
from keelback.credentials.oidc.exchanged import Exchanged
from keelback.errors import CredentialError, IdentityError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS: Final = 30.0
_NAME: Final = "Azure CLI"


class NotLoggedIn(IdentityError):
    """The tool is not installed, or gives no token."""


def token(environ: Mapping[str, str]) -> Exchanged:
    """A token for Azure Storage of whoever is logged in, in the tenant that *environ* names, where it names one.

    Raises:
        NotLoggedIn: the tool is not installed, or nobody is logged in.
        IdentityError: it prints something else.
        Interrupted: the user has stopped the run.
    """
    command = ["az", "account", "get-access-token", "--resource", RESOURCE, "--output", "json"]
    tenant = environ.get(TENANT, "").strip()
    if tenant and tenant.replace("-", "").replace(".", "").isalnum():
        command += ["--tenant", tenant]
    try:
        output = run(command, None, _SECONDS, environ)
    except CommandNotFound as error:
        raise NotLoggedIn(f"{_NAME} {error}") from error
    except CommandError as error:
        raise IdentityError(f"{_NAME} {error}", hint=error.hint) from error
    if output.status:
        said = output.complaint() or f"exit status {output.status}"
        raise NotLoggedIn(f"{_NAME} gave no token: {said}", hint="Log in with: az login.")
    return _token_in(output.stdout)


def _token_in(printed: bytes) -> Exchanged:
    try:
        document = json.loads(printed)
    except (ValueError, RecursionError):
        document = None
    value: Any = document.get("accessToken") if isinstance(document, dict) else None
    if not isinstance(value, str):
        raise IdentityError(f"{_NAME} printed no token", hint="Run it yourself: az account get-access-token.")
    secret = Secret(value, _NAME)
    try:
        return Exchanged.dated_by_itself(check_token(secret, _NAME))
    except CredentialError as error:
        raise IdentityError(error.message, hint="Run it yourself: az account get-access-token.") from None
