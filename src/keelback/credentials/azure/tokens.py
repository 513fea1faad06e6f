"""Tokens of Microsoft Entra ID, on requests to Azure Blob Storage.

(Azure Storage REST API, "Authorize with Microsoft Entra ID".)
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

import httpx2

from keelback.credentials.azure.wire import name_version
from keelback.credentials.kinds import Credential, HeaderAuth
from keelback.credentials.oidc.renewed import Renewed
from keelback.transport import RenewableAuth

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from keelback.credentials.oidc.exchanged import Exchanged
    from keelback.secret import Secret

_AHEAD: Final = 300.0
"""Seconds before its end at which a token is renewed: one upload may take long."""


class EntraToken(Credential, httpx2.Auth):
    """A token that somebody has stored, and that nobody renews.

    Args:
        token: the token.
    """

    kind: ClassVar[str] = "EntraToken"
    noun: ClassVar[str] = "access token"

    def __init__(self, token: Secret) -> None:
        self._token = token

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Put the token onto *request* unless it has an ``Authorization`` already, and send it once."""
        name_version(request)
        yield from _bearer(self._token).auth_flow(request)


class RenewedToken(Credential, RenewableAuth):
    """A token that is renewed before it expires, and when the service refuses it.

    Args:
        get: gets a new one; raises ``IdentityError`` or ``ExchangeError``.
        name: what a person calls it: ``the token of the managed identity``.
        clock: the time, in Unix seconds.
    """

    kind: ClassVar[str] = "EntraToken"
    noun: ClassVar[str] = "access token"

    def __init__(self, get: Callable[[], Exchanged], *, name: str, clock: Callable[[], float] = time.time) -> None:
        self._renewed = Renewed(get, name=name, ahead=_AHEAD, clock=clock)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def generation(self) -> int:
        """See :class:`RenewableAuth`."""
        return self._renewed.generation

    def current(self) -> Secret:
        """The token as it is now; raises as :meth:`Renewed.current`."""
        return self._renewed.current().token

    def renew(self, generation: int) -> None:
        """See :class:`RenewableAuth`; raises as :meth:`current`."""
        self._renewed.renew(generation)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Put the token onto *request* unless it has an ``Authorization`` already, and send it once."""
        name_version(request)
        yield from _bearer(self.current()).auth_flow(request)


class VersionedToken(Credential, RenewableAuth):
    """A token that is renewed elsewhere, with the version of the interface that it needs to be named.

    Args:
        token: puts itself onto requests.
    """

    kind: ClassVar[str] = "EntraToken"
    noun: ClassVar[str] = "access token"

    def __init__(self, token: RenewableAuth) -> None:
        self._token = token

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def generation(self) -> int:
        """See :class:`RenewableAuth`."""
        return self._token.generation

    def renew(self, generation: int) -> None:
        """See :class:`RenewableAuth`."""
        self._token.renew(generation)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """See :class:`httpx2.Auth`."""
        name_version(request)
        yield from self._token.sync_auth_flow(request)


def _bearer(token: Secret) -> HeaderAuth:
    return HeaderAuth("Authorization", token, "Bearer ")
