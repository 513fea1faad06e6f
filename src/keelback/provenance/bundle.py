"""Which Sigstore bundles can be verified, by their form."""

from __future__ import annotations

import json
from typing import Final

from keelback.archive.findings import quoted
from keelback.attestationfiles import LARGEST_BUNDLE
from keelback.errors import AttestationError

MEDIA_TYPES: Final = frozenset(
    {
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
    }
)
"""The forms of bundles that can be verified (Sigstore protobuf-specs, ``sigstore_bundle.proto``).

Of version 0.1, only those that have the proof that their entry is in the log, as those of all later versions have it.
"""

_HINT: Final = "Make it again with a tool that writes Sigstore bundles of version 0.3, or update keelback."


def check_form(bundle: bytes, filename: str) -> None:
    """See that *bundle*, of the file *filename*, is one of a form that can be verified.

    Raises:
        AttestationError: it is too large, or not a JSON object; code ``attestation-media-type``: it is of another form.
    """
    if len(bundle) > LARGEST_BUNDLE:
        raise AttestationError(f"{filename}: the attestation is larger than {LARGEST_BUNDLE >> 20} MB", hint=_HINT)
    try:
        document = json.loads(bundle)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise AttestationError(f"{filename}: the attestation is not a Sigstore bundle: no JSON object", hint=_HINT)
    media_type = document.get("mediaType")
    if not isinstance(media_type, str) or media_type not in MEDIA_TYPES:
        raise AttestationError(
            f"{filename}: the attestation is of a form that is not known: its mediaType is {quoted(media_type)}",
            hint=_HINT,
            code="attestation-media-type",
        )


def unreadable(filename: str, fault: str) -> AttestationError:
    """The error for a bundle, of the file *filename*, that ``sigstore`` cannot read: *fault* says why."""
    return AttestationError(
        f"{filename}: the attestation is not a bundle that this version of keelback can read: {fault}",
        hint=f"{_HINT} Do not use the file before it verifies.",
        code="attestation-form",
    )
