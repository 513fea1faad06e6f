"""Workload identity federation: an identity of another issuer is exchanged for an access token of Google.

(Google Cloud documentation, "Workload Identity Federation"; AIP-4117, "External Account Credentials"; RFC 8693.)
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlencode

from keelback.credentials.gcloud.accounts import impersonated, impersonation_url
from keelback.credentials.gcloud.places import CLOUD_PLATFORM, READ_WRITE
from keelback.credentials.gcloud.tokens import Account, ask_with_form, oauth_words, token_in
from keelback.credentials.oidc.sending import send_identity
from keelback.errors import UsageError
from keelback.secret import announce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keelback.credentials.gcloud.places import Places
    from keelback.credentials.gcloud.subjects import SubjectFile, SubjectURL
    from keelback.credentials.oidc.exchanged import Exchanged
    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.secret import Secret
    from keelback.transport import Client

PROVIDER: Final = "GOOGLE_WORKLOAD_IDENTITY_PROVIDER"
SERVICE_ACCOUNT: Final = "GOOGLE_SERVICE_ACCOUNT"
_PROVIDER: Final = re.compile(
    r"(?:(?:https:)?//iam\.googleapis\.com/)?"
    r"(projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+)"
)
EMAIL: Final = re.compile(r"[a-z0-9][a-z0-9._-]*@[a-z0-9.-]+")
_HINT: Final = (
    "The pool has to have this provider, with the issuer of the identity, an audience that it carries, and a condition "
    "that it meets."
)


def exchange_form(audience: str, subject: Secret, subject_type: str, scope: str) -> dict[str, str]:
    """The form for the Security Token Service; holds a secret."""
    return {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": audience,
        "scope": scope,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": subject.reveal(),
        "subject_token_type": subject_type,
    }


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider of a workload identity pool, by which Google knows the identities of a CI system.

    Attributes:
        name: ``projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER``.
        email: of the service account as which the identity acts; empty where it acts as itself.
    """

    name: str
    email: str = ""

    @classmethod
    def named_in(cls, environ: Mapping[str, str]) -> Self | None:
        """The provider that the variables in *environ* name; ``None`` where they name none.

        Raises:
            UsageError: one of them is invalid.
        """
        name, email = (environ.get(variable, "").strip() for variable in (PROVIDER, SERVICE_ACCOUNT))
        if not name:
            return None
        match = _PROVIDER.fullmatch(name)
        if match is None:
            raise UsageError(
                f"{PROVIDER} is not the name of a provider",
                hint="Write projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER.",
            )
        if email and not EMAIL.fullmatch(email):
            raise UsageError(
                f"{SERVICE_ACCOUNT} is not a service account",
                hint="Write its e-mail address: NAME@PROJECT.iam.gserviceaccount.com.",
            )
        return cls(match[1], email)

    @property
    def audience(self) -> str:
        """For whom identities are made: what a provider wants where nothing else is configured."""
        return f"https://iam.googleapis.com/{self.name}"

    def exchange(self, client: Client, places: Places, identity: Callable[[], IdToken]) -> Exchanged:
        """Exchange an identity for an access token for buckets.

        Args:
            client: sends the requests; follows no redirect, and sends nothing over plain HTTP to another machine.
            places: where to.
            identity: gives an identity for the audience.

        Raises:
            IdentityError: there is no identity.
            ExchangeError: Google gave no token.
        """
        asked = time.time()
        scope = CLOUD_PLATFORM if self.email else READ_WRITE

        def body(token: IdToken) -> bytes:
            subject_type = "urn:ietf:params:oauth:token-type:jwt"
            form = exchange_form(f"//iam.googleapis.com/{self.name}", token.secret, subject_type, scope)
            return urlencode(form).encode()

        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        reply = send_identity(client, places.sts, identity, body, headers, hint=lambda *_: _HINT, words=oauth_words)
        token = token_in(reply, asked)
        if not self.email:
            return token
        announce(token.token)
        url = impersonation_url(places.iam, self.email)
        return impersonated(client, url, token.token, READ_WRITE, whose=self.email)


@dataclass(frozen=True)
class Federated(Account):
    """An identity that somebody else made, for which a pool gives tokens (``external_account``).

    Attributes:
        described: see :class:`Account`.
        url: of the Security Token Service.
        audience: the provider, as that service names it.
        subject_type: what kind of identity it is.
        subject: gives the identity.
    """

    described: str
    url: str
    audience: str
    subject_type: str
    subject: SubjectFile | SubjectURL

    def token(self, client: Client, scope: str) -> Exchanged:
        """See :class:`Account`."""
        form = exchange_form(self.audience, announce(self.subject.token(client)), self.subject_type, scope)
        return ask_with_form(client, self.url, form, whose=self.described, hint=_HINT)
