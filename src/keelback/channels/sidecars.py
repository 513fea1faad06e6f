"""The file with the attestations of an archive, beside it in its channel: what goes into it (CEP 50)."""

from __future__ import annotations

import json
from typing import Any

from keelback.attestationfiles import LARGEST_SIDECAR, MOST, claims_of, sidecar_bundles, sidecar_of
from keelback.errors import AttestationError


def is_about(content: bytes, sha256: str) -> bool:
    """Whether the sidecar *content* is that of an archive with the hash *sha256*: some bundle in it says so."""
    return bool(_bundles_about(content, sha256))


def with_bundle(content: bytes | None, bundle: bytes | None, sha256: str) -> bytes | None:
    """The sidecar for an archive with the hash *sha256*: what *content* has for it, and *bundle* after that.

    A *bundle* may be a whole sidecar, as a copied archive brings one: then what is in it comes after that.

    Bundles that are there stay byte for byte, and in their order (CEP 50, response format).

    Args:
        content: the sidecar that is there, which may be of other bytes, or malformed; ``None`` for none.
        bundle: one more, JSON, or a JSON list of more; what is there is left out.
        sha256: hex.

    Returns:
        ``None`` where there is nothing for this archive.

    Raises:
        AttestationError: code ``too-many-attestations``: readers would not take what came of it.
    """
    before = [] if content is None else _bundles_about(content, sha256)
    known = [_value(each) for each in before]
    more = [each for each in _bundles_in(bundle) if _value(each) not in known]
    if not more:
        return content if before else None
    found = sidecar_of([*before, *more])
    if len(before) + len(more) > MOST or len(found) > LARGEST_SIDECAR:
        raise AttestationError(
            f"there is no room for another attestation of these bytes: there are {len(before)}",
            hint="Publish it without one; those that are there can be verified.",
            code="too-many-attestations",
        )
    return found


def _bundles_in(bundle: bytes | None) -> list[bytes]:
    if bundle is None:
        return []
    return sidecar_bundles(bundle, "the attestations") if bundle.lstrip().startswith(b"[") else [bundle]


def _bundles_about(content: bytes, sha256: str) -> list[bytes]:
    """All bundles in *content*, where that is the sidecar of an archive with that hash; else none."""
    try:
        bundles = sidecar_bundles(content, "the file")
    except AttestationError:  # whoever wrote that, no reader can use it
        return []
    claimed = (claim.sha256 for bundle in bundles for claim in claims_of(bundle))
    return bundles if sha256.lower() in claimed else []


def _value(bundle: bytes) -> Any:
    """*bundle* in a form to compare, without its spacing; its bytes, where it is not JSON."""
    try:
        return json.loads(bundle)
    except (ValueError, RecursionError):
        return bundle
