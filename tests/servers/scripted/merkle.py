"""A log as a Merkle tree: its root, and the proof that an entry is in it (RFC 6962, section 2.1)."""

from __future__ import annotations

import hashlib


def leaf_hash(entry: bytes) -> bytes:
    """What stands for an entry in the tree."""
    return hashlib.sha256(b"\0" + entry).digest()


def root(leaves: list[bytes]) -> bytes:
    """The hash of a tree that is not empty."""
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return _node(root(leaves[:split]), root(leaves[split:]))


def inclusion_proof(index: int, leaves: list[bytes]) -> list[bytes]:
    """The hashes that lead from the leaf at *index* to the root, the lowest first."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(index, leaves[:split]), root(leaves[split:])]
    return [*inclusion_proof(index - split, leaves[split:]), root(leaves[:split])]


def _split(size: int) -> int:
    """The largest power of two below *size*."""
    return 1 << (size - 1).bit_length() - 1


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
