"""Attestations beside an archive in its channel: a file with a JSON array of Sigstore bundles (CEP 50).

Nothing here verifies: what a bundle says of itself is taken for no more than that.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any, Final

import msgspec

from keelback.errors import AttestationError

CURRENT: Final = ".sigs"
"""What comes after the name of an archive: the latest attestations, for tools that know no index (CEP 50)."""

UNPINNED: Final = ".v0.sigs"
"""The same at prefix.dev, which had it before there was a CEP; no index has its hash."""

LARGEST: Final = 2 << 20
"""How many bytes a sidecar may have: a bundle has about ten thousand."""

MOST: Final = 64
"""How many bundles a sidecar may have: each costs the reader a verification."""


def pinned(sha256: str) -> str:
    """What comes after the name of an archive where exactly those attestations are that have this hash (CEP 50)."""
    return f"{CURRENT}.{sha256}"


def bundles_in(content: bytes, place: str) -> list[bytes]:
    """The bundles of the sidecar *content*, each as JSON.

    Args:
        content: a JSON array of objects.
        place: what it is called in messages.

    Raises:
        AttestationError: code ``bad-attestations-file``: it is something else, or there are too many.
    """
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise malformed(f"{place} is a web page, not a list of attestations")
    try:
        # not one of them is unpacked before it is known how many there are
        bundles = [bytes(bundle) for bundle in msgspec.json.decode(content, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise malformed(f"{place} is not a JSON array of attestations") from None
    if len(bundles) > MOST:
        raise malformed(f"{place} has {len(bundles)} attestations; more than {MOST} are not read")
    if not all(bundle.startswith(b"{") for bundle in bundles):
        raise malformed(f"{place} has something in it that is not a Sigstore bundle")
    return bundles


def is_about(content: bytes, sha256: str) -> bool:
    """Whether the sidecar *content* is that of an archive with the hash *sha256*: some bundle in it says so."""
    return bool(_bundles_about(content, sha256))


def with_bundle(content: bytes | None, bundle: bytes | None, sha256: str) -> bytes | None:
    """The sidecar for an archive with the hash *sha256*: what *content* has for it, and *bundle* after that.

    Bundles that are there stay byte for byte, and in their order (CEP 50, response format).

    Args:
        content: the sidecar that is there, which may be of other bytes, or malformed; ``None`` for none.
        bundle: one more, JSON; left out where an equal one is there.
        sha256: hex.

    Returns:
        ``None`` where there is nothing for this archive.

    Raises:
        AttestationError: code ``too-many-attestations``: readers would not take what came of it.
    """
    before = [] if content is None else _bundles_about(content, sha256)
    if bundle is None or json.loads(bundle) in (json.loads(each) for each in before):
        return content if before else None
    found = b"[" + b",".join([*before, bundle.strip()]) + b"]"
    if len(before) == MOST or len(found) > LARGEST:
        raise AttestationError(
            f"there is no room for another attestation of these bytes: there are {len(before)}",
            hint="Publish it without one; those that are there can be verified.",
            code="too-many-attestations",
        )
    return found


def _bundles_about(content: bytes, sha256: str) -> list[bytes]:
    """All bundles in *content*, where that is the sidecar of an archive with that hash; else none."""
    try:
        bundles = bundles_in(content, "the file")
    except AttestationError:  # whoever wrote that, no reader can use it
        return []
    return bundles if any(sha256.lower() in _subjects_of(bundle) for bundle in bundles) else []


def _subjects_of(bundle: bytes) -> set[str]:
    """The SHA-256 of everything that *bundle* claims to be about (in-toto Statement v1), as far as it says."""
    try:
        statement = json.loads(b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
        found: list[Any] = [subject["digest"]["sha256"] for subject in statement["subject"]]
    except (KeyError, TypeError, ValueError, RecursionError):
        return set()
    return {sha256.lower() for sha256 in found if isinstance(sha256, str)}


def malformed(message: str) -> AttestationError:
    """The error for a sidecar that no reader can use."""
    return AttestationError(message, hint="Ask the owner of the channel to see to that.", code="bad-attestations-file")
