"""Google's own endpoints, and which others are Google's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from keelback.credentials.oidc.audience import is_within
from keelback.errors import CredentialFileError, UsageError
from keelback.hosts import host_of
from keelback.secret import redact

READ_WRITE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
"""The scope of tokens for buckets: objects, and not who may do what with them."""
CLOUD_PLATFORM: Final = "https://www.googleapis.com/auth/cloud-platform"
"""The scope of tokens with which those of another service account are asked for."""
UNIVERSE: Final = "googleapis.com"
_OTHERS: Final = frozenset({"accounts.google.com"})


@dataclass(frozen=True, slots=True)
class Places:
    """Where tokens come from.

    Attributes:
        token: where refresh tokens and signed assertions are exchanged.
        sts: where identities are exchanged (Security Token Service API, "Method: token").
        iam: the origin of the IAM Service Account Credentials API.
        metadata: the origin of the metadata server, which speaks no https.
        also: an origin that is taken for one of Google's; for tests.
    """

    token: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an endpoint
    sts: str = "https://sts.googleapis.com/v1/token"
    iam: str = "https://iamcredentials.googleapis.com"
    metadata: str = "http://metadata.google.internal"
    also: str = ""

    @classmethod
    def at(cls, origin: str) -> Places:
        """Everything at *origin*, as in tests."""
        return cls(f"{origin}/token", f"{origin}/v1/token", origin, origin, origin)

    def owns(self, url: str) -> bool:
        """Whether what is at *url* is Google's."""
        return is_googles(host_of(url)) or bool(self.also and url.startswith(self.also))

    def checked(self, url: str, where: str) -> str:
        """*url*, if what is sent there goes to Google, and nobody else reads it on the way.

        Args:
            url: the endpoint that a file names.
            where: the file and its member, for messages.

        Raises:
            CredentialFileError: code ``foreign-endpoint``: it is another's.
        """
        try:
            parts = urlsplit(url)
            is_plain = parts.scheme == "https" and "@" not in parts.netloc and "\\" not in url
            origin = f"{parts.scheme}://{parts.netloc}"
        except ValueError:
            is_plain, origin = False, ""
        if (is_plain and is_googles(host_of(url))) or (self.also and origin == self.also):
            return url
        raise CredentialFileError(
            f"{where} is {redact(url)!r}, which is not an https URL of Google's; nothing was sent there",
            hint="Make the file anew with gcloud, and use none that somebody else gave you.",
            code="foreign-endpoint",
        )


GOOGLE: Final = Places()


def is_googles(host: str) -> bool:
    """Whether *host*, as :func:`keelback.hosts.host_of` gives it, is one of Google's."""
    return is_within(host, UNIVERSE) or host in _OTHERS


def check_universe(domain: str, where: str) -> None:
    """See that credentials are for the public Google Cloud.

    Args:
        domain: the domain of its APIs (``universe_domain``).
        where: what says so.

    Raises:
        UsageError: code ``unsupported``: it is another cloud, such as one that a government runs.
    """
    if domain not in {"", UNIVERSE}:
        raise UsageError(
            f"{where} is for the Google Cloud of {redact(domain)!r}, and keelback knows that of {UNIVERSE} alone",
            hint="Give a token of that cloud in GOOGLE_OAUTH_ACCESS_TOKEN, and its endpoint with --endpoint-url.",
            code="unsupported",
        )
