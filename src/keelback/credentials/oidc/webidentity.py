"""The exchange of an identity for the keys of a role, with which requests to an object store are signed.

``AssumeRoleWithWebIdentity`` of a security token service (AWS STS API Reference, version 2011-06-15). AWS has one, and
so have servers that speak its protocols.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from keelback.credentials.kinds import S3Credentials
from keelback.credentials.oidc.sending import checked, nonsense, refusal, send_identity
from keelback.credentials.oidc.xmltexts import NotXMLError, texts
from keelback.errors import KeelbackError
from keelback.transport import servers_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelback.credentials.oidc.idtoken import IdToken
    from keelback.credentials.oidc.roles import Role
    from keelback.transport import Answer, Client

_log = logging.getLogger("keelback.credentials")

_CREDENTIALS: Final = "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials"
"""Where the keys stand in the answer."""
_ACCESS_KEY_ID: Final = re.compile(r"[A-Za-z0-9_]{1,128}")
_ERROR_CODE: Final = re.compile(r"[A-Za-z.]{1,64}")

_AHEAD: Final = 300.0
"""Seconds before their end at which keys are renewed; of a short life, the last fifth."""
_PAUSE: Final = 60.0
"""Seconds until the next try, where one has failed."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a security token service gave.

    Attributes:
        credentials: sign requests.
        expires_at: when they expire, in Unix seconds.
    """

    credentials: S3Credentials
    expires_at: float


class AssumedRole:
    """Keys of a role that are renewed before they expire; safe to use from several threads at once.

    They are kept nowhere but in memory.

    Args:
        assume: gets new keys; raises ``IdentityError``, ``ExchangeError`` or ``TransportError``.
        clock: the time, in Unix seconds.
    """

    def __init__(self, assume: Callable[[], Keys], *, clock: Callable[[], float] = time.time) -> None:
        self._assume = assume
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Keys | None = None
        self._renewed_from = 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def current(self) -> S3Credentials:
        """The keys as they are now, renewed if there are none yet, or if they are about to expire.

        One thread renews them, while the others wait. Where that fails, they are used to their end.

        Raises:
            IdentityError, ExchangeError, TransportError: there are none, and none could be had.
        """
        with self._lock:
            keys = self._keys
            if keys is not None and self._clock() < self._renewed_from:
                return keys.credentials
            try:
                return self._renew().credentials
            except KeelbackError as error:
                if keys is None or self._clock() >= keys.expires_at:
                    raise
                _log.warning("the keys of the role were not renewed: %s", error)
                self._renewed_from = min(self._clock() + _PAUSE, keys.expires_at)
                return keys.credentials

    def _renew(self) -> Keys:
        self._keys = keys = self._assume()
        life = max(keys.expires_at - self._clock(), 0.0)
        self._renewed_from = keys.expires_at - min(_AHEAD, life / 5)
        return keys


def exchange(client: Client, role: Role, identity: Callable[[], IdToken]) -> Keys:
    """Exchange an identity for keys of *role*, which last as long as the service gives them by itself (AWS: an hour).

    Args:
        client: sends the requests; follows no redirect, and sends nothing over plain HTTP to another machine.
        role: which, and where.
        identity: gives an identity for its audience.

    Raises:
        IdentityError: there is no identity.
        ExchangeError: the service gave no keys.
        TransportError: no answer came.
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

    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "accept": "application/xml"}
    answer, used = send_identity(client, f"{role.endpoint}/", identity, body, headers)
    if not answer.ok:
        code = _error_code(answer)
        words = ": ".join(filter(None, (code, servers_words(answer))))
        raise refusal(answer, used, words, hint=_hint(code, role))
    return _keys_in(answer)


def _keys_in(answer: Answer) -> Keys:
    try:
        found = texts(answer.content)
    except NotXMLError as error:
        raise nonsense(answer, f"is not the XML of a security token service: {error}") from None

    def value(name: str) -> str:
        return found.get(f"{_CREDENTIALS}/{name}", "")

    access_key_id = value("AccessKeyId")
    if not _ACCESS_KEY_ID.fullmatch(access_key_id):
        raise nonsense(answer, "has no valid 'AccessKeyId'")
    secret_access_key, session_token = (checked(value(name), answer) for name in ("SecretAccessKey", "SessionToken"))
    return Keys(S3Credentials(access_key_id, secret_access_key, session_token), _time(value("Expiration"), answer))


def _time(text: str, answer: Answer) -> float:
    """*text*, a time as XML Schema writes it, in Unix seconds."""
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise nonsense(answer, "has no valid 'Expiration'") from None


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
        return "The identity had expired when it was shown: is the clock of this machine right?"
    if code == "IDPCommunicationError":
        return "Try again later: the service could not reach the CI system."
    if code == "RegionDisabledException":
        return "Have the service activated for this region, or choose another with AWS_REGION."
    return (
        f"The account of the role has to know the issuer of the identity, with the audience {role.audience!r}, as an "
        f"identity provider, and the trust policy of {role.arn} has to allow sts:AssumeRoleWithWebIdentity to what "
        "the identity says."
    )
