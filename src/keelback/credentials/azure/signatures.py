"""Shared access signatures: permission for some requests, until some time, in the query of a URL.

(Azure Storage REST API, "Delegate access with a shared access signature", "Create a service SAS".)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, unquote

import httpx2

from keelback.credentials.azure.wire import name_version
from keelback.credentials.kinds import CONTROL, Credential
from keelback.errors import CredentialError
from keelback.secret import Secret, remember

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


class SharedAccessSignature(Credential, httpx2.Auth):
    """A shared access signature, which is put behind the query of each request.

    Args:
        text: the signature: ``sv=...&sp=rcwl&sig=...``, with or without a question mark or a URL in front of it.

    Raises:
        CredentialError: code ``bad-token``: it is none. Nothing of it is shown.
    """

    kind: ClassVar[str] = "SharedAccessSignature"
    noun: ClassVar[str] = "shared access signature"

    def __init__(self, text: Secret) -> None:
        self._source = text.source or "the credential"
        fields = _fields_in(text.reveal().strip())
        if not fields.get("sig"):
            raise CredentialError(
                f"The shared access signature from {self._source} has no 'sig=' in it, or cannot be in a URL.",
                hint="Copy all of it again: it begins with 'sv=' or '?sv='.",
                code="bad-token",
            )
        remember(fields["sig"])
        self._query = Secret("&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items()), text.source)
        self._fields = {name: value for name, value in fields.items() if name != "sig"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def permissions(self) -> str:
        """What it permits, a letter each: ``rcwl``; empty where a policy of the container says that."""
        return self._fields.get("sp", "")

    @property
    def expires(self) -> str:
        """When it expires, as it says itself: ``2030-01-01T00:00:00Z``; empty where a policy says that."""
        return self._fields.get("se", "")

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Put the signature behind the query of *request* unless it is authorized already, and send it once."""
        path = request.url.raw_path
        if "Authorization" not in request.headers and b"&sig=" not in path:
            name_version(request)
            query = self._query.reveal().encode()
            request.url = request.url.copy_with(raw_path=path + (b"&" if b"?" in path else b"?") + query)
        yield request


def is_signature(text: str) -> bool:
    """Whether *text*, which is secret, looks like a shared access signature, and not like a token or a key."""
    return "sig=" in text


def _fields_in(text: str) -> Mapping[str, str]:
    """The decoded fields of a signature, in which plus signs may stand unencoded; empty where it is not a signature."""
    query = text.rpartition("?")[2]
    if CONTROL.search(query) or not query.isascii() or " " in query:
        return {}
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return {name: unquote(value) for name, _, value in pairs}
