"""The exchange of an identity for the keys of a role, with which requests to AWS or another S3 service are signed.

``AssumeRoleWithWebIdentity`` of a security token service (AWS STS API Reference, version 2011-06-15). AWS has one, and
so have servers that speak its protocols.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from keelback.credentials.aws import sts
from keelback.credentials.aws.keys import Keys
from keelback.credentials.oidc.renewed import Renewed
from keelback.credentials.oidc.sending import send_identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.credentials.oidc.roles import Role
    from keelback.transport import Client

__all__ = ["Keys", "assumed_role", "exchange"]

_ACTION: Final = "AssumeRoleWithWebIdentity"
_AHEAD: Final = 300.0
"""Seconds before their end at which keys are renewed."""


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
        parameters = {
            "RoleArn": role.arn,
            "RoleSessionName": role.session_name,
            "WebIdentityToken": token.secret.reveal(),
        }
        return sts.form(_ACTION, parameters)

    reply = send_identity(
        client,
        f"{role.endpoint}/",
        identity,
        body,
        sts.HEADERS,
        hint=lambda answer, _: _hint(sts.error_code(answer), role),
        words=sts.words,
    )
    return sts.keys_in(reply, _ACTION)


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
