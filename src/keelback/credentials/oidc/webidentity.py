"""The exchange of an identity for the keys of a role, with which requests to an object store are signed.

``AssumeRoleWithWebIdentity`` of a security token service (AWS STS API Reference, version 2011-06-15). AWS has one, and
so have servers that speak its protocols.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from keelback.credentials.kinds import S3Credentials
from keelback.credentials.oidc.renewed import Renewed
from keelback.credentials.oidc.sending import send_identity
from keelback.credentials.oidc.xmltexts import NotXMLError, texts
from keelback.transport import servers_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.credentials.oidc.asking import Reply
    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.credentials.oidc.roles import Role
    from keelback.transport import Answer, Client

_CREDENTIALS: Final = "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials"
"""Where the keys stand in the answer."""
_ACCESS_KEY_ID: Final = re.compile(r"[A-Za-z0-9_]{1,128}")
_ERROR_CODE: Final = re.compile(r"[A-Za-z.]{1,64}")

_AHEAD: Final = 300.0
"""Seconds before their end at which keys are renewed."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a security token service gave.

    Attributes:
        credentials: sign requests.
        expires_at: when they expire, in Unix seconds.
        lasts: for how many seconds they were made; the service does not say.
    """

    credentials: S3Credentials
    expires_at: float
    lasts: float | None = None


def assumed_role(assume: Callable[[], Keys], *, clock: Callable[[], float] = time.time) -> Renewed[Keys]:
    """Keys of a role that are renewed before they expire, as :class:`Renewed` says.

    Args:
        assume: gets new keys; raises ``IdentityError`` or ``ExchangeError``.
        clock: the time, in Unix seconds.
    """
    return Renewed(assume, name="the keys of the role", ahead=_AHEAD, clock=clock)


def exchange(client: Client, role: Role, identity: Callable[[], IdToken]) -> Keys:
    """Exchange an identity for keys of *role*, which last as long as the service gives them by itself (AWS: an hour).

    Args:
        client: sends the requests; follows no redirect, and sends nothing over plain HTTP to another machine.
        role: which, and where.
        identity: gives an identity for its audience.

    Raises:
        IdentityError: there is no identity.
        ExchangeError: the service gave no keys.
    """

    def body(token: IdToken) -> bytes:
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role.arn,
            "RoleSessionName": role.session_name,
            "WebIdentityToken": token.secret.reveal(),
        }
        return urlencode(form).encode()

    reply = send_identity(
        client,
        f"{role.endpoint}/",
        identity,
        body,
        {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "accept": "application/xml"},
        hint=lambda answer, _: _hint(_error_code(answer), role),
        words=lambda answer: ": ".join(filter(None, (_error_code(answer), servers_words(answer)))),
    )
    return _keys_in(reply)


def _keys_in(reply: Reply) -> Keys:
    try:
        found = texts(reply.answer.content)
    except NotXMLError as error:
        raise reply.useless(f"what is not the XML of a security token service: {error}") from None

    def value(name: str) -> str:
        return found.get(f"{_CREDENTIALS}/{name}", "")

    access_key_id = value("AccessKeyId")
    if not _ACCESS_KEY_ID.fullmatch(access_key_id):
        raise reply.useless("XML that has no valid 'AccessKeyId'")
    secret_access_key, session_token = (reply.checked(value(name)) for name in ("SecretAccessKey", "SessionToken"))
    expires_at = _time(value("Expiration"))
    if expires_at is None:
        raise reply.useless("XML that has no valid 'Expiration'")
    return Keys(S3Credentials(access_key_id, secret_access_key, session_token), expires_at)


def _time(text: str) -> float | None:
    """*text*, a time as XML Schema writes it, in Unix seconds; ``None`` where it is none."""
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _error_code(answer: Answer) -> str:
    """The word by which the service calls its error; empty where there is none."""
    try:
        code = texts(answer.content).get("ErrorResponse/Error/Code", "")
    except NotXMLError:
        return ""
    return code if _ERROR_CODE.fullmatch(code) else ""


def _hint(code: str, role: Role) -> str:
    """What to do about an error of AWS (AWS STS API Reference, "AssumeRoleWithWebIdentity", Errors)."""
    if code.startswith("ExpiredToken"):
        return "Check the clock of this machine, and run the job again: the identity had expired when it was shown."
    if code == "IDPCommunicationError":
        return "Try again later: the service could not reach the CI system."
    if code == "RegionDisabledException":
        return "Have the service activated for this region, or choose another with AWS_REGION."
    return (
        f"The account of the role has to know the issuer of the identity, with the audience {role.audience!r}, as an "
        f"identity provider, and the trust policy of {role.arn} has to allow sts:AssumeRoleWithWebIdentity to what "
        "the identity says."
    )
