"""Hashes as services keep them: in hex among the metadata of an object, and an MD5 in Base64 in a header field."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final

from keelback.channels.buckets.bucket import MD5, SHA256

_HEX: Final = {SHA256: re.compile(r"[0-9a-f]{64}"), MD5: re.compile(r"[0-9a-f]{32}")}


def valid_hash(text: object, name: str) -> str | None:
    """*text* in lower case, where it is a hash in hex of the kind *name* (:data:`SHA256`, :data:`MD5`)."""
    lower = text.lower() if isinstance(text, str) else ""
    return lower if _HEX[name].fullmatch(lower) else None


def md5_of(content: bytes) -> str:
    """The MD5 of *content*, in hex."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def to_base64(md5: str) -> str:
    """*md5*, which is in hex, in Base64."""
    return base64.b64encode(bytes.fromhex(md5)).decode()


def from_base64(md5: object) -> str | None:
    """*md5*, which is in Base64, in hex; ``None`` where it is none."""
    try:
        return valid_hash(base64.b64decode(md5, validate=True).hex(), MD5) if isinstance(md5, str) else None
    except (binascii.Error, ValueError):
        return None
