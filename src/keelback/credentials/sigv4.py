"""Signatures on requests: AWS Signature Version 4, which S3 services and other services of AWS take.

(Amazon S3 API Reference, "Signature Calculations for the Authorization Header"; AWS General Reference, "Signing AWS API
requests", for services other than S3.)
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote, unquote_plus, unquote_to_bytes

import httpx2

from keelback.credentials.kinds import Credential
from keelback.transport.dates import seconds_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from keelback.credentials.kinds import S3Credentials

CONTENT_SHA256: Final = "x-amz-content-sha256"
"""The header field that says which body is signed."""
TOLERATED_SECONDS: Final = 600.0
"""How far this clock may be off before it is corrected; AWS itself tolerates 900 seconds."""

_UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_NOT_SIGNED: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "expect",
        "transfer-encoding",
        "user-agent",
        "x-amzn-trace-id",
    }
)
"""Header fields that a proxy may change on the way."""

_log = logging.getLogger(__name__)


class SigV4(Credential, httpx2.Auth):
    """Signs each request with keys, for one region and service.

    The path is sent in the one spelling that is signed: every byte but letters, digits and ``-._~/`` percent-encoded,
    once. It matters for ``+``, which a service may take for a space.

    A 403 from a server whose clock is more than ten minutes from this one sets :attr:`offset`; where the request has
    no body that is gone by then, it is signed and sent once more.

    Args:
        keys: gives the keys as they are at the moment; called for every request.
        region: for which region requests are signed; may be changed.
        service: for which service: ``s3``, ``sts``.
        clock: the time, in Unix seconds.

    Attributes:
        region: see above.
        offset: seconds to add to this machine's clock.
    """

    kind: ClassVar[str] = "S3Credentials"
    noun: ClassVar[str] = "S3 keys"

    def __init__(
        self,
        keys: Callable[[], S3Credentials],
        region: str,
        service: str = "s3",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.region = region
        self.offset = 0.0
        self._keys = keys
        self._service = service
        self._clock = clock
        self._correcting = threading.Lock()

    def __repr__(self) -> str:
        return f"SigV4(region={self.region!r}, service={self._service!r})"

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Sign *request* unless it has an ``Authorization`` already, and send it."""
        if "authorization" in request.headers:
            yield request
            return
        offset = self._sign(request)
        response = yield request
        if self._corrects_clock(response, offset) and isinstance(request.stream, httpx2.ByteStream):
            self._sign(request)
            yield request

    def _sign(self, request: httpx2.Request) -> float:
        """Put date, payload hash, session token and signature onto *request*, in the place of earlier ones.

        Returns:
            The :attr:`offset` with which it is dated.
        """
        offset = self.offset
        keys = self._keys()
        headers = request.headers
        headers.pop("authorization", None)
        when = datetime.fromtimestamp(self._clock() + offset, UTC).strftime("%Y%m%dT%H%M%SZ")
        headers["x-amz-date"] = when
        if keys.session_token is not None:
            headers["x-amz-security-token"] = keys.session_token.reveal()
        payload = headers.get(CONTENT_SHA256) or _payload_hash(request)
        path = _encode_path(request.url.raw_path.partition(b"?")[0])
        if self._service == "s3":
            headers[CONTENT_SHA256] = payload
            query = request.url.query
            request.url = request.url.copy_with(raw_path=path.encode() + (b"?" + query if query else b""))
        else:
            path = quote(path, safe="/-_.~")  # every other service has it encoded twice
        signed = _signed_headers(headers)
        names = ";".join(signed)
        lines = [f"{name}:{value}\n" for name, value in signed.items()]
        canonical = "\n".join([request.method, path, _encode_query(request.url.query), "".join(lines), names, payload])
        scope = f"{when[:8]}/{self.region}/{self._service}/aws4_request"
        text = "\n".join([_ALGORITHM, when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        signature = _signature(keys.secret_access_key.reveal(), scope, text)
        credential = f"{keys.access_key_id}/{scope}"
        headers["authorization"] = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
        return offset

    def _corrects_clock(self, response: httpx2.Response, offset: float) -> bool:
        """Whether *response* refuses the request and comes from a server with another clock, which is used from now on.

        A server that lies gets signatures for another time, and of requests to itself only: its name is signed, too.

        Args:
            response: to a request.
            offset: with which that was dated; another thread may have corrected it meanwhile.
        """
        ahead = None if response.status_code != 403 else seconds_ahead(response.headers, self._clock() + offset)
        if ahead is None or abs(ahead) <= TOLERATED_SECONDS:
            return False
        with self._correcting:
            if abs(self.offset - (offset - ahead)) <= TOLERATED_SECONDS:
                return True
            self.offset = offset - ahead
        ahead -= offset
        _log.warning(
            "this machine's clock is %.0f s %s that of %s, which is used from now on",
            abs(ahead),
            "ahead of" if ahead > 0 else "behind",
            response.url.host,
        )
        return True


def _payload_hash(request: httpx2.Request) -> str:
    """The SHA-256 of a body that is at hand; a body that is yet to come is not signed."""
    if isinstance(request.stream, httpx2.ByteStream):
        return hashlib.sha256(request.read()).hexdigest()
    return _UNSIGNED


def _encode_path(path: bytes) -> str:
    return quote(unquote_to_bytes(path), safe="/-_.~") or "/"


def _encode_query(query: bytes) -> str:
    """*query* as it is signed: every name and value encoded once, sorted by that."""
    fields = [field.partition("=") for field in query.decode("ascii").split("&") if field]
    encoded = [(_encode_field(name), _encode_field(value)) for name, _, value in fields]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _encode_field(text: str) -> str:
    return quote(unquote_plus(text, errors="surrogateescape"), safe="-_.~", errors="surrogateescape")


def _signed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Names in lower case, sorted, and values without superfluous spaces."""
    found = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    return {name: found[name] for name in sorted(found.keys() - _NOT_SIGNED)}


def _signature(secret: str, scope: str, text: str) -> str:
    """The signature of *text*, by a key that is derived from *secret* for *scope*, and kept nowhere."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
