"""The files in which attestations come: Sigstore bundles, alone, in a JSON array, or one a line."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Final

from keelback.archive.findings import quoted
from keelback.errors import AttestationError
from keelback.findings import printable
from keelback.provenance.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_BUNDLE: Final = 1 << 20
"""Bytes of one bundle; those of packages have some ten thousand."""
MAX_DOCUMENT: Final = 64 << 20
"""Bytes of all bundles in one file."""

MEDIA_TYPES: Final = frozenset(
    {
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
    }
)
"""The forms of bundles that can be verified (Sigstore protobuf-specs, ``sigstore_bundle.proto``)."""

_HINT: Final = "Give Sigstore bundles: one, several in a JSON array, or one a line."


def bundles_in(document: bytes, name: str) -> list[bytes]:
    """The bundles in *document*: one JSON object, an array of them (CEP 50), or one a line; none where it is empty.

    Args:
        document: what was read.
        name: where, for messages.

    Raises:
        AttestationError: it is something else, or too large.
    """
    if len(document) > MAX_DOCUMENT:
        raise AttestationError(f"{name} is larger than {MAX_DOCUMENT >> 20} MB: these are no attestations", hint=_HINT)
    if not document.strip():
        return []
    bundles = [_checked_size(bundle, name) for bundle in _split(document, name)]
    if not bundles:
        raise AttestationError(f"{name} has no attestation in it", hint=_HINT, code="no-attestation")
    return bundles


def _split(document: bytes, name: str) -> Iterator[bytes]:
    try:
        whole = json.loads(document)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict):
        yield document.strip()
    elif isinstance(whole, list):
        for number, element in enumerate(whole, 1):
            if not isinstance(element, dict):
                raise AttestationError(f"{name} has something else than a bundle in it, as number {number}", hint=_HINT)
            yield json.dumps(element).encode()
    else:
        for number, line in enumerate(document.splitlines(), 1):
            if line.strip():
                if _object(line) is None:
                    raise AttestationError(f"{name}, line {number}, is not a bundle: no JSON object", hint=_HINT)
                yield line.strip()


def _checked_size(bundle: bytes, name: str) -> bytes:
    if len(bundle) > MAX_BUNDLE:
        raise AttestationError(f"{name} has a bundle in it that is larger than {MAX_BUNDLE >> 20} MB", hint=_HINT)
    return bundle


def check_form(bundle: bytes, filename: str) -> None:
    """See that *bundle*, of the file *filename*, is one of a form that can be verified.

    Raises:
        AttestationError: it is too large, or no JSON object; code ``attestation-media-type``: it is of another form.
    """
    document = _object(_checked_size(bundle, f"the attestation of {printable(filename)}"))
    if document is None:
        raise AttestationError(f"{filename}: the attestation is not a Sigstore bundle: no JSON object", hint=_HINT)
    media_type = document.get("mediaType")
    if not isinstance(media_type, str) or media_type not in MEDIA_TYPES:
        raise AttestationError(
            f"{filename}: the attestation is of a form that is not known: its mediaType is {quoted(media_type)}",
            hint="Make it again with a tool that writes Sigstore bundles of version 0.3, or update keelback.",
            code="attestation-media-type",
        )


def claimed(bundle: bytes) -> Statement | None:
    """What *bundle* claims to say, without any check of whether it does; ``None`` where that is no statement.

    Use it to choose among bundles, and for nothing else.
    """
    envelope = (_object(bundle) or {}).get("dsseEnvelope")
    payload = envelope.get("payload") if isinstance(envelope, dict) else None
    if not isinstance(payload, str):
        return None
    try:
        return Statement.parse(base64.b64decode(payload, validate=True))
    except (binascii.Error, ValueError, AttestationError):
        return None


def as_array(bundles: list[bytes]) -> bytes:
    """*bundles* as one JSON array, each byte for byte (CEP 50, "Response Format")."""
    return b"[" + b",".join(bundles) + b"]"


def _object(document: bytes) -> Mapping[str, Any] | None:
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
