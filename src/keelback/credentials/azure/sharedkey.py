"""Requests that are signed with the key of a storage account (Azure Storage REST API, "Authorize with Shared Key")."""

from __future__ import annotations

import base64
import binascii
import email.utils
import hashlib
import hmac
import time
from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import parse_qsl

import httpx2

from keelback.credentials.azure.wire import name_version
from keelback.credentials.kinds import Credential
from keelback.errors import CredentialError
from keelback.transport.dates import http_time

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from keelback.secret import Secret

TOLERATED_SECONDS: Final = 15 * 60.0
"""By how much the time of a request may differ from that of the service."""

_SIGNED_HEADERS: Final = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
"""The header fields of HTTP that are signed, in this order, beside all that begin with ``x-ms-``."""
_DATE: Final = "x-ms-date"


class SharedKey(Credential, httpx2.Auth):
    """The key of a storage account: it signs requests, and is never sent.

    Args:
        account: the account's name.
        key: in Base64, as Azure shows it.

    Attributes:
        account: see above.

    Raises:
        CredentialError: code ``bad-token``: *key* is not Base64. Nothing of it is shown.
    """

    kind: ClassVar[str] = "SharedKey"
    noun: ClassVar[str] = "account key"

    def __init__(self, account: str, key: Secret) -> None:
        self.account = account
        self._key = key
        self._decoded()
        self._ahead = 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(account={self.account!r})"

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Date and sign *request* unless it has an ``Authorization`` already, and send it once."""
        if "Authorization" not in request.headers:
            name_version(request)
            request.headers[_DATE] = email.utils.formatdate(time.time() + self._ahead, usegmt=True)
            signed = hmac.new(self._decoded(), string_to_sign(request, self.account).encode(), hashlib.sha256)
            signature = base64.b64encode(signed.digest()).decode()
            request.headers["Authorization"] = f"SharedKey {self.account}:{signature}"
        yield request

    def set_clock(self, headers: Mapping[str, str]) -> bool:
        """Date requests by the service's clock from now on, where that is the reason for which it refused one.

        Args:
            headers: of the refusal; its ``Date`` says what the time is there.

        Returns:
            Whether the clock was so far off that requests are dated anew.
        """
        there = http_time(headers.get("date"))
        if there is None:
            return False
        ahead = there - time.time()
        if abs(ahead - self._ahead) < TOLERATED_SECONDS / 2:
            return False
        self._ahead = ahead
        return True

    def _decoded(self) -> bytes:
        try:
            decoded = base64.b64decode(self._key.reveal().strip(), validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if not decoded:
            raise CredentialError(
                f"The account key from {self._key.source or 'the credential'} is not Base64.",
                hint="Copy it again from 'Access keys' of the storage account: it ends with '=='.",
                code="bad-token",
            )
        return decoded


def string_to_sign(request: httpx2.Request, account: str) -> str:
    """What is signed of *request*, which is about something of *account*; nothing in it is secret."""
    headers = request.headers
    values = {name: headers.get(name, "") for name in _SIGNED_HEADERS}
    if values["content-length"] == "0":  # signed as empty since version 2015-02-21
        values["content-length"] = ""
    lines = [request.method, *values.values()]
    own = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    lines += [f"{name}:{own[name]}" for name in sorted(own) if name.startswith("x-ms-")]
    return "\n".join([*lines, _canonical_resource(request.url, account)])


def _canonical_resource(url: httpx2.URL, account: str) -> str:
    """The account, the path as it is sent, and the decoded query, sorted."""
    path, _, query = url.raw_path.decode("ascii").partition("?")
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in parse_qsl(query, keep_blank_values=True):
        fields[name.lower()].append(value)
    return "\n".join([f"/{account}{path}", *(f"{name}:{','.join(sorted(fields[name]))}" for name in sorted(fields))])
