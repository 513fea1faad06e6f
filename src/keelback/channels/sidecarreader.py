"""Reads the attestations that a channel has beside an archive: over HTTP, or from a folder."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from keelback.attestationfiles import (
    CURRENT,
    LARGEST_SIDECAR,
    UNPINNED,
    malformed,
    pinned,
    read_start,
    sidecar_bundles,
)
from keelback.channels.target import path_of
from keelback.errors import AttestationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive
    from keelback.transport import Answer

_ABSENT: Final = frozenset({404, 410})
_JSON: Final = {"accept": "application/json"}


def sidecar_urls(archive: IndexedArchive) -> list[str]:
    """Where the channel can have attestations of *archive*, in the order in which they are asked for.

    A record says which there are (CEP 50); one that names none is of a channel that has none, or of prefix.dev.
    Where there is no record, as for a line of a lock file, they are looked for under the names that need none.
    """
    if archive.attestations_sha256 is not None:
        return [archive.url + pinned(archive.attestations_sha256)]
    return [archive.url + suffix for suffix in ([UNPINNED] if archive.has_record else [CURRENT, UNPINNED])]


def read_sidecar(reader: Reader, url: str, sha256: str | None = None) -> Sequence[bytes]:
    """The bundles that the channel has at *url*, beside an archive.

    They are asked for with the credential that the archive itself is asked for with.

    Args:
        reader: of the channel.
        url: one of :func:`sidecar_urls`.
        sha256: which the record of the archive says that the file has; ``None`` where it says nothing.

    Raises:
        AttestationError: what is there is malformed, or too large; where there is a *sha256*, also with the code
            ``attestations-missing``: there is nothing; ``attestations-mismatch``: it has another hash.
        CredentialError, ChannelError: it cannot be read.
        TransportError: no answer came.
    """
    if sha256 is None:
        content = _read(reader, url, "no-attestation")
        return () if content is None else sidecar_bundles(content, url)
    content = _read(reader, url, "attestations-missing")
    if content is None:
        raise AttestationError(
            f"the index says that there are attestations at {url}, and there is nothing",
            hint="Ask the owner of the channel to see to that.",
            code="attestations-missing",
        )
    found = hashlib.sha256(content).hexdigest()  # before anything is made of it (CEP 50, client requirements)
    if found != sha256:
        raise AttestationError(
            f"{url} is not what the index says: it has the SHA-256 {found}",
            hint="Ask the owner of the channel to see to that: the file was damaged, or exchanged.",
            code="attestations-mismatch",
        )
    bundles = sidecar_bundles(content, url)
    if not bundles:
        raise malformed(f"{url} is an empty list, though the index says that there are attestations")
    return bundles


def _read(reader: Reader, url: str, forbidden: str) -> bytes | None:
    """What is at *url*; ``None`` where nothing is; raises with the code *forbidden* where the server says 403."""
    if url.startswith("file:"):
        return _read_file(path_of(url))
    answer = _ask(reader, url)
    if answer.status in _ABSENT:
        return None
    if answer.status == 403:  # so some services say that there is nothing
        raise AttestationError(f"{url}: {reader.error(answer, url).message}", code=forbidden)
    if answer.status != 200:
        raise reader.error(answer, url)
    return answer.content


def _ask(reader: Reader, url: str) -> Answer:
    while True:
        request = replace(reader.request(url, _JSON), limit=LARGEST_SIDECAR)
        answer = reader.client.get(request)
        if not reader.may_ask_again(request, answer):
            return answer


def _read_file(path: Path) -> bytes | None:
    try:
        return read_start(path, LARGEST_SIDECAR)
    except OSError as error:
        raise AttestationError(f"{path} cannot be read: {error.strerror or error}", code="disk") from error
