"""With what a login by OAuth is asked for where the user says nothing, and where a browser is."""

from __future__ import annotations

import sys
import webbrowser

import pytest

from keelback.credentials.oauth.browser import open_in_browser
from keelback.credentials.oauth.settings import PREFIX_SCOPES, SCOPES, Settings, defaults_for, is_prefix


@pytest.mark.parametrize(
    ("host", "issuer"),
    [
        ("prefix.dev", "https://prefix.dev"),
        ("*.prefix.dev", "https://prefix.dev"),
        ("repo.prefix.dev", "https://prefix.dev"),
        ("beta.prefix.dev", "https://beta.prefix.dev"),
    ],
)
def test_prefix_dev_is_known(host: str, issuer: str) -> None:
    """It takes logins under the host that was typed; where packages are read, nobody logs in."""
    assert is_prefix(host)
    assert defaults_for(host) == Settings(issuer, PREFIX_SCOPES, client_id="rattler", flow="device-code")


@pytest.mark.parametrize("host", ["conda.example.com", "notprefix.dev", "prefix.dev.example.com"])
def test_any_other_host_is_its_own_issuer(host: str) -> None:
    """A name that looks like prefix.dev's is not."""
    assert not is_prefix(host)
    assert defaults_for(host) == Settings(f"https://{host}", SCOPES)


def test_without_a_screen_there_is_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser for terminals would take the terminal; on macOS and Windows there always is a screen."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert not open_in_browser("https://idp.example")
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_in_browser("https://idp.example")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert open_in_browser("https://idp.example")
    assert opened == ["https://idp.example"] * 2


def test_a_browser_that_fails_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The login goes on without it."""

    def fail(_url: str) -> bool:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", fail)
    assert not open_in_browser("https://idp.example")
