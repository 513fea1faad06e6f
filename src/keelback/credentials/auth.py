"""The stored credentials, as an ``httpx2.Auth`` that any program can use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx2

from keelback.credentials.lookup import depends_on_keychain, find
from keelback.credentials.opening import default_stores
from keelback.errors import TransportError
from keelback.hosts import host_of
from keelback.transport import is_loopback
from keelback.transport.logs import redact_logs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Generator, Sequence
    from pathlib import Path

    from keelback.credentials.stores import Store

__all__ = ["StoredAuth"]

_REFUSED: Final = frozenset({401, 403})
_REPEATABLE: Final = frozenset({"GET", "HEAD"})
_NOTHING: Final = httpx2.Auth()
"""Sends a request as it is."""


class StoredAuth(httpx2.Auth):
    """Puts onto each request the credential that is stored for its URL: ``httpx2.Client(auth=StoredAuth())``.

    Nothing is put onto a request that has an ``Authorization`` already, for whose URL nothing is stored, or that a
    redirect has led to another server. Where only the system's keychain may know the credential, it is asked when the
    server has refused the request (401 or 403), which is then sent once more; a request whose body cannot be sent
    twice gets the credential at once.

    Args:
        auth_file: the only place to look; otherwise all stores, as :func:`keelback.credential_for`.
        keychain: whether the keychain is asked.
        insecure_hosts: hosts to which credentials may go over plain HTTP.

    Raises:
        CredentialFileError: an auth file that was named is missing, or one cannot be read or is malformed.

    A request raises ``CredentialError`` where there is a credential that cannot be used, and ``TransportError`` (code
    ``plain-http``) where one would go over plain HTTP to another machine.
    """

    def __init__(
        self, *, auth_file: Path | str | None = None, keychain: bool = True, insecure_hosts: Collection[str] = ()
    ) -> None:
        redact_logs()  # httpx2 logs URLs, and a conda token is in one
        self._stores: Sequence[Store] = default_stores(auth_file, keychain=keychain)
        self._insecure = {host_of(f"https://{host}") for host in insecure_hosts}

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Send *request* with its credential."""
        url = str(request.url)
        if "Authorization" in request.headers:
            yield request
            return
        if request.method in _REPEATABLE and depends_on_keychain(url, self._stores):
            response = yield request
            auth = self._auth_for(url) if response.status_code in _REFUSED else None
            if auth is None:
                return
            response.read()  # to its end, so that its connection can be used again
        else:
            auth = self._auth_for(url)
        yield from (auth or _NOTHING).sync_auth_flow(request)

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """As :meth:`sync_auth_flow`; looking up a credential, which may take time, has a thread of its own."""
        from anyio.to_thread import run_sync  # noqa: PLC0415 - only programs that are asynchronous pay for it

        url = str(request.url)
        if "Authorization" in request.headers:
            yield request
            return
        if request.method in _REPEATABLE and await run_sync(depends_on_keychain, url, self._stores):
            response = yield request
            auth = await run_sync(self._auth_for, url) if response.status_code in _REFUSED else None
            if auth is None:
                return
            await response.aread()
        else:
            auth = await run_sync(self._auth_for, url)
        async for again in (auth or _NOTHING).async_auth_flow(request):  # no kind of credential looks at the answer
            yield again

    def _auth_for(self, url: str) -> httpx2.Auth | None:
        match = find(url, self._stores)
        if match is None or not isinstance(match.credential, httpx2.Auth):
            return None
        host = host_of(url)
        if httpx2.URL(url).scheme != "https" and not is_loopback(host) and host not in self._insecure:
            raise TransportError(
                f"a credential would go to {host} over plain HTTP, where anyone on the way can read it",
                hint="Use https, or name the host in insecure_hosts.",
                code="plain-http",
            )
        return match.credential
