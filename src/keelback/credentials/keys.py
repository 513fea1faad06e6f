"""The keys under which a credential for a URL may be kept, in the order in which they are tried.

The rules are rattler's (rattler_networking, storage.rs, ``get_by_url_with_host``): the exact host, then wildcards from
the full host down to its last label; for ``s3://`` the bucket, then the URL cut back slash by slash. One rule is
keelback's own, and comes after all of those: see :func:`service_keys`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote

from keelback.hosts import SPECIAL_SCHEMES, host_of, is_address, scheme_and_host, split_url

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT_IN_URL: Final = "%/:?#[]@!$&'()*+,;=~|^\\"

_NOT_IN_SEGMENT: Final = re.compile(r"[/\\\x00-\x1f\x7f]")


class _Service(NamedTuple):
    """A service that is known by one name and answers under others of its own.

    Attributes:
        pattern: the other hosts.
        hosts: those of them that are asked.
        described: the other hosts, in words.
    """

    pattern: re.Pattern[str]
    hosts: tuple[str, ...]
    described: str


_SERVICES: Final = {
    "anaconda.org": _Service(
        re.compile(r"(?:api|conda)\.anaconda\.org"),
        ("api.anaconda.org", "conda.anaconda.org"),
        "api. and conda.anaconda.org",
    ),
    "cloudsmith.io": _Service(
        re.compile(r"(?:api|conda|dl)\.cloudsmith\.io"),
        ("api.cloudsmith.io", "conda.cloudsmith.io"),
        "api. and conda.cloudsmith.io",
    ),
    "prefix.dev": _Service(
        re.compile(r"(?:[a-z0-9-]+\.)+prefix\.dev"), ("repo.prefix.dev",), "the hosts under prefix.dev"
    ),
}


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
    if scheme == "gs":  # rattler reads these with no stored credential at all
        return [host, *_wildcards(host), *_cut_back(url)]
    return [host, *_wildcards(host)]


def service_keys(url: str) -> list[str]:
    """The keys that serve *url* because a known service answers there under a second name; keelback's own rule.

    The documentation of rattler-build shows ``anaconda.org`` as a key, which by rattler's rules matches neither
    ``api.anaconda.org`` nor ``conda.anaconda.org``.
    """
    scheme, host = scheme_and_host(url)
    if scheme not in {"http", "https"}:
        return []
    return [service for service, known in _SERVICES.items() if known.pattern.fullmatch(host)]


def service_hosts(key: str) -> tuple[str, ...]:
    """The other hosts of the service that *key* is the name of; none where it is no such name."""
    return _SERVICES[key].hosts if key in _SERVICES else ()


def also_served(key: str) -> str:
    """What *key* serves by :func:`service_keys` beside its own host, in words; empty where that is nothing."""
    return _SERVICES[key].described if key in _SERVICES else ""


def keys_for(url: str) -> list[str]:
    """All keys that may serve *url*: rattler's, then keelback's own."""
    return [*candidate_keys(url), *service_keys(url)]


def path_keys(url: str) -> list[str]:
    """The keys of keelback's own file that serve a part of the host of *url*, the longest first.

    For ``https://host:8080/t/TOKEN/a/b`` they are ``host/a/b`` and ``host/a``: whole segments of the path, decoded
    once, without the place of a conda token. A path that servers may read in more than one way (an empty segment,
    ``..``, a slash behind an escape, a backslash) has none, and neither has a URL that is not HTTP.
    """
    scheme, rest = split_url(url)
    host = host_of(url)
    if scheme not in {"http", "https"} or not host:
        return []
    before_query = re.split(r"[?#]", rest.lstrip("/"), maxsplit=1)[0]
    path = before_query.partition("/")[2].removesuffix("/")
    segments = [] if "\\" in before_query else _segments(path)
    if len(segments) >= 2 and segments[0] == "t":
        segments = segments[2:]
    return ["/".join([host, *segments[:end]]) for end in range(len(segments), 0, -1)]


def _segments(path: str) -> list[str]:
    """The segments of *path*; none where one of them could be taken for something else."""
    try:
        segments = [unquote(segment, errors="strict") for segment in path.split("/")]
    except UnicodeDecodeError:
        return []
    if any(segment in {"", ".", ".."} or _NOT_IN_SEGMENT.search(segment) for segment in segments):
        return []
    return segments


def _wildcards(host: str) -> Iterator[str]:
    domain, more = host, "."
    while more:
        yield f"*.{domain}"
        _, more, domain = domain.partition(".")


def _cut_back(url: str) -> Iterator[str]:
    """The whole URL of a bucket as it is serialised, then without what follows its last slash, until none is left."""
    scheme, rest = split_url(url)
    key, more = f"{scheme}:{quote(rest, safe=_KEPT_IN_URL)}", "/"
    while more:
        yield key
        key, more, _ = key.rpartition("/")
