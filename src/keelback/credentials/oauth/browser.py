"""The browser of this machine."""

from __future__ import annotations

import os
import sys
import webbrowser

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")


def open_in_browser(url: str) -> bool:
    """Open *url* in the user's browser; whether there is one.

    Where there is no screen there is none: a browser for terminals would take the terminal that keelback speaks to.
    """
    if sys.platform not in ("win32", "darwin") and not any(map(os.environ.get, _DISPLAYS)):
        return False
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
