"""Keys of a store with which something is wrong: no URL leads to them, or far too many do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelback.credentials.keys import candidate_keys, path_keys
from keelback.errors import CredentialError
from keelback.hosts import host_of, is_address

if TYPE_CHECKING:
    from keelback.credentials.stores import Store


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
    """The keys of *store* that no URL leads to, and those that match too many hosts, each with what to do."""
    keys = [key for key in store.keys() if not (store.is_path_scoped and _is_path_key(key))]  # noqa: SIM118 - a Store is no mapping
    problems = (_diagnose(key, _kind_under(store, key)) for key in keys)
    return [problem for problem in problems if problem is not None]


def _is_path_key(key: str) -> bool:
    """Whether *key* is one for a path of a host, as it is looked up."""
    return "/" in key and path_keys(f"https://{key}")[:1] == [key]


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
    if key.startswith("gs:"):
        return _diagnose_gs_url(key)
    if key.startswith("*."):
        return _diagnose_wildcard(key)
    host = _host_meant(key)
    return None if host and key == host else KeyProblem(key, _why_no_host(key, host), host or None)


def _diagnose_wildcard(key: str) -> KeyProblem | None:
    name = key.removeprefix("*.")
    host = _host_meant(name)
    if host and is_address(host):
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


def _diagnose_gs_url(key: str) -> KeyProblem | None:
    """What is wrong with a key for a bucket of Google Cloud Storage, which keelback looks up as it does an S3 URL."""
    if key.startswith("gs://") and key in candidate_keys(key) and not key.endswith("/"):
        return None
    bare = key.rstrip("/")
    found = next((known for known in candidate_keys(bare) if known.startswith("gs://")), None)
    return KeyProblem(key, "it is not spelt as a gs URL is, or ends with '/'", found)


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
