"""Tokens that Microsoft Entra ID gives to an application, for its secret or for the identity of another issuer.

(Microsoft identity platform, "OAuth 2.0 client credentials flow"; "Workload identity federation".)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlencode, urlsplit

from keelback.credentials.azure.wire import RESOURCE
from keelback.credentials.confidential import LARGEST_ANSWER, Confidential
from keelback.credentials.kinds import check_token
from keelback.credentials.oidc.asking import SECONDS, SECONDS_IN_ALL, Reply, replied
from keelback.credentials.oidc.exchanged import Exchanged
from keelback.credentials.oidc.sending import send_identity
from keelback.errors import CredentialError, ExchangeError, IdentityError, UsageError
from keelback.hosts import host_of
from keelback.secret import Secret, announce, redact
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.transport import Answer, Client

TENANT: Final = "AZURE_TENANT_ID"
CLIENT: Final = "AZURE_CLIENT_ID"
SECRET: Final = "AZURE_CLIENT_SECRET"  # noqa: S105 - the name of a variable
TOKEN_FILE: Final = "AZURE_FEDERATED_TOKEN_FILE"  # noqa: S105 - likewise
AUTHORITY: Final = "AZURE_AUTHORITY_HOST"
"""The variables of Azure's own libraries ("EnvironmentCredential", "WorkloadIdentityCredential")."""

PUBLIC: Final = "https://login.microsoftonline.com"
AUDIENCES: Final = {
    "login.microsoftonline.com": "api://AzureADTokenExchange",
    "login.microsoftonline.us": "api://AzureADTokenExchangeUSGov",
    "login.partner.microsoftonline.cn": "api://AzureADTokenExchangeChina",
    "login.chinacloudapi.cn": "api://AzureADTokenExchangeChina",
}
"""For whom identities are made that are to be exchanged, in each cloud ("Configure an app to trust an external identity
provider", "Federated identity credential in national clouds")."""

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,127}")
_LARGEST_TOKEN_FILE: Final = 64 << 10
_AADSTS: Final = re.compile(r"AADSTS([0-9]{3,8})")
_LONGEST: Final = 300
_BY_JWT: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FEDERATED: Final = (
    "Under 'Federated credentials' of the application or managed identity {client}, there has to be one with the "
    "issuer, the subject and the audience of the identity{shown}."
)
_MATCHED: Final = ("iss=", "aud=", "sub=")
_HINTS: Final = {
    "700016": f"Check {CLIENT} and {TENANT}: the tenant has no such application.",
    "90002": f"Check {TENANT}: there is no such tenant.",
    "900023": f"Check {TENANT}: it is neither the identifier nor the domain of a tenant.",
    "7000215": f"Check {SECRET}: it has to be the value of the secret, and not its identifier.",
    "7000222": f"The secret has expired: make a new one for the application, and put it into {SECRET}.",
    "700024": "Check the clock of this machine, and run the job again: the identity had expired when it was shown.",
    "500011": "The tenant does not know Azure Storage as a service: has it a subscription?",
}
"""What to do about errors of Entra ID ("Microsoft Entra authentication and authorization error codes")."""


@dataclass(frozen=True, slots=True)
class Application:
    """An application, or a managed identity, as which tokens are asked for.

    Attributes:
        tenant: whose directory it is in.
        client_id: its own identifier.
        authority: the URL of Entra ID, without a slash at its end.
    """

    tenant: str
    client_id: str
    authority: str = PUBLIC

    @classmethod
    def named_in(cls, environ: Mapping[str, str]) -> Self | None:
        """The application that the variables in *environ* name; ``None`` where they name none.

        Raises:
            UsageError: one of them is invalid.
        """
        tenant, client_id = (environ.get(name, "").strip() for name in (TENANT, CLIENT))
        if not tenant or not client_id:
            return None
        for name, value in ((TENANT, tenant), (CLIENT, client_id)):
            if not _ID.fullmatch(value):
                raise UsageError(f"{name} is not a valid identifier", hint="Copy it again from the Azure portal.")
        return cls(tenant, client_id, authority_in(environ))

    @property
    def audience(self) -> str:
        """For whom identities are made that are to be exchanged."""
        return AUDIENCES.get(host_of(self.authority), AUDIENCES[host_of(PUBLIC)])

    @property
    def endpoint(self) -> str:
        """Where tokens are given."""
        return f"{self.authority}/{self.tenant}/oauth2/v2.0/token"

    def form(self, **proof: str) -> bytes:
        """A request for a token for Azure Storage, with a *proof* of being the application."""
        fields = {"grant_type": "client_credentials", "client_id": self.client_id, "scope": f"{RESOURCE}/.default"}
        return urlencode({**fields, **proof}).encode()


def authority_in(environ: Mapping[str, str]) -> str:
    """The URL of Entra ID that *environ* names, or the public one.

    Raises:
        UsageError: it is none.
    """
    named = environ.get(AUTHORITY, "").strip().rstrip("/") or PUBLIC
    url = named if "://" in named else f"https://{named}"
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not host_of(url) or parts.query or parts.username is not None:
        raise UsageError(f"{AUTHORITY}: {redact(named)!r} is not an https URL", hint=f"Write it like {PUBLIC}.")
    return url


def by_identity(client: Client, application: Application, identity: Callable[[], IdToken]) -> Exchanged:
    """A token for an identity that a CI system made.

    Args:
        client: sends the requests; follows no redirect, and sends nothing over plain HTTP to another machine.
        application: as which.
        identity: gives an identity for its audience.

    Raises:
        IdentityError: there is no identity.
        ExchangeError: Entra ID gave no token.
    """

    def body(token: IdToken) -> bytes:
        return application.form(client_assertion_type=_BY_JWT, client_assertion=token.secret.reveal())

    reply = send_identity(
        client,
        application.endpoint,
        identity,
        body,
        _HEADERS,
        hint=lambda answer, token: _hint(answer, application, token),
        words=words_of,
    )
    return token_in(reply)


def by_file(client: Client, application: Application, file: Path) -> Exchanged:
    """A token for the identity in *file*, which is read anew each time: whoever keeps it replaces it.

    Raises:
        IdentityError: there is no identity in it.
        ExchangeError: Entra ID gave no token.
    """
    identity = _identity_in(file)
    return _asked(client, application, client_assertion_type=_BY_JWT, client_assertion=identity.reveal())


def by_secret(client: Client, application: Application, secret: Secret) -> Exchanged:
    """A token for the *secret* of the application; raises ``ExchangeError`` where Entra ID gives none."""
    return _asked(client, application, client_secret=secret.reveal())


_HEADERS: Final = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}


def _asked(client: Client, application: Application, **proof: str) -> Exchanged:
    url = application.endpoint
    request = Request(
        "POST", url, Confidential(SECONDS), _HEADERS, body=application.form(**proof), limit=LARGEST_ANSWER
    )
    reply = replied(
        url,
        lambda: client.send(request),
        failure=lambda: f"{host_of(url)} gave no token for the application {application.client_id}",
        error=ExchangeError,
        source=f"{host_of(url)}",
        seconds=SECONDS_IN_ALL,
    )
    if not reply.answer.ok:
        raise reply.refusal(words_of(reply.answer), hint=_hint(reply.answer, application))
    return token_in(reply)


def token_in(reply: Reply) -> Exchanged:
    """The token in *reply*, a success, as OAuth gives it (RFC 6749, section 5.1); raises where there is none."""
    token = announce(reply.token("access_token"))
    dated = Exchanged.dated_by_itself(token)
    lasts = _seconds(reply.members().get("expires_in"))
    return dated if dated.expires_at is not None or lasts is None else Exchanged(token, lasts=lasts)


def _seconds(value: object) -> float | None:
    """*value*, a number or its digits, as some services write it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def words_of(answer: Answer) -> str:
    """What Entra ID says of an error, in one line, redacted, and without trace and correlation IDs."""
    document = answer.json()
    said = document.get("error_description") if isinstance(document, dict) else None
    if not isinstance(said, str):
        return ""
    first = re.split(r"[\r\n]| (?:Trace|Correlation) ID:", said.strip()[:4096], maxsplit=1)[0]
    first = "".join(letter if letter.isprintable() else "?" for letter in redact(first))
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 1]}…"


def _hint(answer: Answer, application: Application, identity: IdToken | None = None) -> str:
    code = _AADSTS.search(words_of(answer))
    if code is not None and code[1] in _HINTS:
        return _HINTS[code[1]]
    if code is not None and code[1].startswith("7002"):
        told = [] if identity is None else [claim for claim in identity.shown() if claim.startswith(_MATCHED)]
        return _FEDERATED.format(client=application.client_id, shown=f": {', '.join(told)}" if told else "")
    return f"Check {TENANT}, {CLIENT} and what the application may do."


def _identity_in(file: Path) -> Secret:
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_TOKEN_FILE + 1)
        text = content.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise IdentityError(f"{TOKEN_FILE} names {file}, which cannot be read: {reason}", hint=_WHO_KEEPS_IT) from None
    if len(content) > _LARGEST_TOKEN_FILE:
        raise IdentityError(f"{TOKEN_FILE} names {file}, which is larger than any identity", hint=_WHO_KEEPS_IT)
    secret = Secret(text, f"the file that {TOKEN_FILE} names")
    try:
        return check_token(secret, secret.source)
    except CredentialError as error:
        raise IdentityError(error.message, hint=_WHO_KEEPS_IT) from None


_WHO_KEEPS_IT: Final = "The workload identity webhook of Kubernetes, or whatever else sets the variable, writes it."
