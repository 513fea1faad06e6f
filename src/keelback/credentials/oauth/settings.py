"""With what a login is asked for, and how the person who logs in is talked to."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from keelback.credentials.oauth.browser import open_in_browser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keelback.secret import Secret

Flow = Literal["device-code", "auth-code", "auto"]
"""How to log in: with a code typed into a browser anywhere, with the browser of this machine, or with that if one can
be opened and else with a code. Names and default are those of rattler's ``--oauth-flow``."""

CLIENT_ID: Final = "rattler"
"""The name by which the servers of the field know the rattler family (rattler, auth.rs)."""

SCOPES: Final = ("openid", "profile", "offline_access")
PREFIX_SCOPES: Final = (*SCOPES, "channel:read", "channel:upload")
"""What prefix.dev calls the right to read from channels, and to upload (rattler, auth.rs)."""


@dataclass(frozen=True)
class Application:
    """As what keelback is known to the server.

    Attributes:
        client_id: its public name.
        client_secret: its password, where it has one (RFC 6749, section 2.3.1).
    """

    client_id: str
    client_secret: Secret | None = None


@dataclass(frozen=True)
class Settings:
    """With what a login is asked for.

    Attributes:
        issuer: the server's own URL, exactly as it writes it (RFC 8414, section 2).
        scopes: what is asked for.
        client_id: the application's name there.
        client_secret: its password, where it has one; it is not stored, so that such a login cannot be renewed.
        flow: how to log in.
        redirect_uri: where the browser comes back to, for a server that knows one address only; it is on this machine
            and has a port. A free port otherwise.
    """

    issuer: str
    scopes: Sequence[str] = SCOPES
    client_id: str = CLIENT_ID
    client_secret: Secret | None = None
    flow: Flow = "device-code"
    redirect_uri: str | None = None

    @property
    def application(self) -> Application:
        """As what keelback is known to the server."""
        return Application(self.client_id, self.client_secret)


def is_prefix(host: str) -> bool:
    """Whether *host*, which may be a key with a wildcard, belongs to prefix.dev: it logs in by OAuth unless told."""
    host = host.lower().removeprefix("*.")
    return host == "prefix.dev" or host.endswith(".prefix.dev")


def defaults_for(host: str) -> Settings:
    """The settings for *host* where the user gives none (rattler, auth.rs).

    The issuer is ``https://`` and the host as typed, but for ``repo.prefix.dev``, where packages are read, and where
    nobody logs in.
    """
    host = host.removeprefix("*.")
    if is_prefix(host):
        return Settings("https://" + ("prefix.dev" if host == "repo.prefix.dev" else host), PREFIX_SCOPES)
    return Settings(f"https://{host}")


@dataclass(frozen=True)
class Prompt:
    """What a person is asked to do.

    Attributes:
        url: what to open in a browser.
        code: what to type there; nothing where there is no code.
        opened: whether a browser has been told to open it.
    """

    url: str
    code: str | None = None
    opened: bool = False


@dataclass(frozen=True)
class Interaction:
    """How the person who logs in is talked to.

    Attributes:
        show: shows a prompt.
        open_browser: opens a URL, and says whether there is a browser that does.
        wait: waits for so many seconds.
        browser_seconds: how long the browser is waited for.
    """

    show: Callable[[Prompt], None]
    open_browser: Callable[[str], bool] = open_in_browser
    wait: Callable[[float], None] = time.sleep
    browser_seconds: float = 300.0
