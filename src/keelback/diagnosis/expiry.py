"""When a credential expires, as far as it says so itself."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keelback.credentials.azure.signatures import SharedAccessSignature
from keelback.credentials.kinds import BearerToken, OAuth
from keelback.transport.dates import iso_time

if TYPE_CHECKING:
    from keelback.credentials.kinds import Credential

_UNITS: Final = ((86400, "day"), (3600, "hour"), (60, "minute"))


@dataclass(frozen=True)
class Expiry:
    """The end of a credential.

    Attributes:
        at: when, in Unix seconds.
        renews: whether keelback and the rattler family renew it by themselves.
    """

    at: int
    renews: bool = False

    def is_over(self, now: float) -> bool:
        """Whether it has expired, and nobody renews it."""
        return not self.renews and self.at <= now

    def words(self, now: float) -> str:
        """``expires in 3 hours``, ``expired 2 days ago``, ``renews itself (valid for 3 hours)``."""
        left = self.at - now
        if not self.renews:
            return f"expires in {_span(left)}" if left > 0 else f"expired {_span(-left)} ago"
        return f"renews itself (valid for {_span(left)})" if left > 0 else "renews itself when it is next used"


def expiry_of(credential: Credential, *, writable: bool) -> Expiry | None:
    """When *credential* expires; ``None`` where it does not say.

    An OAuth login says it; so does a bearer token that is a JSON Web Token with an ``exp`` (RFC 7519, section 4.1.4),
    and a shared access signature in its ``se`` ("Create a service SAS").

    Args:
        credential: the credential.
        writable: whether its store can be given a renewed one.
    """
    if isinstance(credential, OAuth):
        renews = writable and credential.refresh_token is not None
        return None if credential.expires_at is None else Expiry(credential.expires_at, renews)
    if isinstance(credential, BearerToken):
        end = _end_of_jwt(credential.token.reveal())
        return None if end is None else Expiry(end)
    if isinstance(credential, SharedAccessSignature):
        until = iso_time(credential.expires)
        return None if until is None else Expiry(int(until))
    return None


def _end_of_jwt(token: str) -> int | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    end = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(end, bool) or not isinstance(end, int | float) or not abs(end) < 1e12:
        return None
    return int(end)


def _span(seconds: float) -> str:
    for size, unit in _UNITS:
        count = int(seconds // size)
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"
