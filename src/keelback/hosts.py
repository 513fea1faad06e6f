"""The host of a URL, as WHATWG normalises it: the form in which it stands in a key of an auth file.

(WHATWG URL Standard, "Host parsing": lower case, percent-decoded, punycode, IP addresses in one form.)
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

SPECIAL_SCHEMES: Final = frozenset({"http", "https", "ws", "wss", "ftp"})
"""Schemes whose host WHATWG normalises; of any other scheme it takes the host as written."""
_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<rest>.*)", re.DOTALL)
_PORT: Final = re.compile(r"[0-9]{0,5}")
_FORBIDDEN_IN_HOST: Final = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|]")
_FORBIDDEN_IN_DOMAIN: Final = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|%\x7f]")


def host_of(url: str) -> str:
    """The host of *url* as WHATWG normalises it, and so as it stands in a key; empty where there is none."""
    return scheme_and_host(url)[1]


def split_url(url: str) -> tuple[str, str]:
    """Scheme and the rest of a URL; both empty where it has no scheme."""
    cleaned = re.sub(r"[\t\r\n]", "", url.strip("".join(map(chr, range(0x21)))))
    match = _URL.fullmatch(cleaned)
    return (match["scheme"].lower(), match["rest"]) if match else ("", "")


def scheme_and_authority(url: str) -> tuple[str, str]:
    """Scheme, and what stands between the slashes: ``user:password@host:port``."""
    scheme, rest = split_url(url)
    if scheme in SPECIAL_SCHEMES:
        return scheme, re.split(r"[/\\?#]", rest.lstrip("/\\"), maxsplit=1)[0]
    if rest.startswith("//"):
        return scheme, re.split(r"[/?#]", rest[2:], maxsplit=1)[0]
    return scheme, ""


def scheme_and_host(url: str) -> tuple[str, str]:
    """Scheme and host; either is empty where there is none, or where the URL cannot be parsed."""
    scheme, authority = scheme_and_authority(url)
    host, port = _without_port(authority.rpartition("@")[2])
    if not _PORT.fullmatch(port) or int(port or 0) > 0xFFFF:
        return scheme, ""
    if host.startswith("["):
        return scheme, _parse_ipv6(host)
    return scheme, _parse_domain(host) if scheme in SPECIAL_SCHEMES else _parse_opaque(host)


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


def is_address(host: str) -> bool:
    """Whether *host*, as :func:`host_of` gives it, is an IP address."""
    return host.startswith("[") or _ends_in_number(host)
