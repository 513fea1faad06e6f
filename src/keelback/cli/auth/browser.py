"""A login in the browser, for ``keelback auth login --oauth``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keelback.cli.auth.common import note
from keelback.credentials.logins import url_of
from keelback.credentials.oauth.login import Login, log_in
from keelback.credentials.oauth.settings import Interaction, Prompt, defaults_for

if TYPE_CHECKING:
    from keelback.secret import Secret
    from keelback.transport import Client


def log_in_by_browser(client: Client, place: str, client_secret: Secret | None, options: dict[str, Any]) -> Login:
    """Have a person log in to *place*.

    Args:
        client: sends the requests.
        place: a host or a URL.
        client_secret: the application's password, where it has one.
        options: what the ``--oauth-...`` options say, by the names of :class:`Settings`; ``None`` where they do not.

    Raises:
        KeelbackError: as :func:`keelback.credentials.oauth.login.log_in`.
    """
    settings = defaults_for(urlsplit(url_of(place)).netloc)
    given = {name: value for name, value in options.items() if value}
    return log_in(client, replace(settings, client_secret=client_secret, **given), Interaction(show=_show))


def _show(prompt: Prompt) -> None:
    note(f"To log in, open {prompt.url}" + (" (a browser has been told to)" if prompt.opened else ""))
    if prompt.code is not None:
        note(f"and enter the code {prompt.code}")
    note("Waiting; Ctrl-C stops, and stores nothing.")
