"""A role that is assumed with other keys (AWS STS API Reference, "AssumeRole")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.credentials.aws import sts
from keelback.credentials.aws.settings import (
    aws_endpoint,
    checked_region,
    configured_endpoint,
    configured_region,
)
from keelback.credentials.confidential import LARGEST_ANSWER, Confidential
from keelback.credentials.oidc.asking import SECONDS, SECONDS_IN_ALL, replied
from keelback.credentials.serverurls import checked_url
from keelback.credentials.sigv4 import SigV4
from keelback.errors import ExchangeError
from keelback.hosts import host_of
from keelback.transport import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keelback.credentials.aws.keys import Keys, KeySource
    from keelback.credentials.aws.profiles import Profiles
    from keelback.transport import Client

_ACTION: Final = "AssumeRole"
_GLOBAL: Final = "https://sts.amazonaws.com"
_REGION_IN_HOST: Final = re.compile(r"sts\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


@dataclass(frozen=True, slots=True)
class TokenService:
    """A security token service.

    Attributes:
        endpoint: its URL, without a slash at its end.
        region: for which requests to it are signed.
    """

    endpoint: str
    region: str

    @classmethod
    def configured(cls, environ: Mapping[str, str], profiles: Profiles) -> TokenService:
        """The one that variables or the profile name: AWS's own, in their region, unless told.

        Raises:
            UsageError: what they name can be none.
        """
        named = configured_endpoint("sts", environ, profiles)
        found = configured_region(environ, profiles)
        region = None if found is None else checked_region(*found)
        if named is not None:
            endpoint = checked_url(*named)
            in_host = _REGION_IN_HOST.fullmatch(host_of(endpoint))
            return cls(endpoint, (in_host and in_host["region"]) or region or "us-east-1")
        return cls(_GLOBAL, "us-east-1") if region is None else cls(aws_endpoint(region, "sts"), region)


@dataclass(frozen=True, slots=True)
class AssumedRole:
    """A role, and what goes with the request for its keys.

    Attributes:
        arn: its name.
        session_name: under which name the service knows what is done with the keys.
        external_id: what the owner of the role wants to see, if anything.
        seconds: how long the keys are to last; ``None`` for as long as the service gives them by itself.
    """

    arn: str
    session_name: str = "keelback"
    external_id: str = ""
    seconds: int | None = None

    def parameters(self) -> dict[str, str]:
        """The parameters of the request."""
        wanted = {
            "RoleArn": self.arn,
            "RoleSessionName": self.session_name,
            "ExternalId": self.external_id,
            "DurationSeconds": "" if self.seconds is None else str(self.seconds),
        }
        return {name: value for name, value in wanted.items() if value}


def assume(client: Client, service: TokenService, role: AssumedRole, keys: KeySource) -> Keys:
    """The keys of *role*, which *service* gives for *keys*.

    Args:
        client: sends the requests; follows no redirect, and sends nothing over plain HTTP to another machine.
        service: is asked.
        role: which.
        keys: sign the request.

    Raises:
        ExchangeError: the service gave no keys.
        CredentialError: there are no keys to sign with.
    """
    url = f"{service.endpoint}/"
    request = Request(
        "POST",
        url,
        auth=Confidential(SECONDS, SigV4(keys.current, service.region, "sts")),
        headers=sts.HEADERS,
        body=sts.form(_ACTION, role.parameters()),
        limit=LARGEST_ANSWER,
    )
    host = host_of(url)
    reply = replied(
        url,
        lambda: client.send(request),
        failure=lambda: f"{host} gave no keys of the role {role.arn} for {keys.source}",
        error=ExchangeError,
        source=f"the security token service at {host}",
        seconds=SECONDS_IN_ALL,
    )
    if not reply.answer.ok:
        raise reply.refusal(sts.words(reply.answer), hint=_hint(sts.error_code(reply.answer), role, keys))
    return sts.keys_in(reply, _ACTION)


def _hint(code: str, role: AssumedRole, keys: KeySource) -> str:
    if code in {"InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException"}:
        return f"The keys from {keys.source} are not good any more, or are mistyped."
    if code == "RegionDisabledException":
        return "Have the service activated for this region, or choose another with AWS_REGION."
    return (
        f"Whose keys these are has to be allowed to sts:AssumeRole on {role.arn}, and the trust policy of the role has "
        "to allow it, with the external ID if it wants one."
    )
