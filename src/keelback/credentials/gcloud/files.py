"""Credential files of Google Cloud: where they are, and the accounts in them.

(Google Cloud documentation, "How Application Default Credentials works"; AIP-4110 to AIP-4117.) Only variables and the
user's own folder say where one is; nothing in the working directory does.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keelback.credentials.gcloud.accounts import ActingAs, Person, ServiceAccount
from keelback.credentials.gcloud.federation import Federated
from keelback.credentials.gcloud.places import check_universe
from keelback.credentials.gcloud.subjects import SubjectFile, SubjectURL
from keelback.credentials.paths import home_folder
from keelback.errors import CredentialFileError
from keelback.findings import printable
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.gcloud.places import Places
    from keelback.credentials.gcloud.tokens import Account

NAMED: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_NAME: Final = "application_default_credentials.json"
_LARGEST: Final = 64 << 10
_DEEPEST: Final = 3
_LONGEST_LIFE: Final = 43200


def default_account(environ: Mapping[str, str], places: Places) -> Account | None:
    """The account of the file that ``GOOGLE_APPLICATION_CREDENTIALS`` names, or of the one that gcloud keeps.

    ``None`` where there is neither.

    Raises:
        CredentialFileError: the file that is named is not there; or what there is cannot be used.
        UsageError: it is for another cloud than Google's public one.
    """
    named = environ.get(NAMED)
    if named:
        return _account_of(Path(named), places)
    path = gclouds_file(environ)
    return None if path is None or not path.is_file() else _account_of(path, places)


def gclouds_file(environ: Mapping[str, str]) -> Path | None:
    """Where ``gcloud auth application-default login`` puts its file; ``None`` where there is no home."""
    folder = environ.get("CLOUDSDK_CONFIG")
    if folder:
        return Path(folder) / _NAME
    if os.name == "nt":
        data = environ.get("APPDATA")
        return Path(data) / "gcloud" / _NAME if data else None
    home = home_folder()
    return None if home is None else home / ".config" / "gcloud" / _NAME


def _account_of(path: Path, places: Places) -> Account:
    where = f"the file {printable(str(path))}"
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise CredentialFileError(
            f"{where} cannot be read: {error.strerror}", hint=f"Name a file that is there in {NAMED}, or unset it."
        ) from None
    if len(content) > _LARGEST:
        raise CredentialFileError(
            f"{where} is larger than any credential file", hint="Check that it is the right file."
        )
    try:
        document = json.loads(content)
    except json.JSONDecodeError as error:
        problem = f"{where}: line {error.lineno}, column {error.colno}: this is not JSON"
        raise CredentialFileError(problem, hint="Make the file anew.") from None
    except (ValueError, RecursionError):
        raise CredentialFileError(f"{where} is not JSON", hint="Make the file anew.") from None
    return _account_in(_Members(document, where), places, 0)


class _Members:
    """The members of a JSON object in a credential file.

    Args:
        value: the object.
        where: where it is, for messages.

    Raises:
        CredentialFileError: it is something else.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise CredentialFileError(f"{where} is not a JSON object", hint="Make the file anew.")
        self._members: dict[str, Any] = value
        self.where = where

    def text(self, name: str, default: str | None = None) -> str:
        """The text *name*, or *default*; raises ``CredentialFileError`` where there is neither."""
        value = self._members.get(name, default)
        if not isinstance(value, str) or (not value and default is None):
            raise CredentialFileError(f"{self.where} has no valid {name!r}", hint="Make the file anew.")
        return value

    def secret(self, name: str) -> Secret:
        """The text *name*, which is a secret."""
        return Secret(self.text(name), self.where)

    def inner(self, name: str, *, optional: bool = False) -> _Members:
        """The object *name*; an empty one where it is *optional* and not there."""
        value = self._members.get(name, {} if optional else None)
        return _Members(value, f"{self.where}, {name!r}")

    def items(self) -> list[tuple[str, Any]]:
        """All of them."""
        return list(self._members.items())

    def get(self, name: str) -> Any:
        """The member *name*, whatever it is; ``None`` where it is not there."""
        return self._members.get(name)


def _account_in(members: _Members, places: Places, depth: int) -> Account:
    check_universe(members.text("universe_domain", ""), members.where)
    kind = members.text("type")
    if kind == "impersonated_service_account":
        if depth == _DEEPEST:
            raise CredentialFileError(f"{members.where}: too many accounts in each other", hint="Make the file anew.")
        other = _account_in(members.inner("source_credentials"), places, depth + 1)
        return _acting_as(members, other, places)
    if kind not in _KINDS:
        raise CredentialFileError(
            f"{members.where} has a credential of the type {printable(kind)!r}, which keelback does not know",
            hint=f"It takes {', '.join(sorted({*_KINDS, 'impersonated_service_account'}))}; or give a token in "
            "GOOGLE_OAUTH_ACCESS_TOKEN, from: gcloud auth print-access-token.",
            code="unsupported",
        )
    return _KINDS[kind](members, places)


def _person(members: _Members, places: Places) -> Account:
    url = places.checked(members.text("token_uri", places.token), f"{members.where}: 'token_uri'")
    return Person(
        members.where, url, members.text("client_id"), members.secret("client_secret"), members.secret("refresh_token")
    )


def _service_account(members: _Members, places: Places) -> Account:
    url = places.checked(members.text("token_uri", places.token), f"{members.where}: 'token_uri'")
    email, key = members.text("client_email"), members.secret("private_key")
    return ServiceAccount(f"{members.where} ({printable(email)})", url, email, key, members.text("private_key_id", ""))


def _federated(members: _Members, places: Places) -> Account:
    url = places.checked(members.text("token_url"), f"{members.where}: 'token_url'")
    for unsupported in ("client_id", "workforce_pool_user_project"):
        if members.get(unsupported):
            raise CredentialFileError(
                f"{members.where} is for a workforce pool ({unsupported!r}), which keelback does not support",
                hint="Give a token in GOOGLE_OAUTH_ACCESS_TOKEN, from: gcloud auth print-access-token.",
                code="unsupported",
            )
    audience, subject_type = members.text("audience"), members.text("subject_token_type")
    account = Federated(members.where, url, audience, subject_type, _subject(members.inner("credential_source")))
    return _acting_as(members, account, places) if members.get("service_account_impersonation_url") else account


def _acting_as(members: _Members, other: Account, places: Places) -> Account:
    name = "service_account_impersonation_url"
    url = places.checked(members.text(name), f"{members.where}: {name!r}")
    delegates = members.get("delegates") or []
    if not isinstance(delegates, list) or not all(isinstance(delegate, str) for delegate in delegates):
        raise CredentialFileError(f"{members.where} has no valid 'delegates'", hint="Make the file anew.")
    life = members.inner("service_account_impersonation", optional=True).get("token_lifetime_seconds")
    if isinstance(life, bool) or not isinstance(life, int) or not 0 < life <= _LONGEST_LIFE:
        life = 3600
    email = url.rpartition("/")[2].partition(":")[0]
    return ActingAs(f"{members.where} ({printable(email)})", other, url, tuple(delegates), life)


def _subject(source: _Members) -> SubjectFile | SubjectURL:
    layout = source.inner("format", optional=True)
    member = layout.text("subject_token_field_name") if layout.text("type", "text") == "json" else ""
    if source.get("file"):
        return SubjectFile(Path(source.text("file")), member)
    if source.get("url") and not source.get("environment_id"):
        headers = source.inner("headers", optional=True)
        asked_with = {name: Secret(headers.text(name), headers.where) for name, _ in headers.items()}
        subject = SubjectURL(source.text("url"), asked_with, member)
        subject.check(source.where)
        return subject
    raise CredentialFileError(
        f"{source.where} names neither a file nor a URL that has the identity",
        hint="keelback runs no program for it, and does not support AWS and certificates; in a CI system, set "
        "GOOGLE_WORKLOAD_IDENTITY_PROVIDER, or give a token in GOOGLE_OAUTH_ACCESS_TOKEN.",
        code="unsupported",
    )


_KINDS: Final[Mapping[str, Callable[[_Members, Places], Account]]] = {
    "authorized_user": _person,
    "service_account": _service_account,
    "external_account": _federated,
}
