"""Which credential a URL gets.

The rules are rattler's, so that one login serves rattler-build, pixi, py-rattler and keelback alike
(rattler_networking, storage.rs, ``get_by_url_with_host``): the exact host, then wildcards from the full host down to
its last label; for ``s3://`` the bucket, then the URL cut back slash by slash. Every key is asked of all stores before
the next key. One rule is keelback's own, and comes after all of those: see :func:`service_keys`.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, unquote_to_bytes

from keelback.errors import CredentialError, UsageError
from keelback.secret import Secret, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from keelback.credentials.kinds import Credential
    from keelback.credentials.stores import Store

__all__ = [
    "KeyProblem",
    "Match",
    "candidate_keys",
    "credential_for",
    "dead_keys",
    "default_stores",
    "find",
    "host_of",
    "require",
    "service_keys",
]

_log = logging.getLogger("keelback.credentials")

_told: set[tuple[str, ...]] = set()
"""What has been logged and need not be logged again in this process."""


@dataclass(frozen=True)
class Match:
    """The credential for a URL, and how it was found: under which key of which store."""

    credential: Credential
    key: str
    store: Store


# --- URL -> keys ------------------------------------------------------------------------------------------------------

_SPECIAL_SCHEMES: Final = frozenset({"http", "https", "ws", "wss", "ftp"})
"""Schemes whose host WHATWG normalises; of any other scheme it takes the host as written."""

_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<rest>.*)", re.DOTALL)
_PORT: Final = re.compile(r"[0-9]{0,5}")
_FORBIDDEN_IN_HOST: Final = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|]")
_FORBIDDEN_IN_DOMAIN: Final = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|%\x7f]")
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
    scheme, host = _scheme_and_host(url)
    if not host:
        return []
    if scheme == "s3":
        return [host, *_cut_back(url)]
    if scheme in _SPECIAL_SCHEMES and _is_address(host):
        return [host]
    return [host, *_wildcards(host)]


def service_keys(url: str) -> list[str]:
    """The keys that serve *url* because a known service answers there under a second name; keelback's own rule.

    The documentation of rattler-build shows ``anaconda.org`` as a key, which by rattler's rules matches neither
    ``api.anaconda.org`` nor ``conda.anaconda.org``.
    """
    scheme, host = _scheme_and_host(url)
    if scheme not in {"http", "https"}:
        return []
    return [service for service, own_hosts in _SERVICES.items() if own_hosts.fullmatch(host)]


def _keys(url: str) -> list[str]:
    return [*candidate_keys(url), *service_keys(url)]


def host_of(url: str) -> str:
    """The host of *url* as WHATWG normalises it, and so as it stands in a key; empty where there is none."""
    return _scheme_and_host(url)[1]


def _wildcards(host: str) -> Iterator[str]:
    domain, more = host, "."
    while more:
        yield f"*.{domain}"
        _, more, domain = domain.partition(".")


def _cut_back(url: str) -> Iterator[str]:
    """The whole ``s3`` URL as it is serialised, then without what follows its last slash, until none is left."""
    scheme, rest = _split(url)
    key, more = f"{scheme}:{quote(rest, safe=_KEPT_IN_URL)}", "/"
    while more:
        yield key
        key, more, _ = key.rpartition("/")


def _split(url: str) -> tuple[str, str]:
    """Scheme and the rest of a URL; both empty where it has no scheme."""
    cleaned = re.sub(r"[\t\r\n]", "", url.strip("".join(map(chr, range(0x21)))))
    match = _URL.fullmatch(cleaned)
    return (match["scheme"].lower(), match["rest"]) if match else ("", "")


def _scheme_and_authority(url: str) -> tuple[str, str]:
    """Scheme, and what stands between the slashes: ``user:password@host:port``."""
    scheme, rest = _split(url)
    if scheme in _SPECIAL_SCHEMES:
        return scheme, re.split(r"[/\\?#]", rest.lstrip("/\\"), maxsplit=1)[0]
    if rest.startswith("//"):
        return scheme, re.split(r"[/?#]", rest[2:], maxsplit=1)[0]
    return scheme, ""


def _scheme_and_host(url: str) -> tuple[str, str]:
    scheme, authority = _scheme_and_authority(url)
    host, port = _without_port(authority.rpartition("@")[2])
    if not _PORT.fullmatch(port) or int(port or 0) > 0xFFFF:
        return scheme, ""
    if host.startswith("["):
        return scheme, _parse_ipv6(host)
    return scheme, _parse_domain(host) if scheme in _SPECIAL_SCHEMES else _parse_opaque(host)


def _without_port(authority: str) -> tuple[str, str]:
    """Host and port; a colon inside of brackets belongs to an IPv6 address."""
    host, bracket, after = authority.rpartition("]")
    name, _, port = after.partition(":")
    return f"{host}{bracket}{name}", port


def _parse_opaque(host: str) -> str:
    """The host of a scheme that is not special, which is kept as written (WHATWG URL, opaque-host parser)."""
    if _FORBIDDEN_IN_HOST.search(host):
        return ""
    return quote(host, safe="".join(map(chr, range(0x21, 0x7F))))


def _parse_domain(host: str) -> str:
    """The host of a special scheme: decoded, lower-case, punycode, addresses in one form (WHATWG URL, host parser)."""
    domain = _to_ascii(unquote_to_bytes(host))
    if _FORBIDDEN_IN_DOMAIN.search(domain):
        return ""
    if _ends_in_number(domain):
        return _parse_ipv4(domain)
    return domain


def _to_ascii(domain: bytes) -> str:
    """*domain* with every label in ASCII (UTS 46, not transitional, as WHATWG wants it); empty where it cannot be."""
    if domain.isascii():
        return domain.decode("ascii").lower()
    import idna  # noqa: PLC0415 - its tables take long to load, and hardly any host needs them

    try:
        mapped = idna.uts46_remap(domain.decode(), std3_rules=False, transitional=False)
    except (UnicodeError, idna.IDNAError):
        return ""
    # Not idna.encode: it refuses what IDNA 2008 does, such as emoji and underscores, and WHATWG does not.
    labels = [label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in mapped.split(".")]
    return ".".join(labels)


def _ends_in_number(domain: str) -> bool:
    last = domain.removesuffix(".").rpartition(".")[2]
    return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last) is not None


def _parse_ipv4(domain: str) -> str:
    """The address in four decimal parts; up to four decimal, octal or hexadecimal ones go in (WHATWG, IPv4 parser)."""
    parts = domain.removesuffix(".").split(".")
    if len(parts) > 4:
        return ""
    try:
        *leading, last = map(_parse_ipv4_number, parts)
    except ValueError:
        return ""
    if any(number > 0xFF for number in leading) or last >= 256 ** (5 - len(parts)):
        return ""
    value = last + sum(number << 8 * (3 - index) for index, number in enumerate(leading))
    return str(ipaddress.IPv4Address(value))


def _parse_ipv4_number(part: str) -> int:
    if not part.isalnum():
        raise ValueError
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") else 10)


def _parse_ipv6(bracketed: str) -> str:
    """The address in brackets and in its shortest form (WHATWG URL, IPv6 serializer)."""
    if not bracketed.endswith("]") or "%" in bracketed:
        return ""
    try:
        address = ipaddress.IPv6Address(bracketed[1:-1])
    except ValueError:
        return ""
    if address.ipv4_mapped is not None:  # Python versions differ here; WHATWG never writes dots
        low = int(address.ipv4_mapped)
        return f"[::ffff:{low >> 16:x}:{low & 0xFFFF:x}]"
    return f"[{address.compressed}]"


def _is_address(host: str) -> bool:
    return host.startswith("[") or _ends_in_number(host)


# --- keys -> credential -----------------------------------------------------------------------------------------------


def default_stores(
    auth_file: Path | None = None, environ: Mapping[str, str] | None = None, home: Path | None = None
) -> list[Store]:
    """The stores to look in, first one first.

    Args:
        auth_file: a file named for this run. It is then the only store.
        environ: the variables, in place of the process's own. An empty ``RATTLER_AUTH_FILE`` counts as none.
        home: the user's home directory, in place of the process's own.

    Raises:
        CredentialFileError: a file that was named, by *auth_file* or ``RATTLER_AUTH_FILE``, is missing, or a file
            cannot be read or is malformed.

    A warning is logged, once in a process, of every key that can never match.
    """
    from keelback.credentials.stores import FileStore  # noqa: PLC0415 - candidate_keys alone need not pay for httpx2

    stores: list[Store] = []
    if auth_file is not None:
        stores.append(FileStore(auth_file, f"--auth-file ({auth_file})", required=True))
    else:
        named = (os.environ if environ is None else environ).get("RATTLER_AUTH_FILE")
        if named:
            stores.append(FileStore(Path(named), f"RATTLER_AUTH_FILE ({named})", required=True))
        home = home or _home()
        if home is not None:
            default = home / ".rattler" / "credentials.json"
            stores.append(FileStore(default, f"default auth file ({default})"))
    for store in stores:
        for dead in dead_keys(store):
            if _first_time("dead", store.name, dead.key):
                _log.warning("%s: %s", store.name, dead)
    return stores


def find(url: str, stores: Sequence[Store]) -> Match | None:
    """The credential for *url*, or nothing.

    A name and password in the URL itself (``https://ann:secret@host``) win over all stores. Then keys are tried in
    the order of :func:`candidate_keys`, then :func:`service_keys`, and each key in all stores before the next: an
    exact host in the last store wins over a wildcard in the first.

    Raises:
        CredentialError: a store has a credential under the key, but it cannot be used.
        UsageError: the URL has a backslash in it.
    """
    if "\\" in url and _split(url)[0] in _SPECIAL_SCHEMES:
        # In http://a\@b WHATWG's host is a and httpx2's is b: what was found for one would be sent to the other.
        raise UsageError(f"The URL for {host_of(url)} has a backslash in it.", hint="Write '/' in its place.")
    stores = [*_store_of_url(url), *stores]
    for key in _keys(url):
        for store in stores:
            credential = store.get(key)
            if credential is not None:
                host = host_of(url)
                if _first_time("found", store.name, key, host):
                    _log.info("%s: %s under key %r from %s", host, credential.kind, key, store.name)
                return Match(credential, key, store)
    return None


@dataclass(frozen=True)
class _UrlStore:
    """The store that a URL with a name and a password in it is, for its own host."""

    host: str
    credential: Credential
    name: str = "the URL itself"

    def get(self, key: str) -> Credential | None:
        return self.credential if key == self.host else None

    def keys(self) -> Sequence[str]:
        return [self.host]


def _store_of_url(url: str) -> Iterator[Store]:
    """What stands before the ``@`` of *url*, if anything does; as reqwest, it is taken for HTTP alone."""
    scheme, authority = _scheme_and_authority(url)
    name, _, password = authority.rpartition("@")[0].partition(":")
    if scheme in {"http", "https"} and (name or password):
        from keelback.credentials.kinds import BasicHTTP  # noqa: PLC0415 - candidate_keys alone need not pay for httpx2

        yield _UrlStore(host_of(url), BasicHTTP(unquote(name), Secret(unquote(password))))


def credential_for(url: str, *, auth_file: Path | str | None = None) -> Match | None:
    """The credential that keelback would use for *url*, with its key and its store; nothing where there is none.

    Args:
        url: any URL of the server: ``https://repo.prefix.dev/my-channel``, ``s3://bucket/channel``.
        auth_file: look in this file and nowhere else; otherwise in ``RATTLER_AUTH_FILE``, then in
            ``~/.rattler/credentials.json``.

    Raises:
        CredentialFileError: an auth file that was named is missing, or one cannot be read or is malformed.
        UsageError: the URL has a backslash in it.
    """
    return find(url, default_stores(None if auth_file is None else Path(auth_file)))


def require(
    match: Match | None,
    url: str,
    usable: Sequence[type[Credential]],
    *,
    server: str,
    looked: Sequence[Store],
    flag: str,
    env: str,
) -> Match:
    """*match*, if there is one and its kind is among the *usable*.

    Args:
        match: what :func:`find` found for *url*.
        url: what the credential is for; of it only the host is shown.
        usable: the kinds that this server can use, the usual one first.
        server: what a person calls the server: ``Quetz``.
        looked: the stores that were looked in.
        flag: the option that would give a credential directly: ``--api-key``. Empty for none.
        env: the variable that would: ``QUETZ_API_KEY``. Empty for none.

    Raises:
        CredentialError: code ``no-credential``, saying where was looked and what to do; or code ``wrong-kind``, naming
            the kind found, its key and store, and the kinds that would do.
    """
    host = host_of(url)
    if match is None:
        keys = redact(", ".join(_keys(url)))
        raise CredentialError(
            f"No credential for {server} at {host}: none of the keys {keys} is in {_listed(looked)}.",
            hint=_how_to_give_one(url, usable, looked, flag, env),
        )
    if not isinstance(match.credential, tuple(usable)):
        kinds = " or ".join(kind.kind for kind in usable)
        raise CredentialError(
            f"{server} at {host} cannot use the {match.credential.kind} under key {match.key!r} of {match.store.name}; "
            f"it takes {kinds}.",
            hint=_how_to_give_one(url, usable, (), flag, env),
            code="wrong-kind",
        )
    return match


def _how_to_give_one(url: str, usable: Sequence[type[Credential]], looked: Sequence[Store], flag: str, env: str) -> str:
    keys = _keys(url)
    for store in looked:
        for dead in dead_keys(store):
            if dead.instead in keys:
                return f"Key {dead.key!r} in {store.name} never matches; write {dead.instead!r} in its place."
    ways = [f"give {flag}"] if flag else []
    if env:
        ways.append(f"set {env}")
    ways.append(f'put {{"{_key_to_show(url)}": {_EXAMPLES[usable[0].kind]}}} into the auth file')
    return f"{ways[0][0].upper()}{', or '.join(ways)[1:]}."


def _key_to_show(url: str) -> str:
    services = service_keys(url)
    return f"*.{services[0]}" if services else host_of(url)


_EXAMPLES: Final = {
    "BearerToken": '{"BearerToken": "..."}',
    "CondaToken": '{"CondaToken": "..."}',
    "BasicHTTP": '{"BasicHTTP": {"username": "...", "password": "..."}}',
    "S3Credentials": '{"S3Credentials": {"access_key_id": "...", "secret_access_key": "..."}}',
    "OAuth": '{"BearerToken": "..."}',
}
"""What a person would write by hand; an OAuth entry comes of a login only."""


def _listed(stores: Sequence[Store]) -> str:
    return ", ".join(store.name for store in stores) or "any store"


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a container whose user has no entry, and no HOME
        return None


def _first_time(*what: str) -> bool:
    if what in _told:
        return False
    _told.add(what)
    return True


# --- keys that never match --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyProblem:
    """A key with which something is wrong.

    Attributes:
        key: the key as it stands in the store.
        why: what is wrong with it.
        instead: the key that would do what was meant; ``None`` where that cannot be told.
        never_matches: whether no URL at all leads to the key; otherwise it leads to more hosts than is safe.
    """

    key: str
    why: str
    instead: str | None = None
    never_matches: bool = True

    def __str__(self) -> str:
        verdict = "can never match" if self.never_matches else "matches too much"
        advice = "" if self.instead is None else f"; write {self.instead!r} in its place"
        return f"key {self.key!r} {verdict}: {self.why}{advice}"


def dead_keys(store: Store) -> list[KeyProblem]:
    """The keys of *store* that no URL leads to, and those that lead to half the world, each with what to do."""
    problems = (_diagnose(key, _kind_under(store, key)) for key in store.keys())  # noqa: SIM118 - a Store is no mapping
    return [problem for problem in problems if problem is not None]


def _kind_under(store: Store, key: str) -> str | None:
    try:
        credential = store.get(key)
    except CredentialError:
        return None
    return None if credential is None else credential.kind


def _diagnose(key: str, kind: str | None) -> KeyProblem | None:
    if key.startswith("s3:"):
        return _diagnose_s3_url(key)
    if kind == "S3Credentials":
        return _diagnose_bucket(key)
    if key.startswith("*."):
        return _diagnose_wildcard(key)
    host = _host_meant(key)
    return None if host and key == host else KeyProblem(key, _why_no_host(key, host), host or None)


def _diagnose_wildcard(key: str) -> KeyProblem | None:
    name = key.removeprefix("*.")
    host = _host_meant(name)
    if host and _is_address(host):
        return KeyProblem(key, "an IP address has no names below it", host)
    if not name:
        return KeyProblem(key, "every host that is written with a dot at its end gets it", never_matches=False)
    if name != host:
        return KeyProblem(key, _why_no_host(name, host), f"*.{host}" if host else None)
    if "." not in name and name != "localhost":
        return KeyProblem(key, f"every host under .{name} gets it", never_matches=False)
    return None


def _diagnose_s3_url(key: str) -> KeyProblem | None:
    if key in {"s3:", "s3:/"}:
        return KeyProblem(key, "every bucket gets it", never_matches=False)
    if key in candidate_keys(key) and not key.endswith("/"):
        return None
    bare = key.rstrip("/")
    keys = candidate_keys(bare)
    return KeyProblem(key, "it is not spelt as an s3 URL is, or ends with '/'", keys[1] if keys else None)


def _diagnose_bucket(key: str) -> KeyProblem | None:
    """What is wrong with a key that is no ``s3:`` URL and yet holds S3 keys: it has to be the bucket, as written."""
    if key == host_of(f"s3://{key}") and "*" not in key:
        return None
    if key.startswith("*."):
        return KeyProblem(key, "wildcards do not count for s3", key.removeprefix("*."))
    if "://" in key:
        return KeyProblem(key, "S3 keys are looked up by bucket or s3:// URL")
    keys = candidate_keys(f"s3://{key.rstrip('/')}")
    return KeyProblem(key, "the name of a bucket stands alone, or in an s3:// URL", keys[1] if keys else None)


def _host_meant(name: str) -> str:
    """The host that whoever wrote *name* had in mind; empty where that cannot be told."""
    name = (name.partition("://")[2] or name).strip()
    if "*" in name:
        return ""
    return host_of(f"https://{name}") or host_of(f"https://[{name}]")


def _why_no_host(name: str, host: str) -> str:
    reasons = (
        (not name, "it is empty"),
        ("://" in name, "a key is a host, without a scheme"),
        ("*" in name, "a '*' stands for names only at the beginning, as in '*.example.com'"),
        (not host, "it is not the name of a host"),
        ("/" in name, "a key is a host, without a path"),
        (not name.isascii(), "hosts are compared in their ASCII form (punycode)"),
        (name.lower() == host, "hosts are compared in lower case"),
        (host.startswith("["), "IPv6 addresses are compared in brackets and in their shortest form, without a port"),
        (":" in name, "a key is a host, without a port; it serves all ports"),
    )
    return next((why for applies, why in reasons if applies), f"this host is compared as {host!r}")
