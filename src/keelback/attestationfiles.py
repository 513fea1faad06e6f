"""Attestations as they come in files: Sigstore bundles in JSON, under names that say whose they are.

Nothing here verifies: what a bundle says of itself is taken for no more than that.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from keelback.errors import AttestationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KEPT: Final = ".sigstore.json"
"""What comes after the name of an archive in a folder: its attestation, as Sigstore's own tools have it."""

CURRENT: Final = ".sigs"
"""The same in a channel: the latest attestations, for tools that know no index (CEP 50)."""

UNPINNED: Final = ".v0.sigs"
"""The same at prefix.dev, which had it before there was a CEP; no index has its hash."""

MOST: Final = 64
"""How many bundles one archive may have: each costs the reader a verification."""

LARGEST_BUNDLE: Final = 1 << 20
"""How many bytes a bundle may have; those of archives have about ten thousand."""

LARGEST_SIDECAR: Final = 2 << 20
"""How many bytes the file beside an archive may have, with the attestations of this one."""

LARGEST: Final = 64 << 20
"""How many bytes any other file may have, with the attestations of many archives."""

_CHANNEL_HINT: Final = "Ask the owner of the channel to see to that."
_HINT: Final = "Give Sigstore bundles: one, several in a JSON array, or one a line."


class Claim(NamedTuple):
    """What a bundle says it is about.

    Attributes:
        filename: the name of an archive; empty where it says none.
        sha256: its hash, hex in lower case.
    """

    filename: str
    sha256: str


def pinned(sha256: str) -> str:
    """What comes after the name of an archive where exactly those attestations are that have this hash (CEP 50)."""
    return f"{CURRENT}.{sha256}"


def read_start(path: Path, limit: int) -> bytes | None:
    """What is in the file *path*, but for what goes more than one byte beyond *limit*; ``None`` where none is there.

    Raises:
        OSError: it cannot be read.
        ValueError: it has a name that no file can have.
    """
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        return None


def sidecar_bundles(content: bytes, place: str) -> list[bytes]:
    """The bundles in *content*, the file beside one archive in a channel, each byte for byte.

    Args:
        content: a JSON array of objects (CEP 50, response format).
        place: what it is called in messages.

    Raises:
        AttestationError: code ``bad-attestations-file``: it is something else, too large, or there are too many.
    """
    _check_size(content, LARGEST_SIDECAR, place, _CHANNEL_HINT)
    return _elements(content, place, _CHANNEL_HINT, MOST)


def bundles_in(document: bytes, place: str) -> list[bytes]:
    """The bundles in *document*, each byte for byte: one, several in a JSON array, or one a line; or none.

    Args:
        document: what was read.
        place: what it is called in messages.

    Raises:
        AttestationError: code ``bad-attestations-file``: it is something else, or too large.
    """
    _check_size(document, LARGEST, place, _HINT)
    if document.lstrip()[:1] in (b"[", b"<"):
        bundles = _elements(document, place, _HINT)
    else:
        whole = _object(document)
        bundles = _lines(document, place) if whole is None else [whole]
    for bundle in bundles:
        _check_size(bundle, LARGEST_BUNDLE, f"a bundle in {place}", _HINT)
    return bundles


def sidecar_of(bundles: Iterable[bytes]) -> bytes:
    """The file that holds *bundles* beside an archive, each byte for byte (CEP 50, response format)."""
    return b"[" + b",".join(bundle.strip() for bundle in bundles) + b"]"


def claims_of(bundle: bytes) -> list[Claim]:
    """What *bundle* claims to be about (in-toto Statement v1), unverified; nothing where it is of another kind.

    Use it to choose among bundles, and for nothing else.
    """
    try:
        statement = json.loads(b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
        found = [(subject.get("name"), subject["digest"]["sha256"]) for subject in statement["subject"]]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return []
    return [
        Claim(filename if isinstance(filename, str) else "", sha256.lower())
        for filename, sha256 in found
        if isinstance(sha256, str)
    ]


def malformed(message: str, hint: str = _CHANNEL_HINT) -> AttestationError:
    """The error for a file with attestations that no reader can use."""
    return AttestationError(message, hint=hint, code="bad-attestations-file")


def _elements(document: bytes, place: str, hint: str, most: int | None = None) -> list[bytes]:
    """The objects in the JSON array *document*."""
    if document.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise malformed(f"{place} is a web page, not a list of attestations", hint)
    try:
        # not one of them is unpacked before it is known how many there are
        bundles = [bytes(bundle) for bundle in msgspec.json.decode(document, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise malformed(f"{place} is not a JSON array of attestations", hint) from None
    if most is not None and len(bundles) > most:
        raise malformed(f"{place} has {len(bundles)} attestations; more than {most} are not read", hint)
    for number, bundle in enumerate(bundles, 1):
        if not bundle.startswith(b"{"):
            raise malformed(f"{place} has something in it that is not a Sigstore bundle, as number {number}", hint)
    return bundles


def _lines(document: bytes, place: str) -> list[bytes]:
    """The objects in *document*, one a line."""
    bundles = []
    for number, line in enumerate(document.splitlines(), 1):
        if line.strip():
            bundle = _object(line)
            if bundle is None:
                raise malformed(f"{place}, line {number}, is not a Sigstore bundle: it is no JSON object", _HINT)
            bundles.append(bundle)
    return bundles


def _object(document: bytes) -> bytes | None:
    """*document*, where it is a JSON object."""
    try:
        value = bytes(msgspec.json.decode(document, type=msgspec.Raw))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return value if value.startswith(b"{") else None


def _check_size(content: bytes, limit: int, place: str, hint: str) -> None:
    if len(content) > limit:
        raise malformed(f"{place} is larger than {limit >> 20} MB", hint)
