"""Attestations beside an archive in its channel: a file with a JSON array of Sigstore bundles.

Nothing here verifies: what a bundle says of itself is taken for no more than that.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any, Final

import msgspec

from keelback.errors import AttestationError

WRITTEN: Final = ".v0.sigs"
"""What comes after the name of an archive, in the channels of prefix.dev and in local ones."""

READ: Final = (WRITTEN, ".sigs")
"""Where readers look; the second is that of the draft of a CEP (conda/ceps#142)."""

LARGEST: Final = 2 << 20
"""How many bytes a sidecar may have: a bundle has about ten thousand."""

MOST: Final = 64
"""How many bundles a sidecar may have: each costs the reader a verification."""


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


def with_bundle(content: bytes | None, bundle: bytes | None, sha256: str) -> bytes | None:
    """The sidecar for an archive with the hash *sha256*: what *content* has for it, and *bundle*.

    Args:
        content: the sidecar that is there, which may be of other bytes, or malformed; ``None`` for none.
        bundle: one more; left out where an equal one is there.
        sha256: hex.

    Returns:
        ``None`` where there is nothing for this archive.
    """
    try:
        before = [] if content is None else bundles_in(content, "the file")
    except AttestationError:  # whoever wrote that, no reader can use it
        before = []
    kept: list[Any] = [json.loads(each) for each in before if _subject_of(each) == sha256]
    new = [] if bundle is None else [json.loads(bundle)]
    kept += [each for each in new if each not in kept]
    return json.dumps(kept[-MOST:], separators=(",", ":")).encode() if kept else None


def _subject_of(bundle: bytes) -> str | None:
    """The SHA-256 of the archive that *bundle* claims to be about (CEP 27), if it says."""
    try:
        statement = json.loads(b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
        sha256 = statement["subject"][0]["digest"]["sha256"]
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return None
    return sha256.lower() if isinstance(sha256, str) else None


def malformed(message: str) -> AttestationError:
    """The error for a sidecar that no reader can use."""
    return AttestationError(message, hint="Ask the owner of the channel to see to that.", code="bad-attestations-file")
