"""Where a credential file says that an identity is: in another file, or at a URL (AIP-4117, "credential_source")."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from keelback.credentials.confidential import LARGEST_ANSWER, Confidential
from keelback.credentials.kinds import check_token
from keelback.credentials.oidc.asking import SECONDS, ask
from keelback.errors import CredentialError, CredentialFileError
from keelback.hosts import host_of
from keelback.secret import Secret
from keelback.transport import Request, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from keelback.transport import Client

_LINK_LOCAL: Final = "169.254.169.254"
"""Where the metadata servers of clouds are, which speak no https."""
_LARGEST_FILE: Final = 64 << 10
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie"})


@dataclass(frozen=True)
class SubjectFile:
    """A file that has the identity; it is read anew each time.

    Attributes:
        path: where it is.
        member: of the JSON object in it, that has the identity; empty where the file has nothing else.
    """

    path: Path
    member: str

    def token(self, client: Client) -> Secret:  # noqa: ARG002 - for the one that asks somebody
        """The identity.

        Raises:
            CredentialError: there is none.
        """
        try:
            with self.path.open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        except OSError as error:
            raise CredentialError(
                f"The file with the identity cannot be read: {self.path}: {error.strerror}",
                hint="Check what writes it, and 'credential_source' in the credential file.",
                code="no-identity",
            ) from None
        return _identity_in(content, self.member, f"the file {self.path}")


@dataclass(frozen=True)
class SubjectURL:
    """A URL that gives the identity.

    Attributes:
        url: where to ask.
        headers: what to ask with; the values may be secrets.
        member: see :class:`SubjectFile`.
    """

    url: str
    headers: Mapping[str, Secret] = field(repr=False)
    member: str

    def token(self, client: Client) -> Secret:
        """The identity; raises ``CredentialError`` where there is none."""
        is_plain = urlsplit(self.url).scheme == "http"
        headers = {name: value.reveal() for name, value in self.headers.items()}
        # a cloud's own metadata server speaks no https, and is asked without a secret
        auth = None if is_plain and host_of(self.url) == _LINK_LOCAL else Confidential(SECONDS)
        request = Request("GET", self.url, auth, headers, limit=LARGEST_ANSWER)
        host = host_of(self.url)
        hint = "Check 'credential_source' in the credential file, and that this job may have an identity."
        reply = ask(client, request, provider=host, hint=hint, seconds=SECONDS)
        return _identity_in(reply.answer.content, self.member, host)

    def check(self, where: str) -> None:
        """See that nothing secret goes over plain HTTP.

        Raises:
            CredentialFileError: it would; *where* is the file.
        """
        scheme, host = urlsplit(self.url).scheme, host_of(self.url)
        has_secret = any(name.lower() in _SECRET_HEADERS for name in self.headers)
        if scheme == "https" or (scheme == "http" and is_loopback(host)):
            return
        if scheme != "http" or host != _LINK_LOCAL or has_secret:
            raise CredentialFileError(
                f"{where}: 'credential_source' has no https URL, and the identity would go over plain HTTP",
                hint="Make the file anew with gcloud iam workload-identity-pools create-cred-config.",
                code="plain-http",
            )


def _identity_in(content: bytes, member: str, source: str) -> Secret:
    """The identity in *content*: all of it, or one *member* of the JSON object that it is."""
    text: object = content[:_LARGEST_FILE].decode(errors="replace").strip()
    if member:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        text = document.get(member) if isinstance(document, dict) else None
    if not isinstance(text, str) or not text:
        what = f"JSON with {member!r}" if member else "an identity"
        raise CredentialError(
            f"{source} does not have {what}",
            hint="Check 'credential_source' in the credential file.",
            code="no-identity",
        )
    return check_token(Secret(text, source), source)
