"""URLs of servers, as options and variables give them."""

from __future__ import annotations

from urllib.parse import urlsplit

from keelback.errors import UsageError
from keelback.hosts import host_of
from keelback.secret import redact


def checked_url(url: str, name: str) -> str:
    """*url* without a slash at its end, if it is the URL of a server; it may have a path.

    Args:
        url: what somebody wrote.
        name: where it stands, for messages: an option, a variable.

    Raises:
        UsageError: it is not such a URL, or has a user, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        is_server = parts.scheme in ("https", "http") and bool(host_of(url)) and "\\" not in url
        has_more = "@" in parts.netloc or bool(parts.query or parts.fragment)
    except ValueError:
        is_server, has_more = False, False
    if not is_server or has_more:
        raise UsageError(f"{name}: {redact(url)!r} is not the URL of a server", hint="Write it like https://HOST.")
    return url.rstrip("/")
