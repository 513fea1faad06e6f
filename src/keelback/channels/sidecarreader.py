"""The attestations that a channel has beside an archive, as readers get them: over HTTP, or from a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from keelback.channels.reader import REFUSED
from keelback.channels.sidecars import LARGEST, bundles_in, malformed
from keelback.errors import AttestationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelback.channels.reader import Reader
    from keelback.transport import Answer

_ABSENT: Final = frozenset({404, 410})
_JSON: Final = {"accept": "application/json"}


def read_sidecar(reader: Reader, archive_url: str, suffix: str) -> Sequence[bytes]:
    """The bundles that the channel has beside the archive at *archive_url*, under the name with *suffix*.

    They are asked for with the credential that the archive itself is asked for with.

    Raises:
        AttestationError: what is there is malformed, or too large.
        CredentialError, ChannelError: it cannot be read.
        TransportError: no answer came.
    """
    url = archive_url + suffix
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        content = read_limited(path)
        return () if content is None else bundles_in(content, str(path))
    answer = _ask(reader, url)
    if answer.status in _ABSENT:
        return ()
    if answer.status == 403:  # so some object stores say that there is nothing
        raise AttestationError(reader.error(answer, url).message, code="no-attestation")
    if answer.status != 200:
        raise reader.error(answer, url)
    return bundles_in(answer.content, url)


def _ask(reader: Reader, url: str) -> Answer:
    while True:
        request = replace(reader.request(url, _JSON), limit=LARGEST)
        answer = reader.client.get(request)
        if request.auth is not None or answer.status not in REFUSED or not reader.look_further(url):
            return answer


def read_limited(path: Path) -> bytes | None:
    """What is in the file *path*, which holds attestations; ``None`` where it is not there.

    Raises:
        AttestationError: it cannot be read, or is too large.
    """
    try:
        if not path.exists():
            return None
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise AttestationError(f"{path} cannot be read: {error.strerror or error}", code="disk") from error
    if len(content) > LARGEST:
        raise malformed(f"{path} is larger than {LARGEST} bytes")
    return content
