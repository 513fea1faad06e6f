"""The attestations that a channel has beside an archive, as they go along with a copy of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelback.attestationfiles import claims_of, sidecar_of
from keelback.channels.sidecarreader import read_sidecar, sidecar_urls
from keelback.errors import AttestationError

if TYPE_CHECKING:
    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive

_NONE = "no-attestation"


def carried(reader: Reader, archive: IndexedArchive, *, pinned: bool = True) -> bytes | None:
    """What goes along with a copy of *archive*: a bundle, or a JSON array of several; ``None`` where there is none.

    They are passed on byte for byte and are not verified: whoever requires attestations does that.

    Args:
        reader: of the channel.
        archive: with a SHA-256.
        pinned: whether only those are looked for that its record names (CEP 50); prefix.dev has others.

    Raises:
        AttestationError: the index names some, and they are not there, not those, or malformed.
        CredentialError, ChannelError, TransportError: they cannot be read.
    """
    if pinned and archive.attestations_sha256 is None:
        return None
    (url,) = sidecar_urls(archive)
    try:
        bundles = read_sidecar(reader, url, archive.attestations_sha256)
    except AttestationError as error:
        if error.code == _NONE:
            return None
        raise
    own = [bundle for bundle in bundles if any(claim.sha256 == archive.sha256 for claim in claims_of(bundle))]
    return own[0] if len(own) == 1 else sidecar_of(own) if own else None
