"""The keys under which a credential for a URL may be kept, in the order in which they are tried.

The rules are rattler's (rattler_networking, storage.rs, ``get_by_url_with_host``): the exact host, then wildcards from
the full host down to its last label; for ``s3://`` the bucket, then the URL cut back slash by slash. One rule is
keelback's own, and comes after all of those: see :func:`service_keys`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from keelback.hosts import SPECIAL_SCHEMES, is_address, scheme_and_host, split_url

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT_IN_URL: Final = "%/:?#[]@!$&'()*+,;=~|^\\"

_SERVICES: Final = {
    "anaconda.org": re.compile(r"(?:api|conda)\.anaconda\.org"),
    "prefix.dev": re.compile(r"(?:[a-z0-9-]+\.)+prefix\.dev"),
}
"""Services that are known by one name and answer under others of their own."""


def candidate_keys(url: str) -> list[str]:
    """The keys under which rattler would look for a credential for *url*, in its order.

    A URL that cannot be parsed, or has no host, has none.
    """
    scheme, host = scheme_and_host(url)
    if not host:
        return []
    if scheme == "s3":
        return [host, *_cut_back(url)]
    if scheme in SPECIAL_SCHEMES and is_address(host):
        return [host]
    return [host, *_wildcards(host)]


def service_keys(url: str) -> list[str]:
    """The keys that serve *url* because a known service answers there under a second name; keelback's own rule.

    The documentation of rattler-build shows ``anaconda.org`` as a key, which by rattler's rules matches neither
    ``api.anaconda.org`` nor ``conda.anaconda.org``.
    """
    scheme, host = scheme_and_host(url)
    if scheme not in {"http", "https"}:
        return []
    return [service for service, own_hosts in _SERVICES.items() if own_hosts.fullmatch(host)]


def keys_for(url: str) -> list[str]:
    """All keys that may serve *url*: rattler's, then keelback's own."""
    return [*candidate_keys(url), *service_keys(url)]


def _wildcards(host: str) -> Iterator[str]:
    domain, more = host, "."
    while more:
        yield f"*.{domain}"
        _, more, domain = domain.partition(".")


def _cut_back(url: str) -> Iterator[str]:
    """The whole ``s3`` URL as it is serialised, then without what follows its last slash, until none is left."""
    scheme, rest = split_url(url)
    key, more = f"{scheme}:{quote(rest, safe=_KEPT_IN_URL)}", "/"
    while more:
        yield key
        key, more, _ = key.rpartition("/")
