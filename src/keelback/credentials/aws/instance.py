"""Keys of the role of a machine at Amazon EC2, from its instance metadata service.

(Amazon EC2 User Guide, "Use the Instance Metadata Service"; "AWS SDKs and Tools Reference Guide", "IMDS credential
provider". Only version 2 of that service is spoken, which nobody can be made to ask by a redirect.)
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from keelback.credentials.aws.documents import keys_in
from keelback.credentials.aws.keys import KeySource
from keelback.credentials.aws.metadata import ask_metadata
from keelback.credentials.aws.settings import checked_server
from keelback.errors import CredentialError, TransportError
from keelback.secret import Secret
from keelback.transport import servers_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.credentials.aws.keys import Keys
    from keelback.transport import Answer

DISABLED: Final = "AWS_EC2_METADATA_DISABLED"
ENDPOINT: Final = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_MODE: Final = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
_IPV4: Final = "http://169.254.169.254"
_IPV6: Final = "http://[fd00:ec2::254]"
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"
_ROLE: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{1,128}")
_TOKEN: Final = re.compile(r"[!-~]{1,1024}")
_TOKEN_SECONDS: Final = 60

_log = logging.getLogger("keelback.credentials")


def instance_role(environ: Mapping[str, str]) -> KeySource | None:
    """The keys of this machine's role; ``None`` where it has none, or is not at EC2.

    Raises:
        UsageError: the variable for another endpoint is invalid.
        CredentialError: the service is there, and gives no keys.
    """
    if environ.get(DISABLED, "").strip().lower() == "true":
        return None
    service = _Service(_origin(environ))
    try:
        role = service.role()
    except TransportError as error:
        _log.info("no instance metadata service: %s", error)
        return None
    return None if role is None else KeySource.renewed(f"this machine's role {role}", lambda: service.keys(role))


def _origin(environ: Mapping[str, str]) -> str:
    named = environ.get(ENDPOINT, "").strip()
    if named:
        return checked_server(named, ENDPOINT)
    return _IPV6 if environ.get(_MODE, "").strip().lower() == "ipv6" else _IPV4


class _Service:
    """The instance metadata service at *origin*."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def role(self) -> str | None:
        """The name of the machine's role; ``None`` where it has none, or this is another service.

        Raises:
            TransportError: nobody answers.
            CredentialError: it does not say.
        """
        token = self._token(attempts=1)
        if token is None:
            return None
        answer = self._get(_ROLES, token)
        if answer.status == 404:
            return None
        lines = answer.text.split()
        if answer.status != 200 or not lines or not _ROLE.fullmatch(lines[0]):
            raise self._useless(answer, "the name of a role")
        return lines[0]

    def keys(self, role: str) -> Keys:
        """The keys of *role*; raises ``CredentialError``."""
        try:
            token = self._token(attempts=3)
            if token is None:
                raise CredentialError(f"The instance metadata service at {self._origin} gives no token any more.")
            answer = self._get(f"{_ROLES}{quote(role, safe='')}", token)
        except TransportError as error:
            raise CredentialError(f"The instance metadata service gave no keys: {error}", hint=error.hint) from error
        document = answer.json() if answer.status == 200 else None
        if not isinstance(document, dict) or document.get("Code", "Success") != "Success":
            raise self._useless(answer, f"the keys of the role {role}")
        return keys_in(
            document,
            token="Token",  # noqa: S106 - the name of a member
            source="the instance metadata service",
            useless=lambda _: self._useless(answer, f"the keys of the role {role}"),
            expire=True,
        )

    def _token(self, *, attempts: int) -> Secret | None:
        """A token for a session with the service; ``None`` where it gives none, as another cloud's does not."""
        url = f"{self._origin}/latest/api/token"
        life = {"x-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
        answer = ask_metadata("PUT", url, life, attempts=attempts)
        if answer.status != 200:
            _log.info("the metadata service at %s gives no token: HTTP %s", self._origin, answer.status)
            return None
        token = Secret(answer.text.strip(), "the instance metadata service")
        return token if _TOKEN.fullmatch(token.reveal()) else None

    def _get(self, path: str, token: Secret) -> Answer:
        return ask_metadata("GET", self._origin + path, {"x-aws-ec2-metadata-token": token.reveal()}, attempts=3)

    def _useless(self, answer: Answer, what: str) -> CredentialError:
        """The error for an *answer* that is not *what* was asked for; a success may hold keys, and is not shown."""
        said = f": {servers_words(answer)}" if answer.status != 200 else ""
        return CredentialError(
            f"The instance metadata service at {self._origin} answered {answer.status}, and not with {what}{said}",
            hint=f"See that the machine's role is set up, or set {DISABLED}=true to do without it.",
        )
