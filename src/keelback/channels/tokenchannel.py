"""What the channels of servers that take one token have in common: how the token is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from keelback.channels.access import find_access, given_token
from keelback.channels.server import ServerChannel

if TYPE_CHECKING:
    from keelback.channels.access import Access
    from keelback.channels.session import Session
    from keelback.credentials.kinds import BearerToken, CondaToken


class TokenChannel(ServerChannel):
    """A channel of a server that takes one token, and no user name with a password.

    Attributes:
        token: what a token from an option or a variable becomes.
        endpoint: the URL of the server that gets the credential.
    """

    token: ClassVar[type[BearerToken | CondaToken]]
    endpoint: str

    @property
    def server_name(self) -> str:
        """What a person calls the server."""
        return self.title

    def given_access(self, session: Session) -> Access | None:
        """See :class:`Channel`: a token, by option or by the first of :attr:`variables`."""
        variable = next(iter(self.variables), "")
        return given_token(session, self.endpoint, self.token, variable, server=self.server_name)

    def find_access(self, session: Session) -> Access:
        """The credential for the server: given, exchanged, or stored.

        Raises:
            UsageError: a user name or a password was given.
            CredentialError: there is none, or none of a kind that the server takes.
        """
        return find_access(self, session, self.endpoint, server=self.server_name, flags="--api-key")
