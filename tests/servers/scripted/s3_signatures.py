"""Checks signatures of AWS Signature Version 4 as an object store does, without any of keelback's own code.

(Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header".)
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .exchange import Recorded

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_TOLERATED = 900
_PLAIN = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*")


def refusal(request: Recorded, secrets: Mapping[str, str], region: str, now: float) -> tuple[str, str] | None:
    """Why *request* is refused, as S3's error code and message; ``None`` where its signature is right.

    Args:
        request: its head; the body is compared with its hash elsewhere.
        secrets: the secret of each access key id.
        region: of the bucket.
        now: by the server's clock, in Unix seconds.
    """
    match = _AUTHORIZATION.fullmatch(request.header("authorization") or "")
    if match is None:
        return "AccessDenied", "Access Denied"
    if match["key"] not in secrets:
        return "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
    date = request.header("x-amz-date") or ""
    if abs(calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ")) - now) > _TOLERATED:
        return "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."
    if match["region"] != region:
        return "AuthorizationHeaderMalformed", f"the region is wrong; expecting '{region}'"
    return _refusal_of_signature(request, match, secrets[match["key"]], date)


def _refusal_of_signature(request: Recorded, match: re.Match[str], secret: str, date: str) -> tuple[str, str] | None:
    signed = match["signed"].split(";")
    must = {"host", *(name.lower() for name, _ in request.headers if name.lower().startswith("x-amz-"))}
    if signed != sorted(signed) or not must <= set(signed) or date[:8] != match["day"]:
        return "AccessDenied", "There were headers present in the request which were not signed"
    if not hmac.compare_digest(_signature(request, match, signed, secret, date), match["signature"]):
        return "SignatureDoesNotMatch", "The request signature we calculated does not match the one you provided."
    return None


def _signature(request: Recorded, match: re.Match[str], signed: list[str], secret: str, date: str) -> str:
    path, _, query = request.target.partition("?")
    assert all(_PLAIN.fullmatch(segment) for segment in path.split("/")), "the path is not encoded as it is signed"
    fields = [f"{field}=" if "=" not in field else field for field in query.split("&") if field]
    assert all(_PLAIN.fullmatch(text) for field in fields for text in field.split("=", 1)), "nor is the query"
    canonical = [request.method, path, "&".join(sorted(fields, key=lambda field: field.split("=", 1)))]
    canonical += [f"{name}:{' '.join(','.join(request.all(name)).split())}" for name in signed]
    canonical += ["", ";".join(signed), request.header("x-amz-content-sha256") or ""]
    scope = f"{match['day']}/{match['region']}/s3/aws4_request"
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = b"AWS4" + secret.encode()
    for part in (match["day"], match["region"], "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}"
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
