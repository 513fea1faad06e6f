"""The role that a CI system's identity may assume at AWS, or at another S3 service, as the AWS SDKs' variables name it.

("AWS SDKs and Tools Reference Guide": assume role credential provider, service-specific endpoints, AWS STS Regional
endpoints.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from keelback.credentials.oidc.audience import audience_of
from keelback.credentials.oidc.idtoken import IdToken
from keelback.credentials.serverurls import checked_url
from keelback.errors import IdentityError, UsageError
from keelback.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROLE: Final = "AWS_ROLE_ARN"
SESSION_NAME: Final = "AWS_ROLE_SESSION_NAME"
TOKEN_FILE: Final = "AWS_WEB_IDENTITY_TOKEN_FILE"  # noqa: S105 - the name of a variable
ENDPOINTS: Final = ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL")
REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
AUDIENCES: Final = {"amazonaws.com": "sts.amazonaws.com", "amazonaws.com.cn": "sts.amazonaws.com.cn"}
"""The audiences that AWS wants in every region, and in those of China (``aws-actions/configure-aws-credentials``,
"Audience"). Any other service gets its own host, so that it can use the identity nowhere else, and least of all at AWS.
"""

SESSION_NAMES: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
"""What the name of a session can be."""
_REGION: Final = re.compile(r"[a-z0-9-]{1,63}")
_LARGEST_TOKEN_FILE: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Role:
    """A role that is assumed, and where.

    Attributes:
        arn: its name.
        endpoint: the URL of the security token service, without a slash at its end.
        audience: for whom identities are made.
        session_name: under which name the service knows what is done with the keys.
        token_file: the file with the identity, where there is one; it is read anew each time.
        named_by: what names that file, for messages.
    """

    arn: str
    endpoint: str
    audience: str
    session_name: str = "keelback"
    token_file: Path | None = None
    named_by: str = TOKEN_FILE

    @classmethod
    def named_in(cls, environ: Mapping[str, str]) -> Self | None:
        """The role that the variables in *environ* name; ``None`` where they name none.

        Raises:
            UsageError: one of them is invalid.
        """
        arn = environ.get(ROLE, "").strip()
        if not arn:
            return None
        endpoint = _endpoint(environ)
        session_name = environ.get(SESSION_NAME) or "keelback"
        if not SESSION_NAMES.fullmatch(session_name):
            raise UsageError(
                f"{SESSION_NAME} is not a valid session name",
                hint="Use 2 to 64 letters, digits and characters of '_+=,.@-'.",
            )
        file = environ.get(TOKEN_FILE)
        return cls(arn, endpoint, audience_of(endpoint, AUDIENCES), session_name, Path(file) if file else None)

    def identity(self, offered: Callable[[str], IdToken | None]) -> IdToken:
        """An identity for the audience: that of the file, where there is one, or else one that a CI system *offered*.

        Raises:
            IdentityError: there is none, or none for this audience.
        """
        if self.token_file is not None:
            source = f"the file in {self.named_by}"
            return IdToken.parse(_read(self.token_file, source), audience=self.audience, source=source)
        identity = offered(self.audience)
        if identity is None:
            raise IdentityError(
                f"{ROLE} is set, and no CI system offers an identity with which the role could be assumed",
                hint=f"Unset {ROLE}, or name a file with an identity in {TOKEN_FILE}.",
            )
        return identity


def _endpoint(environ: Mapping[str, str]) -> str:
    """Where the variables put the security token service: AWS's own, in the region that they name, unless told.

    The regions of AWS's isolated partitions have other domains; there, the endpoint has to be given.
    """
    ignored = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").strip().lower() == "true"
    for name in () if ignored else ENDPOINTS:
        if environ.get(name):
            return checked_url(environ[name].strip(), name)
    region = next((environ[name].strip() for name in REGIONS if environ.get(name)), "")
    if not region:
        return "https://sts.amazonaws.com"
    if not _REGION.fullmatch(region):
        raise UsageError("AWS_REGION is not a region", hint="Write it like eu-central-1.")
    return f"https://sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


def _read(path: Path, source: str) -> Secret:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_TOKEN_FILE + 1)
    except OSError as error:
        raise IdentityError(
            f"{source} cannot be read: {path}: {error.strerror}", hint="Name a file that is there, or none."
        ) from None
    return Secret(content.decode(errors="replace").strip(), source)
