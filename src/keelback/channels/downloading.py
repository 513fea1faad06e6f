"""One archive of a channel, downloaded into a file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keelback.transport import Downloaded, download

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keelback.channels.reader import Reader
    from keelback.indexed import IndexedArchive
    from keelback.transport import Expected


def download_archive(
    reader: Reader,
    archive: IndexedArchive,
    target: Path,
    *,
    expected: Expected,
    retried: Callable[[float, str], None],
    told: Callable[[int], None] | None = None,
) -> Downloaded:
    """Download *archive* to the file *target*; where it is refused without a credential, one is looked for.

    Args:
        reader: of its channel.
        archive: on a server.
        target: the file; its folder is there.
        expected: what is known of the bytes.
        retried: told the wait in seconds and the reason whenever it is asked for again.
        told: as for :func:`keelback.transport.download`.

    Raises:
        CredentialError, ChannelError, TransportError, Interrupted: it cannot be read; or as for
            :func:`keelback.transport.download`.
    """
    while True:
        request = replace(reader.request(archive.url), retried=retried)
        answer = download(reader.client, request, target, expected=expected, told=told)
        if isinstance(answer, Downloaded):
            return answer
        if not reader.may_ask_again(request, answer):
            raise reader.error(answer, archive.url)
